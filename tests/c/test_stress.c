/* test_stress.c: many threads on the same connections at once. Says little by itself; ThreadSanitizer does the talking. */
#include "hub_helpers.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 6, RUN_MS = 2500 };

static int64_t stress_end;
static atomic_int rounds;

static uint32_t next_random(uint32_t *seed) { return *seed = *seed * 1664525u + 1013904223u, *seed >> 8; }

/* What a call may end with here. */
static void check_error(remora_error *err) {
  static const int expected[] = {REMORA_E_LOST, REMORA_E_TIMEOUT, REMORA_E_CANCELLED, REMORA_E_OVERLOADED,
                                 REMORA_E_REMOTE};
  bool known = false;
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
    known = known || remora_error_code(err) == expected[i];
  if (!known) {
    fprintf(stderr, "unexpected: %s: %s\n", remora_code_name(remora_error_code(err)), remora_error_message(err));
    abort();
  }
  (void)remora_error_free(err);
}

/* Threads of this test must not use cmocka's assertions: they jump. */
#define MUST(condition)                                                                                                \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                                  \
      abort();                                                                                                         \
    }                                                                                                                  \
  } while (0)

static remora_value *one_int(int64_t n) {
  remora_value *list = remora_list();
  MUST(remora_append(list, remora_int(n)) == 0);
  return list;
}

/* --------------------------------------------------------------------------------------------------- calls of all kinds */

typedef struct shared {
  remora_conn *conn[2];
  remora_proxy *identity[2], *apply[2], *sleep[2], *make_keep[2];
  remora_object *echo;
  atomic_int echoes, gone, ready, watched;
} shared;

static remora_value *echo_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  (void)method, (void)err;
  ((shared *)userdata)->echoes++;
  return remora_int(remora_as_int(remora_at(args, 0)));
}
static const remora_class echo_class = {
    .size = sizeof echo_class, .name = "test.Echo", .traits = "call", .call = echo_call};

static void echo_gone(void *userdata) { ((shared *)userdata)->gone++; }
static void future_ready(remora_future *f, void *userdata) {
  MUST(remora_future_state(f) != REMORA_PENDING);
  ((shared *)userdata)->ready++;
}

static void one_round(shared *s, uint32_t *seed) {
  int at = (int)(next_random(seed) % 2);
  int64_t n = next_random(seed);
  remora_error *err = NULL;
  remora_value *args = one_int(n), *v = NULL;
  remora_future *f = NULL;
  switch (next_random(seed) % 8) {
  case 0: /* call */
  case 1:
    v = remora_call(s->identity[at], NULL, args, &err);
    MUST(!v || remora_as_int(v) == n);
    break;
  case 2: /* start, then wait in vain and again */
    f = remora_start(s->identity[at], NULL, args, &err);
    v = f ? remora_await(f, next_random(seed) % 2, NULL) : NULL;
    if (f && !v) v = remora_await(f, -1, &err);
    MUST(!v || remora_as_int(v) == n);
    break;
  case 3: /* start and cancel */
    f = remora_start(s->sleep[at], NULL, args, &err);
    if (f && remora_cancel(f)) MUST(remora_future_state(f) == REMORA_WAS_CANCELLED);
    break;
  case 4: /* start and forget */
    f = remora_start(s->identity[at], NULL, args, &err);
    break;
  case 5: /* a callback, with what may be passed by reference */
    args = (remora_value_unref(args), remora_list());
    MUST(remora_append(args, remora_value_of_object(s->echo)) == 0);
    MUST(remora_append(args, remora_int(n)) == 0);
    v = remora_call(s->apply[at], NULL, args, &err);
    MUST(!v || remora_as_int(v) == n);
    break;
  case 6: /* watched from elsewhere */
    f = remora_start_with(s->identity[at], NULL, args, 500, 0, &err);
    if (f) {
      MUST(remora_then(f, NULL, future_ready, s, NULL, NULL) == 0);
      s->watched++;
    }
    break;
  default: /* what one connection lent is passed on to the other one */
    args = (remora_value_unref(args), remora_list());
    MUST(remora_append(args, remora_value_of_proxy(s->identity[at])) == 0);
    v = remora_call(s->identity[!at], NULL, args, &err);
    MUST(!v || remora_as_proxy(v) == s->identity[at]); /* and comes home */
  }
  if (err) check_error(err);
  (void)remora_value_unref(v);
  (void)remora_value_unref(args);
  (void)remora_future_unref(f);
  rounds++;
}

static shared stress;

static void *all_kinds(void *argument) {
  uint32_t seed = (uint32_t)(uintptr_t)argument;
  while (now_ms() < stress_end) one_round(&stress, &seed);
  return NULL;
}

static void begin_sharing(shared *s) {
  *s = (shared){0};
  for (int i = 0; i < 2; i++) {
    s->conn[i] = connect_here();
    s->identity[i] = far(s->conn[i], "identity");
    s->apply[i] = far(s->conn[i], "apply");
    s->sleep[i] = remora_can_on(s->conn[i], "builtins.abs", NULL); /* whatever; its result is not waited for */
    s->make_keep[i] = make(s->conn[i], "Keep", NULL);
  }
  s->echo = remora_export(NULL, &echo_class, s, echo_gone);
}

static void end_sharing(shared *s) {
  (void)remora_object_unref(s->echo);
  for (int i = 0; i < 2; i++) {
    (void)remora_proxy_unref(s->identity[i]);
    (void)remora_proxy_unref(s->apply[i]);
    (void)remora_proxy_unref(s->sleep[i]);
    (void)remora_proxy_unref(s->make_keep[i]);
    finish(s->conn[i]);
  }
  SERVE_UNTIL(s->gone == 1);
}

static void run_threads(void *(*what)(void *)) {
  pthread_t threads[THREADS];
  rounds = 0;
  stress_end = now_ms() + RUN_MS;
  for (intptr_t i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, what, (void *)(i + 1)), 0);
  for (int i = 0; i < THREADS; i++) (void)pthread_join(threads[i], NULL);
  assert_true(rounds > THREADS);
}

static void test_everything_at_once(void **state) {
  (void)state;
  begin_sharing(&stress);
  for (int i = 0; i < 2; i++) { /* callbacks that descend from no call, from a thread over there */
    (void)remora_value_unref(call(stress.make_keep[i], "keep", pack("o", stress.echo)));
    (void)remora_value_unref(call(stress.make_keep[i], "later", pack("i", 200)));
  }
  run_threads(all_kinds);
  SERVE_UNTIL(stress.ready == stress.watched);
  for (int i = 0; i < 2; i++) (void)remora_value_unref(call(stress.make_keep[i], "drop", NULL));
  end_sharing(&stress);
}

/* One of the connections is closed under the hands of all threads. */
static void *close_one(void *argument) {
  (void)argument;
  while (now_ms() < stress_end - RUN_MS / 2) (void)remora_serve(remora_default_queue(), 10);
  remora_conn_close(stress.conn[1]);
  return NULL;
}

static void *one_closes(void *argument) { return (uintptr_t)argument == 1 ? close_one(argument) : all_kinds(argument); }

static void test_close_in_the_middle(void **state) {
  (void)state;
  begin_sharing(&stress);
  run_threads(one_closes);
  assert_false(remora_conn_is_valid(stress.conn[1]));
  SERVE_UNTIL(stress.ready == stress.watched);
  end_sharing(&stress);
}

/* --------------------------------------------------------------------------------------------------- coming and going */

static void *come_and_go(void *argument) {
  uint32_t seed = (uint32_t)(uintptr_t)argument;
  while (now_ms() < stress_end) {
    remora_error *err = NULL;
    remora_conn *c = remora_connect("-", NULL, &err);
    MUST(c);
    remora_proxy *p = remora_can_on(c, "builtins.abs", &err);
    MUST(p);
    remora_value *args = one_int(-5);
    remora_future *f = remora_start(p, NULL, args, &err);
    MUST(f);
    (void)remora_value_unref(args);
    uint32_t way = next_random(&seed);
    if (way & 1) (void)remora_value_unref(remora_await(f, -1, NULL));
    if (way & 2) remora_conn_close(c);
    (void)remora_proxy_unref(p);
    if (way & 4) MUST(remora_conn_wait_closed(c, way & 2 ? LIMIT : 0) == 0 || !(way & 2));
    (void)remora_conn_unref(c);
    (void)remora_future_unref(f);
    rounds++;
  }
  return NULL;
}

static void test_connections_come_and_go(void **state) {
  (void)state;
  run_threads(come_and_go);
}

/* Waits that end together: whoever goes last must not leave the others without a driver. */
static void *wait_together(void *argument) {
  (void)argument;
  static atomic_int at;
  int mine = at++;
  while (now_ms() < stress_end) {
    remora_error *err = NULL;
    remora_value *args = one_int(mine);
    remora_future *f[5] = {0};
    for (int i = 0; i < 5; i++) {
      f[i] = remora_start(stress.identity[0], NULL, args, &err);
      MUST(f[i]);
    }
    int64_t begin = now_ms();
    MUST(remora_await_all(f, 5, LIMIT, &err) == 0);
    MUST(now_ms() - begin < LIMIT / 2);
    for (int i = 0; i < 5; i++) (void)remora_future_unref(f[i]);
    (void)remora_value_unref(args);
    rounds++;
  }
  return NULL;
}

static void test_waits_that_end_together(void **state) {
  (void)state;
  begin_sharing(&stress);
  run_threads(wait_together);
  end_sharing(&stress);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_everything_at_once),
      cmocka_unit_test(test_close_in_the_middle),
      cmocka_unit_test(test_waits_that_end_together),
      cmocka_unit_test(test_connections_come_and_go),
  };
  return cmocka_run_group_tests(tests, hub_setup, NULL);
}
