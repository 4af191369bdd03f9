/* value.h: the one dynamic value type. */
#ifndef REMORA_VALUE_H
#define REMORA_VALUE_H

#include "remora.h"

#include <stdatomic.h>
#include <stdbool.h>

#define VALUE_MAX_DEPTH 128

struct remora_value {
  atomic_int refs;
  uint8_t kind; /* remora_kind */
  union {
    bool truth;
    int64_t integer;
    double real;
    struct {
      const char *data; /* NUL-terminated for text and bigint; follows the struct when owned */
      size_t length;
      void (*destroy)(void *owner); /* NULL: data is inside this allocation */
      void *owner;
    } bytes; /* text, bytes, bigint */
    struct {
      remora_value **items; /* map: key, value, key, value, ... */
      size_t count;         /* of items: twice the pairs for a map */
      size_t room;
      remora_value *keywords; /* of an argument list */
    } seq;
    remora_proxy *proxy;
    remora_object *object;
  } u;
};

/* Whether the bytes are UTF-8: 1 strictly, 2 with lone surrogates, 0 no. */
int value_utf8(const char *text, size_t length);
/* Whether two keys of the map are equal. */
bool value_has_equal_keys(const remora_value *map);
/* remora_text without the check; the caller has made sure. */
remora_value *value_text_trusted(const char *text, size_t length);
/* A text or bytes value that points into memory kept alive by destroy(owner). */
remora_value *value_view(remora_kind kind, const char *data, size_t length, void (*destroy)(void *owner), void *owner);
/* *new* list, tuple or map of exactly these items (map: key, value, ...); *steals* the items, unless it fails. */
remora_value *value_sequence(remora_kind kind, remora_value *const *items, size_t count);

#endif
