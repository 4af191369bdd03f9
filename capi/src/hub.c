/* hub.c: the one state of the process: made when first needed, left behind by fork(), ended at the host's exit. */
#include "hub.h"

#include "keeper.h"
#include "log.h"
#include "prompt.h"
#include "trace.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

hub *hub_current;
static pthread_mutex_t hub_making = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t hub_once = PTHREAD_ONCE_INIT;

const char *remora_version(void) { return REMORA_VERSION; }
int remora_abi(void) { return REMORA_ABI; }

uint64_t hub_now_ms(void) { return uv_hrtime() / 1000000; }

/* The child of a fork closes what it would otherwise keep open at the far sides, forgets the hub and leaks the rest: no lock of the parent's threads can be trusted. */
static void hub_forked(void) {
  hub *h = hub_current;
  static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
  hub_making = fresh;
  modules_forked();
  keeper_forked();
  log_forked();
  hub_current = NULL;
  if (!h) return;
  for (remora_conn *c = h->conns; c; c = c->next) {
    if (c->proc.to >= 0) close(c->proc.to);
    if (c->proc.from >= 0) close(c->proc.from);
    if (c->proc.errors >= 0) close(c->proc.errors);
    if (c->proc.pidfd >= 0) close(c->proc.pidfd);
    prompt_forked(c);
  }
  close(h->kick_fd);
  close(h->background_fd);
  close(uv_backend_fd(&h->loop));
  call_chain = 0;
  queue_outputs_here = 0;
}

static void hub_init_once(void) {
  trace_init();
  (void)pthread_atfork(NULL, NULL, hub_forked);
}

static hub *hub_new(void) {
  hub *h = calloc(1, sizeof *h);
  if (!h) return NULL;
  (void)pthread_mutex_init(&h->lock, NULL);
  (void)pthread_mutex_init(&h->turnstile, NULL);
  h->read_buffer = malloc(HUB_READ);
  uint32_t prefix = 0;
  if (getrandom(&prefix, sizeof prefix, 0) != sizeof prefix) prefix = (uint32_t)(uv_hrtime() ^ (uint64_t)getpid());
  h->chain_prefix = (uint64_t)((prefix & 0x7ffff) | 0x80000) << 32;
  if (!h->read_buffer || loop_init(h) != 0) return free(h->read_buffer), free(h), NULL;
  h->default_queue = queue_new(h);
  h->inner = queue_new(h);
  if (!h->default_queue || !h->inner || log_init(h) != 0 || loop_start(h) != 0)
    return NULL; /* without descriptors or threads nothing goes; the rest stays */
  return h;
}

hub *hub_get(void) {
  hub *h = __atomic_load_n(&hub_current, __ATOMIC_ACQUIRE);
  if (h) return h;
  (void)pthread_once(&hub_once, hub_init_once);
  pthread_mutex_lock(&hub_making);
  hub *made = hub_current ? NULL : hub_new();
  if (made) __atomic_store_n(&hub_current, made, __ATOMIC_RELEASE);
  h = hub_current;
  pthread_mutex_unlock(&hub_making);
  if (made) log_begun(made);
  return h;
}

void remora_shutdown(void) {
  hub *h = hub_current;
  if (!h) return;
  hub_lock(h);
  for (remora_conn *c = h->conns, *next; c; c = next) {
    next = c->next;
    conn_ref_locked(c); /* closing drops references; the list must not change under our feet */
    conn_close_locked(c);
    next = c->next;
    atomic_fetch_sub(&c->refs, 1);
  }
  /* What was queued is written, and the far processes end by themselves, for at most a second. */
  uint64_t until = hub_now_ms() + 1000;
  for (;;) {
    bool busy = h->transfers > 0; /* they remove what is not complete */
    for (remora_conn *c = h->conns; c; c = c->next) busy = busy || c->draining || !c->proc_gone;
    if (!busy || hub_now_ms() >= until) break;
    hub_unlock(h);
    waiter w = {0};
    (void)loop_wait(h, &w, 10);
    hub_lock(h);
  }
  for (remora_conn *c = h->conns; c; c = c->next)
    if (!c->proc_gone && c->proc.pid > 0) kill(c->proc.pid, SIGKILL);
  hub_unlock(h);
  loop_stop(h);
}
