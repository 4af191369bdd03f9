/* liveness.c: gone, stopped, silent and busy are told apart, by evidence from outside the far interpreter; and the far process's end.
 *
 * A local child is watched through its pidfd and /proc; a far one through its beats and through its warden, which speaks on standard error. */
#include "hub.h"
#include "prompt.h"

#include "keeper.h"
#include "rlimits.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TAIL 4096u

static bool liveness_read_errors(remora_conn *c);

/* What the far side printed last, on either stream: 2 * TAIL bytes at most. */
static size_t liveness_tail(const remora_conn *c, char *tail) {
  const bytes *said[] = {&c->session.stray, &c->errors};
  size_t n = 0;
  for (int i = 0; i < 2; i++) {
    size_t length = said[i]->end - said[i]->begin;
    if (length > TAIL) length = TAIL;
    if (length) memcpy(tail + n, said[i]->data + said[i]->end - length, length);
    n += length;
  }
  return n;
}

void liveness_no_greeting(remora_conn *c, const char *stage, const char *what) {
  char tail[2 * TAIL];
  size_t n = liveness_tail(c, tail);
  char *lines = n ? carrier_last_lines(tail, n) : NULL;
  remora_error *why = NULL;
  (void)error_stage(&why, stage, "%s: the far side %s%s%s", c->carrier.name, what,
                    lines && *lines ? "; it printed: " : "", lines ? lines : "");
  free(lines);
  conn_finish(c, why);
}

/* Ends the connection because the process is gone. */
static void liveness_tell_gone(remora_conn *c) {
  char room[256];
  for (int turns = 0; turns < 64 && liveness_read_errors(c);
       turns++) { /* what it said last; whoever else has the pipe may go on for ever */
  }
  if (c->state == CONN_CLOSED) return; /* its warden had said more */
  const char *what = c->carrier.local_child ? "the far process" : c->carrier.argv[0];
  if (c->state == CONN_CONNECTING) {
    /* What a login shell or interpreter said, on either stream. */
    char tail[2 * TAIL];
    size_t n = liveness_tail(c, tail);
    remora_error *why = NULL;
    carrier_explain(&c->carrier, tail, n, c->status, c->status_known, &why);
    if (!why) (void)error_stage(&why, "bootstrap", "%s: the far side ended before it greeted", c->carrier.name);
    conn_finish(c, why);
  } else if (c->bye) {
    conn_fail(c, REMORA_E_LOST, "%s: the far side said goodbye: %s", c->carrier.name, c->bye);
  } else if (!c->proc_gone) {
    conn_fail(c, REMORA_E_LOST, "%s: %s closed its end of the connection", c->carrier.name, what);
  } else if (!c->status_known) {
    conn_fail(c, REMORA_E_LOST, "%s: %s is gone (exit status unknown)", c->carrier.name, what);
  } else if (WIFSIGNALED(c->status)) {
    conn_fail(c, REMORA_E_LOST, "%s: %s was killed by %s", c->carrier.name, what,
              rlimits_signal(c->carrier.limits, WTERMSIG(c->status), room, sizeof room));
  } else {
    conn_fail(c, REMORA_E_LOST, "%s: %s ended with exit status %d%s", c->carrier.name, what, WEXITSTATUS(c->status),
              rlimits_status(c->carrier.limits, WEXITSTATUS(c->status), room, sizeof room));
  }
}

static bool liveness_reap(remora_conn *c) {
  if (c->proc_gone) return true;
  int r = carrier_reap(&c->proc, &c->status);
  if (r == 0) return false;
  c->proc_gone = true;
  c->status_known = r == 1;
  keeper_gone(&c->proc);
  conn_unwatch((uv_handle_t *)&c->pid_poll);
  if (c->proc.pidfd >= 0) close(c->proc.pidfd);
  c->proc.pidfd = -1;
  loop_wake_credit(c->hub, c);
  return true;
}

static void liveness_stop_timers(remora_conn *c) {
  conn_unwatch((uv_handle_t *)&c->timer);
  conn_unwatch((uv_handle_t *)&c->feed);
  conn_unwatch((uv_handle_t *)&c->error_poll);
  if (c->proc.errors >= 0) close(c->proc.errors);
  c->proc.errors = -1;
}

static void pid_cb(uv_poll_t *poll, int status, int events) {
  (void)status, (void)events;
  remora_conn *c = poll->data;
  if (!liveness_reap(c)) return;
  if (c->state != CONN_CLOSED) {
    while (conn_pump(c) && c->state != CONN_CLOSED && !c->eof) {
    } /* what it wrote before it died still counts */
    if (c->state != CONN_CLOSED) liveness_tell_gone(c);
  }
  if (c->draining)
    conn_shut(c);
  else
    liveness_end(c);
}

/* The far side closed its output. Its exit status usually follows within a moment and says more; who tells it may have to wait for a core. */
static void eof_cb(uv_timer_t *timer) {
  remora_conn *c = timer->data;
  (void)liveness_reap(c);
  liveness_tell_gone(c);
}

void liveness_eof(remora_conn *c) {
  if (c->eof || c->state == CONN_CLOSED) return;
  c->eof = true;
  if (c->far) {
    conn_fail(c, REMORA_E_LOST, "the near side is gone");
    return;
  }
  (void)uv_poll_stop(&c->read_poll);
  if (liveness_reap(c)) {
    liveness_tell_gone(c);
    return;
  }
  (void)uv_timer_start(&c->timer, eof_cb, c->proc.pidfd >= 0 ? 2000 : 50, 0);
  loop_changed(c->hub);
}

/* --------------------------------------------------------------------------------------------- standard error, the warden */

/* The warden says how the far process has ended. What that wrote at last may say more, and comes on another way. */
static void liveness_ended(remora_conn *c, int n, bool by_signal) {
  char room[256];
  if (c->state != CONN_OPEN) return;
  c->eof = true; /* the end that comes behind it has nothing to add */
  for (int turns = 0; turns < 64 && c->state == CONN_OPEN && !c->bye && conn_pump(c); turns++) {
  }
  if (c->state != CONN_OPEN) return;
  if (c->bye)
    conn_fail(c, REMORA_E_LOST, "%s: the far side said goodbye: %s", c->carrier.name, c->bye);
  else if (by_signal)
    conn_fail(c, REMORA_E_LOST, "%s: the far process was killed by %s", c->carrier.name,
              rlimits_signal(c->carrier.limits, n, room, sizeof room));
  else
    conn_fail(c, REMORA_E_LOST, "%s: the far process ended with exit status %d%s", c->carrier.name, n,
              rlimits_status(c->carrier.limits, n, room, sizeof room));
}

static void liveness_warden(remora_conn *c, const char *line) {
  int n;
  uint64_t now = uv_now(&c->hub->loop);
  if (strcmp(line, "remora alive") == 0) {
    c->heard = true;
    c->far_stopped = false;
  } else if (strcmp(line, "remora stopped") == 0) {
    c->last_look = now;
    if (!c->far_stopped) c->stopped_since = now;
    c->far_stopped = true;
  } else if (strcmp(line, "remora watchdog") == 0 && c->state == CONN_OPEN) {
    conn_fail(c, REMORA_E_LOST,
              "%s: the far side said goodbye: ended by its watchdog: nothing heard for %" PRId64 " ms", c->carrier.name,
              c->options->watchdog);
  } else if (sscanf(line, "remora exit %d", &n) == 1 || sscanf(line, "remora signal %d", &n) == 1) {
    liveness_ended(c, n, line[sizeof "remora " - 1] == 's');
  }
}

static void liveness_print(remora_conn *c, const uint8_t *data, size_t length) {
  if (length == 0) return;
  remora_event *e = conn_output_event(c, 2, data, length);
  if (e) queue_push(c->queue, e);
}

/* Takes the warden's lines out of what stands in c->errors; the rest is output. Keeps an unfinished warden's line. */
static void liveness_split(remora_conn *c) {
  bytes *b = &c->errors;
  while (b->begin < b->end && c->state == CONN_OPEN) {
    uint8_t *p = b->data + b->begin, *end = b->data + b->end, *nul = memchr(p, 0, (size_t)(end - p));
    liveness_print(c, p, (size_t)((nul ? nul : end) - p));
    b->begin += (size_t)((nul ? nul : end) - p);
    if (!nul) break;
    uint8_t *newline = memchr(nul, '\n', (size_t)(end - nul));
    if (!newline) {
      if (end - nul > 64) b->begin++; /* not the warden's after all */
      if (end - nul > 64) continue;
      break;
    }
    *newline = 0;
    b->begin = (size_t)(newline + 1 - b->data);
    liveness_warden(c, (const char *)nul + 1);
  }
}

/* Reads once from standard error: was there something? */
static bool liveness_read_errors(remora_conn *c) {
  uint8_t *buffer = c->hub->read_buffer;
  if (c->proc.errors < 0) return false;
  ssize_t got = read(c->proc.errors, buffer, 32 * 1024);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got <= 0) {
    (void)uv_poll_stop(&c->error_poll);
    return false;
  }
  bytes *b = &c->errors;
  if (b->begin > 0) {
    memmove(b->data, b->data + b->begin, b->end - b->begin);
    b->end -= b->begin;
    b->begin = 0;
  }
  if (c->state == CONN_CONNECTING && b->end > TAIL) { /* only the tail is ever shown */
    memmove(b->data, b->data + b->end - TAIL, TAIL);
    b->end = TAIL;
  }
  if (b->end + (size_t)got > b->room) {
    uint8_t *data = realloc(b->data, b->end + (size_t)got);
    if (!data) return false;
    b->data = data;
    b->room = b->end + (size_t)got;
  }
  memcpy(b->data + b->end, buffer, (size_t)got);
  b->end += (size_t)got;
  if (c->state == CONN_OPEN)
    liveness_split(c);
  else
    prompt_look(c);
  return true;
}

static void error_cb(uv_poll_t *poll, int status, int events) {
  (void)status, (void)events;
  (void)liveness_read_errors(poll->data);
}

/* ------------------------------------------------------------------------------------------------------------- the clock */

/* What came while this process had no time to look: timers run before descriptors are read. */
static bool something_to_read(const remora_conn *c) {
  struct pollfd p = {.fd = c->proc.from, .events = POLLIN};
  return poll(&p, 1, 0) == 1;
}

static void look_cb(uv_timer_t *timer) {
  remora_conn *c = timer->data;
  uint64_t now = uv_now(&c->hub->loop), every = uv_timer_get_repeat(timer);
  uint64_t dead_after = (uint64_t)c->options->dead_after, late = now - c->last_look;
  if (c->state != CONN_OPEN || c->eof) return;
  bool was_asleep = late > 4 * every + 1000; /* this process, or its machine, was: the silence is ours */
  c->last_look = now;
  if (was_asleep || c->heard) c->last_in = now;
  c->heard = false;
  if (now - c->last_in < (uint64_t)c->options->heartbeat) return;
  if (c->carrier.local_child) {
    uint64_t ticks;
    char state = carrier_look(c->proc.pid, &ticks);
    bool stopped = state == 'T' || state == 't';
    if (stopped && !c->far_stopped) c->stopped_since = c->last_in;
    c->far_stopped = stopped;
    if (!stopped) { /* it lives: busy where its interpreter cannot beat, or it was let go on */
      c->last_in = now;
      return;
    }
  } else {
    for (int turns = 0; turns < 64 && liveness_read_errors(c); turns++) {
    } /* nor has its warden been heard meanwhile */
    if (c->state != CONN_OPEN || c->heard) return;
  }
  if (c->far_stopped && now - c->stopped_since >= dead_after) {
    if (c->carrier.local_child) kill(c->proc.pid, SIGKILL);
    conn_fail(c, REMORA_E_LOST, "%s: the far process has been stopped (SIGSTOP) for %.1f s", c->carrier.name,
              (double)(now - c->stopped_since) / 1000);
  } else if (!c->far_stopped && now - c->last_in >= dead_after && !something_to_read(c)) {
    conn_fail(c, REMORA_E_LOST, "%s: no sign of life for %.1f s", c->carrier.name, (double)(now - c->last_in) / 1000);
  }
}

/* The far side's watchdog hears from this side at least three times in its time. */
static void feed_cb(uv_timer_t *timer) {
  remora_conn *c = timer->data;
  uint64_t sent = c->session.bytes_out;
  if (c->state == CONN_OPEN && sent == c->fed && !session_has_output(&c->session)) {
    frame beat = {.kind = FRAME_BEAT};
    (void)session_send_frame(&c->session, &beat, NULL, true);
    conn_flush(c);
  }
  c->fed = sent;
}

void liveness_greeted(remora_conn *c) {
  liveness_split(c);
  (void)uv_timer_stop(&c->timer);
  if (c->state == CONN_OPEN && c->options->watchdog > 0) {
    uint64_t every = ((uint64_t)c->options->watchdog + 5) / 6; /* two looks to see a silence */
    (void)uv_timer_start(&c->feed, feed_cb, every, every);
  }
  if (c->state != CONN_OPEN || c->options->heartbeat <= 0) return;
  uint64_t every =
      (uint64_t)(c->options->heartbeat < c->options->dead_after ? c->options->heartbeat : c->options->dead_after) / 4;
  if (every < 20) every = 20;
  c->last_look = uv_now(&c->hub->loop);
  (void)uv_timer_start(&c->timer, look_cb, every, every);
}

static void timeout_cb(uv_timer_t *timer) {
  remora_conn *c = timer->data;
  const session *s = &c->session;
  size_t errors = c->errors.end - c->errors.begin, stray = s->stray.end - s->stray.begin;
  char what[64];
  (void)snprintf(what, sizeof what, "did not greet within %" PRId64 " ms", c->options->timeout);
  liveness_no_greeting(c,
                       s->started || stray             ? "hello"
                       : c->carrier.has_ssh && !errors ? "transport"
                                                       : "bootstrap",
                       what);
}

void liveness_ask(remora_conn *c, bool on) {
  if (c->state != CONN_CONNECTING || c->eof) return;
  uv_update_time(&c->hub->loop); /* who was asked may have kept the loop's driver for long */
  if (on)
    (void)uv_timer_stop(&c->timer);
  else
    (void)uv_timer_start(&c->timer, timeout_cb, (uint64_t)c->options->timeout, 0);
}

int liveness_start(remora_conn *c) {
  uv_loop_t *loop = &c->hub->loop;
  (void)uv_timer_init(loop, &c->timer);
  conn_watch_handle(c, (uv_handle_t *)&c->timer);
  (void)uv_timer_start(&c->timer, timeout_cb, (uint64_t)c->options->timeout, 0);
  (void)uv_timer_init(loop, &c->feed);
  conn_watch_handle(c, (uv_handle_t *)&c->feed);
  (void)uv_timer_init(loop, &c->reaper);
  conn_watch_handle(c, (uv_handle_t *)&c->reaper);
  (void)uv_poll_init(loop, &c->error_poll, c->proc.errors);
  conn_watch_handle(c, (uv_handle_t *)&c->error_poll);
  (void)uv_poll_start(&c->error_poll, UV_READABLE, error_cb);
  if (c->proc.pidfd >= 0) {
    (void)uv_poll_init(loop, &c->pid_poll, c->proc.pidfd);
    conn_watch_handle(c, (uv_handle_t *)&c->pid_poll);
    (void)uv_poll_start(&c->pid_poll, UV_READABLE, pid_cb);
  }
  return 0;
}

/* --------------------------------------------------------------------------------------------------------------- the end */

/* A far process gets the end of file, then SIGTERM, then SIGKILL. */
static void reaper_cb(uv_timer_t *timer) {
  remora_conn *c = timer->data;
  if (!c->proc_gone && !liveness_reap(c)) {
    c->end_step++;
    if (c->end_step >= 10 && c->draining) conn_shut(c); /* a second is over */
    if (c->end_step == 20) kill(c->proc.pid, SIGTERM);
    if (c->end_step == 30) kill(c->proc.pid, SIGKILL);
    return;
  }
  liveness_end(c);
}

void liveness_end(remora_conn *c) {
  if (!c->draining) liveness_stop_timers(c);
  if (liveness_reap(c)) {
    if (!c->draining) conn_unwatch((uv_handle_t *)&c->reaper);
    return;
  }
  if (!uv_is_active((uv_handle_t *)&c->reaper) && !uv_is_closing((uv_handle_t *)&c->reaper)) {
    if (c->far_stopped) kill(c->proc.pid, SIGKILL);
    if (!c->hello) kill(c->proc.pid, SIGTERM); /* whatever this is, it need not care for an end of file */
    (void)uv_timer_start(&c->reaper, reaper_cb, 100,
                         100); /* the pidfd tells sooner; this is for those who do not want to end */
    loop_changed(c->hub);
  }
}
