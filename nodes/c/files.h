/* files.h: files and commands for the near side: `open`, `stat` and `run` of the root (docs/protocol.md, sections 5.2 to 5.4). */
#ifndef REMORA_C_FILES_H
#define REMORA_C_FILES_H

#include "hub.h"

/* *new*: a failure of the system, of the type OSError, with the attribute errno. */
remora_error *files_error(const char *what, int number);
/* *new*: an error of the protocol's own type `type` ("remora.Limit"). */
remora_error *files_fault(const char *type, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Text or bytes without a NUL, *borrowed*; NULL with *err. `what` is for the message. */
const char *files_text(const remora_value *v, const char *what, remora_error **err);
/* Answers `open` and `stat`: true; *result is *new*, or *err is set. False: another method. */
bool files_answer(const char *method, const remora_value *args, remora_value **result, remora_error **err);
/* How many bytes go in one message, and some more for what is around them. */
void files_begin(uint32_t max_message);
extern size_t files_most;
/* Removes what atomic files have not put into place. Any thread. */
void files_remove_all(void);

/* `run`: a thread of its own for each command. */
extern const far_hooks command_hooks;
/* The connection has ended: gives the commands half a second, then kills. */
void command_end_all(void);

#endif
