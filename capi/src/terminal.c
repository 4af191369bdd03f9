/* terminal.c: asks at the user's terminal, without echo, on a thread of its own: the loop and its owner go on. */
#include "prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define TERMINAL_RESTORE_S 1 /* one whose output is stopped (Ctrl-S) cannot be restored: nobody waits longer for it */

struct terminal {
  atomic_int refs;        /* of who asks, and of the thread */
  atomic_bool over, uses; /* seen by the other side, whichever is set first */
  sem_t restored;
  pid_t pid;
  int wake;
  hub *hub;
  uint64_t id;
  bool tells; /* no answer is wanted */
  char *line;
};

/* There is one terminal: questions of several connections wait for each other. */
static pthread_mutex_t terminal_turn = PTHREAD_MUTEX_INITIALIZER;

/* As it was, for the end of the process in the middle of a question. */
static struct termios terminal_saved;
static atomic_int terminal_quiet = -1;
static pid_t terminal_pid;

static void terminal_restore(void) {
  int fd = atomic_exchange(&terminal_quiet, -1);
  if (fd >= 0 && terminal_pid == getpid()) (void)tcsetattr(fd, TCSAFLUSH, &terminal_saved);
}

__attribute__((destructor)) static void terminal_at_exit(void) { terminal_restore(); }

static int terminal_open(void) {
  int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
  if (fd < 0 || tcgetpgrp(fd) == getpgrp()) return fd;
  close(fd); /* another job has it: it is not ours to write to */
  return -1;
}

bool terminal_there(void) {
  int fd = terminal_open();
  if (fd >= 0) close(fd);
  return fd >= 0;
}

static void terminal_unref(terminal *t) {
  if (atomic_fetch_sub(&t->refs, 1) != 1) return;
  close(t->wake);
  (void)sem_destroy(&t->restored);
  free(t->line);
  free(t);
}

static void terminal_print(int fd, const char *text) {
  size_t length = strlen(text);
  while (length > 0) {
    ssize_t n = write(fd, text, length);
    if (n <= 0) return;
    text += n;
    length -= (size_t)n;
  }
}

/* Echo, lines and signal characters are ours meanwhile: so Ctrl-C cannot end the process before the terminal is restored. */
static bool terminal_hush(int fd) {
  if (tcgetattr(fd, &terminal_saved) != 0) return false;
  struct termios quiet = terminal_saved;
  quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
  quiet.c_cc[VMIN] = 1;
  quiet.c_cc[VTIME] = 0;
  terminal_pid = getpid();
  atomic_store(&terminal_quiet, fd);
  return tcsetattr(fd, TCSAFLUSH, &quiet) == 0;
}

/* What is typed, until the end of the line. -1: no answer; *signal: the one that the user wants instead. */
static ssize_t terminal_read(const terminal *t, int fd, char room[PROMPT_ANSWER], int *signal) {
  const cc_t *keys = terminal_saved.c_cc;
  ssize_t n = 0;
  for (;;) {
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = t->wake, .events = POLLIN}};
    unsigned char c;
    if (poll(p, 2, -1) < 0 || p[1].revents || read(fd, &c, 1) != 1) return -1;
    if (c == keys[VINTR] || c == keys[VQUIT]) return *signal = c == keys[VINTR] ? SIGINT : SIGQUIT, -1;
    if (c == '\n' || c == '\r') return n;
    if (c == keys[VEOF]) return n > 0 ? n : -1;
    if (c == keys[VKILL]) {
      n = 0;
    } else if (c == keys[VERASE] || c == '\b') {
      while (n > 0 && ((unsigned char)room[--n] & 0xc0) == 0x80) {
      } /* all bytes of a character */
    } else if (c >= ' ' && n < (ssize_t)PROMPT_ANSWER) {
      room[n++] = (char)c;
    }
  }
}

static void *terminal_main(void *arg) {
  terminal *t = arg;
  char room[PROMPT_ANSWER];
  ssize_t n = -1;
  int wanted = 0;
  (void)pthread_mutex_lock(&terminal_turn);
  atomic_store(&t->uses, true);
  int fd = atomic_load(&t->over) ? -1 : terminal_open();
  if (fd >= 0 && t->tells) {
    terminal_print(fd, t->line);
  } else if (fd >= 0 && terminal_hush(fd)) {
    terminal_print(fd, t->line);
    n = terminal_read(t, fd, room, &wanted);
  }
  terminal_restore();
  if (fd >= 0) {
    terminal_print(fd, "\n");
    close(fd);
  }
  atomic_store(&t->uses, false);
  (void)sem_post(&t->restored);
  (void)pthread_mutex_unlock(&terminal_turn);
  if (wanted) (void)kill(0, wanted); /* as the terminal would have done: to the whole job */
  if (!t->tells) prompt_typed(t->hub, t->id, n >= 0 ? room : NULL, n >= 0 ? (size_t)n : 0);
  explicit_bzero(room, sizeof room);
  terminal_unref(t);
  return NULL;
}

terminal *terminal_ask(hub *h, uint64_t id, const char *name, const char *text, char kind) {
  terminal *t = calloc(1, sizeof *t);
  pthread_t thread;
  pthread_attr_t attr;
  sigset_t all, old;
  if (!t) return NULL;
  atomic_init(&t->refs, 2);
  t->hub = h;
  t->id = id;
  t->tells = kind == PROMPT_INFO;
  t->pid = getpid();
  (void)sem_init(&t->restored, 0, 0);
  t->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  size_t length = strlen(text);
  bool space = length > 0 && text[length - 1] == ' ';
  if (asprintf(&t->line, "%s: %s%s%s", name, text, space ? "" : " ", kind == PROMPT_CONFIRM ? "(yes/no) " : "") < 0)
    t->line = NULL;
  (void)pthread_attr_init(&attr);
  (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  bool started = t->line && t->wake >= 0 && pthread_create(&thread, &attr, terminal_main, t) == 0;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  (void)pthread_attr_destroy(&attr);
  if (started) return t;
  if (t->wake >= 0) close(t->wake);
  (void)sem_destroy(&t->restored);
  free(t->line);
  free(t);
  return NULL;
}

void terminal_end(terminal *t) {
  uint64_t one = 1;
  struct timespec until;
  atomic_store(&t->over, true);
  ssize_t ignored = write(t->wake, &one, sizeof one);
  (void)ignored;
  /* What the program does next with the terminal must not meet it half restored, nor lose what is typed for it. */
  if (atomic_load(&t->uses) && t->pid == getpid() && clock_gettime(CLOCK_MONOTONIC, &until) == 0) {
    until.tv_sec += TERMINAL_RESTORE_S;
    while (sem_clockwait(&t->restored, CLOCK_MONOTONIC, &until) != 0 && errno == EINTR) {
    }
  }
  terminal_unref(t);
}
