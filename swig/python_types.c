#include "python_types.h"

#include "python_values.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <structmember.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* --------------------------------------------------------------------------------------------------------------- waiting */

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Runs what the far side wants from us while we wait. 0, or -1 with an exception (Ctrl-C in a callback). */
static int run_event(remora_queue *queue, remora_future *future) {
  remora_event *event = remora_take(queue, future);
  if (!event) return 0;
  PyObject *handle = python_event_new(event);
  PyObject *done = handle ? PyObject_CallOneArg(python_hook.run_event, handle) : NULL;
  Py_XDECREF(handle);
  Py_XDECREF(done);
  return done ? 0 : -1;
}

/* A signal may come to another thread of the interpreter just before the main thread sleeps, which alone acts on signals: it looks again now and then. */
enum { SIGNALS_MS = 250 };
static bool acts_on_signals(void) { return (pid_t)syscall(SYS_gettid) == getpid(); }

/* 1 the future is ready, 0 the time is up, -1 an exception is set. The interpreter's lock is kept while it looks and given away while it sleeps. */
static int wait_for(remora_future *future, int64_t ms) {
  remora_queue *queue = python_queue();
  if (!queue) return -1;
  int64_t until = ms < 0 ? 0 : now_ms() + ms, left = ms;
  remora_wait state = remora_spin(future, queue);
  /* A signal that came while we looked does not end the sleep that follows. */
  if (state == REMORA_WAIT_AGAIN && PyErr_CheckSignals() < 0) return -1;
  for (;;) {
    switch (state) {
    case REMORA_WAIT_READY:
      return 1;
    case REMORA_WAIT_TIMEOUT:
      return 0;
    case REMORA_WAIT_EVENT:
      if (run_event(queue, future) < 0) return -1;
      state = remora_spin(future, queue); /* what it was called for usually goes on at once */
      if (state == REMORA_WAIT_AGAIN && PyErr_CheckSignals() < 0) return -1;
      continue;
    case REMORA_WAIT_INTERRUPTED:
      if (PyErr_CheckSignals() < 0) return -1;
      break;
    case REMORA_WAIT_AGAIN:
      break;
    }
    if (ms > 0 && (left = until - now_ms()) < 0) left = 0;
    bool looks = (left < 0 || left > SIGNALS_MS) && acts_on_signals();
    Py_BEGIN_ALLOW_THREADS state = remora_wait_for(future, queue, looks ? SIGNALS_MS : left);
    Py_END_ALLOW_THREADS if (looks && state == REMORA_WAIT_TIMEOUT) state = REMORA_WAIT_INTERRUPTED;
  }
}

/* Large bytes that nobody else will read: what was copied is given back to the kernel on the way, so that they do not stand in memory twice.
 * In huge pages, as making and freeing 64 MiB of small ones takes some ms, the freeing with the interpreter's lock. */
static PyObject *move_bytes(const char *data, size_t length) {
  PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)length);
  if (!bytes) return NULL;
  const size_t huge = 2u << 20, step = 2 * huge;
  char *to = PyBytes_AS_STRING(bytes);
  uintptr_t from = (uintptr_t)data, end = from + length, given = (from + huge - 1) & ~(uintptr_t)(huge - 1);
  uintptr_t room = ((uintptr_t)to + huge - 1) & ~(uintptr_t)(huge - 1), room_end = (uintptr_t)to + length;
  Py_BEGIN_ALLOW_THREADS /* tens of ms in which other threads would stand still; nobody else knows this object yet */
      (void) madvise((void *)room, (room_end - room) & ~(uintptr_t)(huge - 1), MADV_HUGEPAGE);
  for (uintptr_t at = from; at < end; at += step) {
    size_t n = end - at < step ? end - at : step;
    memcpy(to + (at - from), (const void *)at, n);
    uintptr_t done = (at + n) & ~(uintptr_t)(huge - 1);
    if (done > given) (void)madvise((void *)given, done - given, MADV_DONTNEED);
    given = done > given ? done : given;
  }
  Py_END_ALLOW_THREADS return bytes;
}

/* The result of a future that is ready, and that nobody but this call has ever seen. */
static PyObject *take_result(remora_future *future) {
  remora_error *err = NULL;
  remora_value *value = remora_future_result(future, &err);
  if (!value) return python_raise(err);
  if (remora_value_kind(value) == REMORA_BYTES) {
    size_t length;
    const char *data = remora_as_text(value, &length);
    if (length >= 16u << 20) {
      PyObject *result = move_bytes(data, length);
      remora_value_unref(value);
      return result;
    }
  }
#if PY_VERSION_HEX >= 0x030A0000
  /* Making a large result triggers one collection after another, none of which can find anything in it. */
  int paused = remora_length(value) > 500 && PyGC_Disable();
  PyObject *result = python_from_value(value);
  if (paused) PyGC_Enable();
#else
  PyObject *result = python_from_value(value);
#endif
  remora_value_unref(value);
  return result;
}

/* ----------------------------------------------------------------------------------------------------------------- calls */

/* How a call is made. */
typedef struct manner {
  int64_t timeout; /* ms; -1 none */
  unsigned flags;  /* REMORA_ONEWAY, REMORA_BYREF */
  char start;      /* give a Future instead of waiting */
} manner;
static const manner plain = {.timeout = -1};

static PyObject *call(remora_proxy *proxy, const char *method, manner how, PyObject *const *argv, Py_ssize_t count,
                      PyObject *names) {
  python_tidy();
  remora_value *args = python_arguments_new(argv, count, names);
  if (!args && (count || names)) return NULL;
  remora_error *err = NULL;
  if (!how.start && !(how.flags & REMORA_ONEWAY)) how.flags |= REMORA_AWAITED;
  remora_future *future = remora_start_with(proxy, method, args, how.timeout, how.flags | REMORA_NOWAIT, &err);
  if (!future && remora_error_code(err) == REMORA_E_OVERLOADED) {
    PyObject *block = PyObject_CallNoArgs(python_hook.may_block);
    int may_block = block ? PyObject_IsTrue(block) : -1;
    Py_XDECREF(block);
    if (may_block < 0) {
      remora_error_free(err);
      remora_value_unref(args);
      return NULL;
    }
    if (may_block) {
      err = remora_error_free(err);
      Py_BEGIN_ALLOW_THREADS future = remora_start_with(proxy, method, args, how.timeout, how.flags, &err);
      Py_END_ALLOW_THREADS
    }
  }
  remora_value_unref(args);
  if (!future) return python_raise(err);
  if (how.start) return python_future_new(future);

  PyObject *result = NULL;
  if (how.flags & REMORA_ONEWAY) {
    result = Py_NewRef(Py_None);
  } else if (wait_for(future, -1) < 0) {
    remora_cancel(future); /* nobody can ask for it any more */
  } else {
    result = take_result(future);
  }
  remora_future_unref(future);
  return result;
}

/* ---------------------------------------------------------------------------------------------------------------- Method */

/* What `proxy.name`, start(proxy), options(proxy) give: something to call, and for the latter two something whose attributes are methods. */
typedef struct method {
  PyObject_HEAD vectorcallfunc vectorcall;
  python_proxy *proxy;
  PyObject *name; /* NULL: the thing itself */
  manner how;
  char open; /* attributes are methods */
} method;
static PyTypeObject method_type;

static PyObject *method_vectorcall(PyObject *callable, PyObject *const *args, size_t nargs, PyObject *names) {
  method *self = (method *)callable;
  const char *name = NULL;
  if (self->name && !(name = PyUnicode_AsUTF8(self->name))) return NULL;
  /* The proxy may lose its last other reference while the call runs. */
  Py_INCREF(callable);
  PyObject *result = call(self->proxy->handle, name, self->how, args, PyVectorcall_NARGS(nargs), names);
  Py_DECREF(callable);
  return result;
}

static PyObject *method_new(python_proxy *proxy, PyObject *name, manner how, char open) {
  method *self = PyObject_New(method, &method_type);
  if (!self) return NULL;
  self->vectorcall = method_vectorcall;
  self->proxy = (python_proxy *)Py_NewRef((PyObject *)proxy);
  self->name = Py_XNewRef(name);
  self->how = how;
  self->open = open;
  return (PyObject *)self;
}

static void method_dealloc(PyObject *object) {
  method *self = (method *)object;
  Py_DECREF(self->proxy);
  Py_XDECREF(self->name);
  PyObject_Free(self);
}

/* __dunder__ names are Python's own protocols and never asked for over there. */
static int is_special(PyObject *name) {
  Py_ssize_t length = PyUnicode_GET_LENGTH(name);
  return length > 4 && PyUnicode_READ_CHAR(name, 0) == '_' && PyUnicode_READ_CHAR(name, 1) == '_' &&
         PyUnicode_READ_CHAR(name, length - 1) == '_' && PyUnicode_READ_CHAR(name, length - 2) == '_';
}

static PyObject *method_getattro(PyObject *object, PyObject *name) {
  method *self = (method *)object;
  if (self->open && !is_special(name)) return method_new(self->proxy, name, self->how, 0);
  return PyObject_GenericGetAttr(object, name);
}

static PyObject *method_repr(PyObject *object) {
  method *self = (method *)object;
  if (!self->name) return PyUnicode_FromFormat("<remora call of %R>", self->proxy);
  return PyUnicode_FromFormat("<remora method %U of %R>", self->name, self->proxy);
}

static PyMemberDef method_members[] = {
    {"__self__", T_OBJECT_EX, offsetof(method, proxy), READONLY, "The Proxy that is called."},
    {"__name__", T_OBJECT, offsetof(method, name), READONLY,
     "The method's name over there; None for the thing itself."},
    {0},
};

static PyTypeObject method_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "remora.Method",
    .tp_doc = "A method of a far object, bound to its Proxy; calling it is one round trip.",
    .tp_basicsize = sizeof(method),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(method, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_dealloc = method_dealloc,
    .tp_getattro = method_getattro,
    .tp_repr = method_repr,
    .tp_members = method_members,
};

/* bind(target, start, timeout_ms, oneway, by_ref): target is a Proxy, or a Method whose manner is then amended. */
static PyObject *bind(PyObject *module, PyObject *const *args, Py_ssize_t count) {
  (void)module;
  if (count != 5) return PyErr_Format(PyExc_TypeError, "bind() takes 5 arguments, not %zd", count);
  manner how = plain;
  method *old = Py_TYPE(args[0]) == &method_type ? (method *)args[0] : NULL;
  if (old) how = old->how;
  int start = PyObject_IsTrue(args[1]), oneway = PyObject_IsTrue(args[3]), by_ref = PyObject_IsTrue(args[4]);
  int64_t timeout = PyLong_AsLongLong(args[2]);
  if (start < 0 || oneway < 0 || by_ref < 0 || (timeout == -1 && PyErr_Occurred())) return NULL;
  if (start) how.start = 1;
  if (timeout >= 0) how.timeout = timeout;
  if (oneway) how.flags |= REMORA_ONEWAY;
  if (by_ref) how.flags |= REMORA_BYREF;
  if (old) return method_new(old->proxy, old->name, how, old->open);
  if (!python_proxy_handle(args[0])) return NULL;
  return method_new((python_proxy *)args[0], NULL, how, 1);
}

/* invoke(proxy, method, *args): a call whose method is not an identifier (":len"). */
static PyObject *invoke(PyObject *module, PyObject *const *args, Py_ssize_t count, PyObject *names) {
  (void)module;
  if (count < 2) return PyErr_Format(PyExc_TypeError, "invoke() takes at least 2 arguments");
  remora_proxy *proxy = python_proxy_handle(args[0]);
  const char *name = proxy ? PyUnicode_AsUTF8(args[1]) : NULL;
  if (!name) return NULL;
  return call(proxy, name, plain, args + 2, count - 2, names);
}

/* ----------------------------------------------------------------------------------------------------------------- Proxy */

/* A Proxy of something that can be called. */
typedef struct callable_proxy {
  python_proxy base;
  vectorcallfunc vectorcall;
} callable_proxy;

static PyObject *callable_vectorcall(PyObject *callable, PyObject *const *args, size_t nargs, PyObject *names) {
  Py_INCREF(callable);
  PyObject *result = call(((python_proxy *)callable)->handle, NULL, plain, args, PyVectorcall_NARGS(nargs), names);
  Py_DECREF(callable);
  return result;
}

static PyTypeObject callable_proxy_type;

/* Address of a handle -> address of its Proxy, which takes itself out when it goes. */
static PyObject *proxies;

PyObject *python_proxy_new(remora_proxy *handle) {
  PyObject *address = PyLong_FromVoidPtr(handle), *self = NULL;
  if (!address) return NULL;
  PyObject *known = PyDict_GetItemWithError(proxies, address);
  if (known) {
    self = PyLong_AsVoidPtr(known);
    if (Py_REFCNT(self) > 0) { /* 0: a weak reference's callback, while that Proxy goes */
      Py_DECREF(address);
      return Py_NewRef(self);
    }
    self = NULL;
  }
  PyObject *cls =
      PyObject_CallFunction(python_hook.proxy_class, "ss", remora_proxy_type(handle), remora_proxy_traits(handle));
  PyTypeObject *type = (PyTypeObject *)cls;
  if (type) self = type->tp_alloc(type, 0);
  Py_XDECREF(cls);
  known = self ? PyLong_FromVoidPtr(self) : NULL;
  if (self) {
    ((python_proxy *)self)->handle = remora_proxy_ref(handle);
    if (PyObject_TypeCheck(self, &callable_proxy_type)) ((callable_proxy *)self)->vectorcall = callable_vectorcall;
  }
  if (!known || PyDict_SetItem(proxies, address, known) < 0) Py_CLEAR(self);
  Py_XDECREF(known);
  Py_DECREF(address);
  return self;
}

remora_proxy *python_proxy_handle(PyObject *proxy) {
  if (PyObject_TypeCheck(proxy, &python_proxy_type) && ((python_proxy *)proxy)->handle)
    return ((python_proxy *)proxy)->handle;
  PyErr_Format(PyExc_TypeError, "a remora.Proxy is needed, not a %s", Py_TYPE(proxy)->tp_name);
  return NULL;
}

static void proxy_dealloc(PyObject *object) {
  python_proxy *self = (python_proxy *)object;
  if (self->weak) PyObject_ClearWeakRefs(object);
  if (self->handle) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *address = PyLong_FromVoidPtr(self->handle);
    PyObject *known = address ? PyDict_GetItemWithError(proxies, address) : NULL;
    if (known && PyLong_AsVoidPtr(known) == self) PyDict_DelItem(proxies, address);
    Py_XDECREF(address);
    PyErr_Restore(type, value, traceback);
    remora_proxy_unref(self->handle);
  }
  Py_TYPE(object)->tp_free(object);
}

/* Of what can be iterated Python asks for `keys` to find out whether it is a map: there the answer has to be true. */
static int has_keys(PyObject *object) {
  PyObject *look = PyObject_GetAttrString((PyObject *)Py_TYPE(object), "__has_keys__");
  if (!look) return -1;
  int has = 1;
  if (look != Py_None) {
    PyObject *found = PyObject_CallFunctionObjArgs(look, object, NULL);
    has = found ? PyObject_IsTrue(found) : -1;
    Py_XDECREF(found);
  }
  Py_DECREF(look);
  return has;
}

static PyObject *proxy_getattro(PyObject *object, PyObject *name) {
  if (is_special(name)) return PyObject_GenericGetAttr(object, name);
  if (PyUnicode_GET_LENGTH(name) == 4 && PyUnicode_CompareWithASCIIString(name, "keys") == 0) {
    int has = has_keys(object);
    if (has < 0) return NULL;
    if (!has) return PyErr_Format(PyExc_AttributeError, "the far object has no attribute 'keys'");
  }
  return method_new((python_proxy *)object, name, plain, 0);
}

static int proxy_setattro(PyObject *object, PyObject *name, PyObject *value) {
  if (is_special(name)) return PyObject_GenericSetAttr(object, name, value);
  PyErr_Format(PyExc_AttributeError, "set attributes of far objects with remora.setattr(proxy, %R, value)", name);
  return -1;
}

PyTypeObject python_proxy_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "remora.remora_capi.Proxy",
    .tp_basicsize = sizeof(python_proxy),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_weaklistoffset = offsetof(python_proxy, weak),
    .tp_dealloc = proxy_dealloc,
    .tp_getattro = proxy_getattro,
    .tp_setattro = proxy_setattro,
};

static PyTypeObject callable_proxy_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "remora.remora_capi.CallableProxy",
    .tp_basicsize = sizeof(callable_proxy),
    .tp_base = &python_proxy_type,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(callable_proxy, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_dealloc = proxy_dealloc,
    .tp_getattro = proxy_getattro,
    .tp_setattro = proxy_setattro,
};

/* ---------------------------------------------------------------------------------------------------------------- Future */

typedef struct future {
  PyObject_HEAD remora_future *handle; /* NULL in futures that the package makes of others */
  PyObject *value, *error;             /* once it was looked at */
  PyObject *weak;
} future;
static PyTypeObject future_type;

PyObject *python_future_new(remora_future *handle) {
  PyTypeObject *type = (PyTypeObject *)python_hook.future_class;
  future *self = (future *)type->tp_alloc(type, 0);
  if (self)
    self->handle = handle;
  else
    remora_future_unref(handle);
  return (PyObject *)self;
}

remora_future *python_future_handle(PyObject *object) {
  if (PyObject_TypeCheck(object, &future_type) && ((future *)object)->handle) return ((future *)object)->handle;
  PyErr_Format(PyExc_TypeError, "a remora.Future is needed, not a %s", Py_TYPE(object)->tp_name);
  return NULL;
}

static int future_traverse(PyObject *object, visitproc visit, void *arg) {
  Py_VISIT(((future *)object)->value);
  Py_VISIT(((future *)object)->error);
#if PY_VERSION_HEX >= 0x03090000
  if (Py_TYPE(object)->tp_flags & Py_TPFLAGS_HEAPTYPE) Py_VISIT(Py_TYPE(object));
#endif
  return 0;
}

static int future_clear(PyObject *object) {
  Py_CLEAR(((future *)object)->value);
  Py_CLEAR(((future *)object)->error);
  return 0;
}

static void future_dealloc(PyObject *object) {
  future *self = (future *)object;
  PyObject_GC_UnTrack(object);
  if (self->weak) PyObject_ClearWeakRefs(object);
  future_clear(object);
  remora_future_unref(self->handle);
  Py_TYPE(object)->tp_free(object);
}

static int future_timeout(PyObject *const *args, Py_ssize_t count, PyObject *names, int64_t *ms) {
  if (names && PyTuple_GET_SIZE(names) == 1 && count == 0 &&
      PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "timeout") == 0)
    count = 1;
  else if (names && PyTuple_GET_SIZE(names))
    count = 2;
  if (count > 1) {
    PyErr_SetString(PyExc_TypeError, "the only argument is timeout, in seconds");
    return -1;
  }
  *ms = -1;
  if (count == 0 || args[0] == Py_None) return 0;
  double seconds = PyFloat_AsDouble(args[0]);
  if (seconds == -1 && PyErr_Occurred()) return -1;
  *ms = seconds <= 0 ? 0 : seconds > 1e12 ? -1 : (int64_t)(seconds * 1000 + 0.999);
  return 0;
}

/* Waits and keeps value or error. 0, or -1 with an exception that is not the future's own. */
static int settle(future *self, int64_t ms) {
  if (self->value || self->error) return 0;
  if (!self->handle) {
    PyErr_SetString(PyExc_TypeError, "this future has no call");
    return -1;
  }
  int ready = wait_for(self->handle, ms);
  if (ready < 0) return -1;
  if (!ready) {
    python_fail(REMORA_E_TIMEOUT, "the result has not come within %lld ms", (long long)ms);
    return -1;
  }
  remora_error *err = NULL;
  remora_value *value = remora_future_result(self->handle, &err);
  PyObject *made = NULL;
  if (value) {
    made = python_from_value(value);
    remora_value_unref(value);
  } else {
    PyObject *error = python_exception(err);
    if (!error) return -1;
    if (self->value || self->error)
      Py_DECREF(error);
    else
      self->error = error;
    return 0;
  }
  if (!made) return -1;
  /* Another thread may have been here while code of Python ran. */
  if (self->value || self->error)
    Py_DECREF(made);
  else
    self->value = made;
  return 0;
}

static PyObject *future_result(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names) {
  future *self = (future *)object;
  int64_t ms;
  if (future_timeout(args, count, names, &ms) < 0 || settle(self, ms) < 0) return NULL;
  if (self->value) return Py_NewRef(self->value);
  PyErr_SetObject((PyObject *)Py_TYPE(self->error), self->error);
  return NULL;
}

static PyObject *future_exception(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names) {
  future *self = (future *)object;
  int64_t ms;
  if (future_timeout(args, count, names, &ms) < 0 || settle(self, ms) < 0) return NULL;
  return Py_NewRef(self->error ? self->error : Py_None);
}

static PyObject *future_wait(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names) {
  int64_t ms;
  remora_future *handle = python_future_handle(object);
  if (!handle || future_timeout(args, count, names, &ms) < 0) return NULL;
  int ready = wait_for(handle, ms);
  return ready < 0 ? NULL : PyBool_FromLong(ready);
}

static remora_state state_of(PyObject *object) {
  remora_future *handle = ((future *)object)->handle;
  return handle ? remora_future_state(handle) : REMORA_PENDING;
}

static PyObject *future_done(PyObject *object, PyObject *unused) {
  (void)unused;
  return PyBool_FromLong(state_of(object) != REMORA_PENDING);
}

static PyObject *future_running(PyObject *object, PyObject *unused) {
  (void)unused;
  return PyBool_FromLong(state_of(object) == REMORA_PENDING);
}

static PyObject *future_cancelled(PyObject *object, PyObject *unused) {
  (void)unused;
  return PyBool_FromLong(state_of(object) == REMORA_WAS_CANCELLED);
}

static PyObject *future_cancel(PyObject *object, PyObject *unused) {
  (void)unused;
  remora_future *handle = python_future_handle(object);
  return handle ? PyBool_FromLong(remora_cancel(handle)) : NULL;
}

#define FAST(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS
static PyMethodDef future_methods[] = {
    {"result", FAST(future_result),
     "result(timeout=None): the result; waits at most `timeout` seconds for it.\n\n"
     "Raises what the call raised; Timeout when it has not come in time (the call goes on); KeyboardInterrupt ends the "
     "wait.\n"
     "Callbacks that the call makes run meanwhile on this thread."},
    {"exception", FAST(future_exception), "exception(timeout=None): what result() would raise, or None."},
    {"wait", FAST(future_wait), "wait(timeout=None): whether it is done within `timeout` seconds."},
    {"done", future_done, METH_NOARGS, "done(): whether there is a result or an error. Never waits."},
    {"running", future_running, METH_NOARGS, "running(): whether it is not done."},
    {"cancelled", future_cancelled, METH_NOARGS, "cancelled(): whether it was cancelled."},
    {"cancel", future_cancel, METH_NOARGS,
     "cancel(): gives the result up and tells the far side; False if it was done. A call that runs there already runs "
     "on."},
    {0},
};

static PyTypeObject future_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "remora.remora_capi.Future",
    .tp_basicsize = sizeof(future),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_weaklistoffset = offsetof(future, weak),
    .tp_dealloc = future_dealloc,
    .tp_traverse = future_traverse,
    .tp_clear = future_clear,
    .tp_methods = future_methods,
    .tp_new = PyType_GenericNew,
};

/* ---------------------------------------------------------------------------------------------------------------- module */

static PyObject *setup(PyObject *module, PyObject *args, PyObject *keywords) {
  (void)module;
  static char *names[] = {"make_error",  "run_event",   "describe", "proxy_class", "future_class",
                          "big_to_text", "text_to_big", "by_ref",   "may_block",   NULL};
  python_hooks *h = &python_hook;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOOOOOOOO", names, &h->make_error, &h->run_event, &h->describe,
                                   &h->proxy_class, &h->future_class, &h->big_to_text, &h->text_to_big, &h->by_ref,
                                   &h->may_block))
    return NULL;
  /* Never given back: futures and proxies may outlive the package's modules at the interpreter's end. */
  PyObject *kept[] = {h->make_error,  h->run_event,   h->describe, h->proxy_class, h->future_class,
                      h->big_to_text, h->text_to_big, h->by_ref,   h->may_block};
  for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) Py_INCREF(kept[i]);
  Py_RETURN_NONE;
}

/* first_of([future, ...]): a Future that is done with the first of them. */
static PyObject *first_of(PyObject *module, PyObject *list) {
  (void)module;
  PyObject *items = PySequence_Fast(list, "a list of futures is needed");
  if (!items) return NULL;
  size_t n = (size_t)PySequence_Fast_GET_SIZE(items), i = 0;
  remora_future **handles = PyMem_Malloc((n + 1) * sizeof *handles);
  while (handles && i < n && (handles[i] = python_future_handle(PySequence_Fast_GET_ITEM(items, (Py_ssize_t)i)))) i++;
  remora_error *err = NULL;
  remora_future *first = handles && i == n ? remora_any(handles, n, &err) : NULL;
  if (!handles) PyErr_NoMemory();
  PyMem_Free(handles);
  Py_DECREF(items);
  if (first) return python_future_new(first);
  return err ? python_raise(err) : NULL;
}

static PyObject *queue(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  remora_queue *q = python_queue();
  return q ? python_queue_handle(q) : NULL;
}

static PyObject *tidy(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  python_tidy();
  Py_RETURN_NONE;
}

static PyObject *forked(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  PyDict_Clear(proxies); /* the old handles stay with their Proxies, which say ForkedError */
  python_values_forked();
  Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"bind", (PyCFunction)(void (*)(void))bind, METH_FASTCALL,
     "bind(target, start, timeout_ms, oneway, by_ref) -> Method"},
    {"invoke", FAST(invoke), "invoke(proxy, method, *args, **kwargs): calls and waits."},
    {"setup", (PyCFunction)(void (*)(void))setup, METH_VARARGS | METH_KEYWORDS,
     "Gives C the functions of the package."},
    {"first_of", first_of, METH_O, "first_of(futures): a Future that is done with the first of them."},
    {"queue", queue, METH_NOARGS, "The interpreter's queue."},
    {"tidy", tidy, METH_NOARGS, "Drops the references that C has given back."},
    {"forked", forked, METH_NOARGS, "Forgets the parent's handles, in the child of a fork."},
    {0},
};

/* SWIG lists what the module exports; what is missing there `import *` would not take. */
static int list_public(PyObject *module, const char *name) {
  PyObject *all = PyDict_GetItemString(PyModule_GetDict(module), "__all__");
  PyObject *text = all ? PyUnicode_FromString(name) : NULL;
  int failed = all && (!text || PyList_Append(all, text) < 0);
  Py_XDECREF(text);
  return failed ? -1 : 0;
}

int python_types_init(PyObject *module) {
  if (!(proxies = PyDict_New())) return -1;
  if (PyType_Ready(&python_proxy_type) < 0 || PyType_Ready(&callable_proxy_type) < 0 ||
      PyType_Ready(&method_type) < 0 || PyType_Ready(&future_type) < 0)
    return -1;
  struct {
    const char *name;
    PyTypeObject *type;
  } types[] = {{"Proxy", &python_proxy_type},
               {"CallableProxy", &callable_proxy_type},
               {"Method", &method_type},
               {"Future", &future_type}};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (PyModule_AddObject(module, types[i].name, Py_NewRef((PyObject *)types[i].type)) < 0 ||
        list_public(module, types[i].name) < 0)
      return -1;
  for (const PyMethodDef *f = functions; f->ml_name; f++)
    if (list_public(module, f->ml_name) < 0) return -1;
  return PyModule_AddFunctions(module, functions);
}
