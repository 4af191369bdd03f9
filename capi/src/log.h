/* log.h: records of what happens, ours and those of far sides, and who gets them. The router's state hangs off the hub and is guarded by its lock; user code
 * runs on the queue of its sink. */
#ifndef REMORA_LOG_INTERNAL_H
#define REMORA_LOG_INTERNAL_H

#include "hub.h"

#define LOG_BUDGET (256 * 1024)     /* bytes a second, unless the option says otherwise */
#define LOG_FRAME (16u * 1024)      /* a frame of records is no longer */
#define LOG_FRAMES 4u               /* that many may wait to be sent */
#define LOG_TURN_MS 100u            /* how often records are sent */
#define LOG_MESSAGE 4000u           /* bytes of a message that this side forwards */
#define LOG_PENDING (1024u * 1024u) /* bytes of records that may wait in one sink */
#define LOG_BATCH 100u              /* records in one event */

/* --- which records (log_filter.c) --- */
typedef struct log_word {
  const char *text;
  size_t length;
  bool on;
} log_word;

typedef struct log_filter {
  int level; /* the least */
  size_t count;
  log_word words[];
} log_filter;

/* *new*: words separated by blanks: a name and all below it, "*" all, "-" before it: not these. NULL is "*". NULL without memory. */
log_filter *log_filter_new(int level, const char *selections);
bool log_filter_takes(const log_filter *f, int level, const char *name);

/* --- records (log.c) --- */
/* The level of a record; its message and name, never NULL. */
int log_record_level(const remora_value *record);
const char *log_record_text(const remora_value *record, const char *key);
/* *new* text of at most `most` bytes; what is no UTF-8 becomes question marks. */
remora_value *log_text(const char *text, size_t length, size_t most);
/* *new* record of this process, about that connection (NULL: none). */
remora_value *log_record_new(const remora_conn *c, int level, const char *name, const char *what, const char *function,
                             const char *file, int line);

/* --- the router (log.c) --- */
typedef struct log_sink {
  struct log_sink *next;
  uint64_t number;
  int refs;            /* the list's, and those of events */
  remora_queue *queue; /* holds a reference, while it is in the list */
  log_filter *filter;
  void (*fn)(const remora_value *, void *);
  void *userdata;
  void (*destroy)(void *);
  remora_event *open; /* waits in the queue and may get more */
  size_t pending;     /* bytes that wait in the queue */
  uint64_t dropped, untold;
} log_sink;

typedef struct log_state {
  log_sink *sinks;
  uint64_t last_sink, last_conn;
  log_filter *printer; /* NULL: nothing is printed */
  char *format;
  uint64_t unprinted;
  struct log_forward *forward; /* of a C node that was asked for its records */
  char host[256];
} log_state;

/* The least level that anybody wants; 0: not known yet. */
extern atomic_int log_least;

int log_init(hub *h);
/* What there was to say of it, when there is a hub to say it. */
void log_begun(hub *h);
/* Under the lock: what anybody wants has changed. */
void log_settle(const log_state *s);
void log_forked(void);
/* Under the lock: gives the record to all that want it. */
void log_deliver(hub *h, remora_value *record);
/* Under the lock: an event of a sink is about to be run. */
void log_taken(remora_event *e);
/* Under no lock. */
void log_run(remora_event *e);
void log_sink_unref(hub *h, log_sink *sink);
/* Under the lock: what the library itself has to tell. */
void log_event(hub *h, int level, const char *name, const char *function, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
#define LOG_EVENT(h, level, name, ...)                                                                                 \
  do {                                                                                                                 \
    if (atomic_load_explicit(&log_least, memory_order_relaxed) <= (level))                                             \
      log_event(h, level, name, __func__, __VA_ARGS__);                                                                \
  } while (0)

/* --- over the wire (log_wire.c) --- */
/* What HELLO asks the far side for; NULL: nothing. *new*. */
remora_value *log_ask(const remora_conn *c);
/* Under the lock: a LOG frame has come; owns m. */
void log_receive(remora_conn *c, message *m);
/* Under no lock: the records in it. */
void log_received(hub *h, remora_conn *c, const message *m);
/* Under the lock: a record about what the far side has dropped; one a second, and one at the end. */
void log_tell_dropped(remora_conn *c);
/* A C node: the near side's greeting may ask for records. */
void log_far(remora_conn *c);
/* Makes the record what is sent; false: it is not wanted. Needs no lock: that is held for as short as can be, for calls want it too. */
bool log_forward_line(const struct log_forward *f, const remora_value *record, codec_out *line);
/* Under the lock. */
void log_forward_add(struct log_forward *f, const codec_out *line);
int log_forward_level(const struct log_forward *f);
bool log_forward_takes(const struct log_forward *f, int level, const char *name);
/* Under no lock: nothing can be forwarded now, and nobody else wants it. */
bool log_forward_full(hub *h, int level, const char *name);

#endif
