/* inner.c: what the hub answers itself, on the thread that drives and outside the lock: calls of the root, calls of bridges. */
#include "hub.h"
#include "log.h"
#include "prompt.h"

#include <stdlib.h>
#include <string.h>

/* One forwarded call: whose answer goes where. In a list of the hub's until it is answered: a CANCEL looks for it there. */
typedef struct forward {
  struct forward *next, **link;
  remora_event *call;
  remora_future *onward; /* borrowed: the watch holds it as long as this lives */
} forward;

static void forward_done(remora_future *f, void *userdata) {
  forward *fw = userdata;
  remora_error *err = NULL;
  remora_value *v = remora_future_result(f, &err);
  if (err)
    remora_event_fail(fw->call, err);
  else
    (void)remora_event_reply(fw->call, v, NULL);
  (void)remora_value_unref(v);
}

static void forward_free(void *userdata) {
  forward *fw = userdata;
  hub *h = hub_current;
  if (fw->link && fw->onward->hub == h) {
    hub_lock(h);
    *fw->link = fw->next;
    if (fw->next) fw->next->link = fw->link;
    hub_unlock(h);
  }
  (void)remora_event_free(fw->call);
  free(fw);
}

static void forward_list(hub *h, forward *fw, remora_future *onward) {
  hub_lock(h);
  fw->onward = onward;
  fw->next = h->forwards;
  fw->link = &h->forwards;
  if (fw->next) fw->next->link = &fw->next;
  h->forwards = fw;
  hub_unlock(h);
}

/* Takes e over. */
static void inner_forward(hub *h, remora_event *e) {
  remora_error *err = NULL;
  const remora_value *args = remora_event_args(e, NULL);
  remora_proxy *target = e->object->userdata;
  bool answered = args && target->id == 0 && onward_answers(e, target, args);
  forward *fw = args && !answered ? calloc(1, sizeof *fw) : NULL;
  if (!fw) {
    (void)remora_event_free(e);
    return;
  }
  fw->call = e;
  uint32_t left = e->message->head.aux;
  remora_event_enter(e); /* the chain goes on */
  unsigned flags = REMORA_NOWAIT | (e->message->head.flags & FRAME_ONEWAY ? REMORA_ONEWAY : 0) |
                   (e->message->head.flags & FRAME_BYREF ? REMORA_BYREF : 0);
  remora_future *f = remora_start_with(target, e->method, args, left ? (int64_t)left : -1, flags, &err);
  if (e->entered) {
    e->entered = false;
    call_chain = e->outer_chain;
  }
  if (f) forward_list(h, fw, f);
  if (!f || remora_then(f, h->inner, forward_done, fw, forward_free, &err) != 0) {
    remora_event_fail(e, err);
    forward_free(fw);
  }
  (void)remora_future_unref(f);
}

void remora_event_reply_with(remora_event *e, remora_future *f) {
  if (!e) return;
  remora_error *err = NULL;
  hub *h = f->hub;
  forward *fw = h == hub_current ? calloc(1, sizeof *fw) : NULL;
  if (!fw) {
    remora_event_fail(e, remora_error_new(h == hub_current ? REMORA_E_NOMEM : REMORA_E_FORKED, NULL));
    (void)remora_event_free(e);
    return;
  }
  fw->call = e;
  forward_list(h, fw, f);
  if (remora_then(f, h->inner, forward_done, fw, forward_free, &err) == 0) return;
  remora_event_fail(e, err);
  forward_free(fw);
}

bool inner_cancel(const remora_conn *c, uint32_t call) {
  for (const forward *fw = c->hub->forwards; fw; fw = fw->next)
    if (fw->call->conn == c && fw->call->message->head.call == call) return future_cancel(fw->onward);
  return false;
}

static const char *log_word_at(const remora_value *args, size_t i) {
  const char *text = remora_as_text(remora_at(args, i), NULL);
  return text ? text : "?";
}

static void inner_root(remora_event *e) {
  remora_error *err = NULL;
  const remora_value *args = remora_event_args(e, NULL);
  if (!args) return;
  if (e->message->head.object != 0) {
    remora_event_fail(e, remora_error_new(REMORA_E_NOTFOUND, "there is no such object (any more)"));
    return;
  }
  remora_value *v = modules_answer(e->conn->modules, e->method, args, &err);
  if (!err && strcmp(e->method, "module") == 0) {
    const char *kind = remora_as_text(remora_get(v, "kind"), NULL);
    remora_logf(REMORA_LOG_DEBUG, "remora.modules", __func__, NULL, 0, "%s: %s module %s: %s", e->conn->carrier.name,
                log_word_at(args, 0), log_word_at(args, 1), kind ? kind : "there is none");
  }
  if (err)
    remora_event_fail(e, err);
  else
    (void)remora_event_reply(e, v, NULL);
  (void)remora_value_unref(v);
}

void inner_run(hub *h) {
  for (remora_event *e; (e = remora_take(h->inner, NULL)) != NULL;) {
    if (e->kind == REMORA_EVENT_CALL && e->object) {
      inner_forward(h, e);
      continue;
    }
    if (e->kind == REMORA_EVENT_CALL && e->message->head.object == 0 && strcmp(e->method, "connect") == 0) {
      onward_connect(e);
      continue;
    }
    if (e->kind == REMORA_EVENT_CALL && e->message->head.object == 0 && strcmp(e->method, "prompt") == 0) {
      prompt_far(e);
      continue;
    }
    if (e->kind == REMORA_EVENT_CALL)
      inner_root(e);
    else
      remora_event_run(e);
    (void)remora_event_free(e);
  }
  (void)remora_queue_reap(h->inner);
}
