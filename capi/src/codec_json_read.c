/* codec_json_read.c: JSON text read straight into values, a container in one piece when its end is seen.
 *
 * jansson is the oracle of the tests and not the parser: for 100,000 records {"id": 5, "name": "item 5", "tags": ["a",
 * "b", "c"], "score": 1.5} its tree, the conversion and freeing the tree took 0.39 s, this takes 0.06 s. */
#include "codec_json.h"
#include "error.h"

#include <math.h>
#include <stdlib.h>

#define JSON_MAX_LEVEL (3 * VALUE_MAX_DEPTH + 1) /* brackets inside one another: a map sent as ~m takes three */
#define JSON_KEY_SLOTS 64                        /* keys remembered while decoding; a bit each in keys_used */
#define JSON_KEY_LONGEST 32                      /* longer ones are not remembered */

static const char json_memory_is_out[] = "out of memory";

struct json_in {
  const codec_in *in;
  const char *at, *end;
  const char *fault;
  int height; /* containers inside one another in the value read last */
  /* Values whose container is still open; it is made in one piece when its end is seen. */
  remora_value **stack;
  size_t count, room;
  char *scratch; /* strings with escapes, long numbers */
  size_t scratch_room;
  uint64_t keys_used;                 /* which of `keys` are set */
  remora_value *keys[JSON_KEY_SLOTS]; /* records repeat their keys, so those seen are shared */
  remora_value *first[32];            /* the stack until it is too small */
};

static remora_value *json_read(struct json_in *r, int level);

static void *json_bad(struct json_in *r, const char *fault) {
  r->fault = fault;
  return NULL;
}

static remora_value *json_made(struct json_in *r, remora_value *v) { return v ? v : json_bad(r, json_memory_is_out); }

static void json_skip(struct json_in *r) {
  while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t')) r->at++;
}

/* Takes the next byte that is not blank; 0 at the end, which is no byte that JSON has here. */
static char json_next(struct json_in *r) {
  json_skip(r);
  return r->at < r->end ? *r->at++ : '\0';
}

/* Takes over v, also when it fails. */
static bool json_push(struct json_in *r, remora_value *v) {
  if (r->count == r->room) {
    bool is_first = r->stack == r->first;
    remora_value **stack = realloc(is_first ? NULL : r->stack, r->room * 2 * sizeof(*stack));
    if (!stack) {
      remora_value_unref(v);
      return json_bad(r, json_memory_is_out);
    }
    if (is_first) memcpy(stack, r->first, sizeof r->first);
    r->stack = stack;
    r->room *= 2;
  }
  r->stack[r->count++] = v;
  return true;
}

/* The container of everything on the stack above `base`. */
static remora_value *json_pop(struct json_in *r, remora_kind kind, size_t base) {
  remora_value *v = json_made(r, value_sequence(kind, r->stack + base, r->count - base));
  if (v) r->count = base;
  return v;
}

static bool json_scratch(struct json_in *r, size_t need) {
  if (need <= r->scratch_room) return true;
  size_t room = need < 128 ? 256 : need * 2;
  char *scratch = realloc(r->scratch, room);
  if (!scratch) return json_bad(r, json_memory_is_out);
  r->scratch = scratch;
  r->scratch_room = room;
  return true;
}

/* Four hexadecimal digits, or -1. */
static int json_hex4(struct json_in *r) {
  int code = 0;
  if (r->end - r->at < 4) return -1;
  for (int i = 0; i < 4; i++) {
    char c = *r->at++;
    int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    if (digit < 0) return -1;
    code = code * 16 + digit;
  }
  return code;
}

/* What follows \u, as UTF-8 at `to`: how many bytes, 0 if it is no character. */
static size_t json_unescape(struct json_in *r, char *to) {
  int code = json_hex4(r);
  if (code >= 0xd800 && code <= 0xdbff) {
    if (r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u') return 0;
    r->at += 2;
    int low = json_hex4(r);
    if (low < 0xdc00 || low > 0xdfff) return 0;
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  if (code < 0 || (code >= 0xdc00 && code <= 0xdfff)) return 0;
  if (code < 0x80) {
    to[0] = (char)code;
    return 1;
  }
  size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  for (size_t i = n - 1; i > 0; i--, code >>= 6) to[i] = (char)(0x80 | (code & 0x3f));
  to[0] = (char)((0xf0 << (4 - n)) | code);
  return n;
}

/* A string with escapes; r->at is behind its opening quote. */
static remora_value *json_read_escaped(struct json_in *r) {
  size_t length = 0;
  for (;;) {
    bool foreign = false;
    const char *stop = json_run(r->at, r->end, &foreign);
    size_t n = (size_t)(stop - r->at);
    if (foreign && value_utf8(r->at, n) != 1) return json_bad(r, "text is not UTF-8");
    if (!json_scratch(r, length + n + 4)) return NULL;
    memcpy(r->scratch + length, r->at, n);
    length += n;
    r->at = stop;
    if (r->end - r->at < 2 && (r->at == r->end || *r->at != '"')) return json_bad(r, "text without end");
    char c = *r->at++;
    if (c == '"') return json_made(r, value_text_trusted(r->scratch, length));
    if (c != '\\') return json_bad(r, "control character in text");
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    c = *r->at++;
    const char *name = c ? strchr(names, c) : NULL;
    if (name) {
      r->scratch[length++] = meanings[name - names];
    } else {
      n = c == 'u' ? json_unescape(r, r->scratch + length) : 0;
      if (!n) return json_bad(r, "bad escape in text");
      length += n;
    }
  }
}

/* A string; r->at is at its opening quote. */
static remora_value *json_read_text(struct json_in *r) {
  const char *start = ++r->at;
  bool foreign = false;
  const char *stop = json_run(start, r->end, &foreign);
  if (stop == r->end || *stop != '"') return json_read_escaped(r);
  if (foreign && value_utf8(start, (size_t)(stop - start)) != 1) return json_bad(r, "text is not UTF-8");
  r->at = stop + 1;
  return json_made(r, value_text_trusted(start, (size_t)(stop - start)));
}

/* A string that is a key: one without escapes that was seen before is shared. */
static remora_value *json_read_key(struct json_in *r) {
  const char *start = r->at + 1;
  bool foreign = false;
  const char *stop = json_run(start, r->end, &foreign);
  size_t n = (size_t)(stop - start);
  if (!n || n > JSON_KEY_LONGEST || stop == r->end || *stop != '"') return json_read_text(r);
  size_t i =
      (n + (unsigned char)start[0] * 7u + (unsigned char)start[n / 2] * 31u + (unsigned char)start[n - 1] * 131u) %
      JSON_KEY_SLOTS;
  uint64_t bit = UINT64_C(1) << i;
  bool used = (r->keys_used & bit) != 0;
  if (used && r->keys[i]->u.bytes.length == n && memcmp(r->keys[i]->u.bytes.data, start, n) == 0) {
    r->at = stop + 1;
    return remora_value_ref(r->keys[i]);
  }
  remora_value *key = json_read_text(r);
  if (key) {
    if (used) remora_value_unref(r->keys[i]);
    r->keys[i] = remora_value_ref(key);
    r->keys_used |= bit;
  }
  return key;
}

/* A number with point or exponent by the C library, for the few that are not exact in one operation. */
static remora_value *json_read_hard_real(struct json_in *r, const char *start) {
  size_t n = (size_t)(r->at - start);
  if (!json_scratch(r, n + 1)) return NULL;
  memcpy(r->scratch, start, n);
  r->scratch[n] = '\0';
  locale_t before = uselocale(codec_json_locale());
  double real = strtod(r->scratch, NULL);
  uselocale(before);
  return isinf(real) ? json_bad(r, "number too big") : json_made(r, remora_float(real));
}

static bool json_is_digit(const struct json_in *r) { return r->at < r->end && *r->at >= '0' && *r->at <= '9'; }

/* Takes digits into *mantissa; returns how many are significant, at most 20. Up to 19 of them the mantissa is right. */
static int json_read_digits(struct json_in *r, uint64_t *mantissa, int digits) {
  for (; json_is_digit(r); r->at++) {
    if (digits < 19) *mantissa = *mantissa * 10 + (uint64_t)(*r->at - '0');
    if (*mantissa && digits < 20) digits++;
  }
  return digits;
}

/* The rest of a number from its point or exponent on. */
static remora_value *json_read_real(struct json_in *r, const char *start, uint64_t mantissa, int digits) {
  int64_t exponent = 0, decimals = 0;
  if (*r->at == '.') {
    const char *point = ++r->at;
    if (!json_is_digit(r)) return json_bad(r, "bad number");
    digits = json_read_digits(r, &mantissa, digits);
    decimals = r->at - point;
  }
  if (r->at < r->end && (*r->at | 32) == 'e') {
    r->at++;
    bool minus = r->at < r->end && *r->at == '-';
    r->at += r->at < r->end && (*r->at == '-' || *r->at == '+');
    if (!json_is_digit(r)) return json_bad(r, "bad number");
    for (; json_is_digit(r); r->at++) exponent = exponent < 1000 ? exponent * 10 + (*r->at - '0') : exponent;
    exponent = minus ? -exponent : exponent;
  }
  exponent -= decimals;
  if (!JSON_EXACT || digits > 19 || mantissa > (uint64_t)JSON_TWO53 || exponent < -22 || exponent > 22)
    return json_read_hard_real(r, start);
  double real = (double)mantissa;
  real = exponent < 0 ? real / codec_json_power10[-exponent] : real * codec_json_power10[exponent];
  return json_made(r, remora_float(*start == '-' ? -real : real));
}

static remora_value *json_read_number(struct json_in *r) {
  const char *start = r->at;
  bool minus = *start == '-';
  uint64_t number = 0;
  r->at += minus;
  if (!json_is_digit(r)) return json_bad(r, minus ? "bad number" : "unexpected character");
  const char *first = r->at;
  int digits = json_read_digits(r, &number, 0);
  if (*first == '0' && r->at - first > 1) return json_bad(r, "number with leading zero");
  if (r->at < r->end && (*r->at == '.' || (*r->at | 32) == 'e')) return json_read_real(r, start, number, digits);
  if (digits > 19 || number > (uint64_t)INT64_MAX + minus) return json_bad(r, "integer beyond 64 bits");
  return json_made(r, remora_int(minus ? (int64_t)(0 - number) : (int64_t)number));
}

static remora_value *json_read_word(struct json_in *r, const char *word, size_t length, remora_value *v) {
  if ((size_t)(r->end - r->at) < length || memcmp(r->at, word, length) != 0) return json_bad(r, "unexpected character");
  r->at += length;
  return v;
}

/* ~b and ~s: an attachment. */
static remora_value *json_read_attachment(struct json_in *r, size_t i, bool is_text) {
  const codec_in *in = r->in;
  if (i >= in->nraws) return json_bad(r, "no such attachment");
  const char *data = in->raws[i];
  size_t length = in->raw_lengths[i];
  if (is_text && !value_utf8(data, length)) return json_bad(r, "text is not UTF-8");
  if (is_text) return json_made(r, value_text_trusted(data, length));
  if (length < CODEC_VIEW || !in->retain) return json_made(r, remora_bytes(data, length));
  remora_value *v = json_made(r, value_view(REMORA_BYTES, data, length, in->release, in->message));
  if (v) in->retain(in->message);
  return v;
}

static remora_value *json_read_reference(struct json_in *r, size_t i) {
  if (i >= r->in->nrefs || !r->in->refs[i]) return json_bad(r, "no such reference");
  return remora_value_ref(r->in->refs[i]);
}

static remora_value *json_read_bigint(struct json_in *r, const remora_value *decimal) {
  size_t length;
  const char *text = remora_as_text(decimal, &length);
  size_t minus = text[0] == '-', digits = strspn(text + minus, "0123456789");
  if (!digits || minus + digits != length || (text[minus] == '0' && digits > 1))
    return json_bad(r, "malformed big integer");
  return json_made(r, remora_bigint(text));
}

static remora_value *json_read_special(struct json_in *r, const remora_value *name) {
  static const struct {
    const char *name;
    double real;
  } table[] = {{"nan", (double)NAN}, {"inf", (double)INFINITY}, {"-inf", -(double)INFINITY}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (name->u.bytes.length == strlen(table[i].name) && strcmp(name->u.bytes.data, table[i].name) == 0)
      return json_made(r, remora_float(table[i].real));
  return json_bad(r, "unknown special number");
}

/* ~m: the map of a list of pairs, which is taken apart. */
static remora_value *json_read_pairs(struct json_in *r, remora_value *pairs) {
  size_t base = r->count;
  for (size_t i = 0; i < pairs->u.seq.count; i++) {
    remora_value *pair = pairs->u.seq.items[i];
    if (pair->kind != REMORA_LIST || pair->u.seq.count != 2) return json_bad(r, "a pair of ~m is none");
    if (!json_push(r, remora_value_ref(pair->u.seq.items[0])) || !json_push(r, remora_value_ref(pair->u.seq.items[1])))
      return NULL;
  }
  /* Brackets of the list and its pairs are one level of the map. */
  r->height = r->height > 2 ? r->height - 1 : 1;
  return json_pop(r, REMORA_MAP, base);
}

/* What {"~x": value} stands for; `first` is the byte that the value's text begins with, so that no tag can stand where
 * JSON's own form must. */
static remora_value *json_read_tag(struct json_in *r, const remora_value *key, remora_value *value, char first) {
  char tag = key->u.bytes.length == 2 ? key->u.bytes.data[1] : '\0';
  bool is_index = value->kind == REMORA_INT && first >= '0' && first <= '9';
  bool is_list = first == '[', is_text = first == '"';
  if ((tag == 'b' || tag == 's') && is_index) return json_read_attachment(r, (size_t)value->u.integer, tag == 's');
  if (tag == 'r' && is_index) return json_read_reference(r, (size_t)value->u.integer);
  if (tag == 'i' && is_text) return json_read_bigint(r, value);
  if (tag == 'f' && is_text) return json_read_special(r, value);
  if (tag == 'm' && is_list) return json_read_pairs(r, value);
  if (tag == 't' && is_list) {
    value->kind = REMORA_TUPLE; /* nobody else has seen it yet */
    return remora_value_ref(value);
  }
  return json_bad(r, "unknown or malformed tag");
}

static remora_value *json_read_list(struct json_in *r, int level) {
  size_t base = r->count;
  int height = 0;
  r->at++;
  json_skip(r);
  if (r->at < r->end && *r->at == ']') {
    r->at++;
  } else {
    for (char c = ','; c != ']';) {
      remora_value *v = json_read(r, level);
      if (!v || !json_push(r, v)) return NULL;
      height = r->height > height ? r->height : height;
      c = json_next(r);
      if (c != ',' && c != ']') return json_bad(r, "comma or ] expected");
    }
  }
  r->height = height + 1;
  return json_pop(r, REMORA_LIST, base);
}

static remora_value *json_read_object(struct json_in *r, int level) {
  size_t base = r->count;
  int height = 0;
  char first = '\0';
  r->at++;
  json_skip(r);
  if (r->at < r->end && *r->at == '}') {
    r->at++;
  } else {
    for (char c = ','; c != '}';) {
      json_skip(r);
      if (r->at == r->end || *r->at != '"') return json_bad(r, "key expected");
      remora_value *v = json_read_key(r);
      if (!v || !json_push(r, v)) return NULL;
      if (json_next(r) != ':') return json_bad(r, "colon expected");
      json_skip(r);
      first = r->at < r->end ? *r->at : '\0';
      v = json_read(r, level);
      if (!v || !json_push(r, v)) return NULL;
      height = r->height > height ? r->height : height;
      c = json_next(r);
      if (c != ',' && c != '}') return json_bad(r, "comma or } expected");
    }
  }
  remora_value **pair = r->stack + base;
  if (!r->in->plain && r->count - base == 2 && pair[0]->u.bytes.data[0] == '~') {
    remora_value *key = pair[0], *value = pair[1];
    r->count = base;
    r->height = height;
    remora_value *v = json_read_tag(r, key, value, first);
    remora_value_unref(key);
    remora_value_unref(value);
    return v;
  }
  r->height = height + 1;
  return json_pop(r, REMORA_MAP, base);
}

/* One value. Levels bound the recursion; heights, which tags do not add to, are what the limit is about. */
static remora_value *json_read(struct json_in *r, int level) {
  json_skip(r);
  if (r->at == r->end) return json_bad(r, "it ends too early");
  r->height = 0;
  switch (*r->at) {
  case '"':
    return json_read_text(r);
  case '[':
  case '{': {
    if (level == JSON_MAX_LEVEL) return json_bad(r, "nested deeper than 128");
    remora_value *v = *r->at == '[' ? json_read_list(r, level + 1) : json_read_object(r, level + 1);
    if (v && v->kind == REMORA_MAP && value_has_equal_keys(v)) {
      remora_value_unref(v);
      return json_bad(r, "two equal keys in a map");
    }
    return v;
  }
  case 'n':
    return json_read_word(r, "null", 4, remora_null());
  case 't':
    return json_read_word(r, "true", 4, remora_bool(1));
  case 'f':
    return json_read_word(r, "false", 5, remora_bool(0));
  default:
    return json_read_number(r);
  }
}

remora_value *codec_json_decode(const codec_in *in, remora_error **err) {
  struct json_in r; /* not initialised as a whole: `keys` and `first` are large */
  const char *body = in->length ? in->body : "";
  r.in = in;
  r.at = body;
  r.end = body + in->length;
  r.fault = NULL;
  r.height = 0;
  r.stack = r.first;
  r.count = 0;
  r.room = sizeof r.first / sizeof *r.first;
  r.scratch = NULL;
  r.scratch_room = 0;
  r.keys_used = 0;

  remora_value *v = json_read(&r, 0);
  if (v) json_skip(&r);
  if (v && r.at != r.end)
    json_bad(&r, "something follows the value");
  else if (v && r.height > VALUE_MAX_DEPTH)
    json_bad(&r, "nested deeper than 128");

  while (r.count) remora_value_unref(r.stack[--r.count]);
  if (r.stack != r.first) free(r.stack);
  free(r.scratch);
  for (; r.keys_used; r.keys_used &= r.keys_used - 1) remora_value_unref(r.keys[__builtin_ctzll(r.keys_used)]);
  if (!r.fault) return v;
  if (r.fault == json_memory_is_out)
    error_set(err, REMORA_E_NOMEM, NULL);
  else
    error_set(err, REMORA_E_VALUE, "byte %zu of a message's body: %s", (size_t)(r.at - body), r.fault);
  return remora_value_unref(v);
}
