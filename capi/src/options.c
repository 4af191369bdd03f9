/* options.c: how to connect; every option is checked at the moment it is set. */
#include "carrier.h"
#include "error.h"
#include "rlimits.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum option_kind {
  OPTION_TEXT,
  OPTION_NUMBER,
  OPTION_FLAG,
  OPTION_WORDS,   /* list of text */
  OPTION_ARGV,    /* list of text that begins with a program */
  OPTION_PROGRAM, /* a program, or an argv */
  OPTION_NAMES,   /* list of text, or "all" */
  OPTION_ROOTS,   /* list of text, or map of text to such lists */
  OPTION_HOPS,    /* list of text or argv */
  OPTION_ENV,     /* map of text to text */
  OPTION_LIMITS,  /* map of text to integers (rlimits.c) */
  OPTION_CALLBACK /* an object that is called, or false */
} option_kind;

static const char *const option_wanted[] = {
    [OPTION_TEXT] = "text that is not empty",
    [OPTION_NUMBER] = "an integer",
    [OPTION_FLAG] = "true or false",
    [OPTION_WORDS] = "a list of text",
    [OPTION_ARGV] = "a list of text that begins with a program",
    [OPTION_PROGRAM] = "a program, or a list of text that begins with one",
    [OPTION_NAMES] = "a list of text, or \"all\"",
    [OPTION_ROOTS] = "a list of directories, or a map of languages to such lists",
    [OPTION_HOPS] = "a list of specs (text) and commands (lists of text)",
    [OPTION_LIMITS] = "a map of limits to integers",
    [OPTION_ENV] = "a map of text to text whose keys are names of environment variables",
    [OPTION_CALLBACK] = "a function of this side, or false",
};

typedef struct option {
  const char *name;
  option_kind kind;
  size_t offset;       /* of its member in remora_options */
  int64_t least, most; /* of a number */
} option;

/* 24 days: everything that is told in milliseconds fits in 32 bits. */
#define OPTION_MS_MOST INT32_MAX
#define OPTION_AT(member) offsetof(remora_options, member)

static const option option_table[] = {
    {"node", OPTION_TEXT, OPTION_AT(node), 0, 0},
    {"timeout", OPTION_NUMBER, OPTION_AT(timeout), 1, OPTION_MS_MOST},
    {"heartbeat", OPTION_NUMBER, OPTION_AT(heartbeat), 0, OPTION_MS_MOST},
    {"dead_after", OPTION_NUMBER, OPTION_AT(dead_after), 1, OPTION_MS_MOST},
    {"interpreter", OPTION_PROGRAM, OPTION_AT(interpreter), 0, 0},
    {"env", OPTION_ENV, OPTION_AT(env), 0, 0},
    {"cwd", OPTION_TEXT, OPTION_AT(cwd), 0, 0},
    {"command", OPTION_ARGV, OPTION_AT(command), 0, 0},
    {"hops", OPTION_HOPS, OPTION_AT(hops), 0, 0},
    {"ssh", OPTION_ARGV, OPTION_AT(ssh), 0, 0},
    {"ssh_options", OPTION_WORDS, OPTION_AT(ssh_options), 0, 0},
    {"sudo", OPTION_ARGV, OPTION_AT(sudo), 0, 0},
    {"modules", OPTION_NAMES, OPTION_AT(modules), 0, 0},
    {"deny", OPTION_WORDS, OPTION_AT(deny), 0, 0},
    {"roots", OPTION_ROOTS, OPTION_AT(roots), 0, 0},
    {"language", OPTION_TEXT, OPTION_AT(language), 0, 0},
    {"max_message", OPTION_NUMBER, OPTION_AT(max_message), 65536, UINT32_MAX},
    {"limits", OPTION_LIMITS, OPTION_AT(limits), 0, 0},
    {"nice", OPTION_NUMBER, OPTION_AT(nice), -20, 19},
    {"watchdog", OPTION_NUMBER, OPTION_AT(watchdog), 0, OPTION_MS_MOST},
    {"onward", OPTION_FLAG, OPTION_AT(onward), 0, 0},
    {"on_prompt", OPTION_CALLBACK, OPTION_AT(on_prompt), 0, 0},
    {"log_forward", OPTION_FLAG, OPTION_AT(log_forward), 0, 0},
    {"log_level", OPTION_TEXT, OPTION_AT(log_level), 0, 0},
    {"log_selections", OPTION_TEXT, OPTION_AT(log_selections), 0, 0},
    {"log_budget", OPTION_NUMBER, OPTION_AT(log_budget), 1, INT64_C(1) << 30},
};
#define OPTION_COUNT (sizeof option_table / sizeof *option_table)

/* Where the option's member is. */
static void *option_member(const option *o, remora_options *opts) { return (char *)opts + o->offset; }

/* --------------------------------------------------------------------------------------------------------- checking */

/* Text without NUL, because it becomes a C string; NULL for anything else. */
static const char *option_text(const remora_value *v) {
  size_t length = 0;
  const char *text = v && remora_value_kind(v) == REMORA_TEXT ? remora_as_text(v, &length) : NULL;
  return text && strlen(text) == length ? text : NULL;
}

/* What starts with "-" would be an option to whatever program runs it. */
static bool option_is_program(const remora_value *v) {
  const char *text = option_text(v);
  return text && *text && *text != '-';
}

static bool option_is_list(const remora_value *v) {
  return remora_value_kind(v) == REMORA_LIST || remora_value_kind(v) == REMORA_TUPLE;
}

static bool option_is_words(const remora_value *v) {
  if (!option_is_list(v) || remora_keywords(v)) return false;
  for (size_t i = 0; i < remora_length(v); i++)
    if (!option_text(remora_at(v, i))) return false;
  return true;
}

static bool option_is_argv(const remora_value *v) { return option_is_words(v) && option_is_program(remora_at(v, 0)); }

static bool option_is_hops(const remora_value *v) {
  if (!option_is_list(v) || remora_length(v) == 0) return false;
  for (size_t i = 0; i < remora_length(v); i++)
    if (!option_text(remora_at(v, i)) && !option_is_argv(remora_at(v, i))) return false;
  return true;
}

static bool option_is_env(const remora_value *v) {
  if (remora_value_kind(v) != REMORA_MAP) return false;
  for (size_t i = 0; i < remora_length(v); i++) {
    const char *name = option_text(remora_key_at(v, i));
    if (!name || !*name || *name == '-' || strchr(name, '=') || !option_text(remora_at(v, i))) return false;
  }
  return true;
}

static bool option_is_roots(const remora_value *v) {
  if (remora_value_kind(v) != REMORA_MAP) return option_is_words(v);
  for (size_t i = 0; i < remora_length(v); i++)
    if (!option_text(remora_key_at(v, i)) || !option_is_words(remora_at(v, i))) return false;
  return true;
}

static bool option_fits(option_kind kind, const remora_value *v) {
  switch (kind) {
  case OPTION_TEXT:
    return option_text(v) && *option_text(v);
  case OPTION_NUMBER:
    return remora_value_kind(v) == REMORA_INT;
  case OPTION_FLAG:
    return remora_value_kind(v) == REMORA_BOOL;
  case OPTION_WORDS:
    return option_is_words(v);
  case OPTION_ARGV:
    return option_is_argv(v);
  case OPTION_PROGRAM:
    return option_is_program(v) || option_is_argv(v);
  case OPTION_NAMES:
    return option_is_words(v) || (option_text(v) && strcmp(option_text(v), "all") == 0);
  case OPTION_ROOTS:
    return option_is_roots(v);
  case OPTION_HOPS:
    return option_is_hops(v);
  case OPTION_ENV:
    return option_is_env(v);
  case OPTION_LIMITS:
    return true; /* rlimits_check says more */
  case OPTION_CALLBACK:
    return remora_value_kind(v) == REMORA_OBJECT || (remora_value_kind(v) == REMORA_BOOL && !remora_as_bool(v));
  }
  return false;
}

/* ---------------------------------------------------------------------------------------------------------- setting */

static bool option_is_number(const option *o) { return o->kind == OPTION_NUMBER || o->kind == OPTION_FLAG; }

remora_options *remora_options_new(void) {
  remora_options *opts = calloc(1, sizeof *opts);
  if (!opts) return NULL;
  opts->timeout = 10000;
  opts->heartbeat = 5000;
  opts->dead_after = 30000;
  opts->max_message = INT64_C(256) << 20;
  const char *forwards = getenv("REMORA_LOG_FORWARDING");
  opts->log_forward = forwards && *forwards && strcmp(forwards, "0") != 0;
  opts->node = strdup("python");
  return opts->node ? opts : remora_options_free(opts);
}

remora_options *remora_options_free(remora_options *opts) {
  if (!opts) return NULL;
  for (size_t i = 0; i < OPTION_COUNT; i++) {
    void *member = option_member(&option_table[i], opts);
    if (option_table[i].kind == OPTION_TEXT)
      free(*(char **)member);
    else if (!option_is_number(&option_table[i]))
      remora_value_unref(*(remora_value **)member);
  }
  remora_queue_unref(opts->queue);
  free(opts);
  return NULL;
}

/* Of the pair heartbeat and dead_after, the one that was not set follows the other. */
static void options_follow(remora_options *opts, const char *name) {
  opts->heartbeat_set |= strcmp(name, "heartbeat") == 0;
  opts->dead_after_set |= strcmp(name, "dead_after") == 0;
  if (!opts->dead_after_set) opts->dead_after = opts->heartbeat > 15000 ? 2 * opts->heartbeat : 30000;
  if (!opts->heartbeat_set) opts->heartbeat = opts->dead_after < 10000 ? (opts->dead_after + 1) / 2 : 5000;
}

static int options_store(remora_options *opts, const option *o, remora_value *value, remora_error **err) {
  void *member = option_member(o, opts);
  if (o->kind == OPTION_NUMBER) {
    int64_t number = remora_as_int(value);
    if (number < o->least || number > o->most)
      return error_set(err, REMORA_E_INVALID, "option %s: %" PRId64 " is not between %" PRId64 " and %" PRId64, o->name,
                       number, o->least, o->most);
    *(int64_t *)member = number;
    options_follow(opts, o->name);
  } else if (o->kind == OPTION_FLAG) {
    *(int64_t *)member = remora_as_bool(value);
  } else if (o->kind == OPTION_TEXT) {
    char *text = strdup(option_text(value));
    if (!text) return error_set(err, REMORA_E_NOMEM, NULL);
    free(*(char **)member);
    *(char **)member = text;
  } else {
    remora_value_unref(*(remora_value **)member);
    *(remora_value **)member = remora_value_ref(value);
  }
  return 0;
}

static int options_unknown(const char *name, remora_error **err) {
  char known[512];
  size_t used = 0;
  for (size_t i = 0; i < OPTION_COUNT && used < sizeof known; i++)
    used += (size_t)snprintf(known + used, sizeof known - used, "%s, ", option_table[i].name);
  return error_set(err, REMORA_E_INVALID, "unknown option \"%s\"; known are %squeue (by remora_options_set_queue)",
                   name, known);
}

int remora_options_set(remora_options *opts, const char *name, remora_value *value, remora_error **err) {
  const option *o = NULL;
  for (size_t i = 0; i < OPTION_COUNT && name; i++)
    if (strcmp(option_table[i].name, name) == 0) o = &option_table[i];
  int rc;
  char room[256];
  const char *wrong;
  if (!opts || !value) /* both are what a constructor returns when memory is out */
    rc = error_set(err, REMORA_E_NOMEM, NULL);
  else if (!o)
    rc = options_unknown(name ? name : "", err);
  else if (!option_fits(o->kind, value))
    rc = error_set(err, REMORA_E_INVALID, "option %s: must be %s", name, option_wanted[o->kind]);
  else if (o->kind == OPTION_LIMITS && (wrong = rlimits_check(value, room, sizeof room)) != NULL)
    rc = error_set(err, REMORA_E_INVALID, "option %s: %s", name, wrong);
  else
    rc = options_store(opts, o, value, err);
  remora_value_unref(value);
  return rc;
}

void remora_options_set_queue(remora_options *opts, remora_queue *queue) {
  if (!opts) return;
  remora_queue *old = opts->queue;
  opts->queue = queue ? remora_queue_ref(queue) : NULL;
  remora_queue_unref(old);
}

remora_options *options_copy(const remora_options *opts) {
  remora_options *copy = remora_options_new();
  if (!copy || !opts) return copy;
  remora_options source = *opts; /* a shallow copy, because remora_value_ref wants what is not const */
  for (size_t i = 0; i < OPTION_COUNT; i++) {
    const option *o = &option_table[i];
    void *from = option_member(o, &source), *to = option_member(o, copy);
    if (option_is_number(o)) {
      *(int64_t *)to = *(int64_t *)from;
    } else if (o->kind == OPTION_TEXT) {
      free(*(char **)to);
      *(char **)to = *(char **)from ? strdup(*(char **)from) : NULL;
      if (*(char **)from && !*(char **)to) return remora_options_free(copy);
    } else if (*(remora_value **)from) {
      *(remora_value **)to = remora_value_ref(*(remora_value **)from);
    }
  }
  copy->heartbeat_set = opts->heartbeat_set;
  copy->dead_after_set = opts->dead_after_set;
  remora_options_set_queue(copy, opts->queue);
  return copy;
}

int options_check(const remora_options *opts, remora_error **err) {
  if (opts && opts->heartbeat > opts->dead_after)
    return error_set(err, REMORA_E_INVALID, "option dead_after (%" PRId64 ") is less than heartbeat (%" PRId64 ")",
                     opts->dead_after, opts->heartbeat);
  if (opts && opts->log_level && !remora_log_level_of(opts->log_level))
    return error_set(err, REMORA_E_INVALID,
                     "option log_level: \"%s\" is none of trace, debug, verbose, info, warn, error, fatal",
                     opts->log_level);
  return 0;
}

int64_t options_beat(const remora_options *opts) {
  int64_t most = (opts->dead_after + 2) / 3;
  return opts->heartbeat < most ? opts->heartbeat : most;
}
