/* warden.c: the parent of a far node. It touches neither stream, sees from outside what the child cannot say itself, and ends its process group. */
#include "node.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define WARDEN_ALONE_MS 2000 /* how long the child has to notice that nobody listens any more */

static void warden_say(int fd, const char *what, int number) {
  char line[64];
  int n = snprintf(line + 1, sizeof line - 1, number < 0 ? "remora %s\n" : "remora %s %d\n", what, number);
  line[0] = 0;
  ssize_t ignored = write(fd, line, (size_t)n + 1);
  (void)ignored;
}

static int warden_watch(pid_t child, int errors, int beat_ms) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = errors}};
  const char *state = "alive";
  bool alone = false;
  for (;;) {
    int status;
    pid_t got = waitpid(child, &status, WNOHANG | WUNTRACED | WCONTINUED);
    if (got == child && (WIFEXITED(status) || WIFSIGNALED(status))) {
      (void)kill(-child, SIGKILL); /* what it started */
      bool exited = WIFEXITED(status);
      int number = exited ? WEXITSTATUS(status) : WTERMSIG(status);
      warden_say(errors, exited ? "exit" : "signal", number);
      return exited ? number : 128 + number;
    }
    if (got == child) {
      state = WIFSTOPPED(status) ? "stopped" : "alive";
      if (!alone) warden_say(errors, state, -1);
      continue;
    }
    int n = poll(p, alone ? 1 : 2, alone ? WARDEN_ALONE_MS : beat_ms);
    if (n == 0 && alone) (void)kill(child, SIGKILL);
    if (n == 0 && !alone) warden_say(errors, state, -1);
    if (n > 0 && p[0].revents) {
      struct signalfd_siginfo info;
      ssize_t ignored = read(fd, &info, sizeof info);
      (void)ignored;
    }
    if (n > 0 && !alone && p[1].revents) alone = true;
  }
}

void warden_stand(int from, int to, int errors, int64_t heartbeat_ms) {
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  pid_t warden = getpid(), child = fork();
  if (child < 0) _exit(1);
  if (child == 0) {
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != warden) _exit(1);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return;
  }
  (void)setpgid(child, child);
  close(from);
  close(to);
  close(0);
  close(1);
  _exit(warden_watch(child, errors, heartbeat_ms > 0 ? (int)heartbeat_ms : -1));
}
