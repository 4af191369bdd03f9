/* call.c: remora call SPEC NAME ARGS...: one far function, one result. */
#include "cli.h"

#include <stdlib.h>

static int call_named(const settings *s, remora_conn *conn, const char *name, const remora_value *args) {
  remora_error *err = NULL;
  const char *where = remora_conn_name(conn);
  /* What can_on does, with time limit and Ctrl-C. */
  remora_conn_serve(conn, name);
  remora_proxy *root = remora_conn_root(conn, &err);
  remora_value *asked = root ? remora_pack(&err, "s", name) : NULL;
  remora_future *future = asked ? remora_start_with(root, "can", asked, s->timeout, REMORA_AWAITED, &err) : NULL;
  remora_value *found = future ? wait_for(future, -1, &err) : NULL;
  (void)remora_future_unref(future);
  (void)remora_value_unref(asked);
  (void)remora_proxy_unref(root);
  remora_value *result = NULL;
  int status = STATUS_OK;
  if (found && !remora_as_proxy(found)) {
    fprintf(stderr, "remora: %s: there is no function \"%s\"\n", where, name);
    status = STATUS_FAR;
  } else if (found) {
    future = remora_start_with(remora_as_proxy(found), NULL, args, s->timeout, REMORA_AWAITED, &err);
    result = future ? wait_for(future, -1, &err) : NULL;
    (void)remora_future_unref(future);
  }
  if (result && s->json) {
    show_json(stdout, result);
    fputc('\n', stdout);
  } else if (result) {
    show_result(stdout, result);
  } else if (err) {
    status = wait_status(err);
    if (status == STATUS_USAGE) status = STATUS_FAR; /* not of the command line any more */
    wait_complain(where, err, s->verbose);
  }
  (void)remora_value_unref(result);
  (void)remora_value_unref(found);
  return status;
}

int call_main(const settings *s) {
  if (s->noperands < 2) settings_wrong(s->command, s->noperands ? "no NAME" : "no SPEC");
  int status = STATUS_USAGE;
  remora_value *args = arguments_read(s->operands + 2, s->noperands - 2, s->json_args);
  remora_conn *conn = args ? wait_connect(s, s->operands[0], &status) : NULL;
  if (conn) status = call_named(s, conn, s->operands[1], args);
  (void)remora_value_unref(args);
  (void)remora_conn_unref(conn);
  return status;
}
