/* call.c: calls out and answers back: values become frames, with their references counted in the tables. */
#include "hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Thread_local uint64_t call_chain;

/* The number under which the far side knows the type of a class of ours; sends its TYPE frame when it is new. 0: memory is out.
 * Types are told apart by what is said about them: a class may be gone and another live at its address. */
static uint32_t call_type(remora_conn *c, const remora_class *cls) {
  session *s = &c->session;
  char text[1024];
  int n = snprintf(text, sizeof text, "%s\n%s", cls->name ? cls->name : "object", cls->traits ? cls->traits : "");
  if (n >= (int)sizeof text) n = (int)sizeof text - 1;
  uint64_t hash = 0xcbf29ce484222325u;
  for (int i = 0; i < n; i++) hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3u;
  if (!hash) hash = 1;
  uintptr_t known = (uintptr_t)idmap_get(&s->classes, hash);
  if (known) return (uint32_t)known;
  frame f = {.kind = FRAME_TYPE, .size = (uint32_t)n, .object = s->next_type + 1};
  if (idmap_put(&s->classes, hash, (void *)(uintptr_t)(s->next_type + 1)) != 0) return 0;
  if (session_send_frame(s, &f, text, false) != 0) return 0;
  return ++s->next_type;
}

/* The row of one reference. *counted gets the object's id if it was counted, for taking it back. */
static int call_row(remora_conn *c, remora_value *ref, uint8_t *row, uint64_t *counted, remora_error **err) {
  remora_proxy *p = remora_as_proxy(ref);
  *counted = 0;
  if (p && p->hub != c->hub) return error_set(err, REMORA_E_FORKED, NULL);
  /* Who has a root has the far side: it goes only to whom it was made for (onward.c). */
  if (p && p->id == 0 && (p->conn == c || !c->options->onward))
    return error_set(err, REMORA_E_VALUE, "the root of a connection cannot be passed");
  if (p && p->conn == c) { /* it goes home */
    frame_put32(row, 0);
    frame_put32(row + 4, 1);
    frame_put64(row + 8, p->id);
    return 0;
  }
  remora_object *o = p ? bridge_object(p) : remora_object_ref(remora_as_object(ref));
  bool fresh;
  uint32_t type = o ? call_type(c, o->cls) : 0;
  uint64_t id = type ? session_lend(&c->session, o, &fresh) : 0;
  if (!id) {
    if (o) object_unref_locked(o);
    return error_set(err, REMORA_E_NOMEM, NULL);
  }
  if (!fresh) object_unref_locked(o); /* a fresh row keeps the reference */
  frame_put32(row, type);
  frame_put32(row + 4, 0);
  frame_put64(row + 8, id);
  *counted = id;
  return 0;
}

int call_send(remora_conn *c, frame *head, const char *method, codec_out *out, remora_error **err) {
  uint8_t room[64 * 24];
  uint8_t *rows = room;
  if (out->nrefs > 64 && !(rows = malloc(out->nrefs * 24))) return error_set(err, REMORA_E_NOMEM, NULL);
  uint8_t *ids = rows + out->nrefs * 16;
  int rc = 0;
  size_t done = 0;
  if (out->nrefs > FRAME_MAX_REFS)
    rc = error_set(err, REMORA_E_VALUE, "more than %u references in one message", FRAME_MAX_REFS);
  for (; rc == 0 && done < out->nrefs; done++) {
    uint64_t id;
    rc = call_row(c, out->refs[done], rows + done * 16, &id, err);
    memcpy(ids + done * 8, &id, 8);
    if (rc != 0) break;
  }
  if (rc == 0) {
    uint64_t total = head->mlen + out->length;
    for (size_t i = 0; i < out->nraws; i++) {
      size_t length;
      (void)remora_as_text(out->raws[i].value, &length);
      total += length + 4;
    }
    if (total + out->nrefs * 16 + 8 > c->session.max_message)
      rc = error_set(err, REMORA_E_VALUE,
                     "a message of %llu bytes is longer than the connection's limit of %u (option max_message)",
                     (unsigned long long)total, c->session.max_message);
    else if (session_send(&c->session, head, method, out, rows) != 0)
      rc = error_set(err, REMORA_E_NOMEM, NULL);
  }
  if (rc != 0) { /* nothing was sent: take the counts back */
    for (size_t i = 0; i < done; i++) {
      uint64_t id;
      remora_object *o = NULL;
      memcpy(&id, ids + i * 8, 8);
      if (id && session_unlend(&c->session, id, 1, &o) == 1 && o) object_unref_locked(o);
    }
  }
  if (rows != room) free(rows);
  return rc;
}

/* ---------------------------------------------------------------------------------------------------------- calls out */

/* Waits until the connection's credit allows the call. Under the lock, released meanwhile. Serves the default queue: the far side may not
 * come to what it has before it gets an answer from here. */
static int call_wait_credit(remora_conn *c, uint64_t cost, uint64_t until, unsigned flags, remora_error **err) {
  hub *h = c->hub;
  session *s = &c->session;
  /* A call that descends from one of the far side does not wait: what uses up the credit may stand behind the very call that it belongs to. */
  while (c->state != CONN_CLOSED && !call_chain && !session_has_credit(s, cost)) {
    if (flags & REMORA_NOWAIT)
      return error_set(err, REMORA_E_OVERLOADED, "%s: %llu bytes of calls are waiting to be run", c->carrier.name,
                       (unsigned long long)s->outstanding);
    remora_queue *q = h->default_queue->dispatcher ? NULL : h->default_queue;
    hub_unlock(h);
    uint64_t now = until == UINT64_MAX ? 0 : hub_now_ms();
    waiter w = {.credit = c, .cost = cost, .queue = q};
    remora_wait r = loop_wait(h, &w, until == UINT64_MAX ? -1 : now >= until ? 0 : (int64_t)(until - now));
    if (r == REMORA_WAIT_EVENT) {
      remora_event *e = remora_take(q, NULL);
      if (e) remora_event_run(e);
      (void)remora_event_free(e);
    }
    hub_lock(h);
    if (h->stopping) break;
    if (r == REMORA_WAIT_INTERRUPTED) return error_set(err, REMORA_E_INTERRUPTED, NULL);
    if (r == REMORA_WAIT_TIMEOUT)
      return error_set(err, REMORA_E_TIMEOUT, "no answer within the call's time limit: it could not even be sent");
  }
  return 0;
}

remora_future *remora_start_with(remora_proxy *p, const char *method, const remora_value *args, int64_t timeout_ms,
                                 unsigned flags, remora_error **err) {
  hub *h = p->hub;
  remora_conn *c = p->conn;
  if (h != hub_current) return error_set(err, REMORA_E_FORKED, NULL), NULL;
  if (!method) method = "";
  size_t mlen = strlen(method);
  if (mlen > UINT16_MAX) return error_set(err, REMORA_E_INVALID, "a method's name of %zu bytes", mlen), NULL;
  if (args && remora_value_kind(args) != REMORA_LIST)
    return error_set(err, REMORA_E_INVALID, "the arguments of a call are a list value"), NULL;
  char inline_buffer[512];
  codec_out out = {.inline_buffer = inline_buffer, .room = sizeof inline_buffer, .arguments = true};
  if (args) {
    if (codec_json.encode(args, &out, err) != 0) return codec_out_clear(&out), NULL;
  } else {
    out.body = inline_buffer;
    memcpy(inline_buffer, "[]", out.length = 2);
    out.plain = true;
  }
  frame head = {.kind = FRAME_CALL, .mlen = (uint16_t)mlen, .object = p->id};
  if (args && remora_keywords(args)) head.flags |= FRAME_KW;
  if (flags & REMORA_ONEWAY) head.flags |= FRAME_ONEWAY;
  if (flags & REMORA_BYREF) head.flags |= FRAME_BYREF;
  if (timeout_ms >= 0) head.aux = timeout_ms > UINT32_MAX ? UINT32_MAX : timeout_ms < 1 ? 1 : (uint32_t)timeout_ms;

  remora_future *f = future_new(h, c);
  if (!f) return codec_out_clear(&out), error_set(err, REMORA_E_NOMEM, NULL), NULL;
  remora_error *why = NULL;
  uint64_t until = timeout_ms < 0 ? UINT64_MAX : hub_now_ms() + (uint64_t)timeout_ms;
  hub_lock(h);
  conn_drain_dropped(h);
  uint64_t cost = 0;
  if (p->id != 0) {
    cost = FRAME_HEADER + mlen + out.length;
    for (size_t i = 0; i < out.nraws; i++) {
      size_t length;
      (void)remora_as_text(out.raws[i].value, &length);
      cost += length + 4;
    }
    cost += out.nrefs || out.nraws ? 8 + 16 * out.nrefs : 0;
    (void)call_wait_credit(c, cost, until, flags, &why);
  }
  if (!why && c->state == CONN_CLOSED) why = error_copy(c->why);
  if (!why) {
    f->chain = head.chain = call_chain ? call_chain : h->chain_prefix | (++h->chains & UINT32_MAX);
    head.call = f->call = session_pending_add(&c->session, f);
    if (!head.call) (void)error_set(&why, REMORA_E_OVERLOADED, "too many calls are waiting for their answers");
  }
  if (!why && call_send(c, &head, method, &out, &why) == 0) {
    c->session.calls_out++;
    session_spend(&c->session, cost);
    if (flags & REMORA_ONEWAY) {
      (void)session_pending_take(&c->session, f->call);
      f->call = 0;
      atomic_store(&f->state, REMORA_DONE);
    } else {
      loop_claim(h); /* the caller usually waits next; if not, the lease is over soon */
      future_set_awaited(f, flags & REMORA_AWAITED);
      if (timeout_ms >= 0) deadline_set(f, until);
    }
    conn_flush(c);
  } else if (f->call) {
    (void)session_pending_take(&c->session, f->call);
    f->call = 0;
  }
  hub_unlock(h);
  codec_out_clear(&out);
  if (!why) return f;
  (void)remora_future_unref(f);
  if (err)
    *err = why;
  else
    (void)remora_error_free(why);
  return NULL;
}

remora_future *remora_start(remora_proxy *p, const char *method, const remora_value *args, remora_error **err) {
  return remora_start_with(p, method, args, -1, 0, err);
}

remora_value *remora_call(remora_proxy *p, const char *method, const remora_value *args, remora_error **err) {
  remora_future *f = remora_start_with(p, method, args, -1, REMORA_AWAITED, err);
  if (!f) return NULL;
  remora_value *v = remora_await(f, -1, err);
  if (!v) (void)remora_cancel(f); /* a signal ended the wait */
  (void)remora_future_unref(f);
  return v;
}

remora_value *remora_value_call(const remora_value *callee, const char *method, const remora_value *args,
                                remora_error **err) {
  remora_proxy *p = callee ? remora_as_proxy(callee) : NULL;
  if (p) return remora_call(p, method, args, err);
  const remora_object *o = callee ? remora_as_object(callee) : NULL;
  if (!o || o->hub != hub_current || o->queue != o->hub->default_queue || !o->cls->call)
    return error_set(err, REMORA_E_INVALID, "this value is nothing that can be called here"), NULL;
  remora_value *none = args ? NULL : remora_list();
  remora_error *why = NULL;
  remora_value *result =
      args || none ? o->cls->call(o->userdata, method ? method : "", args ? args : none, &why) : NULL;
  if (!args && !none) (void)error_set(&why, REMORA_E_NOMEM, NULL);
  (void)remora_value_unref(none);
  if (!why) return result ? result : remora_null();
  if (err)
    *err = why;
  else
    (void)remora_error_free(why);
  return NULL;
}

/* A call of the far side starts to run: it may send as much again. Collected, so that not every call costs a frame. */
void call_credit_back(remora_conn *c, size_t bytes_used) {
  session *s = &c->session;
  s->owed += bytes_used;
  if (s->owed < SESSION_CREDIT / 4 || c->state == CONN_CLOSED) return;
  frame f = {.kind = FRAME_CREDIT, .object = s->owed};
  s->owed = 0;
  (void)session_send_frame(s, &f, NULL, true);
  conn_flush(c);
}

/* A call of the root that yields a reference. */
static remora_value *call_root(remora_conn *c, const char *method, const char *name, const remora_value *args,
                               remora_error **err) {
  if (!name || !*name) return error_set(err, REMORA_E_INVALID, "the name of a class or function is missing"), NULL;
  if (args && remora_value_kind(args) != REMORA_LIST)
    return error_set(err, REMORA_E_INVALID, "the arguments of a call are a list value"), NULL;
  remora_proxy *root = remora_conn_root(c, err);
  remora_value *all = root ? remora_list() : NULL;
  if (!all) return (void)remora_proxy_unref(root), NULL;
  remora_value *text = remora_str(name);
  if (!text) {
    (void)remora_value_unref(all);
    (void)remora_proxy_unref(root);
    return error_set(err, REMORA_E_INVALID, "a name that is not UTF-8"), NULL;
  }
  (void)remora_append(all, text);
  for (size_t i = 0; i < remora_length(args); i++)
    (void)remora_append(all, remora_value_ref((remora_value *)(uintptr_t)remora_at(args, i)));
  const remora_value *keywords = args ? remora_keywords(args) : NULL;
  if (keywords) (void)remora_set_keywords(all, remora_value_ref((remora_value *)(uintptr_t)keywords));
  remora_conn_serve(c, name);
  remora_value *v = remora_call(root, method, all, err);
  (void)remora_value_unref(all);
  (void)remora_proxy_unref(root);
  return v;
}

static remora_proxy *call_root_proxy(remora_value *v, remora_error **err) {
  remora_proxy *p = NULL;
  if (v && remora_value_kind(v) == REMORA_PROXY)
    p = remora_proxy_ref(remora_as_proxy(v));
  else if (v && remora_value_kind(v) != REMORA_NULL)
    (void)error_set(err, REMORA_E_PROTOCOL, "the far side answered with something that is no reference");
  (void)remora_value_unref(v);
  return p;
}

remora_proxy *remora_new_on(remora_conn *c, const char *name, const remora_value *args, remora_error **err) {
  if (!c) return error_set(err, REMORA_E_INVALID, "no connection"), NULL;
  if (c->hub != hub_current) return error_set(err, REMORA_E_FORKED, NULL), NULL;
  remora_value *v = call_root(c, "new", name, args, err);
  if (v && remora_value_kind(v) == REMORA_NULL) {
    (void)remora_value_unref(v);
    return error_set(err, REMORA_E_PROTOCOL, "the far side made no object"), NULL;
  }
  return call_root_proxy(v, err);
}

remora_proxy *remora_can_on(remora_conn *c, const char *name, remora_error **err) {
  if (!c) return error_set(err, REMORA_E_INVALID, "no connection"), NULL;
  if (c->hub != hub_current) return error_set(err, REMORA_E_FORKED, NULL), NULL;
  return call_root_proxy(call_root(c, "can", name, NULL, err), err);
}

/* ------------------------------------------------------------------------------------------------------------- answers */

static void call_retain(void *m) { (void)message_ref(m); }
static void call_release(void *m) { message_unref(m); }

remora_value *call_decode(message *m, remora_error **err) {
  const char *pointers[16];
  uint32_t lengths[16];
  const char **raws = pointers;
  uint32_t *raw_lengths = lengths;
  if (m->nraws > 16) {
    raws = malloc(m->nraws * sizeof *raws);
    raw_lengths = malloc(m->nraws * sizeof *raw_lengths);
    if (!raws || !raw_lengths) {
      free(raws);
      free(raw_lengths);
      return error_set(err, REMORA_E_NOMEM, NULL), NULL;
    }
  }
  const char *at = m->body + m->body_length;
  for (uint32_t i = 0; i < m->nraws; i++) {
    raws[i] = at;
    raw_lengths[i] = frame_get32(m->raw_rows + 4 * (size_t)i);
    at += raw_lengths[i];
  }
  codec_in in = {.body = m->body,
                 .length = m->body_length,
                 .plain = m->head.flags & FRAME_PLAIN,
                 .refs = m->refs_in,
                 .nrefs = m->nrefs,
                 .raws = raws,
                 .raw_lengths = raw_lengths,
                 .nraws = m->nraws,
                 .retain = call_retain,
                 .release = call_release,
                 .message = m};
  remora_value *v = codec_json.decode(&in, err);
  if (raws != pointers) {
    free(raws);
    free(raw_lengths);
  }
  if (v && m->head.flags & FRAME_KW) { /* the last element is the map of keyword arguments */
    remora_value *args = v->kind == REMORA_LIST && remora_length(v) > 0 ? remora_list() : NULL;
    size_t n = remora_length(v);
    for (size_t i = 0; args && i + 1 < n; i++)
      (void)remora_append(args, remora_value_ref((remora_value *)(uintptr_t)remora_at(v, i)));
    if (args && remora_set_keywords(args, remora_value_ref((remora_value *)(uintptr_t)remora_at(v, n - 1))) != 0)
      args = remora_value_unref(args);
    (void)remora_value_unref(v);
    v = args;
    if (!v) (void)error_set(err, REMORA_E_VALUE, "broken keyword arguments");
  }
  return v;
}

static int call_answer_kind(remora_conn *c, const message *m, uint8_t kind, const remora_value *value,
                            remora_error **err) {
  hub *h = c->hub;
  if (c->far) (void)fflush(stdout); /* it is written home before the answer */
  if (m->head.flags & FRAME_ONEWAY || h != hub_current) return 0;
  char inline_buffer[512];
  codec_out out = {.inline_buffer = inline_buffer, .room = sizeof inline_buffer};
  int rc = codec_json.encode(value, &out, err);
  if (rc == 0) {
    frame head = {.kind = kind, .call = m->head.call};
    hub_lock(h);
    if (c->state != CONN_CLOSED) { /* else nobody waits any more */
      c->session.secret = m->secret;
      rc = call_send(c, &head, NULL, &out, err);
      c->session.secret = false;
      if (!c->far || !c->far->corked) conn_flush(c);
    }
    hub_unlock(h);
  }
  if (m->secret && out.body) explicit_bzero((char *)(uintptr_t)out.body, out.length);
  codec_out_clear(&out);
  return rc;
}

void call_answer_error(remora_conn *c, const message *m, const remora_error *error) {
  remora_value *map = error_to_wire(error);
  if (c->far) map = error_add_hop(map, c->far->here);
  if (call_answer_kind(c, m, FRAME_ERROR, map, NULL) != 0) {
    /* Its details cannot cross: its words can. */
    remora_error *plain = remora_error_new(REMORA_E_VALUE, remora_error_message(error));
    remora_value *words = error_to_wire(plain);
    (void)call_answer_kind(c, m, FRAME_ERROR, words, NULL);
    (void)remora_value_unref(words);
    (void)remora_error_free(plain);
  }
  (void)remora_value_unref(map);
}

int call_answer(remora_conn *c, const message *m, const remora_value *value, remora_error **err) {
  remora_error *why = NULL;
  if (call_answer_kind(c, m, FRAME_REPLY, value, &why) == 0) return 0;
  call_answer_error(c, m, why);
  if (err)
    *err = why;
  else
    (void)remora_error_free(why);
  return -1;
}
