/* wait.c: connecting and waiting, with far output on its way and Ctrl-C in mind; how errors are told. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

volatile sig_atomic_t interrupted;

static void on_interrupt(int number) {
  (void)number;
  interrupted = 1;
}

void wait_begin(void) {
  /* What we write is not cut off by it; whatever waits for something asks ppoll first, which it does end. */
  struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
  (void)sigemptyset(&action.sa_mask);
  (void)sigaction(SIGINT, &action, NULL);
}

void wait_die(const char *what) {
  fprintf(stderr, "remora: %s\n", what);
  exit(STATUS_LOST);
}

void wait_event(remora_event *event) {
  if (remora_event_type(event) == REMORA_EVENT_OUTPUT) {
    size_t length = 0;
    const char *data = remora_event_data(event, &length);
    FILE *to = remora_event_stream(event) == 2 ? stderr : stdout;
    (void)fwrite(data, 1, length, to);
    (void)fflush(to);
  } else {
    remora_event_run(event);
  }
  (void)remora_event_free(event);
}

/* A signal that comes between our look and the library's sleep would be seen only when something else happens. */
#define WAIT_SLICE 200

remora_value *wait_for(remora_future *future, int64_t ms, remora_error **err) {
  remora_queue *queue = remora_default_queue();
  int64_t left = ms;
  for (;;) {
    int64_t slice = left >= 0 && left < WAIT_SLICE ? left : WAIT_SLICE;
    remora_wait state = interrupted ? REMORA_WAIT_INTERRUPTED : remora_wait_for(future, queue, slice);
    if (state == REMORA_WAIT_READY) return remora_future_result(future, err);
    if (interrupted) {
      interrupted = 0;
      (void)remora_cancel(future);
      *err = remora_error_new(REMORA_E_INTERRUPTED, "interrupted");
      return NULL;
    }
    if (state == REMORA_WAIT_EVENT) {
      remora_event *event = remora_take(queue, future);
      if (event) wait_event(event);
    } else if (state == REMORA_WAIT_TIMEOUT && left >= 0 && (left -= slice) <= 0) {
      (void)remora_cancel(future);
      *err = remora_error_new(REMORA_E_TIMEOUT, NULL);
      return NULL;
    }
  }
}

remora_future *wait_connect_start(const settings *s, const char *spec, remora_error **err) {
  remora_value *hops = remora_list();
  for (const char *part = spec;; part++) {
    size_t length = strcspn(part, ",");
    if (remora_append(hops, remora_text(part, length)) != 0) {
      *err = remora_error_new(REMORA_E_INVALID, "the spec is not UTF-8");
      (void)remora_value_unref(hops);
      return NULL;
    }
    part += length;
    if (!*part) break;
  }
  remora_future *future = NULL;
  if (remora_options_set(s->options, "hops", hops, err) == 0) future = remora_connect_start(NULL, s->options, err);
  return future;
}

remora_conn *wait_connect(const settings *s, const char *spec, int *status) {
  remora_error *err = NULL;
  remora_conn *conn = NULL;
  remora_future *future = wait_connect_start(s, spec, &err);
  if (future) {
    remora_value *nothing = wait_for(future, -1, &err);
    if (nothing) conn = remora_future_conn(future);
    (void)remora_value_unref(nothing);
    (void)remora_future_unref(future);
  }
  if (conn) return conn;
  *status = wait_status(err);
  if (*status == STATUS_FAR || *status == STATUS_TIMEOUT) *status = STATUS_LOST;
  wait_complain(spec, err, false);
  return NULL;
}

int wait_status(const remora_error *err) {
  switch (remora_error_code(err)) {
  case REMORA_E_CONNECT:
  case REMORA_E_LOST:
  case REMORA_E_PROTOCOL:
  case REMORA_E_NOMEM:
    return STATUS_LOST;
  case REMORA_E_TIMEOUT:
    return STATUS_TIMEOUT;
  case REMORA_E_INTERRUPTED:
    return STATUS_SIGNAL + SIGINT;
  case REMORA_E_INVALID:
    return STATUS_USAGE;
  default:
    return STATUS_FAR;
  }
}

void wait_complain(const char *where, remora_error *err, bool traceback) {
  (void)fflush(stdout);
  const char *trace = traceback ? remora_error_traceback(err) : NULL;
  if (trace) fprintf(stderr, "%s%s", trace, *trace && trace[strlen(trace) - 1] == '\n' ? "" : "\n");
  const char *stage = remora_error_stage(err);
  if (stage) where = NULL; /* the message begins with it */
  fprintf(stderr, "remora: %s%s%s%s%s%s: %s\n", where ? where : "", where ? ": " : "", remora_error_type(err),
          stage ? " (" : "", stage ? stage : "", stage ? ")" : "", remora_error_message(err));
  (void)remora_error_free(err);
}
