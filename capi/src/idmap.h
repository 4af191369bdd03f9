/* idmap.h: a hash table from a number other than 0 to a pointer. Open addressing, no ownership. */
#ifndef REMORA_IDMAP_H
#define REMORA_IDMAP_H

#include <stddef.h>
#include <stdint.h>

typedef struct idmap {
  struct {
    uint64_t key; /* 0: free */
    void *value;
  } * rows;
  size_t room, used; /* room: a power of two, or 0 */
} idmap;

void *idmap_get(const idmap *m, uint64_t key);
/* 0, or -1 when memory is out. */
int idmap_put(idmap *m, uint64_t key, void *value);
/* What was there, or NULL. */
void *idmap_remove(idmap *m, uint64_t key);
void idmap_clear(idmap *m);

#endif
