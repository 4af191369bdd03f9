/* container.c: lists and maps that are lent instead of copied. */
#include "error.h"
#include "value.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct container {
  pthread_mutex_t lock; /* remora_copy may be called on any thread */
  bool map;
  remora_value **items; /* map: key, item, key, item, ... */
  size_t count, room;
} container;

typedef struct iterator {
  remora_value *all; /* a list: what was there when it began */
  size_t at;
} iterator;

static remora_value *container_call(void *userdata, const char *method, const remora_value *args, remora_error **err);
static remora_value *iterator_call(void *userdata, const char *method, const remora_value *args, remora_error **err);

static const remora_class list_class = {sizeof list_class, "list", "iter len item setitem delitem contains",
                                        container_call};
static const remora_class map_class = {sizeof map_class, "map", "iter len item setitem delitem contains keys",
                                       container_call};
static const remora_class iterator_class = {sizeof iterator_class, "iterator", "iter next", iterator_call};

/* ------------------------------------------------------------------------------------------------------------ contents */

static int out_of_memory(remora_error **err) { return error_set(err, REMORA_E_NOMEM, NULL); }

static remora_value *shared(const remora_value *v) { return remora_value_ref((remora_value *)(uintptr_t)v); }

static int room_for(container *c, size_t more, remora_error **err) {
  if (c->count + more <= c->room) return 0;
  size_t room = 2 * c->room + 16 + more;
  remora_value **items = realloc(c->items, room * sizeof *items);
  if (!items) return out_of_memory(err);
  c->items = items;
  c->room = room;
  return 0;
}

/* Every step-th item from the first on, or all for step 0, as a list, or as what the container is. */
static remora_value *contents(const container *c, size_t first, size_t step, remora_error **err) {
  remora_value *made = !step && c->map ? remora_map() : remora_list();
  int failed = !made;
  for (size_t i = first; !failed && i < c->count; i += step ? step : c->map ? 2 : 1)
    failed = !step && c->map ? remora_put(made, shared(c->items[i]), shared(c->items[i + 1]))
                             : remora_append(made, shared(c->items[i]));
  if (!failed) return made;
  (void)out_of_memory(err);
  return remora_value_unref(made);
}

/* Where the item for a key stands (for `open`: or would be appended to a list); c->count if nowhere, with *err. */
static size_t find(const container *c, const remora_value *key, bool open, remora_error **err) {
  if (c->map) {
    for (size_t i = 0; i < c->count; i += 2)
      if (remora_value_equal(c->items[i], key)) return i + 1;
    (void)error_set(err, REMORA_E_NOTFOUND, "there is no such key");
    return c->count;
  }
  int64_t at = remora_as_int(key), count = (int64_t)c->count;
  if (remora_value_kind(key) != REMORA_INT) {
    (void)error_set(err, REMORA_E_NOTFOUND, "the index of a list is an integer");
    return c->count;
  }
  if (at < 0) at += count;
  if (at >= 0 && (at < count || (open && at == count))) return (size_t)at;
  (void)error_set(err, REMORA_E_NOTFOUND, "index %lld is outside of the list", (long long)remora_as_int(key));
  return c->count;
}

/* ---------------------------------------------------------------------------------------------------------- operations */

static remora_value *get_item(container *c, const remora_value *key, remora_error **err) {
  size_t at = find(c, key, false, err);
  return at < c->count ? shared(c->items[at]) : NULL;
}

static int set_item(container *c, const remora_value *key, const remora_value *item, remora_error **err) {
  remora_error *why = NULL;
  size_t at = find(c, key, true, &why);
  if (at < c->count) {
    (void)remora_value_unref(c->items[at]);
    c->items[at] = shared(item);
    return 0;
  }
  if (why && !c->map) {
    if (err)
      *err = why;
    else
      (void)remora_error_free(why);
    return -1;
  }
  (void)remora_error_free(why);
  if (room_for(c, 2, err) != 0) return -1;
  if (c->map) c->items[c->count++] = shared(key);
  c->items[c->count++] = shared(item);
  return 0;
}

static int delete_item(container *c, const remora_value *key, remora_error **err) {
  size_t at = find(c, key, false, err), width = c->map ? 2 : 1;
  if (at >= c->count) return -1;
  at -= width - 1;
  for (size_t i = 0; i < width; i++) (void)remora_value_unref(c->items[at + i]);
  c->count -= width;
  memmove(c->items + at, c->items + at + width, (c->count - at) * sizeof *c->items);
  return 0;
}

static bool contains(const container *c, const remora_value *value) {
  for (size_t i = 0; i < c->count; i += c->map ? 2 : 1)
    if (remora_value_equal(c->items[i], value)) return true;
  return false;
}

static void iterator_free(void *userdata) {
  iterator *it = userdata;
  (void)remora_value_unref(it->all);
  free(it);
}

static remora_value *lend(const remora_class *cls, void *userdata, void (*destroy)(void *)) {
  remora_object *object = remora_export(NULL, cls, userdata, destroy);
  remora_value *value = object ? remora_value_of_object(object) : NULL;
  if (!object) destroy(userdata);
  (void)remora_object_unref(object);
  return value;
}

/* What is iterated over: a snapshot, so that a loop may change the container. */
static remora_value *iterate(const container *c, remora_error **err) {
  remora_value *all = contents(c, 0, c->map ? 2 : 1, err);
  iterator *it = all ? calloc(1, sizeof *it) : NULL;
  if (it) it->all = all;
  remora_value *value = it ? lend(&iterator_class, it, iterator_free) : remora_value_unref(all);
  if (!value && err && !*err) (void)out_of_memory(err);
  return value;
}

static remora_value *iterator_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  iterator *it = userdata;
  if (strcmp(method, ":next") != 0)
    return error_set(err, REMORA_E_NOTFOUND, "an iterator has no method \"%.80s\"", method), NULL;
  remora_value *items = remora_list(), *answer = remora_list();
  int64_t most = remora_as_int(remora_at(args, 0));
  int failed = !items || !answer;
  for (size_t n = remora_length(it->all); !failed && most > 0 && it->at < n; most--)
    failed = remora_append(items, shared(remora_at(it->all, it->at++)));
  if (!failed) failed = remora_append(answer, remora_bool(it->at >= remora_length(it->all)));
  if (!failed) failed = remora_append(answer, items), items = NULL;
  if (!failed) return answer;
  (void)remora_value_unref(items);
  (void)out_of_memory(err);
  return remora_value_unref(answer);
}

static remora_value *perform(container *c, const char *method, const remora_value *args, remora_error **err) {
  static const struct {
    const char *name;
    size_t args;
  } operations[] = {{":len", 0},   {":iter", 0}, {":keys", 0},    {":copy", 0},     {":item", 1},
                    {"append", 1}, {"clear", 0}, {":delitem", 1}, {":contains", 1}, {":setitem", 2}};
  size_t at = 0, known = sizeof operations / sizeof *operations;
  while (at < known && strcmp(operations[at].name, method) != 0) at++;
  if (at == known || (c->map ? at == 5 : at == 2))
    return error_set(err, REMORA_E_NOTFOUND, "a %s has no method \"%.80s\"", c->map ? "map" : "list", method), NULL;
  if (remora_length(args) != operations[at].args)
    return error_set(err, REMORA_E_INVALID, "%s wants %zu arguments", method, operations[at].args), NULL;
  const remora_value *key = remora_at(args, 0);
  switch (at) {
  case 0:
    return remora_int((int64_t)(c->map ? c->count / 2 : c->count));
  case 1:
    return iterate(c, err);
  case 2:
    return contents(c, 0, 2, err);
  case 3:
    return contents(c, 0, 0, err);
  case 4:
    return get_item(c, key, err);
  case 5:
    if (room_for(c, 1, err) == 0) c->items[c->count++] = shared(key);
    return NULL;
  case 6:
    while (c->count) (void)remora_value_unref(c->items[--c->count]);
    return NULL;
  case 7:
    (void)delete_item(c, key, err);
    return NULL;
  case 8:
    return remora_bool(contains(c, key));
  default:
    (void)set_item(c, key, remora_at(args, 1), err);
    return NULL;
  }
}

static remora_value *container_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  container *c = userdata;
  pthread_mutex_lock(&c->lock);
  remora_value *result = perform(c, method, args, err);
  pthread_mutex_unlock(&c->lock);
  return result;
}

/* -------------------------------------------------------------------------------------------------------------- public */

static void container_free(void *userdata) {
  container *c = userdata;
  while (c->count) (void)remora_value_unref(c->items[--c->count]);
  free(c->items);
  (void)pthread_mutex_destroy(&c->lock);
  free(c);
}

remora_value *remora_by_ref(remora_value *value) {
  remora_kind kind = remora_value_kind(value);
  bool map = kind == REMORA_MAP;
  if (!value || (!map && kind != REMORA_LIST && kind != REMORA_TUPLE)) return value;
  container *c = calloc(1, sizeof *c);
  if (!c || room_for(c, value->u.seq.count, NULL) != 0) {
    free(c);
    return remora_value_unref(value);
  }
  (void)pthread_mutex_init(&c->lock, NULL);
  c->map = map;
  for (; c->count < value->u.seq.count; c->count++) c->items[c->count] = shared(value->u.seq.items[c->count]);
  (void)remora_value_unref(value);
  return lend(map ? &map_class : &list_class, c, container_free);
}

remora_value *remora_copy(const remora_value *reference, remora_error **err) {
  remora_object *object = reference ? remora_as_object(reference) : NULL;
  const remora_class *cls = object ? remora_object_class(object) : NULL;
  if (reference && remora_as_proxy(reference)) return remora_call(remora_as_proxy(reference), ":copy", NULL, err);
  if (cls != &list_class && cls != &map_class)
    return error_set(err, REMORA_E_INVALID, "only a list or map that is there by reference can be copied"), NULL;
  container *c = remora_object_userdata(object);
  pthread_mutex_lock(&c->lock);
  remora_value *made = contents(c, 0, 0, err);
  pthread_mutex_unlock(&c->lock);
  return made;
}
