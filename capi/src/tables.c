/* tables.c: the tables of a session: calls that wait for their answer, and what is lent to the far side. */
#include "session.h"

#include <stdlib.h>

/* A call id is a slot (20 bits) with a generation above it, and the slot that has been free for longest is used first, so that a late
 * answer does not meet a later call: an id comes back after a million others. */
#define SLOT_BITS 20u

uint32_t session_pending_add(session *s, void *call) {
  if (!s->pending_free) {
    uint32_t room = s->pending_room ? s->pending_room * 2 : 256;
    if (room > 1u << SLOT_BITS) return 0;
    void **pending = realloc(s->pending, room * sizeof *pending);
    if (pending) s->pending = pending;
    uint32_t *next = realloc(s->pending_next, room * sizeof *next);
    if (next) s->pending_next = next;
    uint16_t *generation = realloc(s->pending_generation, room * sizeof *generation);
    if (generation) s->pending_generation = generation;
    if (!pending || !next || !generation) return 0;
    for (uint32_t i = room - 1; i >= (s->pending_room ? s->pending_room : 1);
         i--) { /* slot 0 stays unused: no call has id 0 */
      pending[i] = NULL;
      generation[i] = 0;
      next[i] = s->pending_free;
      s->pending_free = i;
    }
    s->pending_last = room - 1;
    s->pending[0] = NULL;
    s->pending_room = room;
  }
  uint32_t slot = s->pending_free;
  s->pending_free = s->pending_next[slot];
  s->pending[slot] = call;
  s->npending++;
  return slot | (uint32_t)(s->pending_generation[slot] & 0xfff) << SLOT_BITS;
}

void *session_pending_take(session *s, uint32_t id) {
  uint32_t slot = id & ((1u << SLOT_BITS) - 1);
  if (slot == 0 || slot >= s->pending_room || (s->pending_generation[slot] & 0xfff) != id >> SLOT_BITS) return NULL;
  void *call = s->pending[slot];
  if (!call) return NULL;
  s->pending[slot] = NULL;
  s->pending_generation[slot]++;
  s->pending_next[slot] = 0;
  *(s->pending_free ? &s->pending_next[s->pending_last] : &s->pending_free) = slot;
  s->pending_last = slot;
  s->npending--;
  return call;
}

void *session_pending_at(const session *s, uint32_t slot) { return s->pending[slot]; }

uint64_t session_lend(session *s, remora_object *object, bool *fresh) {
  *fresh = false;
  uintptr_t known = (uintptr_t)idmap_get(&s->lent_ids, (uintptr_t)object);
  if (known) {
    lent *row = &s->exports[known];
    row->count++;
    return known | (uint64_t)row->generation << 32;
  }
  if (!s->exports_free) {
    uint32_t room = s->exports_room ? s->exports_room * 2 : 32;
    lent *rows = room > 1u << 30 ? NULL : realloc(s->exports, room * sizeof *rows);
    if (!rows) return 0;
    for (uint32_t i = room - 1; i >= (s->exports_room ? s->exports_room : 1); i--) {
      rows[i] = (lent){.next_free = s->exports_free};
      s->exports_free = i;
    }
    s->exports = rows;
    s->exports_room = room;
  }
  uint32_t slot = s->exports_free;
  if (idmap_put(&s->lent_ids, (uintptr_t)object, (void *)(uintptr_t)slot) != 0) return 0;
  lent *row = &s->exports[slot];
  s->exports_free = row->next_free;
  row->object = object;
  row->count = 1;
  s->nexports++;
  *fresh = true;
  return slot | (uint64_t)row->generation << 32;
}

static lent *session_row(const session *s, uint64_t id) {
  uint32_t slot = (uint32_t)id;
  if (slot == 0 || slot >= s->exports_room || !s->exports[slot].object || s->exports[slot].generation != id >> 32)
    return NULL;
  return &s->exports[slot];
}

remora_object *session_lent(const session *s, uint64_t id) {
  lent *row = session_row(s, id);
  return row ? row->object : NULL;
}

int session_unlend(session *s, uint64_t id, uint64_t count, remora_object **object) {
  lent *row = session_row(s, id);
  if (!row || count > row->count) return -1;
  row->count -= count;
  if (row->count > 0) return 0;
  if (object) *object = row->object;
  idmap_remove(&s->lent_ids, (uintptr_t)row->object);
  row->object = NULL;
  row->generation = (row->generation + 1) & 0xfffff;
  row->next_free = s->exports_free;
  s->exports_free = (uint32_t)id;
  s->nexports--;
  return 1;
}
