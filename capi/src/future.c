/* future.c: results that will come: their states, who is told, waiting for them. */
#include "hub.h"

#include <stdlib.h>

remora_future *future_new(hub *h, remora_conn *c) {
  remora_future *f = calloc(1, sizeof *f);
  if (!f) return NULL;
  atomic_init(&f->refs, 1);
  f->hub = h;
  f->conn = remora_conn_ref(c);
  f->watches_last = &f->watches;
  return f;
}

remora_future *remora_future_ref(remora_future *f) {
  if (f) atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
  return f;
}

static void future_free(remora_future *f) {
  message_unref(f->reply);
  (void)remora_value_unref(atomic_load(&f->value));
  (void)remora_error_free(atomic_load(&f->error));
  free(f);
}

/* Under the lock: was that the last reference? What it holds is freed outside: the last reference of an object of ours may be in a result. */
static bool future_drop(remora_future *f) {
  if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1) return false;
  if (f->call && f->conn) (void)session_pending_take(&f->conn->session, f->call); /* its answer will find nobody */
  deadline_clear(f);
  future_set_awaited(f, false);
  if (f->source) future_unref_locked(f->source);
  if (f->any) future_any_drop(f);
  if (f->conn) conn_unref_locked(f->conn);
  return true;
}

void future_unref_locked(remora_future *f) {
  if (!future_drop(f)) return;
  f->next_awaited = f->hub->dead;
  f->hub->dead = f;
}

void future_free_list(remora_future *f) {
  while (f) {
    remora_future *next = f->next_awaited;
    future_free(f);
    f = next;
  }
}

remora_future *remora_future_unref(remora_future *f) {
  if (!f || f->hub != hub_current) return NULL;
  int refs = atomic_load_explicit(&f->refs, memory_order_relaxed);
  while (refs > 1)
    if (atomic_compare_exchange_weak(&f->refs, &refs, refs - 1)) return NULL;
  hub *h = f->hub;
  hub_lock(h);
  bool last = future_drop(f);
  hub_unlock(h);
  if (last) future_free(f);
  return NULL;
}

/* A watch becomes an event; it holds a reference of the future since remora_then. */
static void watch_fire(remora_future *f, watch *w) {
  remora_event *e = calloc(1, sizeof *e + 1);
  if (e) {
    e->kind = REMORA_EVENT_READY;
    e->future = f;
    e->fn = w->fn;
    e->userdata = w->userdata;
    e->destroy = w->destroy;
    queue_push(w->queue, e);
    if (w->queue == f->hub->inner) loop_changed(f->hub);
  }
  queue_unref_locked(w->queue);
  free(w);
}

void future_set_awaited(remora_future *f, bool on) {
  if (on == (f->link_awaited != NULL)) return;
  if (on) {
    f->next_awaited = f->hub->awaited;
    f->link_awaited = &f->hub->awaited;
    if (f->next_awaited) f->next_awaited->link_awaited = &f->next_awaited;
    f->hub->awaited = f;
    return;
  }
  *f->link_awaited = f->next_awaited;
  if (f->next_awaited) f->next_awaited->link_awaited = f->link_awaited;
  f->link_awaited = NULL;
}

static void future_ready(remora_future *f, remora_state state) {
  deadline_clear(f);
  future_set_awaited(f, false);
  atomic_store_explicit(&f->state, (int)state, memory_order_release);
  if (f->source) {
    future_unref_locked(f->source);
    f->source = NULL;
  }
  if (f->watches && f->conn) f->hub->watched--;
  while (f->watches) {
    watch *w = f->watches;
    f->watches = w->next;
    watch_fire(f, w);
  }
  loop_wake_future(f->hub, f);
}

void future_done(remora_future *f, message *reply) {
  if (atomic_load(&f->state) != REMORA_PENDING) {
    message_unref(reply);
    return;
  }
  f->reply = reply;
  future_ready(f, reply && reply->head.kind == FRAME_ERROR ? REMORA_FAILED : REMORA_DONE);
}

void future_fail(remora_future *f, remora_error *error) {
  if (atomic_load(&f->state) != REMORA_PENDING) {
    (void)remora_error_free(error);
    return;
  }
  atomic_store(&f->error, error);
  future_ready(f, remora_error_code(error) == REMORA_E_CANCELLED ? REMORA_WAS_CANCELLED : REMORA_FAILED);
}

remora_state remora_future_state(remora_future *f) {
  int state = atomic_load_explicit(&f->state, memory_order_acquire);
  if (state != REMORA_PENDING || f->hub != hub_current) return (remora_state)state;
  loop_glance(f->hub);
  return (remora_state)atomic_load_explicit(&f->state, memory_order_acquire);
}

int remora_then(remora_future *f, remora_queue *queue, void (*fn)(remora_future *, void *), void *userdata,
                void (*destroy)(void *), remora_error **err) {
  hub *h = f->hub;
  if (h != hub_current) return error_set(err, REMORA_E_FORKED, NULL);
  watch *w = calloc(1, sizeof *w);
  if (!w) return error_set(err, REMORA_E_NOMEM, NULL);
  *w = (watch){.queue = queue ? queue : h->default_queue, .fn = fn, .userdata = userdata, .destroy = destroy};
  (void)remora_future_ref(f);
  (void)remora_queue_ref(w->queue);
  hub_lock(h);
  if (atomic_load(&f->state) != REMORA_PENDING) {
    watch_fire(f, w);
  } else {
    if (!f->watches && f->conn) h->watched++;
    *f->watches_last = w;
    f->watches_last = &w->next;
  }
  if (h->driver == DRIVER_NONE) loop_changed(h); /* the watcher need not wait with us */
  hub_unlock(h);
  return 0;
}

bool future_unwatch(remora_future *f, const void *userdata) {
  for (watch **at = &f->watches; *at; at = &(*at)->next) {
    watch *w = *at;
    if (w->userdata != userdata) continue;
    *at = w->next;
    if (!*at) f->watches_last = at;
    if (!f->watches && f->conn) f->hub->watched--;
    queue_unref_locked(w->queue);
    free(w);
    future_unref_locked(f); /* the watch's reference */
    return true;
  }
  return false;
}

static bool future_cancel_one(remora_future *f) {
  if (atomic_load(&f->state) != REMORA_PENDING) return false;
  remora_conn *c = f->conn;
  if (f->call && c) {
    frame cancel = {.kind = FRAME_CANCEL, .call = f->call};
    (void)session_pending_take(&c->session, f->call);
    f->call = 0;
    (void)session_send_frame(&c->session, &cancel, NULL, false); /* behind the call, if that still waits to be sent */
    conn_flush(c);
  }
  bool connecting = c && c->connecting == f;
  future_fail(f,
              remora_error_new(REMORA_E_CANCELLED, connecting ? "connecting was cancelled" : "the call was cancelled"));
  if (connecting) conn_close_locked(c);
  return true;
}

bool future_cancel(remora_future *f) {
  remora_future *source = remora_future_ref(f->source);
  bool pending = future_cancel_one(f);
  for (remora_future *next; source; source = next) { /* no recursion: they may be many */
    next = pending ? remora_future_ref(source->source) : NULL;
    if (pending) (void)future_cancel_one(source);
    future_unref_locked(source);
  }
  return pending;
}

int remora_cancel(remora_future *f) {
  hub *h = f->hub;
  if (h != hub_current) return 0;
  hub_lock(h);
  bool pending = future_cancel(f);
  hub_unlock(h);
  return pending;
}

/* ------------------------------------------------------------------------------------------------------------- results */

remora_value *remora_future_result(remora_future *f, remora_error **err) {
  int state = atomic_load_explicit(&f->state, memory_order_acquire);
  if (state == REMORA_PENDING) {
    if (f->hub != hub_current) return error_set(err, REMORA_E_FORKED, NULL), NULL;
    return error_set(err, REMORA_E_TIMEOUT, "the result is not there yet"), NULL;
  }
  remora_value *value = atomic_load(&f->value);
  if (value) return remora_value_ref(value);
  remora_error *error = atomic_load(&f->error);
  if (error) {
    if (err) *err = error_copy(error);
    return NULL;
  }
  if (!f->reply) return remora_null();
  /* Decoded by the thread that takes it; two that do so at once agree on one. */
  value = call_decode(f->reply, &error);
  if (state == REMORA_FAILED && value) {
    error = error_from_wire(value, NULL);
    value = remora_value_unref(value);
  }
  if (value) {
    remora_value *other = NULL;
    if (!atomic_compare_exchange_strong(&f->value, &other, value)) {
      (void)remora_value_unref(value);
      value = other;
    }
    return remora_value_ref(value);
  }
  remora_error *other = NULL;
  if (!atomic_compare_exchange_strong(&f->error, &other, error)) {
    (void)remora_error_free(error);
    error = other;
  }
  if (err) *err = error_copy(error);
  return NULL;
}

remora_wait remora_spin(remora_future *f, remora_queue *queue) {
  hub *h = f->hub;
  if (h != hub_current) return REMORA_WAIT_READY;
  waiter w = {.future = f, .queue = queue, .fd = -1};
  return loop_spin(h, &w);
}

remora_wait remora_wait_for(remora_future *f, remora_queue *queue, int64_t ms) {
  hub *h = f->hub;
  if (h != hub_current) return REMORA_WAIT_READY;
  waiter w = {.future = f, .queue = queue};
  return loop_wait(h, &w, ms);
}

/* Waits, running what belongs to the wait. 0, or -1 with *err. */
static int future_wait(remora_future *f, uint64_t until, remora_error **err) {
  hub *h = f->hub;
  remora_queue *q = h == hub_current ? h->default_queue : NULL;
  if (!q) return atomic_load(&f->state) != REMORA_PENDING ? 0 : error_set(err, REMORA_E_FORKED, NULL);
  remora_wait r = remora_spin(f, q);
  for (;;) {
    if (r == REMORA_WAIT_READY) return 0;
    if (r == REMORA_WAIT_INTERRUPTED) return error_set(err, REMORA_E_INTERRUPTED, NULL);
    if (r == REMORA_WAIT_TIMEOUT) return error_set(err, REMORA_E_TIMEOUT, NULL);
    if (r == REMORA_WAIT_EVENT) {
      remora_event *e = remora_take(q, f);
      if (e) remora_event_run(e);
      (void)remora_event_free(e);
      (void)remora_queue_reap(q);
      r = remora_spin(f, q); /* what it was called for usually goes on at once */
      if (r != REMORA_WAIT_AGAIN) continue;
    }
    uint64_t now = until == UINT64_MAX ? 0 : hub_now_ms();
    r = remora_wait_for(f, q, until == UINT64_MAX ? -1 : now >= until ? 0 : (int64_t)(until - now));
  }
}

static uint64_t until_of(int64_t ms) { return ms < 0 ? UINT64_MAX : hub_now_ms() + (uint64_t)ms; }

remora_value *remora_await(remora_future *f, int64_t ms, remora_error **err) {
  if (future_wait(f, until_of(ms), err) != 0) return NULL;
  return remora_future_result(f, err);
}

int remora_await_all(remora_future *const *futures, size_t n, int64_t ms, remora_error **err) {
  uint64_t until = until_of(ms);
  for (size_t i = 0; i < n; i++)
    if (future_wait(futures[i], until, err) != 0) return -1;
  return 0;
}
