/* test_slab.c: pieces of slabs across threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "slab.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { PIECES = 20000 };

static size_t size_of(size_t i) { return i * 37 % 600; } /* some are larger than what slabs hold */

static void *make_pieces(void *room) {
  unsigned char **pieces = room;
  for (size_t i = 0; i < PIECES; i++) {
    pieces[i] = slab_alloc(size_of(i));
    if (pieces[i]) memset(pieces[i], (int)(i & 0xff), size_of(i));
  }
  return NULL;
}

/* Made by a thread that has ended, read and freed by another, in another order. */
static void test_pieces_outlive_their_thread(void **state) {
  (void)state;
  unsigned char **pieces = calloc(PIECES, sizeof *pieces);
  pthread_t thread;
  assert_non_null(pieces);
  assert_int_equal(pthread_create(&thread, NULL, make_pieces, pieces), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  for (size_t step = 0; step < 7; step++)
    for (size_t i = step; i < PIECES; i += 7) {
      assert_non_null(pieces[i]);
      assert_int_equal((uintptr_t)pieces[i] % 8, 0);
      for (size_t at = 0; at < size_of(i); at++) assert_int_equal(pieces[i][at], i & 0xff);
      slab_free(pieces[i]);
    }
  free(pieces);
}

static void test_sizes_that_overflow(void **state) {
  (void)state;
#ifdef __SANITIZE_ADDRESS__
  skip(); /* its malloc ends the program */
#endif
  volatile size_t huge = SIZE_MAX - 4;
  assert_null(slab_alloc(huge));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pieces_outlive_their_thread),
      cmocka_unit_test(test_sizes_that_overflow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
