/* keeper.h: the keeper ends what this process has started when this process is killed: a shell outside of it that waits for the end of a stream. */
#ifndef REMORA_KEEPER_H
#define REMORA_KEEPER_H

#include "carrier.h"

#define KEEPER_MARK "REMORA_NEAR" /* the variable by which it knows what far processes of this host have started */

/* What the variable says for children of this process; "" where there is no keeper. */
const char *keeper_mark(void);
/* A program was started (the far process, or ssh and its like): sees to it that there is a keeper, and tells it. */
void keeper_started(const spawned *s);
/* It was reaped: its number may be another's now. */
void keeper_gone(const spawned *s);
/* In the child of fork(). */
void keeper_forked(void);

#endif
