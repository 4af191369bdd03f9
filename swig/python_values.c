#include "python_values.h"

#include "python_types.h"

#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 128    /* docs/protocol.md section 9 */
#define VIEW_BYTES 4096  /* from here on bytes are not copied on their way out */
#define LONG_DIGITS 4000 /* int() and str() may refuse numbers of 4300 digits */

python_hooks python_hook;

/* -------------------------------------------------------------------------------------------------- references held by C */

struct held {
  struct held *next;
  PyObject *object;
};

_Atomic(struct held *) python_released;

void *python_held_new(PyObject *object) {
  struct held *held = malloc(sizeof *held);
  if (!held) return PyErr_NoMemory();
  held->object = Py_NewRef(object);
  return held;
}

/* Any thread, no interpreter's lock: only remembers. */
void python_held_release(void *owner) {
  struct held *held = owner;
  held->next = atomic_load_explicit(&python_released, memory_order_relaxed);
  while (!atomic_compare_exchange_weak_explicit(&python_released, &held->next, held, memory_order_release,
                                                memory_order_relaxed)) {
  }
}

void python_tidy_now(void) {
  struct held *held = atomic_exchange_explicit(&python_released, NULL, memory_order_acquire);
  while (held) {
    struct held *next = held->next;
    PyObject *object = held->object;
    free(held);
    Py_DECREF(object);
    held = next;
  }
}

/* ---------------------------------------------------------------------------------------------------------------- errors */

static PyObject *text_or_none(const char *text) {
  return text ? PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "surrogatepass") : Py_NewRef(Py_None);
}

PyObject *python_exception(remora_error *err) {
  PyObject *message =
      PyUnicode_DecodeUTF8(remora_error_message(err), (Py_ssize_t)strlen(remora_error_message(err)), "replace");
  PyObject *stage = text_or_none(remora_error_stage(err));
  PyObject *traceback = text_or_none(remora_error_traceback(err));
  PyObject *details = python_from_value(remora_error_details(err));
  PyObject *made = NULL;
  if (message && stage && traceback && details)
    made = PyObject_CallFunction(python_hook.make_error, "iOOOO", remora_error_code(err), message, stage, traceback,
                                 details);
  Py_XDECREF(message);
  Py_XDECREF(stage);
  Py_XDECREF(traceback);
  Py_XDECREF(details);
  remora_error_free(err);
  return made;
}

PyObject *python_raise(remora_error *err) {
  PyObject *exception = python_exception(err);
  if (exception) {
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_DECREF(exception);
  }
  return NULL;
}

PyObject *python_fail(int code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  PyObject *message = PyUnicode_FromFormatV(format, args);
  va_end(args);
  if (!message) return NULL;
  PyObject *exception =
      PyObject_CallFunction(python_hook.make_error, "iOOOO", code, message, Py_None, Py_None, Py_None);
  Py_DECREF(message);
  if (exception) {
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_DECREF(exception);
  }
  return NULL;
}

/* ------------------------------------------------------------------------------------------------------- objects of ours */

/* Never runs: our events are pulled. It also marks the classes that are this interpreter's. */
static remora_value *class_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  (void)userdata, (void)method, (void)args;
  *err = remora_error_new(REMORA_E_INVALID, "an object of Python is called by its own queue");
  return NULL;
}

/* One remora_class for each name and traits, for ever: C may look at it as long as an object lives. */
static const remora_class *class_of(PyTypeObject *type) {
  static PyObject *by_type, *by_text;
  if (!by_type && !(by_type = PyDict_New())) return NULL;
  if (!by_text && !(by_text = PyDict_New())) return NULL;
  PyObject *known = PyDict_GetItemWithError(by_type, (PyObject *)type);
  if (known) return PyLong_AsVoidPtr(known);
  if (PyErr_Occurred()) return NULL;

  PyObject *text = PyObject_CallOneArg(python_hook.describe, (PyObject *)type); /* (name, traits) */
  if (!text) return NULL;
  const char *name, *traits;
  PyObject *address = NULL;
  if (!PyArg_ParseTuple(text, "ss", &name, &traits)) goto done;
  address = Py_XNewRef(PyDict_GetItemWithError(by_text, text));
  if (!address && !PyErr_Occurred()) {
    remora_class *cls = calloc(1, sizeof *cls);
    char *name_copy = strdup(name), *traits_copy = strdup(traits);
    if (cls && name_copy && traits_copy) {
      *cls = (remora_class){.size = sizeof *cls, .name = name_copy, .traits = traits_copy, .call = class_call};
      address = PyLong_FromVoidPtr(cls);
    } else {
      PyErr_NoMemory();
    }
    if (!address || PyDict_SetItem(by_text, text, address) < 0) {
      Py_CLEAR(address);
      free(cls);
      free(name_copy);
      free(traits_copy);
    }
  }
  /* Types are kept alive by this table, so it is not allowed to grow with a program that makes types all day. */
  if (address) {
    if (PyDict_Size(by_type) >= 1000) PyDict_Clear(by_type);
    if (PyDict_SetItem(by_type, (PyObject *)type, address) < 0) Py_CLEAR(address);
  }
done:
  Py_DECREF(text);
  if (!address) return NULL;
  const remora_class *cls = PyLong_AsVoidPtr(address);
  Py_DECREF(address);
  return cls;
}

static void object_destroy(void *userdata) {
  /* Dropping it may run any code, so not here inside the library. Without memory it is never dropped. */
  struct held *held = malloc(sizeof *held);
  if (!held) return;
  held->object = userdata;
  python_held_release(held);
}

static remora_value *object_value(PyObject *object) {
  remora_queue *queue = python_queue();
  if (!queue) return NULL;
  const remora_class *cls = class_of(Py_TYPE(object));
  if (!cls) return NULL;
  remora_object *lent = remora_export_find(queue, cls, object);
  if (!lent) {
    lent = remora_export(queue, cls, Py_NewRef(object), object_destroy);
    if (!lent) {
      Py_DECREF(object);
      PyErr_NoMemory();
      return NULL;
    }
  }
  remora_value *value = remora_value_of_object(lent);
  remora_object_unref(lent);
  if (!value) PyErr_NoMemory();
  return value;
}

PyObject *python_event_target(const remora_event *event) {
  void *userdata = remora_event_userdata(event);
  if (!userdata) Py_RETURN_NONE;
  if (remora_event_type(event) == REMORA_EVENT_CALL) return Py_NewRef((PyObject *)userdata);
  return Py_NewRef(((struct held *)userdata)->object);
}

/* ------------------------------------------------------------------------------------------------------- Python to value */

/* The containers that are being converted: a cycle would otherwise be found only after 2^128 steps. */
typedef struct path {
  PyObject *open[MAX_DEPTH];
  int depth;
} path;

static remora_value *to_value(PyObject *object, path *where);

static int enter(path *where, PyObject *container) {
  for (int i = 0; i < where->depth; i++)
    if (where->open[i] == container) {
      python_fail(REMORA_E_VALUE, "a %s that contains itself cannot cross", Py_TYPE(container)->tp_name);
      return -1;
    }
  if (where->depth == MAX_DEPTH) {
    python_fail(REMORA_E_VALUE, "values nested deeper than %d cannot cross", MAX_DEPTH);
    return -1;
  }
  where->open[where->depth++] = container;
  return 0;
}

static remora_value *checked(remora_value *value) {
  if (!value) PyErr_NoMemory();
  return value;
}

static remora_value *int_value(PyObject *object) {
  int overflow;
  long long number = PyLong_AsLongLongAndOverflow(object, &overflow);
  if (!overflow) return checked(remora_int(number));
  PyObject *text = PyObject_CallOneArg(python_hook.big_to_text, object);
  const char *decimal = text ? PyUnicode_AsUTF8(text) : NULL;
  remora_value *value = decimal ? checked(remora_bigint(decimal)) : NULL;
  Py_XDECREF(text);
  return value;
}

static remora_value *text_value(PyObject *object) {
  Py_ssize_t length;
  const char *text = PyUnicode_AsUTF8AndSize(object, &length);
  if (text) return checked(remora_text(text, (size_t)length));
  PyErr_Clear(); /* lone surrogates */
  PyObject *bytes = PyUnicode_AsEncodedString(object, "utf-8", "surrogatepass");
  if (!bytes) return NULL;
  remora_value *value = checked(remora_text(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)));
  Py_DECREF(bytes);
  return value;
}

static remora_value *bytes_value(PyObject *object) {
  size_t length = (size_t)PyBytes_GET_SIZE(object);
  if (length < VIEW_BYTES) return checked(remora_bytes(PyBytes_AS_STRING(object), length));
  void *held = python_held_new(object);
  if (!held) return NULL;
  remora_value *value = remora_bytes_view(PyBytes_AS_STRING(object), length, python_held_release, held);
  if (!value) {
    python_held_release(held);
    PyErr_NoMemory();
  }
  return value;
}

/* list and tuple; exporting an item may run code that changes the list, so nothing borrowed survives a step. */
static remora_value *sequence_value(PyObject *object, remora_value *list, path *where) {
  if (!list) return checked(NULL);
  if (enter(where, object) < 0) return remora_value_unref(list);
  for (Py_ssize_t i = 0; i < Py_SIZE(object); i++) {
    PyObject *item = Py_NewRef(PyList_Check(object) ? PyList_GET_ITEM(object, i) : PyTuple_GET_ITEM(object, i));
    remora_value *value = to_value(item, where);
    Py_DECREF(item);
    if (!value || remora_append(list, value) < 0) {
      if (value) PyErr_NoMemory();
      return remora_value_unref(list);
    }
  }
  where->depth--;
  return list;
}

static remora_value *dict_value(PyObject *object, path *where) {
  remora_value *map = checked(remora_map());
  if (!map) return NULL;
  if (enter(where, object) < 0) return remora_value_unref(map);
  PyObject *key, *item;
  for (Py_ssize_t at = 0; PyDict_Next(object, &at, &key, &item);) {
    Py_INCREF(key);
    Py_INCREF(item);
    remora_value *key_value = to_value(key, where);
    remora_value *value = key_value ? to_value(item, where) : NULL;
    Py_DECREF(key);
    Py_DECREF(item);
    if (!value) {
      remora_value_unref(key_value);
      return remora_value_unref(map);
    }
    if (remora_put(map, key_value, value) < 0) {
      PyErr_NoMemory();
      return remora_value_unref(map);
    }
  }
  where->depth--;
  return map;
}

/* Exact types only: a subclass may mean something that its contents do not tell. */
static remora_value *to_value(PyObject *object, path *where) {
  PyTypeObject *type = Py_TYPE(object);
  if (type == &PyLong_Type) return int_value(object);
  if (type == &PyUnicode_Type) return text_value(object);
  if (object == Py_None) return checked(remora_null());
  if (type == &PyFloat_Type) return checked(remora_float(PyFloat_AS_DOUBLE(object)));
  if (type == &PyBool_Type) return checked(remora_bool(object == Py_True));
  if (type == &PyList_Type) return sequence_value(object, remora_list(), where);
  if (type == &PyDict_Type) return dict_value(object, where);
  if (type == &PyTuple_Type) return sequence_value(object, remora_tuple(), where);
  if (type == &PyBytes_Type) return bytes_value(object);
  if (PyObject_TypeCheck(object, &python_proxy_type))
    return checked(remora_value_of_proxy(((python_proxy *)object)->handle));
  if ((PyObject *)type != python_hook.by_ref) return object_value(object);
  PyObject *wanted = PyObject_GetAttrString(object, "value");
  remora_value *value = wanted ? object_value(wanted) : NULL;
  Py_XDECREF(wanted);
  return value;
}

remora_value *python_value_new(PyObject *object) {
  path where;
  where.depth = 0;
  return to_value(object, &where);
}

remora_value *python_arguments_new(PyObject *const *args, Py_ssize_t count, PyObject *names) {
  Py_ssize_t named = names ? PyTuple_GET_SIZE(names) : 0;
  if (count + named == 0) return NULL;
  path where;
  where.depth = 0;
  remora_value *list = checked(remora_list());
  if (!list) return NULL;
  for (Py_ssize_t i = 0; i < count; i++) {
    remora_value *value = to_value(args[i], &where);
    if (!value || remora_append(list, value) < 0) return remora_value_unref(list);
  }
  if (!named) return list;

  remora_value *map = checked(remora_map());
  if (!map) return remora_value_unref(list);
  for (Py_ssize_t i = 0; i < named; i++) {
    remora_value *key = text_value(PyTuple_GET_ITEM(names, i));
    remora_value *value = key ? to_value(args[count + i], &where) : NULL;
    if (!value || remora_put(map, key, value) < 0) {
      if (!value) remora_value_unref(key);
      remora_value_unref(map);
      return remora_value_unref(list);
    }
  }
  if (remora_set_keywords(list, map) < 0) {
    PyErr_NoMemory();
    return remora_value_unref(list);
  }
  return list;
}

/* ------------------------------------------------------------------------------------------------------- value to Python */

/* Keys of maps come again and again; a table of the last ones saves making, hashing and storing each anew. */
static PyObject *key_text(const char *text, size_t length) {
  static PyObject *recent[256];
  if (length > 32) return PyUnicode_DecodeUTF8(text, (Py_ssize_t)length, "surrogatepass");
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < length; i++) hash = (hash ^ (uint8_t)text[i]) * 16777619u;
  PyObject **slot = &recent[(hash ^ hash >> 16) & 255];
  if (*slot) {
    Py_ssize_t have;
    const char *known = PyUnicode_AsUTF8AndSize(*slot, &have);
    if (known && (size_t)have == length && memcmp(known, text, length) == 0) return Py_NewRef(*slot);
    PyErr_Clear();
  }
  PyObject *key = PyUnicode_DecodeUTF8(text, (Py_ssize_t)length, "surrogatepass");
  if (key) {
    PyObject *old = *slot;
    *slot = Py_NewRef(key);
    Py_XDECREF(old);
  }
  return key;
}

static PyObject *from_map(const remora_value *map) {
  PyObject *dict = PyDict_New();
  if (!dict) return NULL;
  size_t count = remora_length(map);
  for (size_t i = 0; i < count; i++) {
    const remora_value *name = remora_key_at(map, i);
    PyObject *key;
    if (remora_value_kind(name) == REMORA_TEXT) {
      size_t length;
      const char *text = remora_as_text(name, &length);
      key = key_text(text, length);
    } else {
      key = python_from_value(name);
    }
    PyObject *item = key ? python_from_value(remora_at(map, i)) : NULL;
    int failed = !item || PyDict_SetItem(dict, key, item) < 0;
    if (failed && item && PyErr_ExceptionMatches(PyExc_TypeError)) {
      PyErr_Clear();
      python_fail(REMORA_E_VALUE, "a map whose key is a %s has no place in Python", Py_TYPE(key)->tp_name);
    }
    Py_XDECREF(key);
    Py_XDECREF(item);
    if (failed) {
      Py_DECREF(dict);
      return NULL;
    }
  }
  if ((size_t)PyDict_GET_SIZE(dict) != count) { /* 1, 1.0 and True are one key here */
    Py_DECREF(dict);
    return python_fail(REMORA_E_VALUE, "a map has keys that Python takes for equal");
  }
  return dict;
}

static PyObject *from_object(remora_object *object) {
  if (remora_object_class(object)->call != class_call)
    return python_fail(REMORA_E_VALUE, "an object of another language in this process has no place in Python");
  return Py_NewRef((PyObject *)remora_object_userdata(object));
}

static PyObject *from_bigint(const char *text, size_t length) {
  if (length <= LONG_DIGITS) return PyLong_FromString(text, NULL, 10);
  return PyObject_CallFunction(python_hook.text_to_big, "s#", text, (Py_ssize_t)length);
}

PyObject *python_from_value(const remora_value *value) {
  if (!value) Py_RETURN_NONE;
  size_t length;
  const char *text;
  switch (remora_value_kind(value)) {
  case REMORA_NULL:
    Py_RETURN_NONE;
  case REMORA_BOOL:
    return PyBool_FromLong(remora_as_bool(value));
  case REMORA_INT:
    return PyLong_FromLongLong(remora_as_int(value));
  case REMORA_FLOAT:
    return PyFloat_FromDouble(remora_as_float(value));
  case REMORA_BIGINT:
    text = remora_as_text(value, &length);
    return from_bigint(text, length);
  case REMORA_TEXT:
    text = remora_as_text(value, &length);
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)length, "surrogatepass");
  case REMORA_BYTES:
    text = remora_as_text(value, &length);
    return PyBytes_FromStringAndSize(text, (Py_ssize_t)length);
  case REMORA_LIST:
  case REMORA_TUPLE: {
    int is_list = remora_value_kind(value) == REMORA_LIST;
    length = remora_length(value);
    PyObject *sequence = is_list ? PyList_New((Py_ssize_t)length) : PyTuple_New((Py_ssize_t)length);
    for (size_t i = 0; sequence && i < length; i++) {
      PyObject *item = python_from_value(remora_at(value, i));
      if (!item)
        Py_CLEAR(sequence);
      else if (is_list)
        PyList_SET_ITEM(sequence, (Py_ssize_t)i, item);
      else
        PyTuple_SET_ITEM(sequence, (Py_ssize_t)i, item);
    }
    return sequence;
  }
  case REMORA_MAP:
    return from_map(value);
  case REMORA_PROXY:
    return python_proxy_new(remora_as_proxy(value));
  case REMORA_OBJECT:
    return from_object(remora_as_object(value));
  }
  return python_fail(REMORA_E_VALUE, "a value of an unknown kind");
}

PyObject *python_from_arguments(const remora_value *args) {
  PyObject *list = python_from_value(args);
  PyObject *keywords = list ? python_from_value(remora_keywords(args)) : NULL;
  if (!keywords) {
    Py_XDECREF(list);
    return NULL;
  }
  return Py_BuildValue("NN", list, keywords);
}

/* ----------------------------------------------------------------------------------------------------------------- queue */

static remora_queue *the_queue;

remora_queue *python_queue(void) {
  if (!the_queue && !(the_queue = remora_queue_new())) PyErr_NoMemory();
  return the_queue;
}

void python_values_forked(void) { the_queue = NULL; /* the parent's; leaked like all that hangs off its connections */ }
