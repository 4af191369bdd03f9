/* queue.c: queues and events: what waits for user code, and who may run it. */
#include "hub.h"
#include "log.h"
#include "prompt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

_Thread_local int queue_outputs_here;

remora_queue *remora_queue_new(void) {
  hub *h = hub_get();
  return h ? queue_new(h) : NULL;
}

remora_queue *queue_new(hub *h) {
  remora_queue *q = calloc(1, sizeof *q);
  if (!q) return NULL;
  atomic_init(&q->refs, 1);
  q->hub = h;
  q->last = &q->first;
  q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (q->fd < 0) return free(q), NULL;
  return q;
}

remora_queue *remora_default_queue(void) {
  hub *h = hub_get();
  return h ? h->default_queue : NULL;
}

remora_queue *remora_queue_ref(remora_queue *q) {
  if (q) atomic_fetch_add_explicit(&q->refs, 1, memory_order_relaxed);
  return q;
}

remora_queue *remora_queue_unref(remora_queue *q) {
  if (!q || q->hub != hub_current || atomic_fetch_sub_explicit(&q->refs, 1, memory_order_acq_rel) != 1) return NULL;
  while (q->first) { /* events hold no reference of the queue: nobody will run these */
    remora_event *e = q->first;
    q->first = e->next;
    (void)remora_event_free(e);
  }
  (void)remora_queue_reap(q);
  close(q->fd);
  free(q);
  return NULL;
}

static void queue_last_unref(void *q) { (void)remora_queue_unref(q); }

void queue_unref_locked(remora_queue *q) {
  int refs = atomic_load_explicit(&q->refs, memory_order_relaxed);
  while (refs > 1)
    if (atomic_compare_exchange_weak(&q->refs, &refs, refs - 1)) return;
  remora_event *e = calloc(1, sizeof *e + 1);
  if (!e) return;
  e->kind = REMORA_EVENT_READY;
  e->userdata = q;
  e->destroy = queue_last_unref;
  queue_push(q->hub->inner, e);
  loop_changed(q->hub);
}

void remora_queue_set_dispatcher(remora_queue *q, int on) {
  if (q->hub != hub_current) return;
  hub_lock(q->hub);
  q->dispatcher = on != 0;
  hub_unlock(q->hub);
}

int remora_queue_fd(remora_queue *q) { return q->fd; }

static void queue_ring(remora_queue *q) {
  if (!q->armed || q->signalled) return;
  uint64_t one = 1;
  q->signalled = write(q->fd, &one, sizeof one) == sizeof one;
}

void queue_signal(remora_queue *q) {
  loop_wake_queue(q->hub, q);
  queue_ring(q);
}

int remora_queue_arm(remora_queue *q) {
  hub *h = q->hub;
  if (h != hub_current) return 0;
  hub_lock(h);
  q->armed = true;
  if (q->signalled) {
    uint64_t count;
    ssize_t ignored = read(q->fd, &count, sizeof count);
    (void)ignored;
    q->signalled = false;
  }
  bool any = q->first || q->reap;
  if (any)
    queue_signal(q);
  else if (h->driver == DRIVER_NONE)
    loop_changed(h); /* the owner goes to sleep in a loop of its own: ours needs a driver now */
  hub_unlock(h);
  return any;
}

/* Does a wait that goes on elsewhere have to run this event? */
static bool queue_claimed(const remora_queue *q, const remora_event *e) {
  for (const waiter *w = q->hub->waiters; w; w = w->next) {
    if (w->queue != q || !w->future) continue;
    if (e->kind == REMORA_EVENT_OUTPUT && w->future->conn == e->conn) return true;
    if (e->kind == REMORA_EVENT_CALL && e->message->head.chain == w->future->chain) return true;
  }
  for (const remora_future *f = e->kind == REMORA_EVENT_CALL ? q->hub->awaited : NULL; f; f = f->next_awaited)
    if (e->message->head.chain == f->chain) return true;
  return false;
}

static bool event_is_for(const remora_queue *q, const remora_event *e, const remora_future *f) {
  if (!q->dispatcher) return true;
  if (e->kind == REMORA_EVENT_CALL) return e->message->head.chain == f->chain;
  return e->kind == REMORA_EVENT_OUTPUT && e->conn == f->conn;
}

void queue_push(remora_queue *q, remora_event *e) {
  e->next = NULL;
  *q->last = e;
  q->last = &e->next;
  e->queue = q;
  /* Waking a thread that then finds nothing to do would cost as much as the whole call. */
  bool claimed = q->dispatcher && queue_claimed(q, e);
  for (waiter *w = q->hub->waiters; w; w = w->next)
    if (w->queue == q && (w->future ? event_is_for(q, e, w->future) : !claimed)) loop_wake(w);
  if (!claimed) queue_ring(q);
}

remora_event *queue_find(remora_queue *q, const remora_future *f, bool take) {
  for (remora_event **at = &q->first; *at; at = &(*at)->next) {
    remora_event *e = *at;
    if (f ? !event_is_for(q, e, f) : q->dispatcher && queue_claimed(q, e)) continue;
    if (take) {
      *at = e->next;
      if (!*at) q->last = at;
      e->next = NULL;
    }
    return e;
  }
  return NULL;
}

void queue_reap_later(remora_object *o) {
  remora_queue *q = o->queue;
  o->next_reap = q->reap;
  q->reap = o;
  if (!o->next_reap) queue_signal(q);
}

int remora_queue_reap(remora_queue *q) {
  hub *h = q->hub;
  if (h != hub_current) return 0;
  hub_lock(h);
  remora_object *gone = q->reap;
  q->reap = NULL;
  hub_unlock(h);
  int n = 0;
  while (gone) {
    remora_object *next = gone->next_reap;
    if (gone->destroy) gone->destroy(gone->userdata);
    if (q != h->inner) (void)remora_queue_unref(gone->queue);
    free(gone);
    gone = next;
    n++;
  }
  return n;
}

void queue_started(remora_event *e) {
  e->started = true;
  if (e->kind == REMORA_EVENT_OUTPUT) {
    e->conn->outputs_running++;
    queue_outputs_here++;
  }
  if (e->sink) log_taken(e);
  if (e->kind == REMORA_EVENT_OUTPUT || (e->kind == REMORA_EVENT_CALL && e->message->head.object))
    call_credit_back(e->conn, FRAME_HEADER + e->message->head.size);
}

remora_event *remora_take(remora_queue *q, remora_future *f) {
  hub *h = q->hub;
  if (h != hub_current) return NULL;
  hub_lock(h);
  remora_event *e = queue_find(q, f, true);
  if (e) queue_started(e);
  hub_unlock(h);
  return e;
}

/* What is there, under no lock. */
static remora_event *queue_pull(remora_queue *q) {
  remora_event *e = remora_take(q, NULL);
  if (e) return e;
  hub_lock(q->hub);
  bool reap = q->reap != NULL;
  hub_unlock(q->hub);
  if (!reap || !(e = calloc(1, sizeof *e))) return NULL;
  e->kind = REMORA_EVENT_REAP;
  e->queue = q;
  return e;
}

remora_event *remora_next_event(remora_queue *q, int64_t ms) {
  hub *h = q->hub;
  if (h != hub_current) return NULL;
  uint64_t until = ms < 0 ? UINT64_MAX : hub_now_ms() + (uint64_t)ms;
  remora_event *e = queue_pull(q);
  if (!e && ms == 0) {
    loop_glance(h);
    e = queue_pull(q);
  }
  while (!e && ms != 0) { /* another thread may take what this one was woken for */
    uint64_t now = ms < 0 ? 0 : hub_now_ms();
    waiter w = {.queue = q, .serves = true};
    if (loop_wait(h, &w, ms < 0 ? -1 : now >= until ? 0 : (int64_t)(until - now)) != REMORA_WAIT_EVENT) break;
    e = queue_pull(q);
  }
  return e;
}

int remora_serve(remora_queue *q, int64_t ms) {
  hub *h = q->hub;
  if (h != hub_current) return 0;
  int n = 0;
  uint64_t until = ms < 0 ? UINT64_MAX : hub_now_ms() + (uint64_t)ms;
  for (;;) {
    uint64_t now = hub_now_ms();
    remora_event *e = remora_next_event(q, until == UINT64_MAX ? -1 : now >= until ? 0 : (int64_t)(until - now));
    if (!e) return n; /* the time is up, a signal, or the end of the hub */
    remora_event_run(e);
    (void)remora_event_free(e);
    n++;
  }
}

/* ------------------------------------------------------------------------------------------------------------- events */

remora_event_kind remora_event_type(const remora_event *e) { return e->kind; }
remora_conn *remora_event_conn(const remora_event *e) { return e->conn; }
remora_object *remora_event_object(const remora_event *e) { return e->object; }
remora_future *remora_event_future(const remora_event *e) { return e->future; }
void *remora_event_userdata(const remora_event *e) { return e->object ? e->object->userdata : e->userdata; }
int remora_event_stream(const remora_event *e) { return e->message ? (int)e->message->head.aux : 0; }

const char *remora_event_method(const remora_event *e) { return e->kind == REMORA_EVENT_CALL ? e->method : NULL; }

int remora_event_by_ref(const remora_event *e) {
  return e->kind == REMORA_EVENT_CALL && e->message->head.flags & FRAME_BYREF ? 1 : 0;
}

const char *remora_event_data(const remora_event *e, size_t *length) {
  if (e->kind != REMORA_EVENT_OUTPUT) return NULL;
  if (length) *length = e->message->head.size;
  return (const char *)e->message->payload;
}

const remora_value *remora_event_args(remora_event *e, remora_error **err) {
  if (e->args && !(e->question && e->cancelled)) return e->args;
  if (e->answered) return error_set(err, REMORA_E_CANCELLED, "this event was answered already"), NULL;
  remora_error *why = NULL;
  if (e->cancelled)
    (void)error_set(&why, REMORA_E_CANCELLED, "the call was cancelled before it started");
  else if (e->due && hub_now_ms() > e->due)
    (void)error_set(&why, REMORA_E_TIMEOUT, "no time was left to start the call");
  else
    e->args = call_decode(e->message, &why);
  if (e->args && remora_value_kind(e->args) == REMORA_LIST) return e->args;
  e->args = remora_value_unref(e->args);
  if (!why) (void)error_set(&why, REMORA_E_VALUE, "the arguments of a call are not a list");
  if (!e->question) call_answer_error(e->conn, e->message, why);
  e->answered = true;
  if (err)
    *err = why;
  else
    (void)remora_error_free(why);
  return NULL;
}

void remora_event_enter(remora_event *e) {
  if (e->kind != REMORA_EVENT_CALL || e->entered) return;
  e->entered = true;
  e->outer_chain = call_chain;
  call_chain = e->message->head.chain;
}

uint64_t remora_chain(void) { return call_chain; }

void remora_chain_enter(uint64_t chain) { call_chain = chain; }

static void event_leave(remora_event *e) {
  if (!e->entered) return;
  e->entered = false;
  call_chain = e->outer_chain;
}

int remora_event_reply(remora_event *e, const remora_value *value, remora_error **err) {
  event_leave(e);
  if (e->kind != REMORA_EVENT_CALL || e->answered)
    return error_set(err, REMORA_E_INVALID, "this event was answered already");
  e->answered = true;
  if (e->question) return prompt_answered(e, value, NULL), 0;
  /* A language has lent its own object already; what C returns has no place but the value. */
  if (!remora_event_by_ref(e) || !value || e->queue != e->queue->hub->default_queue)
    return call_answer(e->conn, e->message, value, err);
  remora_value *kept = remora_by_ref(remora_value_ref((remora_value *)(uintptr_t)value));
  int rc = call_answer(e->conn, e->message, kept, err);
  (void)remora_value_unref(kept);
  return rc;
}

void remora_event_fail(remora_event *e, remora_error *error) {
  event_leave(e);
  if (e->kind == REMORA_EVENT_CALL && !e->answered) {
    e->answered = true;
    if (e->question)
      prompt_answered(e, NULL, error);
    else
      call_answer_error(e->conn, e->message, error);
  }
  (void)remora_error_free(error);
}

/* What a node's own far sides print goes on to its near side. */
static void event_print(const remora_event *e) {
  const uint8_t *p = e->message->payload, *end = p + e->message->head.size;
  for (ssize_t n; p < end && ((n = write((int)e->message->head.aux, p, (size_t)(end - p))) >= 0 || errno == EINTR);)
    if (n > 0) p += n;
}

/* The call whose function runs on this thread. */
typedef struct event_run {
  remora_event *event;
  bool deferred;
} event_run;
static _Thread_local event_run *running;

/* Who takes it gets all that the event held; what is left is freed by who pulled it. */
remora_event *remora_event_defer(void) {
  if (!running || running->deferred) return NULL;
  remora_event *e = running->event, *later = calloc(1, sizeof *later + strlen(e->method) + 1);
  if (!later) return NULL;
  *later = (remora_event){.kind = e->kind, .queue = e->queue, .conn = remora_conn_ref(e->conn)};
  later->object = remora_object_ref(e->object);
  later->message = message_ref(e->message);
  later->cancelled = e->cancelled;
  memcpy(later->method, e->method, strlen(e->method) + 1);
  e->answered = true;
  running->deferred = true;
  return later;
}

void remora_event_run(remora_event *e) {
  switch (e->kind) {
  case REMORA_EVENT_READY:
    if (e->fn) e->fn(e->future, e->userdata);
    return;
  case REMORA_EVENT_REAP:
    (void)remora_queue_reap(e->queue);
    return;
  case REMORA_EVENT_OUTPUT:
    if (e->queue->hub->is_node) event_print(e);
    return;
  case REMORA_EVENT_LOG:
    log_run(e);
    return;
  case REMORA_EVENT_CALL:
    break;
  }
  remora_error *err = NULL;
  const remora_value *args = remora_event_args(e, NULL);
  if (!args) return;
  remora_event_enter(e);
  event_run *outer = running, now = {.event = e};
  running = &now;
  remora_value *result = e->object->cls->call(e->object->userdata, remora_event_method(e), args, &err);
  running = outer;
  if (now.deferred) {
    (void)remora_error_free(err);
    (void)remora_value_unref(result);
    return;
  }
  if (!result && err) {
    remora_event_fail(e, err);
    return;
  }
  (void)remora_event_reply(e, result, NULL);
  (void)remora_value_unref(result);
}

void remora_event_done(remora_event *e) {
  hub *h = hub_current;
  event_leave(e);
  if (e->kind != REMORA_EVENT_OUTPUT || !e->started || e->conn->hub != h) return;
  e->started = false;
  hub_lock(h);
  e->conn->outputs_running--;
  queue_outputs_here--;
  loop_wake_queue(h, e->conn->queue);
  hub_unlock(h);
}

remora_event *remora_event_free(remora_event *e) {
  if (!e) return NULL;
  hub *h = hub_current;
  remora_event_done(e);
  if (e->kind == REMORA_EVENT_CALL && !e->answered && e->conn->hub == h)
    remora_event_fail(e, remora_error_new(REMORA_E_CANCELLED, "the call was dropped without an answer"));
  if (e->kind == REMORA_EVENT_READY && e->destroy) e->destroy(e->userdata);
  if (e->sink && h) log_sink_unref(h, e->sink);
  (void)remora_value_unref(e->args);
  (void)remora_future_unref(e->future);
  (void)remora_object_unref(e->object);
  message_unref(e->message);
  (void)remora_conn_unref(e->conn);
  free(e);
  return NULL;
}
