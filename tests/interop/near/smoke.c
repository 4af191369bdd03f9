/* smoke.c LIB: C drives a Perl node of Object::Remote. Prints "ok". */
#include <remora.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static remora_error *err;

static void check(int ok, int line) {
  if (ok) return;
  (void)fprintf(stderr, "line %d: %s\n", line, err ? remora_error_message(err) : "not what was expected");
  exit(1);
}
#define CHECK(ok) check((ok), __LINE__)

static remora_value *call(remora_proxy *far, const char *method, remora_value *args) {
  remora_value *v = remora_call(far, method, args, &err);
  (void)remora_value_unref(args);
  CHECK(v != NULL);
  return v;
}

static int64_t number(remora_value *v) {
  int64_t n = remora_as_int(v);
  (void)remora_value_unref(v);
  return n;
}

static int is_text(remora_value *v, const char *text) {
  const char *got = remora_as_text(v, NULL);
  int same = got && strcmp(got, text) == 0;
  (void)remora_value_unref(v);
  return same;
}

static remora_value *twice(void *userdata, const char *method, const remora_value *args, remora_error **why) {
  (void)userdata, (void)method, (void)why;
  return remora_int(2 * remora_as_int(remora_at(args, 0)));
}

static remora_value *greet(void *userdata, const char *method, const remora_value *args, remora_error **why) {
  (void)userdata, (void)args;
  if (strcmp(method, "greet") == 0) return remora_str("hello");
  *why = remora_error_new(REMORA_E_NOTFOUND, method);
  return NULL;
}

int main(int argc, char **argv) {
  static const remora_class function = {sizeof function, "function", "call", twice};
  static const remora_class greeter = {sizeof greeter, "Greeter", "", greet};
  static char anything;
  remora_options *options = remora_options_new();
  CHECK(argc == 2 && remora_options_set(options, "node", remora_str("object-remote"), &err) == 0);
  CHECK(remora_options_set(options, "roots", remora_pack(&err, "s", argv[1]), &err) == 0);
  remora_conn *conn = remora_connect("-", options, &err);
  CHECK(conn != NULL);
  (void)remora_options_free(options);
  remora_value *named = remora_pack(&err, "k{s:s}", "name", "c");
  remora_proxy *far = remora_new_on(conn, "Interop", named, &err);
  (void)remora_value_unref(named);
  CHECK(far != NULL);
  CHECK(is_text(call(far, "name", NULL), "c"));
  CHECK(number(call(far, "increment", NULL)) == 1 && number(call(far, "increment", remora_pack(&err, "i", 2))) == 3);
  CHECK(is_text(call(far, "echo", remora_pack(&err, "s", "☺ and é")), "☺ and é"));

  remora_object *lent = remora_export(NULL, &function, &anything, NULL);
  CHECK(number(call(far, "call", remora_pack(&err, "o i", lent, 21))) == 42);
  (void)remora_object_unref(lent);
  lent = remora_export(NULL, &greeter, &anything, NULL);
  CHECK(is_text(call(far, "ask", remora_pack(&err, "o s", lent, "greet")), "hello"));
  (void)remora_object_unref(lent);

  remora_value *self = call(far, "myself", NULL);
  CHECK(remora_as_proxy(self) == far);
  (void)remora_value_unref(self);
  remora_future *waiting = remora_start(far, "start::later", NULL, &err);
  CHECK(waiting != NULL);
  (void)remora_value_unref(call(far, "resolve", remora_pack(&err, "s", "ready")));
  CHECK(is_text(remora_await(waiting, 20000, &err), "ready"));
  (void)remora_future_unref(waiting);

  CHECK(remora_call(far, "fail", NULL, &err) == NULL && strcmp(remora_error_message(err), "on purpose") == 0);
  err = remora_error_free(err);
  CHECK(remora_can_on(conn, "Interop::nosuch", &err) == NULL && !err);
  (void)remora_proxy_unref(far);
  remora_conn_close(conn);
  CHECK(remora_conn_wait_closed(conn, 20000) == 0);
  (void)remora_conn_unref(conn);
  (void)puts("ok");
  return 0;
}
