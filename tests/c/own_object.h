/* own_object.h: an object that the tests lend, and a callback of futures; both count. */
#ifndef REMORA_TEST_OWN_OBJECT_H
#define REMORA_TEST_OWN_OBJECT_H

#include "hub_helpers.h"

#include <stdatomic.h>

static void future_counted(remora_future *f, void *counter) {
  assert_int_not_equal(remora_future_state(f), REMORA_PENDING);
  ++*(atomic_int *)counter;
}

/* An object of ours: counts its calls, and how often it was destroyed. */
typedef struct own {
  atomic_int calls, gone;
  remora_proxy *down; /* the other half of mutual calls */
} own;

static remora_value *own_call(void *userdata, const char *method, const remora_value *args, remora_error **err);
static const remora_class own_class = {
    .size = sizeof own_class, .name = "test.Own", .traits = "call", .call = own_call};

static remora_value *own_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  own *o = userdata;
  o->calls++;
  if (strcmp(method, "fail") == 0) {
    *err = remora_error_new(REMORA_E_DENIED, "not today");
    return NULL;
  }
  if (strcmp(method, "nothing") == 0) return NULL;
  int64_t n = remora_as_int(remora_at(args, 0));
  if (!o->down || n == 0) return remora_int(n + 1);
  remora_object *self = remora_export_find(NULL, &own_class, o);
  assert_non_null(self);
  remora_value *more = pack("oi", self, (int)n), *v = remora_call(o->down, NULL, more, err);
  (void)remora_value_unref(more);
  (void)remora_object_unref(self);
  return v;
}

static void own_gone(void *userdata) { ((own *)userdata)->gone++; }

static remora_object *lend(own *o) {
  remora_object *object = remora_export(NULL, &own_class, o, own_gone);
  assert_non_null(object);
  return object;
}

#endif
