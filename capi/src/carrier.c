/* carrier.c: hops become one command line, put together from the far end to the near end; why it failed. */
#include "carrier.h"

#include "error.h"
#include "keeper.h"
#include "language.h"
#include "native.h"
#include "rlimits.h"
#include "spec.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* -------------------------------------------------------------------------------------------------- the interpreter */

/* The interpreter's argv without the stub: the option, else the variable, else the program that every host has. */
static int carrier_interpreter(spec_words *words, const language *node, const remora_options *opts,
                               remora_error **err) {
  const char *line = node->variable ? getenv(node->variable) : NULL;
  if (opts->interpreter)
    spec_words_add_value(words, opts->interpreter);
  else if (line && spec_words_split(words, line))
    return error_set(err, REMORA_E_INVALID, "%s: a quote is not closed", node->variable);
  if (!words->failed && words->count && (!*words->items[0] || *words->items[0] == '-'))
    return error_set(err, REMORA_E_INVALID, "%s: does not begin with a program", node->variable);
  if (!words->count) spec_words_add(words, node->program);
  return 0;
}

/* --------------------------------------------------------------------------------------------------------- the hops */

/* What stands here in front of the far process, as its first argument; the process is its business from there on. */
static int carrier_translate(spec_words *words, const language *node, remora_error **err) {
  char path[4096];
  if (!node->translator) return 0;
  if (!native_beside(node->translator, path, sizeof path))
    return error_set(err, REMORA_E_INVALID, "option node: %s needs %s, which is not beside the library", node->name,
                     node->translator);
  spec_words all = {0};
  spec_words_add(&all, path);
  spec_words_move(&all, words);
  *words = all;
  return 0;
}

/* [user@]host, for ssh's -J with brackets and port. */
static char *carrier_ssh_target(const spec_hop *hop, bool jump) {
  bool brackets = jump && strchr(hop->host, ':');
  const char *user = hop->user ? hop->user : "", *at = hop->user ? "@" : "";
  char port[16] = "", *text;
  if (jump && hop->port) snprintf(port, sizeof port, ":%d", hop->port);
  if (asprintf(&text, "%s%s%s%s%s%s", user, at, brackets ? "[" : "", hop->host, brackets ? "]" : "", port) < 0)
    return NULL;
  return text;
}

/* Behind a translator there is no node that beats: ssh itself has to notice that nobody is there any more. */
static void carrier_wrap_alive(spec_words *ssh, const remora_options *opts) {
  const language *node = opts->node ? language_find(opts->node) : NULL;
  if (!node || !node->translator || opts->heartbeat <= 0) return;
  char interval[64];
  int64_t seconds = opts->dead_after / 3000;
  (void)snprintf(interval, sizeof interval, "ServerAliveInterval=%" PRId64, seconds > 0 ? seconds : 1);
  const char *const more[] = {"-o", interval, "-o", "ServerAliveCountMax=3"};
  for (size_t i = 0; i < sizeof more / sizeof *more; i++) spec_words_add(ssh, more[i]);
}

/* `words` becomes the ssh client's argv that runs them at the last of `count` hosts, by way of the others. `near`: this
 * is the first ssh, to which the options are addressed; further ones run on hosts that know nothing of our files.
 * `asks`: it has our helper for what it wants to know. */
static void carrier_wrap_ssh(spec_words *words, const spec_hop *const *hops, size_t count, bool near, bool asks,
                             const remora_options *opts) {
  const spec_hop *last = hops[count - 1];
  spec_words ssh = {0};
  if (near && opts->ssh)
    spec_words_add_value(&ssh, opts->ssh);
  else
    spec_words_add(&ssh, "ssh");
  /* The first -o of a kind wins, so the user's options stand before ours; of -T and -t the last wins, so -T is certain.
   * ssh refuses a command beside a RemoteCommand in the user's configuration. */
  if (near) spec_words_add_value(&ssh, opts->ssh_options);
  if (near) carrier_wrap_alive(&ssh, opts);
  static const char *const fixed[] = {"-o", "BatchMode=yes", "-o", "RemoteCommand=none", "-T", "-e", "none"};
  for (size_t i = asks ? 2 : 0; i < sizeof fixed / sizeof *fixed; i++) spec_words_add(&ssh, fixed[i]);
  if (last->port) {
    char port[16];
    snprintf(port, sizeof port, "%d", last->port);
    spec_words_add(&ssh, "-p");
    spec_words_add(&ssh, port);
  }
  if (count > 1) {
    char *jumps = NULL;
    size_t length;
    FILE *f = open_memstream(&jumps, &length);
    for (size_t i = 0; f && i + 1 < count; i++) {
      char *target = carrier_ssh_target(hops[i], true);
      fprintf(f, "%s%s", i ? "," : "", target ? target : "");
      ssh.failed |= !target;
      free(target);
    }
    if (!f || fclose(f)) ssh.failed = true;
    spec_words_add(&ssh, "-J");
    spec_words_take(&ssh, jumps);
  }
  spec_words_add(&ssh, "--");
  spec_words_take(&ssh, carrier_ssh_target(last, false));
  /* ssh joins its words with blanks and the far login shell splits them again: one word, quoted for that shell. */
  spec_words_take(&ssh, spec_words_quote(words));
  spec_words_clear(words);
  *words = ssh;
}

/* What the sudo asks: by way of the helper; with a prompt of our own on its standard input (its number); nothing. -H: HOME is the user's own, also where sudoers keeps ours; the rest of the environment, PATH included,
 * is sudoers' business. use_pty does no harm: without a terminal (ours is a session of its own, ssh runs with -T) sudo
 * makes none and passes the pipes on. requiretty cannot be met, and carrier_explain says so. */
static void carrier_wrap_sudo(spec_words *words, const spec_hop *hop, size_t number, bool helper,
                              const remora_options *opts) {
  spec_words sudo = {0};
  if (opts->sudo)
    spec_words_add_value(&sudo, opts->sudo);
  else
    spec_words_add(&sudo, "sudo");
  if (helper || !number) {
    spec_words_add(&sudo, helper ? "-A" : "-n");
  } else { /* sudo makes one sign of two, so that nobody who prints this line asks */
    char *prompt = NULL;
    if (asprintf(&prompt, "%s%%%%%zu?", opts->ask_nonce, number) < 0) prompt = NULL;
    spec_words_add(&sudo, "-S");
    spec_words_add(&sudo, "-p");
    spec_words_take(&sudo, prompt);
  }
  const char *const fixed[] = {"-H", "-u", hop->user, "--"};
  for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) spec_words_add(&sudo, fixed[i]);
  spec_words_move(&sudo, words);
  *words = sudo;
}

/* Behind the last sudo that may ask: says that it runs, so that nothing else is read as a password. */
static void carrier_wrap_gate(spec_words *words, const remora_options *opts) {
  static const char *const shell[] = {"sh", "-c", "printf '%s!' \"$1\" >&2 && shift && exec \"$@\"", "sh"};
  spec_words gate = {0};
  for (size_t i = 0; i < sizeof shell / sizeof *shell; i++) spec_words_add(&gate, shell[i]);
  spec_words_add(&gate, opts->ask_nonce);
  spec_words_move(&gate, words);
  *words = gate;
}

static void carrier_wrap_command(spec_words *words, const spec_hop *hop) {
  spec_words command = {0};
  for (size_t i = 0; i < hop->command.count; i++) spec_words_add(&command, hop->command.items[i]);
  spec_words_move(&command, words);
  *words = command;
}

/* Limits, env and cwd for a process that we do not start ourselves: at its own place, inside the last hop. */
static void carrier_wrap_place(spec_words *words, const remora_options *opts) {
  spec_words place = {0};
  if (opts->cwd) {
    char *dir = NULL;
    /* "./" keeps cd from taking a name for an option, for "-" or for something to look for in CDPATH. */
    if (asprintf(&dir, "%s%s", *opts->cwd == '/' ? "" : "./", opts->cwd) < 0) dir = NULL;
    static const char *const shell[] = {"sh", "-c", "cd \"$1\" && shift && exec \"$@\"", "sh"};
    for (size_t i = 0; i < sizeof shell / sizeof *shell; i++) spec_words_add(&place, shell[i]);
    spec_words_take(&place, dir);
  }
  if (remora_length(opts->env)) spec_words_add(&place, "env");
  for (size_t i = 0; i < remora_length(opts->env); i++) {
    char *pair = NULL;
    if (asprintf(&pair, "%s=%s", remora_as_text(remora_key_at(opts->env, i), NULL),
                 remora_as_text(remora_at(opts->env, i), NULL)) < 0)
      pair = NULL;
    spec_words_take(&place, pair);
  }
  spec_words_move(&place, words);
  *words = place;
  rlimits_wrap(words, opts->limits, opts->nice);
}

/* For sleep; 0 stays "0". *new* */
static char *carrier_seconds(int64_t ms) {
  char *text = NULL;
  int rc = ms == 0 ? asprintf(&text, "0") : asprintf(&text, "%" PRId64 ".%03d", ms / 1000, (int)(ms % 1000));
  return rc < 0 ? NULL : text;
}

/* The interpreter behind the shell program that looks for it or, with a heartbeat (not 0), stands over it. */
static void carrier_wrap_start(spec_words *words, const struct remora_embedded_node *program, int64_t heartbeat,
                               int64_t watchdog) {
  spec_words start = {0};
  static const char *const shell[] = {"sh", "-c"};
  for (size_t i = 0; i < sizeof shell / sizeof *shell; i++) spec_words_add(&start, shell[i]);
  spec_words_add(&start, program->start);
  spec_words_add(&start, "sh");
  spec_words_take(&start, carrier_seconds(heartbeat));
  spec_words_take(&start, carrier_seconds((watchdog + 3) / 4));
  spec_words_add(&start, program->stub);
  spec_words_move(&start, words);
  *words = start;
}

/* --------------------------------------------------------------------------------------------------------- the plan */

/* Our environment with NAME=VALUE set. */
static void carrier_setenv(spec_words *envp, const char *name, const char *value) {
  char *pair = NULL;
  size_t length = strlen(name);
  if (asprintf(&pair, "%s=%s", name, value) < 0) pair = NULL;
  for (size_t i = 0; i < envp->count && pair; i++) {
    if (strncmp(envp->items[i], name, length) == 0 && envp->items[i][length] == '=') {
      free(envp->items[i]);
      envp->items[i] = pair;
      return;
    }
  }
  spec_words_take(envp, pair);
}

/* What the program that is started here finds in its environment; nothing in `envp` means ours. */
static void carrier_environment(spec_words *envp, const carrier *c, const remora_options *opts) {
  /* Batch mode does not reach the ssh that -J starts for the hosts between, and that one would open a window to ask. */
  bool quiet = c->has_ssh && !c->helper && !getenv("SSH_ASKPASS_REQUIRE");
  size_t count = c->local_child ? remora_length(opts->env) : 0;
  const char *mark = c->local_child ? keeper_mark() : "";
  if (!quiet && !count && !c->helper && !*mark) return;
  for (char **item = environ; item && *item; item++) spec_words_add(envp, *item);
  if (quiet) carrier_setenv(envp, "SSH_ASKPASS_REQUIRE", "never");
  if (c->helper) {
    carrier_setenv(envp, PROMPT_VARIABLE, opts->ask_socket);
    carrier_setenv(envp, c->outermost == CARRIER_SUDO ? "SUDO_ASKPASS" : "SSH_ASKPASS", opts->ask_helper);
    if (c->outermost == CARRIER_SSH) carrier_setenv(envp, "SSH_ASKPASS_REQUIRE", "force");
  }
  for (size_t i = 0; i < count; i++)
    carrier_setenv(envp, remora_as_text(remora_key_at(opts->env, i), NULL),
                   remora_as_text(remora_at(opts->env, i), NULL));
  if (*mark) carrier_setenv(envp, KEEPER_MARK, mark);
}

/* "bastion > web1 > root@" */
static char *carrier_name(const spec_chain *chain) {
  char *name = NULL;
  size_t length;
  FILE *f = open_memstream(&name, &length);
  for (size_t i = 0; f && i < chain->count; i++) fprintf(f, "%s%s", i ? " > " : "", chain->hops[i].name);
  if (f && fclose(f) == 0) return name;
  free(name);
  return NULL;
}

/* Wraps the far command into the hops from the last to the first; `hops` holds no dashes. */
static void carrier_wrap(spec_words *words, const spec_hop *const *hops, size_t count, carrier *c,
                         const remora_options *opts) {
  size_t first_ssh = 0;
  while (first_ssh < count && hops[first_ssh]->type != CARRIER_SSH) first_ssh++;
  for (size_t end = count; end > 0;) {
    const spec_hop *hop = hops[end - 1];
    size_t start = end - 1;
    if (hop->type == CARRIER_SSH) {
      while (start > 0 && hops[start - 1]->type == CARRIER_SSH) start--;
      carrier_wrap_ssh(words, hops + start, end - start, start == first_ssh, start == 0 && c->helper, opts);
    } else if (hop->type == CARRIER_SUDO) {
      bool helper = start == 0 && c->helper, asks = !helper && opts->ask_person;
      if (asks && !c->gated) carrier_wrap_gate(words, opts);
      c->gated |= asks;
      carrier_wrap_sudo(words, hop, asks ? end : 0, helper, opts);
    } else {
      carrier_wrap_command(words, hop);
    }
    c->first_group = end - start;
    end = start;
  }
}

static int carrier_plan_chain(carrier *c, const spec_chain *chain, const language *node, const remora_options *opts,
                              const struct remora_embedded_node *program, remora_error **err) {
  spec_words words = {0}, envp = {0}, names = {0};
  const spec_hop **hops = calloc(chain->count, sizeof *hops);
  size_t count = 0;
  if (!hops) return error_set(err, REMORA_E_NOMEM, NULL);
  for (size_t i = 0; i < chain->count; i++) {
    if (chain->hops[i].type != CARRIER_CHILD) {
      hops[count++] = &chain->hops[i];
      spec_words_add(&names, chain->hops[i].name);
    }
    c->has_ssh |= chain->hops[i].type == CARRIER_SSH;
    c->has_sudo |= chain->hops[i].type == CARRIER_SUDO;
  }
  c->local_child = count == 0;
  c->own_group = node->heeds_interrupt;
  c->outermost = count ? hops[0]->type : CARRIER_CHILD;
  c->helper = *opts->ask_helper && (c->outermost == CARRIER_SSH || c->outermost == CARRIER_SUDO);

  int rc = carrier_interpreter(&words, node, opts, err);
  if (rc == 0) {
    c->name = carrier_name(chain);
    char *line = spec_words_quote(&words);
    c->interpreter = line ? spec_harmless(line, strlen(line)) : NULL;
    free(line);
    bool native = node->executable, local = c->local_child && program->local_stub;
    if (native && c->local_child && !opts->interpreter) { /* our own copy; there is nothing to send */
      spec_words_clear(&words);
      spec_words_add(&words, native_path());
    } else if (program->start && words.count &&
               (!c->local_child || opts->watchdog || strcmp(words.items[0], node->program) == 0)) {
      int64_t every = c->local_child ? 0 : opts->heartbeat > 0 ? options_beat(opts) : 5000;
      carrier_wrap_start(&words, program, every, opts->watchdog);
    } else if (!native || !opts->interpreter) {
      for (const char *const *flag = node->flags; *flag; flag++) spec_words_add(&words, *flag);
      spec_words_add(&words, local ? program->local_stub : program->stub);
      if (local) spec_words_add(&words, language_folder());
      c->asks = native;
    }
    if (!c->local_child)
      carrier_wrap_place(&words, opts);
    else if (opts->cwd && !(c->cwd = strdup(opts->cwd)))
      words.failed = true;
    c->nice = c->local_child ? opts->nice : 0;
    c->limits = opts->limits ? remora_value_ref(opts->limits) : NULL;
    carrier_wrap(&words, hops, count, c, opts);
    carrier_environment(&envp, c, opts);
    rc = carrier_translate(&words, node, err);
    if (rc == 0 && (words.failed || envp.failed || names.failed || !c->name || !c->interpreter))
      rc = error_set(err, REMORA_E_NOMEM, NULL);
    if (rc == 0) {
      c->argv = words.items;
      c->envp = envp.items;
      c->hops = names.items;
      c->nhops = names.count;
      words = envp = names = (spec_words){0};
    }
  }
  spec_words_clear(&words);
  spec_words_clear(&envp);
  spec_words_clear(&names);
  free(hops);
  return rc;
}

int carrier_plan(carrier *c, const char *spec, const remora_options *opts, const struct remora_embedded_node *program,
                 remora_error **err) {
  static const remora_options none = {0};
  spec_chain chain;
  *c = (carrier){0};
  if (!opts) opts = &none;
  const char *name = opts->node ? opts->node : "python";
  const language *node = language_find(name);
  if (!node || !program) {
    char *shown = spec_harmless(name, strlen(name)), *known = language_known();
    error_set(err, REMORA_E_INVALID, "option node: there is no \"%s\"; known: %s", shown ? shown : "?",
              known ? known : "");
    free(shown);
    free(known);
    return -1;
  }
  if (options_check(opts, err) || spec_chain_make(&chain, spec, opts, err)) return -1;
  int rc = carrier_plan_chain(c, &chain, node, opts, program, err);
  spec_chain_clear(&chain);
  if (rc) carrier_clear(c);
  return rc;
}

static void carrier_free_words(char **words) {
  for (char **word = words; word && *word; word++) free(*word);
  free(words);
}

void carrier_clear(carrier *c) {
  free(c->name);
  free(c->interpreter);
  free(c->cwd);
  (void)remora_value_unref(c->limits);
  carrier_free_words(c->argv);
  carrier_free_words(c->envp);
  carrier_free_words(c->hops);
  *c = (carrier){0};
}

/* ---------------------------------------------------------------------------------------------------- why it failed */

#define CARRIER_SUDO_ASKS                                                                                              \
  "sudo wants a password, and nobody can be asked; give one by the option on_prompt, or allow it with NOPASSWD"

/* What programs print, in the order in which to look for it: the reason stands before what follows from it. */
static const struct carrier_hint {
  char from; /* printed by: 'h' ssh, which then exits with 255; 's' sudo, which exits with 1; '*' anything */
  const char *text, *stage, *advice;
} carrier_hints[] = {
    {'h', "REMOTE HOST IDENTIFICATION HAS CHANGED", "auth",
     "the host key is not the one that is known for this host; if that is expected, remove the old one with ssh-keygen "
     "-R"},
    {'h', "Host key verification failed", "auth",
     "the host key is not trusted; add it to known_hosts, or let ssh ask for it (StrictHostKeyChecking, option "
     "on_prompt)"},
    {'h', "Too many authentication failures", "auth",
     "the host gave up after too many keys were offered; name the right one with IdentityFile and IdentitiesOnly"},
    {'h', "Permission denied (", "auth",
     "no key was accepted, nor an answer where ssh asked for one; use a key that ssh-agent holds, or the option "
     "on_prompt"},
    {'h', "Could not resolve hostname", "transport", "there is no host of that name"},
    {'h', "Connection refused", "transport", "nothing listens there: no ssh server on that port"},
    {'h', "timed out", "transport", "the host does not answer"},
    {'h', "No route to host", "transport", "the host cannot be reached"},
    {'h', "Network is unreachable", "transport", "the host cannot be reached"},
    {'h', "Unable to negotiate", "transport", "the ssh client and server have no algorithm in common"},
    {'h', "kex_exchange_identification", "transport",
     "the ssh server hung up before it said anything: too many connections at once (its MaxStartups), or it turns this "
     "address away"},
    {'h', "Connection reset by", "transport", "the ssh server cut the connection"},
    {'h', "Connection closed by", "transport", "the ssh server cut the connection"},
    {'h', "onfiguration option", "transport", "ssh does not accept its configuration or the option ssh_options"},
    {'h', "Bad owner or permissions on", "transport", "ssh does not accept its configuration"},
    {'s', "must have a tty", "auth",
     "sudoers wants a terminal (requiretty), and there is none; \"Defaults:USER !requiretty\" lifts that"},
    {'s', "password is required", "auth", CARRIER_SUDO_ASKS},
    {'s', "terminal is required", "auth", CARRIER_SUDO_ASKS},
    {'s', "askpass helper", "auth", CARRIER_SUDO_ASKS},
    {'s', "not in the sudoers", "auth", "the user may not use sudo"},
    {'s', "may not run sudo", "auth", "the user may not use sudo"},
    {'s', "is not allowed to", "auth", "sudoers does not allow this user to run this command as that user"},
    {'s', "unknown user", "auth", "sudo does not know that user"},
    {'s', "no new privileges", "auth", "sudo cannot work here: privileges cannot be gained in this container"},
    {'s', "must be owned by uid 0", "auth", "sudo cannot work here: it is not installed setuid root"},
    {'*', "account is currently not available", "auth", "the user may not run commands there"},
    {'*', "cd: ", "bootstrap", "the far process cannot go to its directory (option cwd)"},
    {'*', "yntax error", "bootstrap",
     "a shell took the program apart: the login shell there is no POSIX shell, or a command joins its words (for ssh "
     "use "
     "a spec)"},
    {'*', "SyntaxError", "bootstrap",
     "the far interpreter does not understand the program; Python 3.6 or newer is needed"},
    {'*', "Python 3.6", "bootstrap", "the far interpreter is too old"},
    {'*', "Can't locate Object/Remote", "bootstrap",
     "the far Perl lacks the module Object::Remote (Debian's package is libobject-remote-perl)"},
    {'*', "No module named", "bootstrap", "the far interpreter lacks a part of its standard library"},
};

static const struct carrier_hint *carrier_find_hint(const carrier *c, const char *text, int code) {
  for (size_t i = 0; i < sizeof carrier_hints / sizeof *carrier_hints; i++) {
    const struct carrier_hint *hint = &carrier_hints[i];
    bool fits = hint->from == 'h'   ? c->has_ssh && (code == 255 || code < 0)
                : hint->from == 's' ? c->has_sudo && (code == 1 || code < 0)
                                    : code != 0 && code != 126 && code != 127;
    if (fits && strstr(text, hint->text)) return hint;
  }
  return NULL;
}

static bool carrier_line_starts(const char *text, const char *prefix) {
  for (const char *p = strstr(text, prefix); p; p = strstr(p + 1, prefix))
    if (p == text || p[-1] == '\n') return true;
  return false;
}

/* Which stage it was, and why (text that lives for ever, or the text of `room`). */
static const char *carrier_judge(const carrier *c, const char *text, int status, bool known, char *room, size_t size,
                                 const char **why) {
  int code = known && WIFEXITED(status) ? WEXITSTATUS(status) : -1; /* -1: unknown, or a signal */
  const struct carrier_hint *hint = carrier_find_hint(c, text, code);
  if (hint) {
    *why = hint->advice;
    return hint->stage;
  }
  *why = room;
  /* 126 and 127 are the shell's and env's word for it; sudo and docker have only text. */
  bool missing =
      strstr(text, "command not found") || strstr(text, ": not found") || strstr(text, "executable file not");
  if (code == 127 || (code != 0 && missing)) {
    snprintf(room, size, "a program was not found there (the interpreter is %s; see the option interpreter)",
             c->interpreter);
    return "bootstrap";
  }
  if (code == 126) {
    snprintf(room, size, "a program cannot be run there (the interpreter is %s; see the option interpreter)",
             c->interpreter);
    return "bootstrap";
  }
  if (c->has_sudo && code != 0 && carrier_line_starts(text, "sudo: ")) { /* also in other languages than English */
    *why = "sudo refused";
    return "auth";
  }
  if (c->has_ssh && (code == 255 || carrier_line_starts(text, "ssh: "))) {
    *why = "ssh failed";
    return "transport";
  }
  *why = c->has_ssh && !known ? "the connection ended before the far side was there"
                              : "the far side ended before it was there";
  return c->has_ssh && !known ? "transport" : "bootstrap";
}

char *carrier_last_lines(const char *tail, size_t length) {
  size_t start = length;
  for (int lines = 0; start > 0 && length - start < 2000; start--)
    if (tail[start - 1] == '\n' && start < length && tail[start] != '\n' && ++lines == 10) break;
  char *text = NULL;
  size_t size;
  FILE *f = open_memstream(&text, &size);
  if (!f) return NULL;
  bool first = true;
  for (const char *p = tail + start, *end = tail + length; p < end;) {
    const char *stop = memchr(p, '\n', (size_t)(end - p)), *next = stop ? stop + 1 : end;
    stop = stop ? stop : end;
    while (stop > p && (stop[-1] == '\r' || stop[-1] == ' ')) stop--;
    char *line = stop > p ? spec_harmless(p, (size_t)(stop - p)) : NULL;
    if (line) {
      fprintf(f, "%s%s", first ? "" : " | ", line);
      first = false;
    }
    free(line);
    p = next;
  }
  if (fclose(f) == 0) return text;
  free(text);
  return NULL;
}

void carrier_explain(const carrier *c, const char *tail, size_t tail_length, int status, bool status_known,
                     remora_error **err) {
  char room[256], ended[256], limit[128];
  const char *why;
  /* NUL would end the search: what was printed may hold anything. */
  char *text = malloc(tail_length + 1), *lines = tail_length ? carrier_last_lines(tail, tail_length) : NULL;
  for (size_t i = 0; text && i < tail_length; i++) {
    text[i] = tail[i];
    if (!text[i]) text[i] = ' ';
  }
  if (text) text[tail_length] = '\0';
  const char *stage = carrier_judge(c, text ? text : "", status, status_known, room, sizeof room, &why);
  if (!status_known)
    snprintf(ended, sizeof ended, "exit status unknown");
  else if (WIFEXITED(status))
    snprintf(ended, sizeof ended, "exit status %d%s", WEXITSTATUS(status),
             rlimits_status(c->limits, WEXITSTATUS(status), limit, sizeof limit));
  else
    snprintf(ended, sizeof ended, "ended by %s", rlimits_signal(c->limits, WTERMSIG(status), limit, sizeof limit));
  bool printed = lines && *lines;
  error_stage(err, stage, "%s: %s (%s); %s%s", c->name, why, ended, printed ? "it printed: " : "it printed nothing",
              printed ? lines : "");
  free(text);
  free(lines);
}
