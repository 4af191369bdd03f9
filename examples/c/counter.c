/* Counter: objects that live over there, their attributes, and arguments by a format. */
#include "example.h"

#include <string.h>

/* Shipped to the far side as a module of its own. */
static const char source[] = "class Counter:\n"
                             "    def __init__(self, start=0):\n"
                             "        self.value = start\n"
                             "    def increment(self, by=1):\n"
                             "        self.value += by\n"
                             "        return self.value\n"
                             "    def same_as(self, other):\n"
                             "        return self is other\n"
                             "    def __lt__(self, other):\n"
                             "        return self.value < other.value\n";

/* The result of a method; steals args. */
static remora_value *call(remora_proxy *p, const char *method, remora_value *args) {
  remora_error *err = NULL;
  remora_value *v = remora_call(p, method, args, &err);
  check(v != NULL, err);
  remora_value_unref(args);
  return v;
}

static long long number(remora_value *v) {
  long long n = remora_value_kind(v) == REMORA_BOOL ? remora_as_bool(v) : remora_as_int(v);
  remora_value_unref(v);
  return n;
}

static remora_proxy *make(remora_conn *conn, const char *name, remora_value *args) {
  remora_error *err = NULL;
  remora_proxy *p = remora_new_on(conn, name, args, &err);
  check(p != NULL, err);
  remora_value_unref(args);
  return p;
}

int main(int argc, char **argv) {
  remora_error *err = NULL;
  remora_conn *conn = example_connect(argc, argv);
  check(remora_module_add("python", "counting", 0, "counting.py", source, strlen(source), &err) == 0, err);
  remora_proxy *counter = make(conn, "counting.Counter", remora_pack(&err, "i", 5));

  long long once = number(call(counter, "increment", NULL));
  printf("increment: %lld %lld\n", once, number(call(counter, "increment", remora_pack(&err, "k{s:i}", "by", 10))));

  /* Attributes are read and set by operations, so that each round trip can be seen. */
  printf("value: %lld\n", number(call(counter, ":get", remora_pack(&err, "s", "value"))));
  remora_value_unref(call(counter, ":set", remora_pack(&err, "s i", "value", 100)));
  printf("after :set: %lld\n", number(call(counter, "increment", NULL)));

  /* A proxy that goes home arrives as the object itself. */
  remora_proxy *other = make(conn, "counting.Counter", remora_pack(&err, "i", 1));
  printf("same object: %lld %lld\n", number(call(counter, "same_as", remora_pack(&err, "p", counter))),
         number(call(counter, "same_as", remora_pack(&err, "p", other))));
  printf("in order: %lld\n", number(call(other, ":lt", remora_pack(&err, "p", counter))));

  /* remora_new_on always gives a proxy, also for a type that otherwise crosses by value. */
  remora_proxy *table = make(conn, "builtins.dict", remora_pack(&err, "{s:i}", "a", 1));
  remora_value_unref(call(table, ":setitem", remora_pack(&err, "s i", "b", 2)));
  printf("far dict: %lld %lld %lld\n", number(call(table, ":len", NULL)),
         number(call(table, ":item", remora_pack(&err, "s", "b"))),
         number(call(table, ":contains", remora_pack(&err, "s", "a"))));

  remora_proxy_unref(table);
  remora_proxy_unref(other);
  remora_proxy_unref(counter);
  example_close(conn);
  return 0;
}
