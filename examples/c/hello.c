/* Hello: an object and a function of another process.
 *
 *     hello [SPEC]     "-" (a child process, the default), "host", "user@host", "root@" (sudo) */
#include "example.h"

int main(int argc, char **argv) {
  remora_error *err = NULL;
  remora_conn *conn = example_connect(argc, argv);

  remora_value *args = args1(remora_str("abracadabra"));
  remora_proxy *words = remora_new_on(conn, "collections.Counter", args, &err);
  check(words != NULL, err);
  remora_value_unref(args);

  args = args1(remora_int(2));
  remora_value *pairs = remora_call(words, "most_common", args, &err); /* one round trip */
  check(pairs != NULL, err);
  remora_value_unref(args);
  for (size_t i = 0; i < remora_length(pairs); i++) {
    const remora_value *pair = remora_at(pairs, i);
    printf("%s %lld\n", remora_as_text(remora_at(pair, 0), NULL), (long long)remora_as_int(remora_at(pair, 1)));
  }
  remora_value_unref(pairs);

  remora_proxy *getpid = remora_can_on(conn, "os.getpid", &err);
  check(getpid != NULL, err);
  remora_value *pid = remora_call(getpid, NULL, NULL, &err); /* method NULL: the thing itself */
  check(pid != NULL, err);
  printf("it runs in the far process: %s\n", remora_as_int(pid) == remora_conn_pid(conn) ? "yes" : "no");
  remora_value_unref(pid);

  /* NULL without an error: there is no such function. */
  remora_proxy *nonsense = remora_can_on(conn, "os.path.nonsense", &err);
  check(1, err);
  printf("there is no such function: %s\n", nonsense ? "no" : "yes");

  remora_proxy_unref(getpid);
  remora_proxy_unref(words);
  example_close(conn);
  return 0;
}
