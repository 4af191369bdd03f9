/* lua_lent.c: objects of a Lua state that far sides use. */
#include "lua_values.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CLASSES 10000

/* One sending of an object: what the C library knows it by. Lua's tables lead from it to the object and back. */
struct lua_lent {
  lua_side *side;
  const remora_class *cls;
  lua_lent *next;
};

/* Never runs: our events are pulled. It also marks the classes that are Lua's. */
static remora_value *class_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  (void)userdata, (void)method, (void)args;
  *err = remora_error_new(REMORA_E_INVALID, "an object of Lua is called by its own queue");
  return NULL;
}

/* One remora_class for each name and traits, for ever and for all states: C may look at it as long as an object lives. */
static const remora_class *class_of(const char *name, const char *traits) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static struct known {
    remora_class cls;
    struct known *next;
  } * table[256];
  static int count;
  unsigned hash = 5381;
  for (const char *at = name; *at; at++) hash = hash * 33 ^ (unsigned char)*at;
  for (const char *at = traits; *at; at++) hash = hash * 33 ^ (unsigned char)*at;
  pthread_mutex_lock(&lock);
  struct known *k = table[hash & 255];
  while (k && (strcmp(k->cls.name, name) != 0 || strcmp(k->cls.traits, traits) != 0)) k = k->next;
  if (!k && count < MAX_CLASSES && (k = calloc(1, sizeof *k))) {
    char *name_copy = strdup(name), *traits_copy = strdup(traits);
    if (name_copy && traits_copy) {
      k->cls = (remora_class){.size = sizeof k->cls, .name = name_copy, .traits = traits_copy, .call = class_call};
      k->next = table[hash & 255];
      table[hash & 255] = k;
      count++;
    } else {
      free(name_copy), free(traits_copy), free(k);
      k = NULL;
    }
  }
  pthread_mutex_unlock(&lock);
  return k ? &k->cls : NULL;
}

static int has(lua_State *L, const char *name) { /* in the metatable on top */
  lua_pushstring(L, name);
  lua_rawget(L, -2);
  int there = !lua_isnil(L, -1);
  lua_pop(L, 1);
  return there;
}

/* A table that is only its contents: no metatable but a mark of ours, and no class. */
static int is_data(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TTABLE) return 0;
  int data = 1;
  if (lua_getmetatable(L, index)) {
    lua_pushliteral(L, "__name");
    lua_rawget(L, -2);
    const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    data = strcmp(name, "remora.list") == 0 || strcmp(name, "remora.map") == 0;
    lua_pop(L, 2);
  }
  lua_pushliteral(L, "__index");
  lua_rawget(L, index);
  data = data && lua_isnil(L, -1);
  lua_pop(L, 1);
  return data;
}

static const remora_class *describe(lua_conv *c, int index) {
  lua_State *L = c->L;
  int type = lua_type(L, index);
  if (type == LUA_TFUNCTION) return class_of("function", "call");
  if (type == LUA_TTHREAD) return class_of("thread", "iter next");
  char name[128] = "", traits[64] = "";
  if (is_data(L, index))
    return class_of("table", lua_rawlen(L, index) > 0 ? "iter len item setitem delitem contains"
                                                      : "iter len item setitem delitem contains keys");
  if (lua_getmetatable(L, index)) {
    static const char *const fields[] = {"__name", "name"};
    for (int i = 0; i < 2 && !*name; i++) {
      lua_pushstring(L, fields[i]);
      lua_rawget(L, -2);
      if (lua_type(L, -1) == LUA_TSTRING) strncat(name, lua_tostring(L, -1), sizeof name - 1);
      lua_pop(L, 1);
    }
    if (has(L, "__call")) strcat(traits, "call ");
    if (has(L, "__len")) strcat(traits, "len ");
    if (has(L, "__lt")) strcat(traits, "order ");
    lua_pop(L, 1);
  }
  size_t n = strlen(traits);
  if (n) traits[n - 1] = 0;
  if (!*name || strpbrk(name, "\n")) strcpy(name, lua_typename(L, type));
  const remora_class *cls = class_of(name, traits);
  return cls ? cls : class_of("object", "");
}

/* The library's last word about a lent: inside lua_reap, or on any thread when the state is gone. */
static void lent_destroy(void *userdata) {
  lua_lent *lent = userdata;
  lua_side *side = lent->side;
  if (!atomic_load(&side->closed)) {
    lent->next = side->gone;
    side->gone = lent;
    return;
  }
  free(lent);
  lua_side_release(side);
}

void lua_reap(lua_State *L, int kept) {
  lua_side *side = lua_side_of(L, kept);
  if (!side->lents || !remora_queue_reap(side->queue)) return;
  lua_rawgeti(L, kept, KEPT_OBJECTS);
  lua_rawgeti(L, kept, KEPT_LENT);
  int lents = lua_gettop(L), objects = lents - 1;
  for (lua_lent *lent; (lent = side->gone);) { /* clearing fields allocates nothing */
    side->gone = lent->next;
    side->lents--;
    lua_pushlightuserdata(L, lent);
    lua_rawget(L, objects);
    if (!lua_isnil(L, -1)) {
      lua_pushvalue(L, -1);
      lua_rawget(L, lents);
      if (lua_touserdata(L, -1) == lent) { /* it may have been lent again meanwhile */
        lua_pushvalue(L, -2);
        lua_pushnil(L);
        lua_rawset(L, lents);
      }
      lua_pushlightuserdata(L, lent);
      lua_pushnil(L);
      lua_rawset(L, objects);
    }
    lua_settop(L, lents);
    free(lent);
    lua_side_release(side);
  }
  lua_settop(L, objects - 1);
}

static int own_object(lua_conv *c, remora_object *object) {
  remora_value *value = remora_value_of_object(object);
  (void)remora_object_unref(object);
  if (!value) {
    c->code = REMORA_E_NOMEM;
    strcpy(c->message, "out of memory");
    return -1;
  }
  c->bench->own[c->bench->n++] = value;
  return 0;
}

int lua_object_value(lua_conv *c, int index) {
  lua_State *L = c->L;
  lua_side *side = c->side;
  lua_rawgeti(L, c->kept, KEPT_LENT);
  lua_pushvalue(L, index);
  lua_rawget(L, -2);
  lua_lent *lent = lua_touserdata(L, -1);
  remora_object *object = lent ? remora_export_find(side->queue, lent->cls, lent) : NULL;
  if (object) {
    lua_pop(L, 2);
    return own_object(c, object);
  }
  lua_pop(L, 1);
  const remora_class *cls = describe(c, index);
  if (!side->spare) side->spare = calloc(1, sizeof *lent);
  if (!(lent = side->spare) || !cls) {
    lua_pop(L, 1);
    c->code = REMORA_E_NOMEM;
    strcpy(c->message, "out of memory");
    return -1;
  }
  /* The tables first: they may raise, and then nobody knows the object yet. */
  lua_pushvalue(L, index);
  lua_pushlightuserdata(L, lent);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  lua_rawgeti(L, c->kept, KEPT_OBJECTS);
  lua_pushlightuserdata(L, lent);
  lua_pushvalue(L, index);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  lent->side = side;
  lent->cls = cls;
  object = remora_export(side->queue, cls, lent, lent_destroy);
  if (!object) {
    c->code = REMORA_E_NOMEM;
    strcpy(c->message, "out of memory");
    return -1;
  }
  side->spare = NULL;
  side->lents++;
  atomic_fetch_add_explicit(&side->refs, 1, memory_order_relaxed);
  return own_object(c, object);
}

void lua_push_lent(lua_State *L, int kept, void *userdata) {
  lua_rawgeti(L, kept, KEPT_OBJECTS);
  lua_pushlightuserdata(L, userdata);
  lua_rawget(L, -2);
  lua_remove(L, -2);
}

int lua_from_object(lua_conv *c, remora_object *object) {
  if (remora_object_class(object)->call != class_call || remora_object_queue(object) != c->side->queue) {
    c->code = REMORA_E_VALUE;
    strcpy(c->message, "an object of another language or Lua state in this process has no place here");
    return -1;
  }
  lua_push_lent(c->L, c->kept, remora_object_userdata(object));
  return 0;
}
