/* example.h: what the examples share: every failure is fatal and says what it was. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <remora.h>

#include <stdio.h>
#include <stdlib.h>

static inline void check(int ok, remora_error *err) {
  if (ok && !err) return;
  const char *stage = remora_error_stage(err);
  fprintf(stderr, "%s%s%s: %s\n", remora_error_type(err), stage ? " at stage " : "", stage ? stage : "",
          remora_error_message(err));
  exit(1);
}

/* A list of one argument. *new*; steals the argument. */
static inline remora_value *args1(remora_value *argument) {
  remora_value *args = remora_list();
  if (remora_append(args, argument) != 0) abort();
  return args;
}

static inline remora_conn *example_connect(int argc, char **argv) {
  remora_error *err = NULL;
  remora_conn *conn = remora_connect(argc > 1 ? argv[1] : "-", NULL, &err);
  check(conn != NULL, err);
  return conn;
}

/* Closes, and waits until the far process is gone. */
static inline void example_close(remora_conn *conn) {
  remora_conn_close(conn);
  (void)remora_conn_wait_closed(conn, 5000);
  remora_conn_unref(conn);
}

#endif
