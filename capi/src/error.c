/* error.c: one immutable record per failure, and its form on the wire; making an error never fails. */
#include "error.h"
#include "value.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct remora_error {
  int code;
  const char *stage;     /* a literal, or NULL */
  const char *message;   /* behind the struct */
  remora_value *details; /* the map it came with over the wire, or NULL */
};

/* What there is when there is no memory for an error; never freed. */
static remora_error error_nomem = {.code = REMORA_E_NOMEM, .message = "out of memory"};

/* The errors that keep their code on the way. Others of ours go as "remora.ConnectionLost" and the like, and arrive as
 * far errors, for it is not the receiver's connection that was lost. */
static const struct {
  int code;
  const char *type;
} error_wire_names[] = {
    {REMORA_E_NOTFOUND, "remora.NotFound"},   {REMORA_E_DENIED, "remora.Denied"},
    {REMORA_E_CANCELLED, "remora.Cancelled"}, {REMORA_E_TIMEOUT, "remora.Timeout"},
    {REMORA_E_VALUE, "remora.Value"},
};

/* -------------------------------------------------------------------------------------------------------- the table */

const char *remora_code_name(int code) {
  switch (code) {
#define ERROR_XX(name, number, cls, text)                                                                              \
  case number:                                                                                                         \
    return cls;
    REMORA_ERROR_MAP(ERROR_XX)
#undef ERROR_XX
  }
  return "Error";
}

const char *remora_code_text(int code) {
  switch (code) {
  case REMORA_OK:
    return "no error";
#define ERROR_XX(name, number, cls, text)                                                                              \
  case number:                                                                                                         \
    return text;
    REMORA_ERROR_MAP(ERROR_XX)
#undef ERROR_XX
  }
  return "an error without a name";
}

/* ----------------------------------------------------------------------------------------------------------- making */

/* *new*; steals details. The message becomes one line: it ends up in logs and in exceptions of one line. */
static remora_error *error_new(int code, const char *stage, const char *message, size_t length, remora_value *details) {
  while (length && (unsigned char)message[length - 1] <= ' ') length--;
  remora_error *err = malloc(sizeof *err + length + 1);
  if (!err) {
    remora_value_unref(details);
    return &error_nomem;
  }
  char *line = (char *)(err + 1);
  for (size_t i = 0; i < length; i++) line[i] = (unsigned char)message[i] < ' ' ? ' ' : message[i];
  line[length] = '\0';
  *err = (remora_error){.code = code, .stage = stage, .message = line, .details = details};
  return err;
}

__attribute__((format(printf, 4, 0))) static int error_vset(remora_error **err, int code, const char *stage,
                                                            const char *format, va_list args) {
  if (!err) return -1;
  if (!format) {
    const char *text = remora_code_text(code);
    *err = error_new(code, stage, text, strlen(text), NULL);
    return -1;
  }
  char small[512], *text = small;
  va_list again;
  va_copy(again, args);
  int length = vsnprintf(small, sizeof small, format, args);
  if (length >= (int)sizeof small) {
    text = malloc((size_t)length + 1);
    if (text) vsnprintf(text, (size_t)length + 1, format, again);
  }
  va_end(again);
  *err = text && length >= 0 ? error_new(code, stage, text, (size_t)length, NULL) : &error_nomem;
  if (text != small) free(text);
  return -1;
}

int error_set(remora_error **err, int code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int result = error_vset(err, code, NULL, format, args);
  va_end(args);
  return result;
}

int error_stage(remora_error **err, const char *stage, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int result = error_vset(err, REMORA_E_CONNECT, stage, format, args);
  va_end(args);
  return result;
}

int error_file(remora_error **err, int number, const char *what, const char *path) {
  if (!err) return -1;
  char text[4400];
  int length = snprintf(text, sizeof text, "cannot %s %s: %s", what, path, strerror(number));
  if (length >= (int)sizeof text) length = (int)sizeof text - 1;
  remora_value *details = remora_map(), *name = remora_str(path);
  (void)remora_set(details, "errno", remora_int(number));
  if (name) (void)remora_set(details, "filename", name);
  *err = error_new(REMORA_E_FILE, NULL, text, (size_t)length, details);
  return -1;
}

remora_error *error_copy(const remora_error *err) {
  if (!err || err == &error_nomem) return err ? &error_nomem : NULL;
  return error_new(err->code, err->stage, err->message, strlen(err->message), remora_value_ref(err->details));
}

remora_error *remora_error_new(int code, const char *message) {
  if (!message) message = remora_code_text(code);
  return error_new(code, NULL, message, strlen(message), NULL);
}

remora_error *remora_error_free(remora_error *err) {
  if (err && err != &error_nomem) {
    remora_value_unref(err->details);
    free(err);
  }
  return NULL;
}

/* ---------------------------------------------------------------------------------------------------------- looking */

int remora_error_code(const remora_error *err) { return err ? err->code : REMORA_OK; }

const char *remora_error_message(const remora_error *err) { return err ? err->message : remora_code_text(REMORA_OK); }

const char *remora_error_stage(const remora_error *err) { return err ? err->stage : NULL; }

static bool error_is_texts(const remora_value *list) {
  remora_kind kind = remora_value_kind(list);
  if (kind != REMORA_LIST && kind != REMORA_TUPLE) return false;
  for (size_t i = 0; i < remora_length(list); i++)
    if (remora_value_kind(remora_at(list, i)) != REMORA_TEXT) return false;
  return true;
}

/* Only what everybody relies on is demanded: a fault in a lesser member shall not hide the error that it tells of. */
static bool error_is_map(const remora_value *details) {
  const remora_value *types = remora_get(details, "type");
  return error_is_texts(types) && remora_length(types) &&
         remora_value_kind(remora_get(details, "message")) == REMORA_TEXT;
}

const remora_value *remora_error_details(const remora_error *err) {
  return err && (err->code == REMORA_E_FILE || error_is_map(err->details)) ? err->details : NULL;
}

static const char *error_first_type(const remora_value *details) {
  return remora_as_text(remora_at(remora_get(details, "type"), 0), NULL);
}

const char *remora_error_type(const remora_error *err) {
  const remora_value *details = err && err->code == REMORA_E_REMOTE ? err->details : NULL;
  return details ? error_first_type(details) : remora_code_name(remora_error_code(err));
}

const char *remora_error_traceback(const remora_error *err) {
  const remora_value *traceback = err ? remora_get(err->details, "traceback") : NULL;
  return remora_value_kind(traceback) == REMORA_TEXT ? remora_as_text(traceback, NULL) : NULL;
}

/* --------------------------------------------------------------------------------------------------------- the wire */

/* *new*; steals details, which error_is_map. */
static remora_error *error_of_map(int code, remora_value *details) {
  size_t length;
  const char *message = remora_as_text(remora_get(details, "message"), &length);
  return error_new(code, NULL, message, length, details);
}

remora_error *remora_error_remote(remora_value *details) {
  if (error_is_map(details)) return error_of_map(REMORA_E_REMOTE, details);
  remora_value_unref(details);
  return NULL;
}

/* *new*: the list (NULL for none) with hop at its end; NULL without memory. */
static remora_value *error_more_hops(const remora_value *hops, const char *hop) {
  remora_value *more = remora_list();
  int failed = !more;
  for (size_t i = 0; !failed && i < remora_length(hops); i++)
    failed = remora_append(more, remora_value_ref((remora_value *)remora_at(hops, i)));
  if (failed || remora_append(more, remora_str(hop)) != 0) return remora_value_unref(more);
  return more;
}

remora_value *error_add_hop(remora_value *details, const char *hop) {
  const remora_value *hops = remora_get(details, "hops");
  remora_value *copy = remora_map();
  int failed = !copy;
  for (size_t i = 0; !failed && i < remora_length(details); i++)
    if (!hops || remora_at(details, i) != hops)
      failed = remora_put(copy, remora_value_ref((remora_value *)remora_key_at(details, i)),
                          remora_value_ref((remora_value *)remora_at(details, i)));
  if (failed || remora_set(copy, "hops", error_more_hops(error_is_texts(hops) ? hops : NULL, hop)) != 0)
    copy = remora_value_unref(copy);
  (void)remora_value_unref(details);
  return copy;
}

remora_error *error_from_wire(const remora_value *map, const char *hop) {
  if (!error_is_map(map)) {
    remora_error *err;
    error_set(&err, REMORA_E_PROTOCOL, "the far side sent an error without type and message");
    return err;
  }
  int code = REMORA_E_REMOTE;
  const char *type = error_first_type(map);
  for (size_t i = 0; i < sizeof error_wire_names / sizeof *error_wire_names; i++)
    if (strcmp(type, error_wire_names[i].type) == 0) code = error_wire_names[i].code;
  remora_value *details = remora_value_ref((remora_value *)map);
  if (hop) details = error_add_hop(details, hop);
  return details ? error_of_map(code, details) : &error_nomem;
}

/* *new* text of a message that may hold anything, such as the name of a file. */
static remora_value *error_text(const char *message) {
  size_t length = strlen(message);
  if (value_utf8(message, length)) return value_text_trusted(message, length);
  char *ascii = malloc(length + 1);
  if (!ascii) return NULL;
  for (size_t i = 0; i < length; i++) ascii[i] = (unsigned char)message[i] < 0x80 ? message[i] : '?';
  remora_value *text = value_text_trusted(ascii, length);
  free(ascii);
  return text;
}

remora_value *error_to_wire(const remora_error *err) {
  if (err && error_is_map(err->details)) return remora_value_ref(err->details);
  int code = remora_error_code(err);
  char type[64];
  snprintf(type, sizeof type, "%s%s", code == REMORA_E_REMOTE ? "" : "remora.", remora_code_name(code));
  for (size_t i = 0; i < sizeof error_wire_names / sizeof *error_wire_names; i++)
    if (error_wire_names[i].code == code) snprintf(type, sizeof type, "%s", error_wire_names[i].type);

  remora_value *map = remora_map(), *types = remora_list();
  int failed = remora_append(types, remora_str(type));
  if (failed) types = remora_value_unref(types);
  failed |= remora_set(map, "type", types);
  failed |= remora_set(map, "message", error_text(remora_error_message(err)));
  failed |= remora_set(map, "language", remora_str("c"));
  failed |= remora_set(map, "hops", remora_list());
  if (remora_error_stage(err)) {
    remora_value *attributes = remora_map();
    failed |= remora_set(attributes, "stage", remora_str(remora_error_stage(err)));
    failed |= remora_set(map, "attributes", attributes);
  }
  return failed ? remora_value_unref(map) : map;
}
