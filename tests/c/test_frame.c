/* test_frame.c: every rule of the envelope, at its edge. */
#include "frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MOST (1u << 20) /* max_message here */

/* A frame of each kind that is just right. */
static frame right(uint8_t kind) {
  frame f = {.kind = kind};
  if (kind >= FRAME_CALL && kind <= FRAME_CANCEL) f.call = 1;
  if (kind == FRAME_CHUNK_OF) f.call = 1, f.aux = FRAME_CALL, f.size = 1;
  if (kind == FRAME_OUTPUT) f.aux = 1;
  return f;
}

#define ACCEPTED(...) assert_null(frame_check(&(frame){__VA_ARGS__}, MOST))
#define REFUSED(...) assert_non_null(frame_check(&(frame){__VA_ARGS__}, MOST))

static void test_kinds(void **state) {
  (void)state;
  for (unsigned kind = 0; kind < 256; kind++) {
    frame f = right((uint8_t)kind);
    bool known = kind >= FRAME_HELLO && kind <= FRAME_LOG;
    assert_int_equal(frame_check(&f, MOST) == NULL, known);
    assert_int_equal(strcmp(frame_kind_name((uint8_t)kind), "?") != 0, known);
  }
}

/* Which flags and which fields each kind has: letters p t c k o r for PLAIN TABLES CHUNKED KW ONEWAY BYREF, m i a o x for mlen call aux object chain. */
static const struct {
  uint8_t kind;
  const char *flags, *fields;
} rules[] = {
    {FRAME_HELLO, "", ""},   {FRAME_CALL, "ptckor", "miaox"}, {FRAME_REPLY, "ptc", "i"},  {FRAME_ERROR, "ptc", "i"},
    {FRAME_CANCEL, "", "i"}, {FRAME_RELEASE, "", ""},         {FRAME_BEAT, "", ""},       {FRAME_CREDIT, "", "o"},
    {FRAME_TYPE, "", "o"},   {FRAME_OUTPUT, "", "a"},         {FRAME_CHUNK_OF, "", "ia"}, {FRAME_BYE, "", ""},
    {FRAME_LOG, "", "o"},
};

static void test_flags(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
    for (unsigned bit = 0; bit < 8; bit++) {
      frame f = right(rules[i].kind);
      f.flags = (uint8_t)(1u << bit);
      bool may = bit < 6 && strchr(rules[i].flags, "ptckor"[bit]) != NULL;
      if ((frame_check(&f, MOST) == NULL) != may) fail_msg("%s, flag %u", frame_kind_name(f.kind), 1u << bit);
    }
}

static void test_fields(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
    for (const char *field = "miaox"; *field; field++) {
      frame f = right(rules[i].kind);
      switch (*field) {
      case 'm':
        f.mlen = 1, f.size = f.kind == FRAME_CALL ? 1 : f.size;
        break;
      case 'i':
        f.call = 7;
        break;
      case 'a':
        f.aux = 2;
        break;
      case 'o':
        f.object = UINT64_C(1) << 40;
        break;
      default:
        f.chain = UINT64_C(1) << 63;
      }
      bool may = strchr(rules[i].fields, *field) != NULL;
      if ((frame_check(&f, MOST) == NULL) != may) fail_msg("%s, field %c", frame_kind_name(f.kind), *field);
    }
}

static void test_sizes(void **state) {
  (void)state;
  static const struct {
    uint8_t kind;
    uint32_t most;
  } table[] = {{FRAME_HELLO, 65536},  {FRAME_CANCEL, 0},        {FRAME_RELEASE, 65536},
               {FRAME_BEAT, 0},       {FRAME_CREDIT, 0},        {FRAME_TYPE, 65536},
               {FRAME_OUTPUT, 65536}, {FRAME_CHUNK_OF, 262144}, {FRAME_BYE, 65536}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    frame f = right(table[i].kind);
    f.size = table[i].most;
    assert_null(frame_check(&f, MOST));
    f.size += f.kind == FRAME_RELEASE ? 16 : 1;
    assert_non_null(frame_check(&f, MOST));
    f.size = UINT32_MAX & ~UINT32_C(15);
    assert_non_null(frame_check(&f, UINT32_MAX));
  }
  for (uint8_t kind = FRAME_CALL; kind <= FRAME_ERROR; kind++) {
    ACCEPTED(.kind = kind, .call = 1, .size = FRAME_CHUNK);
    REFUSED(.kind = kind, .call = 1, .size = FRAME_CHUNK + 1);
    ACCEPTED(.kind = kind, .call = 1, .flags = FRAME_CHUNKED, .size = FRAME_CHUNK + 1);
    ACCEPTED(.kind = kind, .call = 1, .flags = FRAME_CHUNKED, .size = MOST);
    REFUSED(.kind = kind, .call = 1, .flags = FRAME_CHUNKED, .size = MOST + 1);
    assert_non_null(
        frame_check(&(frame){.kind = kind, .call = 1, .size = 101}, 100)); /* the limit holds for small ones too */
  }
}

static void test_call_ids(void **state) {
  (void)state;
  static const uint8_t kinds[] = {FRAME_CALL, FRAME_REPLY, FRAME_ERROR, FRAME_CANCEL, FRAME_CHUNK_OF};
  for (size_t i = 0; i < sizeof kinds; i++) {
    frame f = right(kinds[i]);
    f.call = UINT32_MAX;
    assert_null(frame_check(&f, MOST));
    f.call = 0;
    assert_non_null(frame_check(&f, MOST));
  }
}

static void test_the_rest(void **state) {
  (void)state;
  ACCEPTED(.kind = FRAME_CALL, .call = 1, .mlen = 65535, .size = 65535);
  REFUSED(.kind = FRAME_CALL, .call = 1, .mlen = 5, .size = 4);
  ACCEPTED(.kind = FRAME_RELEASE, .size = 0);
  ACCEPTED(.kind = FRAME_RELEASE, .size = 32);
  for (uint32_t size = 1; size < 16; size++) REFUSED(.kind = FRAME_RELEASE, .size = size);
  REFUSED(.kind = FRAME_OUTPUT, .aux = 0);
  ACCEPTED(.kind = FRAME_OUTPUT, .aux = 2);
  REFUSED(.kind = FRAME_OUTPUT, .aux = 3);
  for (uint32_t kind = 0; kind < 20; kind++) {
    frame f = {.kind = FRAME_CHUNK_OF, .call = 1, .aux = kind, .size = 10};
    assert_int_equal(frame_check(&f, MOST) == NULL, kind >= FRAME_CALL && kind <= FRAME_ERROR);
  }
  ACCEPTED(.kind = FRAME_CHUNK_OF, .call = 1, .aux = FRAME_CALL, .size = 0);
}

/* The bytes, as the specification draws them. */
static void test_bytes(void **state) {
  (void)state;
  static const uint8_t bytes[FRAME_HEADER] = {0x04, 0x03, 0x02, 0x01, 0x02, 0x15, 0xcd, 0xab, 0x14, 0x13, 0x12,
                                              0x11, 0x24, 0x23, 0x22, 0x21, 0x38, 0x37, 0x36, 0x35, 0x34, 0x33,
                                              0x32, 0x31, 0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41};
  frame f = {.size = 0x01020304,
             .kind = FRAME_CALL,
             .flags = FRAME_PLAIN | FRAME_CHUNKED | FRAME_ONEWAY,
             .mlen = 0xabcd,
             .call = 0x11121314,
             .aux = 0x21222324,
             .object = UINT64_C(0x3132333435363738),
             .chain = UINT64_C(0x4142434445464748)};
  uint8_t out[FRAME_HEADER];
  frame_encode(&f, out);
  assert_memory_equal(out, bytes, sizeof bytes);
  frame back = {0};
  frame_decode(bytes, &back);
  assert_memory_equal(&back, &f, sizeof f);
  assert_int_equal(sizeof FRAME_MAGIC - 1, FRAME_MAGIC_LENGTH);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_kinds), cmocka_unit_test(test_flags),    cmocka_unit_test(test_fields),
      cmocka_unit_test(test_sizes), cmocka_unit_test(test_call_ids), cmocka_unit_test(test_the_rest),
      cmocka_unit_test(test_bytes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
