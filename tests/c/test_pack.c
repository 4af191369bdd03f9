/* test_pack.c: every letter of remora_pack and remora_unpack, every error, and that neither loses a reference. */
#include "hub_helpers.h"

static remora_value *nothing(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  (void)userdata, (void)method, (void)args, (void)err;
  return NULL;
}
static void counted(void *count) { ++*(int *)count; }
static const remora_class counting_class = {sizeof(remora_class), "test.Counting", "call", nothing};

#define FAILS(code, text, ...)                                                                                         \
  do {                                                                                                                 \
    remora_error *why = NULL;                                                                                          \
    assert_null(remora_pack(&why, __VA_ARGS__));                                                                       \
    expect_error(why, code, text);                                                                                     \
  } while (0)

#define REFUSES(text, value, ...)                                                                                      \
  do {                                                                                                                 \
    remora_error *why = NULL;                                                                                          \
    assert_int_equal(remora_unpack(value, &why, __VA_ARGS__), -1);                                                     \
    expect_error(why, REMORA_E_INVALID, text);                                                                         \
  } while (0)

static remora_value *packed(remora_value *v, const remora_error *err) {
  WORKS(err);
  assert_non_null(v);
  return v;
}

#define PACK(...) (err = NULL, packed(remora_pack(&err, __VA_ARGS__), err))

static void test_scalars(void **state) {
  (void)state;
  remora_error *err = NULL;
  remora_value *args = PACK("n b b i I, d D s s% y", 2, 0, -7, INT64_MIN, 1.5, "123456789012345678901", "a\xc3\xa9",
                            "x\0y", (size_t)3, "\xff\0", (size_t)2);
  assert_int_equal(remora_length(args), 10);
  assert_int_equal(remora_value_kind(remora_at(args, 0)), REMORA_NULL);
  assert_int_equal(remora_as_bool(remora_at(args, 1)), 1);
  assert_int_equal(remora_as_bool(remora_at(args, 2)), 0);
  int b1 = 5, b2 = 5, i = 0;
  int64_t wide = 0;
  double d = 0;
  const char *big = NULL, *s = NULL, *text = NULL;
  const void *bytes = NULL;
  size_t text_length = 0, length = 0;
  assert_int_equal(remora_unpack(args, &err, "n b b i I d D s s% y", &b1, &b2, &i, &wide, &d, &big, &s, &text,
                                 &text_length, &bytes, &length),
                   0);
  WORKS(err);
  assert_true(b1 == 1 && b2 == 0 && i == -7 && wide == INT64_MIN && d == 1.5);
  assert_string_equal(big, "123456789012345678901");
  assert_string_equal(s, "a\xc3\xa9");
  assert_true(text_length == 3 && memcmp(text, "x\0y", 3) == 0);
  assert_true(length == 2 && memcmp(bytes, "\xff\0", 2) == 0);
  (void)remora_value_unref(args);
}

static void test_containers(void **state) {
  (void)state;
  remora_error *err = NULL;
  remora_value *v = PACK("={s:[i i], s:(s), i:{}, s:[]}", "a", 1, 2, "t", "x", 7, "e");
  int first = 0, second = 0;
  const char *x = NULL;
  const remora_value *rest = NULL;
  assert_int_equal(
      remora_unpack(v, &err, "={s:[i i], s:[s], s?:i, s:v}", "a", &first, &second, "t", &x, "none", &first, "e", &rest),
      0);
  WORKS(err);
  assert_true(first == 1 && second == 2 && remora_length(rest) == 0 && remora_value_kind(rest) == REMORA_LIST);
  assert_string_equal(x, "x");
  assert_int_equal(remora_value_kind(remora_get(v, "t")), REMORA_TUPLE);
  assert_int_equal(remora_length(v), 4);
  (void)remora_value_unref(v);

  v = PACK("");
  assert_int_equal(remora_value_kind(v), REMORA_LIST);
  assert_int_equal(remora_length(v), 0);
  assert_int_equal(remora_unpack(v, &err, ""), 0);
  assert_int_equal(remora_unpack(v, &err, "| i [i {s:i}]", &first, &first, "k", &first), 0); /* all of it is missing */
  assert_int_equal(first, 1);
  (void)remora_value_unref(v);
}

static void test_keywords(void **state) {
  (void)state;
  remora_error *err = NULL;
  remora_value *args = PACK("i k{s:i, s:s}", 1, "by", 2, "name", "n");
  assert_int_equal(remora_length(args), 1);
  assert_int_equal(remora_as_int(remora_get(remora_keywords(args), "by")), 2);
  int i = 0, by = 0, more = 3;
  assert_int_equal(remora_unpack(args, &err, "i k{s:i, s?:i}", &i, "by", &by, "more", &more), 0);
  assert_true(i == 1 && by == 2 && more == 3);
  REFUSES("key \"more\": is missing", args, "i k{s:i}", &i, "more", &more);
  (void)remora_value_unref(args);
  args = PACK("i", 1);
  assert_int_equal(remora_unpack(args, &err, "i k{s?:i}", &i, "by", &by), 0);
  REFUSES("key \"by\": is missing", args, "i k{s:i}", &i, "by", &by);
  (void)remora_value_unref(args);
  FAILS(REMORA_E_INVALID, "wrong letter", "k{s:i} i", "a", 1, 2); /* they are the last of all */
  FAILS(REMORA_E_INVALID, "wrong letter", "[k{s:i}]", "a", 1);
  FAILS(REMORA_E_INVALID, "keyword", "k{i:i}", 1, 1);
}

static void test_references(void **state) {
  (void)state;
  remora_error *err = NULL;
  int gone = 0;
  remora_object *object = remora_export(NULL, &counting_class, &gone, counted);
  remora_value *kept = remora_str("kept by two"), *stolen = remora_str("kept by one");
  remora_value *args = PACK("o v V n p? o? v? s? y?", object, kept, stolen, NULL, NULL, NULL, NULL, NULL, (size_t)0);
  assert_int_equal(remora_length(args), 9);
  for (size_t i = 3; i < 9; i++) assert_int_equal(remora_value_kind(remora_at(args, i)), REMORA_NULL);
  remora_object *found = NULL;
  const remora_value *borrowed = NULL;
  remora_value *fresh = NULL;
  const char *s = "as it was";
  int i = 11;
  assert_int_equal(remora_unpack(args, &err, "o v V i? s? *", &found, &borrowed, &fresh, &i, &s), 0);
  WORKS(err);
  assert_ptr_equal(found, object);
  assert_ptr_equal(borrowed, kept);
  assert_ptr_equal(fresh, stolen);
  assert_string_equal(s, "as it was");
  assert_int_equal(i, 11);
  REFUSES("argument 1: an object over there is wanted, this is object of ours", args, "p *", &found);
  REFUSES("argument 2: an object of ours is wanted, this is text", args, "o o *", &found, &found);
  (void)remora_value_unref(args);
  assert_string_equal(remora_as_text(fresh, NULL), "kept by one");
  (void)remora_value_unref(fresh);
  (void)remora_value_unref(kept);
  (void)remora_object_unref(object);
  (void)remora_queue_reap(remora_default_queue());
  assert_int_equal(gone, 1);
}

static void test_what_cannot_be_packed(void **state) {
  (void)state;
  FAILS(REMORA_E_INVALID, "wrong letter: z", "i z", 1);
  FAILS(REMORA_E_INVALID, "ends too early", "[i", 1);
  FAILS(REMORA_E_INVALID, "ends too early", "{s", "a");
  FAILS(REMORA_E_INVALID, "ends too early", "=");
  FAILS(REMORA_E_INVALID, "wrong letter: i", "=i i", 1, 2);
  FAILS(REMORA_E_INVALID, "wrong letter: )", "[i)", 1);
  FAILS(REMORA_E_INVALID, "the text is NULL", "s", NULL);
  FAILS(REMORA_E_INVALID, "the bytes are NULL", "y", NULL, (size_t)3);
  FAILS(REMORA_E_INVALID, "is NULL", "v", NULL);
  FAILS(REMORA_E_INVALID, "is NULL", "[p]", NULL);
  FAILS(REMORA_E_INVALID, "decimal", "D", "12x");
  FAILS(REMORA_E_VALUE, "UTF-8", "s", "\xff");
  FAILS(REMORA_E_VALUE, "UTF-8", "[s%]", "ab\xff", (size_t)3);
  /* A fault before them does not lose what was to be stolen (the sanitizer tells). */
  FAILS(REMORA_E_VALUE, "UTF-8", "s V [V {s:V}] k{s:V}", "\xff", remora_str("1"), remora_str("2"), "a", remora_str("3"),
        "b", remora_str("4"));
  char deep[300];
  memset(deep, '[', sizeof deep - 1);
  deep[sizeof deep - 1] = 0;
  FAILS(REMORA_E_INVALID, NULL, deep);
  assert_null(remora_pack(NULL, "z"));
}

static void test_what_cannot_be_unpacked(void **state) {
  (void)state;
  remora_error *err = NULL;
  int i = 42;
  int64_t wide = 42;
  const char *s = "untouched";
  size_t length = 42;
  double d = 42;
  remora_value *fresh = NULL;
  remora_value *args = PACK("s I [i i] {s:s} s%", "text", INT64_MAX, 1, 2, "key", "item", "a\0b", (size_t)3);
  REFUSES("argument 1: an integer is wanted, this is text", args, "i *", &i);
  REFUSES("argument 1: a boolean is wanted, this is text", args, "b *", &i);
  REFUSES("argument 1: a number is wanted", args, "d *", &d);
  REFUSES("argument 1: bytes is wanted", args, "y *", &s, &length);
  REFUSES("argument 1: a large integer is wanted", args, "D *", &s);
  REFUSES("argument 1: null is wanted", args, "n *");
  REFUSES("argument 1: a list is wanted", args, "[i] *", &i);
  REFUSES("argument 1: a map is wanted", args, "{s:i} *", "a", &i);
  REFUSES("argument 2: the integer does not fit", args, "s i *", &s, &i);
  REFUSES("argument 3: 2 elements are too many, 1 can be taken", args, "s I [i] *", &s, &wide, &i);
  REFUSES("argument 3, element 3: is missing", args, "s I [i i i] *", &s, &wide, &i, &i, &i);
  REFUSES("argument 4, key \"key\": an integer is wanted", args, "s I v {s:i} *", &s, &wide, &fresh, "key", &i);
  REFUSES("argument 4, key \"no\": is missing", args, "s I v {s:i} *", &s, &wide, &fresh, "no", &i);
  REFUSES("argument 5: the text holds a NUL", args, "V I v v s", &fresh, &wide, &fresh, &fresh, &s);
  REFUSES("5 arguments are too many, 1 can be taken", args, "s", &s);
  REFUSES("argument 6: is missing", args, "s I v v v v", &s, &wide, &fresh, &fresh, &fresh, &fresh);
  REFUSES("wrong letter: z", args, "z");
  REFUSES("wrong letter: (", args, "(i)", &i);
  REFUSES("ends too early", args, "s I [i", &s, &wide, &i);
  REFUSES("an integer is wanted, this is list", args, "=i", &i);
  REFUSES("there is no value", NULL, "i", &i);
  assert_int_equal(remora_unpack(args, NULL, "i", &i), -1);
  assert_true(i == 42 && wide == 42 && length == 42 && d == 42 && !fresh); /* nothing was stored */
  assert_string_equal(s, "untouched");
  assert_int_equal(remora_unpack(args, &err, "* ", &i), 0);
  (void)remora_value_unref(args);
  args = PACK("=i", 3);
  assert_int_equal(remora_unpack(args, &err, "=d", &d), 0); /* an integer where a float is wanted */
  assert_true(d == 3);
  REFUSES("a list is wanted, this is integer", args, "i", &i);
  (void)remora_value_unref(args);
}

static remora_value *doubles(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  int64_t n = 0;
  (void)userdata;
  if (strcmp(method, "null") == 0) return NULL;
  if (remora_unpack(args, err, "I", &n) != 0) return NULL;
  return remora_int(2 * n);
}

static void test_calling_values(void **state) {
  (void)state;
  static const remora_class cls = {sizeof(remora_class), "test.Doubler", "call", doubles};
  remora_error *err = NULL;
  remora_object *object = remora_export(NULL, &cls, NULL, NULL);
  remora_value *f = remora_value_of_object(object), *args = PACK("i", 21);
  assert_int_equal(int_of(remora_value_call(f, "", args, &err)), 42);
  remora_value *none = remora_value_call(f, "null", NULL, &err);
  assert_int_equal(remora_value_kind(none), REMORA_NULL);
  (void)remora_value_unref(none);
  assert_null(remora_value_call(f, NULL, NULL, &err));
  expect_error(err, REMORA_E_INVALID, "argument 1: is missing");
  err = NULL;
  assert_null(remora_value_call(args, "", NULL, &err));
  expect_error(err, REMORA_E_INVALID, "nothing that can be called");
  assert_null(remora_value_call(NULL, "", NULL, NULL));
  remora_queue *other = remora_queue_new(); /* its objects run where their owner says */
  remora_object *foreign = remora_export(other, &cls, NULL, NULL);
  remora_value *g = remora_value_of_object(foreign);
  err = NULL;
  assert_null(remora_value_call(g, "", args, &err));
  expect_error(err, REMORA_E_INVALID, "nothing that can be called");
  (void)remora_value_unref(g);
  (void)remora_object_unref(foreign);
  (void)remora_queue_reap(other);
  (void)remora_queue_unref(other);
  (void)remora_value_unref(f);
  (void)remora_value_unref(args);
  (void)remora_object_unref(object);
  (void)remora_queue_reap(remora_default_queue());
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scalars),
      cmocka_unit_test(test_containers),
      cmocka_unit_test(test_keywords),
      cmocka_unit_test(test_references),
      cmocka_unit_test(test_what_cannot_be_packed),
      cmocka_unit_test(test_what_cannot_be_unpacked),
      cmocka_unit_test(test_calling_values),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
