/* Callbacks: a function and an object of C, called from over there. */
#include "example.h"

#include <string.h>

/* A function: its only trait is that it can be called. */
static remora_value *by_length(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  (void)method, (void)err;
  size_t length = 0;
  (void)remora_as_text(remora_at(args, 0), &length);
  ++*(int *)userdata;
  return remora_int((int64_t)length);
}
static void by_length_gone(void *userdata) { (void)userdata; /* nothing to free */ }
static const remora_class by_length_class = {sizeof(remora_class), "example.by_length", "call", by_length};

/* An object with a method and a length. */
typedef struct shelf {
  int64_t things;
} shelf;

static remora_value *shelf_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  shelf *s = userdata;
  if (strcmp(method, "put") == 0) {
    s->things += remora_as_int(remora_at(args, 0));
    return remora_int(s->things);
  }
  if (strcmp(method, ":len") == 0) return remora_int(s->things);
  *err = remora_error_new(REMORA_E_NOTFOUND, "a shelf has no such method");
  return NULL;
}
static const remora_class shelf_class = {sizeof(remora_class), "example.Shelf", "len", shelf_call};

static void shelf_gone(void *userdata) {
  printf("the shelf is not used any more, it held %lld\n", (long long)((shelf *)userdata)->things);
}

int main(int argc, char **argv) {
  remora_error *err = NULL;
  remora_conn *conn = example_connect(argc, argv);

  /* sorted(["ccc", "a", "bb"], key=by_length): the callback runs here, inside remora_call. */
  int asked = 0;
  remora_object *key = remora_export(NULL, &by_length_class, &asked, by_length_gone);
  remora_value *words = remora_list(), *keywords = remora_map();
  remora_append(words, remora_str("ccc"));
  remora_append(words, remora_str("a"));
  remora_append(words, remora_str("bb"));
  remora_set(keywords, "key", remora_value_of_object(key));
  remora_value *args = args1(words);
  remora_set_keywords(args, keywords);
  remora_proxy *sorted = remora_can_on(conn, "builtins.sorted", &err);
  check(sorted != NULL, err);
  remora_value *result = remora_call(sorted, NULL, args, &err);
  check(result != NULL, err);
  for (size_t i = 0; i < remora_length(result); i++) printf("%s ", remora_as_text(remora_at(result, i), NULL));
  printf("(asked %d times)\n", asked);
  remora_value_unref(args);
  remora_value_unref(result);
  remora_object_unref(key);

  /* operator.methodcaller("put", 3)(shelf), and len(shelf) over there. */
  shelf s = {2};
  remora_object *object = remora_export(NULL, &shelf_class, &s, shelf_gone);
  remora_proxy *len = remora_can_on(conn, "builtins.len", &err);
  check(len != NULL, err);
  args = args1(remora_str("put"));
  remora_append(args, remora_int(3));
  remora_proxy *put = remora_new_on(conn, "operator.methodcaller", args, &err);
  check(put != NULL, err);
  remora_value_unref(args);
  args = args1(remora_value_of_object(object));
  remora_object_unref(object); /* the argument list keeps it */
  result = remora_call(put, NULL, args, &err);
  check(result != NULL, err);
  printf("put: %lld\n", (long long)remora_as_int(result));
  remora_value_unref(result);
  result = remora_call(len, NULL, args, &err);
  check(result != NULL, err);
  printf("len over there: %lld\n", (long long)remora_as_int(result));
  remora_value_unref(result);

  /* A method that it has not is an error over there, and comes back as one. */
  remora_value *name = args1(remora_str("burn"));
  remora_proxy *burn = remora_new_on(conn, "operator.methodcaller", name, &err);
  check(burn != NULL, err);
  remora_value_unref(name);
  result = remora_call(burn, NULL, args, &err);
  printf("burn: %s\n", result ? "?" : remora_error_message(err));
  err = remora_error_free(err);

  remora_value_unref(args);
  remora_proxy_unref(burn);
  remora_proxy_unref(put);
  remora_proxy_unref(len);
  remora_proxy_unref(sorted);
  example_close(conn);
  (void)remora_serve(remora_default_queue(), 0); /* runs shelf_gone */
  return 0;
}
