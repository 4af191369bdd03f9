/* test_hub.c: the public functions over a child with the real Python node. */
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

static const char *text_of(const remora_value *v) {
  assert_non_null(v);
  assert_int_equal(remora_value_kind(v), REMORA_TEXT);
  return remora_as_text(v, NULL);
}

/* ------------------------------------------------------------------------------------------------------ the first hour */

static void test_connect_and_call(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  assert_true(remora_conn_is_valid(c));
  assert_string_equal(remora_conn_name(c), "-");
  assert_string_equal(text_of(remora_get(remora_conn_hello(c), "node")), "python");
  remora_proxy *getpid_there = remora_can_on(c, "os.getpid", NULL);
  assert_int_equal(int_of(call(getpid_there, NULL, NULL)), remora_conn_pid(c));
  assert_int_not_equal(remora_conn_pid(c), getpid());
  (void)remora_proxy_unref(getpid_there);
  remora_proxy *counter = make(c, "Counter", pack("i", 5));
  assert_string_equal(remora_proxy_type(counter), "far_tests.Counter");
  assert_ptr_equal(remora_proxy_conn(counter), c);
  assert_int_equal(int_of(call(counter, "up", NULL)), 6);
  assert_int_equal(int_of(call(counter, "up", NULL)), 7);
  (void)remora_proxy_unref(counter);
  finish(c);
}

static void test_what_is_missing(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  remora_error *err = NULL;
  assert_null(remora_can_on(c, "far_tests.no_such_function", &err));
  assert_null(err);
  assert_null(remora_can_on(c, "no_such_module.f", &err));
  assert_null(err);
  assert_null(remora_new_on(c, "far_tests.NoSuchClass", NULL, &err));
  expect_error(err, REMORA_E_NOTFOUND, "NoSuchClass");
  err = NULL;
  assert_null(remora_can_on(c, "", &err));
  expect_error(err, REMORA_E_INVALID, NULL);
  err = NULL;
  assert_null(remora_can_on(c, "\xff", &err));
  expect_error(err, REMORA_E_INVALID, NULL);
  remora_proxy *counter = make(c, "Counter", NULL);
  err = NULL;
  assert_null(remora_call(counter, "no_such_method", NULL, &err));
  expect_error(err, REMORA_E_REMOTE, "no_such_method");
  (void)remora_proxy_unref(counter);
  finish(c);
}

static void test_keyword_arguments(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  remora_value *args = pack("i", 40), *keywords = remora_map();
  assert_int_equal(remora_set(keywords, "step", remora_int(2)), 0);
  assert_int_equal(remora_set_keywords(args, keywords), 0);
  remora_proxy *counter = make(c, "Counter", args);
  assert_int_equal(int_of(call(counter, "up", NULL)), 42);
  (void)remora_proxy_unref(counter);
  args = pack("is", 1, "two"), keywords = remora_map();
  assert_int_equal(remora_set(keywords, "three", remora_float(3.0)), 0);
  assert_int_equal(remora_set_keywords(args, keywords), 0);
  remora_value *v = run(c, "both", args);
  assert_int_equal(remora_length(remora_at(v, 0)), 2);
  assert_string_equal(text_of(remora_at(remora_at(v, 0), 1)), "two");
  assert_true(remora_as_float(remora_get(remora_at(v, 1), "three")) == 3.0);
  (void)remora_value_unref(v);
  finish(c);
}

static void test_remote_errors_cross_whole(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  remora_proxy *fail_there = far(c, "fail");
  remora_error *err = NULL;
  remora_value *args = pack("s", "so far");
  assert_null(remora_call(fail_there, NULL, args, &err));
  (void)remora_value_unref(args);
  assert_int_equal(remora_error_code(err), REMORA_E_REMOTE);
  assert_string_equal(remora_error_type(err), "ValueError");
  assert_string_equal(remora_error_message(err), "so far");
  assert_non_null(strstr(remora_error_traceback(err), "in fail"));
  assert_non_null(remora_error_details(err));
  (void)remora_error_free(err);
  (void)remora_proxy_unref(fail_there);
  finish(c);
}

static void test_wrong_arguments(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  remora_proxy *f = far(c, "identity");
  remora_error *err = NULL;
  remora_value *no_list = remora_int(1);
  assert_null(remora_call(f, NULL, no_list, &err));
  expect_error(err, REMORA_E_INVALID, NULL);
  (void)remora_value_unref(no_list);
  err = NULL;
  assert_null(remora_can_on(NULL, "os.getpid", &err));
  expect_error(err, REMORA_E_INVALID, "no connection");
  err = NULL;
  assert_null(remora_new_on(NULL, "builtins.list", NULL, &err));
  expect_error(err, REMORA_E_INVALID, "no connection");
  char *name = malloc(70000);
  memset(name, 'x', 69999);
  name[69999] = 0;
  err = NULL;
  assert_null(remora_call(f, name, NULL, &err));
  expect_error(err, REMORA_E_INVALID, NULL);
  free(name);
  /* The root is at the other end of every connection: there is nothing to pass. */
  remora_proxy *root = remora_conn_root(c, NULL);
  remora_conn *other = connect_here();
  remora_proxy *there = far(other, "identity");
  err = NULL;
  remora_value *args = pack("p", root);
  assert_null(remora_call(there, NULL, args, &err));
  expect_error(err, REMORA_E_VALUE, NULL);
  (void)remora_value_unref(args);
  (void)remora_proxy_unref(root);
  (void)remora_proxy_unref(there);
  (void)remora_proxy_unref(f);
  finish(other);
  finish(c);
}

static void test_connect_errors_name_their_stage(void **state) {
  (void)state;
  remora_error *err = NULL;
  assert_null(connect_with("-", &err, "interpreter", remora_str("/no/such/python"), NULL));
  assert_string_equal(remora_error_stage(err), "spawn");
  expect_error(err, REMORA_E_CONNECT, "/no/such/python");
  err = NULL;
  assert_null(connect_with("-", &err, "interpreter", remora_str("true"), NULL));
  assert_string_equal(remora_error_stage(err), "bootstrap");
  expect_error(err, REMORA_E_CONNECT, "exit status 0");
  err = NULL;
  assert_null(connect_with("-", &err, "node", remora_str("cobol"), NULL));
  expect_error(err, REMORA_E_INVALID, "cobol");
  err = NULL;
  assert_null(connect_with("host:99", &err, NULL));
  expect_error(err, REMORA_E_INVALID, NULL);
}

/* ------------------------------------------------------------------------------------------------------------ futures */

static void count_up(void *counter) { ++*(atomic_int *)counter; }

static void test_future_states(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  remora_error *err = NULL;
  remora_future *good = launch(c, "identity", pack("i", 7)), *bad = launch(c, "fail", pack("s", "x")),
                *late = launch(c, "sleep", pack("i", 100));
  assert_int_equal(remora_future_state(late), REMORA_PENDING);
  assert_null(remora_future_result(late, &err));
  expect_error(err, REMORA_E_TIMEOUT, NULL);
  assert_int_equal(int_of(await(good)), 7);
  assert_int_equal(int_of(await(good)), 7); /* as often as one likes */
  assert_int_equal(remora_future_state(good), REMORA_DONE);
  assert_int_equal(int_of(remora_future_result(good, NULL)), 7);
  err = NULL;
  assert_null(remora_await(bad, LIMIT, &err));
  expect_error(err, REMORA_E_REMOTE, "x");
  assert_int_equal(remora_future_state(bad), REMORA_FAILED);
  err = NULL;
  assert_null(remora_await(late, 30, &err));
  expect_error(err, REMORA_E_TIMEOUT, NULL);
  assert_int_equal(remora_future_state(late), REMORA_PENDING);
  assert_int_equal(remora_cancel(late), 1);
  assert_int_equal(remora_cancel(late), 0);
  assert_int_equal(remora_future_state(late), REMORA_WAS_CANCELLED);
  err = NULL;
  assert_null(remora_await(late, -1, &err));
  expect_error(err, REMORA_E_CANCELLED, NULL);
  assert_int_equal(stat_of(c, "pending"), 0);
  (void)remora_future_unref(good);
  (void)remora_future_unref(bad);
  (void)remora_future_unref(late);
  finish(c);
}

static void test_call_with_a_time_limit(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  remora_proxy *sleep_there = far(c, "sleep");
  remora_value *args = pack("i", 100);
  remora_error *err = NULL;
  remora_future *f[3];
  static const int limits[] = {120, 30, 60}; /* not in this order */
  int64_t begin = now_ms(), late[3];
  for (int i = 0; i < 3; i++) {
    f[i] = remora_start_with(sleep_there, NULL, args, limits[i], 0, &err);
    WORKS(err);
    late[i] = now_ms() + limits[i] + 1;
  }
  expect_error(await_error(f[0]), REMORA_E_TIMEOUT, NULL);
  assert_in_range(now_ms() - begin, 100, LIMIT);
  for (int i = 1; i < 3; i++) /* unless this thread had to pause before it could start them */
    if (late[i] < begin + limits[0]) assert_int_equal(remora_future_state(f[i]), REMORA_FAILED);
  expect_error(await_error(f[1]), REMORA_E_TIMEOUT, NULL);
  expect_error(await_error(f[2]), REMORA_E_TIMEOUT, NULL);
  (void)remora_value_unref(args);
  (void)remora_proxy_unref(sleep_there);
  remora_conn_close(c);
  finish(c);
}

/* Nobody waits; the time is up all the same, while another thread calls without a pause. */
static atomic_bool busy_on;
static void *call_without_pause(void *argument) {
  while (atomic_load(&busy_on)) {
    remora_value *v = remora_call(argument, "up", NULL, NULL);
    if (!v) return (void *)1;
    (void)remora_value_unref(v);
  }
  return NULL;
}

static void test_time_limits_beside_a_busy_thread(void **state) {
  (void)state;
  remora_conn *c = connect_here(), *busy = connect_here();
  remora_proxy *sleep_there = far(c, "sleep"), *counter = make(busy, "Counter", NULL);
  remora_value *args = pack("i", 100);
  pthread_t thread;
  atomic_store(&busy_on, true);
  assert_int_equal(pthread_create(&thread, NULL, call_without_pause, counter), 0);
  int64_t begin = now_ms(), end = begin + LIMIT;
  remora_future *f = remora_start_with(sleep_there, NULL, args, 50, 0, NULL);
  atomic_int ready = 0;
  remora_queue *q = remora_queue_new();
  assert_int_equal(remora_then(f, q, future_counted, &ready, NULL, NULL), 0);
  struct pollfd p = {.fd = remora_queue_fd(q), .events = POLLIN};
  while (atomic_load(&ready) == 0 && now_ms() < end)
    if (remora_queue_arm(q) || poll(&p, 1, LIMIT) > 0) (void)remora_serve(q, 0);
  assert_int_equal(atomic_load(&ready), 1);
  assert_in_range(now_ms() - begin, 40, 5000);
  atomic_store(&busy_on, false);
  void *failed;
  (void)pthread_join(thread, &failed);
  assert_null(failed);
  (void)remora_future_unref(f);
  (void)remora_queue_unref(q);
  (void)remora_value_unref(args);
  (void)remora_proxy_unref(sleep_there);
  (void)remora_proxy_unref(counter);
  finish(c);
  finish(busy);
}

static void test_then(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  atomic_int called = 0, gone = 0;
  remora_future *f = launch(c, "identity", pack("i", 1));
  assert_int_equal(remora_then(f, NULL, future_counted, &called, NULL, NULL), 0);
  assert_int_equal(remora_then(f, NULL, future_counted, &gone, count_up, NULL), 0);
  assert_int_equal(atomic_load(&called), 0); /* never at once */
  SERVE_UNTIL(atomic_load(&gone) == 2);
  assert_int_equal(atomic_load(&called), 1);
  assert_int_equal(remora_then(f, NULL, future_counted, &called, NULL, NULL), 0); /* it is ready already */
  SERVE_UNTIL(atomic_load(&called) == 2);
  (void)remora_future_unref(f);
  finish(c);
}

/* The queue went before the future was ready: its function never runs, what it was given is destroyed all the same. */
static void test_then_on_a_queue_that_goes(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  atomic_int gone = 0;
  remora_queue *q = remora_queue_new();
  remora_future *first = launch(c, "compute", pack("v", remora_float(0.05))),
                *second = launch(c, "identity", pack("i", 1));
  assert_int_equal(remora_then(first, q, future_counted, &gone, count_up, NULL), 0);
  (void)remora_future_unref(first);
  (void)remora_queue_unref(q);
  (void)remora_value_unref(await(second));
  (void)remora_future_unref(second);
  SERVE_UNTIL(atomic_load(&gone) == 1);
  finish(c);
  assert_int_equal(atomic_load(&gone), 1);
}

static void test_await_all(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  remora_error *err = NULL;
  remora_future *f[6];
  for (int i = 0; i < 5; i++) f[i] = i == 2 ? launch(c, "fail", pack("s", "x")) : launch(c, "identity", pack("i", i));
  assert_int_equal(remora_await_all(f, 5, LIMIT, &err), 0); /* errors stay in their futures */
  WORKS(err);
  for (int i = 0; i < 5; i++) assert_int_equal(remora_future_state(f[i]), i == 2 ? REMORA_FAILED : REMORA_DONE);
  f[5] = launch(c, "sleep", pack("i", 100));
  int64_t begin = now_ms();
  assert_int_equal(remora_await_all(f, 6, 50, &err), -1);
  expect_error(err, REMORA_E_TIMEOUT, NULL);
  assert_in_range(now_ms() - begin, 45, 5000);
  for (int i = 0; i < 6; i++) (void)remora_future_unref(f[i]);
  remora_conn_close(c);
  finish(c);
}

static void test_many_outstanding_calls(void **state) {
  (void)state;
  enum { COUNT = 2000 };
  remora_conn *c = connect_here();
  remora_proxy *identity = far(c, "identity");
  remora_future **f = calloc(COUNT, sizeof(remora_future *));
  for (int i = 0; i < COUNT; i++) f[i] = start(identity, NULL, pack("i", i));
  for (int i = COUNT - 1; i >= 0; i--) assert_int_equal(int_of(await(f[i])), i);
  for (int i = 0; i < COUNT; i++) (void)remora_future_unref(f[i]);
  free(f);
  (void)remora_proxy_unref(identity);
  finish(c);
}

static void test_large_values_there_and_back(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  size_t size = 5 * 1024 * 1024 + 17;
  char *data = malloc(size);
  for (size_t i = 0; i < size; i++) data[i] = (char)(i * 31 + i / 1000);
  atomic_int gone = 0;
  remora_value *v = run(c, "identity", pack("v", remora_bytes_view(data, size, count_up, &gone)));
  size_t length;
  assert_int_equal(remora_value_kind(v), REMORA_BYTES);
  const char *back = remora_as_text(v, &length);
  assert_int_equal(length, size);
  assert_memory_equal(back, data, size);
  (void)remora_value_unref(v);
  assert_int_equal(atomic_load(&gone), 1); /* the library has let the caller's buffer go */
  free(data);
  remora_error *err = NULL;
  remora_conn *tight = connect_with("-", &err, "max_message", remora_int(1 << 20), NULL);
  WORKS(err);
  remora_proxy *identity = far(tight, "identity");
  data = calloc(1, 1 << 20);
  remora_value *args = pack("v", remora_bytes(data, 1 << 20));
  free(data);
  assert_null(remora_call(identity, NULL, args, &err));
  expect_error(err, REMORA_E_VALUE, "max_message");
  (void)remora_value_unref(args);
  assert_int_equal(int_of(call(identity, NULL, pack("i", 1))), 1); /* nothing was sent, nothing is broken */
  (void)remora_proxy_unref(identity);
  finish(tight);
  finish(c);
}

/* --------------------------------------------------------------------------------------------------- objects, callbacks */

static void test_callbacks(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  own o = {0};
  remora_object *object = lend(&o);
  assert_ptr_equal(remora_object_userdata(object), &o);
  assert_ptr_equal(remora_object_class(object), &own_class);
  assert_ptr_equal(remora_object_queue(object), remora_default_queue());
  assert_int_equal(int_of(run(c, "apply", pack("oi", object, 41))), 42);
  assert_int_equal(o.calls, 1);
  remora_value *v = run(c, "same", pack("oo", object, object)); /* one identity over there */
  assert_int_equal(remora_as_bool(v), 1);
  (void)remora_value_unref(v);
  (void)remora_object_unref(object);
  SERVE_UNTIL(o.gone == 1); /* once the far side has let it go */
  assert_int_equal(stat_of(c, "exports"), 0);
  finish(c);
}

static void test_methods_and_errors_of_callbacks(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  static const char source[] = "def nothing(o): return o.nothing()\n"
                               "def fail(o):\n"
                               "    try: o.fail()\n"
                               "    except Exception as e: return [type(e).__name__, str(e)]\n";
  assert_int_equal(remora_module_add("python", "far_methods", 0, NULL, source, sizeof source - 1, NULL), 0);
  own o = {0};
  remora_object *object = lend(&o);
  remora_value *args = pack("o", object);
  remora_proxy *nothing = remora_can_on(c, "far_methods.nothing", NULL),
               *fail_here = remora_can_on(c, "far_methods.fail", NULL);
  remora_value *v = call(nothing, NULL, remora_value_ref(args));
  assert_int_equal(remora_value_kind(v), REMORA_NULL);
  v = (remora_value_unref(v), call(fail_here, NULL, remora_value_ref(args)));
  assert_string_equal(text_of(remora_at(v, 0)), "Denied");
  assert_string_equal(text_of(remora_at(v, 1)), "not today");
  (void)remora_value_unref(v);
  (void)remora_value_unref(args);
  (void)remora_proxy_unref(nothing);
  (void)remora_proxy_unref(fail_here);
  (void)remora_object_unref(object);
  finish(c);
  SERVE_UNTIL(o.gone == 1);
}

static void test_mutual_calls_ten_deep(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  own o = {.down = far(c, "down")};
  remora_object *object = lend(&o);
  assert_int_equal(int_of(run(c, "down", pack("oi", object, 10))), 11);
  assert_int_equal(o.calls, 10);
  (void)remora_proxy_unref(o.down);
  (void)remora_object_unref(object);
  finish(c);
  SERVE_UNTIL(o.gone == 1);
}

static void test_references_keep_their_identity(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  remora_proxy *counter = make(c, "Counter", NULL);
  remora_value *v = call(counter, "itself", NULL);
  assert_ptr_equal(remora_as_proxy(v), counter); /* the same object is the same proxy */
  (void)remora_value_unref(v);
  v = run(c, "same", pack("pp", counter, counter)); /* and goes home as itself */
  assert_int_equal(remora_as_bool(v), 1);
  (void)remora_value_unref(v);
  own o = {0};
  remora_object *object = lend(&o);
  v = run(c, "identity", pack("o", object));
  assert_ptr_equal(remora_as_object(v), object); /* ours, come home */
  (void)remora_value_unref(v);
  remora_object *found = remora_export_find(NULL, &own_class, &o);
  assert_ptr_equal(found, object);
  (void)remora_object_unref(found);
  assert_null(remora_export_find(NULL, &own_class, &state));
  (void)remora_object_unref(object);
  (void)remora_proxy_unref(counter);
  finish(c);
  SERVE_UNTIL(o.gone == 1);
}

/* The last reference of an object of ours stands in a result, and goes with it. */
static void test_last_reference_inside_a_result(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  own o = {0};
  remora_object *object = lend(&o);
  remora_future *f = launch(c, "identity", pack("o", object));
  (void)remora_value_unref(await(f));
  (void)remora_object_unref(object);
  SERVE_UNTIL(stat_of(c, "exports") == 0);
  assert_int_equal(o.gone, 0);
  (void)remora_future_unref(f);
  SERVE_UNTIL(o.gone == 1);
  finish(c);
}

static void test_tables_are_empty_in_the_end(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  enum { COUNT = 300 };
  static own many[COUNT];
  remora_proxy *keep = make(c, "Keep", NULL);
  for (int i = 0; i < COUNT; i++) {
    remora_object *object = lend(&many[i]);
    (void)remora_value_unref(call(keep, "keep", pack("o", object)));
    (void)remora_object_unref(object);
  }
  assert_int_equal(stat_of(c, "exports"), COUNT);
  (void)remora_value_unref(call(keep, "drop", NULL));
  SERVE_UNTIL(stat_of(c, "exports") == 0);
  for (int i = 0; i < COUNT; i++) SERVE_UNTIL(many[i].gone == 1);
  (void)remora_proxy_unref(keep);
  SERVE_UNTIL(stat_of(c, "imports") == 0);
  finish(c);
}

static void test_bridge_between_two_connections(void **state) {
  (void)state;
  remora_conn *a = connect_here(), *b = connect_here();
  remora_proxy *counter = make(a, "Counter", pack("i", 10)), *keep = make(b, "Keep", NULL), *up = NULL;
  static const char source[] = "def up(c): return c.up()\n"
                               "def bad(c): return c.missing()\n";
  assert_int_equal(remora_module_add("python", "far_bridge_tests", 0, NULL, source, sizeof source - 1, NULL), 0);
  up = remora_can_on(b, "far_bridge_tests.up", NULL);
  assert_int_equal(int_of(call(up, NULL, pack("p", counter))), 11);
  assert_int_equal(int_of(call(up, NULL, pack("p", counter))), 12);
  remora_value *v = run(b, "same", pack("pp", counter, counter));
  assert_int_equal(remora_as_bool(v), 1);
  (void)remora_value_unref(v);
  remora_proxy *bad = remora_can_on(b, "far_bridge_tests.bad", NULL);
  expect_error(await_error(start(bad, NULL, pack("p", counter))), REMORA_E_REMOTE, "missing"); /* errors cross both */
  (void)remora_value_unref(call(keep, "keep", pack("p", counter)));
  (void)remora_proxy_unref(counter); /* b still has it */
  v = call(keep, "first", NULL);
  assert_ptr_equal(remora_as_proxy(v), counter); /* and comes home as what it was */
  (void)remora_value_unref(v);
  (void)remora_value_unref(call(keep, "drop", NULL));
  remora_proxy *collect = remora_can_on(b, "gc.collect", NULL); /* Python keeps what an error's traceback mentions */
  (void)remora_value_unref(call(collect, NULL, NULL));
  (void)remora_proxy_unref(collect);
  SERVE_UNTIL(stat_of(b, "exports") == 0);
  SERVE_UNTIL(stat_of(a, "imports") == 0);
  (void)remora_proxy_unref(up);
  (void)remora_proxy_unref(bad);
  (void)remora_proxy_unref(keep);
  finish(a);
  finish(b);
}

/* b takes back a call of an object of a's while a is busy with another: a never runs it. */
static void test_cancel_goes_over_a_bridge(void **state) {
  (void)state;
  static const char source[] =
      "import remora\n"
      "def take_back(c):\n"
      "    f = remora.start(c).up()\n"
      "    try: import far_there_is_none\n" /* answered behind the call, which is on its way to a now */
      "    except ImportError: pass\n"
      "    return f.cancel()\n";
  assert_int_equal(remora_module_add("python", "far_cancel_bridge", 0, NULL, source, sizeof source - 1, NULL), 0);
  remora_conn *a = connect_here(), *b = connect_here();
  remora_proxy *counter = make(a, "Counter", pack("i", 10));
  remora_proxy *take_back = remora_can_on(b, "far_cancel_bridge.take_back", NULL);
  char name[32];
  remora_future *busy = launch_held(a, name, 0.5); /* while it goes on it reads what is sent */
  remora_value *v = call(take_back, NULL, pack("p", counter));
  assert_int_equal(remora_as_bool(v), 1);
  SERVE_UNTIL(stat_of(a, "pending") == 1); /* taken back at a, too */
  assert_int_equal(remora_future_state(busy), REMORA_PENDING);
  let_go(name);
  (void)remora_value_unref(v);
  (void)remora_value_unref(await(busy));
  assert_int_equal(int_of(call(counter, "up", NULL)), 11);
  SERVE_UNTIL(stat_of(a, "pending") == 0);
  (void)remora_future_unref(busy);
  (void)remora_proxy_unref(take_back);
  (void)remora_proxy_unref(counter);
  finish(a);
  finish(b);
}

/* A call that the far side takes back before it has started does not run. */
static void test_cancelled_callbacks_do_not_run(void **state) {
  (void)state;
  static const char source[] = "import remora\n"
                               "def take_back(f): return remora.start(f)(1).cancel()\n";
  assert_int_equal(remora_module_add("python", "far_cancel", 0, NULL, source, sizeof source - 1, NULL), 0);
  remora_conn *c = connect_here();
  own o = {0};
  remora_queue *q = remora_queue_new(); /* which nobody serves meanwhile */
  remora_object *object = remora_export(q, &own_class, &o, own_gone);
  remora_proxy *take_back = remora_can_on(c, "far_cancel.take_back", NULL);
  remora_value *v = call(take_back, NULL, pack("o", object));
  assert_int_equal(remora_as_bool(v), 1);
  (void)remora_value_unref(v);
  assert_int_equal(remora_serve(q, 0), 1);
  assert_int_equal(o.calls, 0);
  (void)remora_proxy_unref(take_back);
  (void)remora_object_unref(object);
  finish(c);
  while (o.gone == 0) (void)remora_serve(q, 5);
  (void)remora_queue_unref(q);
}

/* ------------------------------------------------------------------------------------------------- one-way, credit */

static void test_oneway(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  remora_proxy *counter = make(c, "Counter", NULL);
  remora_error *err = NULL;
  for (int i = 0; i < 100; i++) {
    remora_future *f = remora_start_with(counter, "up", NULL, -1, REMORA_ONEWAY, &err);
    WORKS(err);
    assert_int_equal(remora_future_state(f), REMORA_DONE);
    remora_value *v = remora_future_result(f, &err);
    assert_int_equal(remora_value_kind(v), REMORA_NULL);
    (void)remora_future_unref(f);
  }
  assert_int_equal(int_of(call(counter, "up", NULL)), 101); /* in order */
  (void)remora_proxy_unref(counter);
  finish(c);
}

static void test_credit_has_an_end(void **state) {
  (void)state;
  enum { SIZE = 1 << 20, MOST = 100 };
  remora_conn *c = connect_here();
  remora_proxy *identity = far(c, "identity");
  char name[32];
  remora_future *busy = launch_held(c, name, 0.3), *f[MOST];
  char *data = calloc(1, SIZE);
  remora_value *args = pack("v", remora_bytes(data, SIZE));
  free(data);
  remora_error *err = NULL;
  int n = 0;
  while (n < MOST && (f[n] = remora_start_with(identity, NULL, args, -1, REMORA_NOWAIT, &err)) != NULL) n++;
  assert_in_range(n, 1, MOST - 1);
  expect_error(err, REMORA_E_OVERLOADED, NULL);
  err = NULL;
  int64_t begin = now_ms();
  assert_null(remora_start_with(identity, NULL, args, 30, 0, &err)); /* a time limit holds for the wait too */
  expect_error(err, REMORA_E_TIMEOUT, NULL);
  assert_in_range(now_ms() - begin, 25, LIMIT);
  err = NULL;
  let_go(name);
  f[n] = remora_start(identity, NULL, args, &err); /* waits until the far side takes calls again */
  WORKS(err);
  n++;
  for (int i = 0; i < n; i++) {
    (void)remora_value_unref(await(f[i]));
    (void)remora_future_unref(f[i]);
  }
  (void)remora_future_unref(busy);
  (void)remora_value_unref(args);
  (void)remora_proxy_unref(identity);
  finish(c);
}

/* Who waits for credit goes on to serve: the far side may be in a call that calls back. */
static void test_callbacks_while_waiting_for_credit(void **state) {
  (void)state;
  enum { SIZE = 1 << 20, COUNT = 12 };
  remora_conn *c = connect_here();
  own o = {0};
  remora_object *object = lend(&o);
  remora_proxy *identity = far(c, "identity");
  static const char source[] = "def slowly(f):\n"
                               "    import time\n"
                               "    time.sleep(0.2)\n"
                               "    return f(1)\n";
  assert_int_equal(remora_module_add("python", "far_slowly", 0, NULL, source, sizeof source - 1, NULL), 0);
  remora_proxy *slowly = remora_can_on(c, "far_slowly.slowly", NULL);
  remora_future *first = start(slowly, NULL, pack("o", object)), *f[COUNT];
  char *data = calloc(1, SIZE);
  remora_value *args = pack("v", remora_bytes(data, SIZE));
  free(data);
  for (int i = 0; i < COUNT; i++) f[i] = start(identity, NULL, remora_value_ref(args));
  assert_int_equal(int_of(await(first)), 2);
  for (int i = 0; i < COUNT; i++) {
    (void)remora_value_unref(await(f[i]));
    (void)remora_future_unref(f[i]);
  }
  (void)remora_future_unref(first);
  (void)remora_value_unref(args);
  (void)remora_proxy_unref(identity);
  (void)remora_proxy_unref(slowly);
  (void)remora_object_unref(object);
  finish(c);
  SERVE_UNTIL(o.gone == 1);
}

/* Calls of objects that are gone are answered, and give back what they took of the credit. */
static void test_calls_of_unknown_objects_give_credit_back(void **state) {
  (void)state;
  static const char source[] = "import _remora_node as node\n"
                               "def unknown(n, size):\n"
                               "    up = node.up\n"
                               "    failed = 0\n"
                               "    for i in range(n):\n"
                               "        try: up.call(1 << 40, 'm', ('x' * size,))\n"
                               "        except node.NotFound: failed += 1\n"
                               "    return failed\n";
  assert_int_equal(remora_module_add("python", "far_unknown", 0, NULL, source, sizeof source - 1, NULL), 0);
  remora_conn *c = connect_here();
  remora_proxy *unknown = remora_can_on(c, "far_unknown.unknown", NULL);
  assert_int_equal(int_of(call(unknown, NULL, pack("ii", 40, 1 << 20))), 40); /* more than all of our credit */
  (void)remora_proxy_unref(unknown);
  finish(c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_connect_and_call),
      cmocka_unit_test(test_what_is_missing),
      cmocka_unit_test(test_keyword_arguments),
      cmocka_unit_test(test_remote_errors_cross_whole),
      cmocka_unit_test(test_wrong_arguments),
      cmocka_unit_test(test_connect_errors_name_their_stage),
      cmocka_unit_test(test_future_states),
      cmocka_unit_test(test_call_with_a_time_limit),
      cmocka_unit_test(test_time_limits_beside_a_busy_thread),
      cmocka_unit_test(test_then),
      cmocka_unit_test(test_then_on_a_queue_that_goes),
      cmocka_unit_test(test_await_all),
      cmocka_unit_test(test_many_outstanding_calls),
      cmocka_unit_test(test_large_values_there_and_back),
      cmocka_unit_test(test_callbacks),
      cmocka_unit_test(test_methods_and_errors_of_callbacks),
      cmocka_unit_test(test_mutual_calls_ten_deep),
      cmocka_unit_test(test_references_keep_their_identity),
      cmocka_unit_test(test_last_reference_inside_a_result),
      cmocka_unit_test(test_tables_are_empty_in_the_end),
      cmocka_unit_test(test_bridge_between_two_connections),
      cmocka_unit_test(test_cancel_goes_over_a_bridge),
      cmocka_unit_test(test_cancelled_callbacks_do_not_run),
      cmocka_unit_test(test_oneway),
      cmocka_unit_test(test_credit_has_an_end),
      cmocka_unit_test(test_callbacks_while_waiting_for_credit),
      cmocka_unit_test(test_calls_of_unknown_objects_give_credit_back),
  };
  return cmocka_run_group_tests(tests, hub_setup, NULL);
}
