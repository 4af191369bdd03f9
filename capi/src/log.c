/* log.c: the router: who gets which record. */
#include "log.h"

#include "value.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOG_NOBODY 100

atomic_int log_least;

/* ------------------------------------------------------------------------------------------------------------- records */

int log_record_level(const remora_value *record) {
  return remora_log_level_of(remora_as_text(remora_get(record, "level"), NULL));
}

const char *log_record_text(const remora_value *record, const char *key) {
  const char *text = remora_as_text(remora_get(record, key), NULL);
  return text ? text : "";
}

remora_value *log_text(const char *text, size_t length, size_t most) {
  if (length > most) {
    length = most;
    while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80) length--;
  }
  if (value_utf8(text, length) == 1) return value_text_trusted(text, length);
  char *copy = malloc(length + 1);
  if (!copy) return NULL;
  for (size_t at = 0, n; at < length; at += n) { /* whole characters as they are, each other byte a question mark */
    for (n = 1; n <= 4 && at + n <= length && value_utf8(text + at, n) != 1; n++) {
    }
    bool whole = n <= 4 && at + n <= length;
    if (!whole) n = 1;
    if (whole)
      memcpy(copy + at, text + at, n);
    else
      copy[at] = '?';
  }
  remora_value *v = value_text_trusted(copy, length);
  free(copy);
  return v;
}

static remora_value *text_or_null(const char *text) {
  return text ? log_text(text, strlen(text), 4096) : remora_null();
}

static double time_now(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_REALTIME, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

remora_value *log_record_new(const remora_conn *c, int level, const char *name, const char *what, const char *function,
                             const char *file, int line) {
  const hub *h = hub_current;
  remora_value *r = h ? remora_map() : NULL;
  int rc = r ? 0 : -1;
  if (rc == 0) rc |= remora_set(r, "level", remora_str(remora_log_level_name(level)));
  if (rc == 0) rc |= remora_set(r, "name", text_or_null(name));
  if (rc == 0) rc |= remora_set(r, "message", log_text(what, strlen(what), SIZE_MAX));
  if (rc == 0) rc |= remora_set(r, "time", remora_float(time_now()));
  if (rc == 0) rc |= remora_set(r, "function", text_or_null(function));
  if (rc == 0) rc |= remora_set(r, "file", text_or_null(file));
  if (rc == 0) rc |= remora_set(r, "line", line > 0 ? remora_int(line) : remora_null());
  if (rc == 0) rc |= remora_set(r, "pid", remora_int(getpid()));
  if (rc == 0) rc |= remora_set(r, "host", text_or_null(h->log->host));
  if (rc == 0) rc |= remora_set(r, "exporter", remora_str("remora"));
  if (rc == 0) rc |= remora_set(r, "connection", text_or_null(c ? c->carrier.name : NULL));
  if (rc == 0) rc |= remora_set(r, "connection_id", c ? remora_int((int64_t)c->number) : remora_null());
  return rc == 0 ? r : remora_value_unref(r);
}

/* ------------------------------------------------------------------------------------------------------------ the start */

void log_settle(const log_state *s) {
  int least = LOG_NOBODY;
  if (s->printer) least = s->printer->level;
  for (const log_sink *k = s->sinks; k; k = k->next)
    if (k->filter->level < least) least = k->filter->level;
  if (s->forward && log_forward_level(s->forward) < least) least = log_forward_level(s->forward);
  atomic_store(&log_least, least < 1 ? 1 : least);
}

static const char *variable(const char *name) {
  const char *v = getenv(name);
  return v && *v ? v : NULL;
}

int log_init(hub *h) {
  log_state *s = h->log = calloc(1, sizeof *s);
  if (!s) return -1;
  if (gethostname(s->host, sizeof s->host - 1) != 0) (void)strcpy(s->host, "?");
  const char *level = variable("REMORA_LOG_LEVEL");
  int least = level ? remora_log_level_of(level) : 0;
  if (level && !(s->printer = log_filter_new(least ? least : REMORA_LOG_INFO, variable("REMORA_LOG_SELECTIONS"))))
    return -1;
  const char *format = variable("REMORA_LOG_FORMAT");
  if (format && !(s->format = strdup(format))) return -1;
  log_settle(s);
  return 0;
}

void log_begun(hub *h) {
  const char *level = variable("REMORA_LOG_LEVEL");
  if (!level || remora_log_level_of(level)) return;
  hub_lock(h);
  LOG_EVENT(h, REMORA_LOG_WARN, "remora.log", "REMORA_LOG_LEVEL=%s is no level; it counts as info", level);
  hub_unlock(h);
}

void log_forked(void) { atomic_store(&log_least, 0); }

/* Can anybody want it? A program that logs and never connects gets no hub by that, unless it is to print. */
static bool log_may(int level) {
  int least = atomic_load_explicit(&log_least, memory_order_relaxed);
  if (least == 0 && !variable("REMORA_LOG_LEVEL") && !__atomic_load_n(&hub_current, __ATOMIC_ACQUIRE)) return false;
  return level >= least && level >= REMORA_LOG_TRACE && level <= REMORA_LOG_FATAL;
}

/* ------------------------------------------------------------------------------------------------------------ delivering */

/* A terminal or pipe of which there is some room may still block a write: opened anew it does not, without a change for others that have it. -1: something else. */
static int print_open(void) {
  struct stat st;
  if (fstat(STDERR_FILENO, &st) != 0 || !(S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))) return -1;
  return open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* Standard error, as far as it takes it at once: nobody waits for whoever reads there. */
static bool print_all(const char *text, size_t length) {
  int anew = print_open(), fd = anew >= 0 ? anew : STDERR_FILENO;
  struct pollfd p = {.fd = fd, .events = POLLOUT};
  size_t at = 0;
  while (at < length && poll(&p, 1, 0) == 1 && p.revents == POLLOUT) {
    struct iovec piece = {.iov_base = (void *)(uintptr_t)(text + at),
                          .iov_len = length - at < 4096 ? length - at : 4096};
    ssize_t n = write_quietly(fd, &piece, 1);
    if (n <= 0) break;
    at += (size_t)n;
  }
  if (anew >= 0) close(anew);
  return at == length;
}

static void log_print(log_state *s, const remora_value *record) {
  char lost[80];
  size_t length = 0;
  if (s->unprinted > 0) {
    int n = snprintf(lost, sizeof lost, "remora: %llu log records could not be printed\n",
                     (unsigned long long)s->unprinted);
    if (print_all(lost, (size_t)n)) s->unprinted = 0;
  }
  remora_value *text = remora_log_format(s->format, record);
  const char *line = remora_as_text(text, &length);
  char *whole = line ? malloc(length + 1) : NULL;
  if (whole) {
    memcpy(whole, line, length);
    whole[length] = '\n';
  }
  if (!whole || !print_all(whole, length + 1)) s->unprinted++;
  free(whole);
  (void)remora_value_unref(text);
}

static size_t record_cost(const remora_value *record) {
  size_t length = 0;
  (void)remora_as_text(remora_get(record, "message"), &length);
  return length + 400;
}

static void sink_push(hub *h, log_sink *k, remora_value *record) {
  size_t cost = record_cost(record);
  remora_event *e = k->open;
  if (e && remora_length(e->args) >= LOG_BATCH) e = NULL;
  bool fresh = !e && k->pending + cost <= LOG_PENDING;
  if (fresh && (e = calloc(1, sizeof *e + 1)) != NULL && !(e->args = remora_list())) {
    free(e);
    e = NULL;
  }
  if (!e || k->pending + cost > LOG_PENDING || remora_append(e->args, remora_value_ref(record)) != 0) {
    if (fresh) (void)remora_event_free(e);
    k->dropped++;
    k->untold++;
    return;
  }
  k->pending += cost;
  e->cost += cost;
  if (!fresh) return;
  e->kind = REMORA_EVENT_LOG;
  e->sink = k;
  k->refs++;
  k->open = e;
  queue_push(k->queue, e);
  if (k->queue == h->inner) loop_changed(h);
}

static void deliver_here(hub *h, remora_value *record) {
  log_state *s = h->log;
  int level = log_record_level(record);
  const char *name = log_record_text(record, "name");
  if (s->printer && log_filter_takes(s->printer, level, name)) log_print(s, record);
  for (log_sink *k = s->sinks; k; k = k->next)
    if (log_filter_takes(k->filter, level, name)) sink_push(h, k, record);
}

void log_deliver(hub *h, remora_value *record) {
  codec_out line = {0};
  deliver_here(h, record);
  if (h->log->forward && log_forward_line(h->log->forward, record, &line)) log_forward_add(h->log->forward, &line);
  codec_out_clear(&line);
}

void log_taken(remora_event *e) {
  log_sink *k = e->sink;
  if (k->open == e) k->open = NULL;
  k->pending -= e->cost;
  e->cost = 0;
  if (k->untold == 0) return;
  char text[100];
  (void)snprintf(text, sizeof text, "%llu log records were dropped: this sink is too slow",
                 (unsigned long long)k->untold);
  remora_value *notice = log_record_new(NULL, REMORA_LOG_WARN, "remora.log", text, NULL, NULL, 0);
  if (notice && remora_set(notice, "dropped", remora_int((int64_t)k->untold)) == 0 &&
      remora_append(e->args, remora_value_ref(notice)) == 0)
    k->untold = 0;
  (void)remora_value_unref(notice);
}

void log_run(remora_event *e) {
  const log_sink *k = e->sink;
  for (size_t i = 0; k->fn && i < remora_length(e->args); i++) k->fn(remora_at(e->args, i), k->userdata);
}

void log_sink_unref(hub *h, log_sink *k) {
  hub_lock(h);
  bool last = --k->refs == 0;
  hub_unlock(h);
  if (!last) return;
  if (k->destroy) k->destroy(k->userdata);
  free(k->filter);
  free(k);
}

void log_event(hub *h, int level, const char *name, const char *function, const char *format, ...) {
  char text[2048];
  va_list ap;
  va_start(ap, format);
  (void)vsnprintf(text, sizeof text, format, ap);
  va_end(ap);
  remora_value *record = log_record_new(NULL, level, name, text, function, NULL, 0);
  if (record) log_deliver(h, record);
  (void)remora_value_unref(record);
}

/* --------------------------------------------------------------------------------------------------- what the header has */

int remora_log_wants(int level, const char *name) {
  if (!log_may(level)) return 0;
  hub *h = hub_get();
  if (!h) return 0;
  if (!name) name = "";
  const log_state *s = h->log;
  if (s->forward && log_forward_takes(s->forward, level, name)) return 1;
  hub_lock(h);
  bool wanted = s->printer && log_filter_takes(s->printer, level, name);
  for (const log_sink *k = s->sinks; k && !wanted; k = k->next) wanted = log_filter_takes(k->filter, level, name);
  hub_unlock(h);
  return wanted;
}

void remora_log(int level, const char *name, const char *what, const char *function, const char *file, int line) {
  if (!log_may(level)) return;
  hub *h = hub_get();
  if (!h || log_forward_full(h, level, name ? name : "") || !remora_log_wants(level, name)) return;
  remora_value *record = log_record_new(NULL, level, name, what ? what : "", function, file, line);
  if (!record) return;
  codec_out row = {0};
  struct log_forward *f = h->log->forward;
  bool forwards = f && log_forward_line(f, record, &row);
  hub_lock(h);
  deliver_here(h, record);
  if (forwards) log_forward_add(f, &row);
  hub_unlock(h);
  codec_out_clear(&row);
  (void)remora_value_unref(record);
}

void remora_logf(int level, const char *name, const char *function, const char *file, int line, const char *format,
                 ...) {
  if (!log_may(level) || !hub_get() || log_forward_full(hub_current, level, name ? name : "") ||
      !remora_log_wants(level, name))
    return;
  va_list ap;
  va_start(ap, format);
  char *text = NULL;
  if (vasprintf(&text, format, ap) < 0) text = NULL;
  va_end(ap);
  if (text) remora_log(level, name, text, function, file, line);
  free(text);
}

uint64_t remora_log_add_sink(remora_queue *queue, int level, const char *selections,
                             void (*fn)(const remora_value *record, void *userdata), void *userdata,
                             void (*destroy)(void *userdata), remora_error **err) {
  hub *h = hub_get();
  log_sink *k = h ? calloc(1, sizeof *k) : NULL;
  if (!k || !(k->filter = log_filter_new(level, selections))) return free(k), error_set(err, REMORA_E_NOMEM, NULL), 0;
  if (level < 0 || level > REMORA_LOG_FATAL || (queue && queue->hub != h)) {
    (void)error_set(err, queue && queue->hub != h ? REMORA_E_FORKED : REMORA_E_INVALID,
                    queue && queue->hub != h ? NULL : "%d is no level of log records", level);
    return free(k->filter), free(k), 0;
  }
  k->queue = remora_queue_ref(queue ? queue : h->default_queue);
  k->fn = fn;
  k->userdata = userdata;
  k->destroy = destroy;
  k->refs = 1;
  hub_lock(h);
  uint64_t number = k->number = ++h->log->last_sink;
  log_sink **at = &h->log->sinks;
  while (*at) at = &(*at)->next;
  *at = k;
  log_settle(h->log);
  hub_unlock(h);
  return number;
}

/* Under the lock: takes what waits for the sink out of its queue. */
static remora_event *sink_events(const log_sink *k) {
  remora_event *gone = NULL;
  remora_queue *q = k->queue;
  for (remora_event **at = &q->first; *at;) {
    remora_event *e = *at;
    if (e->kind != REMORA_EVENT_LOG || e->sink != k) {
      at = &e->next;
      continue;
    }
    *at = e->next;
    if (q->last == &e->next) q->last = at;
    e->next = gone;
    gone = e;
  }
  return gone;
}

int remora_log_remove_sink(uint64_t sink) {
  hub *h = hub_current;
  if (!h) return 0;
  hub_lock(h);
  log_sink **at = &h->log->sinks;
  while (*at && (*at)->number != sink) at = &(*at)->next;
  log_sink *k = *at;
  if (k) *at = k->next;
  remora_event *gone = k ? sink_events(k) : NULL;
  log_settle(h->log);
  hub_unlock(h);
  if (!k) return 0;
  for (remora_event *next; gone; gone = next) {
    next = gone->next;
    (void)remora_event_free(gone);
  }
  (void)remora_queue_unref(k->queue);
  log_sink_unref(h, k);
  return 1;
}

uint64_t remora_log_dropped(uint64_t sink) {
  hub *h = hub_current;
  uint64_t dropped = 0;
  if (!h) return 0;
  hub_lock(h);
  for (const log_sink *k = h->log->sinks; k; k = k->next)
    if (k->number == sink) dropped = k->dropped;
  hub_unlock(h);
  return dropped;
}

int remora_log_print(int level, const char *selections, const char *format, remora_error **err) {
  hub *h = hub_get();
  if (level < 0 || level > REMORA_LOG_FATAL)
    return error_set(err, REMORA_E_INVALID, "%d is no level of log records", level);
  log_filter *filter = h && level ? log_filter_new(level, selections) : NULL;
  char *copy = format ? strdup(format) : NULL;
  if (!h || (level && !filter) || (format && !copy))
    return free(filter), free(copy), error_set(err, REMORA_E_NOMEM, NULL);
  hub_lock(h);
  log_filter *old_filter = h->log->printer;
  char *old_format = h->log->format;
  h->log->printer = filter;
  h->log->format = copy;
  log_settle(h->log);
  hub_unlock(h);
  free(old_filter);
  free(old_format);
  return 0;
}

uint64_t remora_event_sink(const remora_event *e) { return e->kind == REMORA_EVENT_LOG ? e->sink->number : 0; }
