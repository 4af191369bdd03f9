/* loop.c: the one run loop and who drives it: a thread that waits, else, when nobody has waited for a while, the background thread.
 *
 * The driver sleeps in ppoll on the loop's descriptor, outside the lock, and turns the loop under it. A waiter that is not the driver sleeps on
 * a descriptor of its own thread. After a wait the loop stays unowned for a lease: a program that calls in a row never meets another thread. */
#include "hub.h"
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---------------------------------------------------------------------------------------------- a thread's descriptor */

typedef struct sleeper {
  hub *hub; /* a child of fork() must not share its parent's */
  int fd;
} sleeper;

_Thread_local const sigset_t *loop_host_mask;

static pthread_key_t sleeper_key;
static pthread_once_t sleeper_once = PTHREAD_ONCE_INIT;

static void sleeper_free(void *p) {
  sleeper *s = p;
  if (s->hub == hub_current) close(s->fd);
  free(s);
}

static void sleeper_init(void) { (void)pthread_key_create(&sleeper_key, sleeper_free); }

static int sleeper_fd(hub *h) {
  (void)pthread_once(&sleeper_once, sleeper_init);
  sleeper *s = pthread_getspecific(sleeper_key);
  if (s && s->hub == h) return s->fd;
  if (!s) {
    s = malloc(sizeof *s);
    if (!s || pthread_setspecific(sleeper_key, s) != 0) return free(s), -1;
  }
  s->hub = h;
  s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return s->fd;
}

static void eventfd_set(int fd) {
  uint64_t one = 1;
  ssize_t ignored = write(fd, &one, sizeof one);
  (void)ignored;
}

static void eventfd_reset(int fd) {
  uint64_t count;
  ssize_t ignored = read(fd, &count, sizeof count);
  (void)ignored;
}

/* --------------------------------------------------------------------------------------------------------------- wake */

void loop_wake(waiter *w) {
  if (w->woken) return;
  w->woken = true;
  if (w->drives)
    eventfd_set(hub_current->kick_fd);
  else if (w->fd >= 0)
    eventfd_set(w->fd);
}

void loop_wake_future(hub *h, const remora_future *f) {
  for (waiter *w = h->waiters; w; w = w->next)
    if (w->future == f || w->unless == f) loop_wake(w);
}

void loop_wake_queue(hub *h, const remora_queue *q) {
  for (waiter *w = h->waiters; w; w = w->next)
    if (w->queue == q) loop_wake(w);
}

void loop_wake_credit(hub *h, const remora_conn *c) {
  for (waiter *w = h->waiters; w; w = w->next)
    if (w->credit == c || w->gone == c) loop_wake(w);
}

void loop_due(hub *h) {
  if (h->sleeping > 0) eventfd_set(h->kick_fd);
}

void loop_changed(hub *h) {
  if (h->driver != DRIVER_NONE) {
    if (h->sleeping > 0) eventfd_set(h->kick_fd);
    return;
  }
  h->lease_until = 0;
  if (h->background_started) {
    /* The background thread is parked, or sleeps on the loop since before a wait took it over. */
    (void)pthread_cond_signal(&h->background_wake);
    eventfd_set(h->kick_fd);
  }
}

void loop_claim(hub *h) {
  if (h->watched > 0) return; /* somebody depends on the background thread */
  if (h->driver == DRIVER_BACKGROUND) h->driver = DRIVER_NONE;
  if (h->driver == DRIVER_NONE) h->lease_until = uv_hrtime() + HUB_LEASE_NS;
}

/* -------------------------------------------------------------------------------------------------------------- drive */

static void loop_turn(hub *h) {
  h->turned = uv_hrtime();
  (void)uv_run(&h->loop, UV_RUN_NOWAIT);
  conn_drain_dropped(h);
}

/* Sleeps until the loop has something to do. Under the lock, which is released meanwhile. errno EINTR: a signal. */
static int loop_sleep(hub *h, int64_t ms, const sigset_t *mask) {
  if (h->inner->first || h->inner->reap) return 0; /* came while whoever drove was awake, but had looked already */
  uv_update_time(&h->loop);
  int due = uv_backend_timeout(&h->loop);
  if (due >= 0 && (ms < 0 || due < ms)) ms = due;
  if (ms == 0) return 0;
  struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
  struct pollfd p[2] = {{.fd = uv_backend_fd(&h->loop), .events = POLLIN}, {.fd = h->background_fd, .events = POLLIN}};
  h->sleeping++;
  bool yields = h->bulk;
  h->bulk = false;
  hub_unlock(h);
  if (yields) (void)sched_yield(); /* a scheduler's slice is some ms: a small call must not wait for the end of one */
  int n = ppoll(p, mask ? 1 : 2, ms < 0 ? NULL : &ts, mask); /* without a mask: the background thread */
  int e = errno;
  hub_lock(h);
  h->sleeping--;
  errno = e;
  return n;
}

static void inner_turn(hub *h) {
  if (!h->inner->first && !h->inner->reap) return;
  hub_unlock(h);
  inner_run(h);
  hub_lock(h);
}

void loop_later(hub *h, remora_event *e) {
  e->next = NULL;
  *h->later_last = e;
  h->later_last = &e->next;
  if (h->background_deep) (void)pthread_cond_signal(&h->background_wake);
  if (h->background_until) eventfd_set(h->background_fd);
}

/* What no wait may be held up by. */
static void later_turn(hub *h) {
  for (remora_event *e; (e = h->later) != NULL;) {
    h->later = e->next;
    if (!h->later) h->later_last = &h->later;
    hub_unlock(h);
    log_received(h, e->conn, e->message);
    (void)remora_event_free(e);
    hub_lock(h);
  }
}

static void *background_main(void *arg) {
  hub *h = arg;
  hub_lock(h);
  uint64_t waits = h->waits - 1;
  while (!h->stopping) {
    later_turn(h);
    if (h->stopping) break;
    uint64_t now = uv_hrtime();
    if (h->driver == DRIVER_THREAD && waits == h->waits) {
      h->background_deep = true; /* one wait that lasts: its end will tell */
      pthread_cond_wait(&h->background_wake, &h->lock);
      h->background_deep = false;
    } else if (h->driver == DRIVER_THREAD || now < h->lease_until) {
      waits = h->waits;
      uint64_t until = now < h->lease_until ? h->lease_until : now + HUB_LEASE_NS;
      struct timespec ts = {.tv_sec = (time_t)(until / 1000000000u), .tv_nsec = (long)(until % 1000000000u)};
      (void)pthread_cond_timedwait(&h->background_wake, &h->lock, &ts);
    } else {
      h->driver = DRIVER_BACKGROUND;
      for (remora_conn *c = h->is_node ? h->conns : NULL; c; c = c->next)
        if (c->far && c->far->corked) conn_flush(c); /* the call that was to be quick is not */
      uv_update_time(&h->loop);
      int due = uv_backend_timeout(&h->loop);
      h->background_until = due < 0 ? UINT64_MAX : uv_now(&h->loop) + (uint64_t)due;
      (void)loop_sleep(h, -1, NULL);
      h->background_until = 0;
      eventfd_reset(h->background_fd);
      if (h->driver != DRIVER_BACKGROUND) continue; /* a waiting thread has taken over meanwhile */
      loop_turn(h);
      inner_turn(h);
      if (h->driver == DRIVER_BACKGROUND) h->driver = DRIVER_NONE;
    }
  }
  if (h->driver == DRIVER_BACKGROUND) h->driver = DRIVER_NONE;
  later_turn(h);
  hub_unlock(h);
  return NULL;
}

static void kick_cb(uv_poll_t *poll, int status, int events) {
  (void)status, (void)events;
  hub *h = poll->data;
  eventfd_reset(h->kick_fd);
}

int loop_init(hub *h) {
  h->later_last = &h->later;
  if (uv_loop_init(&h->loop) != 0) return -1;
  h->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  h->background_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (h->kick_fd < 0 || h->background_fd < 0) return -1;
  if (uv_poll_init(&h->loop, &h->kick, h->kick_fd) != 0) return -1;
  h->kick.data = h;
  (void)uv_poll_start(&h->kick, UV_READABLE, kick_cb);
  (void)uv_timer_init(&h->loop, &h->deadline_timer);
  h->deadline_timer.data = h;
  pthread_condattr_t attr;
  (void)pthread_condattr_init(&attr);
  (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* the clock of uv_hrtime */
  (void)pthread_cond_init(&h->background_wake, &attr);
  (void)pthread_condattr_destroy(&attr);
  return 0;
}

int loop_start(hub *h) {
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old); /* the host's handlers must never run on our thread */
  h->background_started = pthread_create(&h->background, NULL, background_main, h) == 0;
  if (h->background_started) (void)pthread_setname_np(h->background, "remora");
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return h->background_started ? 0 : -1;
}

void loop_stop(hub *h) {
  hub_lock(h);
  bool again = h->stopping;
  h->stopping = true;
  for (waiter *w = h->waiters; w; w = w->next) loop_wake(w);
  (void)pthread_cond_signal(&h->background_wake);
  eventfd_set(h->kick_fd);
  hub_unlock(h);
  if (!again) (void)pthread_join(h->background, NULL);
}

/* --------------------------------------------------------------------------------------------------------------- wait */

/* Another thread is still handling output that came before the result. */
static bool waiter_outputs_pending(const waiter *w) {
  const remora_conn *c = w->future->conn;
  return c && w->queue == c->queue && c->outputs_running > queue_outputs_here;
}

/* Under the lock: has the waiter what it waits for? */
static bool waiter_ready(waiter *w, remora_wait *result) {
  if (w->queue && (queue_find(w->queue, w->future, false) || (w->serves && w->queue->reap))) {
    *result = REMORA_WAIT_EVENT;
    return true;
  }
  if (w->future && atomic_load_explicit(&w->future->state, memory_order_relaxed) != REMORA_PENDING &&
      !waiter_outputs_pending(w)) {
    *result = REMORA_WAIT_READY;
    return true;
  }
  if (w->unless && atomic_load_explicit(&w->unless->state, memory_order_relaxed) != REMORA_PENDING) {
    *result = REMORA_WAIT_READY;
    return true;
  }
  const session *s = w->credit ? &w->credit->session : NULL;
  if (s && (session_has_credit(s, w->cost) || w->credit->state == CONN_CLOSED)) {
    *result = REMORA_WAIT_READY;
    return true;
  }
  if (w->gone && w->gone->state == CONN_CLOSED && w->gone->proc_gone) {
    *result = REMORA_WAIT_READY;
    return true;
  }
  return false;
}

static void waiter_add(hub *h, waiter *w) {
  w->next = h->waiters;
  w->link = &h->waiters;
  if (h->waiters) h->waiters->link = &w->next;
  h->waiters = w;
}

/* The background thread may sleep on the loop since before a wait took it over, and need not notice what that wait has read: if the wait has set a timer
 * that is due sooner, nobody would see to it. */
static void loop_hand_back(hub *h) {
  int due = h->background_until ? uv_backend_timeout(&h->loop) : -1;
  if (due < 0 || uv_now(&h->loop) + (uint64_t)due >= h->background_until) return;
  h->background_until = 0;
  eventfd_set(h->background_fd);
}

/* Leaves the wait; whoever drove hands over to another waiter, or to the lease. */
static void waiter_leave(hub *h, waiter *w) {
  *w->link = w->next;
  if (w->next) w->next->link = w->link;
  h->waits++;
  if (w->future && w->queue && w->queue->first)
    queue_signal(w->queue); /* what this wait had claimed is anybody's now */
  if (w->drives) h->driver = DRIVER_NONE;
  if (h->driver != DRIVER_NONE) return;
  /* Also one that did not drive comes here: it was to take over, and was ready by then. */
  for (waiter *o = h->waiters; o; o = o->next)
    if (!(o->serves && o->queue->dispatcher && !o->queue->drives)) {
      loop_wake(o);
      return;
    }
  if (h->watched > 0) {
    loop_changed(h);
    return;
  }
  if (w->drives) h->lease_until = uv_hrtime() + HUB_LEASE_NS;
  if (h->background_deep) (void)pthread_cond_signal(&h->background_wake);
  loop_hand_back(h);
}

remora_wait loop_wait(hub *h, waiter *w, int64_t ms) {
  remora_wait result = REMORA_WAIT_TIMEOUT;
  uint64_t until = ms < 0 ? UINT64_MAX : uv_hrtime() / 1000000 + (uint64_t)ms;
  w->fd = sleeper_fd(h);
  w->drives = w->woken = false;
  /* Signals are let in only while asleep, so that none is lost between the look and the sleep. */
  sigset_t all, mask;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &mask);
  const sigset_t *outer = loop_host_mask;
  if (!outer) loop_host_mask = &mask;
  hub_lock(h);
  waiter_add(h, w);
  bool stays_asleep = w->serves && w->queue->dispatcher && !w->queue->drives; /* a dispatcher lets others drive */
  while (!waiter_ready(w, &result)) {
    if (h->stopping) break;
    int64_t left = -1;
    if (until != UINT64_MAX) {
      uint64_t now = uv_hrtime() / 1000000;
      if (now >= until) break;
      left = (int64_t)(until - now);
    }
    if (!w->drives && h->driver != DRIVER_THREAD && !stays_asleep) {
      h->driver = DRIVER_THREAD;
      w->drives = true;
    }
    w->woken = false;
    int n;
    if (w->drives) {
      n = loop_sleep(h, left, &mask);
      int e = errno;
      loop_turn(h);
      inner_turn(h);
      errno = e;
    } else {
      struct timespec ts = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};
      /* Its own connection it reads itself: whoever drives may be in the middle of something large, or off its core. */
      remora_conn *c = w->future && !stays_asleep ? w->future->conn : NULL;
      struct pollfd p[2] = {{.fd = w->fd, .events = POLLIN}, {.fd = c ? c->proc.from : -1, .events = POLLIN}};
      hub_unlock(h);
      n = ppoll(p, 2, left < 0 ? NULL : &ts, &mask);
      int e = errno;
      if (n > 0 && p[0].revents) eventfd_reset(w->fd);
      hub_lock(h);
      if (n > 0 && p[1].revents && c->proc.from == p[1].fd) {
        if (conn_pump(c)) conn_drain_dropped(h);
        if (c->state == CONN_CLOSED) loop_due(h);
        inner_turn(h);
      }
      errno = e;
    }
    if (n < 0 && errno == EINTR && !h->is_node && !waiter_ready(w, &result)) {
      result = REMORA_WAIT_INTERRUPTED;
      break;
    }
  }
  waiter_leave(h, w);
  if (w->woken && !w->drives) eventfd_reset(w->fd);
  hub_unlock(h);
  loop_host_mask = outer;
  pthread_sigmask(SIG_SETMASK, &mask, NULL);
  return result;
}

remora_wait loop_spin(hub *h, waiter *w) {
  remora_wait result = REMORA_WAIT_AGAIN;
  hub_lock(h);
  if (waiter_ready(w, &result)) {
    hub_unlock(h);
    return result;
  }
  remora_conn *c = w->future ? w->future->conn : w->looks;
  if (!c || c->state == CONN_CLOSED || h->driver == DRIVER_THREAD || c->spin_skips > 0) {
    if (c && c->spin_skips > 0) c->spin_skips--;
    hub_unlock(h);
    return REMORA_WAIT_AGAIN;
  }
  h->driver = DRIVER_THREAD;
  waiter_add(h, w);
  w->drives = true;
  w->woken = true; /* it looks by itself */
  uint64_t end = 0;
  for (;;) {
    if (conn_pump(c)) conn_drain_dropped(h);
    if (h->inner->first) inner_turn(h);
    if (waiter_ready(w, &result)) {
      c->spin_misses = 0;
      break;
    }
    uint64_t now = uv_hrtime();
    if (end == 0)
      end = now + HUB_SPIN_NS;
    else if (now >= end || c->state == CONN_CLOSED) {
      /* What takes long once will take long again: look at every eighth call only. */
      if (++c->spin_misses >= 4) c->spin_skips = 8;
      break;
    }
    hub_unlock(h);
    (void)sched_yield();
    hub_lock(h);
  }
  if (uv_hrtime() - h->turned >
      HUB_TURN_NS) { /* who calls without a pause keeps the loop for itself: others want to be heard too */
    loop_turn(h);
    inner_turn(h);
  }
  waiter_leave(h, w);
  hub_unlock(h);
  return result;
}

void loop_glance(hub *h) {
  hub_lock(h);
  if (h->driver != DRIVER_THREAD) {
    driver before = h->driver;
    h->driver = DRIVER_THREAD;
    loop_turn(h);
    h->driver = before;
    loop_hand_back(h);
    if (h->inner->first) loop_changed(h);
  }
  hub_unlock(h);
}
