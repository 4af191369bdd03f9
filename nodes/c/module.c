/* module.c: shared objects: where they come from, and what they have by which name. All of it on the main thread. */
#include "remora_node.h"

#include "files.h"
#include "node.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What `can` gives for a function, or for a class: something to be called. */
typedef struct entry {
  remora_class cls;
  const remora_module_function *function;
  const remora_module_class *class;
} entry;

typedef struct module {
  struct module *next;
  char *name;
  entry *entries; /* functions, then classes; NULL: there is no such module */
  size_t count;
  char *refusal; /* why the near side would not send it, or NULL */
} module;

static module *modules;
static remora_proxy *near_root;

void module_near(remora_conn *near) { near_root = remora_conn_root(near, NULL); }

/* ------------------------------------------------------------------------------------------------------------- loading */

static remora_value *entry_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  const entry *e = userdata;
  if (*method) {
    char text[200];
    (void)snprintf(text, sizeof text, "%s can only be called, it has no \"%.80s\"", e->cls.name, method);
    *err = remora_error_new(REMORA_E_NOTFOUND, text);
    return NULL;
  }
  return e->class ? remora_module_new(e->class, args, err) : e->function->call(args, err);
}

static size_t count_functions(const remora_module_function *f) {
  size_t n = 0;
  while (f && f[n].name) n++;
  return n;
}

static size_t count_classes(const remora_module_class *c) {
  size_t n = 0;
  while (c && c[n].name) n++;
  return n;
}

/* Makes the rows of what the shared object exports. 0 or -1. */
static int module_open(module *m, void *handle, const char *shown, remora_error **err) {
  const remora_module *(*get)(void) = NULL;
  void *symbol = dlsym(handle, "remora_module_v1");
  memcpy(&get, &symbol, sizeof get); /* what POSIX demands of dlsym and C does not know */
  const remora_module *exported = get ? get() : NULL;
  if (!exported || exported->size < sizeof *exported)
    return error_set(err, REMORA_E_NOTFOUND, "%s: %s is no module of Remora: it does not export remora_module_v1",
                     m->name, shown);
  size_t functions = count_functions(exported->functions), classes = count_classes(exported->classes);
  m->entries = calloc(functions + classes + 1, sizeof *m->entries);
  if (!m->entries) return error_set(err, REMORA_E_NOMEM, NULL);
  for (size_t i = 0; i < functions + classes; i++) {
    entry *e = &m->entries[i];
    e->cls = (remora_class){.size = sizeof e->cls, .traits = "call", .call = entry_call};
    if (i < functions) {
      e->function = &exported->functions[i];
      e->cls.name = e->function->name;
    } else {
      e->class = &exported->classes[i - functions];
      e->cls.name = e->class->name;
      if (e->class->instance.size < sizeof(remora_class) || !e->class->construct)
        return error_set(err, REMORA_E_INVALID, "%s: class %s lacks its size or its constructor", m->name, e->cls.name);
    }
    m->count++;
  }
  return 0;
}

/* Loads bytes from memory. The descriptor stays open: the loader knows libraries by name, and the name has its number in it. */
static void *load_bytes(const char *name, const char *data, size_t length, remora_error **err) {
  char path[64];
  int fd = memfd_create(name, MFD_CLOEXEC);
  for (size_t done = 0; fd >= 0 && done < length;) {
    ssize_t n = write(fd, data + done, length - done);
    if (n < 0 && errno != EINTR) close(fd), fd = -1;
    if (n > 0) done += (size_t)n;
  }
  if (fd < 0) return error_set(err, REMORA_E_NOMEM, "%s: no memory to load it to: %s", name, strerror(errno)), NULL;
  (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (handle) return handle;
  (void)error_set(err, REMORA_E_REMOTE, "%s, as the near side has it, cannot be loaded: %s", name, dlerror());
  close(fd);
  return NULL;
}

static bool is_missing(const char *why) { return strstr(why, "cannot open shared object file: No such file") != NULL; }

/* A library of this host; NULL without an error if there is none. A file of that name that cannot be loaded is an error. */
static void *load_here(const char *name, remora_error **err) {
  bool file = strchr(name, '/') || strstr(name, ".so");
  for (size_t i = file ? 0 : 1; i < (file ? 1 : 3); i++) {
    char path[4096];
    int n = i == 0   ? snprintf(path, sizeof path, "%s", name)
            : i == 1 ? snprintf(path, sizeof path, "lib%s.so", name)
                     : snprintf(path, sizeof path, "%s.so", name);
    void *handle = n > 0 && (size_t)n < sizeof path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (handle) return handle;
    const char *why = dlerror();
    size_t length = strlen(path);
    /* What it needs itself may be what is missing. */
    if (!why || (is_missing(why) && strncmp(why, path, length) == 0 && why[length] == ':')) continue;
    return error_set(err, REMORA_E_REMOTE, "%s cannot be loaded: %s", name, why), NULL;
  }
  return NULL;
}

/* What the near side has under that name: a map, or null. *new*. */
static remora_value *ask_near(const char *name, remora_error **err) {
  remora_value *args = remora_list(), *text = remora_str(name);
  if (!args || remora_append(args, remora_str("c")) != 0 || remora_append(args, text ? text : remora_null()) != 0)
    return remora_value_unref(args);
  remora_value *found = remora_call(near_root, "module", args, err);
  (void)remora_value_unref(args);
  return found;
}

/* The module of that name, with entries or without. NULL with *err: it cannot be loaded. */
static module *module_get(const char *name, remora_error **err) {
  for (module *m = modules; m; m = m->next)
    if (strcmp(m->name, name) == 0) return m;
  bool file = strchr(name, '/') || strstr(name, ".so");
  remora_error *why = NULL;
  remora_value *sent = file ? NULL : ask_near(name, &why);
  if (why) return *err = why, NULL;
  const char *kind = remora_as_text(remora_get(sent, "kind"), NULL);
  const char *reason = remora_as_text(remora_get(sent, "reason"), NULL);
  size_t length = 0;
  const char *source = remora_as_text(remora_get(sent, "source"), &length);
  module *m = calloc(1, sizeof *m);
  if (!m || !(m->name = strdup(name))) {
    free(m);
    (void)remora_value_unref(sent);
    return error_set(err, REMORA_E_NOMEM, NULL), NULL;
  }
  void *handle = kind && source && strcmp(kind, "module") == 0 ? load_bytes(name, source, length, &why) : NULL;
  if (!handle) { /* the near side may be of another machine */
    remora_error *here = NULL;
    handle = load_here(name, &here);
    if (handle || (here && !why)) {
      (void)remora_error_free(why);
      why = here;
    } else {
      (void)remora_error_free(here);
    }
  }
  const char *path = remora_as_text(remora_get(sent, "path"), NULL);
  if (handle) (void)module_open(m, handle, path ? path : name, &why);
  if (!handle && reason) m->refusal = strdup(reason);
  (void)remora_value_unref(sent);
  if (why) {
    free(m->entries);
    free(m->name);
    free(m);
    return *err = why, NULL;
  }
  m->next = modules;
  modules = m;
  return m;
}

/* ---------------------------------------------------------------------------------------------------------------- root */

/* "library:Name" is taken apart, the library loaded. NULL without an error if there is no such thing; *refusal (borrowed) may tell more. */
static entry *root_find(const char *name, const char **refusal, remora_error **err) {
  const char *colon = name ? strrchr(name, ':') : NULL;
  *refusal = NULL;
  if (!colon || colon == name || !colon[1]) {
    *refusal = "in C a name is LIBRARY:NAME";
    return NULL;
  }
  char *library = strndup(name, (size_t)(colon - name));
  module *m = library ? module_get(library, err) : NULL;
  free(library);
  if (!m) return NULL;
  *refusal = m->refusal;
  for (size_t i = 0; i < m->count; i++)
    if (strcmp(m->entries[i].cls.name, colon + 1) == 0) return &m->entries[i];
  return NULL;
}

/* The arguments behind the first. */
static remora_value *root_rest(const remora_value *args) {
  remora_value *rest = remora_list();
  int failed = !rest;
  for (size_t i = 1; !failed && i < remora_length(args); i++)
    failed = remora_append(rest, remora_value_ref((remora_value *)(uintptr_t)remora_at(args, i)));
  const remora_value *keywords = remora_keywords(args);
  if (!failed && keywords) failed = remora_set_keywords(rest, remora_value_ref((remora_value *)(uintptr_t)keywords));
  return failed ? remora_value_unref(rest) : rest;
}

static remora_value *root_can(entry *e) {
  remora_object *object = remora_export_find(NULL, &e->cls, e);
  if (!object) object = remora_export(NULL, &e->cls, e, NULL);
  remora_value *value = object ? remora_value_of_object(object) : NULL;
  (void)remora_object_unref(object);
  return value;
}

static remora_value *root_new(entry *e, const char *name, const char *refusal, const remora_value *args,
                              remora_error **err) {
  if (!e || !e->class) {
    (void)error_set(err, REMORA_E_NOTFOUND, e ? "%s is a function, not a class" : "no class %s%s%s", name,
                    refusal ? ": " : "", refusal ? refusal : "");
    return NULL;
  }
  remora_value *rest = root_rest(args);
  remora_value *made = rest ? remora_module_new(e->class, rest, err) : NULL;
  (void)remora_value_unref(rest);
  if (!made && !*err)
    (void)error_set(err, REMORA_E_REMOTE, "%s: the constructor made nothing and did not say why", name);
  return made;
}

static remora_value *root_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  (void)userdata;
  remora_value *result = NULL;
  if (files_answer(method, args, &result, err)) return result;
  bool is_new = strcmp(method, "new") == 0;
  const remora_value *first = remora_at(args, 0);
  const char *name = remora_value_kind(first) == REMORA_TEXT ? remora_as_text(first, NULL) : NULL;
  if ((!is_new && strcmp(method, "can") != 0) || !name) {
    (void)error_set(err, REMORA_E_NOTFOUND, "the root has no method \"%s\" with such arguments", method);
    return NULL;
  }
  const char *refusal;
  entry *e = root_find(name, &refusal, err);
  if (*err) return NULL;
  if (is_new) return root_new(e, name, refusal, args, err);
  return e ? root_can(e) : NULL;
}

const remora_class module_root = {sizeof(remora_class), "remora.Root", "", root_call};
