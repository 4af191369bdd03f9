/* run.c: remora run SPEC... -- COMMAND: one command on several hosts. One thread, which goes from event to event. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#define LINE_MOST 65536 /* a longer line is shown in pieces */

typedef struct line_buffer {
  char *text;
  size_t length, room;
} line_buffer;

typedef struct host {
  const char *spec;
  struct crowd *crowd;
  remora_future *future; /* the connection, then the command */
  remora_conn *conn;
  remora_object *sink, *source; /* takes output, gives input; we lend them */
  off_t at;                     /* in the input */
  line_buffer lines[2];
  bool connecting, done;
} host;

typedef struct crowd {
  const settings *s;
  input *input; /* or NULL */
  host *hosts;
  size_t nhosts, started, running, left;
  remora_value *argv;
  int status;
} crowd;

/* ---------------------------------------------------------------------------------------------------------- output */

static void host_line(const host *h, int stream, const char *text, size_t length) {
  FILE *to = stream == 2 ? stderr : stdout;
  if (h->crowd->nhosts > 1) fprintf(to, "%s: ", h->spec);
  (void)fwrite(text, 1, length, to);
}

/* Whole lines only: those of several hosts must not run together. */
static void host_output(host *h, int stream, const char *data, size_t length) {
  FILE *to = stream == 2 ? stderr : stdout;
  line_buffer *b = &h->lines[stream == 2];
  if (h->crowd->nhosts == 1) {
    (void)fwrite(data, 1, length, to);
    (void)fflush(to);
    return;
  }
  while (length) {
    const char *end = memchr(data, '\n', length);
    size_t n = end ? (size_t)(end - data) + 1 : length;
    if (n > LINE_MOST - b->length) n = LINE_MOST - b->length;
    if (b->length + n > b->room) {
      b->room = b->length + n < 4096 ? 4096 : LINE_MOST;
      if (!(b->text = realloc(b->text, b->room))) wait_die("out of memory");
    }
    memcpy(b->text + b->length, data, n);
    b->length += n;
    data += n;
    length -= n;
    bool whole = b->text[b->length - 1] == '\n';
    if (!whole && b->length < LINE_MOST) break;
    host_line(h, stream, b->text, b->length);
    if (!whole) fputc('\n', to);
    b->length = 0;
  }
  (void)fflush(to);
}

static void host_flush(host *h) {
  for (int i = 0; i < 2; i++)
    if (h->lines[i].length) host_output(h, i + 1, "\n", 1);
}

/* The far side calls this with (1 or 2, bytes). */
static remora_value *sink_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  host *h = userdata;
  int stream;
  const void *data;
  size_t length;
  (void)method;
  if (remora_unpack(args, err, "i y", &stream, &data, &length) == 0) host_output(h, stream, data, length);
  return NULL;
}

static const remora_class sink_class = {sizeof sink_class, "remora.output", "call", sink_call};

/* The far side calls read(n) of this. */
static remora_value *source_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  host *h = userdata;
  int64_t n;
  if (strcmp(method, "read") != 0) {
    *err = remora_error_new(REMORA_E_NOTFOUND, "the input has but read");
    return NULL;
  }
  if (remora_unpack(args, err, "I", &n) != 0) return NULL;
  return input_take(h->crowd->input, &h->at, n > 0 ? (size_t)n : 1, err);
}

static const remora_class source_class = {sizeof source_class, "remora.input", "", source_call};

/* --------------------------------------------------------------------------------------------------------- results */

static void json_member(const char *name, const remora_value *result, bool last) {
  const remora_value *v = result ? remora_get(result, name) : NULL;
  size_t length = 0;
  const char *bytes = v ? remora_as_text(v, &length) : NULL;
  printf("\"%s\": ", name);
  if (bytes)
    show_json_bytes(stdout, bytes, length);
  else if (v)
    show_json(stdout, v);
  else
    fputs("null", stdout);
  fputs(last ? "" : ", ", stdout);
}

static void host_json(const host *h, const remora_value *result, const remora_error *err) {
  fputs("{\"host\": ", stdout);
  show_json_bytes(stdout, h->spec, strlen(h->spec));
  fputs(", ", stdout);
  json_member("status", result, false);
  json_member("signal", result, false);
  json_member("stdout", result, false);
  json_member("stderr", result, false);
  fputs("\"error\": ", stdout);
  if (err) {
    fputs("{\"type\": ", stdout);
    show_json_bytes(stdout, remora_error_type(err), strlen(remora_error_type(err)));
    fputs(", \"message\": ", stdout);
    show_json_bytes(stdout, remora_error_message(err), strlen(remora_error_message(err)));
    if (remora_error_stage(err)) printf(", \"stage\": \"%s\"", remora_error_stage(err));
    fputs("}", stdout);
  } else {
    fputs("null", stdout);
  }
  fputs("}\n", stdout);
  (void)fflush(stdout);
}

static int result_status(const remora_value *result, remora_error **err) {
  const remora_value *status = NULL, *number = NULL;
  if (remora_unpack(result, err, "={s:v, s:v}", "status", &status, "signal", &number) != 0) return STATUS_LOST;
  return remora_value_kind(status) == REMORA_INT ? (int)remora_as_int(status)
                                                 : STATUS_SIGNAL + (int)remora_as_int(number);
}

/* The status that stands for what kept a command from running or ending. */
static int error_status(const remora_error *err, bool connecting) {
  int status = wait_status(err);
  if (connecting && (status == STATUS_TIMEOUT || status == STATUS_FAR)) return STATUS_LOST;
  if (remora_error_code(err) == REMORA_E_NOTFOUND) return STATUS_ABSENT;
  return status == STATUS_FAR || (status == STATUS_USAGE && !connecting) ? STATUS_CANNOT : status;
}

/* The host has ended, with a result or an error, which is freed. */
static void host_done(host *h, const remora_value *result, remora_error *err) {
  crowd *c = h->crowd;
  int status = result ? result_status(result, &err) : 0;
  if (err) status = error_status(err, h->connecting);
  host_flush(h);
  if (status > c->status) c->status = status;
  if (c->s->json)
    host_json(h, result, err);
  else if (err)
    wait_complain(h->spec, err, false);
  if (c->s->json) (void)remora_error_free(err);
  h->done = true;
  h->future = remora_future_unref(h->future);
  if (h->conn) remora_conn_close(h->conn);
  c->running--;
  c->left--;
}

/* ------------------------------------------------------------------------------------------------------- the events */

static void command_ended(remora_future *future, void *userdata) {
  remora_error *err = NULL;
  host *h = userdata;
  if (h->done) return;
  remora_value *result = remora_future_result(future, &err);
  host_done(h, result, err);
  (void)remora_value_unref(result);
}

static remora_value *command_options(host *h, remora_error **err) {
  const settings *s = h->crowd->s;
  remora_value *options = remora_map();
  if (!s->json) {
    h->sink = remora_export(NULL, &sink_class, h, NULL);
    if (!h->sink || remora_set(options, "output", remora_value_of_object(h->sink)) != 0) goto fail;
  }
  if (h->crowd->input) {
    h->at = input_begin(h->crowd->input);
    h->source = remora_export(NULL, &source_class, h, NULL);
    if (!h->source || remora_set(options, "input", remora_value_of_object(h->source)) != 0) goto fail;
  }
  if (s->timeout >= 0 && remora_set(options, "timeout", remora_int(s->timeout)) != 0) goto fail;
  return options;
fail:
  *err = remora_error_new(REMORA_E_NOMEM, NULL);
  return remora_value_unref(options);
}

static void connected(remora_future *future, void *userdata) {
  remora_error *err = NULL;
  host *h = userdata;
  if (h->done) return;
  remora_value *nothing = remora_future_result(future, &err);
  remora_value *args = NULL;
  remora_proxy *root = NULL;
  (void)remora_value_unref(nothing);
  h->future = remora_future_unref(h->future);
  if (nothing) {
    h->connecting = false;
    h->conn = remora_future_conn(future);
    root = remora_conn_root(h->conn, &err);
    remora_value *options = root ? command_options(h, &err) : NULL;
    if (options) args = remora_pack(&err, "v V", h->crowd->argv, options);
  }
  if (args) h->future = remora_start_with(root, "run", args, -1, 0, &err);
  if (!h->future || remora_then(h->future, NULL, command_ended, h, NULL, &err) != 0) host_done(h, NULL, err);
  (void)remora_value_unref(args);
  (void)remora_proxy_unref(root);
}

static void host_start(host *h) {
  remora_error *err = NULL;
  h->connecting = true;
  h->crowd->running++;
  h->future = wait_connect_start(h->crowd->s, h->spec, &err);
  if (!h->future || remora_then(h->future, NULL, connected, h, NULL, &err) != 0) host_done(h, NULL, err);
}

static host *host_of(crowd *c, const remora_conn *conn) {
  for (size_t i = 0; i < c->nhosts; i++)
    if (c->hosts[i].conn == conn) return &c->hosts[i];
  return NULL;
}

/* Ctrl-C: what still runs is ended with its connection. */
static void crowd_interrupt(crowd *c) {
  for (size_t i = 0; i < c->started; i++) {
    host *h = &c->hosts[i];
    if (h->done) continue;
    if (h->future) (void)remora_cancel(h->future);
    host_done(h, NULL, remora_error_new(REMORA_E_INTERRUPTED, "interrupted"));
  }
  c->left = 0;
  c->status = STATUS_SIGNAL + SIGINT;
}

int run_main(const settings *s) {
  crowd c = {.s = s, .argv = remora_list()};
  size_t split = 0;
  while (split < s->noperands && strcmp(s->operands[split], "--") != 0) split++;
  if (split == 0) settings_wrong(s->command, "no SPEC");
  if (split == s->noperands) settings_wrong(s->command, "no -- before the COMMAND");
  if (split + 1 == s->noperands) settings_wrong(s->command, "no COMMAND");
  for (size_t i = split + 1; i < s->noperands; i++)
    if (remora_append(c.argv, remora_str(s->operands[i])) != 0)
      settings_wrong(s->command, "\"%s\" is not UTF-8", s->operands[i]);
  c.nhosts = c.left = split;
  if (s->input) c.input = input_open(s->input, split > 1);
  if (!(c.hosts = calloc(split, sizeof *c.hosts))) wait_die("out of memory");
  for (size_t i = 0; i < split; i++) c.hosts[i] = (host){.spec = s->operands[i], .crowd = &c};
  while (c.left) {
    while (c.started < c.nhosts && c.running < s->parallel) host_start(&c.hosts[c.started++]);
    remora_event *event = c.left ? remora_next_event(remora_default_queue(), 200) : NULL;
    host *h = event && remora_event_type(event) == REMORA_EVENT_OUTPUT ? host_of(&c, remora_event_conn(event)) : NULL;
    if (h && !s->json) { /* the far side's own words */
      size_t length = 0;
      const char *data = remora_event_data(event, &length);
      host_output(h, remora_event_stream(event), data, length);
      (void)remora_event_free(event);
    } else if (event) {
      wait_event(event);
    }
    if (interrupted) crowd_interrupt(&c);
  }
  for (size_t i = 0; i < c.nhosts; i++) {
    host *h = &c.hosts[i];
    if (h->conn) (void)remora_conn_wait_closed(h->conn, 4000);
    (void)remora_conn_unref(h->conn);
    (void)remora_object_unref(h->sink);
    (void)remora_object_unref(h->source);
    free(h->lines[0].text);
    free(h->lines[1].text);
  }
  (void)remora_value_unref(c.argv);
  (void)remora_serve(remora_default_queue(), 0);
  free(c.hosts);
  return c.status;
}
