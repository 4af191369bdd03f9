/* prompt.h: questions of ssh and sudo, and whom they reach. Nothing that they print for people is read: a question comes through the helper that
 * they run (remora-node as SSH_ASKPASS and SUDO_ASKPASS) or, behind a hop, as a prompt that was chosen at random (sudo -S -p). */
#ifndef REMORA_PROMPT_H
#define REMORA_PROMPT_H

#include "hub.h"

#define PROMPT_TEXT 4096u   /* bytes of a question that are passed on */
#define PROMPT_ANSWER 1000u /* bytes of an answer; ssh and sudo read no more than 1023 */

/* First byte of the helper's packet; the text follows. The answer is one packet, text and newline; none: the socket is closed. */
enum { PROMPT_SECRET = 's', PROMPT_CONFIRM = 'c', PROMPT_INFO = 'i' };

/* Before the plan: who can be asked, and what the plan needs for it. 0 or -1. */
int prompt_prepare(hub *h, const char *spec, remora_options *o, remora_error **err);
/* After the plan, before the start: the socket, and what is held back until the command behind sudo runs. 0 or -1. */
int prompt_open(remora_conn *c, remora_error **err);
/* All under the lock. */
void prompt_watch(remora_conn *c);       /* from here on the loop listens */
void prompt_look(remora_conn *c);        /* something came on standard error */
bool prompt_gated(const remora_conn *c); /* a sudo may still ask: nothing but answers is written */
void prompt_closed(remora_conn *c);      /* no more questions of our own: it is connected, or over */
void prompt_over(remora_conn *c);        /* the end: every open question goes */
void prompt_free(remora_conn *c);
void prompt_forked(remora_conn *c); /* in the child of a fork: gives the descriptors back */
/* Under no lock. A far side passes a question on; takes e over. */
void prompt_far(remora_event *e);
/* Under no lock. What a callback made of its event; value NULL: it failed. */
void prompt_answered(remora_event *e, const remora_value *value, const remora_error *error);
/* Under no lock. From the terminal: text NULL: no answer. Wipes text. */
void prompt_typed(hub *h, uint64_t id, char *text, size_t length);

/* --- the user's terminal (terminal.c) --- */
/* Is somebody there: a terminal of this process's own, whose foreground it is? */
bool terminal_there(void);
typedef struct terminal terminal;
/* Asks on a thread of its own, one after the other; NULL: that is not possible now. */
terminal *terminal_ask(hub *h, uint64_t id, const char *name, const char *text, char kind);
/* Whatever it is at, it ends, and the terminal is as it was: waits for that, for a second at most. */
void terminal_end(terminal *t);

#endif
