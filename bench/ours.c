/* Remora from C: the same library and the same far side as ours.py, without Python on this side.
 * ours_c WORKLOAD [SECONDS [NODE]]; NODE, or else the environment's BENCH_NODE, is "python" or "c"; the directory of
 * bench_far.py or bench_far.so is the environment's BENCH_DIR. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "common.h"
#include <remora.h>

typedef struct peer {
  remora_conn *conn;
  remora_proxy *proxy;
} peer;

static const char *node = "python";

static void fail(remora_error *err) {
  errno = 0; /* the library has none */
  DIE("remora: %s", err ? remora_error_message(err) : "nothing came back");
}

static void connect_to(peer *p) {
  remora_error *err = NULL;
  const char *python = getenv("BENCH_PYTHON"), *here = getenv("BENCH_DIR");
  remora_options *opts = remora_options_new();
  remora_value *roots = remora_list();
  remora_append(roots, remora_str(here ? here : "bench"));
  if (remora_options_set(opts, "node", remora_str(node), &err)) fail(err);
  if (!strcmp(node, "python") &&
      remora_options_set(opts, "interpreter", remora_str(python ? python : "/usr/bin/python3"), &err))
    fail(err);
  if (remora_options_set(opts, "roots", roots, &err)) fail(err);
  p->conn = remora_connect("-", opts, &err);
  if (!p->conn) fail(err);
  remora_options_free(opts);
  p->proxy = remora_new_on(p->conn, "bench_far:Peer", NULL, &err);
  if (!p->proxy) fail(err);
}

static remora_value *two(int64_t a, int64_t b) {
  remora_value *args = remora_list();
  if (!args || remora_append(args, remora_int(a)) || remora_append(args, remora_int(b))) DIE("out of memory");
  return args;
}

static void add(void *ctx) {
  peer *p = ctx;
  remora_error *err = NULL;
  remora_value *args = two(2, 3), *v = remora_call(p->proxy, "add", args, &err);
  if (!v) fail(err);
  if (remora_as_int(v) != 5) DIE("wrong result");
  remora_value_unref(v);
  remora_value_unref(args);
}

static void outstanding(peer *p, double seconds) {
  static remora_future *futures[IN_FLIGHT];
  remora_error *err = NULL;
  long done = 0;
  uint64_t begin = now_ns();
  while ((double)(now_ns() - begin) < seconds * 1e9) {
    for (int i = 0; i < IN_FLIGHT; i++) {
      remora_value *args = two(i, 3);
      futures[i] = remora_start(p->proxy, "add", args, &err);
      if (!futures[i]) fail(err);
      remora_value_unref(args);
    }
    if (remora_await_all(futures, IN_FLIGHT, -1, &err)) fail(err);
    for (int i = 0; i < IN_FLIGHT; i++) {
      remora_value *v = remora_future_result(futures[i], &err);
      if (!v) fail(err);
      if (remora_as_int(v) != i + 3) DIE("wrong result");
      remora_value_unref(v);
      remora_future_unref(futures[i]);
    }
    done += IN_FLIGHT;
  }
  printf("{\"calls_s\": %.0f, \"n\": %ld, \"in_flight\": %d}\n", (double)done / ((double)(now_ns() - begin) / 1e9),
         done, IN_FLIGHT);
}

typedef struct bulk_state {
  peer *small, *bulk;
  char *data;
  const char *method;
  remora_value *result;
} bulk_state;

static void bulk(void *ctx) {
  bulk_state *s = ctx;
  remora_error *err = NULL;
  remora_value_unref(s->result);
  remora_value *args = remora_list();
  if (!args || remora_append(args, remora_bytes_view(s->data, BLOB_SIZE, NULL, NULL))) DIE("out of memory");
  s->result = remora_call(s->bulk->proxy, s->method, args, &err);
  if (!s->result) fail(err);
  remora_value_unref(args);
}

static void bulk_check(void *ctx) {
  bulk_state *s = ctx;
  size_t size = 0;
  const char *got = remora_as_text(s->result, &size);
  if (!got || size != BLOB_SIZE || memcmp(got, s->data, BLOB_SIZE)) DIE("the bytes came back changed");
}

static void bulk_small(void *ctx) { add(((bulk_state *)ctx)->small); }

static void spawn_once(void *ctx) {
  connect_to(ctx);
  add(ctx);
}

static void spawn_end(void *ctx) {
  peer *p = ctx;
  remora_proxy_unref(p->proxy);
  remora_conn_close(p->conn);
  remora_conn_unref(p->conn);
}

int main(int argc, char **argv) {
  const char *workload = argc > 1 ? argv[1] : "call";
  double seconds = argc > 2 ? atof(argv[2]) : 2;
  if (argc > 3)
    node = argv[3];
  else if (getenv("BENCH_NODE"))
    node = getenv("BENCH_NODE");
  bool back = !strcmp(workload, "mixed-back"), is_bytes = !strcmp(workload, "bytes");
  peer a, b;
  if (!strcmp(workload, "spawn"))
    bench_spawn(seconds, spawn_once, spawn_end, &a);
  else {
    connect_to(&a);
    add(&a);
    if (!strcmp(workload, "outstanding"))
      outstanding(&a, seconds);
    else if (!strcmp(workload, "hold"))
      bench_pause("hold");
    else if (is_bytes || back || !strcmp(workload, "mixed")) {
      bulk_state s = {&a, &a, malloc(BLOB_SIZE), is_bytes || back ? "echo" : "sink", NULL};
      if (!s.data) DIE("malloc");
      fill_random(s.data, BLOB_SIZE);
      if (is_bytes)
        bench_bytes(seconds, bulk, bulk_check, &s);
      else {
        connect_to(&b);
        s.bulk = &b;
        bench_mixed(seconds, bulk_small, bulk, &s, back ? 2 : 1);
      }
    } else if (!bench_calls(workload, seconds, add, &a))
      bench_unsupported(workload);
  }
  bench_end();
  remora_shutdown();
  return 0;
}
