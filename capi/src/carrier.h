/* carrier.h: a spec becomes a byte stream: which program to start, and starting it. No protocol, no loop. */
#ifndef REMORA_CARRIER_H
#define REMORA_CARRIER_H

#include "embed.h"
#include "remora.h"

#include <stdbool.h>
#include <sys/types.h>

#define PROMPT_VARIABLE "REMORA_ASKPASS" /* the helper's, see prompt.h: the abstract socket of who answers */

/* What remora_options holds; also what the hub reads at connect. Strings and lists are owned. */
struct remora_options {
  char *node;                             /* "python" */
  int64_t timeout, heartbeat, dead_after; /* ms */
  int64_t max_message;
  int64_t onward;      /* the far side may have connections made from here: 1 */
  int64_t log_forward; /* its log records are wanted: 1 */
  int64_t log_budget;  /* bytes of them a second; 0: not set */
  int64_t nice;        /* added to the far process's: 0 */
  int64_t watchdog;    /* ms of silence after which the far process ends itself; 0: never */
  remora_value *interpreter, *env, *command, *hops, *ssh, *ssh_options, *sudo, *modules, *deny, *roots,
      *limits;             /* NULL: not set */
  remora_value *on_prompt; /* an object, or false: nobody is asked; NULL: the terminal */
  char *cwd, *language, *log_level, *log_selections;
  remora_queue *queue;
  /* Made before the plan (prompt.c). Empty: what ssh and sudo have to ask ends the connection, as in batch mode. */
  bool ask_person;       /* there is somebody to ask */
  char ask_helper[4096]; /* what ssh and sudo run to ask */
  char ask_socket[33], ask_nonce[33];
  bool heartbeat_set, dead_after_set; /* which of the two the user chose: the other one follows */
};
/* *new* copy (NULL gives the defaults). */
remora_options *options_copy(const remora_options *opts);
/* What only the whole of the options can tell: dead_after is not less than heartbeat. 0 or -1; carrier_plan calls it. */
int options_check(const remora_options *opts, remora_error **err);
/* How often the far side is asked to say that it lives, in ms: three times within dead_after, for one sign may come late. */
int64_t options_beat(const remora_options *opts);

typedef enum carrier_type { CARRIER_CHILD, CARRIER_SSH, CARRIER_SUDO, CARRIER_COMMAND } carrier_type;

/* The plan of one connection. */
typedef struct carrier {
  carrier_type outermost; /* what the program that is started here is */
  bool local_child;       /* the far process is our own child: pidfd and /proc tell about it */
  bool own_group;         /* a local child that cannot ignore SIGINT: a stock Lua makes an error of it */
  bool has_ssh;           /* somewhere in the chain */
  bool has_sudo;
  bool helper; /* the program that is started here asks by way of the helper */
  bool gated;  /* a sudo behind a hop may ask: what stands behind it says when it runs */
  char **hops; /* as the user wrote them, without "-"; NULL-terminated */
  size_t nhops;
  size_t first_group; /* how many of them the program that is started here reaches */
  bool asks;          /* the far side may lack the node: it speaks first (native.h) */
  char *name;         /* for messages: "deploy@web1", "-", "bastion > web1 > root@" */
  char *interpreter;  /* for messages: "python3", "nice -n 10 python3" */
  char **argv;        /* NULL-terminated; what is started here */
  char **envp;        /* NULL: ours */
  char *cwd;          /* NULL: ours; only for a local child, else it is inside argv, as is what follows */
  int64_t nice;
  remora_value *limits; /* NULL: none; of a far process elsewhere too, for messages about its end */
} carrier;

/* Makes the plan. The program's stub is the text for `python3 -c`, which arrives unchanged whatever it holds. NULL: there is no such node. 0, or -1 with REMORA_E_INVALID for a spec
 * that is none (bare "host:port" names its readings, a host that starts with "-" is refused, ...) or options that do not go together.
 * Of the options, ssh and ssh_options are for the first ssh of a chain, which has our files at hand; sudo is for every sudo;
 * interpreter, env and cwd are for the far process. */
int carrier_plan(carrier *c, const char *spec, const remora_options *opts, const struct remora_embedded_node *program,
                 remora_error **err);
void carrier_clear(carrier *c);

/* A started program. Descriptors are close-on-exec, non-blocking, ours; -1 when closed. */
typedef struct spawned {
  pid_t pid;
  int pidfd;  /* -1 where the kernel has none */
  int to;     /* its standard input */
  int from;   /* its standard output */
  int errors; /* its standard error */
} spawned;

/* posix_spawn with default signals, an empty mask, no other descriptors, its own session for ssh and sudo. 0, or -1 with REMORA_E_CONNECT, stage "spawn". */
int carrier_spawn(const carrier *c, spawned *out, remora_error **err);
/* Looks whether the child has ended: 1 and *status as of waitpid; 2 ended but somebody else reaped it (status unknown); 0 still there. */
int carrier_reap(const spawned *s, int *status);
/* What /proc says of the process: its state letter ('R', 'S', 'D', 'T', 'Z', ...; 0 when gone or unknown) and its CPU time in clock ticks. */
char carrier_look(pid_t pid, uint64_t *cpu_ticks);
/* When it was started, in clock ticks since the machine was: with its number a name that no other process has. 0: gone or unknown. */
uint64_t carrier_birth(pid_t pid);
/* Which stage failed and what to tell the user, from what was printed on standard error (tail) and the wait status (-1 unknown). Makes *err: stage "transport", "auth" or "bootstrap". */
void carrier_explain(const carrier *c, const char *tail, size_t tail_length, int status, bool status_known,
                     remora_error **err);
/* *new* text: the last lines that are not empty, made harmless, in one line. */
char *carrier_last_lines(const char *tail, size_t length);

#endif
