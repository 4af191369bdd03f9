/* What the C and C++ programs of the benchmark share; the counterpart of harness.py. Every program is run as
 * PROGRAM WORKLOAD [SECONDS] and prints one JSON object a line. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOB_SIZE ((size_t)64 << 20)
#define RECORDS 100000
#define IN_FLIGHT 1000
#define NODES 50
#define PERIOD_NS 5000000u /* mixed: one small call is due every 5 ms */

/* Ends the program; the driver shows the line. */
#define DIE(...)                                                                                                       \
  do {                                                                                                                 \
    fprintf(stderr, __VA_ARGS__);                                                                                      \
    fprintf(stderr, "%s%s\n", errno ? ": " : "", errno ? strerror(errno) : "");                                        \
    printf("{\"error\": \"see stderr\"}\n{\"end\": true}\n");                                                          \
    fflush(stdout);                                                                                                    \
    _exit(1);                                                                                                          \
  } while (0)

static inline uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void sleep_until(uint64_t at) {
  struct timespec t;
  t.tv_sec = (time_t)(at / 1000000000u);
  t.tv_nsec = (long)(at % 1000000000u);
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
  }
}

/* Times in ns. */
typedef struct samples {
  uint64_t *v;
  size_t n, room;
  bool sorted;
} samples;

static inline void samples_add(samples *s, uint64_t ns) {
  if (s->n == s->room) {
    s->room = s->room ? 2 * s->room : 4096;
    s->v = (uint64_t *)realloc(s->v, s->room * sizeof *s->v);
    if (!s->v) DIE("out of memory");
  }
  s->v[s->n++] = ns;
  s->sorted = false;
}

static inline int samples_order(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static inline double percentile_us(samples *s, double share) {
  if (!s->n) return -1;
  if (!s->sorted) {
    qsort(s->v, s->n, sizeof *s->v, samples_order);
    s->sorted = true;
  }
  size_t i = (size_t)((double)s->n * share);
  return (double)s->v[i < s->n ? i : s->n - 1] / 1e3;
}

/* The driver looks at the processes from outside until it sends a line. */
static inline void bench_pause(const char *name) {
  printf("{\"pause\": \"%s\"}\n", name);
  fflush(stdout);
  char line[16];
  if (!fgets(line, sizeof line, stdin)) return;
}

static inline void bench_unsupported(const char *what) { printf("{\"unsupported\": \"%s\"}\n", what); }

static inline void bench_end(void) {
  printf("{\"end\": true}\n");
  fflush(stdout);
}

static inline void fill_random(void *data, size_t size) {
  uint64_t x = 88172645463325252u ^ now_ns(), *q = (uint64_t *)data;
  for (size_t i = 0; i < size / 8; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    q[i] = x;
  }
}

typedef void (*bench_fn)(void *);

static inline void *bench_compute(void *unused) {
  volatile uint64_t n = 0;
  (void)unused;
  for (;;) n = n + 1;
  return NULL;
}

/* call, call-1ms, call-50ms, call-busy: true if `workload` is one of them. call(ctx) makes a call and checks its result. */
static inline bool bench_calls(const char *workload, double seconds, bench_fn call, void *ctx) {
  uint64_t think;
  if (!strcmp(workload, "call"))
    think = 0;
  else if (!strcmp(workload, "call-1ms"))
    think = 1000000;
  else if (!strcmp(workload, "call-50ms"))
    think = 50000000;
  else if (!strcmp(workload, "call-busy")) {
    pthread_t t;
    if (pthread_create(&t, NULL, bench_compute, NULL)) DIE("pthread_create");
    think = 0;
  } else
    return false;
  uint64_t warm = now_ns();
  for (int i = 0; i < 5000 && (double)(now_ns() - warm) < seconds * 0.5e9; i++) call(ctx);
  samples s = {0};
  uint64_t start = now_ns(), last = start, sum = 0;
  while ((double)(last - start) < seconds * 1e9 || s.n < 20) {
    if (think) {
      sleep_until(now_ns() + think);
      last = now_ns();
    }
    call(ctx);
    uint64_t now = now_ns();
    samples_add(&s, now - last);
    sum += now - last;
    last = now;
  }
  double n = (double)s.n;
  printf("{\"p50_us\": %.3f, \"p99_us\": %.3f, \"calls_s\": %.0f, \"n\": %zu}\n", percentile_us(&s, 0.5),
         percentile_us(&s, 0.99), n / ((double)sum / 1e9), s.n);
  free(s.v);
  return true;
}

/* bytes: echo(ctx) sends 64 MiB and takes them back; check(ctx) compares. */
static inline void bench_bytes(double seconds, bench_fn echo, bench_fn check, void *ctx) {
  samples s = {0};
  bench_pause("before");
  uint64_t start = now_ns(), sum = 0;
  echo(ctx);
  double first = (double)(now_ns() - start) / 1e9;
  bench_pause("after");
  check(ctx);
  while (s.n < 2 || ((double)sum < seconds * 2e9 && s.n < 11)) {
    start = now_ns();
    echo(ctx);
    samples_add(&s, now_ns() - start);
    sum += now_ns() - start;
    check(ctx);
  }
  double t = percentile_us(&s, 0.5) / 1e6;
  printf("{\"s\": %.5f, \"mb_s\": %.1f, \"first_s\": %.5f, \"n\": %zu}\n", t, 2 * (double)BLOB_SIZE / 1e6 / t, first,
         s.n);
  free(s.v);
}

/* A repeated thing that takes long: {"s": median}. */
static inline void bench_repeat(double seconds, bench_fn once, void *ctx) {
  samples s = {0};
  uint64_t sum = 0;
  once(ctx);
  while (s.n < 2 || ((double)sum < seconds * 2e9 && s.n < 11)) {
    uint64_t start = now_ns();
    once(ctx);
    samples_add(&s, now_ns() - start);
    sum += now_ns() - start;
  }
  printf("{\"s\": %.5f, \"n\": %zu}\n", percentile_us(&s, 0.5) / 1e6, s.n);
  free(s.v);
}

/* spawn: once(ctx) starts a far process and takes a first result, end(ctx) drops it (not timed). */
static inline void bench_spawn(double seconds, bench_fn once, bench_fn end, void *ctx) {
  samples s = {0};
  uint64_t begin = now_ns();
  while (s.n < 3 || ((double)(now_ns() - begin) < seconds * 1e9 && s.n < 40)) {
    uint64_t start = now_ns();
    once(ctx);
    samples_add(&s, now_ns() - start);
    end(ctx);
  }
  printf("{\"ms\": %.3f, \"n\": %zu}\n", percentile_us(&s, 0.5) / 1e3, s.n);
  free(s.v);
}

typedef struct bench_paced_times {
  samples due, started; /* ns from when a call was due, and from when it was really started */
} bench_paced_times;

static inline void bench_mixed_print(bench_paced_times *idle, bench_paced_times *load, int bulks, double bulk_s,
                                     int ways) {
  printf("{\"idle_p50_us\": %.1f, \"idle_p99_us\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, "
         "\"started_p99_us\": %.1f, "
         "\"n\": %zu, \"bulk_mb_s\": %.1f}\n",
         percentile_us(&idle->due, 0.5), percentile_us(&idle->due, 0.99), percentile_us(&load->due, 0.5),
         percentile_us(&load->due, 0.99), percentile_us(&load->due, 1.0), percentile_us(&load->started, 0.99),
         load->due.n, ways * bulks * (double)BLOB_SIZE / 1e6 / bulk_s);
}

typedef struct bench_bulk {
  bench_fn bulk;
  void *ctx;
  double seconds, took;
  int n, done;
} bench_bulk;

static inline void *bench_bulk_run(void *arg) {
  bench_bulk *b = (bench_bulk *)arg;
  uint64_t start = now_ns();
  while (!b->n || (double)(now_ns() - start) < b->seconds * 1e9) {
    b->bulk(b->ctx);
    b->n++;
  }
  b->took = (double)(now_ns() - start) / 1e9;
  __atomic_store_n(&b->done, 1, __ATOMIC_SEQ_CST);
  return NULL;
}

static inline void bench_paced(bench_paced_times *t, bench_fn small, void *ctx, const int *stop, double limit_s) {
  uint64_t start = now_ns();
  for (uint64_t k = 1;; k++) {
    uint64_t due = start + k * PERIOD_NS;
    if (now_ns() < due) sleep_until(due);
    if (t->due.n && ((stop && __atomic_load_n(stop, __ATOMIC_SEQ_CST)) || (double)(now_ns() - start) > limit_s * 1e9))
      return;
    uint64_t begin = now_ns();
    small(ctx);
    uint64_t end = now_ns();
    samples_add(&t->due, end - due);
    samples_add(&t->started, end - begin);
  }
}

/* mixed: small(ctx) in this thread, bulk(ctx) in another; ways: how often a bulk call carries the 64 MiB. */
static inline void bench_mixed(double seconds, bench_fn small, bench_fn bulk, void *ctx, int ways) {
  bench_paced_times idle = {{0}, {0}}, load = {{0}, {0}};
  bench_bulk b = {bulk, ctx, seconds * 2, 0, 0, 0};
  pthread_t t;
  for (int i = 0; i < 300; i++) small(ctx);
  bench_paced(&idle, small, ctx, NULL, seconds / 2);
  bulk(ctx);
  if (pthread_create(&t, NULL, bench_bulk_run, &b)) DIE("pthread_create");
  bench_paced(&load, small, ctx, &b.done, 60);
  pthread_join(t, NULL);
  bench_mixed_print(&idle, &load, b.n, b.took, ways);
}

#endif
