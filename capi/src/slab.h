/* slab.h: memory for values, which come and go by the hundred thousand. */
#ifndef REMORA_SLAB_H
#define REMORA_SLAB_H

#include <stddef.h>

/* Aligned for pointers and doubles; NULL when memory is out. */
void *slab_alloc(size_t size);
/* On any thread; not NULL. */
void slab_free(void *p);

#endif
