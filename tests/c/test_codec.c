/* test_codec.c: the JSON codec against docs/protocol.md section 4, against jansson, and without memory. */
#include "codec.h"
#include "error.h"

#include "failing_malloc.h"
#include "value_helpers.h"

#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define ORACLE_FLAGS (JSON_ALLOW_NUL | JSON_DECODE_ANY | JSON_REJECT_DUPLICATES)

static int somebody[4]; /* what references point to: how many there are */

static remora_value *some_proxy(int i) { return remora_value_of_proxy((remora_proxy *)(void *)&somebody[i]); }

/* --------------------------------------------------------------------------------------------------------- helpers */

/* Decodes what was encoded, with its tables. */
static remora_value *decode_out(const codec_out *out, remora_error **err) {
  const char *raws[64];
  uint32_t lengths[64];
  assert_true(out->nraws <= 64);
  for (size_t i = 0; i < out->nraws; i++) {
    size_t length;
    raws[i] = remora_as_text(out->raws[i].value, &length);
    lengths[i] = (uint32_t)length;
  }
  codec_in in = {.body = out->body,
                 .length = out->length,
                 .plain = out->plain,
                 .refs = out->refs,
                 .nrefs = out->nrefs,
                 .raws = raws,
                 .raw_lengths = lengths,
                 .nraws = out->nraws};
  return codec_json.decode(&in, err);
}

static remora_value *decode_text(const char *text, size_t length, bool plain, remora_error **err) {
  static const char *const raws[] = {"raw bytes", "\xff\xfe"};
  static const uint32_t lengths[] = {9, 2};
  remora_value *refs[] = {some_proxy(0)};
  /* A copy that is exactly as long, so that a sanitizer sees reading behind the end. */
  char *copy = malloc(length ? length : 1);
  memcpy(copy, text, length);
  codec_in in = {.body = copy,
                 .length = length,
                 .plain = plain,
                 .refs = refs,
                 .nrefs = 1,
                 .raws = raws,
                 .raw_lengths = lengths,
                 .nraws = 2};
  remora_value *v = codec_json.decode(&in, err);
  free(copy);
  remora_value_unref(refs[0]);
  return v;
}

/* v becomes exactly this text (NULL: any) and comes back unchanged; drops v. */
static void check(remora_value *v, const char *text, bool plain) {
  codec_out out = {0};
  remora_error *err = NULL;
  assert_int_equal(codec_json.encode(v, &out, &err), 0);
  if (text) {
    assert_int_equal(out.length, strlen(text));
    assert_memory_equal(out.body, text, out.length);
    assert_int_equal(out.plain, plain);
  }
  json_error_t why;
  json_t *seen = json_loadb(out.body, out.length, ORACLE_FLAGS, &why);
  /* Whatever we write is JSON to others too; only NUL in a key is beyond jansson. */
  assert_true(seen || json_error_code(&why) == json_error_null_byte_in_key);
  json_decref(seen);
  remora_value *back = decode_out(&out, &err);
  assert_non_null(back);
  assert_int_equal(remora_value_equal(v, back), 1);
  remora_value_unref(back);
  codec_out_clear(&out);
  remora_value_unref(v);
}

/* v cannot cross, and the error says so with these words; drops v. */
static void check_refused(remora_value *v, bool arguments, const char *words) {
  codec_out out = {.arguments = arguments};
  remora_error *err = NULL;
  assert_int_equal(codec_json.encode(v, &out, &err), -1);
  assert_int_equal(remora_error_code(err), REMORA_E_VALUE);
  assert_string_equal(remora_error_message(err), words);
  assert_int_equal(out.length + out.nrefs + out.nraws, 0);
  remora_error_free(err);
  codec_out_clear(&out);
  remora_value_unref(v);
}

/* The text stands for v; drops v. */
static void check_means(const char *text, remora_value *v) {
  remora_value *got = decode_text(text, strlen(text), false, NULL);
  assert_non_null(got);
  assert_int_equal(remora_value_equal(got, v), 1);
  remora_value_unref(got);
  remora_value_unref(v);
}

/* -------------------------------------------------------------------------------------------------------- encoding */

static void test_scalars(void **state) {
  (void)state;
  check(NULL, "null", true);
  check(remora_null(), "null", true);
  check(remora_bool(1), "true", true);
  check(remora_bool(0), "false", true);
  check(remora_str(""), "\"\"", true);
  check(remora_list(), "[]", true);
  check(remora_map(), "{}", true);
  check(remora_tuple(), "{\"~t\":[]}", false);
  check(remora_bytes("", 0), "{\"~b\":0}", false);
}

static void test_integers(void **state) {
  (void)state;
  static const char *const fit[] = {"0",
                                    "-1",
                                    "9",
                                    "10",
                                    "99",
                                    "100",
                                    "-100",
                                    "101",
                                    "12345",
                                    "9007199254740991",
                                    "9007199254740992",
                                    "9007199254740993",
                                    "-9007199254740993",
                                    "9223372036854775807",
                                    "-9223372036854775808",
                                    "1000000000000000000",
                                    "999999999999999999"};
  for (size_t i = 0; i < sizeof fit / sizeof *fit; i++) check(remora_bigint(fit[i]), fit[i], true);
  check(remora_bigint("9223372036854775808"), "{\"~i\":\"9223372036854775808\"}", false);
  check(remora_bigint("-123456789012345678901234567890"), "{\"~i\":\"-123456789012345678901234567890\"}", false);
  check_means("{\"~i\":\"5\"}", remora_int(5));
  check_means("-0", remora_int(0));
}

static void test_floats(void **state) {
  (void)state;
  static const char *const exact[] = {"0.0",
                                      "-0.0",
                                      "1.0",
                                      "-1.5",
                                      "0.1",
                                      "0.3",
                                      "-0.05",
                                      "3.14159",
                                      "100.0",
                                      "0.30000000000000004",
                                      "0.3333333333333333",
                                      "1e-07",
                                      "123456.789",
                                      "0.00001",
                                      "1000000000000000.0",
                                      "9007199254740991.0",
                                      "12345678901234568.0",
                                      "1e+16",
                                      "1e+22",
                                      "1e+300",
                                      "5e-324",
                                      "2.5e-310",
                                      "1.7976931348623157e+308"};
  for (size_t i = 0; i < sizeof exact / sizeof *exact; i++) check(remora_float(strtod(exact[i], NULL)), exact[i], true);
  check(remora_float(NAN), "{\"~f\":\"nan\"}", false);
  check(remora_float((double)INFINITY), "{\"~f\":\"inf\"}", false);
  check(remora_float(-(double)INFINITY), "{\"~f\":\"-inf\"}", false);

  remora_value *zero = decode_text("-0.0", 4, true, NULL);
  assert_true(signbit(remora_as_float(zero)));
  remora_value_unref(zero);
}

static uint64_t random_state;

static uint64_t random_bits(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

static void test_floats_are_shortest(void **state) {
  (void)state;
  random_state = 88172645463325252u;
  for (int i = 0; i < 20000; i++) {
    uint64_t bits = random_bits();
    double real;
    if (i % 2)
      memcpy(&real, &bits, sizeof real);
    else
      real = (double)(int64_t)(bits >> 40) / (double)(1 + (bits & 0xffff)) * (i % 4 ? 1.0 : 1e-3);
    if (!isfinite(real)) continue;
    remora_value *v = remora_float(real);
    codec_out out = {0};
    char text[64], best[512];
    assert_int_equal(codec_json.encode(v, &out, NULL), 0);
    snprintf(text, sizeof text, "%.*s", (int)out.length, out.body);
    assert_non_null(strpbrk(text, ".e"));
    assert_true(strtod(text, NULL) == real);
    /* No text of fewer digits than ours reads back the same. */
    int digits = 0, zeros = 0;
    for (const char *c = text; *c && *c != 'e'; c++)
      if (*c >= '0' && *c <= '9' && (digits || *c != '0')) {
        digits++;
        zeros = *c == '0' ? zeros + 1 : 0;
      }
    digits -= zeros;
    if (digits > 15) { /* up to 15 any decimal that reads back is the one */
      snprintf(best, sizeof best, "%.*g", digits - 1, real);
      assert_true(strtod(best, NULL) != real);
    }
    remora_value *back = decode_out(&out, NULL);
    assert_true(remora_as_float(back) == real);
    remora_value_unref(back);
    codec_out_clear(&out);
    remora_value_unref(v);
  }
}

static void test_a_locale_with_decimal_comma(void **state) {
  (void)state;
  if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "fr_FR.UTF-8")) skip();
  check(remora_float(1e-7 / 3), NULL, true);
  check(remora_float(0.1 + 0.2), "0.30000000000000004", true);
  setlocale(LC_NUMERIC, "C");
}

static void test_text(void **state) {
  (void)state;
  check(remora_str("hello"), "\"hello\"", true);
  check(remora_str("a \"quoted\" \\ text, /slash"), "\"a \\\"quoted\\\" \\\\ text, /slash\"", true);
  check(remora_text("nul\0inside", 10), "\"nul\\u0000inside\"", true);
  check(remora_str("\b\t\n\v\f\r\x01\x1f\x7f"), "\"\\b\\t\\n\\u000b\\f\\r\\u0001\\u001f\x7f\"", true);
  check(remora_str("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"), "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\"", true);
  check(remora_str("1234567\"12345678\\123456789\n"), "\"1234567\\\"12345678\\\\123456789\\n\"", true);
  check(remora_str("\xed\x9f\xbf is no surrogate"), "\"\xed\x9f\xbf is no surrogate\"", true);
  check(remora_str("lone \xed\xa0\x80"), "{\"~s\":0}", false);
  check_means("\"\\u00fc\\u20ac\\ud83d\\ude00\\/\\u0041\"", remora_str("\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80/A"));
  check_means("{\"~s\":0}", remora_str("raw bytes"));
  /* Every length around the eight bytes that are looked at in one go, with something to escape at every place. */
  for (size_t length = 1; length < 40; length++)
    for (size_t at = 0; at < length; at++) {
      char text[40];
      memset(text, 'x', sizeof text);
      text[at] = "\"\\\n\x01"[at % 4];
      check(remora_text(text, length), NULL, true);
      text[at] = '\xc3';
      text[at + 1 < length ? at + 1 : 0] = '\xa9';
      remora_value *v = remora_text(text, length);
      if (v) check(v, NULL, true);
    }
}

static void test_long_text_and_bytes_are_attached(void **state) {
  (void)state;
  char *long_text = malloc(CODEC_LONG_TEXT);
  memset(long_text, 'y', CODEC_LONG_TEXT);
  remora_value *list = list_of(remora_text(long_text, CODEC_LONG_TEXT));
  remora_append(list, remora_bytes(long_text, CODEC_LONG_TEXT));
  remora_append(list, some_proxy(1));
  remora_append(list, remora_value_of_object((remora_object *)(void *)&somebody[2]));
  check(list, "[{\"~s\":0},{\"~b\":1},{\"~r\":0},{\"~r\":1}]", false);
  codec_out out = {0};
  remora_value *text = remora_text(long_text, CODEC_LONG_TEXT - 1);
  assert_int_equal(codec_json.encode(text, &out, NULL), 0);
  assert_int_equal(out.nraws, 0);
  assert_true(out.plain);
  remora_value_unref(text);
  codec_out_clear(&out);
  check(pair(remora_text(long_text, CODEC_LONG_TEXT), remora_int(1)), "{\"~m\":[[{\"~s\":0},1]]}", false);
  free(long_text);
}

static void test_maps(void **state) {
  (void)state;
  check(pair(remora_str("a"), remora_int(1)), "{\"a\":1}", true);
  check(pair(remora_str(""), remora_int(1)), "{\"\":1}", true);
  check(pair(remora_text("a\0b", 3), remora_int(1)), NULL, true);
  check(pair(remora_int(1), remora_int(2)), "{\"~m\":[[1,2]]}", false);
  check(pair(remora_str("~b"), remora_int(0)), "{\"~m\":[[\"~b\",0]]}", false);
  check(pair(remora_str("~"), remora_int(0)), "{\"~m\":[[\"~\",0]]}", false);
  check(pair(remora_str("~user"), remora_list()), "{\"~m\":[[\"~user\",[]]]}", false);
  check(pair(remora_str("\xed\xa0\x80"), remora_int(0)), "{\"~m\":[[{\"~s\":0},0]]}", false);
  remora_value *map = pair(remora_str("~b"), remora_int(0));
  remora_set(map, "~s", remora_int(1));
  check(map, "{\"~b\":0,\"~s\":1}", true);
  map = pair(remora_str("a"), remora_int(0));
  remora_put(map, remora_null(), remora_int(1));
  remora_put(map, remora_float(1.5), pair(remora_bool(1), remora_tuple()));
  check(map, "{\"~m\":[[\"a\",0],[null,1],[1.5,{\"~m\":[[true,{\"~t\":[]}]]}]]}", false);
  check(pair(list_of(remora_int(1)), remora_map()), "{\"~m\":[[[1],{}]]}", false);
}

static void test_keywords_stand_at_the_end(void **state) {
  (void)state;
  for (int n = 0; n < 2; n++) {
    remora_value *args = n ? list_of(remora_int(1)) : remora_list();
    remora_set_keywords(args, pair(remora_str("k"), remora_int(2)));
    codec_out out = {0};
    assert_int_equal(codec_json.encode(args, &out, NULL), 0);
    assert_int_equal(out.length, n ? 11 : 9);
    assert_memory_equal(out.body, n ? "[1,{\"k\":2}]" : "[{\"k\":2}]", out.length);
    codec_out_clear(&out);
    remora_value_unref(args);
  }
}

static void test_the_buffer_grows(void **state) {
  (void)state;
  char buffer[16];
  codec_out out = {.inline_buffer = buffer, .room = sizeof buffer};
  remora_value *v = remora_str("short");
  for (int i = 0; i < 3; i++) { /* appends */
    assert_int_equal(codec_json.encode(v, &out, NULL), 0);
    assert_int_equal(out.body == buffer, i < 2);
  }
  assert_int_equal(out.length, 21);
  assert_memory_equal(out.body, "\"short\"\"short\"\"short\"", 21);
  codec_out_clear(&out);
  assert_null(out.body);
  remora_value_unref(v);
}

/* ------------------------------------------------------------------------------------------------- what is refused */

enum nest { NEST_LIST, NEST_TUPLE, NEST_MAP, NEST_KEY, NEST_KINDS };

static remora_value *nested(enum nest kind, int depth) {
  remora_value *v = remora_int(1);
  for (int i = 0; i < depth; i++) switch (kind) {
    case NEST_LIST:
      v = list_of(v);
      break;
    case NEST_TUPLE:
      v = value_sequence(REMORA_TUPLE, &v, 1);
      break;
    case NEST_MAP:
      v = pair(remora_str("k"), v);
      break;
    case NEST_KEY:
    case NEST_KINDS:
      v = pair(v, remora_null());
      break;
    }
  return v;
}

static void test_depth(void **state) {
  (void)state;
  for (int kind = 0; kind < NEST_KINDS; kind++) {
    check(nested((enum nest)kind, VALUE_MAX_DEPTH), NULL, false);

    remora_value *v = nested((enum nest)kind, VALUE_MAX_DEPTH + 1);
    remora_error *err = NULL;
    codec_out out = {0};
    assert_int_equal(codec_json.encode(v, &out, &err), -1);
    assert_non_null(strstr(remora_error_message(err), "nested deeper than 128"));
    remora_error_free(err);
    codec_out_clear(&out);
    remora_value_unref(v);

    /* What an encoder without a limit would send. */
    static const char *const opening[] = {"[", "{\"~t\":[", "{\"k\":", "{\"~m\":[["};
    static const char *const closing[] = {"]", "]}", "}", ",null]]}"};
    for (int depth = VALUE_MAX_DEPTH; depth <= 100000; depth = depth == VALUE_MAX_DEPTH ? depth + 1 : depth * 9) {
      size_t on = strlen(opening[kind]), cn = strlen(closing[kind]), n = 0;
      char *text = malloc((size_t)depth * (on + cn) + 1);
      for (int i = 0; i < depth; i++, n += on) memcpy(text + n, opening[kind], on);
      text[n++] = '1';
      for (int i = 0; i < depth; i++, n += cn) memcpy(text + n, closing[kind], cn);
      v = decode_text(text, n, false, NULL);
      assert_true((v != NULL) == (depth == VALUE_MAX_DEPTH));
      remora_value_unref(v);
      free(text);
    }
  }
}

static void test_errors_name_the_place(void **state) {
  (void)state;
  remora_value *twice = pair(remora_int(1), remora_null());
  remora_put(twice, remora_int(1), remora_null());
  check_refused(remora_value_ref(twice), false, "two equal keys in a map");
  check_refused(list_of(remora_value_ref(twice)), false, "element 1: two equal keys in a map");

  remora_value *deep = list_of(remora_int(1));
  remora_append(deep, remora_int(2));
  remora_append(deep, remora_value_ref(twice));
  remora_value *args = list_of(some_proxy(0));
  remora_append(args, pair(remora_str("a"), deep));
  check_refused(args, true, "argument 2, key \"a\", element 3: two equal keys in a map");

  args = list_of(remora_bytes("raw", 3));
  remora_set_keywords(args, pair(remora_str("key"), list_of(remora_value_ref(twice))));
  check_refused(args, true, "keyword \"key\", element 1: two equal keys in a map");

  check_refused(pair(remora_int(7), remora_value_ref(twice)), false, "value of pair 1: two equal keys in a map");
  check_refused(pair(remora_value_ref(twice), remora_int(7)), false, "key of pair 1: two equal keys in a map");
  check_refused(pair(remora_str("0123456789012345678901234567890123456789012345"), twice), false,
                "key \"0123456789012345678901234567890123456789...\": two equal keys in a map");
  check_refused(nested(NEST_LIST, 129), true,
                "argument 1, element 1, element 1, element 1, element 1, element 1, element 1, element 1, ...: "
                "nested deeper than 128");
}

/* clang-format off */
static const char *const malformed[] = {
    /* JSON */
    "", " ", "\xef\xbb\xbf[]", "nul", "nullx", "Null", "tru", "truefalse", "fals", "1 2", "[1]]", "{}{}", ",", ":",
    "[", "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1:2]", "[[]", "{", "}", "{\"a\"", "{\"a\":", "{\"a\":1",
    "{\"a\":1,", "{\"a\":1,}", "{\"a\" 1}", "{a:1}", "{1:2}", "{,}", "{\"a\":1 \"b\":2}", "{\"a\":1}}", "{'a':1}",
    "/* c */1", "[1]//",
    /* numbers */
    "-", "+1", "01", "-01", "00", "1.", ".5", "-.5", "1.e5", "1e", "1e+", "1E-", "1.5e", "0x10", "1_000", "NaN",
    "Infinity", "-Infinity", "1e400", "-1e400", "9223372036854775808", "-9223372036854775809",
    "123456789012345678901234567890", "1,5",
    /* strings */
    "\"", "\"abc", "\"abc\\", "\"abc\\\"", "'abc'", "\"a\nb\"", "\"a\tb\"", "\"\x01\"", "\"\\a\"", "\"\\x41\"",
    "\"\\u\"", "\"\\u12\"", "\"\\u123g\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800x\"", "\"\\ud800\\n\"",
    "\"\\ud800\\u0041\"", "\"\\ud800\\ud800\"", "\"\xff\"", "\"\xc3\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"",
    "\"\xf4\x90\x80\x80\"", "\"12345678\xff\"", "\"\\n\xff\"", "{\"\xff\":1}", "{\"\\ud800\":1}",
    /* equal keys */
    "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "{\"b\":1,\"a\":1,\"a\":1}", "[{\"x\":{\"a\":1,\"a\":2}}]",
    "{\"~m\":[[1,2],[1,3]]}", "{\"~m\":[[\"a\",2],[\"a\",3]]}", "{\"~m\":[[{\"~f\":\"nan\"},2],[{\"~f\":\"nan\"},3]]}",
    /* tags */
    "{\"~\":1}", "{\"~x\":1}", "{\"~bb\":0}", "{\"~b\":2}", "{\"~b\":-1}", "{\"~b\":-0}", "{\"~b\":0.0}",
    "{\"~b\":\"0\"}", "{\"~b\":null}", "{\"~b\":{\"~i\":\"0\"}}", "{\"~b\":4294967296}", "{\"~s\":1}", "{\"~s\":2}",
    "{\"~s\":\"text\"}", "{\"~r\":1}", "{\"~r\":-1}", "{\"~r\":[0]}", "{\"~r\":true}", "{\"~i\":5}", "{\"~i\":\"\"}",
    "{\"~i\":\"-\"}", "{\"~i\":\"01\"}", "{\"~i\":\"1.5\"}", "{\"~i\":\"12\\u00003\"}", "{\"~i\":{\"~s\":0}}",
    "{\"~f\":\"Nan\"}", "{\"~f\":\"infinity\"}", "{\"~f\":1.5}", "{\"~f\":\"\"}", "{\"~f\":\"nan\\u0000\"}",
    "{\"~t\":1}", "{\"~t\":{}}", "{\"~t\":{\"~t\":[]}}", "{\"~t\":null}", "{\"~m\":{}}", "{\"~m\":1}", "{\"~m\":[1]}",
    "{\"~m\":[[]]}", "{\"~m\":[[1]]}", "{\"~m\":[[1,2,3]]}", "{\"~m\":[[1,2],3]}", "{\"~m\":[{\"~t\":[1,2]}]}",
    "{\"~m\":{\"~t\":[[1,2]]}}", "{\"\\u007eb\":7}", "[1,{\"a\":{\"~x\":1}}]",
};
/* clang-format on */

static void test_malformed_bodies(void **state) {
  (void)state;
  assert_true(sizeof malformed / sizeof *malformed > 100);
  for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
    remora_error *err = NULL;
    remora_value *v = decode_text(malformed[i], strlen(malformed[i]), false, &err);
    if (v) fail_msg("accepted: %s", malformed[i]);
    assert_int_equal(remora_error_code(err), REMORA_E_VALUE);
    assert_non_null(strstr(remora_error_message(err), "byte "));
    remora_error_free(err);
    assert_null(decode_text(malformed[i], strlen(malformed[i]), false, NULL));
  }
  assert_null(decode_text("1\0", 2, false, NULL));
  assert_null(decode_text("[1,\0 2]", 7, false, NULL));
  assert_null(decode_text("\"a\0b\"", 5, false, NULL));
}

/* -------------------------------------------------------------------------------------------------------- decoding */

static void test_decoding(void **state) {
  (void)state;
  remora_value *list = list_of(remora_int(1));
  remora_append(list, remora_float(2.5));
  remora_append(list, pair(remora_str("a"), remora_null()));
  check_means(" \t\r\n[ 1 , 2.50 , {\"a\" : null } ] \n", list);
  remora_value *map = pair(remora_str("~t"), list_of(remora_int(1)));
  remora_set(map, "x", remora_int(2));
  check_means("{\"~t\":[1],\"x\":2}", map); /* two members: no tag */
  check_means("1E5", remora_float(1e5));
  check_means("1e-400", remora_float(0.0));
  check_means("0.1e1", remora_float(1.0));
  check_means("123456789012345678901234567890.0", remora_float(123456789012345678901234567890.0));
  check_means("0.000000000000000000000000000000000000000000001", remora_float(1e-45));
  check_means("9007199254740993.0", remora_float(9007199254740992.0));
  check_means("{\"\\u007eb\":0}", remora_bytes("raw bytes", 9));
  check_means("{\"~r\":0}", some_proxy(0));
}

static void test_plain_bodies_hold_no_tags(void **state) {
  (void)state;
  remora_value *v = decode_text("{\"~b\":0}", 8, true, NULL), *expected = pair(remora_str("~b"), remora_int(0));
  assert_int_equal(remora_value_equal(v, expected), 1);
  remora_value_unref(v);
  remora_value_unref(expected);
}

static int retained;
static void retain(void *message) { retained += message == &retained; }
static void release(void *message) { retained -= message == &retained; }

static void test_large_bytes_are_views(void **state) {
  (void)state;
  static char data[CODEC_VIEW + 10];
  const char *raws[] = {data, data + 5, data};
  uint32_t lengths[] = {CODEC_VIEW, CODEC_VIEW - 1, CODEC_VIEW};
  static const char body[] = "[{\"~b\":0},{\"~b\":1},{\"~s\":2}]";
  codec_in in = {.body = body,
                 .length = sizeof body - 1,
                 .raws = raws,
                 .raw_lengths = lengths,
                 .nraws = 3,
                 .retain = retain,
                 .release = release,
                 .message = &retained};
  remora_value *v = codec_json.decode(&in, NULL);
  assert_int_equal(retained, 1);
  assert_ptr_equal(remora_as_text(remora_at(v, 0), NULL), data);
  assert_ptr_not_equal(remora_as_text(remora_at(v, 1), NULL), data + 5);
  assert_ptr_not_equal(remora_as_text(remora_at(v, 2), NULL), data);
  remora_value_unref(v);
  assert_int_equal(retained, 0);
  in.length--; /* fails after the views were made */
  assert_null(codec_json.decode(&in, NULL));
  assert_int_equal(retained, 0);
}

/* ------------------------------------------------------------------------------------------------ against jansson */

static remora_value *from_oracle(json_t *j) {
  remora_value *v = NULL;
  const char *key;
  json_t *item;
  size_t i;
  switch (json_typeof(j)) {
  case JSON_NULL:
    return remora_null();
  case JSON_TRUE:
  case JSON_FALSE:
    return remora_bool(json_is_true(j));
  case JSON_INTEGER:
    return remora_int(json_integer_value(j));
  case JSON_REAL:
    return remora_float(json_real_value(j));
  case JSON_STRING:
    return remora_text(json_string_value(j), json_string_length(j));
  case JSON_ARRAY:
    v = remora_list();
    json_array_foreach(j, i, item) remora_append(v, from_oracle(item));
    return v;
  case JSON_OBJECT:
    v = remora_map();
    json_object_foreach(j, key, item) remora_set(v, key, from_oracle(item));
    return v;
  }
  return NULL;
}

/* The same verdict and the same value as jansson's. */
static void check_with_oracle(const char *text, size_t length) {
  json_error_t why;
  json_t *j = json_loadb(text, length, ORACLE_FLAGS, &why);
  remora_value *v = decode_text(text, length, true, NULL);
  bool nul = memchr(text, '\0', length) != NULL;
  /* jansson overlooks a NUL behind a number, which JSON has nowhere, and has no NUL in keys, which JSON has. */
  if (nul || (!j && json_error_code(&why) == json_error_null_byte_in_key)) {
    assert_true(!nul || !v);
    remora_value_unref(v);
    json_decref(j);
    return;
  }
  if ((j != NULL) != (v != NULL))
    fail_msg("jansson %s, we %s: %.*s", j ? "accepts" : why.text, v ? "accept" : "refuse", (int)length, text);
  if (j) {
    remora_value *expected = from_oracle(j);
    if (!remora_value_equal(v, expected)) fail_msg("other value than jansson's: %.*s", (int)length, text);
    remora_value_unref(expected);
  }
  remora_value_unref(v);
  json_decref(j);
}

static const char *const seeds[] = {
    "{\"id\": 5, \"name\": \"item 5\", \"tags\": [\"a\",\"b\",\"c\"], \"score\": 1.5}",
    "[1, -2, 3.25, 1e10, -0.0, 1E-5, 9223372036854775807, 0.30000000000000004, true, false, null]",
    "\"gr\xc3\xbc\xc3\x9f \\u00e9\\ud83d\\ude00\\n\\\\\\\"\\/ \xf0\x9f\x98\x80 \xe2\x82\xac\"",
    "{\"\":{\"a\":[[],{},[{}]]},\"b\":\"\\u0000\",\"c\":[\"\",\"x\"]}",
    "  [ [ [ 1 , 2 ] , [ 3.5e+2 ] ] , { \"k\" : { } } ]  ",
    "{\"~t\":[1,2],\"~m\":[[1,2]],\"~\":0}",
};

static void test_the_same_as_jansson(void **state) {
  (void)state;
  json_object_seed(1);
  for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
    check_with_oracle(malformed[i], strlen(malformed[i]));
  random_state = 1234567890123456789u;
  for (size_t s = 0; s < sizeof seeds / sizeof *seeds; s++) {
    size_t length = strlen(seeds[s]);
    check_with_oracle(seeds[s], length);
    for (size_t cut = 0; cut < length; cut++) check_with_oracle(seeds[s], cut);
    for (int i = 0; i < 4000; i++) {
      static const char likely[] = "\"\\{}[],:0123456789.eE+-~ \n\0nutrfals\x80\xc3\xa9\xed\xa0\xff";
      char text[200];
      memcpy(text, seeds[s], length);
      size_t n = length;
      for (uint64_t changes = random_bits() % 3 + 1; changes; changes--) {
        size_t at = (size_t)(random_bits() % n);
        char c = random_bits() % 4 ? likely[random_bits() % (sizeof likely - 1)] : (char)random_bits();
        switch (random_bits() % 3) {
        case 0:
          text[at] = c;
          break;
        case 1:
          memmove(text + at + 1, text + at, n++ - at);
          text[at] = c;
          break;
        default:
          memmove(text + at, text + at + 1, --n - at);
        }
      }
      check_with_oracle(text, n);
    }
  }
}

/* ----------------------------------------------------------------------------------------------------- random values
 */

static remora_value *random_text(void) {
  static const char *const bits[] = {
      "a", "~", "\"", "\\", "\n", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\xa0\x80", "key", "7", ""};
  char text[64] = "";
  size_t n = 0;
  for (uint64_t i = random_bits() % 8; i; i--) {
    const char *bit = bits[random_bits() % (sizeof bits / sizeof *bits)];
    memcpy(text + n, bit, strlen(bit));
    n += strlen(bit);
    if (random_bits() % 16 == 0) text[n++] = '\0';
  }
  return remora_text(text, n);
}

static remora_value *random_value(int depth) {
  remora_value *v;
  double real;
  uint64_t bits = random_bits();
  switch (random_bits() % (depth ? 14 : 10)) {
  case 0:
  case 1:
    return bits & 2 ? remora_null() : remora_bool(bits & 1);
  case 2:
    return remora_int((int64_t)(bits >> (bits % 64)));
  case 3:
    return remora_int(-(int64_t)(bits % 1000));
  case 4:
    return remora_bigint(bits & 1 ? "123456789012345678901234567890" : "-9223372036854775809");
  case 5:
    memcpy(&real, &bits, sizeof real);
    return remora_float(real);
  case 6:
    return remora_float((double)(int64_t)bits / 1024);
  case 7:
  case 8:
    return random_text();
  case 9:
    return bits & 1 ? remora_bytes(&bits, bits % 9) : some_proxy((int)(bits >> 1 & 3));
  case 10:
  case 11:
    v = bits & 1 ? remora_list() : remora_tuple();
    for (uint64_t n = random_bits() % 6; n; n--) remora_append(v, random_value(depth - 1));
    return v;
  default:
    v = remora_map();
    for (uint64_t n = random_bits() % 6; n; n--)
      remora_put(v, bits & 6 ? random_text() : random_value(depth - 1), random_value(depth - 1));
    return v;
  }
}

static void test_random_values(void **state) {
  (void)state;
  random_state = 362436069362436069u;
  int sent = 0;
  for (int i = 0; i < 20000; i++) {
    remora_value *v = random_value(3);
    codec_out out = {0};
    remora_error *err = NULL;
    if (codec_json.encode(v, &out, &err) == 0 && out.nraws <= 64) {
      remora_value *back = decode_out(&out, NULL);
      assert_non_null(back);
      assert_int_equal(remora_value_equal(v, back), 1);
      /* What came back is sent in the very same way. */
      codec_out again = {0};
      assert_int_equal(codec_json.encode(back, &again, NULL), 0);
      assert_int_equal(again.length, out.length);
      assert_memory_equal(again.body, out.body, out.length);
      codec_out_clear(&again);
      remora_value_unref(back);
      sent++;
    } else if (err) {
      assert_non_null(strstr(remora_error_message(err), "two equal keys"));
      remora_error_free(err);
    }
    codec_out_clear(&out);
    remora_value_unref(v);
  }
  assert_true(sent > 15000);
}

/* -------------------------------------------------------------------------------------------------- without memory */

/* Everything that allocates: attachments, references, a body and tables that grow, many keys. */
static remora_value *sample(void) {
  static const char long_text[CODEC_LONG_TEXT] = {'x'};
  remora_value *v = remora_list(), *big = remora_map();
  for (int i = 0; i < 20; i++) {
    remora_append(v, some_proxy(0));
    remora_append(v, remora_bytes("bytes", 5));
    remora_append(v, remora_text(long_text, sizeof long_text));
    remora_append(v, remora_float(0.1 * i));
    remora_append(v, remora_str("text with \n escapes"));
    remora_put(big, list_of(remora_int(1000 + i)), remora_bigint("123456789012345678901234567890"));
  }
  remora_append(v, big);
  remora_append(v, pair(remora_str("key"), nested(NEST_TUPLE, 40)));
  return v;
}

static bool encode_without_memory(void *v) {
  codec_out out = {0};
  remora_error *err = NULL;
  bool ok = codec_json.encode(v, &out, &err) == 0;
  assert_true(ok ? !err : remora_error_code(err) == REMORA_E_NOMEM && !out.length && !out.nrefs && !out.nraws);
  remora_error_free(err);
  codec_out_clear(&out);
  return ok;
}

static bool decode_without_memory(void *out) {
  remora_error *err = NULL;
  remora_value *v = decode_out(out, &err);
  assert_true(v ? !err : remora_error_code(err) == REMORA_E_NOMEM);
  remora_error_free(err);
  remora_value_unref(v);
  return v != NULL;
}

static void test_without_memory(void **state) {
  (void)state;
  if (!failing_works()) skip();
  remora_value *v = sample();
  assert_true(failing_each(encode_without_memory, v) >= 10);
  codec_out out = {0};
  assert_int_equal(codec_json.encode(v, &out, NULL), 0);
  assert_true(failing_each(decode_without_memory, &out) > 100);
  codec_out_clear(&out);
  remora_value_unref(v);
}

static int all_given_back(void **state) {
  (void)state;
  return somebody[0] | somebody[1] | somebody[2] | somebody[3];
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scalars),
      cmocka_unit_test(test_integers),
      cmocka_unit_test(test_floats),
      cmocka_unit_test(test_floats_are_shortest),
      cmocka_unit_test(test_a_locale_with_decimal_comma),
      cmocka_unit_test(test_text),
      cmocka_unit_test(test_long_text_and_bytes_are_attached),
      cmocka_unit_test(test_maps),
      cmocka_unit_test(test_keywords_stand_at_the_end),
      cmocka_unit_test(test_the_buffer_grows),
      cmocka_unit_test(test_depth),
      cmocka_unit_test(test_errors_name_the_place),
      cmocka_unit_test(test_malformed_bodies),
      cmocka_unit_test(test_decoding),
      cmocka_unit_test(test_plain_bodies_hold_no_tags),
      cmocka_unit_test(test_large_bytes_are_views),
      cmocka_unit_test(test_the_same_as_jansson),
      cmocka_unit_test(test_random_values),
      cmocka_unit_test(test_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, all_given_back);
}
