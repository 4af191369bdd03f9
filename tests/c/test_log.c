/* test_log.c: log records: levels, selections, formats, sinks and what they are too slow for, standard error, and those of a far side. */
#include "hub_helpers.h"
#include "log.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

/* ------------------------------------------------------------------------------------------------- levels, selections */

static void test_levels(void **state) {
  (void)state;
  static const char *const names[] = {"trace", "debug", "verbose", "info", "warn", "error", "fatal"};
  for (int i = 0; i < 7; i++) {
    assert_string_equal(remora_log_level_name(i + 1), names[i]);
    assert_int_equal(remora_log_level_of(names[i]), i + 1);
  }
  assert_string_equal(remora_log_level_name(0), "?");
  assert_string_equal(remora_log_level_name(8), "?");
  assert_int_equal(remora_log_level_of("loud"), 0);
  assert_int_equal(remora_log_level_of(NULL), 0);
}

static bool takes(const char *selections, const char *name) {
  log_filter *f = log_filter_new(REMORA_LOG_INFO, selections);
  bool taken = log_filter_takes(f, REMORA_LOG_INFO, name);
  assert_false(log_filter_takes(f, REMORA_LOG_VERBOSE, name));
  free(f);
  return taken;
}

static void test_selections(void **state) {
  (void)state;
  assert_true(takes(NULL, "app"));
  assert_true(takes("*", "app"));
  assert_true(takes("*", ""));
  assert_false(takes("", "app"));
  assert_true(takes("app", "app"));
  assert_true(takes("app", "app.db"));
  assert_true(takes("App", "App::DB"));
  assert_true(takes("app", "app/db"));
  assert_false(takes("app", "apple"));
  assert_false(takes("app", "ap"));
  assert_false(takes("app", "other"));
  assert_false(takes("* -noisy.package", "noisy.package"));
  assert_false(takes("* -noisy.package", "noisy.package.inner"));
  assert_true(takes("* -noisy.package", "noisy"));
  assert_true(takes("* -noisy noisy.but.this", "noisy.but.this"));
  assert_false(takes("  *\t-noisy \n noisy.but.this ", "noisy.but"));
  assert_false(takes("-*", "app"));
  assert_true(takes("-* app", "app.db"));
  assert_true(takes("-app app", "app")); /* of two that are as long the last */
  assert_false(takes("app -app", "app"));
  assert_false(takes("-", "app"));
}

/* ------------------------------------------------------------------------------------------------------------- formats */

static remora_value *example(void) {
  remora_value *r = remora_map();
  (void)remora_set(r, "level", remora_str("warn"));
  (void)remora_set(r, "name", remora_str("app.db"));
  (void)remora_set(r, "message", remora_str("hot"));
  (void)remora_set(r, "time", remora_float(0.75));
  (void)remora_set(r, "function", remora_str("connect"));
  (void)remora_set(r, "file", remora_str("/a/db.py"));
  (void)remora_set(r, "line", remora_int(17));
  (void)remora_set(r, "pid", remora_int(4711));
  (void)remora_set(r, "host", remora_str("web1.example"));
  (void)remora_set(r, "exporter", remora_str("logging"));
  (void)remora_set(r, "connection", remora_null());
  return r;
}

static void check_format(remora_value *record, const char *format, const char *expected) {
  remora_value *text = remora_log_format(format, record);
  assert_string_equal(remora_as_text(text, NULL), expected);
  (void)remora_value_unref(text);
}

static void test_formats(void **state) {
  (void)state;
  remora_value *r = example();
  static const char *const each[][2] = {{"%l", "warn"},
                                        {"%s", "hot"},
                                        {"%c", "logging"},
                                        {"%p", "app.db"},
                                        {"%m", "connect"},
                                        {"%f", "/a/db.py"},
                                        {"%i", "17"},
                                        {"%P", "4711"},
                                        {"%h", "web1.example"},
                                        {"%%", "%"},
                                        {"a%nb", "a\n b"},
                                        {"%r", "local"},
                                        {"%x", "(undefined)"},
                                        {"%é!", "(undefined)!"},
                                        {"100%", "100%"},
                                        {"", ""},
                                        {"plain", "plain"},
                                        {NULL, "[warn local] hot"},
                                        {"%l: %s%n", "warn: hot"}};
  for (size_t i = 0; i < sizeof each / sizeof *each; i++) check_format(r, each[i][0], each[i][1]);
  setenv("TZ", "UTC", 1);
  tzset();
  check_format(r, "%t", "Thu Jan  1 00:00:00 1970");
  (void)remora_value_unref(r);
}

static void test_what_is_not_known(void **state) {
  (void)state;
  remora_value *r = remora_map();
  check_format(r, "%m", "(none)");
  check_format(r, "%f:%i %p %c %h %P %l %s",
               "(undefined):(undefined) (undefined) (undefined) (undefined) (undefined) (undefined) (undefined)");
  (void)remora_value_unref(r);
}

static void test_lines_and_origins(void **state) {
  (void)state;
  remora_value *r = remora_map(), *hops = remora_list();
  (void)remora_set(r, "message", remora_str("one\ntwo\n\nthree\n\n"));
  (void)remora_set(r, "connection", remora_str("web1"));
  (void)remora_set(r, "connection_id", remora_int(3));
  check_format(r, "%s", "one\n two\n \n three");
  check_format(r, "%r", "remote #3 web1");
  (void)remora_append(hops, remora_str("inner"));
  (void)remora_append(hops, remora_str("middle"));
  (void)remora_set(r, "hops", hops);
  check_format(r, "%r", "remote #3 web1 > middle > inner");
  (void)remora_value_unref(r);
  r = remora_map();
  (void)remora_set(r, "connection", remora_str("web1"));
  check_format(r, "%r", "remote #(uninit) web1");
  (void)remora_value_unref(r);
}

/* --------------------------------------------------------------------------------------------------------------- sinks */

typedef struct seen {
  int records, notices, destroyed;
  int64_t told; /* by notices */
  char last[64];
} seen;

static void see(const remora_value *record, void *userdata) {
  seen *s = userdata;
  const remora_value *dropped = remora_get(record, "dropped");
  if (dropped) {
    s->notices++;
    s->told += remora_as_int(dropped);
    return;
  }
  s->records++;
  (void)snprintf(s->last, sizeof s->last, "%s", log_record_text(record, "message"));
}

static void destroyed(void *userdata) { ((seen *)userdata)->destroyed++; }

static void test_sinks(void **state) {
  (void)state;
  remora_error *err = NULL;
  remora_queue *q = remora_queue_new();
  seen all = {0}, few = {0};
  assert_false(remora_log_wants(REMORA_LOG_FATAL, "app"));
  uint64_t a = remora_log_add_sink(q, 0, NULL, see, &all, destroyed, &err);
  uint64_t b = remora_log_add_sink(q, REMORA_LOG_WARN, "app -app.noisy", see, &few, destroyed, &err);
  WORKS(err);
  assert_true(remora_log_wants(REMORA_LOG_TRACE, "x"));
  REMORA_LOG(REMORA_LOG_TRACE, "x", "number %d", 1);
  remora_log(REMORA_LOG_WARN, "app.db", "two", NULL, NULL, 0);
  remora_log(REMORA_LOG_WARN, "app.noisy", "three", NULL, NULL, 0);
  remora_log(REMORA_LOG_INFO, "app", "four", NULL, NULL, 0);
  remora_log(REMORA_LOG_FATAL, NULL, NULL, NULL, NULL, 0);
  remora_log(0, "app", "no level", NULL, NULL, 0);
  remora_log(8, "app", "no level", NULL, NULL, 0);
  assert_int_equal(all.records, 0); /* never on the thread that logs */
  (void)remora_serve(q, 0);
  assert_int_equal(all.records, 5);
  assert_int_equal(few.records, 1);
  assert_string_equal(few.last, "two");
  remora_log(REMORA_LOG_FATAL, "app", "what waits goes with its sink", NULL, NULL, 0);
  assert_int_equal(remora_log_remove_sink(b), 1);
  assert_int_equal(remora_log_remove_sink(b), 0);
  (void)remora_serve(q, 0);
  assert_int_equal(few.records, 1);
  assert_int_equal(few.destroyed, 1);
  assert_int_equal(all.records, 6);
  assert_int_equal(remora_log_remove_sink(a), 1);
  assert_int_equal(all.destroyed, 1);
  assert_false(remora_log_wants(REMORA_LOG_FATAL, "app"));
  assert_int_equal(remora_log_add_sink(q, 8, NULL, see, &all, NULL, &err), 0);
  expect_error(err, REMORA_E_INVALID, "8 is no level");
  (void)remora_queue_unref(q);
}

/* Nothing is lost without being counted, and nobody waits for a sink. */
static void test_a_slow_sink(void **state) {
  (void)state;
  enum { MANY = 20000 };
  remora_queue *q = remora_queue_new();
  seen s = {0};
  uint64_t sink = remora_log_add_sink(q, 0, NULL, see, &s, NULL, NULL);
  for (int i = 0; i < MANY; i++) REMORA_LOG(REMORA_LOG_INFO, "app", "line %d", i);
  int64_t dropped = (int64_t)remora_log_dropped(sink);
  assert_true(dropped > 0 && dropped < MANY);
  (void)remora_serve(q, 0);
  assert_int_equal(s.records + dropped, MANY);
  assert_int_equal(s.notices, 1);
  assert_int_equal(s.told, dropped);
  REMORA_LOG(REMORA_LOG_INFO, "app", "there is room again");
  (void)remora_serve(q, 0);
  assert_string_equal(s.last, "there is room again");
  assert_int_equal(remora_log_remove_sink(sink), 1);
  (void)remora_queue_unref(q);
}

static void test_text_that_is_none(void **state) {
  (void)state;
  remora_queue *q = remora_queue_new();
  seen s = {0};
  uint64_t sink = remora_log_add_sink(q, 0, NULL, see, &s, NULL, NULL);
  remora_log(REMORA_LOG_INFO, "a\xff", "gr\xc3\xbcn \xff\xed\xa0\x80!", NULL, NULL, 0);
  (void)remora_serve(q, 0);
  assert_string_equal(s.last, "gr\xc3\xbcn ?"
                              "?"
                              "?"
                              "?"
                              "!");
  (void)remora_log_remove_sink(sink);
  (void)remora_queue_unref(q);
}

/* ------------------------------------------------------------------------------------------------------ standard error */

static void test_print(void **state) {
  (void)state;
  int ends[2], before = dup(2);
  char text[4096] = "";
  remora_error *err = NULL;
  assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  assert_int_equal(remora_log_print(REMORA_LOG_INFO, "* -quiet", "%l %p: %s", &err), 0);
  WORKS(err);
  assert_true(dup2(ends[1], 2) >= 0);
  remora_log(REMORA_LOG_INFO, "app", "one\ntwo", NULL, NULL, 0);
  remora_log(REMORA_LOG_DEBUG, "app", "too low", NULL, NULL, 0);
  remora_log(REMORA_LOG_FATAL, "quiet", "not selected", NULL, NULL, 0);
  int printed = 0;
  while (remora_log_wants(REMORA_LOG_INFO, "app") && printed < 100000) { /* nobody reads: it does not wait */
    remora_log(REMORA_LOG_INFO, "app", "x", NULL, NULL, 0);
    printed++;
  }
  assert_true(dup2(before, 2) >= 0);
  assert_true(read(ends[0], text, sizeof text - 1) > 0);
  assert_int_equal(strncmp(text, "info app: one\n two\ninfo app: x\n", 31), 0);
  assert_int_equal(remora_log_print(0, NULL, NULL, &err), 0);
  assert_false(remora_log_wants(REMORA_LOG_FATAL, "app"));
  assert_int_equal(remora_log_print(9, NULL, NULL, &err), -1);
  expect_error(err, REMORA_E_INVALID, "9 is no level");
  close(ends[0]);
  close(ends[1]);
  close(before);
}

/* Prints to `end` as standard error; what another process makes of it: the signal that has ended it, or 0. */
static int prints_into(int end) {
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    char text[1200];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    (void)signal(SIGPIPE, SIG_DFL);
    (void)alarm(LIMIT / 1000);
    if (dup2(end, 2) < 0 || remora_log_print(REMORA_LOG_INFO, NULL, NULL, NULL) != 0) _exit(1);
    for (int i = 0; i < 200; i++) remora_log(REMORA_LOG_INFO, "app", text + i % 7, NULL, NULL, 0);
    _exit(0);
  }
  int status = 0;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_print_to_nobody(void **state) {
  (void)state;
  int ends[2];
  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  close(ends[0]);
  assert_int_equal(prints_into(ends[1]), 0);
  close(ends[1]);
}

/* The room of a terminal ends in the middle of a line. */
static void test_print_to_a_terminal_that_nobody_reads(void **state) {
  (void)state;
  int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
  int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  assert_true(slave >= 0);
  assert_int_equal(prints_into(slave), 0);
  assert_int_equal(fcntl(slave, F_GETFL) & O_NONBLOCK, 0); /* others have it, too */
  close(slave);
  close(master);
}

/* ------------------------------------------------------------------------------------------------------- the far side */

static remora_conn *connect_logging(remora_queue *q, const char *level, int64_t budget, remora_error **err) {
  remora_options *opts = remora_options_new();
  (void)remora_options_set(opts, "log_forward", remora_bool(1), err);
  if (level) (void)remora_options_set(opts, "log_level", remora_str(level), err);
  if (budget) (void)remora_options_set(opts, "log_budget", remora_int(budget), err);
  remora_options_set_queue(opts, q);
  remora_conn *c = remora_connect("-", opts, err);
  (void)remora_options_free(opts);
  return c;
}

static void test_far_records(void **state) {
  (void)state;
  enum { MANY = 20000, BUDGET = 65536 }; /* however slowly it logs, it logs more than that */
  remora_error *err = NULL;
  remora_queue *q = remora_queue_new();
  seen s = {0};
  uint64_t sink = remora_log_add_sink(q, 0, "* -remora", see, &s, NULL, NULL);
  seen own = {0};
  uint64_t ours = remora_log_add_sink(q, 0, "remora.connection", see, &own, NULL, NULL);
  remora_conn *c = connect_logging(q, "debug", BUDGET, &err);
  WORKS(err);
  remora_proxy *f = remora_can_on(c, "builtins.exec", &err);
  WORKS(err);
  remora_value *args =
      pack("s", "import logging\nlog = logging.getLogger('app.db')\nfor i in range(20000): log.debug('line %d', i)");
  remora_value *v = remora_call(f, "", args, &err);
  WORKS(err);
  (void)remora_value_unref(v);
  (void)remora_value_unref(args);
  for (int64_t end = now_ms() + LIMIT; stat_of(c, "log_records") + stat_of(c, "log_dropped") < MANY;) {
    assert_true(now_ms() < end);
    (void)remora_serve(q, 10);
  }
  assert_int_equal(stat_of(c, "log_records") + stat_of(c, "log_dropped"), MANY);
  assert_true(stat_of(c, "log_dropped") > 0);
  int64_t records = stat_of(c, "log_records");
  for (int64_t end = now_ms() + LIMIT; s.records + (int64_t)remora_log_dropped(sink) < records;) {
    assert_true(now_ms() < end);
    (void)remora_serve(q, 10);
  }
  (void)remora_proxy_unref(f);
  finish(c);
  (void)remora_serve(q, 0);
  assert_true(own.records >= 3); /* connecting, connected, closed */
  assert_string_equal(own.last, "-: closed");
  (void)remora_log_remove_sink(sink);
  (void)remora_log_remove_sink(ours);
  (void)remora_queue_unref(q);
}

static void test_options(void **state) {
  (void)state;
  remora_error *err = NULL;
  assert_null(connect_logging(NULL, "loud", 0, &err));
  expect_error(err, REMORA_E_INVALID, "option log_level: \"loud\" is none of trace");
}

int main(void) {
  unsetenv("REMORA_LOG_LEVEL");
  unsetenv("REMORA_LOG_FORWARDING");
  const struct CMUnitTest tests[] = {/* they fork, and TSan wants no threads then */
                                     cmocka_unit_test(test_print_to_nobody),
                                     cmocka_unit_test(test_print_to_a_terminal_that_nobody_reads),
                                     cmocka_unit_test(test_levels),
                                     cmocka_unit_test(test_selections),
                                     cmocka_unit_test(test_formats),
                                     cmocka_unit_test(test_what_is_not_known),
                                     cmocka_unit_test(test_lines_and_origins),
                                     cmocka_unit_test(test_sinks),
                                     cmocka_unit_test(test_a_slow_sink),
                                     cmocka_unit_test(test_text_that_is_none),
                                     cmocka_unit_test(test_print),
                                     cmocka_unit_test(test_far_records),
                                     cmocka_unit_test(test_options)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
