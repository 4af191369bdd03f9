/* log_wire.c: records that come from far sides, and those of a C node on their way to the near side. They are the least of all that goes over the wire: within a
 * budget, and only when nothing else waits; what does not fit is counted. */
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------ the near side */

remora_value *log_ask(const remora_conn *c) {
  const remora_options *o = c->options;
  const log_state *s = c->hub->log;
  if (!o->log_forward && !s->forward) return NULL;
  int level = o->log_level ? remora_log_level_of(o->log_level) : remora_log_level_of(getenv("REMORA_LOG_LEVEL"));
  if (!level) level = s->forward ? log_forward_level(s->forward) : REMORA_LOG_INFO;
  const char *selections = o->log_selections ? o->log_selections : getenv("REMORA_LOG_SELECTIONS");
  remora_value *ask = remora_map();
  if (!ask) return NULL;
  (void)remora_set(ask, "level", remora_int(level));
  (void)remora_set(
      ask, "selections",
      remora_text(selections && *selections ? selections : "*", selections && *selections ? strlen(selections) : 1));
  (void)remora_set(ask, "budget", remora_int(o->log_budget ? o->log_budget : LOG_BUDGET));
  return ask;
}

void log_receive(remora_conn *c, message *m) {
  remora_event *e = c->logs ? calloc(1, sizeof *e + 1) : NULL;
  if (!e) {
    c->session.fault = c->logs ? "out of memory" : "log records that nobody asked for";
    message_unref(m);
    return;
  }
  e->kind = REMORA_EVENT_LOG;
  e->message = m;
  e->conn = c;
  conn_ref_locked(c);
  loop_later(c->hub, e);
}

/* What says through which interface of its language a far side's records came. */
static const char *far_exporter(const char *node) {
  static const char *const names[][2] = {
      {"python", "logging"}, {"ruby", "Logger"}, {"perl", "Remora::Log"}, {"lua", "remora.log"}, {"c", "remora"}};
  for (size_t i = 0; node && i < sizeof names / sizeof *names; i++)
    if (strcmp(names[i][0], node) == 0) return names[i][1];
  return "remora";
}

static int take_text(remora_value *record, const char *key, const remora_value *v) {
  size_t length = 0;
  const char *text = v && remora_value_kind(v) == REMORA_TEXT ? remora_as_text(v, &length) : NULL;
  return remora_set(record, key, text ? log_text(text, length, SIZE_MAX) : remora_null());
}

static int take_int(remora_value *record, const char *key, const remora_value *v) {
  return remora_set(record, key,
                    v && remora_value_kind(v) == REMORA_INT ? remora_int(remora_as_int(v)) : remora_null());
}

/* [level, time, name, message, function, file, line, {more}] *new*; NULL for anything else. */
static remora_value *far_record(const remora_conn *c, const remora_value *row) {
  int64_t level = remora_as_int(remora_at(row, 0));
  if (remora_value_kind(row) != REMORA_LIST || remora_length(row) < 4 || level < REMORA_LOG_TRACE ||
      level > REMORA_LOG_FATAL)
    return NULL;
  const remora_value *more = remora_at(row, 7), *hops = remora_get(more, "hops");
  const char *node = remora_as_text(remora_get(c->hello, "node"), NULL);
  const remora_value *pid = remora_get(more, "pid"), *host = remora_get(more, "host"),
                     *exporter = remora_get(more, "exporter"), *dropped = remora_get(more, "dropped");
  remora_value *r = remora_map();
  int rc = r ? 0 : -1;
  if (rc == 0) rc |= remora_set(r, "level", remora_str(remora_log_level_name((int)level)));
  if (rc == 0) rc |= take_text(r, "name", remora_at(row, 2));
  if (rc == 0) rc |= take_text(r, "message", remora_at(row, 3));
  if (rc == 0) rc |= remora_set(r, "time", remora_float(remora_as_float(remora_at(row, 1))));
  if (rc == 0) rc |= take_text(r, "function", remora_at(row, 4));
  if (rc == 0) rc |= take_text(r, "file", remora_at(row, 5));
  if (rc == 0) rc |= take_int(r, "line", remora_at(row, 6));
  if (rc == 0) rc |= take_int(r, "pid", pid ? pid : remora_get(c->hello, "pid"));
  if (rc == 0) rc |= take_text(r, "host", host ? host : remora_get(c->hello, "host"));
  if (rc == 0 && exporter) rc |= take_text(r, "exporter", exporter);
  if (rc == 0 && !exporter) rc |= remora_set(r, "exporter", remora_str(far_exporter(node)));
  if (rc == 0) rc |= remora_set(r, "connection", log_text(c->carrier.name, strlen(c->carrier.name), SIZE_MAX));
  if (rc == 0) rc |= remora_set(r, "connection_id", remora_int((int64_t)c->number));
  if (rc == 0 && hops) rc |= remora_set(r, "hops", remora_value_ref((remora_value *)(uintptr_t)hops));
  if (rc == 0 && dropped) rc |= take_int(r, "dropped", dropped);
  return rc == 0 ? r : remora_value_unref(r);
}

/* *new* record that says how many are missing. */
static remora_value *drop_notice(const remora_conn *c, uint64_t dropped) {
  char text[100];
  (void)snprintf(text, sizeof text, "%llu log records were dropped over there: more than the budget",
                 (unsigned long long)dropped);
  remora_value *r = log_record_new(c, REMORA_LOG_WARN, "remora.log", text, NULL, NULL, 0);
  if (r && remora_set(r, "dropped", remora_int((int64_t)dropped)) != 0) r = remora_value_unref(r);
  return r;
}

void log_tell_dropped(remora_conn *c) {
  uint64_t now = hub_now_ms();
  if (c->log_untold == 0 || (c->state == CONN_OPEN && now - c->log_told_at < 1000)) return;
  remora_value *notice = drop_notice(c, c->log_untold);
  if (notice) log_deliver(c->hub, notice);
  (void)remora_value_unref(notice);
  c->log_untold = 0;
  c->log_told_at = now;
}

static void deliver_from(hub *h, remora_conn *c, const remora_value *rows, uint64_t dropped) {
  for (size_t i = 0; i < remora_length(rows); i++) {
    remora_value *record = far_record(c, remora_at(rows, i));
    hub_lock(h); /* for each of them: whoever waits for the lock does not wait for all */
    if (record) {
      c->log_records++;
      log_deliver(h, record);
    } else {
      dropped++;
    }
    hub_unlock(h);
    (void)remora_value_unref(record);
  }
  hub_lock(h);
  c->log_dropped += dropped;
  c->log_untold += dropped;
  log_tell_dropped(c);
  hub_unlock(h);
}

void log_received(hub *h, remora_conn *c, const message *m) {
  codec_in in = {.body = (const char *)m->payload, .length = m->head.size, .plain = true};
  remora_value *rows = m->head.size ? codec_json.decode(&in, NULL) : NULL;
  if (m->head.size && (!rows || remora_value_kind(rows) != REMORA_LIST)) {
    hub_lock(h);
    if (c->state == CONN_OPEN) conn_fail(c, REMORA_E_PROTOCOL, "%s: log records that cannot be read", c->carrier.name);
    hub_unlock(h);
  } else {
    deliver_from(h, c, rows, m->head.object);
  }
  (void)remora_value_unref(rows);
}

/* ---------------------------------------------------------------------------------------------------------- the C node */

typedef struct log_frame {
  size_t length;
  char text[LOG_FRAME]; /* "[", records separated by commas */
} log_frame;

struct log_forward {
  remora_conn *conn;
  log_filter *filter;
  int64_t budget, allowance; /* bytes; thousandths are not worth their trouble */
  uint64_t counted;          /* ms */
  log_frame frames[LOG_FRAMES];
  unsigned first, used;
  atomic_bool full;
  atomic_uint_least64_t dropped;
  uv_timer_t timer;
};

int log_forward_level(const struct log_forward *f) { return f->filter->level; }

bool log_forward_takes(const struct log_forward *f, int level, const char *name) {
  return log_filter_takes(f->filter, level, name);
}

bool log_forward_full(hub *h, int level, const char *name) {
  struct log_forward *f = h->log->forward;
  if (!f || h->log->sinks || !atomic_load_explicit(&f->full, memory_order_relaxed)) return false;
  if (log_filter_takes(f->filter, level, name)) atomic_fetch_add_explicit(&f->dropped, 1, memory_order_relaxed);
  return true;
}

static void forward_cb(uv_timer_t *timer) {
  struct log_forward *f = timer->data;
  remora_conn *c = f->conn;
  session *s = &c->session;
  uint64_t now = hub_now_ms();
  int64_t most = f->budget / 10 > LOG_FRAME ? f->budget / 10 : LOG_FRAME;
  f->allowance += f->budget * (int64_t)(now - f->counted) / 1000;
  if (f->allowance > most) f->allowance = most;
  f->counted = now;
  if (c->state == CONN_CLOSED) {
    (void)uv_timer_stop(timer);
    return;
  }
  while (!session_has_output(s) && f->allowance > 0 && (f->used > 0 || atomic_load(&f->dropped) > 0)) {
    log_frame *first = &f->frames[f->first];
    frame head = {.kind = FRAME_LOG};
    if (f->used > 0) {
      first->text[first->length++] = ']';
      head.size = (uint32_t)first->length;
    }
    head.object = atomic_exchange(&f->dropped, 0);
    if (session_send_frame(s, &head, first->text, false) != 0) return;
    f->allowance -= FRAME_HEADER + head.size;
    if (f->used > 0) {
      f->first = (f->first + 1) % LOG_FRAMES;
      f->used--;
    }
    atomic_store(&f->full, false);
    conn_flush(c);
  }
  if (f->used == 0 && atomic_load(&f->dropped) == 0) (void)uv_timer_stop(timer);
}

/* A row of docs/protocol.md section 11, as JSON. 0 or -1. */
static int forward_encode(const remora_value *record, size_t most, codec_out *out) {
  static const char *const keys[] = {"name", "message", "function", "file", "line"};
  const remora_value *conn = remora_get(record, "connection");
  remora_value *row = remora_list();
  int rc = row ? 0 : -1;
  if (rc == 0) rc |= remora_append(row, remora_int(log_record_level(record)));
  if (rc == 0) rc |= remora_append(row, remora_value_ref((remora_value *)(uintptr_t)remora_get(record, "time")));
  for (size_t i = 0; rc == 0 && i < sizeof keys / sizeof *keys; i++) {
    const remora_value *v = remora_get(record, keys[i]);
    size_t length = 0;
    const char *text = v && remora_value_kind(v) == REMORA_TEXT ? remora_as_text(v, &length) : NULL;
    rc |= remora_append(row, text ? log_text(text, length, i == 1 ? most : 500)
                             : v  ? remora_value_ref((remora_value *)(uintptr_t)v)
                                  : remora_null());
  }
  if (rc == 0 && conn && remora_value_kind(conn) == REMORA_TEXT) { /* it comes from further away */
    remora_value *more = remora_map(), *hops = remora_list();
    const remora_value *before = remora_get(record, "hops");
    rc |= more && hops ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < remora_length(before); i++)
      rc |= remora_append(hops, remora_value_ref((remora_value *)(uintptr_t)remora_at(before, i)));
    if (rc == 0) rc |= remora_append(hops, remora_value_ref((remora_value *)(uintptr_t)conn));
    if (rc == 0) rc |= remora_set(more, "hops", remora_value_ref(hops));
    static const char *const others[] = {"pid", "host", "exporter", "dropped"};
    for (size_t i = 0; rc == 0 && i < sizeof others / sizeof *others; i++) {
      const remora_value *v = remora_get(record, others[i]);
      if (v) rc |= remora_set(more, others[i], remora_value_ref((remora_value *)(uintptr_t)v));
    }
    (void)remora_value_unref(hops);
    if (rc == 0)
      rc |= remora_append(row, more);
    else
      (void)remora_value_unref(more);
  }
  if (rc == 0) rc |= codec_json.encode(row, out, NULL);
  if (rc == 0 && out->nraws) rc = -1;
  (void)remora_value_unref(row);
  return rc;
}

static bool forward_put(struct log_forward *f, const char *text, size_t length) {
  log_frame *last = f->used ? &f->frames[(f->first + f->used - 1) % LOG_FRAMES] : NULL;
  if (length + 2 > LOG_FRAME) return false;
  if (!last || last->length + length + 2 > LOG_FRAME) {
    if (f->used == LOG_FRAMES) {
      atomic_store(&f->full, true);
      return false;
    }
    last = &f->frames[(f->first + f->used++) % LOG_FRAMES];
    last->length = 0;
  }
  last->text[last->length] = last->length ? ',' : '[';
  last->length++;
  memcpy(last->text + last->length, text, length);
  last->length += length;
  return true;
}

bool log_forward_line(const struct log_forward *f, const remora_value *record, codec_out *line) {
  if (!log_filter_takes(f->filter, log_record_level(record), log_record_text(record, "name"))) return false;
  if (forward_encode(record, LOG_MESSAGE, line) == 0 && line->length + 2 <= LOG_FRAME) return true;
  codec_out_clear(line);
  *line = (codec_out){0};
  if (forward_encode(record, 500, line) == 0) return true; /* it was full of characters that JSON writes in six */
  line->length = LOG_FRAME;
  return true;
}

void log_forward_add(struct log_forward *f, const codec_out *line) {
  if (!forward_put(f, line->body, line->length)) atomic_fetch_add(&f->dropped, 1);
  if (uv_is_active((uv_handle_t *)&f->timer) || f->conn->state == CONN_CLOSED) return;
  uv_update_time(&f->conn->hub->loop);
  (void)uv_timer_start(&f->timer, forward_cb, LOG_TURN_MS, LOG_TURN_MS);
  loop_due(f->conn->hub);
}

void log_far(remora_conn *c) {
  log_state *s = c->hub->log;
  free(s->printer); /* what it prints would be output of user code */
  s->printer = NULL;
  const remora_value *asked = remora_get(c->hello, "log");
  struct log_forward *f = asked && remora_value_kind(asked) == REMORA_MAP ? calloc(1, sizeof *f) : NULL;
  int64_t level = remora_as_int(remora_get(asked, "level")), budget = remora_as_int(remora_get(asked, "budget"));
  if (f)
    f->filter =
        log_filter_new(level > 0 && level < 8 ? (int)level : 1, remora_as_text(remora_get(asked, "selections"), NULL));
  if (f && f->filter) {
    f->conn = c;
    f->budget = budget > 0 ? budget : LOG_BUDGET;
    f->allowance = LOG_FRAME;
    f->counted = hub_now_ms();
    (void)uv_timer_init(&c->hub->loop, &f->timer);
    f->timer.data = f;
    s->forward = f;
  } else {
    free(f);
  }
  log_settle(s);
}
