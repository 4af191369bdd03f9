/* What the C node's tests of log records load. */
#include "remora_node.h"

#include <time.h>

static void say(int64_t n) {
  for (int64_t i = 0; i < n; i++) REMORA_LOG(REMORA_LOG_INFO, "app.db", "line %d", (int)i);
}

static remora_value *says(const remora_value *args, remora_error **err) {
  (void)err;
  say(remora_as_int(remora_at(args, 0)));
  return NULL;
}

static remora_value *mixed(const remora_value *args, remora_error **err) {
  static const char *const names[] = {"app", "app.noisy", "other"};
  (void)args, (void)err;
  for (int level = REMORA_LOG_DEBUG; level <= REMORA_LOG_FATAL; level++)
    for (int i = 0; i < 3; i++) REMORA_LOG(level, names[i], "x");
  return NULL;
}

static double now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static remora_value *flood(const remora_value *args, remora_error **err) {
  (void)err;
  for (double end = now() + remora_as_float(remora_at(args, 0)); now() < end;) say(100);
  return NULL;
}

static const remora_module_function functions[] = {{"say", says}, {"mixed", mixed}, {"flood", flood}, {NULL, NULL}};
static const remora_module module = {sizeof module, functions, NULL};

REMORA_MODULE const remora_module *remora_module_v1(void) { return &module; }
