/* keeper.c: nothing that runs inside this process can end far processes once it is killed, and a far process in native code does not look. So a shell waits
 * outside, for the end of a stream whose other end closes with this process, gives everybody time to end, and kills the rest. */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Lines: "PID START" of a program that was started (START: field 22 of its stat, which no later process of that number has), "-PID" when it is gone. What
 * children of this host have started is known by its environment, wherever it went: out of its group, its session, away from its parents. */
static const char keeper_script[] =
    "exec 3<&0 0</dev/null\n"
    "keep() {\n"
    "  lines=' '\n"
    "  while read -r pid start; do\n"
    "    case $pid in\n"
    "    -*) pid=${pid#-}\n"
    "      case $lines in *\" $pid:\"*)\n"
    "        rest=${lines#*\" $pid:\"}\n"
    "        lines=\"${lines%%\" $pid:\"*} ${rest#* }\" ;;\n"
    "      esac ;;\n"
    "    *) lines=\"$lines$pid:$start \" ;;\n"
    "    esac\n"
    "  done\n"
    "  sleep 2\n"
    "  for line in $lines; do\n"
    "    pid=${line%:*} start=${line#*:}\n"
    "    read -r stat <\"/proc/$pid/stat\" || continue\n"
    "    set -- \"$1\" ${stat##*) }\n"
    "    [ \"${21}\" = \"$start\" ] && kill -s KILL \"$pid\"\n"
    "  done\n"
    "  for turn in 1 2 3 4 5 6 7 8 9 10; do\n" /* what is being started meanwhile is seen by the next turn */
    "    found=$(grep -las \"$1\" /proc/[0-9]*/environ)\n"
    "    [ \"$found\" ] || break\n"
    "    for file in $found; do\n"
    "      pid=${file#/proc/}\n"
    "      kill -s KILL \"${pid%/environ}\"\n"
    "    done\n"
    "    sleep 0.1 || sleep 1\n"
    "  done\n"
    "}\n"
    "keep \"$1\" <&3 3<&- &\n"; /* this shell ends at once: the host must not find a child that stays */

static pthread_mutex_t keeper_lock = PTHREAD_MUTEX_INITIALIZER;
static char keeper_token[64];
static int keeper_fd = -1;
static bool keeper_tried;

void keeper_forked(void) {
  static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
  keeper_lock = fresh;
  if (keeper_fd >= 0) close(keeper_fd);
  keeper_fd = -1;
  keeper_tried = false;
  *keeper_token = 0;
}

const char *keeper_mark(void) {
  pthread_mutex_lock(&keeper_lock);
  if (!*keeper_token && getpid() != 1) { /* with process 1 its whole container ends */
    uint64_t number = 0;
    if (getrandom(&number, sizeof number, GRND_NONBLOCK) == sizeof number)
      (void)snprintf(keeper_token, sizeof keeper_token, "%ld-%016" PRIx64, (long)getpid(), number);
  }
  pthread_mutex_unlock(&keeper_lock);
  return keeper_token;
}

/* Under the lock, once in a process. Without a keeper there is less certainty, and no error. */
static void keeper_start(void) {
  int ends[2];
  char word[sizeof keeper_token + sizeof KEEPER_MARK + 1], path[4096];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return; /* no pipe: that could raise SIGPIPE */
  for (int i = 0; i < 2; i++) {                                              /* 0 to 2 may be closed in the host */
    if (ends[i] > 2) continue;
    int lifted = fcntl(ends[i], F_DUPFD_CLOEXEC, 3);
    close(ends[i]);
    ends[i] = lifted;
  }
  (void)snprintf(word, sizeof word, KEEPER_MARK "=%s", keeper_token);
  (void)snprintf(path, sizeof path, "PATH=%s", getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin");
  /* Of the environment nothing but PATH: where this process is itself somebody's far side, its keeper must not be taken for one of its processes. */
  char *argv[] = {"sh", "-c", (char *)(uintptr_t)keeper_script, "sh", word, NULL}, *envp[] = {path, NULL};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t all, none;
  pid_t pid = -1;
  sigfillset(&all);
  sigemptyset(&none);
  (void)posix_spawn_file_actions_init(&actions);
  (void)posix_spawnattr_init(&attributes);
  (void)posix_spawnattr_setflags(&attributes,
                                 POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | (short)POSIX_SPAWN_SETSID);
  (void)posix_spawnattr_setsigdefault(&attributes, &all);
  (void)posix_spawnattr_setsigmask(&attributes, &none);
  int rc = posix_spawn_file_actions_adddup2(&actions, ends[0], 0);
  if (!rc) rc = posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  if (!rc) rc = posix_spawn_file_actions_adddup2(&actions, 1, 2);
#ifdef __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 34)
  if (!rc) rc = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
#endif
#endif
  if (!rc && ends[0] >= 0 && ends[1] >= 0) rc = posix_spawnp(&pid, "sh", &actions, &attributes, argv, envp);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (ends[0] >= 0) close(ends[0]);
  if (rc || pid <= 0) {
    if (ends[1] >= 0) close(ends[1]);
    return;
  }
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
  }
  keeper_fd = ends[1];
}

static void keeper_tell(const char *line, size_t length) {
  if (keeper_fd >= 0) (void)send(keeper_fd, line, length, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void keeper_started(const spawned *s) {
  if (!*keeper_mark()) return;
  char line[64];
  uint64_t start = carrier_birth(s->pid);
  pthread_mutex_lock(&keeper_lock);
  if (!keeper_tried) {
    keeper_tried = true;
    keeper_start();
  }
  int n = snprintf(line, sizeof line, "%ld %" PRIu64 "\n", (long)s->pid, start);
  if (start) keeper_tell(line, (size_t)n);
  pthread_mutex_unlock(&keeper_lock);
}

void keeper_gone(const spawned *s) {
  char line[32];
  pthread_mutex_lock(&keeper_lock);
  int n = snprintf(line, sizeof line, "-%ld\n", (long)s->pid);
  keeper_tell(line, (size_t)n);
  pthread_mutex_unlock(&keeper_lock);
}
