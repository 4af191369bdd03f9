/* test_spawn.c: real children: what they inherit, how they end, and what stays behind when they cannot be started. */
#include "carrier.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define CARRIER(...) ((carrier){.local_child = true, .name = (char[]){"-"}, .argv = (char *[]){__VA_ARGS__, NULL}})
#define WORD(text) ((char[]){text})

static void start(const carrier *c, spawned *s) {
  remora_error *err = NULL;
  if (carrier_spawn(c, s, &err)) fail_msg("%s", remora_error_message(err));
}

static void finish(spawned *s) {
  close(s->to);
  close(s->from);
  close(s->errors);
  if (s->pidfd >= 0) close(s->pidfd);
}

/* Reads a non-blocking pipe to its end. */
static char *read_all(int fd, char *text, size_t room) {
  size_t length = 0;
  for (;;) {
    struct pollfd p = {fd, POLLIN, 0};
    assert_true(poll(&p, 1, 10000) > 0);
    ssize_t got = read(fd, text + length, room - 1 - length);
    assert_true(got >= 0);
    if (got == 0) break;
    length += (size_t)got;
  }
  text[length] = '\0';
  return text;
}

static void short_sleep(void) { nanosleep(&(struct timespec){0, 2000000}, NULL); }

/* Polls carrier_reap for at most ten seconds. */
static int reap(const spawned *s, int *status) {
  int rc = 0;
  for (int i = 0; i < 5000 && !(rc = carrier_reap(s, status)); i++) short_sleep();
  return rc;
}

static int count_fds(void) {
  int count = 0;
  for (int fd = 0; fd < 256; fd++) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

static bool no_children(void) { return waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD; }

/* ------------------------------------------------------------------------------------------------ what is passed on */

static void test_streams(void **state) {
  (void)state;
  char text[64];
  int status = -1, before = count_fds();
  spawned s;
  carrier c = CARRIER(WORD("sh"), WORD("-c"), WORD("cat; echo bad >&2; exit 7"));
  start(&c, &s);
  assert_true(s.pidfd >= 0);
  const int fds[] = {s.to, s.from, s.errors};
  for (size_t i = 0; i < 3; i++) {
    assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
  }
  assert_true(fcntl(s.pidfd, F_GETFD) & FD_CLOEXEC);
  assert_int_equal(read(s.from, text, 1), -1);
  assert_int_equal(errno, EAGAIN);
  assert_int_equal(carrier_reap(&s, &status), 0);
  assert_int_equal(write(s.to, "hello", 5), 5);
  close(s.to);
  s.to = -1;
  assert_string_equal(read_all(s.from, text, sizeof text), "hello");
  assert_string_equal(read_all(s.errors, text, sizeof text), "bad\n");
  struct pollfd p = {s.pidfd, POLLIN, 0};
  assert_int_equal(poll(&p, 1, 10000), 1);
  assert_int_equal(carrier_reap(&s, &status), 1);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
  assert_int_equal(carrier_reap(&s, &status), 2);
  finish(&s);
  assert_int_equal(count_fds(), before);
  assert_true(no_children());
}

static void test_signals(void **state) {
  (void)state;
  char text[8192];
  int status;
  sigset_t mask, old;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  sigaddset(&mask, SIGTERM);
  sigaddset(&mask, SIGCHLD);
  pthread_sigmask(SIG_BLOCK, &mask, &old);
  static const int ignored[] = {SIGPIPE, SIGINT, SIGHUP, SIGUSR2};
  for (size_t i = 0; i < 4; i++) signal(ignored[i], SIG_IGN);
  spawned s;
  carrier c = CARRIER(WORD("cat"), WORD("/proc/self/status"));
  start(&c, &s);
  for (size_t i = 0; i < 4; i++) signal(ignored[i], SIG_DFL);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  read_all(s.from, text, sizeof text);
  static const char *const sets[] = {"\nSigBlk:", "\nSigIgn:", "\nSigCgt:"};
  for (size_t i = 0; i < 3; i++) {
    const char *line = strstr(text, sets[i]);
    assert_non_null(line);
    /* 32 and 33 are the C library's own: its posix_spawn leaves them ignored, its threads set them up anew. */
    assert_int_equal(strtoull(line + 8, NULL, 16) & ~UINT64_C(0x180000000), 0);
  }
  assert_int_equal(reap(&s, &status), 1);
  finish(&s);
}

static void test_no_leaked_descriptors(void **state) {
  (void)state;
  char text[256];
  int status, leak = dup(0), high = fcntl(0, F_DUPFD, 200); /* not close-on-exec: the host's own carelessness */
  spawned s;
  carrier c = CARRIER(WORD("sh"), WORD("-c"), WORD("cd /proc/self/fd; echo *"));
  start(&c, &s);
  read_all(s.from, text, sizeof text);
  close(leak);
  close(high);
#ifdef __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 34) /* the first one that can close what is not ours */
  if (strcmp(text, "0 1 2\n") != 0 && strcmp(text, "0 1 2 3\n") != 0) /* 3: the shell reads the directory */
    fail_msg("the child has %s", text);
#endif
#endif
  assert_int_equal(reap(&s, &status), 1);
  finish(&s);
}

static void test_environment_and_directory(void **state) {
  (void)state;
  char text[256], cwd[] = "/tmp", *envp[] = {WORD("PATH=/usr/bin:/bin"), WORD("A=x y"), NULL};
  int status;
  spawned s;
  carrier c = CARRIER(WORD("sh"), WORD("-c"), WORD("pwd; echo \"$A\"; echo \"$HOME\""));
  c.cwd = cwd;
  c.envp = envp;
  start(&c, &s);
  assert_string_equal(read_all(s.from, text, sizeof text), "/tmp\nx y\n\n");
  assert_int_equal(reap(&s, &status), 1);
  finish(&s);
}

/* Ctrl-C goes to the foreground group: a local child belongs to it, a line to another host does not. */
static void test_sessions(void **state) {
  (void)state;
  for (int local = 0; local < 2; local++) {
    int status;
    spawned s;
    carrier c = CARRIER(WORD("cat"));
    c.local_child = local;
    start(&c, &s);
    assert_int_equal(getsid(s.pid), local ? getsid(0) : s.pid);
    assert_int_equal(getpgid(s.pid), local ? getpgid(0) : s.pid);
    close(s.to);
    s.to = -1;
    assert_int_equal(reap(&s, &status), 1);
    finish(&s);
  }
}

/* A daemon may have closed 0 to 2; its own later output must not end up in our pipes. */
static void test_closed_standard_descriptors(void **state) {
  (void)state;
  for (int mask = 1; mask < 8; mask++) {
    pid_t pid = fork();
    if (pid == 0) {
      for (int fd = 0; fd < 3; fd++)
        if (mask & (1 << fd)) close(fd);
      spawned s;
      char text[64];
      int status;
      carrier c = CARRIER(WORD("cat"));
      if (carrier_spawn(&c, &s, NULL) || s.to < 3 || s.from < 3 || s.errors < 3 || s.pidfd < 3) _exit(1);
      for (int fd = 0; fd < 3; fd++)
        if ((mask & (1 << fd)) && fcntl(fd, F_GETFD) != -1) _exit(2);
      if (write(s.to, "hello", 5) != 5) _exit(3);
      close(s.to);
      struct pollfd p = {s.from, POLLIN, 0};
      if (poll(&p, 1, 10000) != 1 || read(s.from, text, sizeof text) != 5 || memcmp(text, "hello", 5) != 0) _exit(4);
      _exit(reap(&s, &status) == 1 && status == 0 ? 0 : 5);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
  }
}

/* ---------------------------------------------------------------------------------------------------------- endings */

static void test_signalled(void **state) {
  (void)state;
  int status = 0;
  spawned s;
  carrier c = CARRIER(WORD("cat"));
  start(&c, &s);
  kill(s.pid, SIGKILL);
  assert_int_equal(reap(&s, &status), 1);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  finish(&s);
}

/* The host's own waitpid(-1), or its ignored SIGCHLD, takes the status away: that is told, and no status made up. */
static void test_reaped_by_somebody_else(void **state) {
  (void)state;
  for (int with_pidfd = 0; with_pidfd < 2; with_pidfd++) {
    int status = 77;
    spawned s;
    carrier c = CARRIER(WORD("true"));
    start(&c, &s);
    if (!with_pidfd) {
      close(s.pidfd);
      s.pidfd = -1;
    }
    assert_int_equal(waitpid(-1, NULL, 0), s.pid);
    assert_int_equal(carrier_reap(&s, &status), 2);
    assert_int_equal(status, 77);
    finish(&s);

    signal(SIGCHLD, SIG_IGN);
    start(&c, &s);
    assert_int_equal(reap(&s, &status), 2);
    assert_int_equal(status, 77);
    signal(SIGCHLD, SIG_DFL);
    finish(&s);
  }
}

static void test_reap_without_pidfd(void **state) {
  (void)state;
  int status = 0;
  spawned s;
  carrier c = CARRIER(WORD("sh"), WORD("-c"), WORD("exit 9"));
  start(&c, &s);
  close(s.pidfd);
  s.pidfd = -1;
  assert_int_equal(reap(&s, &status), 1);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 9);
  finish(&s);
}

/* Our way of waiting takes nobody else's child, not even one that got the number of ours after somebody reaped it. */
static void test_other_children_stay(void **state) {
  (void)state;
  int status = 77;
  pid_t other = fork();
  if (other == 0) _exit(5);
  spawned s;
  carrier c = CARRIER(WORD("true"));
  start(&c, &s);
  assert_int_equal(waitpid(s.pid, NULL, 0), s.pid);
  s.pid = other;
  assert_int_equal(waitid(P_PID, (id_t)other, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
  assert_int_equal(carrier_reap(&s, &status), 2);
  assert_int_equal(status, 77);
  assert_int_equal(waitpid(other, &status, 0), other);
  assert_int_equal(WEXITSTATUS(status), 5);
  finish(&s);
}

/* ---------------------------------------------------------------------------------------------------------- looking */

static void test_look(void **state) {
  (void)state;
  int status;
  uint64_t ticks = 0, later = 0;
  char seen = 0;
  spawned s;
  carrier c = CARRIER(WORD("sh"), WORD("-c"), WORD("while :; do :; done"));
  start(&c, &s);
  for (int i = 0; i < 5000 && ticks < 2; i++) {
    seen = carrier_look(s.pid, &ticks);
    short_sleep();
  }
  assert_int_equal(seen, 'R');
  assert_true(ticks >= 2);
  kill(s.pid, SIGSTOP);
  for (int i = 0; i < 5000 && seen != 'T'; i++) {
    short_sleep();
    seen = carrier_look(s.pid, &ticks);
  }
  assert_int_equal(seen, 'T');
  assert_int_equal(carrier_reap(&s, &status), 0); /* stopped is not ended */
  carrier_look(s.pid, &later);
  assert_true(later == ticks);
  kill(s.pid, SIGKILL);
  for (int i = 0; i < 5000 && seen != 'Z'; i++) {
    short_sleep();
    seen = carrier_look(s.pid, NULL);
  }
  assert_int_equal(seen, 'Z');
  assert_int_equal(reap(&s, &status), 1);
  assert_int_equal(carrier_look(s.pid, &ticks), 0);
  finish(&s);

  static const char *const names[] = {") Z 1 (", "a b) T 1 1 1", "))))", "\n) X", "((("};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    prctl(PR_SET_NAME, names[i]);
    assert_int_equal(carrier_look(getpid(), &ticks), 'R');
  }
  prctl(PR_SET_NAME, "test_spawn");
}

/* --------------------------------------------------------------------------------------------------------- failures */

static void expect_failure(const carrier *c, const char *message) {
  int before = count_fds();
  spawned s;
  remora_error *err = NULL;
  assert_int_equal(carrier_spawn(c, &s, &err), -1);
  assert_int_equal(remora_error_code(err), REMORA_E_CONNECT);
  assert_string_equal(remora_error_stage(err), "spawn");
  if (!strstr(remora_error_message(err), message))
    fail_msg("\"%s\" does not hold \"%s\"", remora_error_message(err), message);
  assert_true(s.pid == -1 && s.pidfd == -1 && s.to == -1 && s.from == -1 && s.errors == -1);
  assert_int_equal(count_fds(), before);
  assert_true(no_children());
  remora_error_free(err);
  assert_int_equal(carrier_spawn(c, &s, NULL), -1);
}

static void test_failures(void **state) {
  (void)state;
  char missing[] = "/nowhere/\033x", file[] = "/etc/passwd", slash[] = "/";
  static char long_word[256 * 1024];
  memset(long_word, 'x', sizeof long_word - 1);
  carrier c = CARRIER(WORD("remora-no-such-program"));
  expect_failure(&c, "there is no program \"remora-no-such-program\" in PATH");
  c.cwd = slash;
  expect_failure(&c, "there is no program");
  c = CARRIER(WORD("/nowhere/python3"));
  expect_failure(&c, "cannot start \"/nowhere/python3\": No such file");
  c = CARRIER(WORD("/etc/passwd"));
  expect_failure(&c, "cannot start \"/etc/passwd\": Permission denied");
  c = CARRIER(WORD("/tmp"));
  expect_failure(&c, "cannot start \"/tmp\": Permission denied");
  c = CARRIER(WORD("true"), long_word);
  expect_failure(&c, "cannot start \"true\": Argument list too long");
  c = CARRIER(WORD("true"));
  c.cwd = missing;
  expect_failure(&c, "cannot go to the directory \"/nowhere/\\x1bx\": No such file");
  c.cwd = file;
  expect_failure(&c, "cannot go to the directory \"/etc/passwd\": Not a directory");
}

/* Whichever descriptor is the one too many. */
static void test_no_descriptors_left(void **state) {
  (void)state;
  struct rlimit old, few;
  getrlimit(RLIMIT_NOFILE, &old);
  few = old;
  carrier c = CARRIER(WORD("true"));
  bool started = false;
  for (rlim_t extra = 0; extra < 16 && !started; extra++) {
    few.rlim_cur = (rlim_t)count_fds() + extra;
    setrlimit(RLIMIT_NOFILE, &few);
    int before = count_fds(), status;
    spawned s;
    started = carrier_spawn(&c, &s, NULL) == 0;
    if (started) {
      assert_int_equal(reap(&s, &status), 1);
      finish(&s);
    }
    assert_int_equal(count_fds(), before);
    assert_true(no_children());
  }
  setrlimit(RLIMIT_NOFILE, &old);
  assert_true(started);
}

/* ------------------------------------------------------------------------------------------------------------- many */

static void *start_ten(void *argument) {
  spawned *s = argument;
  carrier c = CARRIER(WORD("cat"));
  for (int i = 0; i < 10; i++)
    if (carrier_spawn(&c, &s[i], NULL)) return NULL;
  return argument;
}

/* Fifty at once from five threads; no child holds another one's pipe, or closing it would not end the other. */
static void test_many(void **state) {
  (void)state;
  static spawned all[50];
  pthread_t threads[5];
  int before = count_fds();
  for (int i = 0; i < 5; i++) assert_int_equal(pthread_create(&threads[i], NULL, start_ten, &all[10 * i]), 0);
  for (int i = 0; i < 5; i++) {
    void *done = NULL;
    pthread_join(threads[i], &done);
    assert_non_null(done);
  }
  for (int i = 0; i < 50; i++) {
    int status = -1;
    close(all[i].to);
    all[i].to = -1;
    assert_int_equal(reap(&all[i], &status), 1);
    assert_int_equal(status, 0);
    finish(&all[i]);
  }
  assert_int_equal(count_fds(), before);
  assert_true(no_children());
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_streams),
      cmocka_unit_test(test_signals),
      cmocka_unit_test(test_no_leaked_descriptors),
      cmocka_unit_test(test_environment_and_directory),
      cmocka_unit_test(test_sessions),
      cmocka_unit_test(test_closed_standard_descriptors),
      cmocka_unit_test(test_signalled),
      cmocka_unit_test(test_reaped_by_somebody_else),
      cmocka_unit_test(test_reap_without_pidfd),
      cmocka_unit_test(test_other_children_stay),
      cmocka_unit_test(test_look),
      cmocka_unit_test(test_failures),
      cmocka_unit_test(test_no_descriptors_left),
      cmocka_unit_test(test_many),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
