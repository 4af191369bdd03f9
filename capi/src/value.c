/* value.c: one reference-counted cell per value; containers of any depth are freed without recursion. */
#include "value.h"
#include "slab.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* A count below zero is never changed: such values live for ever. */
#define VALUE_IMMORTAL INT_MIN

#define VALUE_LIST_ROOM 4  /* elements that a new list holds without a second allocation */
#define VALUE_MAP_ROOM 6   /* the same for keys and values of a map */
#define VALUE_FEW_PAIRS 16 /* up to here comparing all keys with each other beats a hash table */

#define VALUE_1(n)                                                                                                     \
  { .refs = VALUE_IMMORTAL, .kind = REMORA_INT, .u.integer = (n) }
#define VALUE_4(n) VALUE_1(n), VALUE_1((n) + 1), VALUE_1((n) + 2), VALUE_1((n) + 3)
#define VALUE_16(n) VALUE_4(n), VALUE_4((n) + 4), VALUE_4((n) + 8), VALUE_4((n) + 12)
#define VALUE_64(n) VALUE_16(n), VALUE_16((n) + 16), VALUE_16((n) + 32), VALUE_16((n) + 48)

enum { VALUE_SMALL_FIRST = -16, VALUE_SMALL_LAST = 256 };

static remora_value value_null = {.refs = VALUE_IMMORTAL, .kind = REMORA_NULL};
static remora_value value_false = {.refs = VALUE_IMMORTAL, .kind = REMORA_BOOL, .u.truth = false};
static remora_value value_true = {.refs = VALUE_IMMORTAL, .kind = REMORA_BOOL, .u.truth = true};
static remora_value value_small[VALUE_SMALL_LAST - VALUE_SMALL_FIRST + 1] = {
    VALUE_16(-16), VALUE_64(0), VALUE_64(64), VALUE_64(128), VALUE_64(192), VALUE_1(256),
};

/* ------------------------------------------------------------------------------------------------------- references */

remora_value *remora_value_ref(remora_value *v) {
  if (v && atomic_load_explicit(&v->refs, memory_order_relaxed) >= 0)
    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
  return v;
}

/* Gives one reference back; whether it was the last. */
static bool value_drop(remora_value *v) {
  int refs = atomic_load_explicit(&v->refs, memory_order_acquire);
  if (refs < 0) return false;
  /* Who holds the only reference is alone: nobody else can take one, and the locked instruction can be saved. */
  return refs == 1 || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) == 1;
}

static remora_value **value_inline_items(remora_value *v) { return (remora_value **)(v + 1); }

static bool value_is_list(const remora_value *v) { return v && (v->kind == REMORA_LIST || v->kind == REMORA_TUPLE); }

/* Frees a leaf; puts a container on the list of those whose contents have yet to go, linked through `keywords`. */
static void value_end(remora_value *v, remora_value **dead) {
  switch ((remora_kind)v->kind) {
  case REMORA_LIST:
  case REMORA_TUPLE:
  case REMORA_MAP:
    while (v) {
      remora_value *keywords = v->u.seq.keywords;
      v->u.seq.keywords = *dead;
      *dead = v;
      v = keywords && value_drop(keywords) ? keywords : NULL;
    }
    return;
  case REMORA_TEXT:
  case REMORA_BYTES:
  case REMORA_BIGINT:
    if (v->u.bytes.destroy) v->u.bytes.destroy(v->u.bytes.owner);
    break;
  case REMORA_PROXY:
    remora_proxy_unref(v->u.proxy);
    break;
  case REMORA_OBJECT:
    remora_object_unref(v->u.object);
    break;
  case REMORA_NULL:
  case REMORA_BOOL:
  case REMORA_INT:
  case REMORA_FLOAT:
    break;
  }
  slab_free(v);
}

remora_value *remora_value_unref(remora_value *v) {
  if (!v || !value_drop(v)) return NULL;
  remora_value *dead = NULL;
  value_end(v, &dead);
  while ((v = dead)) {
    dead = v->u.seq.keywords;
    for (size_t i = 0; i < v->u.seq.count; i++)
      if (value_drop(v->u.seq.items[i])) value_end(v->u.seq.items[i], &dead);
    if (v->u.seq.items != value_inline_items(v)) free(v->u.seq.items);
    slab_free(v);
  }
  return NULL;
}

/* ----------------------------------------------------------------------------------------------------- constructors */

static remora_value *value_new(remora_kind kind, size_t extra) {
  if (extra > SIZE_MAX - sizeof(remora_value)) return NULL;
  remora_value *v = slab_alloc(sizeof *v + extra);
  if (v) {
    atomic_init(&v->refs, 1);
    v->kind = (uint8_t)kind;
  }
  return v;
}

remora_value *remora_null(void) { return &value_null; }

remora_value *remora_bool(int truth) { return truth ? &value_true : &value_false; }

remora_value *remora_int(int64_t number) {
  if (number >= VALUE_SMALL_FIRST && number <= VALUE_SMALL_LAST) return &value_small[number - VALUE_SMALL_FIRST];
  remora_value *v = value_new(REMORA_INT, 0);
  if (v) v->u.integer = number;
  return v;
}

remora_value *remora_float(double number) {
  remora_value *v = value_new(REMORA_FLOAT, 0);
  if (v) v->u.real = number;
  return v;
}

/* Copies the bytes and puts a NUL behind them. */
static remora_value *value_copy(remora_kind kind, const void *data, size_t length) {
  remora_value *v = length < SIZE_MAX ? value_new(kind, length + 1) : NULL;
  if (!v) return NULL;
  char *copy = (char *)(v + 1);
  if (length) memcpy(copy, data, length);
  copy[length] = '\0';
  v->u.bytes.data = copy;
  v->u.bytes.length = length;
  v->u.bytes.destroy = NULL;
  v->u.bytes.owner = NULL;
  return v;
}

remora_value *remora_bigint(const char *decimal) {
  bool minus = decimal[0] == '-';
  const char *digits = decimal + minus;
  size_t n = strspn(digits, "0123456789");
  if (!n || digits[n] || (digits[0] == '0' && n > 1)) return NULL;
  /* 19 digits cannot overflow 64 bits unsigned; 20 digits are beyond 63 bits in any case. */
  if (n <= 19) {
    uint64_t magnitude = 0;
    for (size_t i = 0; i < n; i++) magnitude = magnitude * 10 + (uint64_t)(digits[i] - '0');
    if (magnitude <= (uint64_t)INT64_MAX) return remora_int(minus ? -(int64_t)magnitude : (int64_t)magnitude);
    if (minus && magnitude == (uint64_t)INT64_MAX + 1) return remora_int(INT64_MIN);
  }
  return value_copy(REMORA_BIGINT, decimal, n + minus);
}

remora_value *value_text_trusted(const char *text, size_t length) { return value_copy(REMORA_TEXT, text, length); }

remora_value *remora_text(const char *text, size_t length) {
  return value_utf8(text, length) ? value_copy(REMORA_TEXT, text, length) : NULL;
}

remora_value *remora_str(const char *text) { return remora_text(text, strlen(text)); }

remora_value *remora_bytes(const void *data, size_t length) { return value_copy(REMORA_BYTES, data, length); }

remora_value *value_view(remora_kind kind, const char *data, size_t length, void (*destroy)(void *owner), void *owner) {
  remora_value *v = value_new(kind, 0);
  if (v) {
    v->u.bytes.data = data;
    v->u.bytes.length = length;
    v->u.bytes.destroy = destroy;
    v->u.bytes.owner = owner;
  }
  return v;
}

remora_value *remora_bytes_view(const void *data, size_t length, void (*destroy)(void *owner), void *owner) {
  return value_view(REMORA_BYTES, data, length, destroy, owner);
}

static remora_value *value_container(remora_kind kind, size_t room) {
  remora_value *v = room < SIZE_MAX / sizeof(remora_value *) ? value_new(kind, room * sizeof(remora_value *)) : NULL;
  if (v) {
    v->u.seq.items = value_inline_items(v);
    v->u.seq.count = 0;
    v->u.seq.room = room;
    v->u.seq.keywords = NULL;
  }
  return v;
}

remora_value *remora_list(void) { return value_container(REMORA_LIST, VALUE_LIST_ROOM); }

remora_value *remora_tuple(void) { return value_container(REMORA_TUPLE, VALUE_LIST_ROOM); }

remora_value *remora_map(void) { return value_container(REMORA_MAP, VALUE_MAP_ROOM); }

remora_value *value_sequence(remora_kind kind, remora_value *const *items, size_t count) {
  remora_value *v = value_container(kind, count);
  if (v) {
    if (count) memcpy(v->u.seq.items, items, count * sizeof(*items));
    v->u.seq.count = count;
  }
  return v;
}

remora_value *remora_value_of_proxy(remora_proxy *proxy) {
  remora_value *v = value_new(REMORA_PROXY, 0);
  if (v) v->u.proxy = remora_proxy_ref(proxy);
  return v;
}

remora_value *remora_value_of_object(remora_object *object) {
  remora_value *v = value_new(REMORA_OBJECT, 0);
  if (v) v->u.object = remora_object_ref(object);
  return v;
}

/* --------------------------------------------------------------------------------------------------------- building */

/* Makes room for `more` items, doubling, so that appending is O(1) on average. */
static bool value_reserve(remora_value *v, size_t more) {
  size_t need = v->u.seq.count + more;
  if (need <= v->u.seq.room) return true;
  size_t room = v->u.seq.room < 4 ? 8 : v->u.seq.room * 2;
  if (room > SIZE_MAX / 2 / sizeof(remora_value *)) return false;
  bool is_inline = v->u.seq.items == value_inline_items(v);
  remora_value **items = realloc(is_inline ? NULL : v->u.seq.items, room * sizeof(*items));
  if (!items) return false;
  if (is_inline && v->u.seq.count) memcpy(items, v->u.seq.items, v->u.seq.count * sizeof(*items));
  v->u.seq.items = items;
  v->u.seq.room = room;
  return true;
}

int remora_append(remora_value *list, remora_value *item) {
  if (!item || !value_is_list(list) || !value_reserve(list, 1)) {
    remora_value_unref(item);
    return -1;
  }
  list->u.seq.items[list->u.seq.count++] = item;
  return 0;
}

int remora_put(remora_value *map, remora_value *key, remora_value *item) {
  if (!key || !item || !map || map->kind != REMORA_MAP || !value_reserve(map, 2)) {
    remora_value_unref(key);
    remora_value_unref(item);
    return -1;
  }
  map->u.seq.items[map->u.seq.count++] = key;
  map->u.seq.items[map->u.seq.count++] = item;
  return 0;
}

int remora_set(remora_value *map, const char *key, remora_value *item) {
  return remora_put(map, remora_str(key), item);
}

static bool value_has_text_keys(const remora_value *map) {
  for (size_t i = 0; i < map->u.seq.count; i += 2)
    if (map->u.seq.items[i]->kind != REMORA_TEXT) return false;
  return true;
}

int remora_set_keywords(remora_value *args, remora_value *keywords) {
  if (!args || args->kind != REMORA_LIST || !keywords || keywords->kind != REMORA_MAP ||
      !value_has_text_keys(keywords)) {
    remora_value_unref(keywords);
    return -1;
  }
  remora_value_unref(args->u.seq.keywords);
  args->u.seq.keywords = keywords;
  return 0;
}

/* ---------------------------------------------------------------------------------------------------------- looking */

remora_kind remora_value_kind(const remora_value *v) { return v ? (remora_kind)v->kind : REMORA_NULL; }

int remora_as_bool(const remora_value *v) { return v && v->kind == REMORA_BOOL && v->u.truth; }

int64_t remora_as_int(const remora_value *v) {
  if (v && v->kind == REMORA_INT) return v->u.integer;
  return remora_as_bool(v);
}

double remora_as_float(const remora_value *v) {
  if (v && v->kind == REMORA_FLOAT) return v->u.real;
  return v && v->kind == REMORA_INT ? (double)v->u.integer : 0.0;
}

const char *remora_as_text(const remora_value *v, size_t *length) {
  bool has = v && (v->kind == REMORA_TEXT || v->kind == REMORA_BYTES || v->kind == REMORA_BIGINT);
  if (length) *length = has ? v->u.bytes.length : 0;
  return has ? v->u.bytes.data : NULL;
}

size_t remora_length(const remora_value *v) {
  if (value_is_list(v)) return v->u.seq.count;
  return v && v->kind == REMORA_MAP ? v->u.seq.count / 2 : 0;
}

const remora_value *remora_at(const remora_value *v, size_t i) {
  if (i >= remora_length(v)) return NULL;
  return v->u.seq.items[v->kind == REMORA_MAP ? 2 * i + 1 : i];
}

const remora_value *remora_key_at(const remora_value *v, size_t i) {
  return v && v->kind == REMORA_MAP && i < v->u.seq.count / 2 ? v->u.seq.items[2 * i] : NULL;
}

const remora_value *remora_get(const remora_value *map, const char *key) {
  if (!map || map->kind != REMORA_MAP) return NULL;
  size_t length = strlen(key);
  for (size_t i = 0; i < map->u.seq.count; i += 2) {
    const remora_value *k = map->u.seq.items[i];
    if (k->kind == REMORA_TEXT && k->u.bytes.length == length && memcmp(k->u.bytes.data, key, length) == 0)
      return map->u.seq.items[i + 1];
  }
  return NULL;
}

const remora_value *remora_keywords(const remora_value *args) {
  return args && args->kind == REMORA_LIST ? args->u.seq.keywords : NULL;
}

remora_proxy *remora_as_proxy(const remora_value *v) { return v && v->kind == REMORA_PROXY ? v->u.proxy : NULL; }

remora_object *remora_as_object(const remora_value *v) { return v && v->kind == REMORA_OBJECT ? v->u.object : NULL; }

/* -------------------------------------------------------------------------------------------------------- comparing */

static bool value_equal(const remora_value *a, const remora_value *b, int depth);

static bool value_same_real(double a, double b) { return a == b || (a != a && b != b); }

static bool value_is_leaf(const remora_value *v) {
  return v->kind != REMORA_LIST && v->kind != REMORA_TUPLE && v->kind != REMORA_MAP;
}

/* A hash table over the keys of a map. */
struct value_slot {
  uint64_t hash;
  size_t pair; /* its number + 1; 0: free */
};

struct value_index {
  const remora_value *map;
  struct value_slot *slots;
  size_t mask;
};

/* Multiplies to 128 bits and folds: with a secret factor nobody outside can make keys collide at will. */
static uint64_t value_mix(uint64_t a, uint64_t b) {
  unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t value_hash_bytes(const char *data, size_t length, uint64_t seed) {
  uint64_t hash = seed ^ length;
  for (; length >= 8; data += 8, length -= 8) {
    uint64_t word;
    memcpy(&word, data, 8);
    hash = value_mix(hash ^ word, seed);
  }
  uint64_t rest = 0;
  memcpy(&rest, data, length);
  return value_mix(hash ^ rest, seed);
}

static uint64_t value_seed(void) {
  static _Atomic uint64_t seed;
  uint64_t now = atomic_load_explicit(&seed, memory_order_relaxed);
  if (now) return now;
  uint64_t fresh = 0;
  if (getentropy(&fresh, sizeof fresh) != 0)
    fresh = (uint64_t)time(NULL) * 0x9e3779b97f4a7c15u ^ (uint64_t)(uintptr_t)&fresh;
  fresh |= 1; /* an odd factor loses nothing, and zero means not yet */
  return atomic_compare_exchange_strong(&seed, &now, fresh) ? fresh : now;
}

/* Equal values have equal hashes. */
static uint64_t value_hash(const remora_value *v, uint64_t seed, int depth) {
  uint64_t bits = 0;
  double real;
  switch ((remora_kind)v->kind) {
  case REMORA_NULL:
    break;
  case REMORA_BOOL:
    bits = v->u.truth;
    break;
  case REMORA_INT:
    bits = (uint64_t)v->u.integer;
    break;
  case REMORA_FLOAT:
    /* NaNs are all equal, and so are the two zeros. */
    real = v->u.real != v->u.real ? 0.5 : v->u.real + 0.0;
    memcpy(&bits, &real, sizeof bits);
    break;
  case REMORA_TEXT:
  case REMORA_BYTES:
  case REMORA_BIGINT:
    bits = value_hash_bytes(v->u.bytes.data, v->u.bytes.length, seed);
    break;
  case REMORA_LIST:
  case REMORA_TUPLE:
    bits = v->u.seq.count;
    for (size_t i = 0; depth > 0 && i < v->u.seq.count; i++)
      bits = value_mix(bits ^ value_hash(v->u.seq.items[i], seed, depth - 1), seed);
    break;
  case REMORA_MAP: /* the order of pairs must not count */
    bits = v->u.seq.count;
    for (size_t i = 0; depth > 0 && i < v->u.seq.count; i += 2)
      bits += value_mix(value_hash(v->u.seq.items[i], seed, depth - 1),
                        value_hash(v->u.seq.items[i + 1], seed, depth - 1) ^ seed);
    break;
  case REMORA_PROXY:
    bits = (uint64_t)(uintptr_t)v->u.proxy;
    break;
  case REMORA_OBJECT:
    bits = (uint64_t)(uintptr_t)v->u.object;
    break;
  }
  return value_mix(bits ^ ((uint64_t)v->kind << 56), seed);
}

/* Whether keys are better compared by hash: there are many, or one is a container (each with each would be quadratic on
 * every level). */
static bool value_wants_index(const remora_value *map) {
  if (map->u.seq.count > 2 * VALUE_FEW_PAIRS) return true;
  for (size_t i = 0; i < map->u.seq.count; i += 2)
    if (!value_is_leaf(map->u.seq.items[i])) return true;
  return false;
}

/* The slot that holds an equal key, or the free one where it belongs. */
static struct value_slot *value_index_slot(const struct value_index *index, const remora_value *key, int depth) {
  uint64_t hash = value_hash(key, value_seed(), depth);
  for (size_t i = (size_t)hash & index->mask;; i = (i + 1) & index->mask) {
    struct value_slot *slot = &index->slots[i];
    if (!slot->pair) {
      slot->hash = hash;
      return slot;
    }
    if (slot->hash == hash && value_equal(index->map->u.seq.items[2 * (slot->pair - 1)], key, depth)) return slot;
  }
}

/* Makes the table and puts all keys in: 1 if two are equal, else 0; -1 without memory. */
static int value_index_init(struct value_index *index, const remora_value *map, int depth) {
  size_t size = 16;
  while (size < map->u.seq.count) /* twice the pairs: at most half full */
    size *= 2;
  *index = (struct value_index){.map = map, .slots = calloc(size, sizeof(*index->slots)), .mask = size - 1};
  if (!index->slots) return -1;
  int equal = 0;
  for (size_t pair = 0; pair < map->u.seq.count / 2; pair++) {
    struct value_slot *slot = value_index_slot(index, map->u.seq.items[2 * pair], depth);
    if (slot->pair)
      equal = 1;
    else
      slot->pair = pair + 1;
  }
  return equal;
}

/* The value under an equal key; maps of one origin have it at the same place. */
static const remora_value *value_find(const remora_value *map, const remora_value *key, size_t guess, int depth) {
  size_t count = map->u.seq.count;
  for (size_t n = 0, i = guess; n < count; n += 2, i = i + 2 < count ? i + 2 : 0)
    if (value_equal(map->u.seq.items[i], key, depth)) return map->u.seq.items[i + 1];
  return NULL;
}

/* Looks at each pair once: to compare a value again after it was found unequal would double the work on every level. */
static bool value_equal_maps(const remora_value *a, const remora_value *b, int depth) {
  struct value_index index = {.map = NULL};
  bool wants = value_wants_index(b), equal = true;
  for (size_t i = 0; equal && i < a->u.seq.count; i += 2) {
    const remora_value *key = a->u.seq.items[i], *other = NULL;
    if (value_is_leaf(key) && value_equal(key, b->u.seq.items[i], depth)) {
      other = b->u.seq.items[i + 1];
    } else if (wants && (index.slots || value_index_init(&index, b, depth) >= 0)) {
      size_t pair = value_index_slot(&index, key, depth)->pair;
      other = pair ? b->u.seq.items[2 * pair - 1] : NULL;
    } else {
      other = value_find(b, key, i, depth);
    }
    equal = other && value_equal(a->u.seq.items[i + 1], other, depth);
  }
  free(index.slots);
  return equal;
}

/* What nests deeper than can cross is equal only to itself: that bounds the recursion. */
static bool value_equal(const remora_value *a, const remora_value *b, int depth) {
  if (a == b) return true;
  if (!a || !b || a->kind != b->kind) return false;
  switch ((remora_kind)a->kind) {
  case REMORA_NULL:
    return true;
  case REMORA_BOOL:
    return a->u.truth == b->u.truth;
  case REMORA_INT:
    return a->u.integer == b->u.integer;
  case REMORA_FLOAT:
    return value_same_real(a->u.real, b->u.real);
  case REMORA_TEXT:
  case REMORA_BYTES:
  case REMORA_BIGINT:
    return a->u.bytes.length == b->u.bytes.length &&
           (!a->u.bytes.length || memcmp(a->u.bytes.data, b->u.bytes.data, a->u.bytes.length) == 0);
  case REMORA_LIST:
  case REMORA_TUPLE:
    if (depth == 0 || a->u.seq.count != b->u.seq.count || !value_equal(a->u.seq.keywords, b->u.seq.keywords, depth - 1))
      return false;
    for (size_t i = 0; i < a->u.seq.count; i++)
      if (!value_equal(a->u.seq.items[i], b->u.seq.items[i], depth - 1)) return false;
    return true;
  case REMORA_MAP:
    return depth > 0 && a->u.seq.count == b->u.seq.count && value_equal_maps(a, b, depth - 1);
  case REMORA_PROXY:
    return a->u.proxy == b->u.proxy;
  case REMORA_OBJECT:
    return a->u.object == b->u.object;
  }
  return false;
}

int remora_value_equal(const remora_value *a, const remora_value *b) {
  return value_equal(a ? a : &value_null, b ? b : &value_null, VALUE_MAX_DEPTH);
}

bool value_has_equal_keys(const remora_value *map) {
  struct value_index index = {.map = NULL};
  int equal = value_wants_index(map) ? value_index_init(&index, map, VALUE_MAX_DEPTH) : -1;
  free(index.slots);
  if (equal >= 0) return equal;
  for (size_t i = 2; i < map->u.seq.count; i += 2)
    for (size_t k = 0; k < i; k += 2)
      if (value_equal(map->u.seq.items[i], map->u.seq.items[k], VALUE_MAX_DEPTH)) return true;
  return false;
}

/* ------------------------------------------------------------------------------------------------------------ UTF-8 */

int value_utf8(const char *text, size_t length) {
  const unsigned char *at = (const unsigned char *)text, *end = at + length;
  int result = 1;
  while (at < end) {
    uint64_t word;
    if (end - at >= 8 && (memcpy(&word, at, 8), (word & 0x8080808080808080u) == 0)) {
      at += 8;
      continue;
    }
    if (*at < 0x80) {
      at++;
      continue;
    }
    size_t n = *at >= 0xf0 ? 4 : *at >= 0xe0 ? 3 : 2;
    /* The second byte's range keeps out overlong forms and what is beyond U+10FFFF. */
    unsigned low = *at == 0xe0 ? 0xa0 : *at == 0xf0 ? 0x90 : 0x80, high = *at == 0xf4 ? 0x8f : 0xbf;
    if (*at < 0xc2 || *at > 0xf4 || (size_t)(end - at) < n || at[1] < low || at[1] > high) return 0;
    for (size_t i = 2; i < n; i++)
      if ((at[i] & 0xc0) != 0x80) return 0;
    if (*at == 0xed && at[1] >= 0xa0) result = 2;
    at += n;
  }
  return result;
}
