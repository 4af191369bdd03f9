/* trace.h: REMORA_DEBUG=1 prints every message in and out on standard error. */
#ifndef REMORA_TRACE_H
#define REMORA_TRACE_H

#include "frame.h"

#include <stdbool.h>

extern bool trace_on;
/* Reads REMORA_DEBUG; once, before anything else. */
void trace_init(void);
void trace_print(const char *name, char direction, const frame *f, const void *payload);

static inline void trace_frame(const char *name, char direction, const frame *f, const void *payload) {
  if (__builtin_expect(trace_on, 0)) trace_print(name, direction, f, payload);
}

#endif
