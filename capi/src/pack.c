/* pack.c: values made and taken apart by a format, for C code that would otherwise build them piece by piece. Both walk the format, one item a step. */
#include "error.h"
#include "value.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Where a walk stands. After a fault it goes on, as far as the format makes sense, so that every value that was to be stolen is. */
typedef struct walk {
  const char *at;
  va_list ap;
  unsigned depth;
  int code; /* of the first fault; 0: none */
  char fault[200];
  char place[80]; /* "argument 2, element 1" */
  bool lost;      /* the format itself is wrong: what the next argument is cannot be known */
  bool stores;    /* unpack looks first, then stores: when it fails it has touched nothing */
} walk;

static void walk_fault(walk *w, int code, const char *what, const char *more) {
  if (w->code) return;
  w->code = code;
  (void)snprintf(w->fault, sizeof w->fault, "%s%s%s%s", w->place, *w->place ? ": " : "", what, more);
}

/* The next letter of the format; blanks, commas and colons are for the reader. */
static char walk_peek(walk *w) {
  while (*w->at == ' ' || *w->at == ',' || *w->at == ':' || *w->at == '\n') w->at++;
  return *w->at;
}

static char walk_next(walk *w) {
  char letter = walk_peek(w);
  if (letter) w->at++;
  return letter;
}

static bool walk_mark(walk *w, char mark) {
  if (*w->at != mark) return false;
  w->at++;
  return true;
}

static void walk_wrong(walk *w, char letter) {
  char text[2] = {letter, 0};
  if (letter)
    walk_fault(w, REMORA_E_INVALID, "the format has a wrong letter: ", text);
  else
    walk_fault(w, REMORA_E_INVALID, "the format ends too early", "");
  w->lost = true;
}

static int walk_end(walk *w, remora_error **err) { return w->code ? error_set(err, w->code, "%s", w->fault) : 0; }

/* ---------------------------------------------------------------------------------------------------------------- pack */

static remora_value *pack_item(walk *w);

/* Adds to the container, or drops what could not be added. */
static void pack_add(walk *w, remora_value *list, remora_value *item) {
  if (item && !w->code && remora_append(list, item) == 0) return;
  if (item && w->code) (void)remora_value_unref(item); /* a failed append has dropped it */
  walk_fault(w, REMORA_E_NOMEM, remora_code_text(REMORA_E_NOMEM), "");
}

/* Items up to the closing letter; `keywords`: a map with k before it may be the last one. */
static remora_value *pack_items(walk *w, remora_value *list, char close, bool keywords) {
  if (!list) walk_fault(w, REMORA_E_NOMEM, remora_code_text(REMORA_E_NOMEM), "");
  while (!w->lost && walk_peek(w) != close) {
    if (keywords && w->at[0] == 'k' && w->at[1] == '{') {
      w->at++;
      remora_value *map = pack_item(w);
      if (map && !w->code) {
        if (remora_set_keywords(list, map) != 0)
          walk_fault(w, REMORA_E_INVALID, "the keyword arguments need text as keys, each once", "");
      } else {
        (void)remora_value_unref(map);
      }
      if (walk_peek(w) != close) walk_wrong(w, *w->at);
      break;
    }
    pack_add(w, list, pack_item(w));
  }
  if (!w->lost && close) w->at++;
  return list;
}

static remora_value *pack_map(walk *w) {
  remora_value *map = remora_map();
  if (!map) walk_fault(w, REMORA_E_NOMEM, remora_code_text(REMORA_E_NOMEM), "");
  while (!w->lost && walk_peek(w) != '}') {
    remora_value *key = pack_item(w), *item = w->lost ? NULL : pack_item(w);
    if (key && item && !w->code) {
      if (remora_put(map, key, item) != 0) walk_fault(w, REMORA_E_NOMEM, remora_code_text(REMORA_E_NOMEM), "");
      continue;
    }
    (void)remora_value_unref(key);
    (void)remora_value_unref(item);
  }
  if (!w->lost) w->at++;
  return map;
}

static remora_value *pack_text(walk *w) {
  bool sized = walk_mark(w, '%');
  const char *text = va_arg(w->ap, const char *);
  size_t length = sized ? va_arg(w->ap, size_t) : text ? strlen(text) : 0;
  if (walk_mark(w, '?') && !text) return remora_null();
  if (!text) return walk_fault(w, REMORA_E_INVALID, "the text is NULL", ""), NULL;
  if (!value_utf8(text, length)) return walk_fault(w, REMORA_E_VALUE, "the text is not UTF-8", ""), NULL;
  return remora_text(text, length);
}

static remora_value *pack_bytes(walk *w) {
  const void *data = va_arg(w->ap, const void *);
  size_t length = va_arg(w->ap, size_t);
  if (walk_mark(w, '?') && !data) return remora_null();
  if (!data && length) return walk_fault(w, REMORA_E_INVALID, "the bytes are NULL", ""), NULL;
  return remora_bytes(data ? data : "", length);
}

/* A pointer to something that a value refers to, or to a value. */
static remora_value *pack_pointer(walk *w, char letter) {
  void *p = va_arg(w->ap, void *);
  if (walk_mark(w, '?') && !p) return remora_null();
  if (!p) return walk_fault(w, REMORA_E_INVALID, "a reference or value is NULL", ""), NULL;
  if (letter == 'p') return remora_value_of_proxy(p);
  if (letter == 'o') return remora_value_of_object(p);
  return letter == 'v' ? remora_value_ref(p) : p;
}

static remora_value *pack_big(walk *w) {
  const char *decimal = va_arg(w->ap, const char *);
  remora_value *v = decimal ? remora_bigint(decimal) : NULL;
  if (!v) walk_fault(w, REMORA_E_INVALID, "this is no decimal integer", "");
  return v;
}

static remora_value *pack_item(walk *w) {
  char letter = walk_next(w);
  if (++w->depth > VALUE_MAX_DEPTH) letter = 0;
  remora_value *v = NULL;
  switch (letter) {
  case 'n':
    v = remora_null();
    break;
  case 'b':
    v = remora_bool(va_arg(w->ap, int));
    break;
  case 'i':
    v = remora_int(va_arg(w->ap, int));
    break;
  case 'I':
    v = remora_int(va_arg(w->ap, int64_t));
    break;
  case 'd':
    v = remora_float(va_arg(w->ap, double));
    break;
  case 'D':
    v = pack_big(w);
    break;
  case 's':
    v = pack_text(w);
    break;
  case 'y':
    v = pack_bytes(w);
    break;
  case 'p':
  case 'o':
  case 'v':
  case 'V':
    v = pack_pointer(w, letter);
    break;
  case '[':
    v = pack_items(w, remora_list(), ']', false);
    break;
  case '(':
    v = pack_items(w, remora_tuple(), ')', false);
    break;
  case '{':
    v = pack_map(w);
    break;
  default:
    walk_wrong(w, letter);
  }
  w->depth--;
  if (!v) walk_fault(w, REMORA_E_NOMEM, remora_code_text(REMORA_E_NOMEM), "");
  return v;
}

remora_value *remora_pack(remora_error **err, const char *format, ...) {
  walk w = {.at = format};
  va_start(w.ap, format);
  remora_value *v = NULL;
  if (walk_mark(&w, '=')) {
    v = pack_item(&w);
    if (!w.lost && walk_peek(&w)) walk_wrong(&w, *w.at);
  } else {
    v = pack_items(&w, remora_list(), 0, true);
  }
  va_end(w.ap);
  if (walk_end(&w, err) != 0) v = remora_value_unref(v);
  return v;
}

/* -------------------------------------------------------------------------------------------------------------- unpack */

static void unpack_item(walk *w, const remora_value *v);

static const char *kind_name(const remora_value *v) {
  static const char *const names[] = {
      "null", "boolean", "integer", "large integer",     "float",         "text", "bytes",
      "list", "tuple",   "map",     "object over there", "object of ours"};
  return v ? names[remora_value_kind(v)] : "nothing";
}

static void unpack_wanted(walk *w, const char *wanted, const remora_value *v) {
  char text[80];
  (void)snprintf(text, sizeof text, "%s is wanted, this is ", wanted);
  walk_fault(w, REMORA_E_INVALID, text, kind_name(v));
}

/* After the item's letters: may it be null, and is it? Then its targets stay as they are. */
static bool unpack_absent(walk *w, const remora_value *v) {
  return walk_mark(w, '?') && (!v || remora_value_kind(v) == REMORA_NULL);
}

static bool is_sequence(const remora_value *v) {
  return v && (remora_value_kind(v) == REMORA_LIST || remora_value_kind(v) == REMORA_TUPLE);
}

static void unpack_map(walk *w, const remora_value *map) {
  char before[sizeof w->place];
  memcpy(before, w->place, sizeof before);
  if (map && remora_value_kind(map) != REMORA_MAP) unpack_wanted(w, "a map", map);
  while (!w->lost && walk_peek(w) != '}') {
    char letter = walk_next(w);
    if (letter != 's') {
      walk_wrong(w, letter);
      break;
    }
    const char *key = va_arg(w->ap, const char *);
    bool optional = walk_mark(w, '?');
    const remora_value *item = map && key ? remora_get(map, key) : NULL;
    (void)snprintf(w->place, sizeof w->place, "%.40s%skey \"%.24s\"", before, *before ? ", " : "", key ? key : "?");
    if (map && !item && !optional) walk_fault(w, REMORA_E_INVALID, "is missing", "");
    unpack_item(w, item);
    memcpy(w->place, before, sizeof before);
  }
  if (!w->lost) w->at++;
}

/* The elements; `word` is what the message calls one. */
static void unpack_items(walk *w, const remora_value *list, char close, const char *word) {
  char before[sizeof w->place];
  memcpy(before, w->place, sizeof before);
  size_t i = 0, n = remora_length(list);
  bool optional = false, rest = false;
  if (list && !is_sequence(list)) unpack_wanted(w, "a list", list);
  while (!w->lost && walk_peek(w) != close) {
    if (walk_mark(w, '|')) {
      optional = true;
    } else if (walk_mark(w, '*')) {
      rest = true;
    } else if (!close && w->at[0] == 'k' && w->at[1] == '{') {
      w->at += 2;
      const remora_value *keywords = list ? remora_keywords(list) : NULL;
      remora_value *none = keywords ? NULL : remora_map();
      if (!keywords && !none) walk_fault(w, REMORA_E_NOMEM, remora_code_text(REMORA_E_NOMEM), "");
      unpack_map(w, keywords ? keywords : none);
      (void)remora_value_unref(none);
    } else {
      (void)snprintf(w->place, sizeof w->place, "%.60s%s%.10s %zu", before, *before ? ", " : "", word, i + 1);
      if (list && i >= n && !optional) walk_fault(w, REMORA_E_INVALID, "is missing", "");
      unpack_item(w, i < n ? remora_at(list, i) : NULL);
      i++;
      memcpy(w->place, before, sizeof before);
    }
  }
  if (!w->lost && close) w->at++;
  if (i < n && !rest && is_sequence(list)) {
    char text[100];
    (void)snprintf(text, sizeof text, "%zu %ss are too many, %zu can be taken", n, word, i);
    walk_fault(w, REMORA_E_INVALID, text, "");
  }
}

static void unpack_integer(walk *w, char letter, const remora_value *v) {
  int *small = letter == 'I' ? NULL : va_arg(w->ap, int *);
  int64_t *wide = letter == 'I' ? va_arg(w->ap, int64_t *) : NULL;
  bool truth = letter == 'b';
  if (unpack_absent(w, v) || !v) return;
  if (remora_value_kind(v) != (truth ? REMORA_BOOL : REMORA_INT)) {
    unpack_wanted(w, truth ? "a boolean" : "an integer", v);
    return;
  }
  int64_t n = truth ? remora_as_bool(v) : remora_as_int(v);
  if (small && (n < INT_MIN || n > INT_MAX))
    walk_fault(w, REMORA_E_INVALID, "the integer does not fit into an int", "");
  if (!w->stores) return;
  if (wide) *wide = n;
  if (small) *small = (int)n;
}

static void unpack_float(walk *w, const remora_value *v) {
  double *target = va_arg(w->ap, double *);
  if (unpack_absent(w, v) || !v) return;
  if (remora_value_kind(v) != REMORA_FLOAT && remora_value_kind(v) != REMORA_INT) unpack_wanted(w, "a number", v);
  if (w->stores) *target = remora_as_float(v);
}

/* s, s%, y, D: bytes that stay in the value. */
static void unpack_bytes(walk *w, char letter, const remora_value *v) {
  bool sized = letter == 'y' || (letter == 's' && walk_mark(w, '%'));
  const char **target = va_arg(w->ap, const char **);
  size_t *size = sized ? va_arg(w->ap, size_t *) : NULL, length = 0;
  if (unpack_absent(w, v) || !v) return;
  remora_kind kind = letter == 'y' ? REMORA_BYTES : letter == 's' ? REMORA_TEXT : REMORA_BIGINT;
  const char *data = remora_value_kind(v) == kind ? remora_as_text(v, &length) : NULL;
  if (!data)
    unpack_wanted(w, letter == 'y' ? "bytes" : letter == 's' ? "text" : "a large integer", v);
  else if (!sized && strlen(data) != length)
    walk_fault(w, REMORA_E_INVALID, "the text holds a NUL", "");
  if (!w->stores) return;
  *target = data;
  if (size) *size = length;
}

static void unpack_pointer(walk *w, char letter, const remora_value *v) {
  void *target = va_arg(w->ap, void *);
  if (unpack_absent(w, v) || !v) return;
  void *found = letter == 'p'   ? (void *)remora_as_proxy(v)
                : letter == 'o' ? (void *)remora_as_object(v)
                                : (void *)(uintptr_t)v;
  if (!found) unpack_wanted(w, letter == 'p' ? "an object over there" : "an object of ours", v);
  if (!w->stores) return;
  if (letter == 'V') (void)remora_value_ref(found);
  memcpy(target, &found, sizeof found);
}

static void unpack_item(walk *w, const remora_value *v) {
  char letter = walk_next(w);
  switch (letter) {
  case 'n':
    if (v && remora_value_kind(v) != REMORA_NULL) unpack_wanted(w, "null", v);
    break;
  case 'b':
  case 'i':
  case 'I':
    unpack_integer(w, letter, v);
    break;
  case 'd':
    unpack_float(w, v);
    break;
  case 's':
  case 'y':
  case 'D':
    unpack_bytes(w, letter, v);
    break;
  case 'p':
  case 'o':
  case 'v':
  case 'V':
    unpack_pointer(w, letter, v);
    break;
  case '[':
    unpack_items(w, v, ']', "element");
    break;
  case '{':
    unpack_map(w, v);
    break;
  default:
    walk_wrong(w, letter);
  }
}

static void unpack_all(walk *w, const remora_value *value) {
  if (walk_mark(w, '=')) {
    unpack_item(w, value);
    if (!w->lost && walk_peek(w)) walk_wrong(w, *w->at);
  } else {
    unpack_items(w, value, 0, "argument");
  }
}

int remora_unpack(const remora_value *value, remora_error **err, const char *format, ...) {
  walk look = {.at = format}, store = {.at = format, .stores = true};
  va_start(look.ap, format);
  if (!value) walk_fault(&look, REMORA_E_INVALID, "there is no value", "");
  unpack_all(&look, value);
  va_end(look.ap);
  if (look.code) return walk_end(&look, err);
  va_start(store.ap, format);
  unpack_all(&store, value);
  va_end(store.ap);
  return 0;
}
