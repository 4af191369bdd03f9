/* far.c: the far role. A node is a hub whose first connection was not made but adopted: calls, references, credit and waiting are those of any other. What
 * differs stands here: a root of its own, user code's output, signs of life, and an end that ends the process. */
#include "hub.h"

#include "log.h"
#include "trace.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FAR_QUICK_NS 20000u /* a call that takes no longer may hold back the answer before it */

/* --------------------------------------------------------------------------------------------------------------- output */

/* Sends what stands in `printed`, if credit allows. */
static bool far_say(remora_conn *c) {
  far_role *f = c->far;
  uint64_t cost = FRAME_HEADER + f->stuck;
  frame head = {.kind = FRAME_OUTPUT, .size = (uint32_t)f->stuck, .aux = (uint32_t)f->stuck_stream};
  if (!session_has_credit(&c->session, cost) || session_send_frame(&c->session, &head, f->printed, true) != 0)
    return false;
  session_spend(&c->session, cost);
  f->stuck = 0;
  return true;
}

static void far_print_cb(uv_poll_t *poll, int status, int events) {
  (void)status, (void)events;
  conn_flush(poll->data);
}

static void far_watch(remora_conn *c, bool on) {
  far_role *f = c->far;
  if (on == f->watching || c->state == CONN_CLOSED) return;
  f->watching = on;
  for (int i = 0; i < 2; i++) {
    if (on)
      (void)uv_poll_start(&f->polls[i], UV_READABLE, far_print_cb);
    else
      (void)uv_poll_stop(&f->polls[i]);
  }
  loop_changed(c->hub);
}

void far_collect(remora_conn *c) {
  far_role *f = c->far;
  struct pollfd p[2] = {{.fd = f->output[0], .events = POLLIN}, {.fd = f->output[1], .events = POLLIN}};
  f->corked = false;
  if (!f->stuck || far_say(c)) {
    /* What was written before this holds no more than the pipes do: who goes on writing does not keep us here. */
    for (int turns = 0; turns < 4 && !f->stuck && poll(p, 2, 0) > 0; turns++)
      for (int i = 0; i < 2 && !f->stuck; i++) {
        ssize_t got = p[i].revents & POLLIN ? read(f->output[i], f->printed, sizeof f->printed) : 0;
        if (got <= 0) continue;
        f->stuck = (size_t)got;
        f->stuck_stream = i + 1;
        (void)far_say(c);
      }
  }
  c->session.hold = f->stuck > 0;
  far_watch(c, !f->stuck);
}

/* --------------------------------------------------------------------------------------------------------------- the end */

static void *far_last_second(void *arg) {
  const far_role *f = arg;
  const struct timespec second = {.tv_sec = 1};
  (void)nanosleep(&second, NULL);
  f->hooks->over(true);
  _exit(f->status);
}

void far_over(remora_conn *c) {
  if (atomic_exchange(&c->far->over, true)) return;
  c->far->hooks->over(false);
  pthread_t killer;
  pthread_attr_t attr;
  (void)pthread_attr_init(&attr);
  (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  if (pthread_create(&killer, &attr, far_last_second, c->far) != 0) _exit(c->far->status);
  (void)pthread_attr_destroy(&attr);
}

void far_bye(remora_conn *c, const char *why) {
  if (c->state == CONN_CLOSED) return;
  frame bye = {.kind = FRAME_BYE, .size = (uint32_t)strlen(why)};
  (void)session_send_frame(&c->session, &bye, why, false);
  c->closing = true; /* what is queued is still written */
  conn_flush(c);
  conn_fail(c, REMORA_E_LOST, "%s", why);
}

void far_free(far_role *f) {
  if (!f) return;
  free(f->here);
  free(f);
}

/* --------------------------------------------------------------------------------------------------------- signs of life */

static void far_beat_cb(uv_timer_t *timer) {
  remora_conn *c = timer->data;
  if (c->state == CONN_CLOSED) {
    (void)uv_timer_stop(timer);
    return;
  }
  if (c->session.bytes_out == c->far->beaten) {
    frame beat = {.kind = FRAME_BEAT};
    (void)session_send_frame(&c->session, &beat, NULL, true);
    conn_flush(c);
  }
  c->far->beaten = c->session.bytes_out;
}

/* Ends the process when nothing has come for so long. */
static void far_watchdog_cb(uv_timer_t *timer) {
  remora_conn *c = timer->data;
  far_role *f = c->far;
  if (c->state == CONN_CLOSED) {
    (void)uv_timer_stop(timer);
    return;
  }
  uint64_t now = uv_now(&c->hub->loop);
  if (now - f->watched > f->silence / 2 + 1000) c->last_in = now; /* who was stopped has not listened */
  f->watched = now;
  (void)conn_pump(c);
  if (c->heard) c->last_in = now;
  c->heard = false;
  if (c->state == CONN_CLOSED || now - c->last_in < f->silence) return;
  char why[96];
  (void)snprintf(why, sizeof why, "ended by its watchdog: nothing heard for %llu ms", (unsigned long long)f->silence);
  frame bye = {.kind = FRAME_BYE, .size = (uint32_t)strlen(why)};
  (void)session_send_frame(&c->session, &bye, why, true);
  conn_flush(c);
  f->status = 1;
  conn_fail(c, REMORA_E_LOST, "%s", why);
}

/* ----------------------------------------------------------------------------------------------------------------- start */

static int far_greet(remora_conn *c, const far_process *who) {
  char host[256] = "?";
  (void)gethostname(host, sizeof host - 1);
  const char *user = getenv("USER") ? getenv("USER") : getenv("LOGNAME");
  const far_process own = {.node = "c", .language = "c", .host = host, .user = user, .pid = getpid()};
  if (!who) who = &own;
  user = who->user;
  char number[16];
  (void)snprintf(number, sizeof number, "%u", (unsigned)getuid());
  remora_value *hello = remora_map(), *name = remora_text(user ? user : number, strlen(user ? user : number));
  remora_set(hello, "protocol", remora_int(FRAME_PROTOCOL));
  remora_set(hello, "version", remora_str(REMORA_VERSION));
  remora_set(hello, "credit", remora_int(SESSION_CREDIT));
  remora_set(hello, "language", remora_str(who->language));
  remora_set(hello, "node", remora_str(who->node));
  remora_set(hello, "pid", remora_int(who->pid));
  remora_set(hello, "host", remora_str(who->host));
  remora_set(hello, "user", name ? name : remora_str(number));
  codec_out out = {0};
  int rc = codec_json.encode(hello, &out, NULL);
  frame head = {.kind = FRAME_HELLO, .size = (uint32_t)out.length};
  if (rc == 0) rc = session_send_frame(&c->session, &head, out.body, false);
  codec_out_clear(&out);
  (void)remora_value_unref(hello);
  const char *near = remora_as_text(remora_get(c->hello, "name"), NULL);
  if (asprintf(&c->far->here, "%s pid %d", near ? near : who->host, (int)who->pid) < 0) c->far->here = NULL;
  return rc == 0 && c->far->here ? 0 : -1;
}

static bool far_no_take(remora_event *e) { return (void)e, false; }
static bool far_no_cancel(uint32_t call) { return (void)call, false; }
static void far_no_over(bool last) { (void)last; }
static const far_hooks far_no_hooks = {far_no_take, far_no_cancel, far_no_over};

remora_conn *far_adopt(int from, int to, const int output[2], remora_value *hello, remora_object *root,
                       const far_hooks *hooks, const far_process *who) {
  hub *h = hub_get();
  remora_conn *c = h ? calloc(1, sizeof *c) : NULL;
  if (!c || !(c->far = calloc(1, sizeof *c->far)) || !(c->options = options_copy(NULL))) return NULL;
  trace_on = false; /* what it prints would be sent, and traced */
  int64_t most = remora_as_int(remora_get(hello, "max_message")), credit = remora_as_int(remora_get(hello, "credit"));
  int64_t heartbeat = remora_as_int(remora_get(hello, "heartbeat"));
  session *s = &c->session;
  atomic_init(&c->refs, 1);
  c->hub = h;
  c->queue = h->default_queue;
  c->carrier.name = strdup("the near side");
  c->modules = modules_new(c->options);
  c->far->root = root;
  c->far->hooks = hooks ? hooks : &far_no_hooks;
  c->far->output[0] = output[0];
  c->far->output[1] = output[1];
  session_init(s, most > 0 && most < UINT32_MAX ? (uint32_t)most : (uint32_t)c->options->max_message, c->carrier.name);
  s->started = true;
  if (credit > 0) s->credit = (uint64_t)credit;
  c->proc = (spawned){.pid = -1, .pidfd = -1, .from = from, .to = to, .errors = -1};
  c->proc_gone = true; /* there is none */
  c->hello = hello;
  c->state = CONN_OPEN;
  if (!c->carrier.name || !c->modules || far_greet(c, who) != 0) return NULL;
  hub_lock(h);
  h->is_node = true;
  h->default_queue->dispatcher = h->default_queue->drives = true;
  conn_watch_reading(c);
  for (int i = 0; i < 2; i++) {
    (void)uv_poll_init(&h->loop, &c->far->polls[i], output[i]);
    conn_watch_handle(c, (uv_handle_t *)&c->far->polls[i]);
  }
  log_far(c);
  (void)uv_timer_init(&h->loop, &c->far->beat);
  conn_watch_handle(c, (uv_handle_t *)&c->far->beat);
  uint64_t every = heartbeat > 1 ? (uint64_t)heartbeat / 2 : 1;
  if (heartbeat > 0) (void)uv_timer_start(&c->far->beat, far_beat_cb, every, every);
  int64_t silence = remora_as_int(remora_get(hello, "watchdog"));
  (void)uv_timer_init(&h->loop, &c->far->watchdog);
  conn_watch_handle(c, (uv_handle_t *)&c->far->watchdog);
  c->far->silence = silence > 0 ? (uint64_t)silence : 0;
  c->far->watched = uv_now(&h->loop);
  if (silence > 0)
    (void)uv_timer_start(&c->far->watchdog, far_watchdog_cb, (uint64_t)silence / 4 + 1, (uint64_t)silence / 4 + 1);
  conn_flush(c);
  loop_changed(h);
  hub_unlock(h);
  return c;
}

/* ----------------------------------------------------------------------------------------------------------------- serve */

/* Has this method of this object been quick the last time? Where not, what is finished goes out before it starts. */
static uint64_t *far_quick(far_role *f, const remora_event *e, uint64_t *key) {
  uint64_t hash = (e->message->head.object + 1) * 0x9e3779b97f4a7c15u;
  for (const char *p = e->method; *p; p++) hash = (hash ^ (uint8_t)*p) * 0x100000001b3u;
  *key = hash | 1;
  return &f->quick[hash >> 58];
}

/* The next event; says whether its answer may wait for that of the one behind it. */
static remora_event *far_take(remora_conn *c) {
  hub *h = c->hub;
  far_role *f = c->far;
  hub_lock(h);
  if (h->default_queue->reap) { /* what was given back before the next call goes before it */
    hub_unlock(h);
    (void)remora_queue_reap(h->default_queue);
    hub_lock(h);
  }
  remora_event *e = queue_find(h->default_queue, NULL, true), *next = NULL;
  if (e) {
    queue_started(e);
    f->taken = e->kind == REMORA_EVENT_CALL && e->conn == c ? e->message->head.call : 0;
    f->taken_cancelled = false;
    next = queue_find(h->default_queue, NULL, false);
  }
  uint64_t key;
  bool more = next && next->kind == REMORA_EVENT_CALL && next->conn == c && *far_quick(f, next, &key) == key;
  f->corked = more && c->session.small.end - c->session.small.begin < FRAME_SMALL;
  if (!f->corked && session_has_output(&c->session)) conn_flush(c);
  hub_unlock(h);
  return e;
}

/* Whether the hook answers the event. A CANCEL may come when the queue has the call no more, and the hook has it not yet. */
static bool far_give(remora_conn *c, remora_event *e) {
  far_role *f = c->far;
  uint32_t call = e->message->head.call;
  if (!f->hooks->take(e)) return false;
  hub_lock(c->hub);
  if (f->taken_cancelled) (void)f->hooks->cancel(call);
  hub_unlock(c->hub);
  return true;
}

/* False: the event is answered by somebody else. */
static bool far_run(remora_conn *c, remora_event *e) {
  uint64_t key = 0, *slot = NULL, start = 0;
  if (e->kind == REMORA_EVENT_CALL && e->conn == c && e->object == c->far->root && far_give(c, e)) return false;
  if (e->kind == REMORA_EVENT_CALL && e->conn == c) {
    slot = far_quick(c->far, e, &key);
    start = uv_hrtime();
  }
  remora_event_run(e);
  if (slot) *slot = uv_hrtime() - start < FAR_QUICK_NS ? key : 0;
  return true;
}

int far_serve(remora_conn *c) {
  hub *h = c->hub;
  remora_queue *q = h->default_queue;
  while (!atomic_load_explicit(&c->far->over, memory_order_relaxed)) {
    remora_event *e = far_take(c);
    if (e) {
      if (far_run(c, e)) (void)remora_event_free(e);
      continue;
    }
    waiter w = {.queue = q, .serves = true, .gone = c, .looks = c, .fd = -1};
    if (loop_spin(h, &w) == REMORA_WAIT_AGAIN) {
      w = (waiter){.queue = q, .serves = true, .gone = c};
      (void)loop_wait(h, &w, -1);
    }
  }
  (void)remora_queue_reap(q); /* files that user code left to us are written out */
  return c->far->status;
}
