/* cli.h: what the parts of the command `remora` share. */
#ifndef REMORA_CLI_H
#define REMORA_CLI_H

#include <remora.h>

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

/* Exit statuses; docs/cli.md has the table. */
enum {
  STATUS_OK = 0,
  STATUS_FAR = 1,   /* the far code raised an error, or there is no such function */
  STATUS_USAGE = 2, /* the command line is wrong */
  STATUS_TIMEOUT = 124,
  STATUS_CANNOT = 126, /* run: the command could not be run */
  STATUS_ABSENT = 127, /* run: there is no such command */
  STATUS_SIGNAL = 128, /* and the signal's number */
  STATUS_LOST = 255    /* no connection, or it was lost */
};

/* -------------------------------------------------------------------------------------------------- settings.c */

typedef struct settings {
  const char *command;     /* "call" */
  remora_options *options; /* for every connection */
  bool json, json_args, verbose;
  int64_t timeout;   /* ms, -1: none */
  size_t parallel;   /* run: connections at the same time */
  const char *input; /* run: the file that the commands read, "-": standard input; or NULL */
  char **operands;   /* what stands behind the options */
  size_t noperands;
} settings;

/* Reads the command line behind the command's name. Ends the process for --help and for what cannot be understood. */
void settings_read(settings *s, int argc, char **argv);
void settings_free(settings *s);
/* Says what is wrong with the command line, and ends the process with STATUS_USAGE. */
_Noreturn void settings_wrong(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
void settings_help(FILE *to, const char *command); /* command NULL: of all */

/* ------------------------------------------------------------------------------------------------------ wait.c */

extern volatile sig_atomic_t interrupted; /* SIGINT came */

/* From here on SIGINT sets `interrupted`. */
void wait_begin(void);
/* Deals with one event of the default queue: far output goes where it belongs. Frees it. */
void wait_event(remora_event *event);
/* Waits for the future, -1: without limit; the result, *new*, or NULL with *err (REMORA_E_INTERRUPTED, then the future was cancelled). */
remora_value *wait_for(remora_future *future, int64_t ms, remora_error **err);
/* Starts to connect: a spec, or a chain of them with commas between. *new* */
remora_future *wait_connect_start(const settings *s, const char *spec, remora_error **err);
/* Connects. *new*; NULL after a message, *status is then that of the process. */
remora_conn *wait_connect(const settings *s, const char *spec, int *status);
/* The exit status that stands for an error. */
int wait_status(const remora_error *err);
/* Prints an error: "remora: web1: ValueError: ...", with the far traceback where that is wanted. Frees it. */
void wait_complain(const char *where, remora_error *err, bool traceback);
/* Out of memory, or something that cannot be: ends the process. */
_Noreturn void wait_die(const char *what);

/* ------------------------------------------------------------------------------------------------------ show.c */

/* Prints a value as JSON, in which what JSON has not stands as an object with one member: $bytes, $int, $float, $map, $ref. */
void show_json(FILE *to, const remora_value *value);
/* Prints a result for people: text and bytes as they are, null as nothing, all else nearly as JSON. */
void show_result(FILE *to, const remora_value *value);
/* Bytes as JSON: a string if they are UTF-8, else $bytes. */
void show_json_bytes(FILE *to, const char *bytes, size_t length);

/* ----------------------------------------------------------------------------------------------------- input.c */

typedef struct input input;

/* A file, or standard input if it is "-"; with several readers what is no file is read to its end now. Ends the process when it cannot be read. */
input *input_open(const char *path, bool several);
/* Where a reader begins. */
off_t input_begin(const input *i);
/* The answer to a far read(n) that is being served: *new*; NULL with *err; NULL alone when it follows from another thread. */
remora_value *input_take(const input *i, off_t *at, size_t n, remora_error **err);

/* ------------------------------------------------------------------------------------------------- arguments.c */

/* ARGS of `call` as an argument list. *new*; NULL after a message. */
remora_value *arguments_read(char **args, size_t n, bool json);

/* ------------------------------------------------------------------------------------------- line.c, history.c */

typedef struct line_source line_source;

enum { LINE_END = 0, LINE_READ = 1, LINE_INTERRUPTED = -1 };

/* `complete` gives candidates for the text before the cursor: a list of text, *new*, or NULL. */
line_source *line_open(remora_value *(*complete)(void *userdata, const char *text), void *userdata);
/* The next line without its end, to be freed. `stop` becomes true when there is no use in waiting any more. */
int line_next(line_source *l, const char *prompt, volatile bool *stop, char **text);
/* Keeps a line for later sessions. */
void line_remember(line_source *l, const char *text);
bool line_is_terminal(const line_source *l);
void line_close(line_source *l);

/* Calls fn with each line that was kept, oldest first. */
void history_load(void (*fn)(void *userdata, const char *line), void *userdata);
void history_append(const char *line);

/* ------------------------------------------------------------------------------------------------ the commands */

int call_main(const settings *s);
int run_main(const settings *s);
int repl_main(const settings *s);

#endif
