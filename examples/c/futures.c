/* Futures: calls that run at the same time on several connections, and many on one. */
#include "example.h"

#include <time.h>

enum { HOSTS = 4, CALLS = 1000 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  remora_error *err = NULL;
  remora_conn *conns[HOSTS];
  remora_proxy *naps[HOSTS];
  remora_future *futures[CALLS];
  for (int i = 0; i < HOSTS; i++) {
    conns[i] = example_connect(argc, argv);
    naps[i] = remora_can_on(conns[i], "time.sleep", &err);
    check(naps[i] != NULL, err);
  }

  double start = now();
  for (int i = 0; i < HOSTS; i++) {
    remora_value *args = args1(remora_float(1));
    futures[i] = remora_start(naps[i], NULL, args, &err);
    check(futures[i] != NULL, err);
    remora_value_unref(args);
  }
  check(remora_await_all(futures, HOSTS, 10000, &err) == 0, err);
  printf("four naps at the same time: %s\n", now() - start < 3.8 ? "yes" : "no");
  for (int i = 0; i < HOSTS; i++) remora_future_unref(futures[i]);

  remora_proxy *square_root = remora_can_on(conns[0], "math.isqrt", &err);
  check(square_root != NULL, err);
  for (int i = 0; i < CALLS; i++) {
    remora_value *args = args1(remora_int((int64_t)i * i));
    futures[i] = remora_start(square_root, NULL, args, &err);
    check(futures[i] != NULL, err);
    remora_value_unref(args);
  }
  check(remora_await_all(futures, CALLS, -1, &err) == 0, err);
  int right = 0;
  for (int i = 0; i < CALLS; i++) {
    remora_value *root = remora_future_result(futures[i], &err);
    check(root != NULL, err);
    right += remora_as_int(root) == i;
    remora_value_unref(root);
    remora_future_unref(futures[i]);
  }
  printf("a thousand calls on their way: %d right\n", right);

  /* A limit for waiting leaves the call alone. */
  remora_value *args = args1(remora_float(1));
  remora_future *nap = remora_start(naps[1], NULL, args, &err);
  check(nap != NULL, err);
  remora_value_unref(args);
  remora_value *none = remora_await(nap, 10, &err);
  printf("not yet: %s\n", !none && remora_error_code(err) == REMORA_E_TIMEOUT ? "yes" : "no");
  err = remora_error_free(err);
  none = remora_await(nap, -1, &err);
  check(none != NULL, err);
  remora_value_unref(none);
  remora_future_unref(nap);

  args = args1(remora_float(10));
  nap = remora_start(naps[2], NULL, args, &err);
  check(nap != NULL, err);
  remora_value_unref(args);
  printf("cancelled: %d\n", remora_cancel(nap));
  remora_future_unref(nap);

  remora_proxy_unref(square_root);
  for (int i = 0; i < HOSTS; i++) {
    remora_proxy_unref(naps[i]);
    example_close(conns[i]);
  }
  return 0;
}
