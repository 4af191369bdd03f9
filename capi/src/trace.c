/* trace.c: one line for each message, control characters made harmless, long payloads cut. */
#include "trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

bool trace_on;

void trace_init(void) {
  const char *v = getenv("REMORA_DEBUG");
  trace_on = v && *v && strcmp(v, "0") != 0;
}

void trace_print(const char *name, char direction, const frame *f, const void *payload) {
  char line[640];
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  int n = snprintf(line, sizeof line, "remora[%d] %ld.%06ld %s %c %s", (int)getpid(), (long)now.tv_sec,
                   now.tv_nsec / 1000, name ? name : "-", direction, frame_kind_name(f->kind));
  if (f->call) n += snprintf(line + n, sizeof line - (size_t)n, " call=%" PRIu32, f->call);
  if (f->kind == FRAME_CALL || f->object)
    n += snprintf(line + n, sizeof line - (size_t)n, " object=%" PRIx64, f->object);
  if (f->chain) n += snprintf(line + n, sizeof line - (size_t)n, " chain=%" PRIx64, f->chain);
  if (f->aux) n += snprintf(line + n, sizeof line - (size_t)n, " aux=%" PRIu32, f->aux);
  n += snprintf(line + n, sizeof line - (size_t)n, " flags=%u size=%" PRIu32 " ", f->flags, f->size);
  const unsigned char *p = payload;
  size_t shown = p ? f->size : 0;
  if (shown > 200) shown = 200;
  if (f->flags & FRAME_CHUNKED && shown > 64) shown = 64;
  for (size_t i = 0; i < shown && n < (int)sizeof line - 8; i++) {
    if (i == f->mlen && i > 0) line[n++] = ' ';
    line[n++] = p[i] >= 0x20 && p[i] < 0x7f ? (char)p[i] : '.';
  }
  if (shown < f->size) n += snprintf(line + n, sizeof line - (size_t)n, "...");
  line[n++] = '\n';
  ssize_t ignored = write(STDERR_FILENO, line, (size_t)n);
  (void)ignored;
}
