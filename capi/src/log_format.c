/* log_format.c: a record as a line of text. */
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct writer {
  char *data;
  size_t length, room;
  bool failed;
} writer;

static void put(writer *w, const char *text, size_t length) {
  if (w->length + length > w->room) {
    size_t room = (w->length + length) * 2 + 64;
    char *data = realloc(w->data, room);
    if (!data) {
      w->failed = true;
      return;
    }
    w->data = data;
    w->room = room;
  }
  if (length) memcpy(w->data + w->length, text, length);
  w->length += length;
}

static void put_str(writer *w, const char *text) { put(w, text, strlen(text)); }

static void put_member(writer *w, const remora_value *record, const char *key, const char *otherwise) {
  const remora_value *v = remora_get(record, key);
  remora_kind kind = remora_value_kind(v);
  size_t length = 0;
  char number[32];
  if (v && kind == REMORA_TEXT) {
    const char *text = remora_as_text(v, &length);
    put(w, text, length);
  } else if (v && kind == REMORA_INT) {
    (void)snprintf(number, sizeof number, "%lld", (long long)remora_as_int(v));
    put_str(w, number);
  } else {
    put_str(w, otherwise);
  }
}

/* "Thu Jan  1 00:00:00 1970", whatever the locale. */
static void put_time(writer *w, double at) {
  struct tm parts;
  char text[64];
  time_t whole = at > -1e15 && at < 1e15 ? (time_t)at : 0;
  if (localtime_r(&whole, &parts) && asctime_r(&parts, text)) put(w, text, strcspn(text, "\n"));
}

/* "local", or "remote #3 web1 > web2": the connection, and the hops beyond it. */
static void put_origin(writer *w, const remora_value *record) {
  const remora_value *conn = remora_get(record, "connection"), *hops = remora_get(record, "hops");
  if (!conn || remora_value_kind(conn) != REMORA_TEXT) {
    put_str(w, "local");
    return;
  }
  put_str(w, "remote #");
  put_member(w, record, "connection_id", "(uninit)");
  put_str(w, " ");
  put_member(w, record, "connection", "");
  for (size_t i = remora_length(hops); i-- > 0;) {
    size_t length = 0;
    const char *text = remora_as_text(remora_at(hops, i), &length);
    put_str(w, " > ");
    put(w, text ? text : "?", text ? length : 1);
  }
}

static void put_directive(writer *w, char directive, const remora_value *record) {
  switch (directive) {
  case '%':
    put_str(w, "%");
    return;
  case 'n':
    put_str(w, "\n");
    return;
  case 'l':
    put_member(w, record, "level", "(undefined)");
    return;
  case 's':
    put_member(w, record, "message", "(undefined)");
    return;
  case 't':
    put_time(w, remora_as_float(remora_get(record, "time")));
    return;
  case 'r':
    put_origin(w, record);
    return;
  case 'c':
    put_member(w, record, "exporter", "(undefined)");
    return;
  case 'p':
    put_member(w, record, "name", "(undefined)");
    return;
  case 'm':
    put_member(w, record, "function", "(none)");
    return;
  case 'f':
    put_member(w, record, "file", "(undefined)");
    return;
  case 'i':
    put_member(w, record, "line", "(undefined)");
    return;
  case 'h':
    put_member(w, record, "host", "(undefined)");
    return;
  case 'P':
    put_member(w, record, "pid", "(undefined)");
    return;
  default:
    put_str(w, "(undefined)");
  }
}

remora_value *remora_log_format(const char *format, const remora_value *record) {
  writer all = {0}, lines = {0};
  if (!format) format = "[%l %r] %s";
  for (const char *p = format; *p; p++) {
    if (*p != '%' || !p[1]) {
      put(&all, p, 1);
      continue;
    }
    p++;
    if ((*p & 0x80) != 0) /* a character of several bytes is one */
      while ((p[1] & 0xc0) == 0x80) p++;
    put_directive(&all, *p, record);
  }
  while (all.length > 0 && all.data[all.length - 1] == '\n') all.length--;
  for (size_t at = 0; at < all.length;) {
    const char *newline = memchr(all.data + at, '\n', all.length - at);
    size_t length = newline ? (size_t)(newline + 1 - all.data) - at : all.length - at;
    put(&lines, all.data + at, length);
    if (newline) put_str(&lines, " ");
    at += length;
  }
  remora_value *text =
      all.failed || lines.failed ? NULL : log_text(lines.data ? lines.data : "", lines.length, SIZE_MAX);
  free(all.data);
  free(lines.data);
  return text;
}
