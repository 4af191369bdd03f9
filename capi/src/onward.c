/* onward.c: connections that this side makes for a far side that cannot make any itself: behind the hops of its own connection, and only when the option
 * onward allows it. What the far side gets is the new connection's root. */
#include "hub.h"

#include <stdlib.h>
#include <string.h>

/* What the far side may say. Nothing that is run on this host or opens its files. */
static const char *const onward_options[] = {"node", "timeout", "heartbeat", "dead_after", "interpreter", "env", "cwd"};

static void onward_clear(remora_value **option) { *option = remora_value_unref(*option); }

static remora_value *onward_ref(const remora_value *v) { return remora_value_ref((remora_value *)(uintptr_t)v); }

/* The way to the far side that asks, then what it asks for: a spec, or a list of hops. */
static remora_value *onward_hops(const remora_conn *c, const remora_value *spec) {
  const remora_options *o = c->options;
  remora_value *hops = remora_list();
  int rc = 0;
  if (o->command) rc |= remora_append(hops, onward_ref(o->command));
  for (size_t i = 0; i < remora_length(o->hops); i++) rc |= remora_append(hops, onward_ref(remora_at(o->hops, i)));
  if (!o->command && !o->hops) rc |= remora_append(hops, remora_str(c->spec));
  if (remora_value_kind(spec) == REMORA_TEXT) rc |= remora_append(hops, onward_ref(spec));
  for (size_t i = 0; i < remora_length(spec); i++) rc |= remora_append(hops, onward_ref(remora_at(spec, i)));
  return rc == 0 ? hops : remora_value_unref(hops);
}

static int onward_take(remora_options *o, const remora_value *asked, remora_error **err) {
  for (size_t i = 0; i < remora_length(asked); i++) {
    const char *name = remora_as_text(remora_key_at(asked, i), NULL);
    bool known = false;
    for (size_t k = 0; name && k < sizeof onward_options / sizeof *onward_options; k++)
      known = known || strcmp(name, onward_options[k]) == 0;
    if (!known)
      return error_set(err, REMORA_E_DENIED,
                       "the option \"%s\" is not the far side's to choose; those are node, timeout, heartbeat, "
                       "dead_after, interpreter, env and cwd",
                       name ? name : "?");
    if (remora_options_set(o, name, onward_ref(remora_at(asked, i)), err) != 0) return -1;
  }
  return 0;
}

/* *new*: what the connection that asks has, but for what belongs to its own far process. Whoever was connected for the far side may not ask again. */
static remora_options *onward_make_options(const remora_conn *c, const remora_value *spec, const remora_value *asked,
                                           remora_error **err) {
  remora_options *o = options_copy(c->options);
  remora_value *hops = o ? onward_hops(c, spec) : NULL;
  if (!hops) return remora_options_free(o), error_set(err, REMORA_E_NOMEM, NULL), NULL;
  const char *node = remora_as_text(remora_get(asked, "node"), NULL);
  if (node && strcmp(node, o->node) != 0) onward_clear(&o->interpreter);
  onward_clear(&o->command);
  onward_clear(&o->env);
  free(o->cwd);
  o->cwd = NULL;
  o->onward = 0;
  if (remora_options_set(o, "hops", hops, err) == 0 && onward_take(o, asked, err) == 0) return o;
  return remora_options_free(o);
}

/* --------------------------------------------------------------------------------------------------------- connecting */

typedef struct onward {
  remora_event *call; /* whose answer is the root */
} onward;

static void onward_done(remora_future *f, void *userdata) {
  onward *w = userdata;
  remora_error *err = NULL;
  remora_value *v = remora_future_result(f, &err);
  remora_conn *c = v ? remora_future_conn(f) : NULL;
  remora_proxy *root = c ? remora_conn_root(c, &err) : NULL;
  remora_value *answer = root ? remora_value_of_proxy(root) : NULL;
  if (answer)
    (void)remora_event_reply(w->call, answer, NULL);
  else
    remora_event_fail(w->call, err ? err : remora_error_new(REMORA_E_NOMEM, NULL));
  (void)remora_value_unref(answer);
  (void)remora_proxy_unref(root);
  (void)remora_conn_unref(c);
  (void)remora_value_unref(v);
}

static void onward_free(void *userdata) {
  onward *w = userdata;
  (void)remora_event_free(w->call);
  free(w);
}

static remora_future *onward_start(remora_event *e, const remora_value *args, remora_error **err) {
  const remora_conn *c = e->conn;
  const remora_value *spec = remora_at(args, 0), *asked = remora_at(args, 1);
  if (!c->options->onward)
    return error_set(err, REMORA_E_DENIED,
                     "the near side makes no connections for %s: it was connected without the option onward",
                     c->carrier.name),
           NULL;
  bool words = spec && (remora_value_kind(spec) == REMORA_TEXT || remora_value_kind(spec) == REMORA_LIST ||
                        remora_value_kind(spec) == REMORA_TUPLE);
  if (!words || (asked && remora_value_kind(asked) != REMORA_MAP && remora_value_kind(asked) != REMORA_NULL))
    return error_set(err, REMORA_E_INVALID, "connect takes a spec or a list of hops, and a map of options"), NULL;
  remora_options *o = onward_make_options(c, spec, asked, err);
  remora_future *f = o ? remora_connect_start(NULL, o, err) : NULL;
  (void)remora_options_free(o);
  return f;
}

void onward_connect(remora_event *e) {
  remora_error *err = NULL;
  const remora_value *args = remora_event_args(e, NULL);
  onward *w = args ? malloc(sizeof *w) : NULL;
  if (!w) {
    (void)remora_event_free(e);
    return;
  }
  w->call = e;
  remora_future *f = onward_start(e, args, &err);
  if (!f || remora_then(f, e->conn->hub->inner, onward_done, w, onward_free, &err) != 0) {
    remora_event_fail(e, err);
    onward_free(w);
  }
  (void)remora_future_unref(f);
}

/* ------------------------------------------------------------------------------------------------------------- its root */

bool onward_answers(remora_event *e, remora_proxy *root, const remora_value *args) {
  if (strcmp(e->method, "close") == 0) {
    remora_conn_close(root->conn);
    remora_value *nothing = remora_null();
    (void)remora_event_reply(e, nothing, NULL);
    (void)remora_value_unref(nothing);
    return true;
  }
  bool named = strcmp(e->method, "new") == 0 || strcmp(e->method, "can") == 0;
  if (named) remora_conn_serve(root->conn, remora_as_text(remora_at(args, 0), NULL)); /* as new_on and can_on do */
  return false;
}
