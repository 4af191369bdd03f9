/* test_liveness.c: far sides that are killed, stopped, gone, silent or busy are told apart, in bounded time. Upper bounds
 * are five times what is promised: the machine may be busy, a hang is a hang all the same. */
#include "hub_helpers.h"

#include <signal.h>
#include <sys/wait.h>

#define HEARTBEAT 200
#define DEAD_AFTER 1000

/* How the far process is reached: as our own child, watched from here, or through a program that carries its streams, as
 * behind ssh, watched by a warden over there. */
static const bool carried_too[] = {false, true};

static remora_conn *connect_watched(bool carried) {
  remora_error *err = NULL;
  remora_conn *c =
      carried ? connect_with(NULL, &err, "heartbeat", remora_int(HEARTBEAT), "dead_after", remora_int(DEAD_AFTER),
                             "command", pack("s", "env"), NULL)
              : connect_with("-", &err, "heartbeat", remora_int(HEARTBEAT), "dead_after", remora_int(DEAD_AFTER), NULL);
  WORKS(err);
  assert_non_null(c);
  return c;
}

/* A call that has not ended yet. */
static remora_future *waiting_call(remora_conn *c) { return launch(c, "sleep", pack("i", 600)); }

/* The waiting call fails with the reason, not before `least` ms and in at most five times `promised` ms; the connection is over. */
static void expect_lost(remora_conn *c, remora_future *f, const char *why, int64_t least, int64_t promised) {
  int64_t begin = now_ms();
  expect_error(await_error(f), REMORA_E_LOST, why);
  int64_t took = now_ms() - begin;
  if (took < least || took > 5 * promised) fail_msg("told after %lld ms", (long long)took);
  assert_false(remora_conn_is_valid(c));
  finish(c);
}

static void test_killed(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    remora_conn *c = connect_watched(carried_too[i]);
    remora_future *f = waiting_call(c);
    assert_int_equal(kill((pid_t)remora_conn_pid(c), SIGKILL), 0);
    expect_lost(c, f, i ? "signal 9" : "SIGKILL", 0, DEAD_AFTER);
  }
}

static pid_t parent_of(pid_t pid) {
  char path[64], line[512] = "";
  int parent = 0;
  (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  FILE *f = fopen(path, "re");
  assert_non_null(f);
  assert_non_null(fgets(line, sizeof line, f));
  (void)fclose(f);
  assert_int_equal(sscanf(strrchr(line, ')'), ") %*c %d", &parent), 1);
  return parent;
}

/* Who knows how it ended has to wait for a core. */
static void test_killed_while_its_warden_is_slow(void **state) {
  (void)state;
  remora_conn *c = connect_watched(true);
  remora_future *f = waiting_call(c);
  pid_t pid = (pid_t)remora_conn_pid(c), warden = parent_of(pid);
  assert_int_equal(kill(warden, SIGSTOP), 0);
  assert_int_equal(kill(pid, SIGKILL), 0);
  remora_error *err = NULL;
  assert_null(remora_await(f, 600, &err));
  expect_error(err, REMORA_E_TIMEOUT, NULL);
  assert_int_equal(kill(warden, SIGCONT), 0);
  expect_lost(c, f, "signal 9", 0, DEAD_AFTER);
}

static void test_stopped(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    remora_conn *c = connect_watched(carried_too[i]);
    remora_future *f = waiting_call(c);
    pid_t pid = (pid_t)remora_conn_pid(c);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    expect_lost(c, f, "stopped", DEAD_AFTER - 2 * HEARTBEAT, DEAD_AFTER + HEARTBEAT);
    int64_t end = now_ms() + LIMIT; /* and what was given up does not stay behind, stopped for ever */
    while (kill(pid, 0) == 0 && now_ms() < end) (void)remora_serve(remora_default_queue(), 5);
    assert_int_equal(kill(pid, 0), -1);
  }
}

static void test_stopped_for_a_moment(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    remora_conn *c = connect_watched(carried_too[i]);
    char name[32];
    remora_future *f = launch_held(c, name, 0);
    pid_t pid = (pid_t)remora_conn_pid(c);
    for (int times = 0; times < 5; times++) { /* in all for longer than DEAD_AFTER */
      remora_error *err = NULL;
      assert_int_equal(kill(pid, SIGSTOP), 0);
      assert_null(remora_await(f, DEAD_AFTER / 4, &err));
      expect_error(err, REMORA_E_TIMEOUT, NULL);
      err = NULL;
      assert_int_equal(kill(pid, SIGCONT), 0);
      assert_null(remora_await(f, 300, &err));
      expect_error(err, REMORA_E_TIMEOUT, NULL);
    }
    let_go(name);
    (void)remora_value_unref(await(f));
    (void)remora_future_unref(f);
    finish(c);
  }
}

/* A child of ours stops us, lets `them` go on meanwhile (0: nobody), and us after so many ms. */
static pid_t stop_us(pid_t them, int ms) {
  pid_t us = getpid(), child = fork();
  assert_true(child >= 0);
  if (!child) {
    (void)kill(us, SIGSTOP);
    if (them) (void)kill(them, SIGCONT);
    (void)poll(NULL, 0, ms);
    (void)kill(us, SIGCONT);
    _exit(0);
  }
  return child;
}

/* It was we who did not look: what the far side has sent meanwhile counts, and so does what its warden has said. */
static void test_we_were_stopped_for_a_moment(void **state) {
  (void)state;
  static const char *const busy[] = {"sleep", "hold_lock"}; /* that beats, this does not: its warden does */
  for (int i = 0; i < 2; i++) {
    remora_conn *c = connect_watched(true);
    remora_future *f = launch(c, busy[i], pack("v", remora_float(2.2)));
    remora_error *err = NULL;
    assert_null(remora_await(f, 300, &err)); /* it has begun */
    expect_error(err, REMORA_E_TIMEOUT, NULL);
    pid_t child = stop_us(0, 1080);
    (void)remora_value_unref(await(f));
    assert_int_equal(waitpid(child, NULL, 0), child);
    (void)remora_future_unref(f);
    finish(c);
  }
}

/* The far side was let go on while we did not look. */
static void test_both_were_stopped(void **state) {
  (void)state;
  remora_conn *c = connect_watched(true);
  remora_future *f = launch(c, "hold_lock", pack("v", remora_float(2.2))); /* its warden alone can tell */
  pid_t them = (pid_t)remora_conn_pid(c);
  assert_int_equal(kill(them, SIGSTOP), 0);
  remora_error *err = NULL;
  assert_null(remora_await(f, 300, &err)); /* and has told that it was stopped */
  expect_error(err, REMORA_E_TIMEOUT, NULL);
  pid_t child = stop_us(them, DEAD_AFTER - HEARTBEAT / 2);
  (void)remora_value_unref(await(f));
  assert_int_equal(waitpid(child, NULL, 0), child);
  (void)remora_future_unref(f);
  finish(c);
}

static void test_exits_in_a_call(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    remora_conn *c = connect_watched(carried_too[i]);
    expect_lost(c, launch(c, "leave", pack("i", 3)), "exit status 3", 0, DEAD_AFTER);
  }
  remora_conn *c = connect_watched(false);
  expect_error(await_error(launch(c, "leave_orderly", pack("i", 3))), REMORA_E_REMOTE,
               NULL); /* sys.exit() is an error like others */
  assert_true(remora_conn_is_valid(c));
  finish(c);
}

static void test_rubbish_on_the_wire(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    remora_conn *c = connect_watched(carried_too[i]);
    remora_future *f = launch(c, "rubbish", NULL);
    expect_error(await_error(f), REMORA_E_PROTOCOL, "protocol");
    assert_false(remora_conn_is_valid(c));
    finish(c);
  }
}

/* The far process is dead, but somebody it started holds its end of the pipe: no end of file comes. */
static void test_dead_while_a_grandchild_holds_the_pipe(void **state) {
  (void)state;
  for (int i = 0; i < 2; i++) {
    remora_conn *c = connect_watched(carried_too[i]);
    pid_t grandchild = (pid_t)int_of(run(c, "orphan", pack("i", 600)));
    remora_future *f = waiting_call(c);
    assert_int_equal(kill((pid_t)remora_conn_pid(c), SIGKILL), 0);
    expect_lost(c, f, NULL, 0, DEAD_AFTER);
    (void)kill(grandchild, SIGKILL);
  }
}

/* Nobody waits, nobody serves: the end is noticed all the same. */
static void test_end_is_noticed_in_the_background(void **state) {
  (void)state;
  remora_conn *c = connect_watched(false);
  remora_future *closed = remora_conn_on_close(c, NULL);
  remora_queue *q = remora_queue_new();
  assert_int_equal(remora_then(closed, q, NULL, NULL, NULL, NULL), 0);
  struct pollfd p = {.fd = remora_queue_fd(q), .events = POLLIN};
  assert_int_equal(remora_queue_arm(q), 0);
  assert_int_equal(kill((pid_t)remora_conn_pid(c), SIGKILL), 0);
  assert_int_equal(poll(&p, 1, 5 * DEAD_AFTER), 1);
  remora_event *e = remora_next_event(q, 0);
  assert_non_null(e);
  assert_int_equal(remora_event_type(e), REMORA_EVENT_READY);
  assert_ptr_equal(remora_event_future(e), closed);
  (void)remora_event_free(e);
  expect_error(await_error(closed), REMORA_E_LOST, "SIGKILL");
  (void)remora_queue_unref(q);
  finish(c);
}

/* The wait for a connection takes the loop over from the background thread, which sleeps until the time limit of that wait. What is due sooner then, the
 * far side's watchdog, is not overslept, though nobody waits any more. */
static void test_watchdog_is_fed_while_nobody_waits(void **state) {
  (void)state;
  remora_error *err = NULL;
  remora_options *opts = remora_options_new();
  assert_int_equal(remora_options_set(opts, "watchdog", remora_int(1200), &err), 0);
  assert_int_equal(
      remora_options_set(opts, "interpreter", pack("ssss", "sh", "-c", "sleep 0.5; exec python3 \"$@\"", "sh"), &err),
      0);
  remora_future *f = remora_connect_start("-", opts, &err);
  WORKS(err);
  (void)remora_options_free(opts);
  const struct timespec moment = {.tv_nsec = 200000000}, long_while = {.tv_sec = 2};
  (void)nanosleep(&moment, NULL);
  (void)remora_value_unref(await(f));
  remora_conn *c = remora_future_conn(f);
  (void)remora_future_unref(f);
  (void)nanosleep(&long_while, NULL);
  assert_int_equal(int_of(run(c, "identity", pack("i", 5))), 5);
  finish(c);
}

/* ---------------------------------------------------------------------------------------------------------- busy is not dead */

static void expect_alive(const char *function, remora_value *args) {
  remora_conn *c[2];
  remora_future *f[2];
  for (int i = 0; i < 2; i++) {
    c[i] = connect_watched(carried_too[i]);
    f[i] = launch(c[i], function, remora_value_ref(args));
  }
  for (int i = 0; i < 2; i++) {
    (void)remora_value_unref(await(f[i]));
    (void)remora_future_unref(f[i]);
    assert_int_equal(int_of(run(c[i], "identity", pack("i", 5))), 5);
    finish(c[i]);
  }
  (void)remora_value_unref(args);
}

static void test_sleep_is_not_death(void **state) {
  (void)state;
  expect_alive("sleep", pack("v", remora_float(2.5)));
}

static void test_computing_is_not_death(void **state) {
  (void)state;
  expect_alive("compute", pack("v", remora_float(2.5)));
}

static void test_holding_the_lock_is_not_death(void **state) {
  (void)state;
  expect_alive("hold_lock", pack("v", remora_float(2.5))); /* asleep */
  expect_alive("long_regex", pack("i", 25));               /* and computing */
}

/* --------------------------------------------------------------------------------------------------------- no greeting */

/* The stage and the words of the error when `script` is run in place of an interpreter. */
static void expect_no_connection(const char *script, int limit, const char *stage, const char *text) {
  remora_error *err = NULL;
  int64_t begin = now_ms();
  assert_null(
      connect_with("-", &err, "timeout", remora_int(limit), "interpreter", pack("sss", "sh", "-c", script), NULL));
  assert_in_range(now_ms() - begin, 0, 5 * limit);
  assert_string_equal(remora_error_stage(err), stage);
  expect_error(err, REMORA_E_CONNECT, text);
}

static void test_no_greeting(void **state) {
  (void)state;
  expect_no_connection("exec sleep 600", 300, "bootstrap", "did not greet within 300 ms");
  expect_no_connection("echo Last login: yesterday; exec sleep 600", 1500, "hello", "Last login: yesterday");
  expect_no_connection("echo quota exceeded >&2; exit 3", 5000, "bootstrap", "quota exceeded");
  expect_no_connection("exit 3", 5000, "bootstrap", "exit status 3");
  expect_no_connection("kill -9 $$", 5000, "bootstrap", "signal 9");
  expect_no_connection("exec yes", 5000, "hello", "it printed: ");
  expect_no_connection("printf '\\000REMORA\\nthis is no frame, and it is long enough for one'; exec sleep 600", 5000,
                       "hello", NULL);
}

/* What was started in vain is told to end at once: this process may be about to exit. */
static void test_nothing_stays_behind(void **state) {
  (void)state;
  char path[64], children[256] = "";
  (void)snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
  if (access(path, R_OK) != 0) skip(); /* a kernel without it */
  expect_no_connection("printf '\\000REMORA\\nthis is no frame, and it is long enough for one'; exec sleep 600", 5000,
                       "hello", NULL);
  int64_t end = now_ms() + 1000;
  do {
    (void)remora_serve(remora_default_queue(), 5);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    if (!fgets(children, sizeof children, f)) *children = 0;
    (void)fclose(f);
  } while (*children && now_ms() < end);
  assert_string_equal(children, "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_killed),
      cmocka_unit_test(test_killed_while_its_warden_is_slow),
      cmocka_unit_test(test_stopped),
      cmocka_unit_test(test_stopped_for_a_moment),
      cmocka_unit_test(test_we_were_stopped_for_a_moment),
      cmocka_unit_test(test_both_were_stopped),
      cmocka_unit_test(test_exits_in_a_call),
      cmocka_unit_test(test_rubbish_on_the_wire),
      cmocka_unit_test(test_dead_while_a_grandchild_holds_the_pipe),
      cmocka_unit_test(test_end_is_noticed_in_the_background),
      cmocka_unit_test(test_watchdog_is_fed_while_nobody_waits),
      cmocka_unit_test(test_sleep_is_not_death),
      cmocka_unit_test(test_computing_is_not_death),
      cmocka_unit_test(test_holding_the_lock_is_not_death),
      cmocka_unit_test(test_no_greeting),
      cmocka_unit_test(test_nothing_stays_behind),
  };
  return cmocka_run_group_tests(tests, hub_setup, NULL);
}
