/* rlimits.c: one row per limit. A child of ours gets them by prlimit, without a shell; others by a shell in front of the interpreter. */
#include "rlimits.h"

#include "error.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#ifdef __GLIBC__ /* has an enumeration where others have an int */
typedef __rlimit_resource_t limit_resource;
#else
typedef int limit_resource;
#endif

static const struct limit {
  const char *name, *shown, *unit; /* of the option; in messages */
  limit_resource resource;
  const char *letter; /* of the shell's ulimit; tried in order */
  int64_t block, least;
} limit_table[] = {
    {"memory", "memory", "bytes", RLIMIT_AS, "v", 1024, 1},
    {"cpu", "CPU", "s", RLIMIT_CPU, "t", 1, 1},
    {"files", "open files", "", RLIMIT_NOFILE, "n", 1, 1},
    {"processes", "processes", "", RLIMIT_NPROC, "up", 1, 1},
    {"file_size", "file size", "bytes", RLIMIT_FSIZE, "f", 512, 0},
    {"core", "core size", "bytes", RLIMIT_CORE, "c", 512, 0},
};
#define LIMIT_COUNT (sizeof limit_table / sizeof *limit_table)

/* A process that has used its seconds gets SIGXCPU; one that takes no notice of it is killed a second later. */
static int64_t limit_hard(const struct limit *l, int64_t number) {
  return l->resource == RLIMIT_CPU && number < INT64_MAX ? number + 1 : number;
}

/* -1: not set */
static int64_t limit_of(const remora_value *limits, const char *name) {
  const remora_value *v = limits ? remora_get(limits, name) : NULL;
  return v ? remora_as_int(v) : -1;
}

const char *rlimits_check(const remora_value *limits, char *room, size_t size) {
  if (remora_value_kind(limits) != REMORA_MAP) return "must be a map of limits to integers";
  for (size_t i = 0; i < remora_length(limits); i++) {
    const remora_value *key = remora_key_at(limits, i), *v = remora_at(limits, i);
    const char *name = remora_value_kind(key) == REMORA_TEXT ? remora_as_text(key, NULL) : "?";
    const struct limit *l = limit_table;
    while (l < limit_table + LIMIT_COUNT && strcmp(l->name, name) != 0) l++;
    if (l == limit_table + LIMIT_COUNT) {
      char *shown = spec_harmless(name, strlen(name));
      (void)snprintf(room, size, "there is no \"%.100s\"; known are memory, cpu, files, processes, file_size, core",
                     shown ? shown : "?");
      free(shown);
      return room;
    }
    if (remora_value_kind(v) != REMORA_INT || remora_as_int(v) < l->least) {
      (void)snprintf(room, size, "%s must be an integer, not less than %" PRId64, l->name, l->least);
      return room;
    }
  }
  return NULL;
}

int rlimits_apply(const char *name, pid_t pid, const remora_value *limits, int64_t nice, remora_error **err) {
  for (size_t i = 0; limits && i < LIMIT_COUNT; i++) {
    const struct limit *l = &limit_table[i];
    int64_t number = limit_of(limits, l->name), most = limit_hard(l, number);
    struct rlimit old, wanted;
    if (number < 0) continue;
    int rc = prlimit(pid, l->resource, NULL, &old);
    if (rc == 0) { /* never more than there was */
      wanted.rlim_max = old.rlim_max < (rlim_t)most ? old.rlim_max : (rlim_t)most;
      wanted.rlim_cur = wanted.rlim_max < (rlim_t)number ? wanted.rlim_max : (rlim_t)number;
      rc = prlimit(pid, l->resource, &wanted, NULL);
    }
    if (rc != 0)
      return error_stage(err, "spawn", "%s: cannot set the limit %s: %s", name, l->name, strerror(errno)), -1;
  }
  if (nice == 0) return 0;
  errno = 0;
  int before = getpriority(PRIO_PROCESS, (id_t)pid);
  if (errno || setpriority(PRIO_PROCESS, (id_t)pid, before + (int)nice) != 0)
    return error_stage(err, "spawn", "%s: cannot set nice to %" PRId64 ": %s", name, nice, strerror(errno)), -1;
  return 0;
}

/* $1: letters that may mean the limit, $2: what it is called; $3 and $4: soft and hard. What is stricter already stays. */
static const char rlimits_function[] =
    "limit() {\n"
    "  for letter in $1; do hard=$(ulimit -H \"-$letter\" 2>/dev/null) && [ \"$hard\" ] && break; hard=; done\n"
    "  [ \"$hard\" ] || { echo \"the limit $2 cannot be set by the shell there\" >&2; exit 1; }\n"
    "  [ \"$hard\" = unlimited ] || [ \"$hard\" -gt \"$4\" ] || {\n"
    "    [ \"$hard\" -gt \"$3\" ] && ulimit -S \"-$letter\" \"$3\"; return 0; }\n"
    "  ulimit -S \"-$letter\" \"$3\" && ulimit -H \"-$letter\" \"$4\" || exit 1\n"
    "}\n";

void rlimits_wrap(spec_words *words, const remora_value *limits, int64_t nice) {
  if (!remora_length(limits) && nice == 0) return;
  char *script = NULL;
  size_t length;
  FILE *f = open_memstream(&script, &length);
  spec_words shell = {0};
  if (f && remora_length(limits)) (void)fputs(rlimits_function, f);
  for (size_t i = 0; f && limits && i < LIMIT_COUNT; i++) {
    const struct limit *l = &limit_table[i];
    int64_t number = limit_of(limits, l->name), block = l->block;
    if (number < 0) continue;
    int64_t blocks =
        number / block + (number % block != 0); /* its units may be coarser: not less than what was asked for */
    (void)fputs("limit '", f);
    for (const char *p = l->letter; *p; p++) (void)fprintf(f, "%s%c", p == l->letter ? "" : " ", *p);
    (void)fprintf(f, "' %s %" PRId64 " %" PRId64 "\n", l->name, blocks, limit_hard(l, blocks));
  }
  if (f && nice)
    (void)fprintf(f, "exec nice -n %" PRId64 " \"$@\"\n", nice);
  else if (f)
    (void)fputs("exec \"$@\"\n", f);
  if (!f || fclose(f) != 0) shell.failed = true;
  spec_words_add(&shell, "sh");
  spec_words_add(&shell, "-c");
  spec_words_take(&shell, script);
  spec_words_add(&shell, "sh");
  spec_words_move(&shell, words);
  *words = shell;
}

/* --------------------------------------------------------------------------------------------------------------- the end */

static const char *limit_signal_name(int n, char *room, size_t size) {
  const char *abbreviation = sigabbrev_np(n);
  (void)snprintf(room, size, "signal %d%s%s%s", n, abbreviation ? " (SIG" : "", abbreviation ? abbreviation : "",
                 abbreviation ? ")" : "");
  return room;
}

const char *rlimits_signal(const remora_value *limits, int n, char *room, size_t size) {
  int64_t cpu = limit_of(limits, "cpu"), memory = limit_of(limits, "memory"), file = limit_of(limits, "file_size");
  char name[64];
  (void)limit_signal_name(n, name, sizeof name);
  if (n == SIGXCPU && cpu >= 0)
    (void)snprintf(room, size, "its CPU limit (%" PRId64 " s): %s", cpu, name);
  else if (n == SIGXFSZ && file >= 0)
    (void)snprintf(room, size, "its file size limit (%" PRId64 " bytes): %s", file, name);
  else if ((n == SIGABRT || n == SIGSEGV || n == SIGBUS || n == SIGTRAP) && memory >= 0)
    /* So ends what gets no memory and has no other answer to it; it may also have done so for a reason of its own. */
    (void)snprintf(room, size, "its memory limit (%" PRId64 " bytes), most likely: %s", memory, name);
  else if (n == SIGKILL && cpu >= 0) /* the second after SIGXCPU; or anybody */
    (void)snprintf(room, size, "%s; its CPU limit is %" PRId64 " s", name, cpu);
  else
    (void)snprintf(room, size, "%s", name);
  return room;
}

const char *rlimits_status(const remora_value *limits, int status, char *room, size_t size) {
  int64_t memory = limit_of(limits, "memory");
  *room = 0;
  /* An interpreter that gets no memory may end so; a warden's shell counts signals from 128 on. */
  if (status != 0 && memory >= 0) (void)snprintf(room, size, " (its memory limit is %" PRId64 " bytes)", memory);
  return room;
}
