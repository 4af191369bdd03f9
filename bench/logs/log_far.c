/* log_far.py for the C node. */
#include <remora_node.h>

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static atomic_int flooding;
static atomic_long emitted;
static double rate;

static void say(long n) {
  for (long i = 0; i < n; i++)
    REMORA_LOG(REMORA_LOG_INFO, "bench.logs", "line %ld of a program that has much to tell", i);
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void *run(void *unused) {
  const struct timespec pause = {.tv_nsec = 1000000};
  double start = seconds();
  (void)unused;
  while (flooding) {
    long due = (long)((seconds() - start) * rate), some = due - emitted < 100 ? due - emitted : 100;
    say(some);
    emitted += some;
    if (emitted >= due) nanosleep(&pause, NULL);
  }
  return NULL;
}

static remora_value *lines(const remora_value *args, remora_error **err) {
  (void)err;
  say((long)remora_as_int(remora_at(args, 0)));
  return remora_value_ref((remora_value *)(uintptr_t)remora_at(args, 0));
}

static pthread_t thread;

static remora_value *flood(const remora_value *args, remora_error **err) {
  (void)err;
  rate = remora_as_float(remora_at(args, 0));
  flooding = 1;
  emitted = 0;
  pthread_create(&thread, NULL, run, NULL);
  return NULL;
}

static remora_value *stop(const remora_value *args, remora_error **err) {
  (void)args, (void)err;
  flooding = 0;
  pthread_join(thread, NULL);
  return remora_int(emitted);
}

static remora_value *echo(const remora_value *args, remora_error **err) {
  (void)err;
  return remora_value_ref((remora_value *)(uintptr_t)remora_at(args, 0));
}

static const remora_module_function functions[] = {
    {"lines", lines}, {"flood", flood}, {"stop", stop}, {"echo", echo}, {0}};
static const remora_module module = {sizeof module, functions, NULL};

REMORA_MODULE const remora_module *remora_module_v1(void) { return &module; }
