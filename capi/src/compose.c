/* compose.c: futures that are made by the program, of other futures, or of the first of several. */
#include "hub.h"

#include <stdlib.h>

/* ------------------------------------------------------------------------------------------------- made by the program */

remora_future *remora_promise(remora_error **err) {
  hub *h = hub_get();
  remora_future *f = h ? future_new(h, NULL) : NULL;
  if (!f) (void)error_set(err, REMORA_E_NOMEM, NULL);
  return f;
}

/* Steals both. */
static int settle(remora_future *f, remora_value *value, remora_error *error) {
  hub *h = f->hub;
  int pending = 0;
  if (h == hub_current) {
    hub_lock(h);
    pending = atomic_load(&f->state) == REMORA_PENDING;
    if (pending && error) {
      future_fail(f, error);
      error = NULL;
    } else if (pending) {
      atomic_store(&f->value, value);
      value = NULL;
      future_done(f, NULL);
    }
    hub_unlock(h);
  }
  (void)remora_value_unref(value);
  (void)remora_error_free(error);
  return pending;
}

int remora_resolve(remora_future *f, remora_value *value) { return settle(f, value, NULL); }

int remora_reject(remora_future *f, remora_error *error) {
  return settle(f, NULL, error ? error : remora_error_new(REMORA_E_REMOTE, "the future was rejected without a reason"));
}

/* ------------------------------------------------------------------------------------------------- made of another one */

typedef struct composition {
  remora_future *made; /* holds a reference */
  remora_compose_fn *on_value, *on_error;
  void *userdata;
  void (*destroy)(void *);
  bool ran;
} composition;

/* Under the lock: whom a cancel of the composed future goes on to. */
static void set_source(remora_future *made, remora_future *source) {
  if (made->source) future_unref_locked(made->source);
  made->source = atomic_load(&made->state) == REMORA_PENDING ? remora_future_ref(source) : NULL;
}

/* The outcome of one future is that of the other. */
static void take_outcome(remora_future *from, void *userdata) {
  remora_error *err = NULL;
  remora_value *value = remora_future_result(from, &err);
  (void)settle(userdata, value, err);
}

static void made_unref(void *userdata) {
  remora_future *made = userdata;
  (void)settle(made, NULL, remora_error_new(REMORA_E_CANCELLED, "what it was made of is gone"));
  (void)remora_future_unref(made);
}

static void follow(remora_future *made, remora_future *next) {
  hub *h = made->hub;
  remora_error *err = NULL;
  hub_lock(h);
  set_source(made, next);
  hub_unlock(h);
  if (remora_then(next, h->inner, take_outcome, remora_future_ref(made), made_unref, &err) != 0) {
    (void)settle(made, NULL, err);
    (void)remora_future_unref(made);
  }
}

static void compose_run(remora_future *before, void *userdata) {
  composition *c = userdata;
  c->ran = true;
  remora_compose_fn *fn = remora_future_state(before) == REMORA_DONE ? c->on_value : c->on_error;
  if (remora_future_state(c->made) != REMORA_PENDING) return; /* it was cancelled */
  remora_error *err = NULL;
  remora_future *next = fn ? fn(before, c->userdata, &err) : remora_future_ref(before);
  if (next)
    follow(c->made, next);
  else
    (void)settle(c->made, err ? NULL : remora_null(), err);
  (void)remora_future_unref(next);
}

static void compose_free(void *userdata) {
  composition *c = userdata;
  if (c->destroy) c->destroy(c->userdata);
  if (c->ran)
    (void)remora_future_unref(c->made);
  else
    made_unref(c->made); /* the queue is gone, and nobody will run it */
  free(c);
}

remora_future *remora_compose(remora_future *before, remora_queue *queue, remora_compose_fn *on_value,
                              remora_compose_fn *on_error, void *userdata, void (*destroy)(void *userdata),
                              remora_error **err) {
  if (before->hub != hub_current) return error_set(err, REMORA_E_FORKED, NULL), NULL;
  remora_future *made = remora_promise(err);
  composition *c = made ? malloc(sizeof *c) : NULL;
  if (!c) {
    if (made) (void)error_set(err, REMORA_E_NOMEM, NULL);
    return remora_future_unref(made);
  }
  *c = (composition){remora_future_ref(made), on_value, on_error, userdata, destroy, false};
  made->source = remora_future_ref(before);
  made->chain = before->chain; /* who waits for it runs what the call before calls back */
  if (remora_then(before, queue, compose_run, c, compose_free, err) == 0) return made;
  c->destroy = NULL; /* what failed has taken nothing */
  compose_free(c);
  return remora_future_unref(made);
}

/* -------------------------------------------------------------------------------------------------- the first of several */

typedef struct any_item {
  struct future_any *any;
  size_t index;
} any_item;

/* Belongs to the watches on the futures and to the future that is made of them. */
struct future_any {
  size_t refs, n;      /* refs: under the lock */
  remora_future *made; /* borrowed; NULL when it is gone */
  remora_future **futures;
  any_item items[];
};

static void any_unref_locked(struct future_any *a) {
  if (--a->refs > 0) return;
  free(a->futures);
  free(a);
}

static void any_fire(remora_future *f, void *userdata) {
  any_item *item = userdata;
  hub_lock(f->hub);
  remora_future *made = item->any->made;
  if (made && atomic_load(&made->state) == REMORA_PENDING) {
    atomic_store(&made->value, remora_int((int64_t)item->index));
    future_done(made, NULL);
  }
  hub_unlock(f->hub);
}

static void any_item_free(void *userdata) {
  hub *h = hub_current;
  if (!h) return;
  hub_lock(h);
  any_unref_locked(((any_item *)userdata)->any);
  hub_unlock(h);
}

void future_any_drop(remora_future *made) {
  struct future_any *a = made->any;
  made->any = NULL;
  a->made = NULL;
  for (size_t i = 0; i < a->n; i++) {
    if (future_unwatch(a->futures[i], &a->items[i])) any_unref_locked(a);
    future_unref_locked(a->futures[i]);
  }
  any_unref_locked(a);
}

remora_future *remora_any(remora_future *const *futures, size_t n, remora_error **err) {
  if (n == 0) return error_set(err, REMORA_E_INVALID, "the first of no futures"), NULL;
  remora_future *made = remora_promise(err);
  struct future_any *a = made ? calloc(1, sizeof *a + n * sizeof *a->items) : NULL;
  if (!a || !(a->futures = calloc(n, sizeof(remora_future *)))) {
    free(a);
    if (made) (void)error_set(err, REMORA_E_NOMEM, NULL);
    return remora_future_unref(made);
  }
  a->refs = 1;
  a->made = made;
  made->any = a;
  made->chain = futures[0]->chain; /* what is called back by futures that a callback has started runs in the wait */
  for (size_t i = 0; i < n; i++) {
    a->items[i] = (any_item){a, i};
    hub_lock(made->hub);
    a->refs++;
    hub_unlock(made->hub);
    if (remora_then(futures[i], made->hub->inner, any_fire, &a->items[i], any_item_free, err) != 0) {
      any_item_free(&a->items[i]);
      return remora_future_unref(made);
    }
    a->futures[i] = remora_future_ref(futures[i]);
    a->n = i + 1;
  }
  return made;
}

int remora_await_any(remora_future *const *futures, size_t n, int64_t ms, remora_error **err) {
  for (size_t i = 0; i < n; i++)
    if (remora_future_state(futures[i]) != REMORA_PENDING) return (int)i;
  remora_future *first = remora_any(futures, n, err);
  remora_value *index = first ? remora_await(first, ms, err) : NULL;
  int result = index ? (int)remora_as_int(index) : -1;
  (void)remora_value_unref(index);
  (void)remora_future_unref(first);
  return result;
}
