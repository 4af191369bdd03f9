/* What nodes/embed.py makes of the nodes: the programs that are sent to a far side that has nothing installed. */
#ifndef REMORA_EMBED_H
#define REMORA_EMBED_H

#include <stddef.h>

/* The nodes. `program` is sent first of all; `stub` is the text that the interpreter runs, and reads it. Ends with NULLs. */
extern const struct remora_embedded_node {
  const char *language;
  const unsigned char *program;
  size_t size;
  const char *stub;
  const char *
      local_stub; /* for a child of this host: may use what the library's folder holds, its last argument; NULL: there is none */
  const char
      *start; /* what `sh -c` runs to look for the interpreter, or to stand over it as warden; NULL: not needed */
} remora_embedded_nodes[];

/* Parts of the nodes that are loaded on demand, through the root's method `module`. Ends with a row of NULLs. */
extern const struct remora_embedded_module {
  const char *language;
  const char *name;
  int is_package;
  const char *source;
  size_t size;
} remora_embedded_modules[];

#endif
