/* native.h: the C node is an executable: where it is, and how it gets to a far side that lacks it. */
#ifndef REMORA_NATIVE_H
#define REMORA_NATIVE_H

#include "remora.h"

#include <stdbool.h>

/* A far side asks for the program by a line that begins so; then come system, machine and C library. */
#define NATIVE_QUESTION "\0REMORA?"

/* Where an executable that belongs to the library lies (libexec/remora beside it); false: nowhere, and room is empty. */
bool native_beside(const char *program, char *room, size_t size);
/* The executable: the variable REMORA_NODE_C, else beside the library; NULL if it is nowhere. Borrowed for ever. */
const char *native_path(void);
/* This process is the C node: what it sends on is itself. */
void native_is_self(void);
/* *new* text for `sh -c`, made of nodes/c/start.sh: runs the node that is there, or asks for it. NULL with REMORA_E_INVALID when there is none to send. */
char *native_stub(const char *script, remora_error **err);
/* *new* bytes of the executable for the far side that asked. 0, or -1 with REMORA_E_CONNECT when it would not run there. */
int native_answer(const char *name, const char *question, uint8_t **data, size_t *length, remora_error **err);

#endif
