/* python_types.h: the three types on the path of a call, Proxy, Method and Future, and the one place that waits. In C because a call through Python classes
 * costs ten times as much as through these; everything that is not on that path is in the package. */
#ifndef REMORA_PYTHON_TYPES_H
#define REMORA_PYTHON_TYPES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "remora.h"

typedef struct python_proxy {
  PyObject_HEAD remora_proxy *handle;
  PyObject *weak;
} python_proxy;
extern PyTypeObject python_proxy_type;

/* The one Proxy of this handle; a new reference. Takes its own reference of the handle. */
PyObject *python_proxy_new(remora_proxy *handle);
remora_proxy *python_proxy_handle(PyObject *proxy); /* borrowed; NULL with TypeError */
/* Steals the future. */
PyObject *python_future_new(remora_future *future);
remora_future *python_future_handle(PyObject *future);

/* Adds types and functions to the module. */
int python_types_init(PyObject *module);

/* Handles of SWIG for types that are not here (python.i). The event is stolen. */
PyObject *python_event_new(remora_event *event);
PyObject *python_queue_handle(remora_queue *queue);

#endif
