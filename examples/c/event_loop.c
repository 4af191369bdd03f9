/* Event loop: a program with a poll loop of its own. The queue has one descriptor; no thread of the program waits in the library. */
#include "example.h"

#include <poll.h>

static int left = 2; /* futures that are not ready */

static void slept(remora_future *future, void *name) {
  remora_error *err = NULL;
  remora_value *v = remora_future_result(future, &err);
  check(v != NULL, err);
  remora_value_unref(v);
  printf("%s is done\n", (const char *)name);
  left--;
}

/* Called from over there while the program sits in poll(). */
static remora_value *tick(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  (void)userdata, (void)method, (void)err;
  printf("tick %lld\n", (long long)remora_as_int(remora_at(args, 0)));
  return NULL;
}
static void tick_gone(void *userdata) { (void)userdata; /* nothing to free */ }
static const remora_class tick_class = {sizeof(remora_class), "example.tick", "call", tick};

int main(int argc, char **argv) {
  remora_error *err = NULL;
  remora_conn *conn = example_connect(argc, argv), *other = example_connect(argc, argv);
  remora_queue *queue = remora_default_queue();

  /* list(map(tick, [1, 2, 3])) over there, and a nap on another connection. */
  remora_object *object = remora_export(queue, &tick_class, NULL, tick_gone);
  remora_value *args = args1(remora_value_of_object(object)), *numbers = remora_list();
  for (int i = 1; i <= 3; i++) remora_append(numbers, remora_int(i));
  remora_append(args, numbers);
  remora_object_unref(object);
  remora_proxy *map = remora_new_on(conn, "builtins.map", args, &err);
  check(map != NULL, err);
  remora_value_unref(args);
  remora_proxy *list = remora_can_on(conn, "builtins.list", &err), *nap = remora_can_on(other, "time.sleep", &err);
  check(list && nap, err);
  args = args1(remora_value_of_proxy(map));
  remora_future *ticks = remora_start(list, NULL, args, &err);
  check(ticks != NULL, err);
  remora_value_unref(args);
  args = args1(remora_float(2));
  remora_future *sleeping = remora_start(nap, NULL, args, &err);
  check(sleeping != NULL, err);
  remora_value_unref(args);
  check(remora_then(ticks, queue, slept, "the list", NULL, &err) == 0, err);
  check(remora_then(sleeping, queue, slept, "the nap", NULL, &err) == 0, err);

  /* The program's own loop: a descriptor among others. */
  struct pollfd fds[1] = {{.fd = remora_queue_fd(queue), .events = POLLIN}};
  while (left > 0) {
    if (!remora_queue_arm(queue) && poll(fds, 1, 5000) == 0) {
      fprintf(stderr, "nothing happened for 5 seconds\n");
      return 1;
    }
    (void)remora_serve(queue, 0);
  }

  remora_future_unref(ticks);
  remora_future_unref(sleeping);
  remora_proxy_unref(map);
  remora_proxy_unref(list);
  remora_proxy_unref(nap);
  example_close(other);
  example_close(conn);
  return 0;
}
