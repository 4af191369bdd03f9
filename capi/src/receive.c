/* receive.c: what each kind of message means to a connection. Runs under the lock, inside the loop; user code is only queued. */
#include "hub.h"
#include "log.h"
#include "prompt.h"

#include <stdlib.h>
#include <string.h>

static void receive_hello(remora_conn *c, message *m) {
  remora_error *err = NULL;
  codec_in in = {.body = (const char *)m->payload, .length = m->head.size, .plain = true};
  remora_value *hello = c->hello ? NULL : codec_json.decode(&in, &err);
  if (!hello || remora_value_kind(hello) != REMORA_MAP) {
    err = remora_error_free(err);
    (void)error_stage(&err, "hello", "%s: the far side's greeting cannot be read", c->carrier.name);
    (void)remora_value_unref(hello);
    conn_finish(c, err);
    return;
  }
  int64_t protocol = remora_as_int(remora_get(hello, "protocol"));
  if (protocol != FRAME_PROTOCOL) {
    (void)remora_value_unref(hello);
    (void)error_stage(&err, "hello", "%s: the far side speaks protocol %lld, this side %d", c->carrier.name,
                      (long long)protocol, FRAME_PROTOCOL);
    conn_finish(c, err);
    return;
  }
  c->hello = hello;
  int64_t credit = remora_as_int(remora_get(hello, "credit"));
  if (credit > 0) c->session.credit = (uint64_t)credit;
  c->state = CONN_OPEN;
  prompt_closed(c);
  LOG_EVENT(c->hub, REMORA_LOG_INFO, "remora.connection", "%s: connected: %s, pid %lld on %s", c->carrier.name,
            log_record_text(hello, "language"), (long long)remora_as_int(remora_get(hello, "pid")),
            log_record_text(hello, "host"));
  liveness_greeted(c);
  remora_future *f = c->connecting;
  c->connecting = NULL;
  if (f && c->state == CONN_OPEN) future_done(f, NULL);
  if (f) future_unref_locked(f);
}

static void receive_type(remora_conn *c, message *m) {
  if (m->head.object == 0 || m->head.object > UINT32_MAX || idmap_get(&c->session.types, m->head.object)) {
    c->session.fault = "a type that is known already";
    return;
  }
  conn_type *t = calloc(1, sizeof *t);
  const char *text = (const char *)m->payload, *newline = memchr(text, '\n', m->head.size);
  size_t length = newline ? (size_t)(newline - text) : m->head.size;
  if (t) {
    t->base.number = (uint32_t)m->head.object;
    t->base.name = strndup(text, length);
    t->base.traits = strdup(newline ? newline + 1 : "");
  }
  if (!t || !t->base.name || !t->base.traits || idmap_put(&c->session.types, m->head.object, t) != 0) {
    if (t) free(t->base.name), free(t->base.traits);
    free(t);
    c->session.fault = "out of memory";
  }
}

bool call_import(remora_conn *c, message *m) {
  if (m->nrefs == 0) return true;
  m->refs_in = calloc(m->nrefs, sizeof(remora_value *));
  if (!m->refs_in) return c->session.fault = "out of memory", m->nrefs = 0, false;
  for (uint32_t i = 0; i < m->nrefs; i++) {
    const uint8_t *row = m->ref_rows + 16 * (size_t)i;
    uint32_t number = frame_get32(row), owner = frame_get32(row + 4);
    uint64_t id = frame_get64(row + 8);
    if (owner == 1) { /* one of ours comes home */
      remora_object *o = session_lent(&c->session, id);
      if (!o) return c->session.fault = "a reference to something that is not lent", false;
      /* What another far side lent to us, and we to this one, comes back as what it is for us: a proxy. */
      m->refs_in[i] = o->queue == c->hub->inner ? remora_value_of_proxy(o->userdata) : remora_value_of_object(o);
    } else {
      far_type *type = idmap_get(&c->session.types, number);
      if (owner != 0 || id == 0 || id >> 53 || !type) return c->session.fault = "a broken reference", false;
      remora_proxy *p = proxy_import(c, id, type);
      m->refs_in[i] = p ? remora_value_of_proxy(p) : NULL;
      if (p) (void)remora_proxy_unref(p);
    }
    if (!m->refs_in[i]) return c->session.fault = "out of memory", false;
  }
  return true;
}

static void receive_answer(remora_conn *c, message *m) {
  remora_future *f = session_pending_take(&c->session, m->head.call);
  if (!call_import(c, m) || !f) { /* nobody waits for it: its references go back */
    message_unref(m);
    return;
  }
  f->call = 0;
  future_done(f, m);
}

static void receive_call(remora_conn *c, message *m) {
  c->session.calls_in++;
  if (!call_import(c, m)) {
    message_unref(m);
    return;
  }
  remora_object *o = m->head.object ? session_lent(&c->session, m->head.object) : c->far ? c->far->root : NULL;
  remora_event *e = calloc(1, sizeof *e + m->head.mlen + 1u);
  if (!e) {
    c->session.fault = "out of memory";
    message_unref(m);
    return;
  }
  e->kind = REMORA_EVENT_CALL;
  e->conn = c;
  conn_ref_locked(c);
  e->message = m;
  if (m->head.aux) e->due = hub_now_ms() + m->head.aux;
  memcpy(e->method, m->payload, m->head.mlen);
  if (o) {
    e->object = remora_object_ref(o);
    queue_push(o->queue, e);
  } else { /* the root, or something unknown: the hub answers itself */
    queue_push(c->hub->inner, e);
    loop_changed(c->hub);
  }
}

static void receive_releases(remora_conn *c, const message *m) {
  for (uint32_t at = 0; at < m->head.size; at += 16) {
    remora_object *o = NULL;
    int r = session_unlend(&c->session, frame_get64(m->payload + at), frame_get64(m->payload + at + 8), &o);
    if (r < 0) {
      c->session.fault = "a release of something that is not lent";
      return;
    }
    if (o) object_unref_locked(o);
  }
}

static void receive_output(remora_conn *c, const message *m) {
  remora_event *e = conn_output_event(c, (int)m->head.aux, m->payload, m->head.size);
  if (e) queue_push(c->queue, e);
}

static bool receive_cancel_in(const remora_queue *q, const remora_conn *c, uint32_t call) {
  for (remora_event *e = q->first; e; e = e->next)
    if (e->kind == REMORA_EVENT_CALL && e->conn == c && e->message->head.call == call) return e->cancelled = true;
  return false;
}

/* The caller of `call` does not want it any more: what has not started will not; remora_event_args answers it and tells its owner. */
static void receive_cancel(remora_conn *c, const message *m) {
  if (inner_cancel(c, m->head.call)) return;
  if (c->far && c->far->hooks->cancel(m->head.call)) return;
  if (c->far && receive_cancel_in(c->far->root->queue, c, m->head.call)) return;
  const remora_queue *last = NULL;
  for (uint32_t i = 1; i < c->session.exports_room; i++) {
    const remora_object *object = c->session.exports[i].object;
    const remora_queue *q = object ? object->queue : NULL;
    if (!q || q == last) continue;
    last = q;
    if (receive_cancel_in(q, c, m->head.call)) return;
  }
  if (c->far && c->far->taken == m->head.call) c->far->taken_cancelled = true;
}

void conn_receive(remora_conn *c, message *m) {
  if (!c->hello && m->head.kind != FRAME_HELLO && m->head.kind != FRAME_BYE) {
    c->session.fault = "something came before the greeting";
    message_unref(m);
    return;
  }
  switch (m->head.kind) {
  case FRAME_CALL:
    receive_call(c, m);
    return;
  case FRAME_REPLY:
  case FRAME_ERROR:
    receive_answer(c, m);
    return;
  case FRAME_HELLO:
    if (c->hello)
      c->session.fault = "a second greeting";
    else
      receive_hello(c, m);
    break;
  case FRAME_TYPE:
    receive_type(c, m);
    break;
  case FRAME_RELEASE:
    receive_releases(c, m);
    break;
  case FRAME_OUTPUT:
    receive_output(c, m);
    break;
  case FRAME_CANCEL:
    receive_cancel(c, m);
    break;
  case FRAME_LOG:
    log_receive(c, m);
    return;
  case FRAME_CREDIT:
    if (!session_earn(&c->session, m->head.object)) c->session.fault = "more credit than was used";
    loop_wake_credit(c->hub, c);
    break;
  case FRAME_BYE:
    free(c->bye);
    c->bye = strndup((const char *)m->payload, m->head.size);
    break;
  default:
    break; /* BEAT: that something came is all it says */
  }
  message_unref(m);
}
