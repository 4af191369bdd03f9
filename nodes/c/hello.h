/* hello.h: the greeting of an executable that is a far side. Each of these ends the process when the wire does. */
#ifndef REMORA_HELLO_H
#define REMORA_HELLO_H

#include "hub.h"

void hello_write(int fd, const void *data, size_t length);
/* Says goodbye with that reason, and exits. */
void hello_refuse(int to, const char *why);
/* *new*: the near side's greeting, a map. */
remora_value *hello_read(int from, int to);

#endif
