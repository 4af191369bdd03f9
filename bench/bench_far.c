/* bench_far.py for the C node. */
#include <remora_node.h>

#include <string.h>

static remora_value *call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  (void)userdata;
  const remora_value *v = remora_at(args, 0);
  if (strcmp(method, "add") == 0) return remora_int(remora_as_int(v) + remora_as_int(remora_at(args, 1)));
  if (strcmp(method, "echo") == 0) return remora_value_ref((remora_value *)(uintptr_t)v);
  if (strcmp(method, "sink") == 0) {
    size_t length = 0;
    if (!remora_as_text(v, &length)) length = remora_length(v);
    return remora_int((int64_t)length);
  }
  *err = remora_error_new(REMORA_E_NOTFOUND, "no such method");
  return NULL;
}

static void *construct(const remora_value *args, remora_error **err) {
  static char one;
  (void)args, (void)err;
  return &one;
}

static const remora_module_class classes[] = {
    {"Peer", {sizeof(remora_class), "bench_far.Peer", "", call}, construct, NULL}, {0}};
static const remora_module module = {sizeof module, NULL, classes};

REMORA_MODULE const remora_module *remora_module_v1(void) { return &module; }
