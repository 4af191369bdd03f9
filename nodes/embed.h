/* What nodes/embed.py makes of the nodes: the programs that are sent to a far side that has nothing installed. */
#ifndef REMORA_EMBED_H
#define REMORA_EMBED_H

#include <stddef.h>

/* The Python node: compressed (zlib), to be sent first of all; its stub is the argument of `python3 -c`. */
extern const unsigned char remora_node_python[];
extern const size_t remora_node_python_size;
extern const char remora_node_python_stub[];

/* Parts of the nodes that are loaded on demand, through the root's method `module`. Ends with a row of NULLs. */
struct remora_embedded_module {
    const char *language;
    const char *name;
    int is_package;
    const char *source;
    size_t size;
};
extern const struct remora_embedded_module remora_embedded_modules[];

#endif
