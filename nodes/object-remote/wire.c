/* wire.c: values as lines of Object::Remote, in both directions, and who owns what is referred to. What is written is ASCII, so it means the same in any coding. */
#include "peer.h"

#include "value.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------------- writing */

static int bytes_put(bytes *b, const void *data, size_t length) {
  if (b->end + length > b->room) {
    if (b->begin > 0) {
      memmove(b->data, b->data + b->begin, b->end - b->begin);
      b->end -= b->begin;
      b->begin = 0;
    }
    size_t room = (b->end + length) * 2 + 4096;
    uint8_t *bigger = b->end + length > b->room ? realloc(b->data, room) : b->data;
    if (!bigger) return -1;
    if (b->end + length > b->room) b->room = room;
    b->data = bigger;
  }
  memcpy(b->data + b->end, data, length);
  b->end += length;
  return 0;
}

int wire_put(const char *text, size_t length) { return bytes_put(&perl.out, text, length); }

int wire_format(const char *format, ...) {
  char text[256];
  va_list ap;
  va_start(ap, format);
  int n = vsnprintf(text, sizeof text, format, ap);
  va_end(ap);
  return n < 0 || n >= (int)sizeof text ? -1 : wire_put(text, (size_t)n);
}

static int wire_char(uint32_t c) {
  if (c == '"' || c == '\\') return wire_format("\\%c", (char)c);
  if (c >= ' ' && c < 127) return wire_put(&(char){(char)c}, 1);
  if (c < 0x10000) return wire_format("\\u%04x", c);
  c -= 0x10000;
  return wire_format("\\u%04x\\u%04x", 0xd800 + (c >> 10), 0xdc00 + (c & 0x3ff));
}

static size_t wire_plain(const char *text, size_t length) {
  size_t n = 0;
  while (n < length && text[n] >= ' ' && text[n] < 127 && text[n] != '"' && text[n] != '\\') n++;
  return n;
}

/* UTF-8, made sure of by who made the value. */
int wire_string(const char *text, size_t length) {
  int rc = wire_put("\"", 1);
  for (size_t i = 0; rc == 0 && i < length;) {
    size_t n = wire_plain(text + i, length - i);
    if (n > 0) {
      rc = wire_put(text + i, n);
      i += n;
      continue;
    }
    uint32_t c = (uint8_t)text[i++];
    int more = c < 0xc0 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    if (more) c &= 0x3fu >> more;
    while (more-- > 0 && i < length) c = c << 6 | ((uint8_t)text[i++] & 0x3f);
    rc = wire_char(c);
  }
  return rc ? rc : wire_put("\"", 1);
}

/* Every byte is a character of Perl's. */
static int wire_bytes(const char *data, size_t length) {
  int rc = wire_put("\"", 1);
  for (size_t i = 0; rc == 0 && i < length;) {
    size_t n = wire_plain(data + i, length - i);
    rc = n > 0 ? wire_put(data + i, n) : wire_char((uint8_t)data[i]);
    i += n > 0 ? n : 1;
  }
  return rc ? rc : wire_put("\"", 1);
}

static const struct {
  const char *name;
  thing_kind kind;
} tags[] = {{"__remote_object__", THING_OBJECT},
            {"__remote_code__", THING_CODE},
            {"__glob_ref__", THING_FILE},
            {"__remote_tied_hash__", THING_HASH},
            {"__remote_tied_array__", THING_ARRAY},
            {"__local_object__", 0},
            {"__scalar_ref__", 0}};
#define TAG_LOCAL 5
#define TAG_SCALAR 6
#define TAGS 7

static size_t tag_find(const char *name) {
  size_t i = 0;
  while (i < TAGS && (!name || strcmp(tags[i].name, name) != 0)) i++;
  return i;
}

static bool has_word(const char *words, const char *word) {
  size_t n = strlen(word);
  for (const char *p = words; p && (p = strstr(p, word)) != NULL; p += n)
    if ((p == words || p[-1] == ' ') && (p[n] == ' ' || !p[n])) return true;
  return false;
}

/* A number for something of the near side. Where Perl gives back what it got, every sending has a number of its own: what is given back is never what is
 * just being sent. *new* row in perl.lent. */
static lent_row *lent_new(remora_proxy *proxy, remora_object *bounce) {
  lent_row *row = proxy && !perl.helped ? idmap_get(&perl.shared, (uintptr_t)proxy) : NULL;
  if (row) return row;
  row = calloc(1, sizeof *row);
  if (!row) return NULL;
  row->id = ++perl.last_id;
  row->proxy = remora_proxy_ref(proxy);
  row->bounce = remora_object_ref(bounce);
  row->code = bounce ? true : has_word(remora_proxy_traits(proxy), "call");
  if (idmap_put(&perl.lent, row->id, row) == 0 &&
      (perl.helped || !proxy || idmap_put(&perl.shared, (uintptr_t)proxy, row) == 0))
    return row;
  lent_drop(row->id);
  return NULL;
}

void lent_drop(uint64_t id) {
  lent_row *row = idmap_remove(&perl.lent, id);
  if (!row) return;
  if (row->proxy && idmap_get(&perl.shared, (uintptr_t)row->proxy) == row)
    (void)idmap_remove(&perl.shared, (uintptr_t)row->proxy);
  (void)remora_proxy_unref(row->proxy);
  (void)remora_object_unref(row->bounce);
  free(row);
}

void lent_forget(uint64_t since) {
  for (uint64_t id = since + 1; id <= perl.last_id; id++) lent_drop(id);
}

/* Something of Perl's goes home. Its code would arrive as the object that Object::Remote keeps it in; so Perl gets a function of ours, which calls it. */
static int wire_home(remora_object *o, remora_error **err) {
  const thing *t = remora_object_userdata(o);
  if (t->kind == THING_CLASS) return wire_string(t->class, strlen(t->class));
  if (t->kind >= THING_CLASS && t->kind != THING_METHOD)
    return error_set(err, REMORA_E_VALUE, "an iterator of this connection cannot be passed");
  if (t->kind == THING_OBJECT) return wire_format("{\"__local_object__\":%" PRId64 "}", t->id);
  const lent_row *row = lent_new(NULL, o);
  if (!row) return -1;
  return wire_format("{\"%s\":%" PRIu64 "}", t->kind == THING_METHOD ? "__remote_code__" : tags[t->kind].name, row->id);
}

static int wire_map(const remora_value *v, unsigned depth, remora_error **err) {
  const remora_value *only = remora_length(v) == 1 ? remora_key_at(v, 0) : NULL;
  if (only && remora_value_kind(only) == REMORA_TEXT && tag_find(remora_as_text(only, NULL)) < TAGS)
    return error_set(err, REMORA_E_VALUE,
                     "a map whose one key is \"%s\" would be taken for something else by Object::Remote",
                     remora_as_text(only, NULL));
  int rc = wire_put("{", 1);
  for (size_t i = 0; rc == 0 && i < remora_length(v); i++) {
    const remora_value *key = remora_key_at(v, i);
    size_t length;
    const char *text = remora_as_text(key, &length);
    if (remora_value_kind(key) != REMORA_TEXT || value_utf8(text, length) != 1)
      return error_set(err, REMORA_E_VALUE, "Perl's hashes have text as keys");
    if (i) rc = wire_put(",", 1);
    if (rc == 0) rc = wire_string(text, length);
    if (rc == 0) rc = wire_put(":", 1);
    if (rc == 0) rc = wire_value(remora_at(v, i), depth + 1, err);
  }
  return rc ? rc : wire_put("}", 1);
}

int wire_value(const remora_value *v, unsigned depth, remora_error **err) {
  size_t length;
  const char *text = remora_as_text(v, &length);
  int rc;
  if (depth > VALUE_MAX_DEPTH) return error_set(err, REMORA_E_VALUE, "nested deeper than %d", VALUE_MAX_DEPTH);
  switch (v ? remora_value_kind(v) : REMORA_NULL) {
  case REMORA_NULL:
    return wire_put("null", 4);
  case REMORA_BOOL:
    return remora_as_bool(v) ? wire_put("1", 1) : wire_put("\"\"", 2);
  case REMORA_INT:
    return wire_format("%" PRId64, remora_as_int(v));
  case REMORA_BIGINT:
    return wire_string(text, length);
  case REMORA_FLOAT:
    if (!isfinite(remora_as_float(v)))
      return error_set(err, REMORA_E_VALUE, "Object::Remote's JSON has no NaN and no infinity");
    return wire_format("%.17g", remora_as_float(v));
  case REMORA_TEXT:
    if (value_utf8(text, length) != 1)
      return error_set(err, REMORA_E_VALUE, "text with a lone surrogate cannot cross to Object::Remote");
    return wire_string(text, length);
  case REMORA_BYTES:
    return wire_bytes(text, length);
  case REMORA_LIST:
  case REMORA_TUPLE:
    rc = wire_put("[", 1);
    for (size_t i = 0; rc == 0 && i < remora_length(v); i++) {
      if (i) rc = wire_put(",", 1);
      if (rc == 0) rc = wire_value(remora_at(v, i), depth + 1, err);
    }
    return rc ? rc : wire_put("]", 1);
  case REMORA_MAP:
    return wire_map(v, depth, err);
  case REMORA_OBJECT:
    return wire_home(remora_as_object(v), err);
  case REMORA_PROXY:
    break;
  }
  const lent_row *row = lent_new(remora_as_proxy(v), NULL);
  return row ? wire_format("{\"%s\":%" PRIu64 "}", row->code ? "__remote_code__" : "__remote_object__", row->id) : -1;
}

/* ------------------------------------------------------------------------------------------------------- Perl's objects */

static const remora_class thing_classes[] = {
    [THING_OBJECT] = {sizeof(remora_class), "perl object", "", NULL},
    [THING_CODE] = {sizeof(remora_class), "perl code", "call", NULL},
    [THING_FILE] = {sizeof(remora_class), "perl file", "iter next", NULL},
    [THING_HASH] = {sizeof(remora_class), "perl hash", "iter item setitem delitem contains", NULL},
    [THING_ARRAY] = {sizeof(remora_class), "perl array", "iter len item setitem", NULL},
    [THING_CLASS] = {sizeof(remora_class), "perl class", "call", NULL},
    [THING_METHOD] = {sizeof(remora_class), "perl method", "call", NULL},
    [THING_KEYS] = {sizeof(remora_class), "perl iterator", "iter next", NULL},
    [THING_ITEMS] = {sizeof(remora_class), "perl iterator", "iter next", NULL},
};

static uint64_t thing_key(const thing *t) { return (uint64_t)t->id << 3 | t->kind; }

/* Neither side uses it any more. Without the helper Perl forgets it however often it was sent, also what is on its way: so it is told when nothing is. */
static void thing_gone(void *userdata) {
  thing *t = userdata;
  if (t->id) {
    if (idmap_get(&perl.things, thing_key(t)) == t) (void)idmap_remove(&perl.things, thing_key(t));
    if (perl.helped)
      (void)wire_format("[\"free\",%" PRId64 ",%" PRId64 "]\n", t->id, t->count);
    else
      (void)bytes_put(&perl.freed, &t->id, sizeof t->id);
  }
  free(t->class);
  free(t->method);
  (void)remora_object_unref(t->over);
  (void)remora_value_unref(t->last);
  free(t);
}

void wire_frees(void) {
  if (perl.waiting.used > 0) return;
  for (; perl.freed.begin < perl.freed.end; perl.freed.begin += sizeof(int64_t)) {
    int64_t id;
    memcpy(&id, perl.freed.data + perl.freed.begin, sizeof id);
    bool again = false; /* it has come once more */
    for (int kind = THING_OBJECT; kind <= THING_ARRAY; kind++)
      again = again || idmap_get(&perl.things, (uint64_t)id << 3 | (unsigned)kind);
    if (!again) (void)wire_format("[\"free\",%" PRId64 "]\n", id);
  }
  perl.freed.begin = perl.freed.end = 0;
}

static remora_value *thing_lend(thing *t, remora_error **err) {
  remora_object *o = t ? remora_export(NULL, &thing_classes[t->kind], t, thing_gone) : NULL;
  remora_value *v = o ? remora_value_of_object(o) : NULL;
  if (!o && t) thing_gone(t);
  (void)remora_object_unref(o);
  if (!v) (void)error_set(err, REMORA_E_NOMEM, NULL);
  return v;
}

remora_value *thing_value(thing *t) { return thing_lend(t, NULL); }

thing *thing_of(const remora_value *v) {
  remora_object *o = v ? remora_as_object(v) : NULL;
  return o ? remora_object_userdata(o) : NULL;
}

/* ------------------------------------------------------------------------------------------------------------- reading */

static remora_value *take(const remora_value *v, remora_error **err);

static remora_value *take_thing(thing_kind kind, const remora_value *number, remora_error **err) {
  int64_t id = remora_as_int(number);
  if (remora_value_kind(number) == REMORA_TEXT && strcmp(remora_as_text(number, NULL), "NULL") == 0)
    return remora_null();
  if (remora_value_kind(number) != REMORA_INT || id <= 0 || id >> 60)
    return error_set(err, REMORA_E_VALUE, "a reference of Perl's that is none"), NULL;
  thing *t = idmap_get(&perl.things, (uint64_t)id << 3 | kind);
  remora_object *o = t ? remora_export_find(NULL, &thing_classes[kind], t) : NULL;
  if (o) {
    t->count++;
    remora_value *v = remora_value_of_object(o);
    (void)remora_object_unref(o);
    return v;
  }
  if (!(t = calloc(1, sizeof *t))) return error_set(err, REMORA_E_NOMEM, NULL), NULL;
  t->kind = kind;
  t->id = id;
  t->count = 1;
  if (idmap_put(&perl.things, thing_key(t), t) != 0) return free(t), error_set(err, REMORA_E_NOMEM, NULL), NULL;
  return thing_lend(t, err);
}

/* One of ours comes home. */
static remora_value *take_local(const remora_value *number) {
  const lent_row *row = remora_value_kind(number) == REMORA_INT && remora_as_int(number) > 0
                            ? idmap_get(&perl.lent, (uint64_t)remora_as_int(number))
                            : NULL;
  if (!row) return remora_null();
  return row->proxy ? remora_value_of_proxy(row->proxy) : remora_value_of_object(row->bounce);
}

static remora_value *take_ref(const remora_value *v) { return remora_value_ref((remora_value *)(uintptr_t)v); }

static remora_value *take_map(const remora_value *v, remora_error **err) {
  const remora_value *only = remora_at(v, 0);
  size_t tag = remora_length(v) == 1 ? tag_find(remora_as_text(remora_key_at(v, 0), NULL)) : TAGS;
  if (tag < TAG_LOCAL) return take_thing(tags[tag].kind, only, err);
  if (tag == TAG_LOCAL) return take_local(only);
  if (tag == TAG_SCALAR) return take(only, err);
  remora_value *map = remora_map();
  for (size_t i = 0; map && i < remora_length(v); i++) {
    remora_value *item = take(remora_at(v, i), err);
    if (!item || remora_put(map, take_ref(remora_key_at(v, i)), item) != 0) return remora_value_unref(map);
  }
  return map;
}

static remora_value *take(const remora_value *v, remora_error **err) {
  if (remora_value_kind(v) == REMORA_MAP) return take_map(v, err);
  return remora_value_kind(v) == REMORA_LIST ? wire_take(v, 0, err) : take_ref(v);
}

remora_value *wire_take(const remora_value *line, size_t from, remora_error **err) {
  remora_value *list = remora_list();
  for (size_t i = from; list && i < remora_length(line); i++) {
    remora_value *item = take(remora_at(line, i), err);
    if (!item || remora_append(list, item) != 0) list = remora_value_unref(list);
  }
  if (!list && err && !*err) (void)error_set(err, REMORA_E_NOMEM, NULL);
  return list;
}

/* Without the helper Perl writes a line as Latin-1 if that is enough, and as UTF-8 if one character is beyond it. */
static char *wire_from_latin1(const char *line, size_t length, size_t *made) {
  bool wide = false;
  if (value_utf8(line, length) == 1)
    for (size_t i = 0; i < length && !wide; i++) wide = (uint8_t)line[i] > 0xc3;
  char *text = malloc(length * 2 + 1);
  if (!text) return NULL;
  *made = 0;
  for (size_t i = 0; i < length; i++) {
    uint8_t c = (uint8_t)line[i];
    if (c >= 0x80 && !wide) text[(*made)++] = (char)(0xc0 | c >> 6);
    text[(*made)++] = (char)(c >= 0x80 && !wide ? 0x80 | (c & 0x3f) : c);
  }
  return text;
}

remora_value *wire_parse(const char *line, size_t length, remora_error **err) {
  char *text = NULL;
  if (!perl.helped && !(text = wire_from_latin1(line, length, &length)))
    return error_set(err, REMORA_E_NOMEM, NULL), NULL;
  const codec_in in = {.body = text ? text : line, .length = length, .plain = true};
  remora_value *v = codec_json.decode(&in, err);
  free(text);
  return v;
}
