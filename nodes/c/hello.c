/* hello.c: how an executable of ours becomes a far side: what is read and written before there is a hub with threads. */
#include "hello.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void hello_write(int fd, const void *data, size_t length) {
  const char *p = data;
  while (length > 0) {
    ssize_t n = write(fd, p, length);
    if (n < 0 && errno != EINTR) _exit(1);
    if (n > 0) p += n, length -= (size_t)n;
  }
}

static void hello_fill(int fd, void *data, size_t length) {
  char *p = data;
  while (length > 0) {
    ssize_t n = read(fd, p, length);
    if (n == 0 || (n < 0 && errno != EINTR)) _exit(0); /* the end of the wire is the end of the node */
    if (n > 0) p += n, length -= (size_t)n;
  }
}

void hello_refuse(int to, const char *why) {
  uint8_t head[FRAME_HEADER];
  const frame f = {.kind = FRAME_BYE, .size = (uint32_t)strlen(why)};
  frame_encode(&f, head);
  hello_write(to, head, sizeof head);
  hello_write(to, why, strlen(why));
  _exit(1);
}

/* The near side's HELLO: it says whether to fork, so it is read before there is a hub with threads. */
remora_value *hello_read(int from, int to) {
  uint8_t head[FRAME_HEADER];
  frame f;
  hello_fill(from, head, sizeof head);
  frame_decode(head, &f);
  const char *fault = frame_check(&f, FRAME_CHUNK);
  if (!fault && f.kind != FRAME_HELLO) fault = "something came before the greeting";
  if (fault) hello_refuse(to, fault);
  char *text = malloc(f.size + 1);
  if (!text) hello_refuse(to, "out of memory");
  hello_fill(from, text, f.size);
  codec_in in = {.body = text, .length = f.size, .plain = true};
  remora_value *hello = codec_json.decode(&in, NULL);
  free(text);
  if (!hello || remora_value_kind(hello) != REMORA_MAP) hello_refuse(to, "the greeting cannot be read");
  char why[100];
  int64_t protocol = remora_as_int(remora_get(hello, "protocol"));
  (void)snprintf(why, sizeof why, "the near side speaks protocol %lld, this node %d", (long long)protocol,
                 FRAME_PROTOCOL);
  if (protocol != FRAME_PROTOCOL) hello_refuse(to, why);
  return hello;
}
