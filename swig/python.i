/* python.i: how values, errors and handles of remora.h look in Python. Only typemaps; the C code behind them is in python_values.c (values, lent objects,
 * errors) and python_types.c (Proxy, Method, Future and the waiting). */
%module(package="remora") remora_capi

%begin %{
#define PY_SSIZE_T_CLEAN
%}

%{
#include "python_types.h"
#include "python_values.h"
%}

/* ------------------------------------------------------------------------------------------------------------- values */

%typemap(in) const remora_value * {
  $1 = python_value_new($input);
  if (!$1) SWIG_fail;
}
%typemap(freearg) const remora_value * "remora_value_unref((remora_value *)$1);"

/* Not const: the function steals it. */
%typemap(in) remora_value * {
  $1 = python_value_new($input);
  if (!$1) SWIG_fail;
}
%typemap(out) const remora_value * "$result = python_from_value($1);" /* borrowed; NULL is None */
%typemap(out) remora_value * {
  $result = python_from_value($1);
  remora_value_unref($1);
}

/* The arguments of an incoming call: (list, dict or None). */
%typemap(out) const remora_value *remora_event_args "$result = $1 ? python_from_arguments($1) : NULL;"

/* Times in the C interface are milliseconds; the package above converts its seconds. */

/* ------------------------------------------------------------------------------------------------------------- errors */

/* After the call, so that whatever it returned is given back first. */
%typemap(argout) remora_error **err {
  if (error$argnum) {
    Py_XDECREF($result);
    $result = python_raise(error$argnum);
    SWIG_fail;
  }
}

/* ------------------------------------------------------------------------------------------------------------ handles */

%typemap(in) remora_proxy * {
  $1 = python_proxy_handle($input);
  if (!$1) SWIG_fail;
}
%typemap(in) const remora_proxy * {
  $1 = python_proxy_handle($input);
  if (!$1) SWIG_fail;
}
%typemap(out) remora_proxy * {
  $result = $1 ? python_proxy_new($1) : SWIG_Py_Void();
  remora_proxy_unref($1);
}

%typemap(in) remora_future * {
  $1 = python_future_handle($input);
  if (!$1) SWIG_fail;
}
%typemap(out) remora_future * "$result = $1 ? python_future_new($1) : SWIG_Py_Void();"

/* A borrowed connection becomes a handle of its own. */
%typemap(out) remora_conn *remora_proxy_conn "$result = SWIG_NewPointerObj(remora_conn_ref($1), $1_descriptor, SWIG_POINTER_OWN);"

/* What was lent, and what remora_then was given. */
%typemap(out) void *remora_event_userdata "$result = python_event_target(arg1);"
%ignore remora_event_object;
%ignore remora_event_future;

/* remora_then(future, queue, callable): the callable is called without arguments by whoever runs the event. */
%typemap(in) (void (*fn)(remora_future *future, void *userdata), void *userdata, void (*destroy)(void *userdata)) {
  $1 = NULL;
  $2 = python_held_new($input);
  $3 = python_held_release;
  if (!$2) SWIG_fail;
}

%typemap(in, numinputs=0) size_t *length (size_t length) "length = 0; $1 = &length;"
%typemap(out) const char *remora_event_data "$result = PyBytes_FromStringAndSize($1 ? $1 : \"\", $1 ? (Py_ssize_t)length2 : 0);"

/* Names of files: whatever bytes they have. */
%typemap(in) const char *local (PyObject *name = NULL), const char *remote (PyObject *name = NULL) {
  if (!PyUnicode_FSConverter($input, &name)) SWIG_fail;
  $1 = PyBytes_AS_STRING(name);
}
%typemap(freearg) const char *local, const char *remote "Py_XDECREF(name$argnum);"

/* Text or bytes, and their length, are one argument. */
%typemap(in) (const char *source, size_t length) (Py_ssize_t length) {
  $1 = PyBytes_Check($input) ? PyBytes_AS_STRING($input) : (char *)PyUnicode_AsUTF8AndSize($input, &length);
  if (PyBytes_Check($input)) length = PyBytes_GET_SIZE($input);
  if (!$1) SWIG_fail;
  $2 = (size_t)length;
}

/* ------------------------------------------------------------------------------------------------ the interpreter's lock */

/* The functions that sleep; the waiting for results is in python_types.c. */
%define REMORA_SLEEPS(function)
%exception function {
  Py_BEGIN_ALLOW_THREADS
  $action
  Py_END_ALLOW_THREADS
}
%enddef
REMORA_SLEEPS(remora_next_event)
REMORA_SLEEPS(remora_conn_wait_closed)
REMORA_SLEEPS(remora_shutdown)

%exception remora_queue_reap {
  $action
  python_tidy();
}

/* Done by python_types.c. */
%ignore remora_start_with;
%ignore remora_spin;
%ignore remora_wait_for;
%ignore remora_take;
%ignore remora_cancel;
%ignore remora_future_state;
%ignore remora_future_result;

%include "remora.i"

/* Which connection an output came from, as a number to look up; holding a handle would keep the connection open. */
%inline %{
/* A sink of the interpreter's queue, whose events are pulled. */
static uint64_t log_sink(int level, const char *selections, remora_error **err) {
  return remora_log_add_sink(python_queue(), level, selections, NULL, NULL, NULL, err);
}
static size_t conn_address(remora_conn *conn) { return (size_t)conn; }
static size_t event_conn_address(remora_event *event) { return (size_t)remora_event_conn(event); }
%}

%wrapper %{
PyObject *python_event_new(remora_event *event) {
  PyObject *self = NULL; /* SWIG's macro wants one */
  return SWIG_NewPointerObj(event, SWIGTYPE_p_remora_event, SWIG_POINTER_OWN);
}
PyObject *python_queue_handle(remora_queue *queue) {
  PyObject *self = NULL;
  return SWIG_NewPointerObj(remora_queue_ref(queue), SWIGTYPE_p_remora_queue, SWIG_POINTER_OWN);
}
%}

%init %{
  if (python_types_init(m) < 0) return NULL;
%}
