/* perl.c: calls to Perl and its answers; its calls of what the near side lends, and of us for modules. */
#include "peer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------------------------------------------------- calls to it */

pending *pending_new(want w, remora_event *event) {
  pending *p = calloc(1, sizeof *p);
  if (!p) {
    if (event) remora_event_fail(event, remora_error_new(REMORA_E_NOMEM, NULL));
    (void)remora_event_free(event);
    return NULL;
  }
  p->want = w;
  p->event = event;
  p->chain = event ? event->message->head.chain : perl.latest ? perl.latest->chain : 0;
  return p;
}

void pending_free(pending *p) {
  if (p->id) {
    (void)idmap_remove(&perl.waiting, p->id);
    if (p->newer)
      p->newer->older = p->older;
    else
      perl.latest = p->older;
    if (p->older) p->older->newer = p->newer;
  }
  (void)remora_event_free(p->event);
  (void)remora_object_unref(p->thing);
  (void)remora_value_unref(p->future);
  free(p->name);
  free(p);
}

/* Where a message begins, so that one that cannot be finished is taken back. */
typedef struct mark {
  size_t length;
  uint64_t last_id;
} mark;

static mark mark_here(void) { return (mark){perl.out.end - perl.out.begin, perl.last_id}; }

static void mark_back(mark m) {
  perl.out.end = perl.out.begin + m.length;
  lent_forget(m.last_id);
}

static int put_values(const remora_value *list, size_t from, remora_error **err) {
  int rc = 0;
  for (size_t i = from; rc == 0 && i < remora_length(list); i++) {
    rc = wire_put(",", 1);
    if (rc == 0) rc = wire_value(remora_at(list, i), 1, err);
  }
  const remora_value *named = list ? remora_keywords(list) : NULL;
  for (size_t i = 0; rc == 0 && i < remora_length(named); i++) {
    rc = wire_put(",", 1);
    if (rc == 0) rc = wire_value(remora_key_at(named, i), 1, err);
    if (rc == 0) rc = wire_put(",", 1);
    if (rc == 0) rc = wire_value(remora_at(named, i), 1, err);
  }
  return rc;
}

void perl_call(pending *p, int64_t id, bool list, const char *const *words, const remora_value *args, size_t skip) {
  if (!p) return;
  mark start = mark_here();
  remora_error *err = NULL;
  uint64_t number = ++perl.last_id;
  int rc = id ? wire_format("[\"call\",%" PRIu64 ",%" PRId64 ",%d", number, id, list)
              : wire_format("[\"call\",%" PRIu64 ",\"class_call_handler\",%d", number, list);
  for (; rc == 0 && *words; words++) {
    rc = wire_put(",", 1);
    if (rc == 0) rc = wire_string(*words, strlen(*words));
  }
  if (rc == 0) rc = put_values(args, skip, &err);
  if (rc == 0) rc = wire_put("]\n", 2);
  if (rc == 0) rc = idmap_put(&perl.waiting, number, p);
  if (rc != 0) {
    mark_back(start);
    if (!err) (void)error_set(&err, REMORA_E_NOMEM, NULL);
    near_fail(p, err);
    return;
  }
  p->id = number;
  p->older = perl.latest;
  if (p->older) p->older->newer = p;
  perl.latest = p;
}

/* --------------------------------------------------------------------------------------------------------- answers to it */

static bool is_wanted(const remora_value *future) { return future && remora_value_kind(future) == REMORA_INT; }

int perl_answer(const remora_value *future, const remora_value *values, remora_error **err) {
  if (!is_wanted(future)) return 0;
  mark start = mark_here();
  int rc = wire_format("[\"call_free\",\"NULL\",%" PRId64 ",\"done\"", remora_as_int(future));
  if (rc == 0) rc = put_values(values, 0, err);
  if (rc == 0) rc = wire_put("]\n", 2);
  if (rc != 0) mark_back(start);
  return rc;
}

int perl_answer_thrown(const remora_value *future, const remora_value *thrown) {
  if (!is_wanted(future)) return 0;
  mark start = mark_here();
  int rc = wire_format("[\"call_free\",\"NULL\",%" PRId64 ",\"fail\",", remora_as_int(future));
  if (rc == 0) rc = wire_value(thrown, 1, NULL);
  if (rc == 0) rc = wire_put("]\n", 2);
  if (rc != 0) mark_back(start);
  return rc;
}

void perl_answer_error(const remora_value *future, const char *words) {
  remora_value *text = remora_str(words && *words ? words : "an error without words\n");
  if (text) (void)perl_answer_thrown(future, text);
  (void)remora_value_unref(text);
}

/* As die would say it; what was a die of Perl's own has only its words. */
static void perl_answer_failure(const remora_value *future, const remora_error *err) {
  const char *type = remora_error_type(err);
  char *words = NULL;
  int rc = strcmp(type, "die") == 0 ? asprintf(&words, "%s\n", remora_error_message(err))
                                    : asprintf(&words, "%s: %s\n", type, remora_error_message(err));
  perl_answer_error(future, rc < 0 ? NULL : words);
  if (rc >= 0) free(words);
}

/* ------------------------------------------------------------------------------------------------- what it asks of us */

typedef struct asked {
  remora_value *future; /* Perl's */
  char *path, *module;
  char *reason; /* nobody had it as Object::Remote's, because: now it is asked for as Perl's */
} asked;

static void asked_free(void *userdata) {
  asked *a = userdata;
  (void)remora_value_unref(a->future);
  free(a->path);
  free(a->module);
  free(a->reason);
  free(a);
}

static void asked_ask(asked *a, remora_proxy *p, const char *method, const remora_value *args,
                      void (*answered)(remora_future *f, void *userdata)) {
  remora_error *err = NULL;
  /* Which call it descends from, their protocol does not say: a process that does one thing at a time is likely to be at the last one. */
  call_chain = perl.latest ? perl.latest->chain : 0;
  remora_future *f = remora_start_with(p, method, args, -1, is_wanted(a->future) ? 0 : REMORA_ONEWAY, &err);
  call_chain = 0;
  if (f && is_wanted(a->future) && remora_then(f, NULL, answered, a, asked_free, &err) == 0) a = NULL;
  if (a) {
    if (err) perl_answer_failure(a->future, err);
    asked_free(a);
  }
  (void)remora_error_free(err);
  (void)remora_future_unref(f);
}

static void asked_result(remora_future *f, void *userdata) {
  asked *a = userdata;
  remora_error *err = NULL;
  remora_value *v = remora_future_result(f, &err), *list = v ? remora_list() : NULL;
  if (list && remora_append(list, v) == 0 && perl_answer(a->future, list, &err) == 0)
    err = remora_error_free(err);
  else if (!err)
    (void)error_set(&err, REMORA_E_NOMEM, NULL);
  if (err) perl_answer_failure(a->future, err);
  (void)remora_error_free(err);
  (void)remora_value_unref(list);
}

static void perl_module_source(const remora_value *future, const char *source, size_t length) {
  remora_value *list = remora_list(), *text = remora_bytes(source, length);
  if (list && remora_append(list, text) == 0) (void)perl_answer(future, list, NULL);
  (void)remora_value_unref(list);
}

static void perl_module_missing(const remora_value *future, const char *path, const char *reason) {
  char *words = NULL;
  if (asprintf(&words, "Can't locate %s in @INC (%s)\n", path, reason) < 0) words = NULL;
  perl_answer_error(future, words);
  free(words);
}

static asked *asked_new(const remora_value *future) {
  asked *a = calloc(1, sizeof *a);
  if (a) a->future = remora_value_ref((remora_value *)(uintptr_t)future);
  return a;
}

static void asked_module(remora_future *f, void *userdata);

/* reason: why the first try had nothing, or NULL. */
static void asked_ask_module(const remora_value *future, const char *path, const char *module, const char *reason) {
  asked *a = asked_new(future);
  remora_value *args = remora_pack(NULL, "ss", reason ? "perl" : "object-remote", module);
  if (a && args && (a->path = strdup(path)) && (a->module = strdup(module)) &&
      (!reason || (a->reason = strdup(reason)))) {
    asked_ask(a, perl.near_root, "module", args, asked_module);
  } else {
    perl_module_missing(future, path, "no memory, or a name that is none");
    if (a) asked_free(a);
  }
  (void)remora_value_unref(args);
}

static void asked_module(remora_future *f, void *userdata) {
  asked *a = userdata;
  remora_error *err = NULL;
  remora_value *v = remora_future_result(f, &err);
  const remora_value *source = remora_get(v, "source");
  const char *kind = remora_as_text(remora_get(v, "kind"), NULL),
             *reason = remora_as_text(remora_get(v, "reason"), NULL);
  bool denied = kind && strcmp(kind, "denied") == 0;
  size_t length;
  if (err) reason = remora_error_message(err);
  if (!reason) reason = "neither this host nor the near side has it";
  if (source) {
    const char *text = remora_as_text(source, &length);
    perl_module_source(a->future, text, length);
  } else if (!err && !denied && !a->reason) {
    asked_ask_module(a->future, a->path, a->module, reason);
  } else {
    perl_module_missing(a->future, a->path, denied || err || !a->reason ? reason : a->reason);
  }
  (void)remora_error_free(err);
  (void)remora_value_unref(v);
}

/* Perl's `require` comes here when nothing else has the file. */
static void perl_source_for(const remora_value *future, const char *path) {
  size_t n = path ? strlen(path) : 0;
  char *module = malloc(2 * n + 1), *to = module;
  if (!module || n < 4 || strcmp(path + n - 3, ".pm") != 0) {
    free(module);
    perl_module_missing(future, path ? path : "?", "only modules are sent");
    return;
  }
  for (const char *from = path; from < path + n - 3; from++) {
    *to++ = *from == '/' ? ':' : *from;
    if (*from == '/') *to++ = ':';
  }
  *to = 0;
  const struct remora_embedded_module *e = remora_embedded_modules;
  while (e->name && (strcmp(e->language, "object-remote") != 0 || strcmp(e->name, module) != 0)) e++;
  if (e->name)
    perl_module_source(future, e->source, e->size);
  else if (perl.near_root)
    asked_ask_module(future, path, module, NULL);
  else
    perl_module_missing(future, path, "the near side is not there yet");
  free(module);
}

/* ------------------------------------------------------------------------------------------------------------- lines */

/* What goes home to Perl as a function of ours is Perl's: its call goes back there. */
static void perl_bounce(const lent_row *row, const remora_value *future, bool list, const char *method,
                        const remora_value *values) {
  const thing *t = remora_object_userdata(row->bounce);
  pending *p = pending_new(WANT_BOUNCE, NULL);
  if (!p) return;
  p->future = remora_value_ref((remora_value *)(uintptr_t)future);
  p->thing = remora_object_ref(row->bounce);
  const char *const own[] = {method, NULL}, *const bound[] = {"call", t->class, t->method, NULL};
  perl_call(p, t->id, list, t->kind == THING_METHOD ? bound : own, values, 0);
}

static void perl_calls(const lent_row *row, const remora_value *future, bool list, const char *method,
                       const remora_value *values) {
  if (row->bounce) {
    perl_bounce(row, future, list, method, values);
    return;
  }
  if (strncmp(method, "start::", 7) == 0) method += 7; /* every call of theirs may be answered later */
  if (row->code && strcmp(method, "call") == 0) method = "";
  asked *a = asked_new(future);
  if (a)
    asked_ask(a, row->proxy, method, values, asked_result);
  else
    perl_answer_error(future, "out of memory\n");
}

/* ["call", future, object, context, method, ...] and ["call_free", future, object, method, ...]. */
static void perl_called(const remora_value *m, bool frees) {
  const remora_value *future = remora_at(m, 1), *object = remora_at(m, 2), *context = frees ? NULL : remora_at(m, 3);
  size_t at = frees ? 3 : 4;
  const remora_value *name = remora_at(m, at);
  const char *method = name && remora_value_kind(name) == REMORA_TEXT ? remora_as_text(name, NULL) : "";
  uint64_t id = object && remora_value_kind(object) == REMORA_INT ? (uint64_t)remora_as_int(object) : 0;
  bool list = context && remora_value_kind(context) != REMORA_NULL &&
              (remora_as_bool(context) || remora_as_int(context) != 0 || remora_length(context));
  remora_error *err = NULL;
  remora_value *values = wire_take(m, at + 1, &err);
  pending *p = idmap_get(&perl.waiting, id);
  const lent_row *row = idmap_get(&perl.lent, id);
  bool done = strcmp(method, "done") == 0;
  if (!values && p)
    near_fail(p, err), err = NULL;
  else if (!values)
    perl_answer_failure(future, err);
  else if (p && done)
    near_done(p, values), values = NULL;
  else if (p && strcmp(method, "fail") == 0)
    near_failed(p, remora_at(values, 0));
  else if (row)
    perl_calls(row, future, list, method, values);
  else if (id == PEER_SENDER && strcmp(method, "source_for") == 0)
    perl_source_for(future, remora_as_text(remora_at(values, 0), NULL));
  else if (!p)
    perl_answer_error(future, "No such object ID\n");
  if (frees && row) lent_drop(id);
  (void)remora_error_free(err);
  (void)remora_value_unref(values);
}

/* NaN and infinities make a line that is no JSON. Whom it was for stands at its beginning. */
static void perl_unreadable(const char *line, const char *why) {
  char words[300];
  uint64_t id;
  int64_t future;
  (void)snprintf(words, sizeof words, "what Perl sent is no JSON (NaN and infinities have none): %s", why);
  pending *p = sscanf(line, "[\"call_free\",\"NULL\",%" SCNu64 ",", &id) == 1 ? idmap_get(&perl.waiting, id) : NULL;
  if (p) near_fail(p, remora_error_new(REMORA_E_VALUE, words));
  if (p || sscanf(line, "[\"call\",%" SCNd64 ",", &future) != 1) return;
  remora_value *number = remora_int(future);
  perl_answer_error(number, words);
  (void)remora_value_unref(number);
}

void perl_line(const char *line, size_t length) {
  remora_error *err = NULL;
  remora_value *m = wire_parse(line, length, &err);
  const remora_value *type = m && remora_value_kind(m) == REMORA_LIST ? remora_at(m, 0) : NULL;
  const char *word = type && remora_value_kind(type) == REMORA_TEXT ? remora_as_text(type, NULL) : "";
  if (!m)
    perl_unreadable(line, remora_error_message(err));
  else if (strcmp(word, "call") == 0 || strcmp(word, "call_free") == 0)
    perl_called(m, word[4] != 0);
  else if (strcmp(word, "free") == 0)
    lent_drop((uint64_t)remora_as_int(remora_at(m, 1)));
  (void)remora_error_free(err);
  (void)remora_value_unref(m);
}
