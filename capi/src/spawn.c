/* spawn.c: starts programs as a guest should: no handler touched, nothing passed on, nobody else's child reaped. */
#include "carrier.h"
#include "error.h"
#include "rlimits.h"
#include "spec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#ifdef __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 34)
#define SPAWN_HAS_CLOSEFROM 1
#endif
#endif

/* Linux's number; older headers of the C library lack the name. */
#define SPAWN_P_PIDFD ((idtype_t)3)

/* A host that has closed its descriptors 0 to 2 must not get a pipe of ours there: its next printf would go into it. */
static int spawn_lift(int fd) {
  if (fd < 0 || fd > 2) return fd;
  int lifted = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  int saved = errno;
  close(fd);
  errno = saved;
  return lifted;
}

static void spawn_close(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

/* A pipe whose end number `ours` does not block. */
static int spawn_pipe(int fds[2], int ours) {
  if (pipe2(fds, O_CLOEXEC) != 0) {
    fds[0] = fds[1] = -1;
    return -1;
  }
  fds[0] = spawn_lift(fds[0]);
  fds[1] = spawn_lift(fds[1]);
  return fds[0] >= 0 && fds[1] >= 0 && fcntl(fds[ours], F_SETFL, O_NONBLOCK) == 0 ? 0 : -1;
}

/* The errno of posix_spawn, or 0. */
static int spawn_start(const carrier *c, pid_t *pid, int in, int out, int errors) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  int rc = posix_spawn_file_actions_init(&actions);
  if (rc) return rc;
  if ((rc = posix_spawnattr_init(&attributes)) != 0) {
    posix_spawn_file_actions_destroy(&actions);
    return rc;
  }
  /* A local child stays in our process group, so that Ctrl-C, Ctrl-Z and a hang-up reach all of a job; unless it would end by Ctrl-C. Anything else
   * gets its own session: without a terminal ssh and sudo have nobody to ask, and Ctrl-C does not cut the line. */
  int flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
              (!c->local_child ? POSIX_SPAWN_SETSID
               : c->own_group  ? POSIX_SPAWN_SETPGROUP
                               : 0);
  if (!rc) rc = posix_spawnattr_setflags(&attributes, (short)flags);
  if (!rc) rc = posix_spawnattr_setsigdefault(&attributes, &all);
  if (!rc) rc = posix_spawnattr_setsigmask(&attributes, &none);
  if (!rc) rc = posix_spawn_file_actions_adddup2(&actions, in, 0);
  if (!rc) rc = posix_spawn_file_actions_adddup2(&actions, out, 1);
  if (!rc) rc = posix_spawn_file_actions_adddup2(&actions, errors, 2);
#ifdef SPAWN_HAS_CLOSEFROM
  if (!rc) /* the host's own descriptors; ours are close-on-exec */
    rc = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
#endif
  if (!rc && c->cwd) rc = posix_spawn_file_actions_addchdir_np(&actions, c->cwd);
  if (!rc) rc = posix_spawnp(pid, c->argv[0], &actions, &attributes, c->argv, c->envp ? c->envp : environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return rc;
}

/* posix_spawn has one number for everything, so what the directory has to do with it is looked at by hand. */
static void spawn_explain(const carrier *c, int number, remora_error **err) {
  struct stat st;
  const char *what = c->argv[0];
  if (c->cwd && stat(c->cwd, &st) != 0) {
    number = errno;
    what = c->cwd;
  } else if (c->cwd && !S_ISDIR(st.st_mode)) {
    number = ENOTDIR;
    what = c->cwd;
  } else if (c->cwd && access(c->cwd, X_OK) != 0) {
    number = errno;
    what = c->cwd;
  }
  char *shown = spec_harmless(what, strlen(what));
  const char *name = shown ? shown : "?";
  if (what == c->cwd)
    error_stage(err, "spawn", "%s: cannot go to the directory \"%s\": %s", c->name, name, strerror(number));
  else if (number == ENOENT && !strchr(what, '/'))
    error_stage(err, "spawn", "%s: there is no program \"%s\" in PATH", c->name, name);
  else
    error_stage(err, "spawn", "%s: cannot start \"%s\": %s", c->name, name, strerror(number));
  free(shown);
}

/* It has read nothing yet. */
static void spawn_undo(pid_t pid) {
  kill(pid, SIGKILL);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
  }
}

int carrier_spawn(const carrier *c, spawned *out, remora_error **err) {
  int in[2] = {-1, -1}, from[2] = {-1, -1}, errors[2] = {-1, -1};
  *out = (spawned){.pid = -1, .pidfd = -1, .to = -1, .from = -1, .errors = -1};
  int rc = spawn_pipe(in, 1) || spawn_pipe(from, 0) || spawn_pipe(errors, 0) ? errno : 0;
  if (rc)
    error_stage(err, "spawn", "%s: cannot make a pipe: %s", c->name, strerror(rc));
  else if ((rc = spawn_start(c, &out->pid, in[0], from[1], errors[1])) != 0)
    spawn_explain(c, rc, err);
  else if (c->local_child && (rc = rlimits_apply(c->name, out->pid, c->limits, c->nice, err)) != 0)
    spawn_undo(out->pid);
  spawn_close(&in[0]);
  spawn_close(&from[1]);
  spawn_close(&errors[1]);
  if (rc) {
    spawn_close(&in[1]);
    spawn_close(&from[0]);
    spawn_close(&errors[0]);
    out->pid = -1;
    return -1;
  }
  /* From here on nothing fails: a child is there, and it is handed over with what there is of it. */
#ifdef SYS_pidfd_open
  out->pidfd = spawn_lift((int)syscall(SYS_pidfd_open, out->pid, 0));
#endif
  out->to = in[1];
  out->from = from[0];
  out->errors = errors[0];
  return 0;
}

/* The status as waitpid would have told it. */
static int spawn_status(const siginfo_t *info) {
  if (info->si_code == CLD_EXITED) return (info->si_status & 0xff) << 8;
  return (info->si_status & 0x7f) | (info->si_code == CLD_DUMPED ? 0x80 : 0);
}

int carrier_reap(const spawned *s, int *status) {
  if (s->pidfd >= 0) { /* by descriptor: a number that was reaped by somebody else may name another child by now */
    siginfo_t info;
    memset(&info, 0, sizeof info);
    if (waitid(SPAWN_P_PIDFD, (id_t)s->pidfd, &info, WEXITED | WNOHANG) == 0) {
      if (info.si_pid == 0) return 0;
      *status = spawn_status(&info);
      return 1;
    }
    if (errno == ECHILD) return 2;
  }
  pid_t pid = waitpid(s->pid, status, WNOHANG);
  return pid > 0 ? 1 : pid < 0 && errno == ECHILD ? 2 : 0;
}

/* What stands behind the name in the process's stat, from its third field on; NULL: gone, or there is no such file. */
static const char *spawn_stat(pid_t pid, char *text, size_t size) {
  char path[32];
  (void)snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return NULL;
  ssize_t got = read(fd, text, size - 1);
  close(fd);
  if (got <= 0) return NULL;
  text[got] = '\0';
  /* PID (COMM) STATE 10 numbers UTIME STIME ...; COMM may hold blanks and parentheses, numbers do not. */
  return memrchr(text, ')', (size_t)got);
}

char carrier_look(pid_t pid, uint64_t *cpu_ticks) {
  char text[1024], state;
  const char *p = spawn_stat(pid, text, sizeof text);
  unsigned long long utime, stime;
  if (!p || sscanf(p, ") %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu", &state, &utime, &stime) != 3) return 0;
  if (cpu_ticks) *cpu_ticks = utime + stime;
  return state;
}

uint64_t carrier_birth(pid_t pid) {
  char text[1024];
  const char *p = spawn_stat(pid, text, sizeof text);
  for (int fields = 0; p && fields < 20; fields++) p = strchr(p + 1, ' ');
  return p ? strtoull(p, NULL, 10) : 0;
}
