/* prompt.c: a question of ssh, of sudo or of a far side, from the moment it is heard to its answer: one after the other to whom the connection has. */
#include "prompt.h"

#include "native.h"
#include "spec.h"
#include "value.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PROMPT_LIMIT_MS (5 * 60 * 1000) /* how long a person may take */
#define PROMPT_TURNS 10                 /* how often the same may be asked: about a host's key ssh asks for ever */
#define PROMPT_MOST 16u                 /* questions that wait in one connection */
#define PROMPT_NAME 400u                /* bytes of a name that a far side gives */

typedef struct question {
  struct question *next;
  uint64_t id; /* of all questions of the hub */
  char kind;
  int fd;             /* the helper's; -1 */
  unsigned hop;       /* sudo behind a hop: its number from 1; 0 */
  remora_event *call; /* the far side's; NULL */
  char *text;         /* harmless */
  remora_value *told; /* what the callback gets */
  terminal *terminal;
  bool asked;
} question;

struct prompt {
  int listener, epoll;
  uv_poll_t poll; /* of the epoll descriptor: the listener and the helpers */
  uv_timer_t limit;
  bool polls, limits;
  bool gated; /* the command behind sudo does not run yet: nothing but answers may go */
  bytes kept; /* what goes when it does */
  question *first;
  unsigned waiting;
  struct {
    uint64_t key;
    int64_t n;
  } attempts[PROMPT_MOST];
};

/* *new*: text for people, of any lines: nothing in it moves a terminal. */
static char *prompt_harmless(const char *text, size_t length) {
  char *clean = NULL;
  size_t size;
  FILE *f = open_memstream(&clean, &size);
  if (!f) return NULL;
  for (const char *end = text + length; text < end;) {
    const char *newline = memchr(text, '\n', (size_t)(end - text)), *stop = newline ? newline : end;
    size_t n = (size_t)(stop - text);
    char *line = spec_harmless(text, n > 0 && text[n - 1] == '\r' ? n - 1 : n);
    fprintf(f, "%s%s", line ? line : "?", newline ? "\n" : "");
    free(line);
    text = newline ? newline + 1 : end;
  }
  if (fclose(f) == 0) return clean;
  free(clean);
  return NULL;
}

/* *new*: a name that a far side gives, as it can be shown. NULL: there is none. */
static char *prompt_name(const char *name) {
  char *clean = name ? spec_harmless(name, strlen(name)) : NULL;
  size_t n = clean ? strlen(clean) : 0;
  if (n <= PROMPT_NAME) return clean;
  for (n = PROMPT_NAME; n > 0 && ((unsigned char)clean[n] & 0xc0) == 0x80;) n--;
  clean[n] = 0;
  return clean;
}

/* -------------------------------------------------------------------------------------------------------------- before */

static int prompt_random(char room[33]) {
  uint8_t raw[16];
  if (getrandom(raw, sizeof raw, 0) != sizeof raw) return -1;
  for (size_t i = 0; i < sizeof raw; i++) (void)snprintf(room + 2 * i, 3, "%02x", raw[i]);
  return 0;
}

static bool prompt_calls(const remora_options *o) {
  return o->on_prompt && remora_value_kind(o->on_prompt) == REMORA_OBJECT;
}

int prompt_prepare(hub *h, const char *spec, remora_options *o, remora_error **err) {
  if (!o->hops && (!spec || strcmp(spec, "-") == 0)) return 0; /* a child, a command: neither asks */
  const char *helper = native_path();
  if (prompt_random(o->ask_socket) != 0 || prompt_random(o->ask_nonce) != 0)
    return error_set(err, REMORA_E_CONNECT, "the system gives no random numbers");
  if (helper && strcmp(helper, "/proc/self/exe") == 0) /* the C node: whoever runs it is another process */
    (void)snprintf(o->ask_helper, sizeof o->ask_helper, "/proc/%ld/exe", (long)getpid());
  else if (helper && *helper == '/')
    (void)snprintf(o->ask_helper, sizeof o->ask_helper, "%s", helper);
  o->ask_person = prompt_calls(o) || (!o->on_prompt && (h->is_node || terminal_there()));
  return 0;
}

static int prompt_listen(remora_conn *c, remora_error **err) {
  struct prompt *p = c->prompt;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int n = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "%s", c->options->ask_socket);
  socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
  struct epoll_event heard = {.events = EPOLLIN, .data.fd = -1};
  p->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  p->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (p->listener >= 0 && p->epoll >= 0 && bind(p->listener, (const struct sockaddr *)&address, length) == 0 &&
      listen(p->listener, 8) == 0 && epoll_ctl(p->epoll, EPOLL_CTL_ADD, p->listener, &heard) == 0)
    return 0;
  return error_stage(err, "spawn", "%s: no socket for questions of ssh and sudo: %s", c->carrier.name, strerror(errno));
}

static struct prompt *prompt_of(remora_conn *c) {
  if (c->prompt) return c->prompt;
  c->prompt = calloc(1, sizeof *c->prompt);
  if (c->prompt) c->prompt->listener = c->prompt->epoll = -1;
  return c->prompt;
}

int prompt_open(remora_conn *c, remora_error **err) {
  const carrier *plan = &c->carrier;
  bool local = plan->outermost == CARRIER_SSH || plan->outermost == CARRIER_SUDO;
  if (local && !plan->helper && prompt_calls(c->options))
    return error_set(err, REMORA_E_INVALID,
                     "option on_prompt: ssh and sudo ask by way of an executable that is not beside the library "
                     "(libexec/remora/remora-node); REMORA_NODE_C can name another");
  if (!plan->helper && !plan->gated) return 0;
  if (!prompt_of(c)) return error_set(err, REMORA_E_NOMEM, NULL);
  if (plan->gated) {
    c->prompt->gated = c->session.hold = true;
    c->prompt->kept = c->session.prefix;
    c->session.prefix = (bytes){0};
  }
  return plan->helper ? prompt_listen(c, err) : 0;
}

/* ------------------------------------------------------------------------------------------------------ asking somebody */

static void prompt_next(remora_conn *c);
static void prompt_unanswered(hub *h, uint64_t id, const char *why);

/* Something that must not happen under the lock is done by whoever drives. */
static void prompt_later(hub *h, void (*destroy)(void *), void *what) {
  remora_event *e = calloc(1, sizeof *e + 1);
  if (!e) return; /* it leaks, and nobody is told: there is no memory for that either */
  e->kind = REMORA_EVENT_READY;
  e->userdata = what;
  e->destroy = destroy;
  queue_push(h->inner, e);
  loop_changed(h);
}

static void prompt_drop_call(void *userdata) {
  remora_event *e = userdata;
  if (e->failure) remora_event_fail(e, e->failure);
  (void)remora_event_free(e);
}

static void prompt_drop_value(void *v) { (void)remora_value_unref(v); }

static void prompt_close(remora_conn *c, int *fd) {
  if (*fd < 0) return;
  (void)epoll_ctl(c->prompt->epoll, EPOLL_CTL_DEL, *fd, NULL);
  close(*fd);
  *fd = -1;
}

/* Under the lock: it is answered, or nobody wants to know any more. An event that has not started will not. */
static void prompt_end(remora_conn *c, question *q) {
  const remora_object *o = prompt_calls(c->options) ? ((const remora_value *)c->options->on_prompt)->u.object : NULL;
  for (remora_event *e = o ? o->queue->first : NULL; e; e = e->next)
    if (e->question == q->id) e->cancelled = true;
  for (question **at = &c->prompt->first; *at; at = &(*at)->next)
    if (*at == q) {
      *at = q->next;
      break;
    }
  c->prompt->waiting--;
  prompt_close(c, &q->fd);
  if (q->terminal) terminal_end(q->terminal);
  if (q->call) prompt_later(c->hub, prompt_drop_call, q->call);
  (void)remora_value_unref(q->told);
  free(q->text);
  free(q);
}

/* Ends the connection, or the far side's call, because of a question that nobody has answered. */
static void prompt_fail(remora_conn *c, question *q, const char *why) {
  remora_error *error = NULL;
  (void)error_stage(&error, "auth", "%s: %s; the question that stood open: \"%s\"", c->carrier.name, why, q->text);
  if (!q->call) {
    conn_finish(c, error);
    return;
  }
  q->call->failure = error; /* told when it is dropped */
  prompt_end(c, q);
  prompt_next(c);
}

static void prompt_limit_cb(uv_timer_t *timer) {
  remora_conn *c = timer->data;
  question *q = c->prompt->first;
  if (q && q->kind != PROMPT_INFO) {
    prompt_fail(c, q, "nobody answered within five minutes");
  } else if (q) {
    prompt_end(c, q);
    prompt_next(c);
  }
}

static void prompt_limit(remora_conn *c, bool on) {
  struct prompt *p = c->prompt;
  if (!p->limits) {
    if (!on) return;
    p->limits = true;
    (void)uv_timer_init(&c->hub->loop, &p->limit);
    conn_watch_handle(c, (uv_handle_t *)&p->limit);
  }
  uv_update_time(&c->hub->loop);
  if (on)
    (void)uv_timer_start(&p->limit, prompt_limit_cb, PROMPT_LIMIT_MS, 0);
  else
    (void)uv_timer_stop(&p->limit);
  liveness_ask(c, on);
  loop_changed(c->hub);
}

static bool prompt_call(remora_conn *c, question *q) {
  remora_object *o = c->options->on_prompt->u.object;
  remora_event *e = calloc(1, sizeof *e + 1);
  message *m = calloc(1, sizeof *m + 1);
  remora_value *args = remora_list();
  if (!e || !m || remora_append(args, remora_value_ref(q->told)) != 0) {
    (void)remora_value_unref(args);
    free(e);
    free(m);
    return false;
  }
  atomic_init(&m->refs, 1);
  m->head.kind = FRAME_CALL; /* of no chain, as the future of a connect: the wait for that one runs it */
  e->kind = REMORA_EVENT_CALL;
  e->question = q->id;
  e->message = m;
  e->args = args;
  e->conn = c;
  conn_ref_locked(c);
  e->object = remora_object_ref(o);
  queue_push(o->queue, e);
  loop_changed(c->hub);
  return true;
}

/* --- a C node has nobody: its near side may --- */
typedef struct relay {
  hub *hub;
  uint64_t id;
  remora_conn *near; /* holds a reference */
  remora_value *told;
} relay;

static void relay_free(void *userdata) {
  relay *r = userdata;
  (void)remora_conn_unref(r->near);
  (void)remora_value_unref(r->told);
  free(r);
}

static void relay_done(remora_future *f, void *userdata) {
  relay *r = userdata;
  remora_error *why = NULL;
  remora_value *v = remora_future_result(f, &why);
  size_t length = 0;
  const char *text = v ? remora_as_text(v, &length) : NULL;
  char *copy = text ? malloc(length + 1) : NULL;
  if (copy) memcpy(copy, text, length);
  if (f->reply) explicit_bzero(f->reply->payload, f->reply->head.size);
  if (text) explicit_bzero((char *)(uintptr_t)text, length); /* nobody else has this future's value */
  (void)remora_value_unref(v);
  if (copy)
    prompt_typed(r->hub, r->id, copy, length);
  else
    prompt_unanswered(r->hub, r->id, why ? remora_error_message(why) : "there was no answer");
  free(copy);
  (void)remora_error_free(why);
}

static void relay_start(void *userdata) {
  relay *r = userdata;
  remora_value *args = remora_list();
  remora_proxy *root = remora_conn_root(r->near, NULL);
  remora_future *f = NULL;
  if (root && remora_append(args, remora_value_ref(r->told)) == 0)
    f = remora_start_with(root, "prompt", args, -1, REMORA_NOWAIT, NULL);
  if (!f || remora_then(f, r->hub->inner, relay_done, r, relay_free, NULL) != 0) {
    prompt_unanswered(r->hub, r->id, "the near side cannot be asked");
    relay_free(r);
  }
  (void)remora_future_unref(f);
  (void)remora_proxy_unref(root);
  (void)remora_value_unref(args);
}

static bool prompt_relay(remora_conn *c, question *q) {
  remora_conn *near = c->hub->conns;
  while (near && !near->far) near = near->next;
  relay *r = near && near->state == CONN_OPEN ? malloc(sizeof *r) : NULL;
  if (!r) return false;
  *r = (relay){.hub = c->hub, .id = q->id, .near = near, .told = remora_value_ref(q->told)};
  conn_ref_locked(near);
  prompt_later(c->hub, relay_start, r);
  return true;
}

/* The first question is put to somebody, unless it has been. */
static void prompt_next(remora_conn *c) {
  question *q = c->prompt->first;
  if (!q) {
    prompt_limit(c, false);
    return;
  }
  if (q->asked) return;
  q->asked = true;
  if (remora_as_int(remora_get(q->told, "attempt")) > PROMPT_TURNS) {
    prompt_fail(c, q, "ten answers were wrong");
    return;
  }
  prompt_limit(c, true);
  bool reached = false;
  if (prompt_calls(c->options)) {
    reached = prompt_call(c, q);
  } else if (!c->options->on_prompt && c->hub->is_node) {
    reached = prompt_relay(c, q);
  } else if (!c->options->on_prompt && terminal_there() && (!q->call || c->options->onward)) {
    const char *from = remora_as_text(remora_get(q->told, "from"), NULL);
    q->terminal = terminal_ask(c->hub, q->id, from ? from : c->carrier.name, q->text, q->kind);
    reached = q->terminal != NULL;
  }
  if (!reached && q->kind != PROMPT_INFO) prompt_fail(c, q, "nobody can be asked (option on_prompt)");
}

/* How often this has been asked before in this connection, and once more. */
static int64_t prompt_attempt(struct prompt *p, const question *q) {
  uint64_t key = 0xcbf29ce484222325u + q->hop;
  for (const char *t = q->text; *t; t++) key = (key ^ (uint8_t)*t) * 0x100000001b3u;
  key |= 1;
  for (size_t i = 0; i < PROMPT_MOST; i++) {
    if (p->attempts[i].key && p->attempts[i].key != key) continue;
    p->attempts[i].key = key;
    return ++p->attempts[i].n;
  }
  return 1;
}

/* Takes fd and call over. `from`: the far side that asks, or NULL; `hop`: its name, or NULL; `attempt` 0: it is counted here. */
static void prompt_ask(remora_conn *c, question given, const char *text, size_t length, const char *hop,
                       const char *from, int64_t attempt) {
  static const char *const kinds[] = {[PROMPT_SECRET] = "secret", [PROMPT_CONFIRM] = "confirm", [PROMPT_INFO] = "info"};
  struct prompt *p = c->prompt;
  question *q = p->waiting < PROMPT_MOST ? malloc(sizeof *q) : NULL;
  remora_value *told = q ? remora_map() : NULL;
  if (length > PROMPT_TEXT) length = PROMPT_TEXT;
  if (q) *q = given;
  if (q) q->text = prompt_harmless(text, length);
  if (!told || !q->text) {
    if (q) free(q->text);
    free(q);
    prompt_close(c, &given.fd);
    if (given.call) prompt_later(c->hub, prompt_drop_call, given.call);
    return;
  }
  q->id = ++c->hub->questions;
  q->told = told;
  remora_set(told, "kind", remora_str(kinds[(unsigned char)q->kind]));
  remora_set(told, "text", remora_str(q->text));
  remora_set(told, "conn", remora_str(c->carrier.name));
  remora_set(told, "hop", hop ? remora_str(hop) : remora_null());
  remora_set(told, "attempt", remora_int(attempt > 0 ? attempt : prompt_attempt(p, q)));
  remora_set(told, "from", from ? remora_str(from) : remora_null());
  question **at = &p->first;
  while (*at) at = &(*at)->next;
  *at = q;
  p->waiting++;
  prompt_next(c);
}

/* -------------------------------------------------------------------------------------------------------------- answers */

/* Under the lock: the open question of that number, and whose it is. */
static question *prompt_find(hub *h, uint64_t id, remora_conn **whose) {
  for (remora_conn *c = h->conns; c; c = c->next)
    for (question *q = c->prompt ? c->prompt->first : NULL; q; q = q->next)
      if (q->id == id) return *whose = c, q;
  return NULL;
}

/* Under the lock: the answer (without newline) goes to who asked. Gives the far side's call, which is answered outside. */
static remora_event *prompt_deliver(remora_conn *c, question *q, const char *text, size_t length) {
  char line[PROMPT_ANSWER + 2] = "A";
  remora_event *call = q->call;
  q->call = NULL;
  memcpy(line + 1, text, length);
  line[length + 1] = '\n';
  if (q->fd >= 0)
    (void)send(q->fd, line, length + 2, MSG_NOSIGNAL | MSG_DONTWAIT);
  else if (q->hop)
    conn_write_answer(c, line + 1, length + 1);
  explicit_bzero(line, sizeof line);
  prompt_end(c, q);
  prompt_next(c);
  return call;
}

/* Nobody will answer any more. A question that only tells something stays until its asker goes. */
static void prompt_unanswered(hub *h, uint64_t id, const char *why) {
  remora_conn *c = NULL;
  hub_lock(h);
  question *q = prompt_find(h, id, &c);
  if (q && q->kind != PROMPT_INFO) prompt_fail(c, q, why);
  hub_unlock(h);
}

void prompt_typed(hub *h, uint64_t id, char *text, size_t length) {
  remora_conn *c = NULL;
  remora_event *call = NULL;
  hub_lock(h);
  question *q = prompt_find(h, id, &c);
  bool fits = text && length <= PROMPT_ANSWER && !memchr(text, '\n', length) && !memchr(text, 0, length);
  if (q && fits) call = prompt_deliver(c, q, text, length);
  hub_unlock(h);
  if (!fits) prompt_unanswered(h, id, text ? "an answer is one line of at most 1000 bytes" : "there was no answer");
  if (call) {
    remora_value *value = remora_text(text, length);
    if (!value) value = remora_bytes(text, length);
    (void)remora_event_reply(call, value, NULL);
    if (value) explicit_bzero((char *)(uintptr_t)value->u.bytes.data, length);
    (void)remora_value_unref(value);
    (void)remora_event_free(call);
  }
  if (text) explicit_bzero(text, length);
}

/* What a callback returned becomes text: true and false what ssh takes for them; NULL: that is no answer. */
static char *prompt_text(const remora_value *value, size_t *length) {
  remora_kind kind = remora_value_kind(value);
  const char *text = NULL;
  if (kind == REMORA_BOOL) {
    text = remora_as_bool(value) ? "yes" : "no";
    *length = strlen(text);
  } else if (kind == REMORA_TEXT || kind == REMORA_BYTES) {
    text = remora_as_text(value, length);
  }
  char *copy = text ? malloc(*length + 1) : NULL;
  if (copy) memcpy(copy, text, *length);
  /* The language's own string is out of our hands; the copy that was made of it is not. */
  bool ours =
      (kind == REMORA_TEXT || kind == REMORA_BYTES) && !value->u.bytes.destroy && atomic_load(&value->refs) == 1;
  if (ours) explicit_bzero((char *)(uintptr_t)value->u.bytes.data, value->u.bytes.length);
  return copy;
}

void prompt_answered(remora_event *e, const remora_value *value, const remora_error *error) {
  hub *h = e->conn->hub;
  char why[512] = "on_prompt returned neither text, true, false nor null";
  size_t length = 0;
  char *text = value ? prompt_text(value, &length) : NULL;
  if (error) (void)snprintf(why, sizeof why, "on_prompt failed: %s", remora_error_message(error));
  if (text || (value && remora_value_kind(value) == REMORA_NULL))
    prompt_typed(h, e->question, text, length);
  else
    prompt_unanswered(h, e->question, why);
  free(text);
}

/* -------------------------------------------------------------------------------------------------------- who asks: helpers */

/* ssh and sudo run it as the user that this process runs as. */
static void prompt_accept(remora_conn *c) {
  struct prompt *p = c->prompt;
  int fd;
  while ((fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
    struct ucred who;
    socklen_t size = sizeof who;
    struct epoll_event heard = {.events = EPOLLIN, .data.fd = fd};
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 || (who.uid != getuid() && who.uid != geteuid()) ||
        epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &heard) != 0)
      close(fd);
  }
  if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return;
  remora_error *error = NULL; /* it would ring for ever */
  (void)error_stage(&error, "auth", "%s: a question cannot be heard: %s", c->carrier.name, strerror(errno));
  conn_finish(c, error);
}

static void prompt_heard(remora_conn *c, int fd) {
  char packet[PROMPT_TEXT + 1];
  ssize_t got = recv(fd, packet, sizeof packet, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  question *q = c->prompt->first;
  while (q && q->fd != fd) q = q->next;
  if (q) { /* who asked is gone, or says more than it should */
    prompt_end(c, q);
    prompt_next(c);
    return;
  }
  bool known = got > 0 && (*packet == PROMPT_SECRET || *packet == PROMPT_CONFIRM || *packet == PROMPT_INFO);
  if (!known) {
    prompt_close(c, &fd);
    return;
  }
  const char *hop = c->carrier.hops && c->carrier.first_group == 1 ? c->carrier.hops[0] : NULL;
  prompt_ask(c, (question){.kind = *packet, .fd = fd}, packet + 1, (size_t)got - 1, hop, NULL, 0);
}

static void prompt_poll_cb(uv_poll_t *poll, int status, int events) {
  (void)status, (void)events;
  remora_conn *c = poll->data;
  struct epoll_event heard[8];
  int n = epoll_wait(c->prompt->epoll, heard, 8, 0);
  for (int i = 0; i < n && c->prompt->listener >= 0; i++) {
    if (heard[i].data.fd < 0)
      prompt_accept(c);
    else
      prompt_heard(c, heard[i].data.fd);
  }
}

bool prompt_gated(const remora_conn *c) { return c->prompt && c->prompt->gated; }

void prompt_watch(remora_conn *c) {
  struct prompt *p = c->prompt;
  if (!p || p->epoll < 0) return;
  p->polls = true;
  (void)uv_poll_init(&c->hub->loop, &p->poll, p->epoll);
  conn_watch_handle(c, (uv_handle_t *)&p->poll);
  (void)uv_poll_start(&p->poll, UV_READABLE, prompt_poll_cb);
}

/* ------------------------------------------------------------------------------------------------ who asks: sudo behind a hop */

static void prompt_cut(bytes *b, size_t at, size_t length) {
  memmove(b->data + at, b->data + at + length, b->end - at - length);
  b->end -= length;
}

static void prompt_ungate(remora_conn *c) {
  struct prompt *p = c->prompt;
  p->gated = false;
  c->session.prefix = p->kept;
  p->kept = (bytes){0};
  c->session.hold = c->carrier.asks;
  conn_flush(c);
  if (c->carrier.asks) conn_held(c); /* it may have spoken already */
}

static void prompt_ask_sudo(remora_conn *c, unsigned hop) {
  char text[512];
  int n = snprintf(text, sizeof text, "[sudo] password, hop %s of %s: ", c->carrier.hops[hop - 1], c->carrier.name);
  prompt_ask(c, (question){.kind = PROMPT_SECRET, .fd = -1, .hop = hop}, text,
             (size_t)n < sizeof text ? (size_t)n : sizeof text - 1, c->carrier.hops[hop - 1], NULL, 0);
}

/* "NONCE%2?" is sudo's prompt of the second hop, "NONCE!" what the command behind the last one says first. Neither stands so in an argv. */
void prompt_look(remora_conn *c) {
  const struct prompt *p = c->prompt;
  bytes *b = &c->errors;
  const char *nonce = c->options->ask_nonce;
  size_t length = strlen(nonce), from = b->begin;
  while (p && p->gated && c->state == CONN_CONNECTING) {
    uint8_t *at = from < b->end ? memmem(b->data + from, b->end - from, nonce, length) : NULL;
    if (!at) return;
    size_t begin = (size_t)(at - b->data), after = begin + length;
    unsigned hop = 0;
    size_t digits = after + 1;
    while (digits < b->end && b->data[digits] >= '0' && b->data[digits] <= '9' && digits - after < 6)
      hop = hop * 10 + (unsigned)(b->data[digits++] - '0');
    if (after == b->end || (b->data[after] == '%' && digits == b->end)) return; /* the rest is still to come */
    if (b->data[after] == '!') {
      prompt_cut(b, begin, length + 1);
      prompt_ungate(c);
    } else if (b->data[after] == '%' && b->data[digits] == '?' && hop >= 1 && hop <= c->carrier.nhops) {
      prompt_cut(b, begin, digits + 1 - begin);
      prompt_ask_sudo(c, hop);
    } else {
      from = after; /* somebody prints our argv */
    }
  }
}

/* ----------------------------------------------------------------------------------------------------- who asks: the far side */

void prompt_far(remora_event *e) {
  hub *h = e->conn->hub;
  remora_conn *c = e->conn;
  const remora_value *args = remora_event_args(e, NULL), *asked = remora_at(args, 0);
  size_t length = 0;
  const char *text = remora_as_text(remora_get(asked, "text"), &length);
  const char *kind = remora_as_text(remora_get(asked, "kind"), NULL),
             *hop = remora_as_text(remora_get(asked, "hop"), NULL);
  /* A Python node says which connection it is about; a C node is the near side of it, so that is its name for it. */
  const char *from = remora_as_text(remora_get(asked, "from"), NULL);
  if (!from) from = remora_as_text(remora_get(asked, "conn"), NULL);
  if (!args || !text) {
    if (args) remora_event_fail(e, remora_error_new(REMORA_E_INVALID, "prompt takes a map with kind and text"));
    (void)remora_event_free(e);
    return;
  }
  char *behind = prompt_name(from), *at = prompt_name(hop), *where = NULL;
  if (asprintf(&where, "%s%s%s", c->carrier.name, behind ? " > " : "", behind ? behind : "") < 0) where = NULL;
  e->message->secret = true; /* of its answer nothing is traced */
  question q = {.fd = -1, .call = e, .kind = PROMPT_SECRET};
  if (kind && strcmp(kind, "confirm") == 0) q.kind = PROMPT_CONFIRM;
  if (kind && strcmp(kind, "info") == 0) q.kind = PROMPT_INFO;
  hub_lock(h);
  if (c->state != CONN_OPEN || !where || !prompt_of(c))
    prompt_later(h, prompt_drop_call, e);
  else
    prompt_ask(c, q, text, length, at, where, remora_as_int(remora_get(asked, "attempt")));
  hub_unlock(h);
  free(behind);
  free(at);
  free(where);
}

/* ----------------------------------------------------------------------------------------------------------------- the end */

void prompt_closed(remora_conn *c) {
  struct prompt *p = c->prompt;
  if (!p) return;
  for (question *q = p->first, *next; q; q = next) {
    next = q->next;
    if (!q->call) prompt_end(c, q);
  }
  if (p->limits && !p->first) (void)uv_timer_stop(&p->limit);
  if (p->polls) conn_unwatch((uv_handle_t *)&p->poll);
  p->polls = false;
  prompt_forked(c);
}

void prompt_over(remora_conn *c) {
  struct prompt *p = c->prompt;
  if (!p) return;
  while (p->first) prompt_end(c, p->first);
  prompt_closed(c);
  if (p->limits) conn_unwatch((uv_handle_t *)&p->limit);
  p->limits = false;
}

void prompt_forked(remora_conn *c) {
  struct prompt *p = c->prompt;
  if (!p) return;
  if (p->listener >= 0) close(p->listener);
  if (p->epoll >= 0) close(p->epoll);
  for (question *q = p->first; q; q = q->next) {
    if (q->fd >= 0) close(q->fd);
    q->fd = -1;
  }
  p->listener = p->epoll = -1;
}

void prompt_free(remora_conn *c) {
  if (c->options->on_prompt) prompt_later(c->hub, prompt_drop_value, c->options->on_prompt);
  c->options->on_prompt = NULL;
  if (!c->prompt) return;
  prompt_forked(c);
  free(c->prompt->kept.data);
  free(c->prompt);
  c->prompt = NULL;
}
