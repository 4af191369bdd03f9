/* node.h: the parts of the C node, on top of the library's hub. */
#ifndef REMORA_C_NODE_H
#define REMORA_C_NODE_H

#include "hub.h"
#include "prompt.h"

/* Object 0: `new` and `can`, by way of shared objects. */
extern const remora_class module_root;
/* Who is asked for shared objects. */
void module_near(remora_conn *near);

/* Forks. Returns in the child, which goes on as the node; the parent watches it, speaks on `errors` and exits. Before there are threads. */
void warden_stand(int from, int to, int errors, int64_t heartbeat_ms);

/* The process was started by ssh or sudo to ask somebody: `name` is the socket of who answers. The exit status. */
int askpass(const char *name, const char *text);

#endif
