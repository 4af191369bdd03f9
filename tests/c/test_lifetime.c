/* test_lifetime.c: how calls and connections end, what the host notices of the library, queues; over a child with the real Python node. */
#include "hub_helpers.h"
#include "own_object.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

/* ---------------------------------------------------------------------------------------------------------- the end */

/* Whatever becomes of a call, its future is ready exactly once. */
static void test_every_call_ends_exactly_once(void **state) {
  (void)state;
  enum { COUNT = 40 };
  remora_conn *c = connect_here();
  remora_error *err = NULL;
  remora_proxy *identity = far(c, "identity"), *fail_there = far(c, "fail"), *sleep_there = far(c, "sleep");
  remora_value *one = pack("i", 1), *word = pack("s", "x"), *long_time = pack("i", 100);
  static atomic_int ready[5][COUNT];
  remora_future *f[5][COUNT];
  for (int i = 0; i < COUNT; i++) {
    f[0][i] = remora_start(identity, NULL, one, &err);
    f[1][i] = remora_start(fail_there, NULL, word, &err);
  }
  for (int i = 0; i < COUNT; i++) {
    f[2][i] = remora_start_with(sleep_there, NULL, long_time, 20 + i, 0, &err);
    f[3][i] = remora_start(sleep_there, NULL, long_time, &err);
    f[4][i] = remora_start(sleep_there, NULL, long_time, &err);
  }
  WORKS(err);
  for (int kind = 0; kind < 5; kind++)
    for (int i = 0; i < COUNT; i++)
      assert_int_equal(remora_then(f[kind][i], NULL, future_counted, &ready[kind][i], NULL, NULL), 0);
  for (int i = 0; i < COUNT; i++) {
    remora_future *freed = remora_start(sleep_there, NULL, long_time, &err); /* and nobody keeps it */
    WORKS(err);
    (void)remora_future_unref(freed);
    assert_int_equal(remora_cancel(f[3][i]), 1);
  }
  for (int kind = 0; kind < 3; kind++) assert_int_equal(remora_await_all(f[kind], COUNT, LIMIT, &err), 0);
  assert_int_equal(stat_of(c, "pending"), COUNT);
  remora_conn_close(c);
  assert_int_equal(remora_await_all(f[4], COUNT, LIMIT, &err), 0);
  finish(c);
  (void)remora_serve(remora_default_queue(), 0);
  static const int codes[] = {0, REMORA_E_REMOTE, REMORA_E_TIMEOUT, REMORA_E_CANCELLED, REMORA_E_LOST};
  for (int kind = 0; kind < 5; kind++)
    for (int i = 0; i < COUNT; i++) {
      assert_int_equal(atomic_load(&ready[kind][i]), 1);
      err = NULL;
      remora_value *v = remora_future_result(f[kind][i], &err);
      if (kind == 0)
        assert_int_equal(int_of(v), 1);
      else
        expect_error(err, codes[kind], NULL);
      (void)remora_future_unref(f[kind][i]);
    }
  (void)remora_value_unref(one);
  (void)remora_value_unref(word);
  (void)remora_value_unref(long_time);
  (void)remora_proxy_unref(identity);
  (void)remora_proxy_unref(fail_there);
  (void)remora_proxy_unref(sleep_there);
}

static void test_any_order_of_destruction(void **state) {
  (void)state;
  static const char *const orders[] = {"fpc", "fcp", "pfc", "pcf", "cfp", "cpf"};
  for (size_t i = 0; i < 4 * sizeof orders / sizeof *orders; i++) {
    remora_conn *c = connect_here();
    remora_proxy *p = far(c, i & 1 ? "sleep" : "identity");
    remora_future *f = start(p, NULL, pack("i", 100));
    if (i & 2) remora_conn_close(c); /* closed, or to be closed by the last of them */
    for (const char *what = orders[i / 4]; *what; what++) switch (*what) {
      case 'f':
        f = remora_future_unref(f);
        break;
      case 'p':
        p = remora_proxy_unref(p);
        break;
      default:
        c = remora_conn_unref(c);
      }
  }
}

/* No reference is left: the far process ends without being told. */
static void test_connection_ends_with_its_last_reference(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  pid_t pid = (pid_t)remora_conn_pid(c);
  remora_future *closed = remora_conn_on_close(c, NULL);
  remora_proxy *p = far(c, "identity");
  (void)remora_conn_unref(c);
  assert_int_equal(int_of(call(p, NULL, pack("i", 3))), 3); /* the proxy holds it */
  (void)remora_proxy_unref(p);
  remora_value *v = await(closed);
  assert_int_equal(remora_value_kind(v), REMORA_NULL);
  (void)remora_future_unref(closed);
  int64_t end = now_ms() + LIMIT;
  while (kill(pid, 0) == 0 && now_ms() < end) (void)remora_serve(remora_default_queue(), 5);
  assert_int_equal(kill(pid, 0), -1);
}

static void test_on_close(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  remora_future *closed = remora_conn_on_close(c, NULL), *again = remora_conn_on_close(c, NULL);
  assert_ptr_equal(closed, again);
  assert_int_equal(remora_future_state(closed), REMORA_PENDING);
  (void)remora_future_unref(launch(c, "leave", pack("i", 3)));
  expect_error(await_error(closed), REMORA_E_LOST, "exit status 3");
  (void)remora_future_unref(again);
  assert_false(remora_conn_is_valid(c));
  closed = remora_conn_on_close(c, NULL); /* asked too late: the same answer */
  expect_error(await_error(closed), REMORA_E_LOST, "exit status 3");
  remora_error *err = NULL;
  assert_null(remora_can_on(c, "os.getpid", &err));
  expect_error(err, REMORA_E_LOST, "exit status 3");
  finish(c);
  c = connect_here();
  closed = remora_conn_on_close(c, NULL);
  finish(c);
  (void)remora_value_unref(await(closed));
  (void)remora_future_unref(closed);
}

/* To one that never greets. */
static remora_future *connect_for_ever(void) {
  remora_error *err = NULL;
  remora_options *opts = remora_options_new();
  (void)remora_options_set(opts, "interpreter", pack("sss", "sh", "-c", "cat >/dev/null"), &err);
  WORKS(err);
  remora_future *f = remora_connect_start("-", opts, &err);
  WORKS(err);
  (void)remora_options_free(opts);
  return f;
}

static void test_close_while_connecting(void **state) {
  (void)state;
  remora_future *f = connect_for_ever();
  remora_conn *c = remora_future_conn(f);
  remora_conn_close(c);
  expect_error(await_error(f), REMORA_E_CANCELLED, NULL);
  finish(c);
  f = connect_for_ever();
  assert_int_equal(remora_cancel(f), 1);
  expect_error(await_error(f), REMORA_E_CANCELLED, NULL);
  remora_error *err = NULL;
  f = remora_connect_start("-", NULL, &err);
  (void)remora_future_unref(f); /* and forgotten */
}

static void test_no_descriptor_is_left(void **state) {
  (void)state;
  finish(connect_here()); /* what is made once is there now */
  int before = count_fds();
  for (int i = 0; i < 50; i++) {
    remora_conn *c = connect_here();
    if (i % 2) (void)remora_value_unref(run(c, "identity", pack("i", i)));
    finish(c);
  }
  assert_int_equal(count_fds(), before);
}

/* ---------------------------------------------------------------------------------------------------------- a good guest */

static void test_sigpipe_never_comes(void **state) {
  (void)state;
  struct sigaction as_it_is, after;
  assert_int_equal(sigaction(SIGPIPE, NULL, &as_it_is), 0);
  assert_ptr_equal(as_it_is.sa_handler, SIG_DFL); /* or this test shows nothing */
  remora_conn *c = connect_here();
  remora_proxy *identity = far(c, "identity");
  char *data = calloc(1, 1 << 20);
  remora_value *args = pack("v", remora_bytes(data, 1 << 20));
  free(data);
  assert_int_equal(kill((pid_t)remora_conn_pid(c), SIGKILL), 0);
  remora_error *err = NULL;
  for (int64_t end = now_ms() + LIMIT; now_ms() < end && !err;) { /* writes until it is told that nobody is there */
    remora_future *f = remora_start_with(identity, NULL, args, -1, REMORA_NOWAIT, &err);
    (void)remora_future_unref(f);
    if (err && remora_error_code(err) == REMORA_E_OVERLOADED) err = remora_error_free(err);
  }
  expect_error(err, REMORA_E_LOST, "SIGKILL");
  assert_int_equal(sigaction(SIGPIPE, NULL, &after), 0);
  assert_ptr_equal(after.sa_handler, SIG_DFL);
  sigset_t pending;
  sigpending(&pending);
  assert_false(sigismember(&pending, SIGPIPE));
  (void)remora_value_unref(args);
  (void)remora_proxy_unref(identity);
  finish(c);
}

static void test_no_handler_is_installed(void **state) {
  (void)state;
  finish(connect_here());
  for (int i = 1; i < 32; i++) {
    struct sigaction is;
    if (i == SIGKILL || i == SIGSTOP || sigaction(i, NULL, &is) != 0) continue;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    if (is.sa_handler != SIG_DFL && i != SIGSEGV && i != SIGBUS && i != SIGILL && i != SIGFPE &&
        i != SIGSYS) /* cmocka's */
      fail_msg("signal %d has a handler", i);
#endif
    if (i == SIGCHLD) assert_ptr_equal(is.sa_handler, SIG_DFL);
  }
}

static void host_handler(int number) { (void)number; }

/* The library reaps its own children only. */
static void test_children_of_the_host_are_left_alone(void **state) {
  (void)state;
  pid_t pid = fork();
  if (pid == 0) _exit(7);
  remora_conn *c = connect_here();
  (void)remora_value_unref(run(c, "identity", pack("i", 1)));
  finish(c);
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(WEXITSTATUS(status), 7);
}

static void *interrupt_when_waiting(void *argument) {
  pthread_t *who = argument;
  for (int i = 0; i < 200; i++) { /* one of them comes while it sleeps */
    struct timespec t = {.tv_nsec = 10 * 1000000};
    (void)nanosleep(&t, NULL);
    if (pthread_kill(*who, SIGUSR1) != 0) break;
  }
  return NULL;
}

static void test_a_signal_ends_a_wait(void **state) {
  (void)state;
  struct sigaction handler = {.sa_handler = host_handler}, old;
  assert_int_equal(sigaction(SIGUSR1, &handler, &old), 0);
  remora_conn *c = connect_here();
  remora_future *f = launch(c, "sleep", pack("i", 100));
  pthread_t thread, self = pthread_self();
  assert_int_equal(pthread_create(&thread, NULL, interrupt_when_waiting, &self), 0);
  remora_error *err = NULL;
  assert_null(remora_await(f, LIMIT, &err));
  expect_error(err, REMORA_E_INTERRUPTED, NULL);
  err = NULL;
  assert_int_equal(remora_await_all(&f, 1, LIMIT, &err), -1);
  expect_error(err, REMORA_E_INTERRUPTED, NULL);
  assert_null(remora_next_event(remora_default_queue(), LIMIT));
  assert_int_equal(remora_future_state(f), REMORA_PENDING); /* it can be waited for again */
  (void)pthread_join(thread, NULL);
  (void)remora_future_unref(f);
  remora_conn_close(c);
  finish(c);
  assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
}

/* What the child of a fork checks; its exit status: 0, or the number of the line that failed. */
#define CHILD(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) _exit((__LINE__ % 250) + 1);                                                                     \
  } while (0)

static void child_of_fork(remora_conn *c, remora_proxy *p, remora_future *f, remora_queue *q) {
  for (int pass = 0; pass < 2; pass++) { /* before and after the child has a hub of its own */
    remora_error *err = NULL;
    CHILD(!remora_call(p, NULL, NULL, &err) && remora_error_code(err) == REMORA_E_FORKED);
    err = remora_error_free(err);
    CHILD(!remora_await(f, -1, &err) && remora_error_code(err) == REMORA_E_FORKED);
    err = remora_error_free(err);
    CHILD(!remora_can_on(c, "os.getpid", &err) && remora_error_code(err) == REMORA_E_FORKED);
    err = remora_error_free(err);
    CHILD(!remora_new_on(c, "a.B", NULL, &err) && remora_error_code(err) == REMORA_E_FORKED);
    err = remora_error_free(err);
    CHILD(!remora_conn_on_close(c, &err) && remora_error_code(err) == REMORA_E_FORKED);
    err = remora_error_free(err);
    CHILD(remora_then(f, NULL, NULL, NULL, NULL, &err) != 0 && remora_error_code(err) == REMORA_E_FORKED);
    err = remora_error_free(err);
    CHILD(!remora_conn_is_valid(c));
    CHILD(remora_cancel(f) == 0);
    CHILD(remora_conn_wait_closed(c, -1) == -1);
    CHILD(!remora_next_event(q, -1));
    CHILD(remora_serve(q, -1) == 0);
    remora_queue_set_dispatcher(q, 1);
    CHILD(!remora_export(q, &own_class, &err, NULL));
    remora_conn_close(c);
    if (pass == 0) {
      remora_conn *mine = remora_connect("-", NULL, &err);
      CHILD(mine);
      remora_proxy *there = remora_can_on(mine, "far_tests.identity", &err);
      CHILD(there);
      remora_value *args = pack("i", 5), *v = remora_call(there, NULL, args, &err);
      CHILD(v && remora_as_int(v) == 5);
      remora_conn_close(mine);
      CHILD(remora_conn_wait_closed(mine, LIMIT) == 0);
    }
  }
  (void)remora_future_unref(f); /* harmless */
  (void)remora_proxy_unref(p);
  (void)remora_queue_unref(q);
  (void)remora_conn_unref(c);
  remora_shutdown();
  _exit(0);
}

static void test_fork(void **state) {
  (void)state;
#ifdef __SANITIZE_THREAD__
  skip(); /* it cannot follow threads that a child makes after the fork of a process with threads */
#endif
  remora_conn *c = connect_here();
  remora_proxy *p = far(c, "identity");
  remora_future *f = launch(c, "sleep", pack("i", 100));
  remora_queue *q = remora_queue_new();
  pid_t pid = fork();
  if (pid == 0) child_of_fork(c, p, f, q);
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    fail_msg("the child ended with status %x (line %d of a check, modulo 250)", status, WEXITSTATUS(status) - 1);
  assert_true(remora_conn_is_valid(c)); /* the parent's is none the worse */
  assert_int_equal(remora_cancel(f), 1);
  (void)remora_future_unref(f);
  (void)remora_proxy_unref(p);
  (void)remora_queue_unref(q);
  remora_conn_close(c);
  finish(c);
}

/* -------------------------------------------------------------------------------------------------------------- queues */

static void test_output_comes_before_the_result(void **state) {
  (void)state;
  remora_error *err = NULL;
  remora_queue *q = remora_queue_new();
  remora_options *opts = remora_options_new();
  remora_options_set_queue(opts, q);
  remora_conn *c = remora_connect("-", opts, &err);
  WORKS(err);
  (void)remora_options_free(opts);
  (void)remora_value_unref(run(c, "show", pack("s", "hello"))); /* the default queue has nothing to do with it */
  char text[64] = "";
  size_t length = 0;
  while (length < 6) {
    remora_event *e = remora_next_event(q, LIMIT);
    assert_non_null(e);
    assert_int_equal(remora_event_type(e), REMORA_EVENT_OUTPUT);
    assert_int_equal(remora_event_stream(e), 1);
    assert_ptr_equal(remora_event_conn(e), c);
    assert_null(remora_event_method(e));
    size_t n;
    const char *data = remora_event_data(e, &n);
    assert_true(length + n < sizeof text);
    memcpy(text + length, data, n);
    length += n;
    (void)remora_event_free(e);
  }
  assert_string_equal(text, "hello\n");
  assert_null(remora_next_event(q, 0));
  finish(c);
  (void)remora_queue_unref(q);
}

static void *pull_by_hand(void *argument) {
  remora_queue *q = argument;
  struct pollfd p = {.fd = remora_queue_fd(q), .events = POLLIN};
  int calls = 0;
  for (int64_t end = now_ms() + LIMIT; calls < 3 && now_ms() < end;) {
    remora_event *e = remora_next_event(q, 0);
    if (!e) {
      if (!remora_queue_arm(q)) (void)poll(&p, 1, 1000);
      continue;
    }
    if (remora_event_type(e) == REMORA_EVENT_CALL) {
      remora_error *err = NULL;
      const remora_value *args = remora_event_args(e, &err);
      remora_event_enter(e);
      remora_value *v = remora_int(remora_as_int(remora_at(args, 0)) * 2);
      calls++;
      if (calls == 2)
        remora_event_fail(e, remora_error_new(REMORA_E_NOTFOUND, "gone fishing"));
      else if (calls == 1)
        (void)remora_event_reply(e, v, &err);
      (void)remora_value_unref(v); /* the third is not answered at all */
      assert_null(err);
    }
    (void)remora_event_free(e);
  }
  return NULL;
}

typedef struct handed {
  remora_proxy *identity;
  remora_value *result;
  uint64_t chain;
} handed;

static void *goes_on(void *argument) {
  handed *h = argument;
  assert_int_equal(remora_chain(), 0);
  remora_chain_enter(h->chain);
  h->result = call(h->identity, NULL,
                   pack("i", 42)); /* the far side waits in a call: it serves this one as it descends from that */
  remora_chain_enter(0);
  return NULL;
}

static remora_value *handed_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  (void)method, (void)args, (void)err;
  handed *h = userdata;
  h->chain = remora_chain();
  assert_int_not_equal(h->chain, 0);
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, goes_on, h), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  return h->result;
}

static void test_a_call_that_goes_on_on_another_thread(void **state) {
  (void)state;
  static const remora_class cls = {.size = sizeof cls, .name = "test.Handed", .traits = "call", .call = handed_call};
  remora_conn *c = connect_here();
  handed h = {.identity = far(c, "identity")};
  remora_object *object = remora_export(NULL, &cls, &h, NULL);
  assert_int_equal(remora_chain(), 0);
  assert_int_equal(int_of(run(c, "apply", pack("oi", object, 1))), 42);
  assert_int_equal(remora_chain(), 0);
  (void)remora_object_unref(object);
  (void)remora_proxy_unref(h.identity);
  finish(c);
}

static void test_events_pulled_by_hand(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  remora_queue *q = remora_queue_new();
  own o = {0};
  remora_object *object = remora_export(q, &own_class, &o, own_gone);
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, pull_by_hand, q), 0);
  assert_int_equal(int_of(run(c, "apply", pack("oi", object, 21))), 42);
  expect_error(await_error(launch(c, "apply", pack("oi", object, 21))), REMORA_E_NOTFOUND, "gone fishing");
  expect_error(await_error(launch(c, "apply", pack("oi", object, 21))), REMORA_E_CANCELLED, NULL);
  (void)pthread_join(thread, NULL);
  assert_int_equal(o.calls, 0);
  (void)remora_object_unref(object);
  finish(c);
  assert_true(remora_queue_reap(q) <= 1);
  assert_int_equal(o.gone, 1);
  (void)remora_queue_unref(q);
}

/* Calls that descend from nothing of ours run in whatever wait there is, on this thread. */
static void test_waits_serve_the_default_queue(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  own o = {0};
  remora_object *object = lend(&o);
  remora_proxy *keep = make(c, "Keep", NULL);
  (void)remora_value_unref(call(keep, "keep", pack("o", object)));
  (void)remora_value_unref(call(keep, "later", pack("i", 20))); /* from a thread of its own */
  remora_future *f = launch(c, "sleep", pack("i", 100));
  remora_error *err = NULL;
  for (int64_t end = now_ms() + LIMIT; o.calls < 20 && now_ms() < end; err = remora_error_free(err))
    assert_null(remora_await(f, 20, &err));
  assert_int_equal(o.calls, 20);
  (void)remora_future_unref(f);
  (void)remora_proxy_unref(keep);
  (void)remora_object_unref(object);
  remora_conn_close(c);
  finish(c);
  SERVE_UNTIL(o.gone == 1);
}

enum { SERVED_MS = 2000 };
static void *serve_for_long(void *argument) { return (void *)(intptr_t)remora_serve(argument, SERVED_MS); }

/* Two threads serve one queue: neither goes home early because the other was faster. */
static void test_two_servers(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  remora_queue *q = remora_queue_new();
  own o = {0};
  remora_object *object = remora_export(q, &own_class, &o, own_gone);
  int64_t begin = now_ms();
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, serve_for_long, q), 0);
  int calls = 0; /* while they serve for sure */
  for (; calls < 200 && now_ms() - begin < SERVED_MS / 5; calls++)
    assert_int_equal(int_of(run(c, "apply", pack("oi", object, calls))), calls + 1);
  intptr_t total = 0;
  for (int i = 0; i < 2; i++) {
    void *n;
    (void)pthread_join(threads[i], &n);
    total += (intptr_t)n;
    if (i == 1) assert_true(now_ms() - begin >= SERVED_MS - 10);
  }
  assert_true(total >= calls);
  (void)remora_object_unref(object);
  finish(c);
  (void)remora_queue_reap(q);
  (void)remora_queue_unref(q);
}

/* --------------------------------------------------------------------------------------------------------- the last one */

static void *wait_for_ever(void *argument) {
  remora_error *err = NULL;
  remora_value *v = remora_await(argument, -1, &err);
  int code = remora_error_code(err);
  (void)remora_error_free(err);
  return v ? NULL : (void *)(intptr_t)code;
}

static void test_shutdown(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  pid_t pid = (pid_t)remora_conn_pid(c);
  remora_proxy *counter = make(c, "Counter", NULL);
  remora_error *err = NULL;
  remora_future *oneway = remora_start_with(counter, "up", NULL, -1, REMORA_ONEWAY, &err);
  WORKS(err);
  remora_future *f = launch(c, "sleep", pack("i", 100));
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, wait_for_ever, f), 0);
  int64_t begin = now_ms();
  remora_shutdown();
  assert_in_range(now_ms() - begin, 0, 5000);
  for (int i = 0; i < 3; i++) {
    void *code;
    (void)pthread_join(threads[i], &code);
    assert_int_equal((intptr_t)code, REMORA_E_LOST);
  }
  assert_int_equal(remora_future_state(f), REMORA_FAILED);
  assert_null(remora_call(counter, "up", NULL, &err));
  expect_error(err, REMORA_E_LOST, NULL);
  err = NULL;
  assert_null(remora_connect("-", NULL, &err)); /* nothing begins any more */
  expect_error(err, REMORA_E_LOST, NULL);
  assert_null(remora_next_event(remora_default_queue(), -1));
  remora_shutdown(); /* twice is as good */
  int status;
  assert_true(waitpid(pid, &status, 0) == pid || errno == ECHILD);
  (void)remora_future_unref(oneway);
  (void)remora_future_unref(f);
  (void)remora_proxy_unref(counter);
  (void)remora_conn_unref(c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_descriptor_is_left), /* while nothing else is open */
      cmocka_unit_test(test_every_call_ends_exactly_once),
      cmocka_unit_test(test_any_order_of_destruction),
      cmocka_unit_test(test_connection_ends_with_its_last_reference),
      cmocka_unit_test(test_on_close),
      cmocka_unit_test(test_close_while_connecting),
      cmocka_unit_test(test_sigpipe_never_comes),
      cmocka_unit_test(test_no_handler_is_installed),
      cmocka_unit_test(test_children_of_the_host_are_left_alone),
      cmocka_unit_test(test_a_signal_ends_a_wait),
      cmocka_unit_test(test_fork),
      cmocka_unit_test(test_output_comes_before_the_result),
      cmocka_unit_test(test_events_pulled_by_hand),
      cmocka_unit_test(test_a_call_that_goes_on_on_another_thread),
      cmocka_unit_test(test_waits_serve_the_default_queue),
      cmocka_unit_test(test_two_servers),
      cmocka_unit_test(test_shutdown), /* nothing goes after it */
  };
  return cmocka_run_group_tests(tests, hub_setup, NULL);
}
