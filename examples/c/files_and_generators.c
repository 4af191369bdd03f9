/* Files and generators: what is no plain value crosses as a reference, and is used by its operations. */
#include "example.h"

#include <string.h>

static remora_value *call(remora_proxy *p, const char *method, remora_value *args) {
  remora_error *err = NULL;
  remora_value *v = remora_call(p, method, args, &err);
  check(v != NULL, err);
  remora_value_unref(args);
  return v;
}

static remora_proxy *function(remora_conn *conn, const char *name) {
  remora_error *err = NULL;
  remora_proxy *p = remora_can_on(conn, name, &err);
  check(p != NULL, err);
  return p;
}

/* A proxy out of a result, which goes. */
static remora_proxy *proxy_of(remora_value *v) {
  remora_proxy *p = remora_proxy_ref(remora_as_proxy(v));
  remora_value_unref(v);
  return p;
}

/* A generator of ours: far code takes its items in batches. */
static const remora_class squares_class;
static remora_value *squares(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  int *at = userdata, most = 0;
  if (strcmp(method, ":iter") == 0) {
    remora_object *self = remora_export_find(NULL, &squares_class, userdata);
    remora_value *v = self ? remora_value_of_object(self) : NULL;
    remora_object_unref(self);
    return v;
  }
  if (strcmp(method, ":next") != 0) {
    *err = remora_error_new(REMORA_E_NOTFOUND, "a generator has no such method");
    return NULL;
  }
  if (remora_unpack(args, err, "i", &most) != 0) return NULL;
  remora_value *items = remora_list();
  for (; *at < 1000 && most > 0; most--, ++*at) remora_append(items, remora_int((int64_t)*at * *at));
  return remora_pack(err, "b V", *at == 1000, items);
}
static const remora_class squares_class = {sizeof(remora_class), "example.squares", "iter next", squares};

int main(int argc, char **argv) {
  remora_error *err = NULL;
  remora_conn *conn = example_connect(argc, argv);
  remora_proxy *open = function(conn, "builtins.open"), *list = function(conn, "builtins.list"),
               *range = function(conn, "builtins.range"), *sum = function(conn, "builtins.sum"),
               *mktemp = function(conn, "tempfile.mktemp"), *remove = function(conn, "os.remove");

  /* A file that is open over there. */
  remora_value *path = call(mktemp, NULL, NULL);
  remora_proxy *file = proxy_of(call(open, NULL, remora_pack(&err, "v s", path, "w")));
  remora_value *n = call(file, "write", remora_pack(&err, "s", "first\nsecond\n"));
  printf("written: %lld\n", (long long)remora_as_int(n));
  remora_value_unref(n);
  remora_value_unref(call(file, "close", NULL));
  remora_proxy_unref(file);
  file = proxy_of(call(open, NULL, remora_pack(&err, "v", path)));
  remora_value *lines = call(list, NULL, remora_pack(&err, "p", file));
  const char *first = NULL, *second = NULL;
  check(remora_unpack(lines, &err, "s s", &first, &second) == 0, err);
  printf("read: %.5s, %.6s\n", first, second);
  remora_value_unref(lines);
  remora_value_unref(call(file, "close", NULL));
  remora_proxy_unref(file);
  remora_value_unref(call(remove, NULL, remora_pack(&err, "v", path)));
  remora_value_unref(path);

  /* What can be iterated over there comes in batches: far fewer round trips than items. */
  remora_proxy *numbers = proxy_of(call(range, NULL, remora_pack(&err, "i", 1000)));
  remora_proxy *iterator = proxy_of(call(numbers, ":iter", NULL));
  long long total = 0;
  int trips = 0;
  for (int done = 0; !done; trips++) {
    const remora_value *items = NULL;
    remora_value *batch = call(iterator, ":next", remora_pack(&err, "i", 200));
    check(remora_unpack(batch, &err, "b v", &done, &items) == 0, err);
    for (size_t i = 0; i < remora_length(items); i++) total += remora_as_int(remora_at(items, i));
    remora_value_unref(batch);
  }
  printf("sum: %lld\n", total);
  printf("round trips for 1000 items below 50: %s\n", trips < 50 ? "yes" : "no");
  remora_proxy_unref(iterator);
  remora_proxy_unref(numbers);

  /* A generator of ours, consumed over there. */
  int at = 0;
  remora_object *mine = remora_export(NULL, &squares_class, &at, NULL);
  remora_value *sum_there = call(sum, NULL, remora_pack(&err, "o", mine));
  printf("sum over there: %lld\n", (long long)remora_as_int(sum_there));
  remora_value_unref(sum_there);
  remora_object_unref(mine);

  remora_proxy *all[] = {open, list, range, sum, mktemp, remove};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) remora_proxy_unref(all[i]);
  example_close(conn);
  return 0;
}
