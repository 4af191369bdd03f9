/* Errors: what far code raises arrives whole; what goes wrong on the way says where. */
#include "example.h"

#include <signal.h>
#include <string.h>
#include <time.h>

static const char source[] = "def buy(what):\n"
                             "    stock = {'apple': 1}\n"
                             "    try:\n"
                             "        stock[what] -= 1\n"
                             "    except KeyError as error:\n"
                             "        raise ValueError('no ' + what) from error\n"
                             "    return stock[what]\n";

int main(int argc, char **argv) {
  remora_error *err = NULL;
  remora_conn *conn = example_connect(argc, argv);
  check(remora_module_add("python", "market", 0, "market.py", source, strlen(source), &err) == 0, err);
  remora_proxy *buy = remora_can_on(conn, "market.buy", &err);
  check(buy != NULL, err);

  remora_value *args = remora_pack(&err, "s", "pear");
  remora_value *v = remora_call(buy, NULL, args, &err);
  const char *because = NULL, *key = NULL;
  if (remora_unpack(remora_error_details(err), NULL, "={s:{s:[s *], s:{s:s}}}", "cause", "type", &because, "attributes",
                    "key", &key) != 0)
    because = key = "?";
  printf("caught: %s - %s\n", remora_error_type(err), remora_error_message(err));
  printf("because of: %s %s\n", because, key);
  printf("with a traceback: %s\n", strstr(remora_error_traceback(err), "in buy") ? "yes" : "no");
  err = remora_error_free(err);
  remora_value_unref(v);
  remora_value_unref(args);

  remora_proxy *nothing = remora_new_on(conn, "collections.Nonsense", NULL, &err);
  printf("not found: %s\n", nothing ? "?" : remora_error_message(err));
  err = remora_error_free(err);

  /* The far process dies while a call runs: the call fails at once, and says why. */
  remora_proxy *nap = remora_can_on(conn, "time.sleep", &err);
  check(nap != NULL, err);
  args = remora_pack(&err, "i", 60);
  remora_future *sleeping = remora_start(nap, NULL, args, &err);
  check(sleeping != NULL, err);
  remora_value_unref(args);
  time_t before = time(NULL);
  if (argc < 2)
    kill((pid_t)remora_conn_pid(conn), SIGKILL);
  else
    remora_conn_close(conn);
  v = remora_await(sleeping, -1, &err);
  printf("lost: %s\n", v ? "?" : remora_error_message(err));
  printf("noticed at once: %s\n", time(NULL) - before < 10 ? "yes" : "no");
  err = remora_error_free(err);
  printf("still valid: %d\n", remora_conn_is_valid(conn));
  remora_future_unref(sleeping);
  remora_proxy_unref(nap);
  remora_proxy_unref(buy);
  example_close(conn);

  /* A connection that cannot be made says how far it came. */
  remora_options *opts = remora_options_new();
  check(remora_options_set(opts, "interpreter", remora_str("no-such-python"), &err) == 0, err);
  conn = remora_connect("-", opts, &err);
  printf("stage %s: %s\n", conn ? "?" : remora_error_stage(err), conn ? "?" : remora_error_message(err));
  err = remora_error_free(err);
  remora_options_free(opts);
  return 0;
}
