/* codec_json.c: JSON text written straight from values, with no tree in between; reading is in codec_json_read.c. */
#include "codec_json.h"
#include "error.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define JSON_PATH_PARTS 8   /* how much of a place an error tells */
#define JSON_NUMBER_ROOM 40 /* enough for any number */

const double codec_json_power10[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static locale_t json_locale;

static void json_make_locale(void) { json_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

locale_t codec_json_locale(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, json_make_locale);
  return json_locale;
}

/* Whether text that is known to be UTF-8 holds lone surrogates: ED A0..BF xx. */
static bool json_has_surrogates(const char *text, size_t length) {
  const char *end = text + length;
  while ((text = memchr(text, 0xed, (size_t)(end - text)))) {
    if ((unsigned char)text[1] >= 0xa0) return true;
    text++;
  }
  return false;
}

/* Where the encoder is: a chain through its stack, read only when something is wrong. */
struct json_place {
  const struct json_place *up;
  const remora_value *container;
  size_t index; /* of the item; the keywords stand behind the last */
};

struct json_out {
  codec_out *out;
  remora_error **err;
  bool tagged;
};

static int json_write(struct json_out *w, const remora_value *v, const struct json_place *up, int depth);

static int json_no_memory(struct json_out *w) { return error_set(w->err, REMORA_E_NOMEM, NULL); }

/* Room for n more bytes at the end of the body, or NULL. */
static char *json_reserve(struct json_out *w, size_t n) {
  codec_out *out = w->out;
  if (out->room - out->length >= n) return out->body + out->length;
  size_t room = out->room < 128 ? 256 : out->room * 2;
  if (n > SIZE_MAX / 4 || out->length > SIZE_MAX / 4)
    room = 0;
  else if (room < out->length + n)
    room = out->length + n;
  bool is_inline = out->body == out->inline_buffer;
  char *body = room ? realloc(is_inline ? NULL : out->body, room) : NULL;
  if (!body) {
    json_no_memory(w);
    return NULL;
  }
  if (is_inline && out->length) memcpy(body, out->body, out->length);
  out->body = body;
  out->room = room;
  return body + out->length;
}

static int json_put(struct json_out *w, const char *text, size_t length) {
  char *to = json_reserve(w, length);
  if (!to) return -1;
  memcpy(to, text, length);
  w->out->length += length;
  return 0;
}

#define json_put_literal(w, literal) json_put((w), (literal), sizeof(literal) - 1)

static int json_put_byte(struct json_out *w, char byte) {
  char *to = json_reserve(w, 1);
  if (!to) return -1;
  *to = byte;
  w->out->length++;
  return 0;
}

/* Appends one part of a place ("element 3") to text, which always stays terminated. */
__attribute__((format(printf, 3, 4))) static void json_say(char *text, size_t size, const char *format, ...) {
  size_t length = strlen(text);
  va_list args;
  va_start(args, format);
  vsnprintf(text + length, size - length, format, args);
  va_end(args);
}

/* Fails with REMORA_E_VALUE and says where: 'argument 2, key "a", element 3: ...'. Counted from 1. */
static int json_refuse(struct json_out *w, const struct json_place *place, const char *reason) {
  const struct json_place *places[VALUE_MAX_DEPTH + 2];
  size_t n = 0, said = 0;
  for (; place; place = place->up) places[n++] = place;
  char text[768] = "";
  for (size_t i = n; i-- > 0 && said < JSON_PATH_PARTS;) {
    const remora_value *in = places[i]->container;
    const size_t index = places[i]->index;
    bool root = i == n - 1;
    if (in->kind != REMORA_MAP) {
      if (index == in->u.seq.count) continue; /* the key that follows is called a keyword */
      json_say(text, sizeof text, "%s%s %zu", said++ ? ", " : "", root && w->out->arguments ? "argument" : "element",
               index + 1);
      continue;
    }
    const remora_value *key = in->u.seq.items[index - index % 2];
    bool keyword = !root && remora_keywords(places[i + 1]->container) == in;
    if (index % 2 && key->kind == REMORA_TEXT) {
      size_t length = key->u.bytes.length < 40 ? key->u.bytes.length : 40;
      while (length < key->u.bytes.length && (key->u.bytes.data[length] & 0xc0) == 0x80)
        length--; /* no half characters */
      json_say(text, sizeof text, "%s%s \"%.*s%s\"", said++ ? ", " : "", keyword ? "keyword" : "key", (int)length,
               key->u.bytes.data, length < key->u.bytes.length ? "..." : "");
    } else {
      json_say(text, sizeof text, "%s%s %zu", said++ ? ", " : "", index % 2 ? "value of pair" : "key of pair",
               index / 2 + 1);
    }
  }
  return error_set(w->err, REMORA_E_VALUE, "%s%s%s%s", text, n > JSON_PATH_PARTS ? ", ..." : "", said ? ": " : "",
                   reason);
}

/* The digits of a number, right-aligned in front of `end`; where they begin. */
static char *json_digits(char *end, uint64_t number) {
  static const char pairs[] =
      "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
      "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
  for (; number >= 100; number /= 100) memcpy(end -= 2, pairs + number % 100 * 2, 2);
  if (number >= 10)
    memcpy(end -= 2, pairs + number * 2, 2);
  else
    *--end = (char)('0' + number);
  return end;
}

static size_t json_format_int(char *to, int64_t number) {
  char digits[24], *end = digits + sizeof digits;
  char *at = json_digits(end, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
  if (number < 0) *--at = '-';
  memcpy(to, at, (size_t)(end - at));
  return (size_t)(end - at);
}

/* number / 10^places with exactly that many digits behind the point. */
static size_t json_format_decimal(char *to, uint64_t number, int places, bool minus) {
  char digits[JSON_NUMBER_ROOM], *end = digits + sizeof digits;
  char *at = json_digits(end, number);
  while (end - at <= places) *--at = '0';
  size_t whole = (size_t)(end - at - places), n = 0;
  if (minus) to[n++] = '-';
  memcpy(to + n, at, whole);
  n += whole;
  to[n++] = '.';
  memcpy(to + n, at + whole, (size_t)places);
  return n + (size_t)places;
}

/* The shortest text that reads back as the same finite double, always with a point or an exponent. */
static size_t json_format_real(char *to, double real) {
  double size = fabs(real);
  bool minus = signbit(real);
  int precision = size < DBL_MIN ? 1 : 15; /* all decimals of 15 digits are told apart, except by the smallest */
  if (size < JSON_TWO53 && size == (double)(uint64_t)size)
    return json_format_decimal(to, (uint64_t)size * 10, 1, minus);
  if (JSON_EXACT && size >= 1e-5 && size < 1e15) {
    /* Few decimals, the usual case: an integer that yields this very double when divided by a power of ten. */
    for (int places = 1; places <= 22; places++) {
      double scaled = size * codec_json_power10[places];
      if (scaled >= JSON_TWO53) break;
      uint64_t number = (uint64_t)(scaled + 0.5);
      if ((double)number / codec_json_power10[places] == size) return json_format_decimal(to, number, places, minus);
    }
    precision = 16; /* all of fewer digits were tried */
  }
  locale_t before = uselocale(codec_json_locale());
  int n;
  do n = snprintf(to, JSON_NUMBER_ROOM, "%.*g", precision, real);
  while (precision++ < 17 && strtod(to, NULL) != real);
  uselocale(before);
  if (!strpbrk(to, ".e")) n += snprintf(to + n, JSON_NUMBER_ROOM - (size_t)n, ".0");
  return (size_t)n;
}

/* 0, -1, or 1 with nothing written when there are lone surrogates. */
static int json_put_string(struct json_out *w, const char *text, size_t length) {
  codec_out *out = w->out;
  const char *end = text + length, *at = text;
  size_t start = out->length;
  bool foreign = false;
  if (length > SIZE_MAX / 4) return json_no_memory(w);
  char *to = json_reserve(w, length + 2);
  if (!to) return -1;
  *to++ = '"';
  for (;;) {
    const char *stop = json_run(at, end, &foreign);
    memcpy(to, at, (size_t)(stop - at));
    to += stop - at;
    if (stop == end) break;
    out->length = (size_t)(to - out->body);
    if (!(to = json_reserve(w, (size_t)(end - stop) + 6))) {
      out->length = start;
      return -1;
    }
    static const char hex[] = "0123456789abcdef", letters[] = "btn?fr"; /* from 0x08 on; 0x0b has none */
    unsigned char c = (unsigned char)*stop;
    *to++ = '\\';
    if (c >= ' ') {
      *to++ = *stop;
    } else if (c >= 8 && c <= 13 && c != 11) {
      *to++ = letters[c - 8];
    } else {
      memcpy(to, "u00", 3);
      to[3] = hex[c >> 4];
      to[4] = hex[c & 15];
      to += 5;
    }
    at = stop + 1;
  }
  if (foreign && json_has_surrogates(text, length)) {
    out->length = start;
    return 1;
  }
  *to++ = '"';
  out->length = (size_t)(to - out->body);
  return 0;
}

/* {"~x":number} */
static int json_put_tag(struct json_out *w, char tag, size_t number) {
  char text[JSON_NUMBER_ROOM] = "{\"~x\":";
  text[3] = tag;
  size_t n = 6 + json_format_int(text + 6, (int64_t)number);
  text[n++] = '}';
  w->tagged = true;
  return json_put(w, text, n);
}

/* Room for one more row of `size` bytes in a table. */
static bool json_more_rows(struct json_out *w, void *rows, size_t *room, size_t count, size_t size) {
  if (count < *room) return true;
  void *old, *more;
  memcpy(&old, rows, sizeof old);
  size_t next = *room ? *room * 2 : 8;
  more = next <= SIZE_MAX / 2 / size ? realloc(old, next * size) : NULL;
  if (!more) {
    json_no_memory(w);
    return false;
  }
  memcpy(rows, &more, sizeof more);
  *room = next;
  return true;
}

static int json_attach(struct json_out *w, const remora_value *v, char tag) {
  codec_out *out = w->out;
  if (!json_more_rows(w, &out->raws, &out->raws_room, out->nraws, sizeof *out->raws)) return -1;
  out->raws[out->nraws++].value = remora_value_ref((remora_value *)v);
  return json_put_tag(w, tag, out->nraws - 1);
}

static int json_refer(struct json_out *w, const remora_value *v) {
  codec_out *out = w->out;
  if (!json_more_rows(w, &out->refs, &out->refs_room, out->nrefs, sizeof *out->refs)) return -1;
  out->refs[out->nrefs++] = remora_value_ref((remora_value *)v);
  return json_put_tag(w, 'r', out->nrefs - 1);
}

static int json_write_real(struct json_out *w, double real) {
  if (!isfinite(real)) {
    w->tagged = true;
    return isnan(real) ? json_put_literal(w, "{\"~f\":\"nan\"}")
           : real > 0  ? json_put_literal(w, "{\"~f\":\"inf\"}")
                       : json_put_literal(w, "{\"~f\":\"-inf\"}");
  }
  char *to = json_reserve(w, JSON_NUMBER_ROOM);
  if (!to) return -1;
  w->out->length += json_format_real(to, real);
  return 0;
}

static int json_write_text(struct json_out *w, const remora_value *v) {
  int result = 1;
  if (v->u.bytes.length < CODEC_LONG_TEXT) result = json_put_string(w, v->u.bytes.data, v->u.bytes.length);
  return result == 1 ? json_attach(w, v, 's') : result;
}

static int json_write_items(struct json_out *w, const remora_value *v, struct json_place *place, int depth) {
  size_t count = v->u.seq.count;
  if (json_put_byte(w, '[')) return -1;
  for (size_t i = 0; i < count; i++) {
    place->index = i;
    if ((i && json_put_byte(w, ',')) || json_write(w, v->u.seq.items[i], place, depth)) return -1;
  }
  place->index = count;
  if (v->u.seq.keywords && ((count && json_put_byte(w, ',')) || json_write(w, v->u.seq.keywords, place, depth)))
    return -1;
  return json_put_byte(w, ']');
}

/* Whether a map can go as a JSON object that is no tag. */
static bool json_is_object(const remora_value *map) {
  size_t count = map->u.seq.count;
  for (size_t i = 0; i < count; i += 2) {
    const remora_value *key = map->u.seq.items[i];
    if (key->kind != REMORA_TEXT || key->u.bytes.length >= CODEC_LONG_TEXT ||
        json_has_surrogates(key->u.bytes.data, key->u.bytes.length))
      return false;
  }
  return count != 2 || map->u.seq.items[0]->u.bytes.data[0] != '~';
}

static int json_write_map(struct json_out *w, const remora_value *v, struct json_place *place, int depth) {
  size_t count = v->u.seq.count;
  remora_value *const *items = v->u.seq.items;
  if (value_has_equal_keys(v)) return json_refuse(w, place->up, "two equal keys in a map");
  if (json_is_object(v)) {
    for (size_t i = 0; i < count; i += 2) {
      place->index = i + 1;
      if (json_put_byte(w, i ? ',' : '{') || json_put_string(w, items[i]->u.bytes.data, items[i]->u.bytes.length) ||
          json_put_byte(w, ':') || json_write(w, items[i + 1], place, depth))
        return -1;
    }
    return count ? json_put_byte(w, '}') : json_put_literal(w, "{}");
  }
  w->tagged = true;
  if (json_put_literal(w, "{\"~m\":[")) return -1;
  for (size_t i = 0; i < count; i += 2) {
    place->index = i;
    if ((i && json_put_byte(w, ',')) || json_put_byte(w, '[') || json_write(w, items[i], place, depth)) return -1;
    place->index = i + 1;
    if (json_put_byte(w, ',') || json_write(w, items[i + 1], place, depth) || json_put_byte(w, ']')) return -1;
  }
  return json_put_literal(w, "]}");
}

static int json_write_container(struct json_out *w, const remora_value *v, const struct json_place *up, int depth) {
  struct json_place place = {.up = up, .container = v};
  if (depth == VALUE_MAX_DEPTH) return json_refuse(w, up, "nested deeper than 128");
  if (v->kind == REMORA_MAP) return json_write_map(w, v, &place, depth + 1);
  if (v->kind == REMORA_LIST) return json_write_items(w, v, &place, depth + 1);
  w->tagged = true;
  return json_put_literal(w, "{\"~t\":") || json_write_items(w, v, &place, depth + 1) || json_put_byte(w, '}') ? -1 : 0;
}

static int json_write(struct json_out *w, const remora_value *v, const struct json_place *up, int depth) {
  char *to;
  switch (remora_value_kind(v)) {
  case REMORA_NULL:
    return json_put_literal(w, "null");
  case REMORA_BOOL:
    return v->u.truth ? json_put_literal(w, "true") : json_put_literal(w, "false");
  case REMORA_INT:
    if (!(to = json_reserve(w, JSON_NUMBER_ROOM))) return -1;
    w->out->length += json_format_int(to, v->u.integer);
    return 0;
  case REMORA_BIGINT:
    w->tagged = true;
    return json_put_literal(w, "{\"~i\":\"") || json_put(w, v->u.bytes.data, v->u.bytes.length) ||
                   json_put_literal(w, "\"}")
               ? -1
               : 0;
  case REMORA_FLOAT:
    return json_write_real(w, v->u.real);
  case REMORA_TEXT:
    return json_write_text(w, v);
  case REMORA_BYTES:
    return json_attach(w, v, 'b');
  case REMORA_LIST:
  case REMORA_TUPLE:
  case REMORA_MAP:
    return json_write_container(w, v, up, depth);
  case REMORA_PROXY:
  case REMORA_OBJECT:
    return json_refer(w, v);
  }
  return json_refuse(w, up, "no value");
}

static void json_take_back(codec_out *out, size_t length, size_t nrefs, size_t nraws) {
  out->length = length;
  while (out->nrefs > nrefs) remora_value_unref(out->refs[--out->nrefs]);
  while (out->nraws > nraws) remora_value_unref(out->raws[--out->nraws].value);
}

static int json_encode(const remora_value *v, codec_out *out, remora_error **err) {
  struct json_out w = {.out = out, .err = err};
  size_t length = out->length, nrefs = out->nrefs, nraws = out->nraws;
  if (!out->body) out->body = out->inline_buffer;
  if (json_write(&w, v, NULL, 0)) {
    json_take_back(out, length, nrefs, nraws);
    return -1;
  }
  out->plain = !w.tagged;
  return 0;
}

void codec_out_clear(codec_out *out) {
  json_take_back(out, 0, 0, 0);
  if (out->body != out->inline_buffer) free(out->body);
  free(out->refs);
  free(out->raws);
  *out = (codec_out){.body = NULL};
}

const codec codec_json = {.name = "json", .encode = json_encode, .decode = codec_json_decode};
