/* Code travels: Python source that is in no file, run where nothing is installed; and what it prints comes home. */
#include "example.h"

#include <string.h>

static const char probe[] = "import os\n"
                            "from stock import PRICES\n"
                            "class Probe:\n"
                            "    asked = 0\n"
                            "    def look(self):\n"
                            "        self.asked += 1\n"
                            "        print('this line was printed on the far side')\n"
                            "        return {'pid': os.getpid(), 'asked': self.asked}\n"
                            "    def price(self, what):\n"
                            "        return PRICES[what]\n";
static const char stock[] = "PRICES = {'apple': 3}\n";

int main(int argc, char **argv) {
  remora_error *err = NULL;
  check(remora_module_add("python", "probe", 0, "probe.py", probe, strlen(probe), &err) == 0, err);
  check(remora_module_add("python", "stock", 0, "stock.py", stock, strlen(stock), &err) == 0, err);

  /* Output goes to a queue of our own; without one it would go to nobody. */
  remora_queue *queue = remora_queue_new();
  remora_options *opts = remora_options_new();
  remora_options_set_queue(opts, queue);
  remora_conn *conn = remora_connect(argc > 1 ? argv[1] : "-", opts, &err);
  check(conn != NULL, err);
  remora_options_free(opts);

  remora_proxy *p = remora_new_on(conn, "probe.Probe", NULL, &err);
  check(p != NULL, err);
  for (int i = 1; i <= 2; i++) {
    int64_t pid = 0;
    int asked = 0;
    remora_value *v = remora_call(p, "look", NULL, &err);
    check(v != NULL, err);
    check(remora_unpack(v, &err, "={s:I, s:i}", "pid", &pid, "asked", &asked) == 0, err);
    printf("asked: %d, in the far process: %s\n", asked, pid == remora_conn_pid(conn) ? "yes" : "no");
    remora_value_unref(v);
  }
  remora_event *e;
  while ((e = remora_next_event(queue, 0)) != NULL) {
    size_t length = 0;
    const char *data = remora_event_data(e, &length);
    if (data) printf("%.*s", (int)length, data);
    remora_event_free(e);
  }

  /* A module travels with what it imports. */
  remora_value *args = remora_pack(&err, "s", "apple"), *price = remora_call(p, "price", args, &err);
  check(price != NULL, err);
  printf("price: %lld\n", (long long)remora_as_int(price));
  remora_value_unref(price);
  remora_value_unref(args);
  remora_proxy_unref(p);
  example_close(conn);
  remora_queue_unref(queue);
  return 0;
}
