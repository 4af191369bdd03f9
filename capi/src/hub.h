/* hub.h: what the public functions are made of. One lock (hub->lock) guards everything here; user code never runs under it, and nothing that may wait for an
 * interpreter's lock is called under it. */
#ifndef REMORA_HUB_H
#define REMORA_HUB_H

#include "carrier.h"
#include "codec.h"
#include "error.h"
#include "session.h"

#include <pthread.h>
#include <signal.h>
#include <uv.h>

#define HUB_SPIN_NS (60u * 1000)         /* how long a wait looks before it sleeps */
#define HUB_LEASE_NS (20u * 1000 * 1000) /* how long the loop stays unowned after a wait */
#define HUB_TURN_NS (5u * 1000 * 1000)   /* how long spinning waits may leave the rest of the loop alone */
#define HUB_READ (64u * 1024)            /* bytes read in one turn of one connection */

typedef struct waiter {
  struct waiter *next, **link;
  remora_future *future; /* what it waits for; NULL */
  remora_future *unless; /* it gives up when this one is ready first; NULL */
  remora_queue *queue;   /* whose events it takes; NULL */
  remora_conn *credit;   /* waits for credit of this connection */
  uint64_t cost;         /* how much credit */
  remora_conn *gone;     /* waits until this closed connection's process is gone */
  remora_conn *looks;    /* without a future: which connection a spin reads */
  bool serves;           /* takes any event of its queue (remora_next_event) */
  bool drives;           /* it is the one that sleeps on the loop */
  bool woken;
  int fd; /* where it sleeps otherwise */
} waiter;

typedef enum driver { DRIVER_NONE, DRIVER_THREAD, DRIVER_BACKGROUND } driver;

typedef struct hub {
  pthread_mutex_t lock,
      turnstile; /* who wants the lock passes the turnstile: the driver cannot take it twice while another waits */
  remora_future *dead; /* futures without users, freed outside the lock: an object of ours may be in the result */
  outgoing *garbage;   /* sent; freed outside the lock, for freeing 64 MiB takes milliseconds */
  uv_loop_t loop;
  driver driver;
  bool bulk;              /* this turn moved much: others on this core come first before the next */
  int sleeping;           /* threads in ppoll on the loop: a change of the loop has to kick them */
  uint64_t lease_until;   /* uv_hrtime */
  uint64_t turned;        /* uv_hrtime of the loop's last turn */
  remora_future *awaited; /* REMORA_AWAITED and pending: their threads are about to wait */
  size_t
      watched; /* pending calls that remora_then watches: their readers do not drive (the end of a connection may take its time) */
  uint64_t waits; /* waits that ended; tells the background thread that somebody is busy */
  waiter *waiters;
  int kick_fd;
  uv_poll_t kick;
  bool background_started, background_deep, stopping;
  uint64_t background_until; /* ms of the loop: the background thread sleeps on the loop until then; 0: it does not */
  int background_fd;         /* wakes it alone from that: who drives instead may have read what it sleeps for */
  remora_event *later, **later_last; /* for the background thread alone, whoever drives */
  bool is_node; /* this process is the C node: signals are its user code's business and end no wait (far.c) */
  pthread_t background;
  pthread_cond_t background_wake;
  remora_conn *conns;
  remora_queue *inner;      /* the hub's own: modules and bridges; run by whoever drives */
  struct forward *forwards; /* calls of bridges that wait for their answers (inner.c) */
  remora_queue *default_queue;
  _Atomic(remora_proxy *) dropped; /* proxies without users, pushed by finalisers */
  idmap objects;                   /* userdata -> first remora_object made of it */
  remora_future **deadlines;       /* a heap, earliest first */
  size_t ndeadlines, deadlines_room;
  uv_timer_t deadline_timer;
  uint64_t chain_prefix, chains;
  idmap tickets; /* number -> what it is for */
  uint64_t last_ticket;
  unsigned transfers;    /* threads that copy files (transfer.c) */
  uint64_t questions;    /* how many ssh, sudo and far sides have asked (prompt.c) */
  struct log_state *log; /* log.h */
  uint8_t *read_buffer;
} hub;

static inline void hub_lock(hub *h) {
  pthread_mutex_lock(&h->turnstile);
  pthread_mutex_lock(&h->lock);
  pthread_mutex_unlock(&h->turnstile);
}

void future_free_list(remora_future *first); /* future.c; under no lock */

static inline void hub_unlock(hub *h) {
  outgoing *garbage = h->garbage;
  remora_future *dead = h->dead;
  h->garbage = NULL;
  h->dead = NULL;
  pthread_mutex_unlock(&h->lock);
  if (__builtin_expect(dead != NULL, 0)) future_free_list(dead);
  if (__builtin_expect(garbage != NULL, 0)) outgoing_free_list(garbage);
}

/* The hub of this process, made when first needed; NULL when memory is out. */
hub *hub_get(void);
/* NULL in the child of a fork until a new one is made: handles compare theirs with it. */
extern hub *hub_current;

/* --- queues and events (queue.c) --- */
struct remora_queue {
  atomic_int refs;
  hub *hub;
  int fd;
  bool armed, signalled, dispatcher;
  bool drives; /* its dispatcher drives the loop as any other wait does */
  remora_event *first, **last;
  remora_object *reap; /* gone objects whose destroy has to run */
};

struct remora_event {
  remora_event *next;
  remora_event_kind kind;
  remora_queue *queue;
  remora_conn *conn;     /* holds a reference */
  remora_object *object; /* CALL: holds a reference; NULL: the root */
  message *message;      /* CALL, OUTPUT, LOG */
  remora_value *args;
  remora_future *future; /* READY: holds a reference */
  void (*fn)(remora_future *, void *);
  void *userdata;
  void (*destroy)(void *);
  struct log_sink *sink; /* LOG: holds a reference; NULL: a frame that is to be read (loop_later) */
  size_t cost;           /* LOG: what it counts in its sink */
  bool started, answered, entered, cancelled;
  uint64_t due;          /* CALL: ms of uv_hrtime; 0: no limit */
  uint64_t outer_chain;  /* what remora_event_enter replaced */
  uint64_t question;     /* CALL: nobody far calls: its answer is for prompt.c; 0 */
  remora_error *failure; /* what its caller is to hear when it is dropped; NULL */
  char method[];         /* CALL */
};

remora_queue *queue_new(hub *h);
/* Under the lock: the last reference is given back by whoever drives, outside of it. */
void queue_unref_locked(remora_queue *q);
/* Under the lock: appends and wakes who takes it. */
void queue_push(remora_queue *q, remora_event *e);
/* Under the lock: something of this queue changed; makes its descriptor readable if armed. */
void queue_signal(remora_queue *q);
/* Under the lock: the event that a wait for f (NULL: a general pull) has to run; removes it if `take`. */
remora_event *queue_find(remora_queue *q, const remora_future *f, bool take);
/* Under the lock: an event that was taken is going to be run. */
void queue_started(remora_event *e);
/* Under the lock. */
void queue_reap_later(remora_object *o);
extern _Thread_local int queue_outputs_here; /* OUTPUT events that this thread is handling */

/* --- waiting and driving (loop.c) --- */
int loop_init(hub *h);
int loop_start(hub *h); /* the background thread */
/* Runs one wait. Under no lock. Returns like remora_wait_for. */
remora_wait loop_wait(hub *h, waiter *w, int64_t ms);
remora_wait loop_spin(hub *h, waiter *w);
/* While this thread waits with all signals blocked: the mask that its host had chosen. */
extern _Thread_local const sigset_t *loop_host_mask;
/* Under the lock: a timer is due sooner: who sleeps on the loop must not oversleep it. Who is about to wait, or takes over after the lease, sees for himself. */
void loop_due(hub *h);
/* Under the lock: watchers or timers changed; whoever sleeps on the loop has to look. */
void loop_changed(hub *h);
/* Under the lock: the background thread has a look at this LOG event soon, and no other. */
void loop_later(hub *h, remora_event *e);
/* Under the lock: nobody may read until the lease is over: the caller is about to wait. */
void loop_claim(hub *h);
/* Under the lock. */
void loop_wake(waiter *w);
void loop_wake_future(hub *h, const remora_future *f);
void loop_wake_queue(hub *h, const remora_queue *q);
/* Those who wait for credit of the connection, or for its end. */
void loop_wake_credit(hub *h, const remora_conn *c);
/* Looks, if nobody else does, whether something has come. Under no lock. */
void loop_glance(hub *h);
void loop_stop(hub *h);

/* --- connections (conn.c) --- */
typedef enum conn_state { CONN_CONNECTING, CONN_OPEN, CONN_CLOSED } conn_state;

struct remora_conn {
  atomic_int refs; /* users, proxies, events, pending futures */
  hub *hub;
  remora_conn *next, **link;
  remora_options *options;
  char *spec; /* as it was asked for; NULL */
  carrier carrier;
  spawned proc;
  conn_state state;
  bool closing;  /* it was ended from this side */
  bool draining; /* over, but what was queued is still being written */
  bool proc_gone, status_known;
  int status;
  session session;
  remora_queue *queue;
  uv_poll_t read_poll, write_poll, error_poll, pid_poll;
  uv_timer_t timer, reaper;
  int handles; /* uv handles that are not closed yet */
  bool write_on;
  bool eof;
  bytes errors; /* the tail of standard error before HELLO, and an unfinished line after */
  remora_future *connecting;
  remora_future *closed_watch; /* the future that remora_conn_on_close hands out */
  remora_error *why;
  remora_value *hello;
  char *bye;
  bool heard;                  /* something came since the last look */
  uint64_t last_in, last_look; /* ms; last_in is what the last look knew */
  uv_timer_t feed;             /* of the far side's watchdog */
  uint64_t fed;                /* session.bytes_out at the last look */
  bool far_stopped;            /* the warden, or /proc, says so */
  uint64_t stopped_since;
  int end_step; /* how far ending the far process has gone */
  unsigned spin_misses, spin_skips;
  struct modules *modules;
  struct far_role *far;  /* NULL: this is the near side */
  struct prompt *prompt; /* NULL: nothing can be asked */
  bool program_sent;     /* the C node's */
  int outputs_running;   /* OUTPUT events taken and not freed */
  bool out_pipe_grown, in_pipe_grown;
  bool logs; /* the far side was asked for its log records */
  uint64_t number, log_records, log_dropped, log_untold, log_told_at;
};

struct remora_proxy {
  atomic_int refs;
  hub *hub;
  remora_conn *conn; /* holds a reference */
  uint64_t id;
  uint64_t count; /* how often the far side has sent it */
  far_type *type;
  remora_proxy *next_dropped;
};

/* far_type plus what a bridge to it needs */
typedef struct conn_type {
  far_type base;
  remora_class bridge;
} conn_type;

/* All under the lock. */
void conn_flush(remora_conn *c);
bool conn_pump(remora_conn *c); /* reads what is there; true if something came */
void conn_fail(remora_conn *c, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
void conn_ref_locked(remora_conn *c);
void conn_unref_locked(remora_conn *c);
void conn_drain_dropped(hub *h);
void call_credit_back(remora_conn *c, size_t bytes);
void conn_close_locked(remora_conn *c);
void conn_receive(remora_conn *c, message *m);       /* receive.c; owns m */
void conn_finish(remora_conn *c, remora_error *why); /* the end; steals why */
void conn_held(remora_conn *c);                      /* looks whether what was held back may go */
void conn_shut(remora_conn *c);                      /* gives the descriptors back */
/* Under no lock or any: writev without SIGPIPE, whatever the host does with that signal. */
ssize_t write_quietly(int fd, const struct iovec *iov, int n);
void conn_write_answer(remora_conn *c, const char *data,
                       size_t length); /* to a sudo that asks: at once, past the queue */
void conn_maybe_free(remora_conn *c);
/* Is the far process there, busy, stopped, silent, gone? (liveness.c) */
int liveness_start(remora_conn *c);
void liveness_greeted(remora_conn *c);
void liveness_eof(remora_conn *c);
/* Somebody is asked: the time to connect does not run; it begins anew when all is answered. */
void liveness_ask(remora_conn *c, bool on);
/* Under the lock: ends a connection whose far side has not greeted, with what it printed instead. */
void liveness_no_greeting(remora_conn *c, const char *stage, const char *why);
/* The connection is over: sees to it that the far process ends and is reaped. */
void liveness_end(remora_conn *c);
void conn_watch_handle(remora_conn *c, uv_handle_t *handle);
void conn_unwatch(uv_handle_t *handle);
remora_event *conn_output_event(remora_conn *c, int stream, const void *data, size_t length);
void conn_watch_reading(remora_conn *c);

/* --- the far role: the connection that a node lives for (far.c) --- */
/* What a node does besides running objects' methods (nodes/c). */
typedef struct far_hooks {
  bool (*take)(remora_event *e); /* a call of the root that is answered later, elsewhere: takes e over */
  bool (*cancel)(uint32_t call); /* under the lock: is that one of those? */
  void (*over)(bool last);       /* the connection has ended; last: the process ends now */
} far_hooks;

typedef struct far_role {
  const far_hooks *hooks;
  remora_object *root; /* new and can; holds a reference */
  char *here;          /* "web1 pid 4711" */
  int output[2];       /* what user code and its children write to 1 and 2; non-blocking */
  uv_poll_t polls[2];
  bool watching;
  size_t stuck; /* bytes of `printed` that wait for credit, and all messages behind them */
  int stuck_stream;
  uint8_t printed[FRAME_SMALL];
  uv_timer_t beat;
  uint64_t beaten; /* session.bytes_out at the last look */
  uv_timer_t watchdog;
  uint64_t silence, watched; /* how long the near side may be silent, and the last look; ms */
  bool corked;               /* the next call will not take long: answers are collected */
  uint64_t quick[64];
  uint32_t taken; /* the call that was taken last */
  bool taken_cancelled;
  int status; /* what the process will exit with */
  atomic_bool over;
} far_role;

/* What a far side greets with. */
typedef struct far_process {
  const char *node, *language, *host, *user;
  int64_t pid;
} far_process;

/* Makes the process a node: the connection over these descriptors, of which the near side's greeting (*steals*) has been read. Steals root. `hooks`: NULL for none; `who`: NULL for this process. *new*,
 * or NULL (memory). */
remora_conn *far_adopt(int from, int to, const int output[2], remora_value *hello, remora_object *root,
                       const far_hooks *hooks, const far_process *who);
/* Runs calls until the connection is over; the exit status. */
int far_serve(remora_conn *c);
/* Under the lock: what was printed goes before what is about to be written. */
void far_collect(remora_conn *c);
/* Under the lock: ends the connection, and tells the near side why. */
void far_bye(remora_conn *c, const char *why);
/* Under the lock: the connection is over, so the process has a second to end. */
void far_over(remora_conn *c);
void far_free(far_role *f);

/* --- proxies and objects --- */
struct remora_object {
  atomic_int refs;
  hub *hub;
  remora_queue *queue;
  const remora_class *cls;
  void *userdata;
  void (*destroy)(void *);
  remora_object *next_same, *next_reap;
};
/* Under the lock: the proxy for an id that the far side sent once more; *new*. */
remora_proxy *proxy_import(remora_conn *c, uint64_t id, far_type *type);
void object_unref_locked(remora_object *o);

/* --- futures and calls (call.c, future.c) --- */
typedef struct watch {
  struct watch *next;
  remora_queue *queue; /* holds a reference */
  void (*fn)(remora_future *, void *);
  void *userdata;
  void (*destroy)(void *);
} watch;

struct remora_future {
  atomic_int refs;
  _Atomic(int) state; /* remora_state */
  hub *hub;
  remora_conn *conn; /* holds a reference */
  uint32_t call;     /* 0: not in the table of pending calls */
  uint64_t chain;
  uint64_t credit;
  message *reply;                /* DONE or FAILED by the far side */
  _Atomic(remora_value *) value; /* decoded */
  _Atomic(remora_error *) error; /* decoded or made here */
  uint64_t deadline;             /* ms of uv_hrtime; 0 none */
  size_t heap_index;             /* 1-based; 0: not in the heap */
  watch *watches, **watches_last;
  remora_future *next_awaited, **link_awaited; /* in hub->awaited */
  remora_future *source;                       /* what it is made of while it is pending: a cancel goes on to it */
  struct future_any *any;                      /* it is the first of several (compose.c) */
};

remora_future *future_new(hub *h, remora_conn *c);
/* Under the lock. Steals reply or error. */
void future_done(remora_future *f, message *reply);
void future_fail(remora_future *f, remora_error *error);
bool future_cancel(remora_future *f); /* false: it was ready already */
/* A watch with this userdata is taken back; false: there is none (any more). Its destroy is not called. */
bool future_unwatch(remora_future *f, const void *userdata);
void future_any_drop(remora_future *f); /* compose.c */
void future_set_awaited(remora_future *f, bool on);
void future_unref_locked(remora_future *f);
/* deadline.c; under the lock. */
void deadline_set(remora_future *f, uint64_t at_ms);
void deadline_clear(remora_future *f);
uint64_t hub_now_ms(void);

/* Under the lock: sends CALL, REPLY or ERROR with the references of `out` counted. 0, or -1 with *err. Does not flush. */
int call_send(remora_conn *c, frame *head, const char *method, codec_out *out, remora_error **err);
/* Answers a call of the far side. */
int call_answer(remora_conn *c, const message *m, const remora_value *value, remora_error **err);
void call_answer_error(remora_conn *c, const message *m, const remora_error *error);
/* The references of a message become proxies and objects; under the lock; false: the far side broke the rules. */
bool call_import(remora_conn *c, message *m);
/* *new* value of a message; under no lock. */
remora_value *call_decode(message *m, remora_error **err);
extern _Thread_local uint64_t call_chain; /* of the incoming call that this thread runs; 0 */

/* --- what the hub itself answers (inner.c, modules.c) --- */
void inner_run(hub *h); /* under no lock */
/* Makes a connection for the far side, if it may (onward.c). Under no lock; takes e over. */
void onward_connect(remora_event *e);
/* A call of the root that the far side got from it: true if that was all to be done. */
bool onward_answers(remora_event *e, remora_proxy *root, const remora_value *args);
bool inner_cancel(const remora_conn *c,
                  uint32_t call); /* under the lock: cancels the call that a bridge has made for this one */
remora_object *bridge_object(remora_proxy *p); /* under the lock; *new* */
struct modules *modules_new(const remora_options *opts);
void modules_free(struct modules *m);
void modules_forked(void);
void modules_allow(struct modules *m, const char *name);
/* Answers `module`, `resource` and `resources`. Under no lock. *new*, or NULL with *err. */
remora_value *modules_answer(struct modules *m, const char *method, const remora_value *args, remora_error **err);

#endif
