/* repl.c: remora repl SPEC: a conversation with a far interpreter. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct repl {
  const settings *s;
  remora_conn *conn;
  remora_proxy *far; /* what the root's `repl` gave: eval, complete */
  line_source *lines;
  char *text; /* of the input so far, whose end has not come */
  bool kept;  /* its lines go into the history */
  volatile bool lost;
  char prompt[80], more[80];
} repl;

/* The result of a method with one text, or NULL with *err. */
static remora_value *ask(repl *r, const char *method, const char *text, int64_t timeout, remora_error **err) {
  remora_value *args = remora_pack(err, "s", text);
  remora_future *future = args ? remora_start_with(r->far, method, args, timeout, REMORA_AWAITED, err) : NULL;
  remora_value *result = future ? wait_for(future, -1, err) : NULL;
  (void)remora_future_unref(future);
  (void)remora_value_unref(args);
  return result;
}

static remora_value *candidates(void *userdata, const char *text) {
  remora_error *err = NULL;
  remora_value *list = ask(userdata, "complete", text, 2000, &err);
  (void)remora_error_free(err);
  return list;
}

static void on_end(remora_future *future, void *userdata) {
  (void)future;
  ((repl *)userdata)->lost = true;
}

/* Whether the error is the far language's way to end: then *status is what it ended with. */
static bool is_exit(const remora_error *err, int *status) {
  const char *type = remora_error_type(err);
  if (strcmp(type, "SystemExit") != 0 && strcmp(type, "remora.Exit") != 0) return false;
  const remora_value *details = remora_error_details(err);
  const remora_value *attributes = details ? remora_get(details, "attributes") : NULL;
  const remora_value *code = attributes ? remora_get(attributes, "code") : NULL;
  *status = code ? (int)(remora_as_int(code) & 255) : STATUS_OK;
  if (code && remora_value_kind(code) == REMORA_TEXT) { /* Python: says it and fails */
    fprintf(stderr, "%s\n", remora_as_text(code, NULL));
    *status = STATUS_FAR;
  }
  return true;
}

/* Adds a line to the input. */
static void add(repl *r, const char *line) {
  size_t before = r->text ? strlen(r->text) + 1 : 0, length = strlen(line);
  char *text = realloc(r->text, before + length + 1);
  if (!text) wait_die("out of memory");
  if (before) text[before - 1] = '\n';
  memcpy(text + before, line, length + 1);
  r->text = text;
}

static void drop(repl *r) {
  free(r->text);
  r->text = NULL;
}

/* Has the input evaluated. False: the conversation is over, with *status. */
static bool evaluate(repl *r, int *status) {
  remora_error *err = NULL;
  bool terminal = line_is_terminal(r->lines);
  remora_value *result = ask(r, "eval", r->text, r->s->timeout, &err);
  const remora_value *more = result ? remora_get(result, "more") : NULL,
                     *value = result ? remora_get(result, "value") : NULL;
  if (more && remora_as_bool(more)) {
    (void)remora_value_unref(result);
    return true;
  }
  drop(r);
  if (result) {
    size_t length = 0;
    const char *text = value ? remora_as_text(value, &length) : NULL;
    if (text) {
      (void)fwrite(text, 1, length, stdout);
      fputc('\n', stdout);
      (void)fflush(stdout);
    }
    (void)remora_value_unref(result);
    return true;
  }
  if (is_exit(err, status)) {
    (void)remora_error_free(err);
    return false;
  }
  *status = wait_status(err);
  bool over = *status == STATUS_LOST;
  (void)fflush(stdout);
  const char *trace = remora_error_traceback(err);
  if (*status == STATUS_SIGNAL + SIGINT) {
    fputs("interrupted\n", stderr);
  } else if (trace && *trace) {
    fprintf(stderr, "%s%s", trace, trace[strlen(trace) - 1] == '\n' ? "" : "\n");
  } else {
    wait_complain(remora_conn_name(r->conn), err, false);
    err = NULL;
  }
  (void)remora_error_free(err);
  if (over || !terminal) return false;
  *status = STATUS_OK;
  return true;
}

static int converse(repl *r) {
  int status = STATUS_OK;
  bool terminal = line_is_terminal(r->lines);
  for (;;) {
    char *line = NULL;
    int got = line_next(r->lines, r->text ? r->more : r->prompt, &r->lost, &line);
    if (got == LINE_INTERRUPTED) {
      if (!terminal) return STATUS_SIGNAL + SIGINT;
      drop(r);
      continue;
    }
    if (got == LINE_END) break;
    if (r->text || line[strspn(line, " \t")]) {
      if (!r->text) r->kept = *line != ' ' && *line != '\t';
      if (r->kept) line_remember(r->lines, line);
      add(r, line);
      bool on = evaluate(r, &status);
      free(line);
      if (!on) return status;
    } else {
      free(line);
    }
  }
  if (r->text && !r->lost && !terminal) {
    add(r, ""); /* an empty line ends what only the end of the input has ended */
    if (!evaluate(r, &status)) return status;
    if (r->text) {
      fprintf(stderr, "remora: the input ends in the middle of something\n");
      return STATUS_FAR;
    }
  }
  if (r->lost) {
    fprintf(stderr, "remora: %s: the connection is gone\n", remora_conn_name(r->conn));
    return STATUS_LOST;
  }
  return status;
}

/* The conversation's partner; NULL after a message. */
static remora_proxy *partner(repl *r, int *status) {
  remora_error *err = NULL;
  remora_proxy *root = remora_conn_root(r->conn, &err), *far = NULL;
  remora_future *future = root ? remora_start_with(root, "repl", NULL, r->s->timeout, REMORA_AWAITED, &err) : NULL;
  remora_value *made = future ? wait_for(future, -1, &err) : NULL;
  if (made) far = remora_proxy_ref(remora_as_proxy(made));
  if (!far && err && remora_error_code(err) == REMORA_E_NOTFOUND) {
    const remora_value *hello = remora_conn_hello(r->conn);
    const remora_value *language = hello ? remora_get(hello, "node") : NULL;
    fprintf(stderr, "remora: %s: a far side in %s evaluates no lines\n", remora_conn_name(r->conn),
            language ? remora_as_text(language, NULL) : "that language");
    *status = STATUS_FAR;
    (void)remora_error_free(err);
  } else if (!far) {
    *status = wait_status(err);
    wait_complain(remora_conn_name(r->conn), err, true);
  }
  (void)remora_value_unref(made);
  (void)remora_future_unref(future);
  (void)remora_proxy_unref(root);
  return far;
}

static const char *hello_text(const repl *r, const char *name) {
  const remora_value *hello = remora_conn_hello(r->conn), *v = hello ? remora_get(hello, name) : NULL;
  const char *text = v ? remora_as_text(v, NULL) : NULL;
  return text ? text : "?";
}

/* "web1 ruby> ", and below it "     ...> ". */
static void make_prompts(repl *r) {
  const char *name = remora_conn_name(r->conn);
  bool child = strcmp(name, "-") == 0;
  snprintf(r->prompt, sizeof r->prompt, "%.50s%s%.20s> ", child ? "" : name, child ? "" : " ", hello_text(r, "node"));
  snprintf(r->more, sizeof r->more, "%*s", (int)strlen(r->prompt), "...> ");
}

int repl_main(const settings *s) {
  if (s->noperands != 1) settings_wrong(s->command, s->noperands ? "more than one SPEC" : "no SPEC");
  repl r = {.s = s};
  int status = STATUS_LOST;
  r.conn = wait_connect(s, s->operands[0], &status);
  r.far = r.conn ? partner(&r, &status) : NULL;
  if (r.far) {
    remora_error *err = NULL;
    remora_future *end = remora_conn_on_close(r.conn, &err);
    if (!end || remora_then(end, NULL, on_end, &r, NULL, &err) != 0) {
      r.lost = true;
      (void)remora_error_free(err);
    }
    make_prompts(&r);
    r.lines = line_open(candidates, &r);
    if (line_is_terminal(r.lines))
      printf("%s on %s, pid %lld. Ctrl-D ends.\n", hello_text(&r, "language"), hello_text(&r, "host"),
             (long long)remora_conn_pid(r.conn));
    status = converse(&r);
    line_close(r.lines);
    (void)remora_future_unref(end);
  }
  drop(&r);
  (void)remora_proxy_unref(r.far);
  (void)remora_conn_unref(r.conn);
  return status;
}
