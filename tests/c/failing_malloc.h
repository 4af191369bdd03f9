/* failing_malloc.h: counts allocations and lets the n-th one fail.
 *
 * Link with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free; else the tests that need it skip themselves. */
#ifndef REMORA_TEST_FAILING_MALLOC_H
#define REMORA_TEST_FAILING_MALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/* Weak, so that a program that is linked without --wrap still links. */
extern void *__real_malloc(size_t size) __attribute__((weak));
extern void *__real_calloc(size_t n, size_t size) __attribute__((weak));
extern void *__real_realloc(void *old, size_t size) __attribute__((weak));
extern void __real_free(void *old) __attribute__((weak));
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *old);

/* Volatile, for compilers believe that malloc touches no variable of ours. */
static volatile long failing_countdown; /* the allocation that brings it to 0 fails */
static volatile bool failing_on;        /* and all that follow too */
static volatile long failing_live;      /* allocations that were not freed yet */

static bool failing_now(void) {
  if (failing_countdown == 0) return failing_on;
  failing_countdown = failing_countdown - 1;
  return failing_countdown == 0;
}

void *__wrap_malloc(size_t size) {
  void *made = failing_now() ? NULL : __real_malloc(size);
  failing_live += made != NULL;
  return made;
}

void *__wrap_calloc(size_t n, size_t size) {
  void *made = failing_now() ? NULL : __real_calloc(n, size);
  failing_live += made != NULL;
  return made;
}

void *__wrap_realloc(void *old, size_t size) {
  void *made = failing_now() ? NULL : __real_realloc(old, size);
  failing_live += made != NULL && old == NULL;
  return made;
}

void __wrap_free(void *old) {
  failing_live -= old != NULL;
  __real_free(old);
}

/* Whether the program was linked with --wrap. */
static bool failing_works(void) {
  long before = failing_live;
  void *volatile probe = malloc(1);
  bool works = failing_live == before + 1;
  free(probe);
  return works;
}

/* Runs what(argument) with the first, the second, ... allocation failing, alone and with all later ones, until it needs
 * no more. `what` gives everything back and returns whether it succeeded. How many runs failed; -1 if memory leaked. */
static int failing_each(bool (*what)(void *argument), void *argument) {
  int failed = 0;
  for (int on = 0; on < 2; on++) {
    bool reached = true;
    for (long n = 1; reached; n++) {
      long before = failing_live;
      failing_countdown = n;
      failing_on = on;
      bool ok = what(argument);
      reached = failing_countdown == 0;
      failing_countdown = 0;
      failing_on = false;
      if (failing_live != before) return -1;
      failed += !ok;
    }
  }
  return failed;
}

#endif
