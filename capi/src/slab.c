/* slab.c: each thread hands out pieces of a slab in a row; a slab goes when its last piece goes. malloc spends half of the time of a large result on
 * single pieces. Sanitizers get plain malloc, so that they see every piece. */
#include "slab.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#define SLAB_SIZE (32u * 1024)
#define SLAB_LARGEST 256u /* larger pieces are malloc's */
#define SLAB_OPEN (1 << 30)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLAB_OFF 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SLAB_OFF 1
#endif
#endif

#ifdef SLAB_OFF

void *slab_alloc(size_t size) { return malloc(size); }
void slab_free(void *p) { free(p); }

#else

typedef struct slab {
  atomic_int live; /* pieces in use; SLAB_OPEN more while its thread hands out pieces */
  int pieces;
  size_t used;
} slab;

/* Before each piece: where it came from; NULL: malloc. */
typedef struct piece {
  slab *from;
} piece;

static _Thread_local slab *slab_current;
static pthread_key_t slab_key;
static pthread_once_t slab_once = PTHREAD_ONCE_INIT;

static void slab_close(void *p) {
  slab *s = p;
  int unused = SLAB_OPEN - s->pieces;
  if (atomic_fetch_sub_explicit(&s->live, unused, memory_order_acq_rel) == unused) free(s);
}

static void slab_thread_ends(void *p) {
  slab_close(p);
  slab_current = NULL;
}

static void slab_init(void) { (void)pthread_key_create(&slab_key, slab_thread_ends); }

static slab *slab_open(void) {
  slab *s = malloc(SLAB_SIZE);
  if (!s) return NULL;
  atomic_init(&s->live, SLAB_OPEN);
  s->pieces = 0;
  s->used = sizeof *s;
  if (slab_current) slab_close(slab_current);
  slab_current = s;
  (void)pthread_once(&slab_once, slab_init);
  (void)pthread_setspecific(slab_key, s);
  return s;
}

void *slab_alloc(size_t size) {
  piece *p;
  if (size > SLAB_LARGEST) {
    p = size < SIZE_MAX - sizeof *p ? malloc(sizeof *p + size) : NULL;
    if (!p) return NULL;
    p->from = NULL;
    return p + 1;
  }
  size = (sizeof *p + size + 7) & ~(size_t)7;
  slab *s = slab_current;
  if ((!s || s->used + size > SLAB_SIZE) && !(s = slab_open())) return NULL;
  p = (piece *)(void *)((char *)s + s->used);
  s->used += size;
  s->pieces++;
  p->from = s;
  return p + 1;
}

void slab_free(void *pointer) {
  piece *p = (piece *)pointer - 1;
  slab *s = p->from;
  if (!s)
    free(p);
  else if (atomic_fetch_sub_explicit(&s->live, 1, memory_order_acq_rel) == 1)
    free(s);
}

#endif
