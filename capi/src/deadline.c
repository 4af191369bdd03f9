/* deadline.c: which pending future's time is up next: a binary heap and one timer of the loop. */
#include "hub.h"

#include <stdlib.h>

static void heap_place(hub *h, remora_future *f, size_t i) {
  h->deadlines[i - 1] = f;
  f->heap_index = i;
}

static void heap_settle(hub *h, remora_future *f, size_t i) {
  for (; i > 1 && h->deadlines[i / 2 - 1]->deadline > f->deadline; i /= 2) heap_place(h, h->deadlines[i / 2 - 1], i);
  for (size_t child; (child = 2 * i) <= h->ndeadlines; i = child) {
    if (child < h->ndeadlines && h->deadlines[child]->deadline < h->deadlines[child - 1]->deadline) child++;
    if (h->deadlines[child - 1]->deadline >= f->deadline) break;
    heap_place(h, h->deadlines[child - 1], i);
  }
  heap_place(h, f, i);
}

static void deadline_cb(uv_timer_t *timer);

static void deadline_arm(hub *h) {
  if (h->ndeadlines == 0) {
    (void)uv_timer_stop(&h->deadline_timer);
    return;
  }
  uv_update_time(&h->loop);
  uint64_t now = hub_now_ms(), at = h->deadlines[0]->deadline;
  (void)uv_timer_start(&h->deadline_timer, deadline_cb, at > now ? at - now : 0, 0);
}

static void deadline_cb(uv_timer_t *timer) {
  hub *h = timer->data;
  while (h->ndeadlines > 0 && h->deadlines[0]->deadline <= hub_now_ms()) {
    remora_future *f = h->deadlines[0];
    remora_conn *c = f->conn;
    if (f->call && c) {
      frame cancel = {.kind = FRAME_CANCEL, .call = f->call};
      (void)session_pending_take(&c->session, f->call);
      f->call = 0;
      (void)session_send_frame(&c->session, &cancel, NULL, false); /* behind the call, if that still waits to be sent */
      conn_flush(c);
    }
    future_fail(f, remora_error_new(REMORA_E_TIMEOUT, "no answer within the call's time limit"));
  }
  deadline_arm(h);
}

void deadline_set(remora_future *f, uint64_t at_ms) {
  hub *h = f->hub;
  if (h->ndeadlines == h->deadlines_room) {
    size_t room = h->deadlines_room ? h->deadlines_room * 2 : 64;
    remora_future **heap = realloc(h->deadlines, room * sizeof *heap);
    if (!heap) return; /* a call without its limit is better than a lost one */
    h->deadlines = heap;
    h->deadlines_room = room;
  }
  f->deadline = at_ms;
  heap_settle(h, f, ++h->ndeadlines);
  if (f->heap_index != 1) return;
  deadline_arm(h);
  loop_due(h);
}

void deadline_clear(remora_future *f) {
  hub *h = f->hub;
  if (!f->heap_index) return;
  size_t i = f->heap_index;
  remora_future *last = h->deadlines[--h->ndeadlines];
  f->heap_index = 0;
  if (last != f) heap_settle(h, last, i);
  if (i == 1 && h->ndeadlines == 0) (void)uv_timer_stop(&h->deadline_timer);
}
