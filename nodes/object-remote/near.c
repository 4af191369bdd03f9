/* near.c: what the near side wants of Perl becomes calls there, and what comes of them the near side's answers. */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------------- answers */

/* Steals v; NULL: memory is out. */
static void near_reply(pending *p, remora_value *v) {
  if (!v)
    remora_event_fail(p->event, remora_error_new(REMORA_E_NOMEM, NULL));
  else
    (void)remora_event_reply(p->event, v, NULL);
  (void)remora_value_unref(v);
  pending_free(p);
}

void near_fail(pending *p, remora_error *err) {
  if (p->want == WANT_BOUNCE) {
    perl_answer_error(p->future, remora_error_message(err));
    (void)remora_error_free(err);
  } else if (p->event) {
    remora_event_fail(p->event, err);
  } else {
    (void)remora_error_free(err);
  }
  pending_free(p);
}

/* " at FILE line N." at the end of what die says: where it begins, or the end. */
static size_t words_end(const char *text, size_t length) {
  static const char at[] = " at ", line[] = " line ";
  if (length < 2 || memcmp(text + length - 2, ".\n", 2) != 0) return length - (length && text[length - 1] == '\n');
  for (size_t i = length; i-- > 0;) {
    const char *where = strncmp(text + i, at, 4) == 0 ? strstr(text + i, line) : NULL;
    if (where && where[6] >= '0' && where[6] <= '9' && !memchr(text + i, '\n', (size_t)(where - text) - i)) return i;
  }
  return length - 1;
}

/* *new* */
static remora_error *error_of_text(const remora_value *thrown) {
  size_t length;
  const char *text = remora_as_text(thrown, &length);
  size_t end = words_end(text, length);
  remora_value *types = remora_list(), *map = remora_map();
  int rc = remora_append(types, remora_str("die"));
  rc |= remora_set(map, "type", types);
  rc |= remora_set(map, "message", remora_text(text, end));
  rc |= remora_set(map, "language", remora_str("perl"));
  if (end + 1 < length) rc |= remora_set(map, "traceback", remora_value_ref((remora_value *)(uintptr_t)thrown));
  if (rc == 0) return remora_error_remote(map);
  (void)remora_value_unref(map);
  return remora_error_new(REMORA_E_NOMEM, NULL);
}

/* What the helper says of an object that was thrown: its classes, its words, its fields. *new* */
static remora_error *error_of_object(const remora_value *about) {
  const remora_value *types = remora_at(about, 0), *words = remora_at(about, 1), *fields = remora_at(about, 2);
  remora_value *map = remora_map(), *own = NULL;
  if (!types) {
    types = own = remora_list();
    (void)remora_append(own, remora_str("perl object"));
  }
  int rc = remora_set(map, "type", remora_value_ref((remora_value *)(uintptr_t)types));
  rc |= remora_set(map, "message",
                   words && remora_value_kind(words) == REMORA_TEXT
                       ? remora_value_ref((remora_value *)(uintptr_t)words)
                       : remora_str("an object was thrown that does not say what it is"));
  rc |= remora_set(map, "language", remora_str("perl"));
  if (fields) rc |= remora_set(map, "attributes", remora_value_ref((remora_value *)(uintptr_t)fields));
  (void)remora_value_unref(own);
  remora_error *err = rc == 0 ? remora_error_remote(map) : NULL;
  if (rc != 0) (void)remora_value_unref(map);
  return err ? err : remora_error_new(REMORA_E_REMOTE, "an object was thrown that does not say what it is");
}

/* "Can't locate Foo/Bar.pm in @INC": of the module itself, not of what it loads. */
static bool is_absent(const char *module, size_t length, const remora_value *thrown) {
  char start[512];
  static const char mark[] = "Can't locate ";
  size_t n = sizeof mark - 1;
  if (remora_value_kind(thrown) != REMORA_TEXT || length > 200) return false;
  memcpy(start, mark, n);
  for (size_t i = 0; i < length; i++) {
    if (module[i] == ':' && module[i + 1] == ':') i++;
    start[n++] = module[i] == ':' ? '/' : module[i];
  }
  memcpy(start + n, ".pm in @INC", 12);
  return strncmp(remora_as_text(thrown, NULL), start, n + 11) == 0;
}

/* The part of a name before its last "::"; 0: there is none. */
static size_t package_length(const char *name) {
  const char *last = NULL;
  for (const char *p = name; (p = strstr(p, "::")) != NULL; p += 2) last = p;
  return last ? (size_t)(last - name) : 0;
}

static char *pending_name(pending *p, const char *name) {
  if (p && !(p->name = strdup(name))) {
    near_fail(p, remora_error_new(REMORA_E_NOMEM, NULL));
    return NULL;
  }
  return p ? p->name : NULL;
}

/* The next question about the same call. *new*; p is gone. */
static pending *pending_next(pending *p, want w) {
  remora_event *event = p->event;
  char *name = p->name;
  p->event = NULL;
  p->name = NULL;
  pending_free(p);
  pending *next = pending_new(w, event);
  if (next)
    next->name = name;
  else
    free(name);
  return next;
}

/* Is there a class of that name? */
static void near_can_class(pending *p) {
  if (!(p = pending_next(p, WANT_CLASS))) return;
  const char *const words[] = {"call", p->name, "can", "can", NULL};
  perl_call(p, 0, false, words, NULL, 0);
}

void near_failed(pending *p, const remora_value *thrown) {
  bool text = thrown && remora_value_kind(thrown) == REMORA_TEXT;
  if (p->want == WANT_BOUNCE) {
    if (!thrown || perl_answer_thrown(p->future, thrown) != 0) perl_answer_error(p->future, NULL);
    pending_free(p);
  } else if (p->want == WANT_SUB && is_absent(p->name, package_length(p->name), thrown)) {
    near_can_class(p);
  } else if ((p->want == WANT_CLASS || p->want == WANT_METHOD) && is_absent(p->name, strlen(p->name), thrown)) {
    near_reply(p, remora_null());
  } else if (p->want == WANT_NEW && is_absent(p->name, strlen(p->name), thrown)) {
    size_t length;
    const char *why = remora_as_text(thrown, &length);
    remora_error *err = NULL;
    (void)error_set(&err, REMORA_E_NOTFOUND, "no class %s: %.*s", p->name, (int)words_end(why, length), why);
    near_fail(p, err);
  } else if (text) {
    near_fail(p, error_of_text(thrown));
  } else if (thrown && thing_of(thrown) && perl.helped && p->event && p->want != WANT_ABOUT) {
    remora_value *args = remora_list();
    if (!args || remora_append(args, remora_value_ref((remora_value *)(uintptr_t)thrown)) != 0) {
      (void)remora_value_unref(args);
      near_fail(p, remora_error_new(REMORA_E_NOMEM, NULL));
      return;
    }
    const char *const words[] = {"call", PEER_HELPER, "about", NULL};
    perl_call(pending_next(p, WANT_ABOUT), 0, false, words, args, 0);
    (void)remora_value_unref(args);
  } else {
    near_fail(p, error_of_object(NULL));
  }
}

static remora_value *ref(const remora_value *v) { return v ? remora_value_ref((remora_value *)(uintptr_t)v) : NULL; }

static bool is_true(const remora_value *v) {
  size_t length;
  const char *text = v ? remora_as_text(v, &length) : NULL;
  if (!v || remora_value_kind(v) == REMORA_NULL) return false;
  if (remora_value_kind(v) == REMORA_TEXT) return length > 0 && !(length == 1 && *text == '0');
  if (remora_value_kind(v) == REMORA_FLOAT) return remora_as_float(v) != 0;
  return remora_value_kind(v) != REMORA_INT || remora_as_int(v) != 0;
}

/* [done, [item]] */
static remora_value *batch(bool done, const remora_value *item) {
  return remora_pack(NULL, item ? "=[b[v]]" : "=[b[]]", (int)done, item);
}

static remora_value *class_thing(thing_kind kind, const char *name, const char *method) {
  thing *t = calloc(1, sizeof *t);
  if (!t) return NULL;
  t->kind = kind;
  t->class = strdup(name);
  t->method = method ? strdup(method) : NULL;
  if (t->class && (t->method || !method)) return thing_value(t);
  free(t->class);
  free(t->method);
  free(t);
  return NULL;
}

/* An iterator over a hash or an array. */
static remora_value *iterator_thing(thing_kind kind, remora_object *over, int64_t size) {
  thing *t = calloc(1, sizeof *t);
  if (!t) return NULL;
  t->kind = kind;
  t->over = remora_object_ref(over);
  t->size = size;
  return thing_value(t);
}

static remora_value *near_next(pending *p, const remora_value *first, bool none) {
  thing *t = remora_object_userdata(p->thing);
  if (p->want == WANT_ITEM) return batch(t->at >= t->size, first);
  if (p->want == WANT_KEY) {
    (void)remora_value_unref(t->last);
    t->last = ref(first);
  }
  return batch(none, none ? NULL : first);
}

void near_done(pending *p, remora_value *values) {
  const remora_value *first = remora_at(values, 0);
  bool none = !first || remora_value_kind(first) == REMORA_NULL;
  remora_error *err = NULL;
  remora_value *v = NULL;
  switch (p->want) {
  case WANT_VALUE:
    v = remora_length(values) == 0 ? remora_null() : ref(remora_length(values) == 1 ? first : values);
    break;
  case WANT_NULL:
    v = remora_null();
    break;
  case WANT_BOOL:
    v = remora_bool(is_true(first));
    break;
  case WANT_NEW:
    if (none || (!remora_as_object(first) && !remora_as_proxy(first)))
      (void)error_set(&err, REMORA_E_REMOTE, "%s: its constructor returned no object", p->name);
    v = ref(first);
    break;
  case WANT_SUB:
    if (none) {
      (void)remora_value_unref(values);
      near_can_class(p);
      return;
    }
    v = ref(first);
    break;
  case WANT_CLASS:
    v = class_thing(THING_CLASS, p->name, NULL);
    break;
  case WANT_METHOD:
    v = none ? remora_null() : class_thing(THING_METHOD, p->name, p->name + strlen(p->name) + 1);
    break;
  case WANT_SIZE:
    v = iterator_thing(THING_ITEMS, p->thing, remora_as_int(first));
    break;
  case WANT_ITEM:
  case WANT_KEY:
  case WANT_LINE:
    v = near_next(p, first, none);
    break;
  case WANT_ABOUT:
    err = error_of_object(first);
    break;
  case WANT_BOUNCE:
    if (perl_answer(p->future, values, &err) != 0) perl_answer_error(p->future, remora_error_message(err));
    (void)remora_error_free(err);
    (void)remora_value_unref(values);
    pending_free(p);
    return;
  case WANT_LOADER:
  case WANT_BEGIN:
    *(p->want == WANT_BEGIN ? &perl.is : &perl.loader) = ref(first);
    (void)remora_value_unref(values);
    pending_free(p);
    return;
  }
  if (err)
    near_fail(p, err);
  else
    near_reply(p, ref(v));
  (void)remora_value_unref(v);
  (void)remora_value_unref(values);
}

/* ------------------------------------------------------------------------------------------------------------- the root */

/* "Class", or "Class->constructor". */
static void near_new(remora_event *e, const char *name, const remora_value *args) {
  pending *p = pending_new(WANT_NEW, e);
  char *class = pending_name(p, name), *arrow = class ? strstr(class, "->") : NULL;
  if (!class) return;
  if (arrow) *arrow = 0;
  const char *const words[] = {"call", class, arrow ? arrow + 2 : "new", NULL};
  perl_call(p, 0, false, words, args, 1);
}

/* "Package::function", "Class", or "Class->method". */
static void near_can(remora_event *e, const char *name) {
  pending *p = pending_new(WANT_SUB, e);
  char *class = pending_name(p, name), *arrow = class ? strstr(class, "->") : NULL;
  if (!class) return;
  size_t package = package_length(class);
  if (arrow) {
    *arrow = 0;
    memmove(arrow + 1, arrow + 2, strlen(arrow + 2) + 1); /* the method stands behind the class's end */
    p->want = WANT_METHOD;
    const char *const words[] = {"call", class, "can", arrow + 1, NULL};
    perl_call(p, 0, false, words, NULL, 0);
  } else if (package == 0) {
    p->want = WANT_CLASS;
    const char *const words[] = {"call", class, "can", "can", NULL};
    perl_call(p, 0, false, words, NULL, 0);
  } else {
    char *module = strndup(class, package);
    if (!module) {
      near_fail(p, remora_error_new(REMORA_E_NOMEM, NULL));
      return;
    }
    const char *const words[] = {"call", module, "can", class + package + 2, NULL};
    perl_call(p, 0, false, words, NULL, 0);
    free(module);
  }
}

static void near_refuse(remora_event *e, const char *what, const char *method) {
  char words[300];
  (void)snprintf(words, sizeof words, "%s has no \"%.80s\"", what, method);
  remora_event_fail(e, remora_error_new(REMORA_E_NOTFOUND, words));
  (void)remora_event_free(e);
}

static void near_root(remora_event *e, const char *method, const remora_value *args) {
  const remora_value *first = remora_at(args, 0);
  const char *name = first && remora_value_kind(first) == REMORA_TEXT ? remora_as_text(first, NULL) : NULL;
  if (name && strcmp(method, "new") == 0)
    near_new(e, name, args);
  else if (name && strcmp(method, "can") == 0 && strncmp(name, "remora.", 7) == 0) /* connect, and what goes with it */
    near_refuse(e, "a far side in Object::Remote", name);
  else if (name && strcmp(method, "can") == 0)
    near_can(e, name);
  else
    near_refuse(e, "a far side in Object::Remote", method);
}

/* ----------------------------------------------------------------------------------------------------------- its objects */

static bool is(const char *a, const char *b) { return strcmp(a, b) == 0; }

/* Sends the call of a method of t, or of its class. */
static void near_send(pending *p, const thing *t, const char *method, bool list, const remora_value *args) {
  const char *const own[] = {method, NULL}, *const of_class[] = {"call", t->class, method, NULL};
  perl_call(p, t->id, list, t->id ? own : of_class, args, 0);
}

static void near_iterate(remora_event *e, thing *t, remora_object *o) {
  pending *p = pending_new(t->kind == THING_ARRAY ? WANT_SIZE : WANT_VALUE, e);
  if (!p) return;
  if (t->kind == THING_ARRAY) {
    p->thing = remora_object_ref(o);
    near_send(p, t, "FETCHSIZE", false, NULL);
  } else {
    near_reply(p, t->kind == THING_HASH ? iterator_thing(THING_KEYS, o, 0) : remora_value_of_object(o));
  }
}

static void near_step(remora_event *e, thing *t, remora_object *o) {
  pending *p = pending_new(t->kind == THING_KEYS ? WANT_KEY : t->kind == THING_ITEMS ? WANT_ITEM : WANT_LINE, e);
  if (!p) return;
  p->thing = remora_object_ref(o);
  if (t->kind == THING_FILE) {
    near_send(p, t, "getline", false, NULL);
    return;
  }
  if (t->kind == THING_ITEMS && t->at >= t->size) {
    near_reply(p, batch(true, NULL));
    return;
  }
  const char *method = t->kind == THING_ITEMS ? "FETCH" : t->last ? "NEXTKEY" : "FIRSTKEY";
  remora_value *args = t->kind == THING_ITEMS ? remora_pack(NULL, "I", t->at++)
                       : t->last              ? remora_pack(NULL, "v", t->last)
                                              : NULL;
  near_send(p, remora_object_userdata(t->over), method, false, args);
  (void)remora_value_unref(args);
}

static void near_text(remora_event *e, remora_object *o) {
  remora_value *self = remora_value_of_object(o), *args = self ? remora_pack(NULL, "V", self) : NULL;
  const char *const words[] = {"call", PEER_HELPER, "text", NULL};
  perl_call(pending_new(WANT_VALUE, e), 0, false, words, args, 0);
  (void)remora_value_unref(args);
}

/* The operations of docs/protocol.md 5.1, as far as Perl's things have them. */
static void near_operation(remora_event *e, thing *t, remora_object *o, const char *name, const remora_value *args) {
  static const struct {
    const char *name, *tie; /* what perltie calls it */
    bool hash, array;
    want want;
  } table[] = {{":item", "FETCH", true, true, WANT_VALUE},
               {":setitem", "STORE", true, true, WANT_NULL},
               {":delitem", "DELETE", true, false, WANT_NULL},
               {":contains", "EXISTS", true, false, WANT_BOOL},
               {":len", "FETCHSIZE", false, true, WANT_VALUE}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (is(name, table[i].name) &&
        ((table[i].hash && t->kind == THING_HASH) || (table[i].array && t->kind == THING_ARRAY))) {
      near_send(pending_new(table[i].want, e), t, table[i].tie, false, args);
      return;
    }
  bool container = t->kind == THING_HASH || t->kind == THING_ARRAY, iterator = t->kind >= THING_KEYS;
  const char *first = remora_as_text(remora_at(args, 0), NULL);
  if (is(name, ":iter") && (container || iterator || t->kind == THING_FILE))
    near_iterate(e, t, o);
  else if (is(name, ":next") && (iterator || t->kind == THING_FILE))
    near_step(e, t, o);
  else if ((is(name, ":str") || is(name, ":repr")) && t->id && perl.helped)
    near_text(e, o);
  else if (t->kind == THING_OBJECT && first && (is(name, ":get") || is(name, ":set"))) {
    const char *const words[] = {first, NULL}; /* an accessor */
    perl_call(pending_new(name[1] == 'g' ? WANT_VALUE : WANT_NULL, e), t->id, true, words, args, 1);
  } else
    near_refuse(e, remora_object_class(o)->name, name);
}

static void near_call(remora_event *e, thing *t, remora_object *o, const char *method, const remora_value *args) {
  bool list = true;
  if (*method == ':') {
    near_operation(e, t, o, method, args);
    return;
  }
  if (strncmp(method, "scalar::", 8) == 0) {
    method += 8;
    list = false;
  }
  bool later = strncmp(method, "start::", 7) == 0; /* Perl answers when the future that its method returns is ready */
  if (later) list = false;
  const char *plain = later ? method + 7 : method;
  pending *p = NULL;
  switch (t->kind) {
  case THING_CODE:
    if (!*plain || is(plain, "call")) {
      if ((p = pending_new(WANT_VALUE, e)) != NULL) near_send(p, t, later ? "start::call" : "call", list, args);
      return;
    }
    break;
  case THING_METHOD:
    if (!*method) {
      const char *const words[] = {"call", t->class, t->method, NULL};
      perl_call(pending_new(WANT_VALUE, e), 0, list, words, args, 0);
      return;
    }
    break;
  case THING_CLASS:
    if ((p = pending_new(WANT_VALUE, e)) != NULL) near_send(p, t, *method ? method : "new", list && *method, args);
    return;
  case THING_OBJECT:
  case THING_FILE:
  case THING_HASH:
  case THING_ARRAY:
    if (*plain) {
      if ((p = pending_new(WANT_VALUE, e)) != NULL) near_send(p, t, method, list, args);
      return;
    }
    break;
  default:
    break;
  }
  near_refuse(e, remora_object_class(o)->name, method);
}

const remora_class near_root_class = {sizeof(remora_class), "remora.Root", "", NULL};

void near_event(remora_event *e) {
  if (remora_event_type(e) != REMORA_EVENT_CALL) {
    remora_event_run(e);
    (void)remora_event_free(e);
    return;
  }
  const remora_value *args = remora_event_args(e, NULL);
  remora_object *o = remora_event_object(e);
  if (!args)
    (void)remora_event_free(e);
  else if (remora_object_class(o) == &near_root_class)
    near_root(e, remora_event_method(e), args);
  else
    near_call(e, remora_object_userdata(o), o, remora_event_method(e), args);
}
