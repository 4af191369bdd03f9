/* test_value.c: values and errors by themselves, without any other part of the library. */
#include "error.h"
#include "value.h"

#include "failing_malloc.h"
#include "value_helpers.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void count_up(void *owner) { ++*(int *)owner; }

/* A value that tells when it goes. */
static remora_value *witness(int *gone) { return remora_bytes_view("x", 1, count_up, gone); }

static void assert_equal_and_drop(int expected, remora_value *a, remora_value *b) {
  assert_int_equal(remora_value_equal(a, b), expected);
  assert_int_equal(remora_value_equal(b, a), expected);
  remora_value_unref(a);
  remora_value_unref(b);
}

static void test_scalars(void **state) {
  (void)state;
  assert_ptr_equal(remora_null(), remora_null());
  assert_ptr_equal(remora_bool(7), remora_bool(1));
  assert_int_equal(remora_value_kind(remora_null()), REMORA_NULL);
  assert_int_equal(remora_as_bool(remora_bool(1)), 1);
  assert_int_equal(remora_as_bool(remora_bool(0)), 0);
  assert_int_equal(remora_as_int(remora_bool(1)), 1);
  for (int i = 0; i < 3; i++) /* one that lives for ever bears being given back too often */
    remora_value_unref(remora_null());
  remora_value *f = remora_float(-0.0);
  assert_int_equal(remora_value_kind(f), REMORA_FLOAT);
  assert_true(signbit(remora_as_float(f)));
  remora_value_unref(f);
}

static void test_integers(void **state) {
  (void)state;
  static const int64_t edges[] = {0,
                                  -16,
                                  -17,
                                  255,
                                  256,
                                  257,
                                  (1LL << 53) - 1,
                                  1LL << 53,
                                  (1LL << 53) + 1,
                                  -(1LL << 53) - 1,
                                  INT64_MAX,
                                  INT64_MIN,
                                  INT32_MIN,
                                  UINT32_MAX};
  for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
    remora_value *v = remora_int(edges[i]);
    assert_int_equal(remora_value_kind(v), REMORA_INT);
    assert_true(remora_as_int(v) == edges[i]);
    remora_value_unref(v);
  }
  for (int64_t n = -40; n < 300; n++) {
    remora_value *v = remora_int(n);
    assert_true(remora_as_int(v) == n && remora_as_float(v) == (double)n);
    remora_value_unref(v);
  }
}

static void test_bigint(void **state) {
  (void)state;
  static const char *const fit[] = {"0", "-0", "7", "-7", "9223372036854775807", "-9223372036854775808"};
  for (size_t i = 0; i < sizeof fit / sizeof *fit; i++) {
    remora_value *v = remora_bigint(fit[i]);
    assert_int_equal(remora_value_kind(v), REMORA_INT);
    assert_true(remora_as_int(v) == strtoll(fit[i], NULL, 10));
    remora_value_unref(v);
  }
  static const char *const big[] = {"9223372036854775808", "-9223372036854775809", "18446744073709551616",
                                    "99999999999999999999", "123456789012345678901234567890"};
  for (size_t i = 0; i < sizeof big / sizeof *big; i++) {
    remora_value *v = remora_bigint(big[i]);
    size_t length;
    assert_int_equal(remora_value_kind(v), REMORA_BIGINT);
    assert_string_equal(remora_as_text(v, &length), big[i]);
    assert_int_equal(length, strlen(big[i]));
    remora_value_unref(v);
  }
  static const char *const bad[] = {"",   "-",   "+1",  "01",  "-01", "00", "1 ",
                                    " 1", "0x1", "1.0", "1e5", "--1", "1-", "a"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_null(remora_bigint(bad[i]));
}

static void test_utf8(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int expected;
  } table[] = {
      {"", 1},
      {"plain ascii, more than eight", 1},
      {"\xc3\xa9", 1},
      {"\xe2\x82\xac", 1},
      {"\xf0\x9f\x98\x80", 1},
      {"\xf4\x8f\xbf\xbf", 1},
      {"\xed\x9f\xbf", 1},
      {"\xee\x80\x80", 1},
      {"\xef\xbf\xbf", 1},
      {"\xed\xa0\x80", 2},
      {"\xed\xbf\xbf", 2},
      {"before \xed\xb0\x80 after it", 2},
      {"\xed\xa0\xbd\xed\xb8\x80", 2}, /* a pair that was not joined is two lone ones */
      {"\x80", 0},
      {"\xbf", 0},
      {"\xc0\x80", 0},
      {"\xc1\xbf", 0},
      {"\xc3", 0},
      {"\xc3(", 0},
      {"\xe0\x9f\xbf", 0},
      {"\xe2\x82", 0},
      {"\xe2\x82(", 0},
      {"\xe2(\xac", 0},
      {"\xf0\x8f\xbf\xbf", 0},
      {"\xf0\x9f\x98", 0},
      {"\xf4\x90\x80\x80", 0},
      {"\xf5\x80\x80\x80", 0},
      {"\xff", 0},
      {"\xfe", 0},
      {"12345678\xff", 0},
      {"1234567\xc3\xa9\xff", 0},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    assert_int_equal(value_utf8(table[i].text, strlen(table[i].text)), table[i].expected);
    remora_value *v = remora_str(table[i].text);
    assert_true((v != NULL) == (table[i].expected != 0));
    remora_value_unref(v);
  }
}

static void test_text_and_bytes(void **state) {
  (void)state;
  size_t length;
  remora_value *v = remora_text("a\0b", 3);
  assert_memory_equal(remora_as_text(v, &length), "a\0b", 4);
  assert_int_equal(length, 3);
  remora_value_unref(v);
  v = remora_bytes("\xff\0", 2);
  assert_int_equal(remora_value_kind(v), REMORA_BYTES);
  assert_memory_equal(remora_as_text(v, &length), "\xff\0", 2);
  remora_value_unref(v);
  v = remora_bytes(NULL, 0);
  assert_non_null(remora_as_text(v, &length));
  assert_int_equal(length, 0);
  remora_value_unref(v);

  int gone = 0;
  v = remora_value_ref(witness(&gone));
  remora_value_unref(v);
  assert_int_equal(gone, 0);
  remora_value_unref(v);
  assert_int_equal(gone, 1);
  remora_value_unref(remora_bytes_view("still", 5, NULL, NULL));
}

static void test_list(void **state) {
  (void)state;
  remora_value *list = remora_list();
  for (int i = 0; i < 100000; i++) assert_int_equal(remora_append(list, remora_int(i)), 0);
  assert_int_equal(remora_length(list), 100000);
  for (int i = 0; i < 100000; i += 999) assert_int_equal(remora_as_int(remora_at(list, (size_t)i)), i);
  assert_null(remora_at(list, 100000));
  assert_null(remora_key_at(list, 0));
  remora_value_unref(list);

  remora_value *items[] = {remora_int(1), remora_int(2), remora_int(3)};
  list = value_sequence(REMORA_TUPLE, items, 3); /* no room to spare: the next one moves the items */
  assert_int_equal(remora_append(list, remora_int(4)), 0);
  assert_int_equal(remora_length(list), 4);
  assert_int_equal(remora_as_int(remora_at(list, 3)), 4);
  remora_value_unref(list);
  list = value_sequence(REMORA_LIST, NULL, 0);
  assert_int_equal(remora_append(list, remora_int(4)), 0);
  remora_value_unref(list);
}

static void test_map(void **state) {
  (void)state;
  remora_value *map = remora_map();
  assert_int_equal(remora_set(map, "a", remora_int(1)), 0);
  assert_int_equal(remora_put(map, remora_int(5), remora_str("five")), 0);
  assert_int_equal(remora_put(map, remora_text("a\0b", 3), remora_null()), 0);
  for (int i = 0; i < 100; i++) assert_int_equal(remora_put(map, remora_int(1000 + i), remora_int(i)), 0);
  assert_int_equal(remora_length(map), 103);
  assert_int_equal(remora_as_int(remora_get(map, "a")), 1);
  assert_null(remora_get(map, "b"));
  assert_null(remora_get(NULL, "b"));
  assert_int_equal(remora_as_int(remora_key_at(map, 1)), 5);
  assert_string_equal(remora_as_text(remora_at(map, 1), NULL), "five");
  assert_int_equal(remora_as_int(remora_at(map, 102)), 99);
  assert_null(remora_key_at(map, 103));
  assert_null(remora_at(map, 103));
  remora_value_unref(map);
}

static void test_steals_also_on_failure(void **state) {
  (void)state;
  int gone = 0;
  remora_value *list = remora_list(), *map = remora_map();
  assert_int_equal(remora_append(map, witness(&gone)), -1);
  assert_int_equal(remora_append(NULL, witness(&gone)), -1);
  assert_int_equal(remora_append(list, NULL), -1);
  assert_int_equal(gone, 2);
  assert_int_equal(remora_put(list, witness(&gone), witness(&gone)), -1);
  assert_int_equal(remora_put(map, NULL, witness(&gone)), -1);
  assert_int_equal(remora_put(map, witness(&gone), NULL), -1);
  assert_int_equal(gone, 6);
  assert_int_equal(remora_set(map, "\xff", witness(&gone)), -1);
  assert_int_equal(remora_set_keywords(map, pair(remora_str("k"), witness(&gone))), -1);
  assert_int_equal(remora_set_keywords(list, pair(remora_int(1), witness(&gone))), -1);
  assert_int_equal(remora_set_keywords(list, witness(&gone)), -1);
  assert_int_equal(remora_set_keywords(list, NULL), -1);
  assert_int_equal(gone, 10);
  assert_int_equal(remora_length(list) + remora_length(map), 0);
  remora_value_unref(list);
  remora_value_unref(map);
}

static void test_keywords(void **state) {
  (void)state;
  int gone = 0;
  remora_value *args = list_of(remora_int(1));
  assert_null(remora_keywords(args));
  assert_int_equal(remora_set_keywords(args, pair(remora_str("old"), witness(&gone))), 0);
  assert_int_equal(remora_set_keywords(args, pair(remora_str("new"), witness(&gone))), 0);
  assert_int_equal(gone, 1);
  assert_non_null(remora_get(remora_keywords(args), "new"));
  assert_int_equal(remora_length(args), 1);
  assert_equal_and_drop(0, args, list_of(remora_int(1)));
  assert_int_equal(gone, 2);
}

static void test_wrong_kinds(void **state) {
  (void)state;
  size_t length = 9;
  const remora_value *v = remora_int(5);
  assert_null(remora_as_text(v, &length));
  assert_int_equal(length, 0);
  assert_int_equal(remora_length(v), 0);
  assert_null(remora_at(v, 0));
  assert_null(remora_get(v, "a"));
  assert_null(remora_keywords(v));
  assert_null(remora_as_proxy(v));
  assert_null(remora_as_object(v));
  assert_int_equal(remora_as_bool(v), 0);
  assert_int_equal(remora_value_kind(NULL), REMORA_NULL);
  assert_int_equal(remora_as_int(NULL), 0);
  assert_true(remora_as_float(NULL) == 0.0);
  assert_null(remora_value_ref(NULL));
  assert_null(remora_value_unref(NULL));
}

static void test_references(void **state) {
  (void)state;
  int first = 1, second = 1;
  remora_proxy *p = (remora_proxy *)(void *)&first;
  remora_object *o = (remora_object *)(void *)&second;
  remora_value *a = remora_value_of_proxy(p), *b = remora_value_of_object(o);
  assert_int_equal(first, 2);
  assert_int_equal(second, 2);
  assert_ptr_equal(remora_as_proxy(a), p);
  assert_ptr_equal(remora_as_object(b), o);
  assert_null(remora_as_object(a));
  assert_equal_and_drop(1, remora_value_of_proxy(p), remora_value_ref(a));
  assert_equal_and_drop(0, a, b);
  assert_int_equal(first, 1);
  assert_int_equal(second, 1);
}

static void test_equality(void **state) {
  (void)state;
  assert_equal_and_drop(1, remora_float(NAN), remora_float(-(double)NAN));
  assert_equal_and_drop(1, remora_float(0.0), remora_float(-0.0));
  assert_equal_and_drop(0, remora_float(1.0), remora_int(1));
  assert_equal_and_drop(0, remora_bool(1), remora_int(1));
  assert_equal_and_drop(1, NULL, remora_null());
  assert_equal_and_drop(0, remora_str("a"), remora_bytes("a", 1));
  assert_equal_and_drop(0, remora_text("a\0b", 3), remora_text("a\0c", 3));
  assert_equal_and_drop(0, remora_list(), remora_tuple());
  assert_equal_and_drop(1, remora_map(), remora_map());
  assert_equal_and_drop(0, list_of(remora_int(1000)), list_of(remora_int(1001)));
  assert_equal_and_drop(1, list_of(remora_int(1000)), list_of(remora_int(1000)));
  assert_equal_and_drop(1, pair(list_of(remora_int(1)), remora_int(2)), pair(list_of(remora_int(1)), remora_int(2)));
  assert_equal_and_drop(0, pair(list_of(remora_int(1)), remora_int(2)), pair(list_of(remora_int(3)), remora_int(2)));
  assert_equal_and_drop(0, pair(remora_str("a"), remora_int(2)), pair(remora_str("a"), remora_int(3)));
}

static void test_equality_of_maps_in_any_order(void **state) {
  (void)state;
  static const int sizes[] = {2, 3, 16, 17, 2000};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    remora_value *a = remora_map(), *b = remora_map(), *c = remora_map();
    for (int i = 0; i < sizes[s]; i++) {
      char key[32];
      snprintf(key, sizeof key, "key number %d", i);
      remora_set(a, key, remora_int(i));
      snprintf(key, sizeof key, "key number %d", sizes[s] - 1 - i);
      remora_set(b, key, remora_int(sizes[s] - 1 - i));
      remora_set(c, key, remora_int(i));
    }
    assert_false(value_has_equal_keys(a));
    assert_equal_and_drop(0, remora_value_ref(a), c);
    assert_equal_and_drop(1, a, b);
  }
}

static void test_equal_keys(void **state) {
  (void)state;
  static const int sizes[] = {1, 2, 15, 16, 17, 5000};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    for (int kind = 0; kind < 4; kind++) {
      remora_value *map = remora_map();
      for (int i = 0; i < 2 * sizes[s]; i++) {
        int number = i / 2 + 1000; /* each twice; the first of them is left out below */
        if (i == 1) assert_false(value_has_equal_keys(map));
        if (i % 2 && i != 2 * sizes[s] - 1) continue;
        char text[32];
        snprintf(text, sizeof text, "%d", number);
        remora_value *key = kind == 0   ? remora_str(text)
                            : kind == 1 ? remora_int(number)
                            : kind == 2 ? remora_float(number + 0.5)
                                        : list_of(remora_int(number));
        remora_put(map, key, remora_null());
        if (i == 2 * sizes[s] - 2) assert_false(value_has_equal_keys(map));
      }
      assert_true(value_has_equal_keys(map));
      remora_value_unref(map);
    }
  remora_value *map = pair(remora_float(NAN), remora_null());
  remora_put(map, list_of(remora_float(0.0)), remora_null());
  remora_put(map, remora_bool(1), remora_null());
  remora_put(map, remora_int(1), remora_null());
  remora_put(map, remora_float(1.0), remora_null());
  remora_put(map, remora_str("1"), remora_null());
  remora_put(map, remora_bytes("1", 1), remora_null());
  assert_false(value_has_equal_keys(map));
  remora_put(map, list_of(remora_float(-0.0)), remora_null());
  assert_true(value_has_equal_keys(map));
  remora_value_unref(map);
}

/* A map whose key is a map whose key is ... a number; the number differs. Twice the work on each level would never end.
 */
static void test_comparing_is_not_exponential(void **state) {
  (void)state;
  remora_value *a[2];
  for (int side = 0; side < 2; side++) {
    remora_value *by_key = remora_int(1000 + side), *by_value = remora_int(1000 + side);
    for (int i = 0; i < 100; i++) {
      by_key = pair(by_key, remora_null());
      by_value = pair(remora_str("k"), by_value);
      remora_set(by_value, "l", remora_null());
    }
    a[side] = pair(by_key, remora_null());
    remora_put(a[side], remora_str("v"), by_value);
  }
  remora_value *keys = pair(remora_value_ref(a[0]), remora_null());
  remora_put(keys, remora_value_ref(a[1]), remora_null());
  assert_false(value_has_equal_keys(keys));
  remora_value_unref(keys);
  assert_equal_and_drop(0, a[0], a[1]);
}

static void test_deep_values_are_freed_without_recursion(void **state) {
  (void)state;
  int gone = 0;
  remora_value *v = witness(&gone);
  for (int i = 0; i < 1000000; i++) switch (i % 4) {
    case 0:
      v = list_of(v);
      break;
    case 1:
      v = pair(remora_str("k"), v);
      break;
    case 2:
      v = pair(v, remora_null());
      break;
    case 3: {
      remora_value *args = remora_list();
      remora_set_keywords(args, pair(remora_str("k"), v));
      v = args;
    }
    }
  assert_int_equal(remora_value_equal(v, v), 1);
  assert_equal_and_drop(0, list_of(remora_value_ref(v)), list_of(list_of(v))); /* ends, at least */
  assert_int_equal(gone, 1);
}

static void *share(void *v) {
  for (int i = 0; i < 100000; i++) remora_value_unref(remora_value_ref(v));
  return remora_value_unref(v);
}

static void test_references_are_counted_atomically(void **state) {
  (void)state;
  int gone = 0;
  remora_value *v = list_of(witness(&gone));
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, share, remora_value_ref(v)), 0);
  remora_value_unref(v);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  assert_int_equal(gone, 1);
}

/* ----------------------------------------------------------------------------------------------------------- errors */

static void test_error_table(void **state) {
  (void)state;
  assert_string_equal(remora_code_name(REMORA_E_TIMEOUT), "Timeout");
  assert_string_equal(remora_code_name(-99), "Error");
  assert_string_equal(remora_code_name(0), "Error");
  assert_string_equal(remora_code_text(REMORA_E_NOMEM), "out of memory");
  assert_non_null(remora_code_text(-99));
  assert_int_equal(remora_error_code(NULL), REMORA_OK);
  assert_non_null(remora_error_message(NULL));
  assert_null(remora_error_free(NULL));
}

static void test_error_set(void **state) {
  (void)state;
  remora_error *err = NULL;
  assert_int_equal(error_set(NULL, REMORA_E_LOST, "%d", 5), -1);
  assert_int_equal(error_set(&err, REMORA_E_LOST, "gone\tafter %d s:\n  %s\n", 5, "so"), -1);
  assert_int_equal(remora_error_code(err), REMORA_E_LOST);
  assert_string_equal(remora_error_message(err), "gone after 5 s:   so");
  assert_string_equal(remora_error_type(err), "ConnectionLost");
  assert_null(remora_error_stage(err));
  assert_null(remora_error_details(err));
  assert_null(remora_error_traceback(err));
  remora_error_free(err);

  char word[3000];
  memset(word, 'x', sizeof word - 1);
  word[sizeof word - 1] = '\0';
  error_stage(&err, "spawn", "%s!", word);
  assert_int_equal(strlen(remora_error_message(err)), sizeof word);
  assert_int_equal(remora_error_code(err), REMORA_E_CONNECT);
  remora_error *copy = error_copy(err);
  remora_error_free(err);
  assert_string_equal(remora_error_stage(copy), "spawn");
  assert_int_equal(strlen(remora_error_message(copy)), sizeof word);
  remora_error_free(copy);

  error_set(&err, REMORA_E_DENIED, NULL);
  assert_string_equal(remora_error_message(err), remora_code_text(REMORA_E_DENIED));
  remora_error_free(err);
  assert_null(error_copy(NULL));
}

static remora_value *far_error(const char *type, const char *message) {
  remora_value *map = remora_map();
  remora_value *types = list_of(remora_str(type));
  remora_append(types, remora_str("Exception"));
  remora_set(map, "type", types);
  remora_set(map, "message", remora_str(message));
  remora_set(map, "traceback", remora_str("line 1\nline 2"));
  return map;
}

static void test_error_remote(void **state) {
  (void)state;
  remora_error *err = remora_error_remote(far_error("ValueError", "no\nway"));
  assert_int_equal(remora_error_code(err), REMORA_E_REMOTE);
  assert_string_equal(remora_error_type(err), "ValueError");
  assert_string_equal(remora_error_message(err), "no way");
  assert_string_equal(remora_error_traceback(err), "line 1\nline 2");
  assert_string_equal(remora_as_text(remora_get(remora_error_details(err), "message"), NULL), "no\nway");
  remora_value *wire = error_to_wire(err);
  assert_ptr_equal(wire, remora_error_details(err));
  remora_value_unref(wire);
  remora_error *copy = error_copy(err);
  assert_ptr_equal(remora_error_details(copy), remora_error_details(err));
  remora_error_free(err);
  remora_error_free(copy);

  assert_null(remora_error_remote(NULL));
  assert_null(remora_error_remote(remora_map()));
  remora_value *map = pair(remora_str("type"), remora_list());
  remora_set(map, "message", remora_str("x"));
  assert_null(remora_error_remote(map));
  map = pair(remora_str("type"), list_of(remora_int(1)));
  remora_set(map, "message", remora_str("x"));
  assert_null(remora_error_remote(map));
  assert_null(remora_error_remote(pair(remora_str("type"), list_of(remora_str("E")))));
}

static void test_error_from_wire(void **state) {
  (void)state;
  static const struct {
    const char *type;
    int code;
  } table[] = {
      {"remora.Timeout", REMORA_E_TIMEOUT},
      {"remora.NotFound", REMORA_E_NOTFOUND},
      {"remora.Denied", REMORA_E_DENIED},
      {"remora.Cancelled", REMORA_E_CANCELLED},
      {"remora.Value", REMORA_E_VALUE},
      {"remora.Limit", REMORA_E_REMOTE},
      {"remora.ConnectionLost", REMORA_E_REMOTE},
      {"KeyError", REMORA_E_REMOTE},
      {"Timeout", REMORA_E_REMOTE},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    remora_value *map = far_error(table[i].type, "because");
    remora_set(map, "hops", list_of(remora_str("web1 pid 1")));
    remora_error *err = error_from_wire(map, i % 2 ? "here pid 2" : NULL);
    assert_int_equal(remora_error_code(err), table[i].code);
    assert_string_equal(remora_error_message(err), "because");
    assert_string_equal(remora_error_traceback(err), "line 1\nline 2");
    const remora_value *details = remora_error_details(err);
    assert_non_null(details);
    assert_int_equal(remora_length(remora_get(details, "hops")), i % 2 ? 2 : 1);
    assert_int_equal(remora_length(details), 4);
    if (table[i].code == REMORA_E_REMOTE) assert_string_equal(remora_error_type(err), table[i].type);
    assert_int_equal(remora_length(remora_get(map, "hops")), 1);
    remora_error_free(err);
    remora_value_unref(map);
  }
  remora_value *map = far_error("E", "m");
  remora_error *err = error_from_wire(map, "here");
  assert_string_equal(remora_as_text(remora_at(remora_get(remora_error_details(err), "hops"), 0), NULL), "here");
  remora_error_free(err);
  remora_value_unref(map);
  err = error_from_wire(remora_null(), "here");
  assert_int_equal(remora_error_code(err), REMORA_E_PROTOCOL);
  remora_error_free(err);
}

static void test_error_to_wire(void **state) {
  (void)state;
  static const struct {
    int code;
    const char *type;
  } table[] = {{REMORA_E_TIMEOUT, "remora.Timeout"},
               {REMORA_E_VALUE, "remora.Value"},
               {REMORA_E_LOST, "remora.ConnectionLost"},
               {REMORA_E_REMOTE, "RemoteError"}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    remora_error *err = remora_error_new(table[i].code, "file \xff is gone");
    remora_value *map = error_to_wire(err);
    remora_error_free(err);
    assert_string_equal(remora_as_text(remora_at(remora_get(map, "type"), 0), NULL), table[i].type);
    assert_string_equal(remora_as_text(remora_get(map, "message"), NULL), "file ? is gone");
    err = error_from_wire(map, NULL);
    assert_int_equal(remora_error_code(err), table[i].code == REMORA_E_LOST ? REMORA_E_REMOTE : table[i].code);
    remora_error_free(err);
    remora_value_unref(map);
  }
}

/* -------------------------------------------------------------------------------------------------- without memory */

static bool build_without_memory(void *unused) {
  (void)unused;
  remora_value *map = remora_map(), *args = remora_list();
  int failed = 0;
  for (int i = 0; i < 40; i++) {
    failed |= remora_put(map, remora_int(1000 + i), remora_bytes("x", 1));
    failed |= remora_append(args, remora_bigint("123456789012345678901234567890"));
  }
  failed |= remora_set_keywords(args, remora_map());
  if (map) assert_false(value_has_equal_keys(map));
  remora_value_unref(map);
  remora_value_unref(args);
  return !failed;
}

static bool errors_without_memory(void *map) {
  remora_error *err = NULL, *copy;
  error_set(&err, REMORA_E_LOST, "%600d", 5);
  int code = remora_error_code(err);
  assert_true(code == REMORA_E_LOST || code == REMORA_E_NOMEM);
  copy = error_copy(err);
  assert_true(remora_error_code(copy) == code || remora_error_code(copy) == REMORA_E_NOMEM);
  remora_error_free(err);
  err = error_from_wire(map, "here");
  bool ok = code == REMORA_E_LOST && remora_error_code(copy) == code && remora_error_code(err) == REMORA_E_REMOTE;
  remora_error_free(err);
  remora_value *wire = error_to_wire(copy);
  ok = ok && wire;
  remora_error_free(copy);
  remora_value_unref(wire);
  return ok;
}

static void test_without_memory(void **state) {
  (void)state;
  if (!failing_works()) skip();
  assert_true(failing_each(build_without_memory, NULL) > 100);
  remora_value *map = far_error("KeyError", "because");
  assert_true(failing_each(errors_without_memory, map) > 10);
  remora_value_unref(map);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scalars),
      cmocka_unit_test(test_integers),
      cmocka_unit_test(test_bigint),
      cmocka_unit_test(test_utf8),
      cmocka_unit_test(test_text_and_bytes),
      cmocka_unit_test(test_list),
      cmocka_unit_test(test_map),
      cmocka_unit_test(test_steals_also_on_failure),
      cmocka_unit_test(test_keywords),
      cmocka_unit_test(test_wrong_kinds),
      cmocka_unit_test(test_references),
      cmocka_unit_test(test_equality),
      cmocka_unit_test(test_equality_of_maps_in_any_order),
      cmocka_unit_test(test_equal_keys),
      cmocka_unit_test(test_comparing_is_not_exponential),
      cmocka_unit_test(test_deep_values_are_freed_without_recursion),
      cmocka_unit_test(test_references_are_counted_atomically),
      cmocka_unit_test(test_error_table),
      cmocka_unit_test(test_error_set),
      cmocka_unit_test(test_error_remote),
      cmocka_unit_test(test_error_from_wire),
      cmocka_unit_test(test_error_to_wire),
      cmocka_unit_test(test_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
