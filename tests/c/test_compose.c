/* test_compose.c: containers that are lent, futures made of others, the first of several, answers that come later. */
#include "hub_helpers.h"

#include <pthread.h>

/* ---------------------------------------------------------------------------------------------------------- containers */

static remora_value *ask(const remora_value *it, const char *method, remora_value *args) {
  remora_error *err = NULL;
  remora_value *v = remora_value_call(it, method, args, &err);
  (void)remora_value_unref(args);
  WORKS(err);
  return v;
}

static void refused(const remora_value *it, const char *method, remora_value *args, int code) {
  remora_error *err = NULL;
  assert_null(remora_value_call(it, method, args, &err));
  (void)remora_value_unref(args);
  expect_error(err, code, NULL);
}

/* The value goes; it has to be the one of the format. */
static void is(remora_value *v, remora_value *wanted) {
  assert_non_null(v);
  assert_true(remora_value_equal(v, wanted));
  (void)remora_value_unref(v);
  (void)remora_value_unref(wanted);
}

static void test_list(void **state) {
  (void)state;
  remora_value *list = remora_by_ref(remora_pack(NULL, "=[i i i]", 1, 2, 3));
  assert_non_null(remora_as_object(list));
  is(ask(list, ":len", NULL), remora_int(3));
  is(ask(list, ":item", pack("i", -1)), remora_int(3));
  is(ask(list, ":setitem", pack("is", 0, "x")), remora_null());
  is(ask(list, ":setitem", pack("ii", 3, 4)), remora_null()); /* behind the last: appended */
  is(ask(list, "append", pack("i", 5)), remora_null());
  is(ask(list, ":delitem", pack("i", 1)), remora_null());
  is(ask(list, ":contains", pack("s", "x")), remora_bool(1));
  is(remora_copy(list, NULL), remora_pack(NULL, "=[s i i i]", "x", 3, 4, 5));
  refused(list, ":item", pack("i", 4), REMORA_E_NOTFOUND);
  refused(list, ":item", pack("i", -5), REMORA_E_NOTFOUND);
  refused(list, ":item", pack("s", "x"), REMORA_E_NOTFOUND);
  refused(list, ":setitem", pack("ii", 5, 0), REMORA_E_NOTFOUND);
  refused(list, ":delitem", pack("i", 9), REMORA_E_NOTFOUND);
  refused(list, ":keys", NULL, REMORA_E_NOTFOUND);
  refused(list, ":item", NULL, REMORA_E_INVALID);
  refused(list, "no_such", NULL, REMORA_E_NOTFOUND);
  is(ask(list, "clear", NULL), remora_null());
  is(remora_copy(list, NULL), remora_list());
  (void)remora_value_unref(list);
  (void)remora_queue_reap(remora_default_queue());
}

static void test_map(void **state) {
  (void)state;
  remora_value *map = remora_by_ref(remora_pack(NULL, "={s:i, s:i}", "a", 1, "b", 2));
  is(ask(map, ":setitem", pack("is", 7, "seven")), remora_null());
  is(ask(map, ":setitem", pack("si", "a", 3)), remora_null());
  is(ask(map, ":delitem", pack("s", "b")), remora_null());
  is(ask(map, ":len", NULL), remora_int(2));
  is(ask(map, ":keys", NULL), remora_pack(NULL, "=[s i]", "a", 7));
  is(ask(map, ":contains", pack("i", 7)), remora_bool(1));
  is(ask(map, ":contains", pack("i", 8)), remora_bool(0));
  refused(map, ":item", pack("s", "b"), REMORA_E_NOTFOUND);
  refused(map, ":delitem", pack("s", "b"), REMORA_E_NOTFOUND);
  refused(map, "append", pack("s", "b"), REMORA_E_NOTFOUND);
  remora_value *it = ask(map, ":iter", NULL);
  is(ask(map, "clear", NULL), remora_null()); /* the loop goes through what was there */
  is(ask(it, ":next", pack("i", 1)), remora_pack(NULL, "=[b [s]]", 0, "a"));
  is(ask(it, ":next", pack("i", 9)), remora_pack(NULL, "=[b [i]]", 1, 7));
  is(ask(it, ":next", pack("i", 9)), remora_pack(NULL, "=[b []]", 1));
  refused(it, ":len", NULL, REMORA_E_NOTFOUND);
  (void)remora_value_unref(it);
  (void)remora_value_unref(map);
  (void)remora_queue_reap(remora_default_queue());
}

static void test_no_container(void **state) {
  (void)state;
  is(remora_by_ref(remora_int(5)), remora_int(5));
  assert_null(remora_by_ref(NULL));
  remora_error *err = NULL;
  remora_value *five = remora_int(5);
  assert_null(remora_copy(five, &err));
  expect_error(err, REMORA_E_INVALID, NULL);
  err = NULL;
  assert_null(remora_copy(NULL, &err));
  expect_error(err, REMORA_E_INVALID, NULL);
  (void)remora_value_unref(five);
}

static void test_used_over_there(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  remora_error *err = NULL;
  remora_proxy *update = remora_can_on(c, "operator.setitem", &err), *list = remora_can_on(c, "builtins.list", &err);
  WORKS(err);
  remora_value *map = remora_by_ref(remora_pack(NULL, "={s:i}", "a", 1));
  (void)remora_value_unref(call(update, NULL, remora_pack(NULL, "v s [i]", map, "b", 2)));
  is(remora_copy(map, NULL), remora_pack(NULL, "={s:i, s:[i]}", "a", 1, "b", 2));
  is(call(list, NULL, remora_pack(NULL, "v", map)), remora_pack(NULL, "=[s s]", "a", "b"));
  remora_future *f = remora_start_with(list, NULL, NULL, -1, REMORA_BYREF, &err);
  WORKS(err);
  remora_value *far = await(f);
  assert_non_null(remora_as_proxy(far));
  (void)remora_value_unref(call(remora_as_proxy(far), "append", pack("i", 5)));
  is(remora_copy(far, NULL), remora_pack(NULL, "=[i]", 5));
  (void)remora_value_unref(far);
  (void)remora_future_unref(f);
  (void)remora_value_unref(map);
  (void)remora_proxy_unref(list);
  (void)remora_proxy_unref(update);
  finish(c);
}

/* ------------------------------------------------------------------------------------------------------------- futures */

static remora_future *done_with(int64_t number) {
  remora_future *f = remora_promise(NULL);
  assert_int_equal(remora_resolve(f, remora_int(number)), 1);
  return f;
}

static void test_promise(void **state) {
  (void)state;
  remora_future *f = remora_promise(NULL);
  remora_error *err = NULL;
  assert_int_equal(remora_future_state(f), REMORA_PENDING);
  assert_null(remora_await(f, 0, &err));
  expect_error(err, REMORA_E_TIMEOUT, NULL);
  assert_int_equal(remora_resolve(f, remora_str("x")), 1);
  assert_int_equal(remora_resolve(f, remora_str("y")), 0);
  assert_int_equal(remora_reject(f, NULL), 0);
  is(await(f), remora_str("x"));
  (void)remora_future_unref(f);
  f = remora_promise(NULL);
  assert_int_equal(remora_reject(f, remora_error_new(REMORA_E_DENIED, "no")), 1);
  expect_error(await_error(f), REMORA_E_DENIED, "no");
  f = remora_promise(NULL);
  assert_int_equal(remora_cancel(f), 1);
  assert_int_equal(remora_future_state(f), REMORA_WAS_CANCELLED);
  (void)remora_future_unref(f);
}

static void *resolve_it(void *f) {
  (void)remora_resolve(f, remora_int(8));
  return NULL;
}

static void test_promise_of_another_thread(void **state) {
  (void)state;
  remora_future *f = remora_promise(NULL);
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, resolve_it, f), 0);
  is(await(f), remora_int(8));
  assert_int_equal(pthread_join(thread, NULL), 0);
  (void)remora_future_unref(f);
}

static int destroyed;
static void destroy(void *userdata) {
  (void)userdata;
  destroyed++;
}

static remora_future *plus_one(remora_future *before, void *userdata, remora_error **err) {
  (void)userdata;
  remora_value *v = remora_future_result(before, err);
  remora_future *next = v ? done_with(remora_as_int(v) + 1) : NULL;
  (void)remora_value_unref(v);
  return next;
}

static remora_future *fails(remora_future *before, void *userdata, remora_error **err) {
  (void)before, (void)userdata;
  *err = remora_error_new(REMORA_E_REMOTE, "it failed");
  return NULL;
}

static remora_future *nothing(remora_future *before, void *userdata, remora_error **err) {
  (void)before, (void)userdata, (void)err;
  return NULL;
}

static remora_future *held(remora_future *before, void *userdata, remora_error **err) {
  (void)before, (void)err;
  return remora_future_ref(userdata);
}

static remora_future *compose(remora_future *before, remora_compose_fn *value, remora_compose_fn *error,
                              void *userdata) {
  remora_error *err = NULL;
  remora_future *f = remora_compose(before, NULL, value, error, userdata, destroy, &err);
  WORKS(err);
  return f;
}

static void test_compose(void **state) {
  (void)state;
  destroyed = 0;
  remora_future *one = remora_promise(NULL), *two = compose(one, plus_one, NULL, NULL),
                *three = compose(two, plus_one, fails, NULL), *null = compose(three, nothing, NULL, NULL);
  (void)remora_future_unref(two);
  assert_int_equal(remora_resolve(one, remora_int(1)), 1);
  is(await(null), remora_null());
  is(await(three), remora_int(3));
  assert_int_equal(destroyed, 3);
  (void)remora_future_unref(null);
  (void)remora_future_unref(three);
  (void)remora_future_unref(one);
}

static void test_compose_errors(void **state) {
  (void)state;
  remora_future *one = done_with(1), *broken = compose(one, fails, NULL, NULL),
                *passed = compose(broken, plus_one, NULL, NULL), *saved = compose(passed, plus_one, nothing, NULL),
                *kept = compose(one, NULL, fails, NULL);
  is(await(saved), remora_null());
  is(await(kept), remora_int(1));
  expect_error(await_error(passed), REMORA_E_REMOTE, "it failed");
  (void)remora_future_unref(kept);
  (void)remora_future_unref(saved);
  (void)remora_future_unref(broken);
  (void)remora_future_unref(one);
}

static void test_cancel_goes_on(void **state) {
  (void)state;
  remora_future *source = remora_promise(NULL), *first = compose(source, plus_one, NULL, NULL),
                *second = compose(first, plus_one, NULL, NULL);
  assert_int_equal(remora_cancel(second), 1);
  assert_int_equal(remora_future_state(source), REMORA_WAS_CANCELLED);
  assert_int_equal(remora_future_state(second), REMORA_WAS_CANCELLED);
  (void)remora_serve(remora_default_queue(), 0);
  assert_int_equal(remora_future_state(first), REMORA_WAS_CANCELLED);
  (void)remora_future_unref(second);
  (void)remora_future_unref(first);
  (void)remora_future_unref(source);
  /* While what the function gave is pending, that is cancelled. */
  remora_future *one = done_with(1), *inner = remora_promise(NULL), *outer = compose(one, held, NULL, inner);
  (void)remora_serve(remora_default_queue(), 0);
  assert_int_equal(remora_cancel(outer), 1);
  assert_int_equal(remora_future_state(inner), REMORA_WAS_CANCELLED);
  (void)remora_future_unref(outer);
  (void)remora_future_unref(inner);
  (void)remora_future_unref(one);
}

static remora_future *same(remora_future *before, void *userdata, remora_error **err) {
  (void)userdata, (void)err;
  return remora_future_ref(before);
}

static void test_cancel_goes_far(void **state) {
  (void)state;
  remora_error *err = NULL;
  remora_future *first = remora_promise(&err), *last = remora_future_ref(first);
  for (int i = 0; i < 300000; i++) {
    remora_future *next = remora_compose(last, NULL, same, NULL, NULL, NULL, &err);
    WORKS(err);
    (void)remora_future_unref(last);
    last = next;
  }
  assert_int_equal(remora_cancel(last), 1);
  assert_int_equal(remora_cancel(last), 0);
  assert_int_equal(remora_future_state(first), REMORA_WAS_CANCELLED);
  (void)remora_future_unref(first);
  (void)remora_future_unref(last);
  (void)remora_serve(remora_default_queue(), 0);
}

static void test_nobody_runs_the_function(void **state) {
  (void)state;
  remora_queue *q = remora_queue_new();
  remora_future *one = done_with(1), *made = remora_compose(one, q, plus_one, NULL, NULL, NULL, NULL);
  assert_int_equal(remora_future_state(made), REMORA_PENDING);
  assert_int_equal(remora_serve(q, 0), 1);
  is(await(made), remora_int(2));
  (void)remora_future_unref(made);
  (void)remora_future_unref(one);
  (void)remora_queue_unref(q);
  q = remora_queue_new();
  one = done_with(1);
  made = remora_compose(one, q, plus_one, NULL, NULL, NULL, NULL);
  (void)remora_queue_unref(q);
  expect_error(await_error(made), REMORA_E_CANCELLED, NULL);
  (void)remora_future_unref(one);
}

static void test_any(void **state) {
  (void)state;
  remora_error *err = NULL;
  remora_future *futures[] = {remora_promise(NULL), remora_promise(NULL), remora_promise(NULL)};
  assert_int_equal(remora_await_any(futures, 3, 10, &err), -1);
  expect_error(err, REMORA_E_TIMEOUT, NULL);
  err = NULL;
  assert_null(remora_any(futures, 0, &err));
  expect_error(err, REMORA_E_INVALID, NULL);
  remora_future *first = remora_any(futures, 3, NULL), *dropped = remora_any(futures, 3, NULL);
  (void)remora_future_unref(dropped);
  assert_int_equal(remora_reject(futures[2], NULL), 1);
  is(await(first), remora_int(2));
  (void)remora_future_unref(first);
  assert_int_equal(remora_await_any(futures, 3, -1, NULL), 2);
  assert_int_equal(remora_resolve(futures[0], NULL), 1);
  assert_int_equal(remora_await_any(futures, 2, -1, NULL), 0);
  for (int i = 0; i < 3; i++) (void)remora_future_unref(futures[i]);
}

static void test_any_of_calls(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  remora_error *err = NULL;
  remora_proxy *pid = remora_can_on(c, "os.getpid", &err);
  WORKS(err);
  remora_future *futures[] = {remora_promise(NULL), start(pid, NULL, NULL)};
  assert_int_equal(remora_await_any(futures, 2, LIMIT, &err), 1);
  WORKS(err);
  for (int i = 0; i < 2; i++) (void)remora_future_unref(futures[i]);
  (void)remora_proxy_unref(pid);
  finish(c);
}

/* ------------------------------------------------------------------------------------------------ answers that come later */

static remora_event *owed;

static remora_value *later_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  (void)userdata, (void)args, (void)err;
  if (strcmp(method, "owe") == 0) {
    owed = remora_event_defer();
    assert_non_null(owed);
    assert_null(remora_event_defer()); /* it was taken */
    return remora_str("is not sent");
  }
  if (strcmp(method, "pay") == 0) {
    assert_int_equal(remora_event_reply(owed, args, NULL), 0);
    owed = remora_event_free(owed);
    return NULL;
  }
  remora_future *f = done_with(7);
  remora_event_reply_with(remora_event_defer(), f);
  (void)remora_future_unref(f);
  return NULL;
}

static const remora_class later_class = {sizeof later_class, "later", "", later_call};

static void test_deferred_answers(void **state) {
  (void)state;
  assert_null(remora_event_defer()); /* no call runs here */
  remora_conn *c = connect_here();
  remora_error *err = NULL;
  remora_object *object = remora_export(NULL, &later_class, NULL, NULL);
  remora_proxy *caller = remora_can_on(c, "far_tests.defer", &err);
  WORKS(err);
  is(call(caller, NULL, pack("o", object)), remora_pack(NULL, "=[[s] i]", "paid", 7));
  (void)remora_proxy_unref(caller);
  (void)remora_object_unref(object);
  finish(c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_list),
      cmocka_unit_test(test_map),
      cmocka_unit_test(test_no_container),
      cmocka_unit_test(test_used_over_there),
      cmocka_unit_test(test_promise),
      cmocka_unit_test(test_promise_of_another_thread),
      cmocka_unit_test(test_compose),
      cmocka_unit_test(test_compose_errors),
      cmocka_unit_test(test_cancel_goes_on),
      cmocka_unit_test(test_cancel_goes_far),
      cmocka_unit_test(test_nobody_runs_the_function),
      cmocka_unit_test(test_any),
      cmocka_unit_test(test_any_of_calls),
      cmocka_unit_test(test_deferred_answers),
  };
  return cmocka_run_group_tests(tests, hub_setup, NULL);
}
