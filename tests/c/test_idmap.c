/* test_idmap.c: the hash table against a plain array, with keys that collide. */
#include "idmap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t next_random(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  return *seed ^= *seed << 17;
}

enum { KEYS = 3000 };

/* Keys of one sort: small numbers, addresses, numbers that differ in their highest bits only. */
static uint64_t key_of(int sort, uint64_t i) {
  switch (sort) {
  case 0:
    return i + 1;
  case 1:
    return UINT64_C(0x7f0012340000) + i * 64;
  case 2:
    return (i + 1) << 52;
  default:
    return 1 | (i << 32);
  }
}

static void compare(int sort, uint64_t most) {
  static void *model[KEYS];
  static int values[16];
  idmap m = {0};
  size_t used = 0;
  uint64_t seed = 88172645463325252u + (uint64_t)sort;
  for (uint64_t i = 0; i < most; i++) model[i] = NULL;
  for (int step = 0; step < 200000; step++) {
    uint64_t i = next_random(&seed) % most, key = key_of(sort, i);
    /* Long waves: mostly puts, then mostly removes, so that it grows and shrinks. */
    if (next_random(&seed) % 10 < (step / 20000 % 2 ? 3u : 7u)) {
      void *value = &values[next_random(&seed) % 16];
      assert_int_equal(idmap_put(&m, key, value), 0);
      used += model[i] == NULL;
      model[i] = value;
    } else {
      assert_ptr_equal(idmap_remove(&m, key), model[i]);
      used -= model[i] != NULL;
      model[i] = NULL;
    }
    assert_int_equal(m.used, used);
    uint64_t other = next_random(&seed) % most;
    assert_ptr_equal(idmap_get(&m, key_of(sort, other)), model[other]);
  }
  for (uint64_t i = 0; i < most; i++) assert_ptr_equal(idmap_get(&m, key_of(sort, i)), model[i]);
  for (uint64_t i = 0; i < most; i++) assert_ptr_equal(idmap_remove(&m, key_of(sort, i)), model[i]);
  assert_int_equal(m.used, 0);
  assert_true(m.room <= 2048); /* it has given its memory back */
  idmap_clear(&m);
  assert_null(m.rows);
}

static void test_against_a_model(void **state) {
  (void)state;
  for (int sort = 0; sort < 4; sort++) {
    compare(sort, KEYS);
    compare(sort, 40);
  }
}

static void test_empty(void **state) {
  (void)state;
  idmap m = {0};
  assert_null(idmap_get(&m, 1));
  assert_null(idmap_remove(&m, 1));
  idmap_clear(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_empty), cmocka_unit_test(test_against_a_model)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
