/* spec.h: what a user writes becomes a list of hops; also lists of words, split and quoted as a POSIX shell does. */
#ifndef REMORA_SPEC_H
#define REMORA_SPEC_H

#include "carrier.h"

/* A growing, NULL-terminated list of owned words. `failed`: memory ran out at some point; callers check once. */
typedef struct spec_words {
  char **items;
  size_t count, room;
  bool failed;
} spec_words;

void spec_words_add(spec_words *words, const char *text);
/* *Steals* text, which may be NULL after a failed allocation. */
void spec_words_take(spec_words *words, char *text);
/* Appends a text, or the elements of a list of text; NULL is nothing. */
void spec_words_add_value(spec_words *words, const remora_value *value);
/* Moves all words of `more` to the end of `words`. */
void spec_words_move(spec_words *words, spec_words *more);
void spec_words_clear(spec_words *words);
/* *new* text: the words as one line that a POSIX shell splits into the same words; NULL when memory is out. */
char *spec_words_quote(const spec_words *words);
/* Appends the words of a line as a shell would split it: blanks, both quotes, backslash; nothing is expanded.
 * -1 when a quote is not closed. */
int spec_words_split(spec_words *words, const char *line);

/* *new* text for messages: control characters and bytes that are not UTF-8 appear as \xNN; NULL when memory is out. */
char *spec_harmless(const char *text, size_t length);

/* One step of the way to the far process. */
typedef struct spec_hop {
  carrier_type type;
  char *user;         /* sudo: always; ssh: NULL if not given */
  char *host;         /* ssh: without brackets */
  int port;           /* ssh: 0 if not given */
  spec_words command; /* command */
  char *name;         /* as the user wrote it, for messages */
} spec_hop;

typedef struct spec_chain {
  spec_hop *hops; /* from near to far */
  size_t count;
} spec_chain;

/* Parses one spec. 0, or -1 with REMORA_E_INVALID; the hop needs spec_hop_clear only after success. */
int spec_parse(spec_hop *hop, const char *text, remora_error **err);
void spec_hop_clear(spec_hop *hop);
/* The chain that spec and the options hops and command describe. 0, or -1 with an error. */
int spec_chain_make(spec_chain *chain, const char *spec, const remora_options *opts, remora_error **err);
void spec_chain_clear(spec_chain *chain);

#endif
