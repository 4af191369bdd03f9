/* idmap.c: linear probing with backward-shift deletion, so that a million puts and removes leave no tombstones. */
#include "idmap.h"

#include <stdlib.h>

static size_t idmap_home(const idmap *m, uint64_t key) {
  return (size_t)((key * 0x9E3779B97F4A7C15u) >> 20) & (m->room - 1);
}

static size_t idmap_find(const idmap *m, uint64_t key) {
  size_t i = idmap_home(m, key);
  while (m->rows[i].key && m->rows[i].key != key) i = (i + 1) & (m->room - 1);
  return i;
}

void *idmap_get(const idmap *m, uint64_t key) {
  if (!m->used) return NULL;
  size_t i = idmap_find(m, key);
  return m->rows[i].key ? m->rows[i].value : NULL;
}

static int idmap_resize(idmap *m, size_t room) {
  idmap bigger = {.rows = calloc(room, sizeof *bigger.rows), .room = room, .used = m->used};
  if (!bigger.rows) return -1;
  for (size_t i = 0; i < m->room; i++)
    if (m->rows[i].key) bigger.rows[idmap_find(&bigger, m->rows[i].key)] = m->rows[i];
  free(m->rows);
  *m = bigger;
  return 0;
}

int idmap_put(idmap *m, uint64_t key, void *value) {
  if (m->used * 2 >= m->room && idmap_resize(m, m->room ? m->room * 2 : 16) != 0) return -1;
  size_t i = idmap_find(m, key);
  if (!m->rows[i].key) m->used++;
  m->rows[i].key = key;
  m->rows[i].value = value;
  return 0;
}

void *idmap_remove(idmap *m, uint64_t key) {
  if (!m->used) return NULL;
  size_t hole = idmap_find(m, key);
  if (!m->rows[hole].key) return NULL;
  void *value = m->rows[hole].value;
  for (size_t i = (hole + 1) & (m->room - 1); m->rows[i].key; i = (i + 1) & (m->room - 1)) {
    size_t home = idmap_home(m, m->rows[i].key);
    if (((i - home) & (m->room - 1)) < ((i - hole) & (m->room - 1)))
      continue; /* it already stands between its home and the hole */
    m->rows[hole] = m->rows[i];
    hole = i;
  }
  m->rows[hole].key = 0;
  m->used--;
  if (m->room > 1024 && m->used * 8 < m->room) (void)idmap_resize(m, m->room / 4); /* shrinking may fail harmlessly */
  return value;
}

void idmap_clear(idmap *m) {
  free(m->rows);
  *m = (idmap){0};
}
