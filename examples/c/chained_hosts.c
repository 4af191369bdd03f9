/* Chained hosts: one connection by way of several hops, and two connections that meet in this process. */
#include "example.h"

int main(int argc, char **argv) {
  remora_error *err = NULL;

  /* 1. A list of hops is one connection: here a command that carries stdin and stdout to the next. */
  remora_options *opts = remora_options_new();
  check(remora_options_set(opts, "hops", remora_pack(&err, "[s s] s", "env", "REMORA_EXAMPLE=hop", "-"), &err) == 0,
        err);
  remora_conn *conn = remora_connect(NULL, opts, &err);
  check(conn != NULL, err);
  remora_options_free(opts);
  remora_proxy *getenv_there = remora_can_on(conn, "os.getenv", &err);
  check(getenv_there != NULL, err);
  remora_value *args = remora_pack(&err, "s", "REMORA_EXAMPLE"), *v = remora_call(getenv_there, NULL, args, &err);
  check(v != NULL, err);
  printf("by way of a command: %s\n", remora_as_text(v, NULL));
  remora_value_unref(v);
  remora_value_unref(args);
  remora_proxy_unref(getenv_there);

  /* 2. An object of one far side is handed to code of another: this process carries the calls on. */
  remora_conn *other = example_connect(argc, argv);
  args = remora_pack(&err, "[i i i]", 1, 2, 3);
  remora_proxy *box = remora_new_on(other, "collections.deque", args, &err);
  check(box != NULL, err);
  remora_value_unref(args);
  remora_proxy *sum = remora_can_on(conn, "builtins.sum", &err);
  check(sum != NULL, err);
  args = remora_pack(&err, "p", box);
  v = remora_call(sum, NULL, args, &err);
  check(v != NULL, err);
  printf("bridged: %lld\n", (long long)remora_as_int(v));
  remora_value_unref(v);
  remora_value_unref(args);

  printf("two far processes: %s\n", remora_conn_pid(conn) != remora_conn_pid(other) ? "yes" : "no");
  remora_proxy_unref(sum);
  remora_proxy_unref(box);
  example_close(other);
  example_close(conn);
  return 0;
}
