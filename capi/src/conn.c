/* conn.c: a connection from connect to the end: its descriptors, what is written and read, and who keeps it alive. */
#include "hub.h"
#include "log.h"

#include "keeper.h"
#include "language.h"
#include "native.h"
#include "prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------------------ lifetime */

/* What is freed outside the lock: it may be long, and bytes of the caller's end with a function of the caller's. */
static void conn_discard(remora_conn *c, outgoing **list) {
  for (outgoing *o; (o = *list) != NULL;) {
    *list = o->next;
    o->next = c->hub->garbage;
    c->hub->garbage = o;
  }
}

void conn_maybe_free(remora_conn *c) {
  if (atomic_load(&c->refs) > 0 || c->state != CONN_CLOSED || c->handles > 0 || !c->proc_gone) return;
  *c->link = c->next;
  if (c->next) c->next->link = c->link;
  conn_discard(c, &c->session.sent);
  conn_discard(c, &c->session.large);
  session_clear(&c->session);
  free(c->session.pending);
  free(c->session.pending_next);
  free(c->session.pending_generation);
  free(c->session.exports);
  idmap_clear(&c->session.lent_ids);
  idmap_clear(&c->session.imports);
  for (size_t i = 0; i < c->session.types.room; i++) {
    conn_type *t = c->session.types.rows[i].key ? c->session.types.rows[i].value : NULL;
    if (!t) continue;
    free(t->base.name);
    free(t->base.traits);
    free(t);
  }
  idmap_clear(&c->session.types);
  idmap_clear(&c->session.classes);
  modules_free(c->modules);
  prompt_free(c);
  carrier_clear(&c->carrier);
  if (c->options->queue) queue_unref_locked(c->options->queue);
  c->options->queue = NULL;
  remora_options_free(c->options);
  (void)remora_error_free(c->why);
  (void)remora_value_unref(c->hello);
  if (c->closed_watch) future_unref_locked(c->closed_watch);
  free(c->errors.data);
  free(c->bye);
  free(c->spec);
  far_free(c->far);
  free(c);
}

void conn_ref_locked(remora_conn *c) { atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed); }

void conn_unref_locked(remora_conn *c) {
  if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1) return;
  if (c->state != CONN_CLOSED)
    conn_close_locked(c);
  else
    conn_maybe_free(c);
}

remora_conn *remora_conn_ref(remora_conn *c) {
  if (c) atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
  return c;
}

remora_conn *remora_conn_unref(remora_conn *c) {
  if (!c || c->hub != hub_current) return NULL;
  int refs = atomic_load_explicit(&c->refs, memory_order_relaxed);
  while (refs > 1)
    if (atomic_compare_exchange_weak(&c->refs, &refs, refs - 1)) return NULL;
  hub *h = c->hub; /* the last one may end the connection: that needs the lock */
  hub_lock(h);
  conn_unref_locked(c);
  hub_unlock(h);
  return NULL;
}

static void handle_closed(uv_handle_t *handle) {
  remora_conn *c = handle->data;
  c->handles--;
  conn_maybe_free(c);
}

void conn_watch_handle(remora_conn *c, uv_handle_t *handle) {
  handle->data = c;
  c->handles++;
}

void conn_unwatch(uv_handle_t *handle) {
  if (handle->data && !uv_is_closing(handle)) uv_close(handle, handle_closed);
}

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

/* ------------------------------------------------------------------------------------------------------------- writing */

ssize_t write_quietly(int fd, const struct iovec *iov, int n) {
  sigset_t pipe_set, old, pending;
  sigemptyset(&pipe_set);
  sigaddset(&pipe_set, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
  ssize_t written = n == 1 ? write(fd, iov->iov_base, iov->iov_len) : writev(fd, iov, n);
  int e = errno;
  if (written < 0 && e == EPIPE && !sigismember(loop_host_mask ? loop_host_mask : &old, SIGPIPE)) {
    sigpending(&pending);
    const struct timespec none = {0};
    if (sigismember(&pending, SIGPIPE)) (void)sigtimedwait(&pipe_set, NULL, &none);
  }
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  errno = e;
  return written;
}

void conn_write_answer(remora_conn *c, const char *data, size_t length) {
  struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = length};
  if (c->proc.to >= 0)
    (void)write_quietly(c->proc.to, &iov, 1); /* less than a pipe holds; who does not read tells why it ended */
}

static void write_cb(uv_poll_t *poll, int status, int events) {
  (void)status, (void)events;
  conn_flush(poll->data);
}

static void conn_write_watch(remora_conn *c, bool on) {
  if (on == c->write_on) return;
  c->write_on = on;
  if (on)
    (void)uv_poll_start(&c->write_poll, UV_WRITABLE, write_cb);
  else
    (void)uv_poll_stop(&c->write_poll);
  loop_changed(c->hub);
}

void conn_flush(remora_conn *c) {
  if (c->proc.to < 0) return;
  if (c->far) far_collect(c);
  if (!c->out_pipe_grown && c->session.large) { /* 64 KiB at a time cost a wake-up each; failure does not matter */
    c->out_pipe_grown = true;
    (void)fcntl(c->proc.to, F_SETPIPE_SZ, 1 << 20);
  }
  for (int turns = 0; turns < 1 && session_has_output(&c->session); turns++) {
    struct iovec iov[8];
    int n = session_output(&c->session, iov, 8);
    size_t planned = 0;
    for (int i = 0; i < n; i++) planned += iov[i].iov_len;
    ssize_t written = write_quietly(c->proc.to, iov, n);
    int e = errno;
    session_sent(&c->session, written > 0 ? (size_t)written : 0);
    conn_discard(c, &c->session.sent);
    if (written < 0 && e != EAGAIN && e != EINTR) {
      /* The reading side tells why it ended; what cannot be written is dropped with the rest. */
      conn_write_watch(c, false);
      conn_unwatch((uv_handle_t *)&c->write_poll);
      close_fd(&c->proc.to);
      if (c->draining) conn_shut(c);
      return;
    }
    if (written > (ssize_t)FRAME_SMALL) c->hub->bulk = true;
    if (written < (ssize_t)planned) {
      conn_write_watch(c, true);
      return;
    }
  }
  conn_write_watch(c, session_has_output(&c->session));
  if (c->draining && !session_has_output(&c->session)) conn_shut(c);
}

/* ------------------------------------------------------------------------------------------------------------- reading */

/* A far side that may lack the node: it is there and begins, or asks for the program. */
void conn_held(remora_conn *c) {
  char asked[256];
  remora_error *why = NULL;
  session *s = &c->session;
  if (prompt_gated(c)) return;
  if (s->started) {
    s->hold = false;
    conn_flush(c);
  } else if (!c->program_sent && session_line(s, NATIVE_QUESTION, sizeof NATIVE_QUESTION - 1, asked, sizeof asked)) {
    c->program_sent = true;
    free(s->prefix.data);
    s->prefix = (bytes){0};
    if (native_answer(c->carrier.name, asked, &s->prefix.data, &s->prefix.end, &why) != 0) {
      conn_finish(c, why);
      return;
    }
    s->prefix.room = s->prefix.end;
    conn_flush(c);
  }
}

bool conn_pump(remora_conn *c) {
  hub *h = c->hub;
  bool any = false;
  if (c->proc.from < 0) return false;
  for (size_t budget = HUB_READ; budget > 0;) {
    struct iovec iov[2];
    int n = 0;
    uint8_t *direct;
    size_t length = 0;
    if (session_direct(&c->session, &direct, &length)) {
      if (!c->in_pipe_grown) {
        c->in_pipe_grown = true;
        (void)fcntl(c->proc.from, F_SETPIPE_SZ, 1 << 20);
      }
      if (length > budget) length = budget;
      iov[n++] = (struct iovec){.iov_base = direct, .iov_len = length};
    }
    iov[n++] = (struct iovec){.iov_base = h->read_buffer, .iov_len = HUB_READ};
    ssize_t got = n == 1 ? read(c->proc.from, h->read_buffer, HUB_READ) : readv(c->proc.from, iov, n);
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) liveness_eof(c);
      return any;
    }
    if (got == 0) {
      liveness_eof(c);
      return true;
    }
    any = true;
    if (got > (ssize_t)FRAME_SMALL) h->bulk = true;
    c->heard = true; /* not when: the loop's clock may be old, if this process was stopped */
    c->far_stopped = false;
    size_t rest = (size_t)got;
    if (n == 2) {
      size_t first = rest < length ? rest : length;
      session_filled(&c->session, first);
      rest -= first;
    }
    session_feed(&c->session, h->read_buffer, rest);
    for (message *m; c->state != CONN_CLOSED && (m = session_next(&c->session)) != NULL;) conn_receive(c, m);
    if (c->state == CONN_CLOSED) return true;
    if (c->session.hold && !c->far) conn_held(c);
    if (c->state == CONN_CLOSED) return true;
    if (c->session.fault) {
      if (c->far) c->far->status = 1;
      if (c->state == CONN_CONNECTING) {
        liveness_no_greeting(c, "hello",
                             c->session.started ? c->session.fault : "writes rubbish in place of a greeting");
      } else {
        frame bye = {.kind = FRAME_BYE, .size = (uint32_t)strlen(c->session.fault)};
        (void)session_send_frame(&c->session, &bye, c->session.fault, true);
        conn_flush(c);
        conn_fail(c, REMORA_E_PROTOCOL, "%s: the far side does not follow the protocol: %s", c->carrier.name,
                  c->session.fault);
      }
      return true;
    }
    if (n == 1 && (size_t)got < HUB_READ) break; /* drained: no second read just to hear so */
    budget = budget > (size_t)got ? budget - (size_t)got : 0;
  }
  if (session_has_output(&c->session) || (c->far && c->far->stuck)) conn_flush(c);
  return any;
}

static void read_cb(uv_poll_t *poll, int status, int events) {
  (void)status, (void)events;
  remora_conn *c = poll->data;
  if (c->draining) { /* nobody wants it any more, but the far side must not block in a write */
    ssize_t got = read(c->proc.from, c->hub->read_buffer, HUB_READ);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) conn_shut(c);
    return;
  }
  (void)conn_pump(c);
}

/* Under the lock, once: from here on the loop reads and writes. */
void conn_watch_reading(remora_conn *c) {
  hub *h = c->hub;
  uv_update_time(&h->loop);
  c->next = h->conns;
  c->link = &h->conns;
  if (c->next) c->next->link = &c->next;
  h->conns = c;
  if (!c->far) c->number = ++h->log->last_conn;
  c->last_in = uv_now(&h->loop);
  (void)uv_poll_init(&h->loop, &c->read_poll, c->proc.from);
  conn_watch_handle(c, (uv_handle_t *)&c->read_poll);
  (void)uv_poll_start(&c->read_poll, UV_READABLE, read_cb);
  (void)uv_poll_init(&h->loop, &c->write_poll, c->proc.to);
  conn_watch_handle(c, (uv_handle_t *)&c->write_poll);
}

remora_event *conn_output_event(remora_conn *c, int stream, const void *data, size_t length) {
  frame head = {.kind = FRAME_OUTPUT, .size = (uint32_t)length, .aux = (uint32_t)stream};
  remora_event *e = calloc(1, sizeof *e + 1);
  message *m = malloc(sizeof *m + length + 1);
  if (!e || !m) return free(e), free(m), NULL;
  *m = (message){.head = head};
  atomic_init(&m->refs, 1);
  memcpy(m->payload, data, length);
  m->payload[length] = 0;
  e->kind = REMORA_EVENT_OUTPUT;
  e->message = m;
  e->conn = c;
  conn_ref_locked(c);
  return e;
}

/* -------------------------------------------------------------------------------------------------------------- the end */

/* Gives the descriptors back; the far side sees the end of file and ends. */
void conn_shut(remora_conn *c) {
  c->draining = false;
  conn_unwatch((uv_handle_t *)&c->read_poll);
  conn_unwatch((uv_handle_t *)&c->write_poll);
  c->write_on = false;
  close_fd(&c->proc.to);
  close_fd(&c->proc.from);
  liveness_end(c);
  loop_changed(c->hub);
}

static void conn_tell_end(remora_conn *c, const remora_error *why) {
  if (c->far) return;
  if (c->closing)
    LOG_EVENT(c->hub, REMORA_LOG_INFO, "remora.connection", "%s: closed", c->carrier.name);
  else
    LOG_EVENT(c->hub, REMORA_LOG_WARN, "remora.connection", "%s", remora_error_message(why));
}

void conn_finish(remora_conn *c, remora_error *why) {
  if (c->state == CONN_CLOSED) {
    (void)remora_error_free(why);
    return;
  }
  conn_ref_locked(c); /* what follows drops references */
  c->state = CONN_CLOSED;
  log_tell_dropped(c);
  conn_tell_end(c, why);
  c->why = why;
  if (c->far) far_over(c);
  for (uint32_t i = 1; i < c->session.pending_room; i++) {
    remora_future *f = session_pending_at(&c->session, i);
    if (!f) continue;
    (void)session_pending_take(&c->session, f->call);
    f->call = 0;
    future_fail(f, error_copy(why));
  }
  for (uint32_t i = 1; i < c->session.exports_room; i++) {
    remora_object *o = c->session.exports[i].object;
    if (!o) continue;
    c->session.exports[i].object = NULL;
    object_unref_locked(o);
  }
  c->session.nexports = 0;
  idmap_clear(&c->session.lent_ids);
  if (c->connecting) {
    remora_future *f = c->connecting;
    c->connecting = NULL;
    future_fail(f, error_copy(why));
    future_unref_locked(f);
  }
  if (c->closed_watch) {
    remora_future *f = c->closed_watch;
    if (c->closing)
      future_done(f, NULL);
    else
      future_fail(f, error_copy(why));
  }
  loop_wake_credit(c->hub, c);
  if (c->closing && c->proc.to >= 0 && session_has_output(&c->session)) {
    c->draining = true;
    conn_flush(c);
  } else {
    conn_shut(c);
  }
  if (c->draining) liveness_end(c);
  prompt_over(c); /* behind the end of what asked: no answer must not count as one */
  conn_unref_locked(c);
}

void conn_fail(remora_conn *c, int code, const char *format, ...) {
  char text[1024];
  va_list ap;
  va_start(ap, format);
  (void)vsnprintf(text, sizeof text, format, ap);
  va_end(ap);
  conn_finish(c, remora_error_new(code, text));
}

void conn_close_locked(remora_conn *c) {
  if (c->state == CONN_CLOSED) return;
  c->closing = true;
  frame bye = {.kind = FRAME_BYE};
  (void)session_send_frame(&c->session, &bye, "", false);
  conn_flush(c);
  if (c->state == CONN_CONNECTING)
    conn_fail(c, REMORA_E_CANCELLED, "%s: closed while connecting", c->carrier.name);
  else
    conn_fail(c, REMORA_E_LOST, "%s: the connection was closed from this side", c->carrier.name);
}

void remora_conn_close(remora_conn *c) {
  hub *h = c->hub;
  if (h != hub_current) return;
  hub_lock(h);
  conn_close_locked(c);
  hub_unlock(h);
}

int remora_conn_wait_closed(remora_conn *c, int64_t ms) {
  if (c->hub != hub_current) return -1;
  waiter w = {.gone = c};
  return loop_wait(c->hub, &w, ms) == REMORA_WAIT_READY ? 0 : -1;
}

/* ------------------------------------------------------------------------------------------------------------- connect */

static int conn_hello(remora_conn *c) {
  remora_options *o = c->options;
  remora_value *hello = remora_map();
  remora_set(hello, "protocol", remora_int(FRAME_PROTOCOL));
  remora_set(hello, "version", remora_str(REMORA_VERSION));
  remora_set(hello, "credit", remora_int(SESSION_CREDIT));
  remora_set(hello, "language", remora_str(o->language ? o->language : "c"));
  remora_set(hello, "heartbeat", remora_int(options_beat(o)));
  remora_set(hello, "dead_after", remora_int(o->dead_after));
  remora_set(hello, "name", remora_str(c->carrier.name));
  if (o->watchdog) remora_set(hello, "watchdog", remora_int(o->watchdog));
  remora_set(hello, "warden", remora_bool(!c->carrier.local_child));
  remora_set(hello, "max_message", remora_int(o->max_message));
  remora_set(hello, "codec", remora_str("json"));
  remora_value *log = log_ask(c);
  if (log) c->logs = remora_set(hello, "log", log) == 0;
  codec_out out = {0};
  int rc = codec_json.encode(hello, &out, NULL);
  (void)remora_value_unref(hello);
  frame head = {.kind = FRAME_HELLO, .size = (uint32_t)out.length};
  if (rc == 0) rc = session_send_frame(&c->session, &head, out.body, false);
  codec_out_clear(&out);
  return rc;
}

remora_future *remora_connect_start(const char *spec, const remora_options *opts, remora_error **err) {
  hub *h = hub_get();
  remora_conn *c = h ? calloc(1, sizeof *c) : NULL;
  if (!c || !(c->options = options_copy(opts))) return free(c), error_set(err, REMORA_E_NOMEM, NULL), NULL;
  remora_options *o = c->options;
  char *native = NULL;
  hub_lock(h);
  bool stopping = h->stopping;
  hub_unlock(h);
  if (stopping || (o->queue && o->queue->hub != h)) {
    (void)error_set(err, stopping ? REMORA_E_LOST : REMORA_E_FORKED, stopping ? "remora was shut down" : NULL);
    goto fail;
  }
  const struct remora_embedded_node *node = language_node(o->node);
  struct remora_embedded_node fetching;
  if (node && language_find(node->language)->executable) {
    if (!(native = native_stub(node->stub, err))) goto fail;
    fetching = *node;
    fetching.stub = native;
    node = &fetching;
  }
  if (spec && !(c->spec = strdup(spec))) {
    (void)error_set(err, REMORA_E_NOMEM, NULL);
    goto fail;
  }
  if (prompt_prepare(h, spec, o, err) != 0 || carrier_plan(&c->carrier, spec, o, node, err) != 0) goto fail;
  free(native);
  native = NULL;
  session_init(&c->session, (uint32_t)o->max_message, c->carrier.name);
  c->hub = h;
  c->queue = o->queue ? o->queue : h->default_queue;
  c->modules = modules_new(o);
  c->session.hold = c->carrier.asks;
  c->session.prefix.data = malloc(node->size + 1);
  if (!c->modules || !c->session.prefix.data || conn_hello(c) != 0) {
    (void)error_set(err, REMORA_E_NOMEM, NULL);
    goto fail_planned;
  }
  if (node->size) memcpy(c->session.prefix.data, node->program, node->size);
  c->session.prefix.end = c->session.prefix.room = node->size;
  if (prompt_open(c, err) != 0) goto fail_planned;
  if (carrier_spawn(&c->carrier, &c->proc, err) != 0) goto fail_planned;
  remora_future *f = future_new(h, c);
  if (!f) {
    (void)error_set(err, REMORA_E_NOMEM, NULL);
    kill(c->proc.pid, SIGKILL);
    goto fail_planned;
  }
  hub_lock(h);
  conn_watch_reading(c);
  c->connecting = remora_future_ref(f);
  LOG_EVENT(h, REMORA_LOG_DEBUG, "remora.connection", "%s: connecting by %s", c->carrier.name, c->carrier.argv[0]);
  (void)liveness_start(c);
  prompt_watch(c);
  conn_flush(c);
  loop_changed(h);
  hub_unlock(h);
  keeper_started(&c->proc);
  return f;
fail_planned:
  hub_lock(h);
  prompt_free(c);
  hub_unlock(h);
  session_clear(&c->session);
  modules_free(c->modules);
  carrier_clear(&c->carrier);
fail:
  free(native);
  (void)remora_options_free(c->options);
  free(c->spec);
  free(c);
  return NULL;
}

remora_conn *remora_connect(const char *spec, const remora_options *opts, remora_error **err) {
  remora_future *f = remora_connect_start(spec, opts, err);
  if (!f) return NULL;
  remora_value *v = remora_await(f, -1, err);
  remora_conn *c = v ? remora_future_conn(f) : NULL;
  (void)remora_value_unref(v);
  (void)remora_future_unref(f);
  return c;
}

remora_conn *remora_future_conn(remora_future *f) { return remora_conn_ref(f->conn); }

/* --------------------------------------------------------------------------------------------------------- what it says */

int remora_conn_is_valid(const remora_conn *c) {
  if (c->hub != hub_current) return 0;
  loop_glance(c->hub);
  hub_lock(c->hub);
  int valid = c->state == CONN_OPEN;
  hub_unlock(c->hub);
  return valid;
}

int64_t remora_conn_pid(const remora_conn *c) { return remora_as_int(remora_get(remora_conn_hello(c), "pid")); }

const char *remora_conn_name(const remora_conn *c) { return c->carrier.name; }

const remora_value *remora_conn_hello(const remora_conn *c) {
  if (c->hub != hub_current) return NULL;
  hub_lock(c->hub);
  const remora_value *hello = c->hello; /* set once, lives as long as the connection */
  hub_unlock(c->hub);
  return hello;
}

remora_future *remora_conn_on_close(remora_conn *c, remora_error **err) {
  hub *h = c->hub;
  if (h != hub_current) return error_set(err, REMORA_E_FORKED, NULL), NULL;
  hub_lock(h);
  if (!c->closed_watch) {
    c->closed_watch = future_new(h, NULL); /* holds no reference of the connection: watching does not keep it open */
    if (c->closed_watch && c->state == CONN_CLOSED) {
      if (c->closing)
        future_done(c->closed_watch, NULL);
      else
        future_fail(c->closed_watch, error_copy(c->why));
    }
  }
  remora_future *f = remora_future_ref(c->closed_watch);
  hub_unlock(h);
  if (!f) (void)error_set(err, REMORA_E_NOMEM, NULL);
  return f;
}

remora_value *remora_conn_stats(remora_conn *c) {
  remora_value *m = remora_map();
  if (!m || c->hub != hub_current) return m;
  hub_lock(c->hub);
  const session *s = &c->session;
  const struct {
    const char *name;
    uint64_t value;
  } rows[] = {{"calls_out", s->calls_out},    {"calls_in", s->calls_in},     {"bytes_in", s->bytes_in},
              {"bytes_out", s->bytes_out},    {"exports", s->nexports},      {"imports", s->imports.used},
              {"pending", s->npending},       {"queued", session_queued(s)}, {"log_records", c->log_records},
              {"log_dropped", c->log_dropped}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    (void)remora_set(m, rows[i].name, remora_int((int64_t)rows[i].value));
  hub_unlock(c->hub);
  return m;
}

void remora_conn_serve(remora_conn *c, const char *name) {
  if (c->hub == hub_current) modules_allow(c->modules, name);
}
