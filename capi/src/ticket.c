/* ticket.c: handing things from one language to another inside the process, without pointers passing through user code. */
#include "hub.h"

#include <stdlib.h>

static const char *const ticket_names[] = {"", "a connection", "a proxy", "a future"};

typedef struct ticket {
  remora_ticket_kind kind;
  void *thing; /* holds a reference */
} ticket;

static uint64_t ticket_write(hub *of, remora_ticket_kind kind, void *thing, remora_error **err) {
  hub *h = hub_get();
  if (!h || of != h) return error_set(err, h ? REMORA_E_FORKED : REMORA_E_NOMEM, NULL), 0;
  ticket *t = malloc(sizeof *t);
  if (!t) return error_set(err, REMORA_E_NOMEM, NULL), 0;
  *t = (ticket){kind, thing};
  hub_lock(h);
  uint64_t number = ++h->last_ticket;
  int rc = idmap_put(&h->tickets, number, t);
  hub_unlock(h);
  if (rc == 0) return number;
  free(t);
  return error_set(err, REMORA_E_NOMEM, NULL), 0;
}

static void *ticket_read(uint64_t number, remora_ticket_kind kind, remora_error **err) {
  hub *h = hub_get();
  if (!h) return error_set(err, REMORA_E_NOMEM, NULL), NULL;
  hub_lock(h);
  ticket *t = number ? idmap_get(&h->tickets, number) : NULL;
  remora_ticket_kind found =
      t ? t->kind : REMORA_TICKET_NONE; /* another thread may redeem it once the lock is given back */
  bool fits = found == kind;
  if (fits) (void)idmap_remove(&h->tickets, number);
  hub_unlock(h);
  if (!fits) {
    (void)error_set(err, REMORA_E_INVALID,
                    found ? "the ticket is for %s, not for %s" : "there is no such ticket: each can be redeemed once",
                    ticket_names[found], ticket_names[kind]);
    return NULL;
  }
  void *thing = t->thing;
  free(t);
  return thing;
}

remora_ticket_kind remora_ticket_is_for(uint64_t number) {
  hub *h = hub_get();
  if (!h) return REMORA_TICKET_NONE;
  hub_lock(h);
  const ticket *t = number ? idmap_get(&h->tickets, number) : NULL;
  remora_ticket_kind kind = t ? t->kind : REMORA_TICKET_NONE;
  hub_unlock(h);
  return kind;
}

uint64_t remora_ticket_conn(remora_conn *conn, remora_error **err) {
  uint64_t number = ticket_write(conn->hub, REMORA_TICKET_CONN, remora_conn_ref(conn), err);
  if (!number) (void)remora_conn_unref(conn);
  return number;
}

uint64_t remora_ticket_proxy(remora_proxy *proxy, remora_error **err) {
  uint64_t number = ticket_write(proxy->conn->hub, REMORA_TICKET_PROXY, remora_proxy_ref(proxy), err);
  if (!number) (void)remora_proxy_unref(proxy);
  return number;
}

uint64_t remora_ticket_future(remora_future *future, remora_error **err) {
  uint64_t number = ticket_write(future->hub, REMORA_TICKET_FUTURE, remora_future_ref(future), err);
  if (!number) (void)remora_future_unref(future);
  return number;
}

remora_conn *remora_redeem_conn(uint64_t number, remora_error **err) {
  return ticket_read(number, REMORA_TICKET_CONN, err);
}

remora_proxy *remora_redeem_proxy(uint64_t number, remora_error **err) {
  return ticket_read(number, REMORA_TICKET_PROXY, err);
}

remora_future *remora_redeem_future(uint64_t number, remora_error **err) {
  return ticket_read(number, REMORA_TICKET_FUTURE, err);
}
