/* test_corpus.c: the recorded streams of tests/corpus, said to the hub by a far side that says nothing else (fixtures/fake_far.py). The valid ones leave the
 * connection as it was, with every call answered; the others end it with REMORA_E_PROTOCOL and a goodbye. Then the same bytes to a bare session, cut everywhere. */
#include "hub_helpers.h"
#include "session.h"

static char report[] = "/tmp/remora-corpus-XXXXXX";

static remora_conn *connect_fake(const char *folder, const char *name, remora_queue *q, remora_error **err) {
  char path[512];
  (void)snprintf(path, sizeof path, "%s/corpus/%s/%s", REMORA_TESTS_DIR, folder, name);
  const char *python = getenv("REMORA_PYTHON");
  remora_options *opts = remora_options_new();
  assert_int_equal(remora_options_set(opts, "command",
                                      pack("ssssss", python ? python : "python3", "-S", "-E",
                                           REMORA_TESTS_DIR "/fixtures/fake_far.py", path, report),
                                      err),
                   0);
  remora_options_set_queue(opts, q);
  remora_conn *c = remora_connect(NULL, opts, err);
  (void)remora_options_free(opts);
  return c;
}

static void check_valid(const char *name) {
  remora_error *err = NULL;
  remora_queue *q = remora_queue_new();
  remora_conn *c = connect_fake("valid", name, q, &err);
  WORKS(err);
  remora_event *e = remora_next_event(q, LIMIT);
  if (!e) fail_msg("%s: no verdict", name);
  assert_int_equal(remora_event_type(e), REMORA_EVENT_OUTPUT);
  const char *verdict = remora_event_data(e, NULL);
  if (strcmp(verdict, "ok") != 0) fail_msg("%s: %s", name, verdict);
  (void)remora_event_free(e);
  if (!remora_conn_is_valid(c)) fail_msg("%s: the connection is over", name);
  assert_int_equal(stat_of(c, "exports"), 0);
  assert_int_equal(stat_of(c, "imports"), 0); /* what came was given back */
  finish(c);
  (void)remora_queue_unref(q);
}

static void check_invalid(const char *name) {
  remora_error *err = NULL;
  remora_conn *c = connect_fake("invalid", name, NULL, &err);
  remora_future *closed = c ? remora_conn_on_close(c, NULL) : NULL;
  if (c) assert_null(remora_await(closed, LIMIT, &err));
  if (!err || remora_error_code(err) != REMORA_E_PROTOCOL)
    fail_msg("%s: %s", name, err ? remora_error_message(err) : "nothing was wrong");
  err = remora_error_free(err);
  (void)remora_future_unref(closed);
  finish(c);
  char bye[256] = "";
  FILE *f = fopen(report, "re");
  assert_non_null(f);
  (void)fgets(bye, sizeof bye, f);
  (void)fclose(f);
  if (!*bye || strcmp(bye, "no goodbye") == 0) fail_msg("%s: no goodbye that says why", name);
}

static int for_each(const char *folder, void (*what)(const char *name)) {
  char path[512];
  (void)snprintf(path, sizeof path, "%s/corpus/%s", REMORA_TESTS_DIR, folder);
  struct dirent **names;
  int n = scandir(path, &names, NULL, alphasort), done = 0;
  assert_true(n > 0);
  for (int i = 0; i < n; i++) {
    size_t length = strlen(names[i]->d_name);
    if (length > 4 && strcmp(names[i]->d_name + length - 4, ".hex") == 0) {
      what(names[i]->d_name);
      done++;
    }
    free(names[i]);
  }
  free(names);
  return done;
}

static void test_valid(void **state) {
  (void)state;
  assert_true(for_each("valid", check_valid) > 40);
}

static void test_invalid(void **state) {
  (void)state;
  assert_true(for_each("invalid", check_invalid) > 30);
}

/* ------------------------------------------------------------------------------------------------------- a bare session */

/* The bytes of a file, after the start. */
static uint8_t *load(const char *folder, const char *name, size_t *length) {
  char path[512], line[4096];
  (void)snprintf(path, sizeof path, "%s/corpus/%s/%s", REMORA_TESTS_DIR, folder, name);
  FILE *f = fopen(path, "re");
  assert_non_null(f);
  uint8_t *data = malloc(1 << 20);
  memcpy(data, FRAME_MAGIC, FRAME_MAGIC_LENGTH);
  *length = FRAME_MAGIC_LENGTH;
  while (fgets(line, sizeof line, f)) {
    unsigned byte;
    int n;
    for (const char *p = line; *line != '#' && sscanf(p, "%2x%n", &byte, &n) == 1; p += n)
      data[(*length)++] = (uint8_t)byte;
    assert_true(*length < 1 << 20);
  }
  (void)fclose(f);
  return data;
}

/* What a session makes of the bytes in pieces of that size: a line for each message, then the fault. */
static void retell(const uint8_t *data, size_t length, size_t piece, char *told, size_t room) {
  session s;
  session_init(&s, 256u << 20, "test");
  size_t n = 0;
  *told = 0;
  for (size_t at = 0; at < length; at += piece) {
    uint8_t *copy = malloc(piece); /* exactly as long, for the sanitizers */
    size_t now = length - at < piece ? length - at : piece;
    memcpy(copy, data + at, now);
    session_feed(&s, copy, now);
    free(copy);
    for (message *m; (m = session_next(&s)) != NULL; message_unref(m))
      n += (size_t)snprintf(told + n, room - n, "%s %u %u %u %u\n", frame_kind_name(m->head.kind), m->head.call,
                            m->head.size, m->nrefs, m->nraws);
    assert_true(n < room);
  }
  (void)snprintf(told + n, room - n, "%s\n", s.fault ? s.fault : "no fault");
  session_clear(&s);
}

static void check_pieces(const char *folder, const char *name) {
  static char whole[65536], cut[65536];
  static const size_t pieces[] = {1, 2, 31, 32, 33, 4096, 65535};
  size_t length;
  uint8_t *data = load(folder, name, &length);
  retell(data, length, length, whole, sizeof whole);
  for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
    retell(data, length, pieces[i], cut, sizeof cut);
    if (strcmp(whole, cut) != 0) fail_msg("%s in pieces of %zu: %s not %s", name, pieces[i], cut, whole);
  }
  if (strcmp(folder, "valid") == 0 && !strstr(whole, "no fault")) fail_msg("%s: %s", name, whole);
  free(data);
}

static void check_valid_pieces(const char *name) { check_pieces("valid", name); }
static void check_invalid_pieces(const char *name) { check_pieces("invalid", name); }

static void test_pieces(void **state) {
  (void)state;
  (void)for_each("valid", check_valid_pieces);
  (void)for_each("invalid", check_invalid_pieces);
}

static int make_report(void **state) {
  (void)state;
  int fd = mkstemp(report);
  return fd < 0 ? -1 : close(fd);
}

static int remove_report(void **state) {
  (void)state;
  return unlink(report);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_pieces), cmocka_unit_test(test_valid),
                                     cmocka_unit_test(test_invalid)};
  return cmocka_run_group_tests(tests, make_report, remove_report);
}
