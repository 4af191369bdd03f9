/* test_session.c: two sessions back to back, through buffers that are cut everywhere. No I/O, no threads. */
#include "session.h"

#include "failing_malloc.h"
#include "seeded_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MAX_MESSAGE (16u * 1024 * 1024)

/* --------------------------------------------------------------------------------------------------------- helpers */

/* The byte at a place of the payload of a call: no two messages look alike. */
static char pattern(uint32_t call, size_t at) { return (char)('a' + (call * 7 + at * 31 + at / 251) % 26); }

static char *filled(uint32_t call, size_t from, size_t length) {
  char *text = malloc(length + 1);
  assert_non_null(text);
  for (size_t i = 0; i < length; i++) text[i] = pattern(call, from + i);
  text[length] = 0;
  return text;
}

/* A session that has seen the start and reads frames. */
static void open_session(session *s) {
  session_init(s, MAX_MESSAGE, "test");
  session_feed(s, (const uint8_t *)FRAME_MAGIC, FRAME_MAGIC_LENGTH);
  assert_true(s->started);
}

static void close_session(session *s) {
  session_clear(s);
  free(s->pending);
  free(s->pending_next);
  free(s->pending_generation);
  free(s->exports);
  idmap_clear(&s->lent_ids);
}

/* Queues a message whose body and attachments are `sizes` (ended by -1) bytes of the pattern. */
static int send_sized(session *s, frame head, const char *method, const long *sizes) {
  codec_raw raws[8];
  codec_out out = {.plain = true, .raws = raws};
  size_t at = 0;
  out.length = (size_t)sizes[0];
  out.body = filled(head.call, 0, out.length);
  at += out.length;
  for (size_t i = 1; sizes[i] >= 0; i++) {
    char *text = filled(head.call, at, (size_t)sizes[i]);
    raws[out.nraws++].value = remora_bytes(text, (size_t)sizes[i]);
    at += (size_t)sizes[i];
    free(text);
  }
  head.mlen = method ? (uint16_t)strlen(method) : 0;
  int rc = session_send(s, &head, method, &out, NULL);
  for (size_t i = 0; i < out.nraws; i++) (void)remora_value_unref(raws[i].value);
  free(out.body);
  return rc;
}

static void send_message(session *s, uint8_t kind, uint32_t call, uint64_t object, long size) {
  frame head = {.kind = kind, .call = call, .object = object};
  assert_int_equal(send_sized(s, head, NULL, (const long[]){size, -1}), 0);
}

static void send_control(session *s, uint8_t kind, uint32_t call, bool urgent) {
  frame head = {.kind = kind, .call = call};
  assert_int_equal(session_send_frame(s, &head, NULL, urgent), 0);
}

/* The body and attachments of an arrived message are the pattern of its call. */
static void check_message(const message *m) {
  size_t raw = 0;
  for (uint32_t i = 0; i < m->nraws; i++) raw += frame_get32(m->raw_rows + 4 * (size_t)i);
  const char *begin = m->body, *end = (const char *)m->payload + m->head.size;
  assert_int_equal(m->body_length + raw, (size_t)(end - begin));
  for (size_t i = 0; begin + i < end; i++)
    if (begin[i] != pattern(m->head.call, i)) fail_msg("call %u differs at byte %zu", m->head.call, i);
}

/* Reads up to `limit` bytes of what the session would write. */
static size_t take_output(session *s, uint8_t *to, size_t limit) {
  struct iovec iov[8];
  size_t n = 0;
  int pieces = session_output(s, iov, 8);
  for (int i = 0; i < pieces && n < limit; i++) {
    size_t length = iov[i].iov_len < limit - n ? iov[i].iov_len : limit - n;
    memcpy(to + n, iov[i].iov_base, length);
    n += length;
  }
  session_sent(s, n);
  return n;
}

/* Gives bytes to a session, sometimes right to where a long payload belongs. */
static void give(session *s, const uint8_t *data, size_t length) {
  uint8_t *direct;
  size_t room;
  if (length > 0 && session_direct(s, &direct, &room) && random_below(2)) {
    if (room > length) room = length;
    memcpy(direct, data, room);
    session_filled(s, room);
    data += room;
    length -= room;
  }
  session_feed(s, data, length);
}

/* Feeds one frame with header and payload as they are. */
static void feed_frame(session *s, frame f, const void *payload, size_t length) {
  uint8_t head[FRAME_HEADER];
  frame_encode(&f, head);
  session_feed(s, head, sizeof head);
  session_feed(s, payload, length);
}

static void feed_chunk(session *s, uint8_t kind, uint32_t call, uint32_t size) {
  char *text = filled(call, 0, size);
  feed_frame(s, (frame){.kind = FRAME_CHUNK_OF, .call = call, .aux = kind, .size = size}, text, size);
  free(text);
}

/* The next message, which has to be this one. */
static void expect(session *s, uint8_t kind, uint32_t call) {
  if (s->fault) fail_msg("fault: %s", s->fault);
  message *m = session_next(s);
  assert_non_null(m);
  assert_string_equal(frame_kind_name(m->head.kind), frame_kind_name(kind));
  assert_int_equal(m->head.call, call);
  message_unref(m);
}

static void expect_nothing(session *s) {
  assert_null(s->fault);
  assert_null(session_next(s));
}

/* ---------------------------------------------------------------------------------------------------------- splits */

/* Sends so many messages of all sizes while others are being written, in pieces of 1..`piece` bytes; all arrive, whole,
 * calls on one object in the order in which they were sent. */
static void cut_everywhere(uint32_t seed, uint32_t count, uint32_t piece, long largest) {
  enum { MOST = 200, OBJECTS = 5 };
  random_state = seed;
  session near, far;
  open_session(&near);
  open_session(&far);
  uint8_t *wire = malloc(piece);
  bool seen[MOST + 1] = {false};
  uint32_t sent = 0, arrived = 0, last[OBJECTS] = {0};
  uint64_t beats_out = 0, beats_in = 0;
  while (arrived < count) {
    if (sent < count && (random_below(4) == 0 || !session_has_output(&near))) {
      static const uint8_t kinds[] = {FRAME_CALL, FRAME_CALL, FRAME_CALL, FRAME_REPLY, FRAME_ERROR};
      uint8_t kind = kinds[random_below(5)];
      frame head = {.kind = kind, .call = ++sent, .object = kind == FRAME_CALL ? random_below(OBJECTS) : 0};
      long sizes[7];
      int parts = (int)random_below(6);
      for (int i = 0; i <= parts; i++)
        sizes[i] = random_below(3)                 ? (long)random_below(100)
                   : i > 0 && random_below(3) == 0 ? 0
                                                   : (long)random_below((uint32_t)largest);
      if (sizes[0] < 2) sizes[0] = 2; /* a body is never empty */
      sizes[parts + 1] = -1;
      assert_int_equal(send_sized(&near, head, kind == FRAME_CALL ? "method" : NULL, sizes), 0);
    }
    if (random_below(8 + 64 / piece) == 0) { /* fewer bytes than are written, or nothing else would ever be */
      send_control(&near, FRAME_BEAT, 0, random_below(2) == 0);
      beats_out++;
    }
    size_t before = session_queued(&near), n = take_output(&near, wire, 1 + random_below(piece));
    assert_true(session_queued(&near) <= before);
    for (size_t at = 0, length; at < n; at += length) {
      length = 1 + random_below((uint32_t)(n - at));
      give(&far, wire + at, length);
    }
    if (far.fault) fail_msg("seed %u: %s", seed, far.fault);
    for (message *m; (m = session_next(&far)) != NULL; message_unref(m)) {
      if (m->head.kind == FRAME_BEAT) {
        beats_in++;
        continue;
      }
      assert_in_range(m->head.call, 1, count);
      assert_false(seen[m->head.call]);
      seen[m->head.call] = true;
      arrived++;
      check_message(m);
      if (m->head.kind != FRAME_CALL) continue;
      assert_int_equal(m->head.mlen, 6);
      assert_memory_equal(m->payload, "method", 6);
      assert_true(m->head.call > last[m->head.object]);
      last[m->head.object] = m->head.call;
    }
  }
  for (size_t n; (n = take_output(&near, wire, piece)) > 0;) session_feed(&far, wire, n);
  for (message *m; (m = session_next(&far)) != NULL; message_unref(m)) beats_in++;
  assert_int_equal(beats_in, beats_out);
  assert_false(session_has_output(&near));
  assert_int_equal(session_queued(&near), 0);
  assert_int_equal(near.bytes_out + FRAME_MAGIC_LENGTH, far.bytes_in);
  assert_int_equal(far.nassemblies, 0);
  assert_null(far.held);
  free(wire);
  close_session(&near);
  close_session(&far);
}

static void test_random_pieces(void **state) {
  (void)state;
  for (uint32_t seed = 1; seed <= 9; seed++)
    cut_everywhere(seed * 7919, 200, seed % 3 == 0 ? 100 : seed % 3 == 1 ? 5000 : 300000, 200000);
}

static void test_byte_by_byte(void **state) {
  (void)state;
  cut_everywhere(4711, 6, 1, 70000);
  cut_everywhere(4712, 8, 3, 70000);
}

/* ----------------------------------------------------------------------------------------------------------- order */

static frame chunked(uint8_t kind, uint32_t call, uint64_t object, uint32_t size) {
  return (frame){.kind = kind, .flags = FRAME_CHUNKED, .call = call, .object = object, .size = size};
}

static void test_calls_on_one_object_keep_their_order(void **state) {
  (void)state;
  session s;
  open_session(&s);
  feed_frame(&s, chunked(FRAME_CALL, 1, 5, 100), NULL, 0);
  feed_frame(&s, (frame){.kind = FRAME_CALL, .call = 2, .object = 5, .size = 2}, "[]", 2);
  feed_frame(&s, (frame){.kind = FRAME_CALL, .call = 3, .object = 6, .size = 2}, "[]", 2);
  feed_frame(&s, (frame){.kind = FRAME_REPLY, .call = 4, .size = 1}, "1", 1);
  feed_frame(&s, (frame){.kind = FRAME_CANCEL, .call = 5}, NULL, 0);
  /* Other objects, answers and cancels overtake. */
  expect(&s, FRAME_CALL, 3);
  expect(&s, FRAME_REPLY, 4);
  expect(&s, FRAME_CANCEL, 5);
  expect_nothing(&s);
  feed_chunk(&s, FRAME_CALL, 1, 60);
  expect_nothing(&s);
  feed_chunk(&s, FRAME_CALL, 1, 40);
  expect(&s, FRAME_CALL, 1);
  expect(&s, FRAME_CALL, 2);
  expect_nothing(&s);
  close_session(&s);
}

static void test_chunked_calls_that_end_in_reverse(void **state) {
  (void)state;
  session s;
  open_session(&s);
  feed_frame(&s, chunked(FRAME_CALL, 1, 5, 100), NULL, 0);
  feed_frame(&s, chunked(FRAME_CALL, 2, 5, 100), NULL, 0);
  feed_frame(&s, chunked(FRAME_CALL, 3, 6, 100), NULL, 0);
  feed_frame(&s, (frame){.kind = FRAME_CALL, .call = 4, .object = 5, .size = 2}, "[]", 2);
  feed_frame(&s, (frame){.kind = FRAME_CALL, .call = 5, .object = 6, .size = 2}, "[]", 2);
  feed_chunk(&s, FRAME_CALL, 3, 100);
  expect(&s, FRAME_CALL, 3);
  expect(&s, FRAME_CALL, 5);
  feed_chunk(&s, FRAME_CALL, 2, 100);
  expect_nothing(&s);
  feed_chunk(&s, FRAME_CALL, 1, 100);
  expect(&s, FRAME_CALL, 1);
  expect(&s, FRAME_CALL, 2);
  expect(&s, FRAME_CALL, 4);
  expect_nothing(&s);
  close_session(&s);
}

static void test_release_waits_for_chunked_messages(void **state) {
  (void)state;
  static const uint8_t kinds[] = {FRAME_CALL, FRAME_REPLY, FRAME_ERROR};
  for (size_t i = 0; i < 3; i++) {
    session s;
    open_session(&s);
    uint8_t row[16] = {0};
    feed_frame(&s, chunked(kinds[i], 1, 0, 100), NULL, 0);
    feed_frame(&s, (frame){.kind = FRAME_RELEASE, .size = 16}, row, 16);
    feed_frame(&s, chunked(kinds[i], 2, 0, 100), NULL, 0); /* its header came later: not its business */
    feed_frame(&s, (frame){.kind = FRAME_BEAT}, NULL, 0);
    expect(&s, FRAME_BEAT, 0);
    expect_nothing(&s);
    feed_chunk(&s, kinds[i], 1, 100);
    expect(&s, kinds[i], 1);
    expect(&s, FRAME_RELEASE, 0);
    expect_nothing(&s);
    feed_chunk(&s, kinds[i], 2, 100);
    expect(&s, kinds[i], 2);
    close_session(&s);
  }
}

/* A call and an answer may have the same id, each direction counts for itself. */
static void test_ids_of_both_kinds(void **state) {
  (void)state;
  session s;
  open_session(&s);
  feed_frame(&s, chunked(FRAME_CALL, 1, 0, 10), NULL, 0);
  feed_frame(&s, chunked(FRAME_REPLY, 1, 0, 20), NULL, 0);
  feed_chunk(&s, FRAME_REPLY, 1, 20);
  expect(&s, FRAME_REPLY, 1);
  feed_chunk(&s, FRAME_CALL, 1, 0); /* an empty chunk says nothing, and is none the worse for it */
  expect_nothing(&s);
  feed_chunk(&s, FRAME_CALL, 1, 10);
  expect(&s, FRAME_CALL, 1);
  feed_frame(&s, chunked(FRAME_CALL, 1, 0, 0), NULL, 0); /* chunked, and nothing follows: it has arrived */
  expect(&s, FRAME_CALL, 1);
  close_session(&s);
}

/* --------------------------------------------------------------------------------------------------- what goes first */

/* The frames of a stream, in order: kind and call. */
typedef struct seen {
  uint8_t kind;
  uint32_t call;
} seen;

/* Takes one write's worth of output and lists the frames that begin in it; every write ends with a whole frame here. */
static size_t list_frames(session *s, seen *to, size_t room) {
  static uint8_t wire[4 * 1024 * 1024];
  size_t length = take_output(s, wire, sizeof wire), n = 0;
  for (size_t at = 0; at < length;) {
    frame f;
    frame_decode(wire + at, &f);
    assert_true(n < room);
    to[n++] = (seen){f.kind, f.call};
    at += FRAME_HEADER + (f.flags & FRAME_CHUNKED ? 0 : f.size);
    assert_true(at <= length);
  }
  return n;
}

static void test_large_messages_take_turns(void **state) {
  (void)state;
  session s;
  open_session(&s);
  seen frames[64];
  size_t n = 0;
  send_message(&s, FRAME_CALL, 1, 1, 4 * SESSION_CHUNK);
  send_message(&s, FRAME_REPLY, 2, 0, 4 * SESSION_CHUNK);
  n += list_frames(&s, frames + n, 64 - n);
  send_message(&s, FRAME_CALL, 3, 3, 10); /* goes out with the very next write */
  send_control(&s, FRAME_CANCEL, 4, true);
  n += list_frames(&s, frames + n, 64 - n);
  while (session_has_output(&s)) n += list_frames(&s, frames + n, 64 - n);
  static const seen expected[] = {{FRAME_CALL, 1},     {FRAME_REPLY, 2},    {FRAME_CHUNK_OF, 1}, {FRAME_CANCEL, 4},
                                  {FRAME_CALL, 3},     {FRAME_CHUNK_OF, 2}, {FRAME_CHUNK_OF, 1}, {FRAME_CHUNK_OF, 2},
                                  {FRAME_CHUNK_OF, 1}, {FRAME_CHUNK_OF, 2}, {FRAME_CHUNK_OF, 1}, {FRAME_CHUNK_OF, 2}};
  assert_int_equal(n, sizeof expected / sizeof *expected);
  for (size_t i = 0; i < n; i++) {
    assert_int_equal(frames[i].kind, expected[i].kind);
    assert_int_equal(frames[i].call, expected[i].call);
  }
  close_session(&s);
}

static void test_control_goes_before_data(void **state) {
  (void)state;
  session s;
  open_session(&s);
  static uint8_t wire[64 * 1024];
  for (uint32_t i = 1; i <= 50; i++) send_message(&s, FRAME_CALL, i, 1, 1000);
  assert_int_equal(take_output(&s, wire, 1500), 1500); /* cuts the second one */
  send_control(&s, FRAME_CANCEL, 99, true);
  send_control(&s, FRAME_BEAT, 0, true);
  assert_int_equal(take_output(&s, wire, sizeof wire),
                   2 * (FRAME_HEADER + 1000) - 1500); /* which has to be ended first */
  seen frames[64];
  size_t n = list_frames(&s, frames, 64);
  assert_int_equal(n, 50);
  assert_int_equal(frames[0].kind, FRAME_CANCEL);
  assert_int_equal(frames[1].kind, FRAME_BEAT);
  assert_int_equal(frames[2].call, 3);
  close_session(&s);
}

/* The program for the interpreter goes before everything, whatever is asked for meanwhile. */
static void test_prefix_goes_first(void **state) {
  (void)state;
  session s;
  open_session(&s);
  s.prefix = (bytes){.data = malloc(5), .end = 5, .room = 5};
  memcpy(s.prefix.data, "hello", 5);
  send_control(&s, FRAME_BEAT, 0, true);
  uint8_t wire[64];
  assert_int_equal(take_output(&s, wire, 2), 2);
  assert_int_equal(take_output(&s, wire + 2, sizeof wire - 2), 3);
  assert_memory_equal(wire, "hello", 5);
  assert_int_equal(take_output(&s, wire, sizeof wire), FRAME_HEADER);
  assert_false(session_has_output(&s));
  close_session(&s);
}

/* A header that has not gone out yet must not be followed by its chunks: small messages that wait before it come first. */
static void test_chunks_wait_for_their_header(void **state) {
  (void)state;
  session near, far;
  open_session(&near);
  open_session(&far);
  static uint8_t wire[512 * 1024];
  uint32_t call = 0;
  for (int i = 0; i < 100; i++) send_message(&near, FRAME_CALL, ++call, 1, 4000);
  send_message(&near, FRAME_CALL, ++call, 1, 300000);
  for (int i = 0; i < 100; i++) send_message(&near, FRAME_CALL, ++call, 1, 4000);
  for (size_t n; (n = take_output(&near, wire, sizeof wire)) > 0;) session_feed(&far, wire, n);
  for (uint32_t i = 1; i <= call; i++) expect(&far, FRAME_CALL, i);
  expect_nothing(&far);
  close_session(&near);
  close_session(&far);
}

/* ---------------------------------------------------------------------------------------------------------- the start */

/* So many bytes of stray output, then the start, in pieces of that many bytes: is the start found? */
static bool start_found(size_t stray, size_t piece) {
  session s;
  session_init(&s, MAX_MESSAGE, "test");
  char *text = malloc(stray + FRAME_MAGIC_LENGTH + FRAME_HEADER);
  memset(text, 'x', stray);
  memcpy(text + stray, FRAME_MAGIC, FRAME_MAGIC_LENGTH);
  frame beat = {.kind = FRAME_BEAT};
  frame_encode(&beat, (uint8_t *)text + stray + FRAME_MAGIC_LENGTH);
  size_t length = stray + FRAME_MAGIC_LENGTH + FRAME_HEADER;
  for (size_t at = 0; at < length; at += piece)
    session_feed(&s, (const uint8_t *)text + at, length - at < piece ? length - at : piece);
  bool found = !s.fault;
  if (found) {
    expect(&s, FRAME_BEAT, 0);
    size_t kept = s.stray.end - s.stray.begin;
    assert_true(kept >= (stray < 4096 ? stray : 4096)); /* for the error message */
    for (size_t i = 0; i < kept; i++) assert_int_equal(s.stray.data[s.stray.begin + i], 'x');
  }
  session_clear(&s);
  free(text);
  return found;
}

static void test_stray_output_is_skipped(void **state) {
  (void)state;
  static const size_t pieces[] = {1, 7, 8, 4096, 1 << 20};
  for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
    assert_true(start_found(0, pieces[i]));
    assert_true(start_found(1, pieces[i]));
    assert_true(start_found(5000, pieces[i]));
    /* The limit is the same however the bytes come. */
    assert_true(start_found(FRAME_MAX_STRAY, pieces[i]));
    assert_false(start_found(FRAME_MAX_STRAY + 1, pieces[i]));
  }
}

static void test_half_a_start_is_none(void **state) {
  (void)state;
  session s;
  session_init(&s, MAX_MESSAGE, "test");
  static const char text[] = "\0REMORA\0REMORA \0\0REMORA\nrest";
  for (size_t i = 0; i < sizeof text - 5; i++) session_feed(&s, (const uint8_t *)text + i, 1);
  assert_true(s.started);
  assert_null(s.fault);
  assert_int_equal(s.stray.end - s.stray.begin, sizeof text - 5 - FRAME_MAGIC_LENGTH);
  session_clear(&s);
}

/* ------------------------------------------------------------------------------------------------------------- limits */

static const char *fault_of(frame f) {
  session s;
  open_session(&s);
  feed_frame(&s, f, NULL, 0);
  const char *fault = s.fault;
  close_session(&s);
  return fault;
}

static void test_size_is_checked_before_anything_is_allocated(void **state) {
  (void)state;
  assert_null(fault_of(chunked(FRAME_CALL, 1, 0, MAX_MESSAGE)));
  assert_non_null(fault_of(chunked(FRAME_CALL, 1, 0, MAX_MESSAGE + 1)));
  assert_non_null(fault_of(chunked(FRAME_REPLY, 1, 0, UINT32_MAX)));
  assert_null(fault_of((frame){.kind = FRAME_CALL, .call = 1, .size = FRAME_CHUNK}));
  assert_non_null(fault_of((frame){.kind = FRAME_CALL, .call = 1, .size = FRAME_CHUNK + 1}));
  assert_null(fault_of((frame){.kind = FRAME_OUTPUT, .aux = 1, .size = FRAME_SMALL}));
  assert_non_null(fault_of((frame){.kind = FRAME_OUTPUT, .aux = 1, .size = FRAME_SMALL + 1}));
}

static void test_chunks_have_to_fit(void **state) {
  (void)state;
  session s;
  open_session(&s);
  feed_chunk(&s, FRAME_CALL, 1, 1);
  assert_non_null(s.fault); /* of nothing */
  close_session(&s);
  open_session(&s);
  feed_frame(&s, chunked(FRAME_CALL, 1, 0, 100), NULL, 0);
  feed_chunk(&s, FRAME_CALL, 1, 60);
  assert_null(s.fault);
  feed_chunk(&s, FRAME_CALL, 1, 41);
  assert_non_null(s.fault);
  close_session(&s);
  open_session(&s);
  feed_frame(&s, chunked(FRAME_CALL, 1, 0, 100), NULL, 0);
  feed_chunk(&s, FRAME_REPLY, 1, 60);
  assert_non_null(s.fault);
  close_session(&s);
  open_session(&s);
  feed_frame(&s, chunked(FRAME_CALL, 1, 0, 100), NULL, 0);
  feed_frame(&s, chunked(FRAME_CALL, 1, 0, 100), NULL, 0);
  assert_non_null(s.fault);
  close_session(&s);
}

static void test_unfinished_messages_are_limited(void **state) {
  (void)state;
  session s;
  open_session(&s);
  for (uint32_t i = 1; i <= FRAME_MAX_ASSEMBLIES; i++) feed_frame(&s, chunked(FRAME_CALL, i, i, 100), NULL, 0);
  assert_null(s.fault);
  feed_frame(&s, chunked(FRAME_CALL, 5000, 0, 100), NULL, 0);
  assert_non_null(s.fault);
  close_session(&s);
}

static void test_tables_have_to_fit(void **state) {
  (void)state;
  static const struct {
    uint32_t nrefs, nraws, raw, size; /* one length; the size of the payload after the counts */
    bool ok;
  } table[] = {
      {0, 0, 0, 0, true},
      {1, 0, 0, 16, true},
      {1, 0, 0, 15, false},
      {0, 1, 0, 4, true},
      {0, 1, 0, 3, false},
      {0, 1, 1, 4, false},
      {0, 1, 1, 5, true},
      {0, 1, UINT32_MAX, 8, false},
      {UINT32_MAX, 0, 0, 64, false},
      {0, UINT32_MAX, 0, 64, false},
      {0x10000000, 0, 0, 0, false},
      {1, 0x40000000, 0, 16, false},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    session s;
    uint8_t payload[8 + 64] = {0};
    open_session(&s);
    frame_put32(payload, table[i].nrefs);
    frame_put32(payload + 4, table[i].nraws);
    if (table[i].nraws) frame_put32(payload + 8, table[i].raw);
    feed_frame(&s, (frame){.kind = FRAME_REPLY, .call = 1, .flags = FRAME_TABLES, .size = 8 + table[i].size}, payload,
               8 + table[i].size);
    if (table[i].ok != !s.fault) fail_msg("row %zu: %s", i, s.fault ? s.fault : "no fault");
    close_session(&s);
  }
  session s;
  open_session(&s);
  feed_frame(&s, (frame){.kind = FRAME_REPLY, .call = 1, .flags = FRAME_TABLES, .size = 7}, "\0\0\0\0\0\0\0", 7);
  assert_non_null(s.fault);
  close_session(&s);
}

static void test_references_are_limited(void **state) {
  (void)state;
  for (uint32_t more = 0; more < 2; more++) {
    uint32_t refs = FRAME_MAX_REFS + more, size = 8 + refs * 16;
    session s;
    open_session(&s);
    s.max_message = UINT32_MAX;
    uint8_t *payload = calloc(1, size);
    frame_put32(payload, refs);
    feed_frame(&s, (frame){.kind = FRAME_CALL, .flags = FRAME_CHUNKED | FRAME_TABLES, .call = 1, .size = size}, NULL,
               0);
    for (uint32_t at = 0, n; at < size; at += n) {
      n = size - at < FRAME_CHUNK ? size - at : FRAME_CHUNK;
      feed_frame(&s, (frame){.kind = FRAME_CHUNK_OF, .call = 1, .aux = FRAME_CALL, .size = n}, payload + at, n);
    }
    assert_int_equal(s.fault == NULL, more == 0);
    free(payload);
    close_session(&s);
  }
}

static void test_nothing_is_read_after_a_fault(void **state) {
  (void)state;
  session s;
  open_session(&s);
  feed_frame(&s, (frame){.kind = FRAME_BEAT}, NULL, 0);
  feed_frame(&s, (frame){.kind = FRAME_KINDS}, NULL, 0);
  feed_frame(&s, (frame){.kind = FRAME_BEAT}, NULL, 0);
  assert_non_null(s.fault);
  message *m = session_next(&s);
  assert_non_null(m);
  message_unref(m);
  assert_null(session_next(&s));
  close_session(&s);
}

static void test_credit(void **state) {
  (void)state;
  session s;
  session_init(&s, MAX_MESSAGE, "test");
  s.credit = 1000;
  assert_true(session_has_credit(&s, 1000));
  assert_true(session_has_credit(&s, 100000)); /* alone, however large */
  s.outstanding = 250;
  assert_true(session_has_credit(&s, 100000));
  s.outstanding = 251;
  assert_false(session_has_credit(&s, 750));
  assert_true(session_has_credit(&s, 749));
  session_clear(&s);
}

/* ------------------------------------------------------------------------------------------------------ without memory */

static bool exchange(void *argument) {
  (void)argument;
  session near, far;
  session_init(&near, MAX_MESSAGE, "near");
  session_init(&far, MAX_MESSAGE, "far");
  far.started = true;
  char *body = malloc(100000);
  uint8_t *wire = malloc(300000);
  remora_value *raw = body && wire ? (memset(body, '1', 100000), remora_bytes(body, 50000)) : NULL;
  codec_raw raws[] = {{raw}};
  codec_out small = {.body = body, .length = 100, .plain = true},
            large = {.body = body, .length = 100000, .raws = raws, .nraws = 1};
  bool ok = raw != NULL;
  for (uint32_t i = 1; ok && i <= 3; i++) {
    frame head = {.kind = FRAME_CALL, .call = i};
    ok = session_send(&near, &head, NULL, i == 2 ? &large : &small, NULL) == 0;
  }
  for (size_t n; ok && (n = take_output(&near, wire, 300000)) > 0; ok = ok && !far.fault) session_feed(&far, wire, n);
  int arrived = 0;
  for (message *m; (m = session_next(&far)) != NULL; message_unref(m)) arrived++;
  assert_true(!ok || arrived == 3);
  for (uint32_t i = 1; ok && i <= 100; i++) ok = session_pending_add(&near, &near) != 0;
  static int objects[100];
  for (int i = 0; ok && i < 100; i++) {
    bool fresh;
    uint64_t id = session_lend(&near, (remora_object *)(void *)&objects[i], &fresh);
    ok = id != 0;
    if (ok) assert_true(session_lent(&near, id) == (remora_object *)(void *)&objects[i]);
  }
  (void)remora_value_unref(raw);
  free(body);
  free(wire);
  close_session(&near);
  close_session(&far);
  return ok;
}

static void test_without_memory(void **state) {
  (void)state;
  if (!failing_works()) skip();
  assert_true(failing_each(exchange, NULL) > 10);
  assert_true(exchange(NULL));
}

/* ------------------------------------------------------------------------------------------------------------- tables */

static void test_pending_ids(void **state) {
  (void)state;
  enum { COUNT = 1000 };
  session s;
  session_init(&s, MAX_MESSAGE, "test");
  static int calls[COUNT];
  static uint32_t ids[COUNT];
  random_state = 99;
  for (int i = 0; i < 200000; i++) { /* against a plain array */
    size_t at = random_below(COUNT);
    if (ids[at]) {
      assert_ptr_equal(session_pending_take(&s, ids[at]), &calls[at]);
      assert_null(session_pending_take(&s, ids[at])); /* a second answer finds nobody */
      ids[at] = 0;
    } else {
      ids[at] = session_pending_add(&s, &calls[at]);
      assert_int_not_equal(ids[at], 0);
    }
  }
  size_t used = 0;
  for (size_t i = 0; i < COUNT; i++)
    for (size_t j = i + 1; ids[i] && j < COUNT; j++) assert_true(ids[i] != ids[j]);
  for (size_t i = 0; i < COUNT; i++) used += ids[i] != 0;
  assert_int_equal(s.npending, used);
  assert_null(session_pending_take(&s, 0));
  assert_null(session_pending_take(&s, UINT32_MAX));
  close_session(&s);
}

/* The answer to a call that was given up must not meet one of the next million calls. */
static void test_late_answers_meet_nobody(void **state) {
  (void)state;
  session s;
  session_init(&s, MAX_MESSAGE, "test");
  uint32_t first = session_pending_add(&s, &s);
  assert_ptr_equal(session_pending_take(&s, first), &s);
  for (int i = 0; i < 1000000; i++) {
    uint32_t id = session_pending_add(&s, &s);
    if (id == first) fail_msg("id %x is back after %d others", id, i);
    assert_null(session_pending_take(&s, first));
    assert_ptr_equal(session_pending_take(&s, id), &s);
  }
  close_session(&s);
}

static void test_pending_is_bounded(void **state) {
  (void)state;
  session s;
  session_init(&s, MAX_MESSAGE, "test");
  uint32_t n = 0;
  while (n <= 2u << 20 && session_pending_add(&s, &s) != 0) n++;
  assert_int_equal(n, (1u << 20) - 1); /* slot 0 stays free */
  close_session(&s);
}

static void test_export_rows(void **state) {
  (void)state;
  enum { COUNT = 500 };
  session s;
  session_init(&s, MAX_MESSAGE, "test");
  static struct {
    int object;
    uint64_t id, count;
  } model[COUNT];
  random_state = 1234;
  size_t used = 0;
  for (int step = 0; step < 100000; step++) {
    size_t at = random_below(COUNT);
    remora_object *o = (remora_object *)(void *)&model[at].object, *given = NULL;
    if (random_below(2)) {
      bool fresh;
      uint64_t id = session_lend(&s, o, &fresh);
      assert_int_not_equal(id, 0);
      assert_true(id < UINT64_C(1) << 52);
      assert_int_equal(fresh, model[at].count == 0);
      if (fresh) {
        assert_true(id != model[at].id); /* an id does not come back soon */
        model[at].id = id;
        used++;
      }
      assert_int_equal(id, model[at].id);
      model[at].count++;
    } else if (model[at].count > 0) {
      uint64_t n = 1 + random_below((uint32_t)model[at].count);
      assert_int_equal(session_unlend(&s, model[at].id, model[at].count + 1, &given), -1);
      assert_int_equal(session_unlend(&s, model[at].id, n, &given), n == model[at].count);
      model[at].count -= n;
      if (model[at].count == 0) {
        assert_ptr_equal(given, o);
        assert_null(session_lent(&s, model[at].id));
        assert_int_equal(session_unlend(&s, model[at].id, 1, NULL), -1);
        used--;
      }
    }
    assert_int_equal(s.nexports, used);
    if (model[at].count > 0) assert_ptr_equal(session_lent(&s, model[at].id), o);
  }
  assert_null(session_lent(&s, 0));
  assert_int_equal(session_unlend(&s, 0, 1, NULL), -1); /* the root is never released */
  assert_null(session_lent(&s, UINT64_MAX));
  close_session(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random_pieces),
      cmocka_unit_test(test_byte_by_byte),
      cmocka_unit_test(test_calls_on_one_object_keep_their_order),
      cmocka_unit_test(test_chunked_calls_that_end_in_reverse),
      cmocka_unit_test(test_release_waits_for_chunked_messages),
      cmocka_unit_test(test_ids_of_both_kinds),
      cmocka_unit_test(test_large_messages_take_turns),
      cmocka_unit_test(test_control_goes_before_data),
      cmocka_unit_test(test_prefix_goes_first),
      cmocka_unit_test(test_chunks_wait_for_their_header),
      cmocka_unit_test(test_stray_output_is_skipped),
      cmocka_unit_test(test_half_a_start_is_none),
      cmocka_unit_test(test_size_is_checked_before_anything_is_allocated),
      cmocka_unit_test(test_chunks_have_to_fit),
      cmocka_unit_test(test_unfinished_messages_are_limited),
      cmocka_unit_test(test_tables_have_to_fit),
      cmocka_unit_test(test_references_are_limited),
      cmocka_unit_test(test_nothing_is_read_after_a_fault),
      cmocka_unit_test(test_credit),
      cmocka_unit_test(test_without_memory),
      cmocka_unit_test(test_pending_ids),
      cmocka_unit_test(test_late_answers_meet_nobody),
      cmocka_unit_test(test_pending_is_bounded),
      cmocka_unit_test(test_export_rows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
