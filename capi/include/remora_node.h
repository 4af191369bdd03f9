/* remora_node.h: what a shared object exports so that the C node (`node="c"`) can make its objects and call its functions.
 *
 *     static const remora_module module = {sizeof module, functions, classes};
 *     REMORA_MODULE const remora_module *remora_module_v1(void) { return &module; }
 *
 *     cc -shared -fPIC -o smoke.so smoke.c        # not linked with libremora
 *
 * The functions of remora.h that it uses are those of the node's executable. The near side names what it wants "smoke:Account" or "smoke:echo"; smoke.so or libsmoke.so
 * is sent there from its `roots`, or found there as dlopen finds libraries; "/path/x.so:Account" is a file over there. A shared object is never unloaded.
 *
 * All of this runs on the node's main thread, one call at a time, except what a thread of the module's own calls. Exists since 0.1. */
#ifndef REMORA_NODE_H
#define REMORA_NODE_H

#include "remora.h"

#ifdef __cplusplus
extern "C" {
#endif

#define REMORA_MODULE REMORA_API

typedef struct remora_module_function {
  const char *name; /* NULL ends the table */
  /* args is a list, *borrowed*. Returns a *new* value (NULL with *err untouched: null), or sets *err. */
  remora_value *(*call)(const remora_value *args, remora_error **err);
} remora_module_function;

typedef struct remora_module_class {
  const char *name; /* NULL ends the table */
  remora_class
      instance; /* what its objects are called over there, what they can, and the function that runs their methods */
  /* The userdata of a new object; NULL: *err is set. */
  void *(*construct)(const remora_value *args, remora_error **err);
  void (*destroy)(void *userdata); /* neither side uses it any more; may be NULL */
} remora_module_class;

typedef struct remora_module {
  size_t size;                             /* sizeof(remora_module) */
  const remora_module_function *functions; /* may be NULL */
  const remora_module_class *classes;      /* may be NULL */
} remora_module;

/* The one symbol that the shared object exports. What it returns lives for ever. */
REMORA_MODULE const remora_module *remora_module_v1(void);

/* *new*: a value that refers to a new object of a class. */
static inline remora_value *remora_module_new(const remora_module_class *cls, const remora_value *args,
                                              remora_error **err) {
  void *userdata = cls->construct(args, err);
  remora_object *object = userdata ? remora_export(NULL, &cls->instance, userdata, cls->destroy) : NULL;
  remora_value *value = object ? remora_value_of_object(object) : NULL;
  if (userdata && !object && cls->destroy) cls->destroy(userdata);
  (void)remora_object_unref(object);
  return value;
}

/* *new*: a value that refers to the object whose method runs. */
static inline remora_value *remora_module_self(const remora_module_class *cls, const void *userdata) {
  remora_object *object = remora_export_find(NULL, &cls->instance, userdata);
  remora_value *value = object ? remora_value_of_object(object) : NULL;
  (void)remora_object_unref(object);
  return value;
}

#ifdef __cplusplus
}
#endif
#endif /* REMORA_NODE_H */
