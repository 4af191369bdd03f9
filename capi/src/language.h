/* language.h: what the library knows of each far language: how its node is started, how its modules are called. A table, nothing else. */
#ifndef REMORA_LANGUAGE_H
#define REMORA_LANGUAGE_H

#include "embed.h"

#include <stdbool.h>

typedef struct language_file {
  const char *pattern; /* of a file's name below a root, "%s" being the module's name as a path */
  const char *kind;    /* what docs/protocol.md 5.2 calls it */
} language_file;

typedef struct language {
  const char *name;
  /* The far interpreter: the near side's variable that names it, the program that every host has, the options that stand
   * before the stub. */
  const char *variable, *program;
  const char *const *flags;
  /* Modules: between the parts of a name; the files that hold one, the first found counts; where the user's own lie: a
   * variable with directories between colons, or with patterns that hold a "?" between semicolons. */
  const char *separator;
  const language_file *files;
  const char *path_variable;
  /* Words before the name of a module that a source loads; `anywhere`: not only first in a line. */
  const char *const *loads;
  bool anywhere;
  bool list;       /* "import a, b" */
  bool any_folder; /* any folder is a package, and an extension's file may be called NAME.ANYTHING.so */
  bool executable; /* the node is no program for an interpreter but an executable of ours (native.h) */
  /* The executable of ours (native.h) that stands on this side in front of the far process and speaks its protocol; NULL: that
   * process speaks ours. */
  const char *translator;
  bool heeds_interrupt; /* its interpreter makes an error of a SIGINT, and user code cannot keep it from that */
} language;

/* NULL: there is none of that name. */
const language *language_find(const char *name);
/* "python, ruby": those whose node is in this library. *new* (free) */
char *language_known(void);
/* The folder beside the library that holds what goes with it, "" when it cannot be told; valid for ever. */
const char *language_folder(void);
/* The node; NULL when this library has none. */
const struct remora_embedded_node *language_node(const char *name);

#endif
