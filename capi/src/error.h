/* error.h: making errors inside the library. */
#ifndef REMORA_ERROR_H
#define REMORA_ERROR_H

#include "remora.h"

/* Stores a new error of that code in *err (unless err is NULL) and returns -1. `text` is a printf format; NULL takes the table's text. */
int error_set(remora_error **err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same for REMORA_E_CONNECT with its stage (a string literal). */
int error_stage(remora_error **err, const char *stage, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same for REMORA_E_FILE: what was to be done with which file of this side, and the reason as errno has it, which goes into the details too. */
int error_file(remora_error **err, int number, const char *what, const char *path);
/* *new*: a copy, for handing one error to several waiters. */
remora_error *error_copy(const remora_error *err);
/* Makes *err out of the decoded map of an ERROR message (docs/protocol.md section 6; borrowed): names that begin with "remora." become their own
 * codes (remora.Timeout: REMORA_E_TIMEOUT, remora.NotFound, remora.Denied, remora.Cancelled, remora.Value), everything else REMORA_E_REMOTE with the map as details. Anything
 * that is not such a map becomes REMORA_E_PROTOCOL. `hop` (may be NULL) is appended to the list `hops`. */
remora_error *error_from_wire(const remora_value *map, const char *hop);
/* *new*: a copy of such a map (*steals*) with its list of hops made longer; NULL without memory. */
remora_value *error_add_hop(remora_value *details, const char *hop);
/* *new* map of section 6 for an error of ours that goes to the far side; details of a REMORA_E_REMOTE go on whole. */
remora_value *error_to_wire(const remora_error *err);

#endif
