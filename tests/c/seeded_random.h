/* seeded_random.h: random numbers that a seed repeats on every machine. */
#ifndef REMORA_TEST_SEEDED_RANDOM_H
#define REMORA_TEST_SEEDED_RANDOM_H

#include <stdint.h>

static uint32_t random_state;

/* xorshift: the same numbers everywhere, so that a seed tells the whole story. */
static uint32_t random_below(uint32_t limit) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 17;
  random_state ^= random_state << 5;
  return random_state % limit;
}

#endif
