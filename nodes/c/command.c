/* command.c: `run` of the root. Each command has a thread, which moves its streams and answers the call; so others go on. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define COMMAND_PIECE ((size_t)262144)
#define COMMAND_GRACE_MS 2000 /* from SIGTERM to SIGKILL */

#ifdef __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 34)
#define COMMAND_HAS_CLOSEFROM 1
#endif
#endif

typedef struct command {
  struct command *next; /* in the list of those that run */
  remora_event *event;
  uint32_t call;
  const char *name;   /* borrowed from the arguments, as all below */
  char **argv, **env; /* env: the list is ours, what it adds too */
  size_t added;       /* so many of env are ours, at its beginning */
  const char *cwd, *path;
  remora_proxy *output, *source;
  const char *input;
  size_t input_length;
  bool fed;             /* has an input */
  remora_value *piece;  /* what the source gave last */
  remora_future *asked; /* of the source */
  remora_future *sent;  /* the call of the output that is under way */
  char *kept[2];
  size_t size[2], room[2];
  uint64_t due; /* 0: no limit */
  int64_t timeout;
  remora_queue *queue; /* rings when an answer is there */
  remora_error *error; /* why it is being ended */
  uint64_t kill_at;
  int streams[2], in, wake, pidfd;
  pid_t pid;             /* under the lock; 0: none, or not any more */
  pid_t group;           /* under the lock: what is signalled, as long as somebody has the streams; 0: nobody is left */
  bool ended, cancelled; /* cancelled: under the lock */
  int status;
} command;

static pthread_mutex_t command_lock = PTHREAD_MUTEX_INITIALIZER;
static command *commands;

static void command_close(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

/* ----------------------------------------------------------------------------------------------------------- the options */

static bool command_null(const remora_value *v) { return !v || remora_value_kind(v) == REMORA_NULL; }

static bool command_words(command *c, const remora_value *argv) {
  size_t n = remora_value_kind(argv) == REMORA_LIST ? remora_length(argv) : 0;
  if (n == 0) {
    c->error = files_fault("remora.Value", "a command is a list of text, at least the name of a program");
    return false;
  }
  c->argv = calloc(n + 1, sizeof *c->argv);
  for (size_t i = 0; c->argv && i < n && !c->error; i++)
    c->argv[i] = (char *)(uintptr_t)files_text(remora_at(argv, i), "an argument", &c->error);
  if (!c->argv) c->error = remora_error_new(REMORA_E_NOMEM, NULL);
  if (c->argv) c->name = c->argv[0];
  return !c->error;
}

/* Does an entry of the environment have the name that `name` begins with, up to its end or a '='? */
static bool command_names(const char *entry, const char *name) {
  size_t n = strcspn(name, "=");
  return strncmp(entry, name, n) == 0 && entry[n] == '=';
}

/* This process's environment with the changes of a map, which stand first. */
static bool command_environment(command *c, const remora_value *env) {
  size_t n = remora_length(env), have = 0, at = 0;
  while (environ[have]) have++;
  c->env = calloc(n + have + 1, sizeof *c->env);
  if (!c->env) return c->error = remora_error_new(REMORA_E_NOMEM, NULL), false;
  for (size_t i = 0; i < n; i++) {
    const char *name = files_text(remora_key_at(env, i), "env: a name", &c->error);
    if (name && (!*name || strchr(name, '=')))
      c->error = files_fault("remora.Value", "env: no name of a variable: %s", name);
    bool unset = command_null(remora_at(env, i));
    const char *value = c->error || unset ? "" : files_text(remora_at(env, i), "env: a value", &c->error);
    if (!c->error && asprintf(&c->env[at], "%s%s%s", name, unset ? "" : "=", value) < 0) {
      c->env[at] = NULL;
      c->error = remora_error_new(REMORA_E_NOMEM, NULL);
    }
    if (c->error) return false;
    c->added = ++at;
  }
  for (size_t i = 0; i < have; i++) {
    bool changed = false;
    for (size_t k = 0; !changed && k < n; k++) changed = command_names(environ[i], c->env[k]);
    if (!changed) c->env[at++] = environ[i];
  }
  for (size_t i = 0; i < at;) { /* what is unset has no '=' */
    if (strchr(c->env[i], '=')) {
      if (command_names(c->env[i], "PATH")) c->path = c->env[i] + 5;
      i++;
      continue;
    }
    if (i < c->added) {
      free(c->env[i]);
      c->added--;
    }
    memmove(&c->env[i], &c->env[i + 1], (--at - i) * sizeof *c->env);
    c->env[at] = NULL;
  }
  return true;
}

static bool command_options(command *c, const remora_value *args) {
  const remora_value *options = remora_at(args, 1), *v;
  if (!command_words(c, remora_at(args, 0)) || !command_environment(c, remora_get(options, "env"))) return false;
  if (!command_null(v = remora_get(options, "cwd")) && !(c->cwd = files_text(v, "cwd", &c->error))) return false;
  if (!command_null(v = remora_get(options, "output")) && !(c->output = remora_as_proxy(v)))
    return c->error = files_fault("remora.Value", "the output is a function of the near side"), false;
  if (!command_null(v = remora_get(options, "input"))) {
    c->fed = true;
    c->source = remora_as_proxy(v);
    c->input = c->source ? NULL : remora_as_text(v, &c->input_length);
    if (!c->source && !c->input)
      return c->error = files_fault("remora.Value", "the input is bytes, or an object with read"), false;
  }
  c->timeout = command_null(v = remora_get(options, "timeout")) ? -1 : (int64_t)remora_as_float(v);
  c->due = c->event->due;
  if (c->timeout >= 0 && (!c->due || hub_now_ms() + (uint64_t)c->timeout < c->due))
    c->due = hub_now_ms() + (uint64_t)c->timeout;
  return true;
}

/* -------------------------------------------------------------------------------------------------------------- the start */

/* Finds the program along the command's own PATH; *new*; NULL with errno. */
static char *command_find(const command *c) {
  if (strchr(c->name, '/')) return strdup(c->name);
  int why = ENOENT;
  const char *from = c->path ? c->path : "/bin:/usr/bin";
  for (;;) {
    size_t n = strcspn(from, ":");
    char *path = NULL, *seen = NULL;
    if (asprintf(&path, "%.*s%s%s", (int)n, from, n ? "/" : "", c->name) < 0) return NULL;
    bool relative = *path != '/' && c->cwd; /* as it is found from there */
    struct stat st;
    if (relative && asprintf(&seen, "%s/%s", c->cwd, path) < 0) return free(path), NULL;
    const char *at = relative ? seen : path;
    bool found = stat(at, &st) == 0 && S_ISREG(st.st_mode), runs = found && access(at, X_OK) == 0;
    if (found && !runs) why = EACCES;
    free(seen);
    if (runs && n == 0) { /* without a slash it would be looked for again */
      char *here = NULL;
      if (asprintf(&here, "./%s", path) < 0) here = NULL;
      free(path);
      return here;
    }
    if (runs) return path;
    free(path);
    if (!from[n]) break;
    from += n + 1;
  }
  errno = why;
  return NULL;
}

static int command_spawn(command *c, const char *program, const int theirs[3]) {
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
  rc =
      posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | (short)POSIX_SPAWN_SETSID);
  if (!rc) rc = posix_spawnattr_setsigdefault(&attributes, &all);
  if (!rc) rc = posix_spawnattr_setsigmask(&attributes, &none);
  for (int i = 0; i < 3 && !rc; i++) rc = posix_spawn_file_actions_adddup2(&actions, theirs[i], i);
#ifdef COMMAND_HAS_CLOSEFROM
  if (!rc) rc = posix_spawn_file_actions_addclosefrom_np(&actions, 3); /* those of user code */
#endif
  if (!rc && c->cwd) rc = posix_spawn_file_actions_addchdir_np(&actions, c->cwd);
  (void)pthread_mutex_lock(&command_lock);
  if (!rc) rc = posix_spawn(&c->pid, program, &actions, &attributes, c->argv, c->env);
  if (rc) c->pid = 0;
  c->group = c->pid;
  (void)pthread_mutex_unlock(&command_lock);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return rc;
}

/* A pipe whose end number `ours` does not block. */
static int command_pipe(int fds[2], int ours) {
  if (pipe2(fds, O_CLOEXEC) != 0) return -1;
  (void)fcntl(fds[ours], F_SETPIPE_SZ, 1 << 20);
  return fcntl(fds[ours], F_SETFL, O_NONBLOCK);
}

static void command_not_started(command *c, int number) {
  struct stat st;
  if (c->cwd && stat(c->cwd, &st) != 0)
    c->error = files_error(c->cwd, errno);
  else if (c->cwd && !S_ISDIR(st.st_mode))
    c->error = files_error(c->cwd, ENOTDIR);
  else if (c->cwd && access(c->cwd, X_OK) != 0)
    c->error = files_error(c->cwd, errno);
  else if (number == ENOENT || number == ENOTDIR)
    c->error = files_fault("remora.NotFound", "no program %s", c->name);
  else
    c->error = files_error(c->name, number);
}

static bool command_start(command *c) {
  int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}};
  int rc = 0;
  if (!c->fed) pipes[0][0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if ((c->fed ? command_pipe(pipes[0], 1) : pipes[0][0] < 0) || command_pipe(pipes[1], 0) ||
      command_pipe(pipes[2], 0) || (c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0 ||
      !(c->queue = remora_queue_new()))
    rc = errno;
  int theirs[3] = {pipes[0][0], pipes[1][1], pipes[2][1]};
  char *program = rc ? NULL : command_find(c);
  if (!rc && !program) rc = errno;
  if (!rc) rc = command_spawn(c, program, theirs);
  free(program);
  for (int i = 0; i < 3; i++) command_close(&theirs[i]);
  c->in = pipes[0][1];
  c->streams[0] = pipes[1][0];
  c->streams[1] = pipes[2][0];
  if (rc) {
    command_not_started(c, rc);
    return false;
  }
#ifdef SYS_pidfd_open
  c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
#endif
  return true;
}

/* ------------------------------------------------------------------------------------------------------------- the streams */

static void command_fail(command *c, remora_error *err) {
  if (c->error) {
    (void)remora_error_free(err);
    return;
  }
  c->error = err ? err : remora_error_new(REMORA_E_NOMEM, NULL);
  c->kill_at = hub_now_ms() + COMMAND_GRACE_MS;
  if (c->group > 0) (void)kill(-c->group, SIGTERM);
  if (c->sent) (void)remora_cancel(c->sent);
  if (c->asked) (void)remora_cancel(c->asked);
  command_close(&c->in);
}

static void command_rings(remora_future *f, void *userdata) { (void)f, (void)userdata; }

/* Starts a call; its answer rings the queue. *new*, or NULL: the command fails. Steals args. */
static remora_future *command_call(command *c, remora_proxy *proxy, const char *method, remora_value *args) {
  remora_error *err = NULL;
  remora_future *f = args ? remora_start_with(proxy, method, args, -1, REMORA_NOWAIT, &err) : NULL;
  (void)remora_value_unref(args);
  if (f && remora_then(f, c->queue, command_rings, NULL, NULL, &err) != 0) {
    (void)remora_cancel(f);
    f = remora_future_unref(f);
  }
  if (!f) command_fail(c, err);
  return f;
}

static remora_value *command_pair(int number, char *data, size_t length) {
  remora_value *list = remora_list(), *piece = remora_bytes_view(data, length, free, data);
  int failed = remora_append(list, remora_int(number));
  if (!piece) free(data);
  failed |= remora_append(list, piece ? piece : remora_null());
  return failed ? remora_value_unref(list) : list;
}

static bool command_keep(command *c, int i, const char *data, size_t length) {
  if (c->size[0] + c->size[1] + length > files_most) {
    command_fail(c, files_fault("remora.Limit", "the command wrote more than %zu bytes: take its output with on_output",
                                files_most));
    return false;
  }
  while (c->size[i] + length > c->room[i]) {
    size_t room = c->room[i] ? c->room[i] * 2 : COMMAND_PIECE;
    char *more = realloc(c->kept[i], room);
    if (!more) return command_fail(c, NULL), false;
    c->kept[i] = more;
    c->room[i] = room;
  }
  memcpy(c->kept[i] + c->size[i], data, length);
  c->size[i] += length;
  return true;
}

static void command_take(command *c, int i) {
  size_t most = files_most < COMMAND_PIECE ? files_most : COMMAND_PIECE;
  char *data = malloc(most);
  if (!data) return command_fail(c, NULL);
  ssize_t n = read(c->streams[i], data, most);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) command_close(&c->streams[i]);
  if (n > 0 && !c->error && c->output) {
    c->sent = command_call(c, c->output, "", command_pair(i + 1, data, (size_t)n));
    return;
  }
  if (n > 0 && !c->error) (void)command_keep(c, i, data, (size_t)n);
  free(data);
}

/* The result of a call that has ended, *new*; an error is one of the whole command. */
static remora_value *command_result(command *c, remora_future **f) {
  remora_error *err = NULL;
  remora_value *v = remora_future_result(*f, &err);
  *f = remora_future_unref(*f);
  if (err) command_fail(c, err);
  return v;
}

/* Answers that have come. */
static void command_answers(command *c) {
  if (c->sent && remora_future_state(c->sent) != REMORA_PENDING) (void)remora_value_unref(command_result(c, &c->sent));
  if (!c->asked || remora_future_state(c->asked) == REMORA_PENDING) return;
  c->piece = command_result(c, &c->asked);
  if (c->error) return;
  c->input = remora_as_text(c->piece, &c->input_length);
  if (!c->input && !command_null(c->piece))
    return command_fail(c, files_fault("remora.Value", "the input gave something else than bytes"));
  if (!c->input) c->input_length = 0;
  if (c->input_length == 0) command_close(&c->in);
}

/* Writes what the pipe takes, and asks for more. A command need not read its input. */
static void command_feed(command *c) {
  while (c->in >= 0 && c->input_length > 0) {
    ssize_t n = write(c->in, c->input, c->input_length);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) return command_close(&c->in);
    c->input += n;
    c->input_length -= (size_t)n;
  }
  if (c->in < 0 || c->asked || c->error) return;
  c->piece = remora_value_unref(c->piece);
  if (!c->source) return command_close(&c->in);
  remora_value *args = remora_list();
  if (remora_append(args, remora_int(files_most < 65536 ? (int64_t)files_most : 65536)) != 0)
    args = remora_value_unref(args);
  c->asked = command_call(c, c->source, "read", args);
}

/* Whether it has ended. Its number is nobody's to signal before it is reaped. */
static bool command_ended(command *c, bool wait) {
  siginfo_t info = {0};
  int rc = 0;
  while (!c->ended && (rc = waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOWAIT | (wait ? 0 : WNOHANG))) != 0 &&
         errno == EINTR) {
  }
  if (c->ended || (rc == 0 && info.si_pid == 0)) return c->ended;
  (void)pthread_mutex_lock(&command_lock);
  if (waitpid(c->pid, &c->status, 0) < 0) c->status = -1; /* user code was quicker */
  c->pid = 0;
  (void)pthread_mutex_unlock(&command_lock);
  return c->ended = true;
}

/* Nobody is known to be left in its group, whose number may become another's. */
static void command_forget(command *c) {
  (void)pthread_mutex_lock(&command_lock);
  c->group = 0;
  (void)pthread_mutex_unlock(&command_lock);
}

/* Until it has ended, its streams too, and everything has been answered; or, behind an error, until it was killed. */
static void command_converse(command *c) {
  for (;;) {
    (void)pthread_mutex_lock(&command_lock);
    bool cancelled = c->cancelled;
    (void)pthread_mutex_unlock(&command_lock);
    if (cancelled) command_fail(c, remora_error_new(REMORA_E_CANCELLED, "cancelled"));
    uint64_t now = hub_now_ms();
    if (c->due && now >= c->due && !c->error)
      command_fail(c, c->timeout >= 0 ? files_fault("remora.Timeout", "the command %s has not ended within %lld ms",
                                                    c->name, (long long)c->timeout)
                                      : remora_error_new(REMORA_E_TIMEOUT, "no time was left for the command"));
    (void)remora_serve(c->queue, 0);
    command_answers(c);
    if (c->fed) command_feed(c);
    bool open = c->streams[0] >= 0 || c->streams[1] >= 0, ended = command_ended(c, false);
    if (ended && !open) command_forget(c);
    if (ended && !open && (!c->sent || c->error)) return;
    if (c->error && now >= c->kill_at) return;
    if (remora_queue_arm(c->queue)) continue;
    struct pollfd p[6] = {{.fd = c->wake, .events = POLLIN},
                          {.fd = remora_queue_fd(c->queue), .events = POLLIN},
                          {.fd = ended ? -1 : c->pidfd, .events = POLLIN},
                          {.fd = c->input_length > 0 ? c->in : -1, .events = POLLOUT}};
    for (int i = 0; i < 2; i++) p[4 + i] = (struct pollfd){.fd = c->sent ? -1 : c->streams[i], .events = POLLIN};
    uint64_t until = c->error ? c->kill_at : c->due;
    int ms = until ? (int)(until - now < 60000 ? until - now : 60000) : -1;
    if (c->pidfd < 0 && !ended && (ms < 0 || ms > 20)) ms = 20; /* a kernel without pidfds */
    if (poll(p, 6, ms) <= 0) continue;
    uint64_t count;
    if (p[0].revents && read(c->wake, &count, sizeof count) < 0 && errno != EAGAIN) continue;
    for (int i = 0; i < 2; i++)
      if (p[4 + i].revents && !c->sent) command_take(c, i);
  }
}

/* ---------------------------------------------------------------------------------------------------------------- the end */

static remora_value *command_kept(command *c, int i) {
  if (c->output) return remora_null();
  char *data = c->kept[i];
  c->kept[i] = NULL;
  return remora_bytes_view(data ? data : "", c->size[i], free, data);
}

static void command_answer(command *c, pid_t pid) {
  if (!c->error && c->status == -1)
    c->error = files_fault("OSError", "the status of the command %s was taken by other code", c->name);
  if (c->error) {
    remora_event_fail(c->event, c->error);
    c->error = NULL;
    return;
  }
  bool exited = WIFEXITED(c->status);
  remora_value *map = remora_map();
  int failed = remora_set(map, "pid", remora_int(pid));
  failed |= remora_set(map, "status", exited ? remora_int(WEXITSTATUS(c->status)) : remora_null());
  failed |= remora_set(map, "signal", exited ? remora_null() : remora_int(WTERMSIG(c->status)));
  failed |= remora_set(map, "stdout", command_kept(c, 0));
  failed |= remora_set(map, "stderr", command_kept(c, 1));
  if (failed)
    remora_event_fail(c->event, remora_error_new(REMORA_E_NOMEM, NULL));
  else
    (void)remora_event_reply(c->event, map, NULL);
  (void)remora_value_unref(map);
}

/* Nobody finds it any more, and what it had of the system is given back: that comes before the answer. */
static void command_leave(command *c) {
  (void)pthread_mutex_lock(&command_lock);
  command **at = &commands;
  while (*at && *at != c) at = &(*at)->next;
  if (*at) *at = c->next;
  (void)pthread_mutex_unlock(&command_lock);
  c->sent = remora_future_unref(c->sent);
  c->asked = remora_future_unref(c->asked);
  c->queue = remora_queue_unref(c->queue);
  int *fds[] = {&c->streams[0], &c->streams[1], &c->in, &c->wake, &c->pidfd};
  for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) command_close(fds[i]);
}

static void command_free(command *c) {
  for (size_t i = 0; i < c->added; i++) free(c->env[i]);
  (void)remora_value_unref(c->piece);
  (void)remora_error_free(c->error);
  for (int i = 0; i < 2; i++) free(c->kept[i]);
  free(c->argv);
  free(c->env);
  (void)remora_event_free(c->event);
  free(c);
}

static void *command_run(void *arg) {
  command *c = arg;
  sigset_t all;
  sigfillset(&all); /* SIGPIPE too: a write tells by its errno */
  (void)pthread_sigmask(SIG_SETMASK, &all, NULL);
  remora_event_enter(c->event); /* what is called from here belongs to it */
  const remora_value *args = remora_event_args(c->event, NULL);
  pid_t pid = 0;
  if (args && command_options(c, args) && command_start(c)) {
    pid = c->pid;
    command_converse(c);
    if (c->error && (!c->ended || c->streams[0] >= 0 || c->streams[1] >= 0)) (void)kill(-pid, SIGKILL);
    (void)command_ended(c, true);
  }
  command_leave(c);
  if (args) command_answer(c, pid);
  command_free(c);
  return NULL;
}

/* --------------------------------------------------------------------------------------------------------- the connection */

static bool command_takes(remora_event *e) {
  if (strcmp(e->method, "run") != 0) return false;
  command *c = calloc(1, sizeof *c);
  pthread_t thread;
  pthread_attr_t attr;
  if (!c) return false;
  c->event = e;
  c->call = e->message->head.call;
  c->streams[0] = c->streams[1] = c->in = c->wake = c->pidfd = -1;
  (void)pthread_mutex_lock(&command_lock);
  c->next = commands;
  commands = c;
  (void)pthread_mutex_unlock(&command_lock);
  (void)pthread_attr_init(&attr);
  (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  int rc = pthread_create(&thread, &attr, command_run, c);
  (void)pthread_attr_destroy(&attr);
  if (rc == 0) return true;
  remora_event_fail(e, remora_error_new(REMORA_E_NOMEM, "no thread for the command"));
  command_leave(c);
  command_free(c);
  return true;
}

static void command_wake(command *c) {
  uint64_t one = 1;
  c->cancelled = true;
  ssize_t ignored = c->wake >= 0 ? write(c->wake, &one, sizeof one) : 0;
  (void)ignored;
}

static bool command_cancel(uint32_t call) {
  (void)pthread_mutex_lock(&command_lock);
  command *c = commands;
  while (c && c->call != call) c = c->next;
  if (c) command_wake(c);
  (void)pthread_mutex_unlock(&command_lock);
  return c != NULL;
}

static void command_over(bool last) {
  (void)pthread_mutex_lock(&command_lock);
  for (command *c = commands; c; c = c->next) {
    if (c->group > 0) (void)kill(-c->group, last ? SIGKILL : SIGTERM);
    command_wake(c);
  }
  (void)pthread_mutex_unlock(&command_lock);
  if (last) files_remove_all();
}

void command_end_all(void) {
  bool any = true;
  for (int i = 0; any && i < 50; i++) {
    (void)pthread_mutex_lock(&command_lock);
    any = commands != NULL;
    (void)pthread_mutex_unlock(&command_lock);
    if (any) (void)poll(NULL, 0, 10);
  }
  command_over(true);
}

const far_hooks command_hooks = {command_takes, command_cancel, command_over};
