/* test_loop.c: who drives the loop: the hand-over from one waiting thread to the next, and to the background thread. Looks inside. */
#include "hub.h"
#include "hub_helpers.h"

#include <sched.h>

/* Waits until so many threads wait. */
static void until_waiting(int n) {
  for (int64_t end = now_ms() + LIMIT;;) {
    int found = 0;
    hub_lock(hub_current);
    for (waiter *w = hub_current->waiters; w; w = w->next) found++;
    hub_unlock(hub_current);
    if (found == n) return;
    if (now_ms() > end) fail_msg("%d threads wait, not %d", found, n);
    (void)sched_yield();
  }
}

/* Waits until the background thread has gone to sleep because one wait lasts. */
static void until_background_is_deep(void) {
  for (int64_t end = now_ms() + LIMIT;;) {
    hub_lock(hub_current);
    bool deep = hub_current->background_deep;
    hub_unlock(hub_current);
    if (deep) return;
    if (now_ms() > end) fail_msg("the background thread does not rest");
    (void)sched_yield();
  }
}

static void *await_it(void *argument) {
  remora_value *v = remora_await(argument, LIMIT, NULL);
  void *ok = v ? argument : NULL;
  (void)remora_value_unref(v);
  return ok;
}

/* The driver and the one to whom it hands over are ready at the same time: the third must not be left without a driver. */
static void test_hand_over_to_one_that_leaves_too(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  remora_proxy *sleep_there = far(c, "sleep");
  char name[32];
  remora_future *first = launch_held(c, name, 0.1), *second = start(sleep_there, NULL, pack("v", remora_float(0.1)));
  remora_future *const who[] = {first, second,
                                first}; /* the driver, the one that stays, the one that leaves with the driver */
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) {
    assert_int_equal(pthread_create(&threads[i], NULL, await_it, who[i]), 0);
    until_waiting(i + 1);
  }
  until_background_is_deep();
  let_go(name);
  for (int i = 0; i < 3; i++) {
    void *result;
    (void)pthread_join(threads[i], &result);
    assert_ptr_equal(result, who[i]);
  }
  (void)remora_future_unref(first);
  (void)remora_future_unref(second);
  (void)remora_proxy_unref(sleep_there);
  finish(c);
}

static atomic_bool busy_on;
static void *call_without_pause(void *argument) {
  while (atomic_load(&busy_on)) {
    remora_value *v = remora_call(argument, "up", NULL, NULL);
    if (!v) return NULL;
    (void)remora_value_unref(v);
  }
  return argument;
}

static remora_value *count_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  (void)method, (void)args, (void)err;
  ++*(atomic_int *)userdata;
  return NULL;
}
static const remora_class count_class = {
    .size = sizeof count_class, .name = "test.Count", .traits = "call", .call = count_call};

static void *dispatch(void *argument) {
  while (atomic_load(&busy_on)) (void)remora_serve(argument, 1000);
  return NULL;
}

/* A thread that calls without a pause keeps the loop for itself; other connections have to be heard all the same. */
static void test_others_are_heard_beside_a_busy_thread(void **state) {
  (void)state;
  remora_conn *c = connect_here(), *busy = connect_here();
  remora_proxy *counter = make(busy, "Counter", NULL), *keep = make(c, "Keep", NULL);
  remora_queue *q = remora_queue_new();
  remora_queue_set_dispatcher(q, 1);
  atomic_int count = 0;
  remora_object *object = remora_export(q, &count_class, &count, NULL);
  (void)remora_value_unref(call(keep, "keep", pack("o", object)));
  pthread_t caller, dispatcher;
  atomic_store(&busy_on, true);
  assert_int_equal(pthread_create(&dispatcher, NULL, dispatch, q), 0);
  until_waiting(1);
  assert_int_equal(pthread_create(&caller, NULL, call_without_pause, counter), 0);
  remora_error *err = NULL;
  remora_value *ten = pack("i", 10);
  remora_future *oneway = remora_start_with(keep, "later", ten, -1, REMORA_ONEWAY, &err);
  WORKS(err);
  for (int64_t end = now_ms() + LIMIT; atomic_load(&count) < 10 && now_ms() < end;) {
    struct timespec t = {.tv_nsec = 1000000};
    (void)nanosleep(&t, NULL);
  }
  int heard = atomic_load(&count);
  atomic_store(&busy_on, false);
  void *result;
  (void)pthread_join(caller, &result);
  assert_ptr_equal(result, counter);
  assert_int_equal(heard, 10);
  (void)pthread_join(dispatcher, NULL);
  (void)remora_value_unref(ten);
  (void)remora_future_unref(oneway);
  (void)remora_object_unref(object);
  (void)remora_proxy_unref(counter);
  (void)remora_proxy_unref(keep);
  finish(c);
  finish(busy);
  (void)remora_queue_reap(q);
  (void)remora_queue_unref(q);
}

/* How often the other threads of this process went to sleep. */
static long switches_of_others(void) {
  long total = 0;
  DIR *dir = opendir("/proc/self/task");
  assert_non_null(dir);
  for (struct dirent *e; (e = readdir(dir)) != NULL;) {
    char path[300], line[128];
    long n;
    if (*e->d_name == '.' || atol(e->d_name) == (long)gettid()) continue;
    (void)snprintf(path, sizeof path, "/proc/self/task/%s/status", e->d_name);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
      if (sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1) total += n;
    if (f) (void)fclose(f);
  }
  (void)closedir(dir);
  return total;
}

/* Calls in a row meet no other thread, with a time limit or without, and whoever wants to hear of the connection's end. */
static void test_calls_wake_no_other_thread(void **state) {
  (void)state;
  enum { COUNT = 2000 };
  remora_conn *c = connect_here();
  remora_proxy *counter = make(c, "Counter", NULL);
  remora_future *closed = remora_conn_on_close(c, NULL);
  assert_int_equal(remora_then(closed, NULL, NULL, NULL, NULL, NULL), 0);
  for (int64_t limit = -1; limit <= 60000; limit += 60001) {
    (void)remora_value_unref(call(counter, "up", NULL)); /* takes the loop over */
    long before = switches_of_others();
    int64_t begin = now_ms();
    for (int i = 0; i < COUNT; i++) {
      remora_future *f = remora_start_with(counter, "up", NULL, limit, 0, NULL);
      (void)remora_value_unref(await(f));
      (void)remora_future_unref(f);
    }
    long woken = switches_of_others() - before;
    if (woken > 100 + (now_ms() - begin) / 10) fail_msg("time limit %lld: %ld times", (long long)limit, woken);
  }
  (void)remora_future_unref(closed);
  (void)remora_proxy_unref(counter);
  finish(c);
}

/* An idle connection uses no CPU: the background thread sleeps. */
static void test_idle_costs_nothing(void **state) {
  (void)state;
  remora_conn *c = connect_here();
  (void)remora_value_unref(run(c, "identity", pack("i", 1)));
  struct timespec before, after, t = {.tv_sec = 1};
  (void)nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL); /* past the lease */
  (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
  (void)nanosleep(&t, NULL);
  (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
  int64_t used_us = (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
  assert_in_range(used_us, 0, 5000);
  finish(c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_hand_over_to_one_that_leaves_too),
      cmocka_unit_test(test_others_are_heard_beside_a_busy_thread),
      cmocka_unit_test(test_calls_wake_no_other_thread),
      cmocka_unit_test(test_idle_costs_nothing),
  };
  return cmocka_run_group_tests(tests, hub_setup, NULL);
}
