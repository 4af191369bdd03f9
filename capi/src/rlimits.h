/* rlimits.h: what a far process may use: the option `limits`, how it gets there, and what its end has to do with it. */
#ifndef REMORA_RLIMITS_H
#define REMORA_RLIMITS_H

#include "carrier.h"
#include "spec.h"

/* Is it a map of known names to integers in range? NULL, or what is wrong, in `room`. */
const char *rlimits_check(const remora_value *limits, char *room, size_t size);
/* A process of ours that has just been started gets its limits and its place in the queue (nice: 0 is as before). 0, or -1 with *err. */
int rlimits_apply(const char *name, pid_t pid, const remora_value *limits, int64_t nice, remora_error **err);
/* The same where it is a shell that has to do it: goes in front of the far command. */
void rlimits_wrap(spec_words *words, const remora_value *limits, int64_t nice);
/* How a process that was killed by the signal ended: "signal 6 (SIGABRT)", or "its CPU limit (3 s): signal 24 (SIGXCPU)". Returns room. */
const char *rlimits_signal(const remora_value *limits, int signal, char *room, size_t size);
/* Behind "ended with exit status 1": " (its memory limit is 1000000 bytes)", or "". Returns room. */
const char *rlimits_status(const remora_value *limits, int status, char *room, size_t size);

#endif
