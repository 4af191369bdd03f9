/* object.c: references on this side: proxies of what the far side lends, and objects that we lend. */
#include "hub.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------------------- proxies */

static remora_proxy *proxy_new(remora_conn *c, uint64_t id, far_type *type) {
  remora_proxy *p = calloc(1, sizeof *p);
  if (!p) return NULL;
  atomic_init(&p->refs, 1);
  p->hub = c->hub;
  p->conn = c;
  conn_ref_locked(c);
  p->id = id;
  p->type = type;
  return p;
}

remora_proxy *proxy_import(remora_conn *c, uint64_t id, far_type *type) {
  remora_proxy *p = idmap_get(&c->session.imports, id);
  if (p) {
    int refs = atomic_load(&p->refs);
    while (refs > 0 && !atomic_compare_exchange_weak(&p->refs, &refs, refs + 1)) {
    }
    if (refs > 0) {
      p->count++;
      return p;
    }
    /* Its last user has just gone: it gives back its own count later, and this is a new one. */
  }
  p = proxy_new(c, id, type);
  if (!p) return NULL;
  p->count = 1;
  if (idmap_put(&c->session.imports, id, p) == 0) return p;
  conn_unref_locked(c);
  free(p);
  return NULL;
}

remora_proxy *remora_conn_root(remora_conn *c, remora_error **err) {
  static conn_type root_type = {.base = {.number = 0, .name = (char *)"remora.Root", .traits = (char *)""}};
  if (c->hub != hub_current) return error_set(err, REMORA_E_FORKED, NULL), NULL;
  remora_proxy *p = proxy_new(c, 0, &root_type.base);
  if (!p) (void)error_set(err, REMORA_E_NOMEM, NULL);
  return p;
}

remora_proxy *remora_proxy_ref(remora_proxy *p) {
  if (p) atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
  return p;
}

remora_proxy *remora_proxy_unref(remora_proxy *p) {
  if (!p || p->hub != hub_current || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1) return NULL;
  hub *h = p->hub; /* p may be gone as soon as it is in the list */
  remora_proxy *head = atomic_load_explicit(&h->dropped, memory_order_relaxed);
  do p->next_dropped = head;
  while (!atomic_compare_exchange_weak_explicit(&h->dropped, &head, p, memory_order_acq_rel, memory_order_relaxed));
  /* The first one tells the sleeping background thread; while anybody is busy the list is drained with the next call. */
  if (!head) {
    uint64_t one = 1;
    ssize_t ignored = write(h->kick_fd, &one, sizeof one);
    (void)ignored;
  }
  return NULL;
}

/* Releases waiting for one connection, gathered into frames of up to 64 ids. */
typedef struct releases {
  remora_conn *conn;
  uint32_t size;
  uint8_t rows[64 * 16];
} releases;

static void releases_send(releases *r) {
  if (r->size == 0) return;
  frame f = {.kind = FRAME_RELEASE, .size = r->size};
  (void)session_send_frame(&r->conn->session, &f, r->rows,
                           false); /* in the order of messages: behind what mentions the ids */
  r->size = 0;
  conn_flush(r->conn);
  conn_unref_locked(r->conn);
  r->conn = NULL;
}

void conn_drain_dropped(hub *h) {
  if (!atomic_load_explicit(&h->dropped, memory_order_relaxed)) return;
  remora_proxy *list = atomic_exchange_explicit(&h->dropped, NULL, memory_order_acq_rel), *in_order = NULL;
  while (list) { /* the list is last in, first out */
    remora_proxy *next = list->next_dropped;
    list->next_dropped = in_order;
    in_order = list;
    list = next;
  }
  releases r = {0};
  while (in_order) {
    remora_proxy *p = in_order;
    remora_conn *c = p->conn;
    in_order = p->next_dropped;
    if (p->id != 0 && idmap_get(&c->session.imports, p->id) == p) (void)idmap_remove(&c->session.imports, p->id);
    if (p->id != 0 && p->count > 0 && c->state != CONN_CLOSED) {
      if (r.conn && (r.conn != c || r.size == sizeof r.rows)) releases_send(&r);
      if (!r.conn) conn_ref_locked(r.conn = c);
      frame_put64(r.rows + r.size, p->id);
      frame_put64(r.rows + r.size + 8, p->count);
      r.size += 16;
    }
    conn_unref_locked(c);
    free(p);
  }
  releases_send(&r);
}

remora_conn *remora_proxy_conn(const remora_proxy *p) { return p->conn; }
uint64_t remora_proxy_id(const remora_proxy *p) { return p->id; }
const char *remora_proxy_type(const remora_proxy *p) { return p->type->name; }
const char *remora_proxy_traits(const remora_proxy *p) { return p->type->traits; }
uint32_t remora_proxy_type_id(const remora_proxy *p) { return p->type->number; }

/* ------------------------------------------------------------------------------------------------------------- objects */

static remora_object *object_find(hub *h, const remora_queue *q, const remora_class *cls, const void *userdata) {
  remora_object *o = userdata ? idmap_get(&h->objects, (uintptr_t)userdata) : NULL;
  while (o && (o->queue != q || o->cls != cls)) o = o->next_same;
  return o;
}

static remora_object *object_new(hub *h, remora_queue *q, const remora_class *cls, void *userdata,
                                 void (*destroy)(void *)) {
  remora_object *o = calloc(1, sizeof *o);
  if (!o) return NULL;
  atomic_init(&o->refs, 1);
  o->hub = h;
  o->queue = q;
  o->cls = cls;
  o->userdata = userdata;
  o->destroy = destroy;
  if (userdata) {
    o->next_same = idmap_get(&h->objects, (uintptr_t)userdata);
    if (idmap_put(&h->objects, (uintptr_t)userdata, o) != 0) return free(o), NULL;
  }
  return o;
}

remora_object *remora_export(remora_queue *q, const remora_class *cls, void *userdata, void (*destroy)(void *)) {
  hub *h = hub_get();
  if (!h || !cls || cls->size < sizeof(remora_class)) return NULL;
  if (!q) q = h->default_queue;
  if (q->hub != h) return NULL; /* made before fork() */
  hub_lock(h);
  remora_object *o = object_new(h, q, cls, userdata, destroy);
  hub_unlock(h);
  if (o) (void)remora_queue_ref(q);
  return o;
}

remora_object *remora_export_find(remora_queue *q, const remora_class *cls, const void *userdata) {
  hub *h = hub_get();
  if (!h) return NULL;
  hub_lock(h);
  remora_object *o = remora_object_ref(object_find(h, q ? q : h->default_queue, cls, userdata));
  hub_unlock(h);
  return o;
}

void object_unref_locked(remora_object *o) {
  if (atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) != 1) return;
  hub *h = o->hub;
  if (o->userdata) {
    remora_object *first = idmap_get(&h->objects, (uintptr_t)o->userdata);
    if (first == o && !o->next_same) {
      (void)idmap_remove(&h->objects, (uintptr_t)o->userdata);
    } else if (first == o) {
      (void)idmap_put(&h->objects, (uintptr_t)o->userdata, o->next_same);
    } else {
      while (first->next_same != o) first = first->next_same;
      first->next_same = o->next_same;
    }
  }
  queue_reap_later(o);
  if (o->queue == h->inner) loop_changed(h);
}

remora_object *remora_object_ref(remora_object *o) {
  if (o) atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
  return o;
}

remora_object *remora_object_unref(remora_object *o) {
  if (!o || o->hub != hub_current) return NULL;
  int refs = atomic_load_explicit(&o->refs, memory_order_relaxed);
  while (refs > 1)
    if (atomic_compare_exchange_weak(&o->refs, &refs, refs - 1)) return NULL;
  hub *h = o->hub; /* the last one leaves the table: nobody may find it meanwhile */
  hub_lock(h);
  object_unref_locked(o);
  hub_unlock(h);
  return NULL;
}

void *remora_object_userdata(const remora_object *o) { return o->userdata; }
const remora_class *remora_object_class(const remora_object *o) { return o->cls; }
remora_queue *remora_object_queue(const remora_object *o) { return o->queue; }

/* ------------------------------------------------------------------------------------------------------------- bridges */

/* A proxy that is passed on to another far side: an object of ours that stands for it. Its calls are forwarded in inner.c. */
static void bridge_destroy(void *p) { (void)remora_proxy_unref(p); }

remora_object *bridge_object(remora_proxy *p) {
  hub *h = p->hub;
  conn_type *t = (conn_type *)p->type;
  t->bridge = (remora_class){.size = sizeof t->bridge, .name = t->base.name, .traits = t->base.traits};
  remora_object *o = object_find(h, h->inner, &t->bridge, p);
  if (o) return remora_object_ref(o);
  o = object_new(h, h->inner, &t->bridge, p, bridge_destroy);
  if (o) (void)remora_proxy_ref(p);
  return o;
}
