/* main.c: remora-object-remote: starts the command that leads to a Perl process of Object::Remote, waits until that is there, and translates until one of the two ends. */
#include "hello.h"
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define PEER_MUCH (1u << 20)    /* bytes for Perl that wait: nothing more is taken from the near side */
#define PEER_NOISE (64u * 1024) /* what login shells may print before Perl is there */

peer perl;

static const char usage[] = "remora-object-remote " REMORA_VERSION
                            ": stands in front of a Perl process that runs Object::Remote; it is started by "
                            "libremora (node \"object-remote\") with that process's command line.\n";

/* ---------------------------------------------------------------------------------------------------------- the process */

static void child_run(char **argv, const int in[2], const int out[2], const int errors[2], pid_t parent) {
#ifdef __linux__
  (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);
#else
  (void)parent;
#endif
  (void)signal(SIGPIPE, SIG_DFL);
  if (dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0 || dup2(errors[1], 2) < 0) _exit(126);
  (void)execvp(argv[0], argv);
  int code = errno == ENOENT ? 127 : 126;
  (void)dprintf(2, "%s: %s\n", argv[0], strerror(errno));
  _exit(code);
}

static void child_start(char **argv) {
  int in[2], out[2], errors[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(errors, O_CLOEXEC) != 0) exit(1);
  pid_t parent = getpid();
  perl.pid = fork();
  if (perl.pid < 0) exit(1);
  if (perl.pid == 0) child_run(argv, in, out, errors, parent);
  close(in[0]),
      close(out[1]); /* errors[1] stays: that Perl closes its own is nothing that has to be looked at again and again */
  perl.to = in[1], perl.from = out[0], perl.errors = errors[0];
  (void)fcntl(perl.to, F_SETFL, O_NONBLOCK);
  (void)fcntl(perl.from, F_SETFL, O_NONBLOCK);
  (void)fcntl(perl.errors, F_SETFL, O_NONBLOCK);
}

/* Waits for its end for so long: 1 and *status; 0: it is still there. */
static int child_reap(int ms, int *status) {
  for (int waited = 0; perl.pid > 0; waited += 10) {
    pid_t got = waitpid(perl.pid, status, WNOHANG);
    if (got != 0) {
      if (got < 0) *status = -1;
      perl.pid = 0;
      return 1;
    }
    if (waited >= ms) return 0;
    (void)poll(NULL, 0, 10);
  }
  *status = -1;
  return 1;
}

static void child_end(void) {
  int status;
  if (perl.to >= 0) close(perl.to);
  perl.to = -1;
  if (child_reap(600, &status)) return;
  (void)kill(perl.pid, SIGTERM);
  if (child_reap(200, &status)) return;
  (void)kill(perl.pid, SIGKILL);
}

/* -------------------------------------------------------------------------------------------------------------- its lines */

static void peer_write(void) {
  while (perl.out.end > perl.out.begin && perl.to >= 0) {
    ssize_t n = write(perl.to, perl.out.data + perl.out.begin, perl.out.end - perl.out.begin);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) { /* the end of its output will tell */
      close(perl.to);
      perl.to = -1;
      break;
    }
    perl.out.begin += (size_t)n;
  }
  perl.out.begin = perl.out.end = 0;
}

static bool peer_make_room(void) {
  bytes *b = &perl.in;
  if (b->begin > 0) memmove(b->data, b->data + b->begin, b->end - b->begin);
  b->end -= b->begin;
  b->begin = 0;
  if (b->room - b->end >= FRAME_SMALL) return true;
  size_t room = b->room * 2 + 2 * FRAME_SMALL;
  uint8_t *bigger = realloc(b->data, room);
  if (bigger) b->data = bigger, b->room = room;
  return bigger != NULL;
}

static void peer_over(const char *why) {
  perl.ended = true;
  (void)snprintf(perl.why, sizeof perl.why, "%s", why);
}

/* The next line, ended by NUL; NULL: there is none yet. */
static char *peer_next_line(size_t *length) {
  uint8_t *start = perl.in.data + perl.in.begin, *newline;
  size_t have = perl.in.end - perl.in.begin;
  newline = have > perl.looked ? memchr(start + perl.looked, '\n', have - perl.looked) : NULL;
  perl.looked = newline ? 0 : have;
  if (!newline) return NULL;
  *newline = 0;
  *length = (size_t)(newline - start);
  perl.in.begin += *length + 1;
  return (char *)start;
}

static void peer_read(void (*take)(const char *line, size_t length)) {
  if (perl.ended) return;
  if (!peer_make_room()) {
    peer_over("out of memory for what Perl says");
    return;
  }
  ssize_t n = read(perl.from, perl.in.data + perl.in.end, FRAME_SMALL);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    peer_over("");
    return;
  }
  perl.in.end += (size_t)n;
  size_t length;
  for (char *line; (line = peer_next_line(&length)) != NULL;) take(line, length);
  if (perl.in.end - perl.in.begin > perl.longest)
    peer_over("Perl sent a line that is longer than the option max_message");
}

/* ------------------------------------------------------------------------------------------------------------- the start */

static bool is_here;
static size_t noise;

/* Before "Shere": what login shells print goes where errors go. */
static void start_line(const char *line, size_t length) {
  if (is_here) {
    perl_line(line, length);
  } else if (strcmp(line, "Shere") == 0) {
    is_here = true;
  } else {
    noise += length + 1;
    (void)dprintf(2, "%s\n", line);
  }
}

static void start_errors(void) {
  char text[4096];
  for (ssize_t n; (n = read(perl.errors, text, sizeof text)) > 0;) hello_write(2, text, (size_t)n);
}

/* It ended before it was there: this process ends the same way, and so the near side knows how to read it. */
static void start_failed(void) {
  int status;
  if (!child_reap(1000, &status)) child_end(), status = -1;
  start_errors();
  if (status != -1 && WIFEXITED(status)) exit(WEXITSTATUS(status));
  if (status != -1) (void)dprintf(2, "%s\n", strsignal(WTERMSIG(status)));
  exit(status != -1 ? 128 + WTERMSIG(status) : 1);
}

/* Serves the wire until that is true; NULL: until nothing is waited for. */
static void start_wait(int near_end, const bool *done) {
  while (!(done ? *done : perl.waiting.used == 0)) {
    peer_write();
    struct pollfd p[] = {{.fd = perl.from, .events = POLLIN},
                         {.fd = perl.errors, .events = POLLIN},
                         {.fd = near_end, .events = 0}, /* its end */
                         {.fd = perl.out.end > perl.out.begin ? perl.to : -1, .events = POLLOUT}};
    (void)poll(p, 4, -1);
    if (p[2].revents & (POLLHUP | POLLERR)) child_end(), exit(0);
    if (p[1].revents) start_errors();
    if (p[0].revents) peer_read(start_line);
    if (perl.ended || noise > PEER_NOISE) start_failed();
  }
}

/* Lets it ask us for modules, and sends what makes its wire exact. Without that it is as good as Object::Remote itself. */
static void start_call(want w, const char *class, const char *method, const char *rest) {
  pending *p = pending_new(w, NULL);
  if (!p || idmap_put(&perl.waiting, p->id = ++perl.last_id, p) != 0) exit(1);
  p->older = perl.latest;
  if (p->older) p->older->newer = p;
  perl.latest = p;
  if (wire_format("[\"call\",%" PRIu64 ",\"class_call_handler\",0,\"call\",\"%s\",\"%s\",%s]\n", p->id, class, method,
                  rest) != 0)
    exit(1);
}

static void start_help(int near_end) {
  char rest[100];
  perl.last_id = PEER_FIRST;
  (void)snprintf(rest, sizeof rest, "\"module_sender\",{\"__remote_object__\":%d}", PEER_SENDER);
  start_call(WANT_LOADER, "Object::Remote::ModuleLoader", "new", rest);
  (void)snprintf(rest, sizeof rest, "{\"__remote_object__\":%d}", PEER_NEAR);
  start_call(WANT_BEGIN, PEER_HELPER, "begin", rest);
  start_wait(near_end, NULL);
  perl.helped = remora_length(perl.is) == 4;
}

/* ----------------------------------------------------------------------------------------------------------------- serving */

static uv_poll_t reading, writing;
static remora_conn *near;

static void wake_read(remora_future *f, void *userdata);
static void wake_write(remora_future *f, void *userdata);

/* Something to be done on the main thread. */
static void wake_main(uv_poll_t *poll, void (*fn)(remora_future *, void *)) {
  remora_event *e = calloc(1, sizeof *e + 1);
  if (!e) return; /* it is tried again: the descriptor stays ready */
  (void)uv_poll_stop(poll);
  e->kind = REMORA_EVENT_READY;
  e->fn = fn;
  queue_push(near->hub->default_queue, e);
}

static void readable(uv_poll_t *poll, int status, int events) {
  (void)status, (void)events;
  wake_main(poll, wake_read);
}

static void writable(uv_poll_t *poll, int status, int events) {
  (void)status, (void)events;
  wake_main(poll, wake_write);
}

static void wake_again(uv_poll_t *poll, int events, uv_poll_cb cb) {
  hub_lock(near->hub);
  (void)uv_poll_start(poll, events, cb);
  loop_changed(near->hub);
  hub_unlock(near->hub);
}

static void wake_read(remora_future *f, void *userdata) {
  (void)f, (void)userdata;
  peer_read(perl_line);
  if (!perl.ended) wake_again(&reading, UV_READABLE, readable);
}

static void wake_write(remora_future *f, void *userdata) { (void)f, (void)userdata; }

static int64_t heartbeat, dead_after;

/* Stopped by a signal for longer than the near side bears: it is as good as gone. */
static void serve_look(void) {
  static int64_t looked, stopped_since;
  int64_t now = (int64_t)hub_now_ms();
  if (heartbeat <= 0 || now - looked < heartbeat) return;
  looked = now;
  uint64_t ticks;
  char state = carrier_look(perl.pid, &ticks);
  if (state != 'T' && state != 't')
    stopped_since = 0;
  else if (stopped_since == 0)
    stopped_since = now;
  else if (dead_after > 0 && now - stopped_since >= dead_after) {
    (void)kill(perl.pid, SIGKILL);
    peer_over("the Perl process has been stopped (SIGSTOP) for too long");
  }
}

/* Writes what there is. While much is left nothing is taken from the near side: only what Perl says is heard. */
static void serve_write(void) {
  static bool watched;
  wire_frees();
  peer_write();
  while (perl.out.end - perl.out.begin > PEER_MUCH && !perl.ended && !atomic_load(&near->far->over)) {
    struct pollfd p[] = {{.fd = perl.to, .events = POLLOUT}, {.fd = perl.from, .events = POLLIN}};
    (void)poll(p, 2, 100);
    if (p[1].revents) peer_read(perl_line);
    peer_write();
    serve_look();
  }
  bool more = perl.out.end > perl.out.begin && perl.to >= 0;
  if (more && !watched) {
    hub_lock(near->hub);
    (void)uv_poll_init(&near->hub->loop, &writing, perl.to);
    hub_unlock(near->hub);
    watched = true;
  }
  if (more) wake_again(&writing, UV_WRITABLE, writable);
}

static void serve_bye(void) {
  int status = -1;
  char what[sizeof perl.why + 100];
  if (*perl.why) {
    (void)snprintf(what, sizeof what, "%s", perl.why);
  } else if (!child_reap(500, &status) || status == -1) {
    (void)snprintf(what, sizeof what, "the Perl process closed its end of the connection");
  } else if (WIFSIGNALED(status)) {
    const char *name = sigabbrev_np(WTERMSIG(status));
    (void)snprintf(what, sizeof what, "the Perl process was killed by signal %d (SIG%s)", WTERMSIG(status),
                   name ? name : "?");
  } else {
    (void)snprintf(what, sizeof what, "the Perl process ended with exit status %d", WEXITSTATUS(status));
  }
  hub_lock(near->hub);
  far_bye(near, what);
  hub_unlock(near->hub);
}

static void serve(void) {
  hub *h = near->hub;
  hub_lock(h);
  (void)uv_poll_init(&h->loop, &reading, perl.from);
  hub_unlock(h);
  wake_again(&reading, UV_READABLE, readable);
  while (!atomic_load(&near->far->over) && !perl.ended) {
    serve_look();
    remora_event *e = remora_next_event(h->default_queue, 0);
    if (e) {
      near_event(e);
      serve_write();
      continue;
    }
    waiter w = {.queue = h->default_queue, .serves = true, .gone = near, .fd = -1};
    (void)loop_wait(h, &w, heartbeat > 0 ? heartbeat : -1);
  }
  if (perl.ended) serve_bye();
  hub_lock(h);
  for (int i = 0; i < 100 && near->draining; i++) {
    hub_unlock(h);
    waiter w = {0};
    (void)loop_wait(h, &w, 10);
    hub_lock(h);
  }
  hub_unlock(h);
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "--version") == 0) return puts("remora-object-remote " REMORA_VERSION) < 0;
  if (argc < 2 || isatty(0)) return fputs(usage, stderr), 2;
  for (int n = 0; n < 3; n++) /* a descriptor that is closed must not become another one's */
    if (fcntl(n, F_GETFD) < 0) (void)open("/dev/null", O_RDWR);
  int from = fcntl(0, F_DUPFD_CLOEXEC, 3), to = fcntl(1, F_DUPFD_CLOEXEC, 3), nothing[2], output[2];
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (from < 0 || to < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || pipe2(nothing, O_CLOEXEC) != 0) return 1;
  (void)signal(SIGPIPE, SIG_IGN);
  (void)signal(SIGINT, SIG_IGN); /* Ctrl-C belongs to the near side, here and in Perl */
  remora_value *hello = hello_read(from, to);
  heartbeat = remora_as_int(remora_get(hello, "heartbeat"));
  dead_after = remora_as_int(remora_get(hello, "dead_after"));
  int64_t most = remora_as_int(remora_get(hello, "max_message"));
  perl.longest = most > 0 ? (uint64_t)most : UINT32_MAX;
  child_start(argv + 1);
  start_wait(from, &is_here);
  start_help(from);
  static char store; /* an address: the root is one object */
  remora_object *root = remora_export(NULL, &near_root_class, &store, NULL);
  char language[100];
  const remora_value *is = perl.is;
  (void)snprintf(language, sizeof language, "perl%s%s", perl.helped ? " " : "",
                 perl.helped ? remora_as_text(remora_at(is, 1), NULL) : "");
  const far_process who = {.node = "object-remote",
                           .language = language,
                           .host = perl.helped ? remora_as_text(remora_at(is, 2), NULL) : "?",
                           .user = perl.helped ? remora_as_text(remora_at(is, 3), NULL) : "?",
                           .pid = perl.helped ? remora_as_int(remora_at(is, 0)) : perl.pid};
  output[0] = nothing[0]; /* Object::Remote leaves Perl no standard output */
  output[1] = perl.errors;
  (void)fcntl(from, F_SETFL, fcntl(from, F_GETFL) | O_NONBLOCK);
  (void)fcntl(to, F_SETFL, fcntl(to, F_GETFL) | O_NONBLOCK);
  hello_write(to, FRAME_MAGIC, FRAME_MAGIC_LENGTH);
  near = root ? far_adopt(from, to, output, hello, root, NULL, &who) : NULL;
  if (near) perl.near_root = remora_conn_root(near, NULL);
  if (!perl.near_root) return 1;
  serve();
  child_end();
  _exit(near->far->status);
}
