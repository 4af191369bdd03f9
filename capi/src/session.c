/* session.c: the byte streams of a session, in and out. */
#include "session.h"
#include "trace.h"

#include <stdlib.h>
#include <string.h>

enum { FROM_PREFIX, FROM_CONTROL, FROM_SMALL, FROM_CHUNK };

static int bytes_room(bytes *b, size_t more) {
  if (b->begin == b->end) b->begin = b->end = 0;
  if (b->room - b->end >= more) return 0;
  if (b->begin > b->end - b->begin) { /* else a long backlog would be moved again and again */
    memmove(b->data, b->data + b->begin, b->end - b->begin);
    b->end -= b->begin;
    b->begin = 0;
    if (b->room - b->end >= more) return 0;
  }
  size_t room = b->room ? b->room : 512;
  while (room - b->end < more) room *= 2;
  uint8_t *data = realloc(b->data, room);
  if (!data) return -1;
  b->data = data;
  b->room = room;
  return 0;
}

static void bytes_add(bytes *b, const void *data, size_t length) {
  if (length) memcpy(b->data + b->end, data, length);
  b->end += length;
}

static void bytes_take(bytes *b, size_t length) {
  b->begin += length;
  if (b->begin != b->end) return;
  b->begin = b->end = 0;
  if (b->room > FRAME_CHUNK) { /* a burst is over */
    free(b->data);
    *b = (bytes){0};
  }
}

void session_init(session *s, uint32_t max_message, const char *name) {
  *s = (session){.max_message = max_message, .name = name, .credit = 1024 * 1024};
  s->ready_last = &s->ready;
  s->large_last = &s->large;
}

message *message_ref(message *m) {
  atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
  return m;
}

void message_unref(message *m) {
  if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1) return;
  if (m->refs_in) {
    for (uint32_t i = 0; i < m->nrefs; i++) remora_value_unref(m->refs_in[i]);
    free(m->refs_in);
  }
  free(m);
}

static void outgoing_free(outgoing *o) {
  for (size_t i = 0; i < o->nsegs; i++) {
    if (o->segs[i].keep)
      remora_value_unref(o->segs[i].keep);
    else
      free((void *)(uintptr_t)o->segs[i].data);
  }
  free(o);
}

void outgoing_free_list(outgoing *o) {
  while (o) {
    outgoing *next = o->next;
    outgoing_free(o);
    o = next;
  }
}

static void message_free_list(message *m) {
  while (m) {
    message *next = m->next;
    message_unref(m);
    m = next;
  }
}

void session_clear(session *s) {
  if (s->current && !(s->current->head.flags & FRAME_CHUNKED)) message_unref(s->current);
  message_free_list(s->assemblies);
  message_free_list(s->held);
  message_free_list(s->ready);
  outgoing_free_list(s->large);
  outgoing_free_list(s->sent);
  s->sent = NULL;
  free(s->stray.data);
  free(s->prefix.data);
  free(s->control.data);
  free(s->small.data);
  s->current = s->assemblies = s->held = s->ready = NULL;
  s->ready_last = &s->ready;
  s->large_last = &s->large;
  s->stray = s->prefix = s->control = s->small = (bytes){0};
}

/* ------------------------------------------------------------------------------------------------------------------ in */

/* Finds the tables inside a message that has arrived. */
static const char *session_tables(message *m) {
  const uint8_t *p = m->payload + m->head.mlen, *end = m->payload + m->head.size;
  if (m->head.flags & FRAME_TABLES) {
    if (end - p < 8) return "truncated tables";
    m->nrefs = frame_get32(p);
    m->nraws = frame_get32(p + 4);
    p += 8;
    if (m->nrefs > FRAME_MAX_REFS || (size_t)(end - p) / 16 < m->nrefs)
      return m->nrefs = m->nraws = 0, "truncated tables";
    m->ref_rows = p;
    p += (size_t)m->nrefs * 16;
    if ((size_t)(end - p) / 4 < m->nraws) return m->nraws = 0, "truncated tables";
    m->raw_rows = p;
    p += (size_t)m->nraws * 4;
    uint64_t raw = 0;
    for (uint32_t i = 0; i < m->nraws; i++) raw += frame_get32(m->raw_rows + 4 * (size_t)i);
    if (raw > (uint64_t)(end - p)) return "attachments longer than their message";
    end -= raw;
  }
  m->body = (const char *)p;
  m->body_length = (size_t)(end - p);
  return NULL;
}

static bool session_must_wait(const session *s, const message *m) {
  if (m->head.kind != FRAME_CALL && m->head.kind != FRAME_RELEASE) return false;
  for (const message *a = s->assemblies; a; a = a->next)
    if (a->order < m->order &&
        (m->head.kind == FRAME_RELEASE || (a->head.kind == FRAME_CALL && a->head.object == m->head.object)))
      return true;
  return false;
}

static void session_deliver(session *s, message *m) {
  m->next = NULL;
  *s->ready_last = m;
  s->ready_last = &m->next;
}

static void session_hold(session *s, message *m) {
  message **at = &s->held;
  while (*at && (*at)->order < m->order) at = &(*at)->next;
  m->next = *at;
  *at = m;
}

static void session_arrived(session *s, message *m) {
  if (m->head.kind >= FRAME_CALL && m->head.kind <= FRAME_ERROR && (s->fault = session_tables(m)) != NULL) {
    message_unref(m);
    return;
  }
  trace_frame(s->name, '<', &m->head, m->payload);
  if (!s->assemblies && !s->held) {
    session_deliver(s, m);
    return;
  }
  if (session_must_wait(s, m))
    session_hold(s, m);
  else
    session_deliver(s, m);
}

/* An assembly is complete: it goes on, and so does what waited for it, in order. */
static void session_assembled(session *s, message *m) {
  message **at = &s->assemblies;
  while (*at != m) at = &(*at)->next;
  *at = m->next;
  s->nassemblies--;
  m->next = NULL;
  session_arrived(s, m);
  for (at = &s->held; *at && !s->fault;) {
    message *h = *at;
    if (session_must_wait(s, h)) {
      at = &h->next;
      continue;
    }
    *at = h->next;
    session_deliver(s, h);
  }
}

static message *message_new(const frame *head) {
  message *m = malloc(sizeof *m + head->size + 1);
  if (!m) return NULL;
  *m = (message){.head = *head};
  atomic_init(&m->refs, 1);
  m->payload[head->size] = 0;
  return m;
}

/* A whole header stands in s->head: decides where its payload goes. */
static void session_header(session *s) {
  frame f;
  frame_decode(s->head, &f);
  s->head_have = 0;
  if ((s->fault = frame_check(&f, s->max_message)) != NULL) return;
  s->current_left = f.size;
  if (f.kind == FRAME_CHUNK_OF) {
    message *a = s->assemblies;
    while (a && (a->head.call != f.call || a->head.kind != f.aux)) a = a->next;
    if (!a) {
      s->fault = "a chunk of nothing";
    } else if (a->head.size - a->filled < f.size) {
      s->fault = "more chunks than announced";
    } else {
      s->current = a;
    }
    return;
  }
  message *m = message_new(&f);
  if (!m) {
    s->fault = "out of memory";
    return;
  }
  m->order = ++s->orders;
  if (f.flags & FRAME_CHUNKED && f.size > 0) {
    for (message *a = s->assemblies; a; a = a->next)
      if (a->head.call == f.call && a->head.kind == f.kind) s->fault = "two chunked messages with one id";
    if (++s->nassemblies > FRAME_MAX_ASSEMBLIES) s->fault = "too many unfinished messages";
    m->next = s->assemblies;
    s->assemblies = m;
    s->current_left = 0;
    return;
  }
  s->current = m;
}

static void session_payload_done(session *s) {
  message *m = s->current;
  s->current = NULL;
  if (m->head.flags & FRAME_CHUNKED && m->head.size > 0) {
    if (m->filled == m->head.size) session_assembled(s, m);
  } else {
    session_arrived(s, m);
  }
}

/* Drops what a login shell printed, up to the eight bytes. How many bytes of data were used. */
static size_t session_start(session *s, const uint8_t *data, size_t length) {
  bytes *b = &s->stray;
  if (bytes_room(b, length) != 0) return s->fault = "out of memory", length;
  size_t before = b->end - b->begin;
  bytes_add(b, data, length);
  const uint8_t *text = b->data + b->begin, *found = memmem(text, b->end - b->begin, FRAME_MAGIC, FRAME_MAGIC_LENGTH);
  size_t begins = s->stray_total - before + (size_t)(found ? found - text : 0);
  s->stray_total += length;
  if (found ? begins > FRAME_MAX_STRAY : s->stray_total >= FRAME_MAX_STRAY + FRAME_MAGIC_LENGTH) {
    s->fault = "writes rubbish in place of a greeting";
    return length;
  }
  if (!found) {
    if (b->end - b->begin > 4096 + FRAME_MAGIC_LENGTH) b->begin = b->end - 4096 - FRAME_MAGIC_LENGTH;
    return length;
  }
  s->started = true;
  size_t used = (size_t)(found - text) + FRAME_MAGIC_LENGTH - before;
  b->end = b->begin + (size_t)(found - text);
  return used;
}

bool session_line(const session *s, const char *mark, size_t length, char *room, size_t size) {
  const bytes *b = &s->stray;
  if (s->started || b->begin == b->end) return false;
  const char *text = (const char *)b->data + b->begin, *end = (const char *)b->data + b->end;
  const char *line = memmem(text, (size_t)(end - text), mark, length);
  const char *newline = line ? memchr(line + length, '\n', (size_t)(end - line) - length) : NULL;
  if (!newline) return false;
  line += length;
  size_t n = (size_t)(newline - line);
  if (n >= size) n = size - 1;
  memcpy(room, line, n);
  room[n] = 0;
  return true;
}

void session_feed(session *s, const uint8_t *data, size_t length) {
  s->bytes_in += length;
  while (length > 0 && !s->fault) {
    size_t n;
    if (!s->started) {
      n = session_start(s, data, length);
    } else if (s->current) {
      n = s->current_left < length ? s->current_left : length;
      memcpy(s->current->payload + s->current->filled, data, n);
      session_filled(s, n);
      s->bytes_in -= n; /* counted above already */
    } else {
      n = FRAME_HEADER - s->head_have;
      if (n > length) n = length;
      memcpy(s->head + s->head_have, data, n);
      s->head_have += (unsigned)n;
      if (s->head_have == FRAME_HEADER) {
        session_header(s);
        if (s->current && s->current_left == 0) session_payload_done(s);
      }
    }
    data += n;
    length -= n;
  }
}

bool session_direct(session *s, uint8_t **data, size_t *length) {
  if (!s->current || s->current_left < 4096) return false;
  *data = s->current->payload + s->current->filled;
  *length = s->current_left;
  return true;
}

void session_filled(session *s, size_t length) {
  s->bytes_in += length;
  s->current->filled += (uint32_t)length;
  s->current_left -= length;
  if (s->current_left == 0) session_payload_done(s);
}

message *session_next(session *s) {
  message *m = s->ready;
  if (!m) return NULL;
  s->ready = m->next;
  if (!s->ready) s->ready_last = &s->ready;
  m->next = NULL;
  return m;
}

/* ----------------------------------------------------------------------------------------------------------------- out */

int session_send_frame(session *s, frame *head, const void *payload, bool urgent) {
  bytes *b = urgent ? &s->control : &s->small;
  if (bytes_room(b, FRAME_HEADER + head->size) != 0) return -1;
  frame_encode(head, b->data + b->end);
  b->end += FRAME_HEADER;
  bytes_add(b, payload, head->size);
  trace_frame(s->name, '>', head, payload);
  return 0;
}

static void session_put_tables(bytes *b, const codec_out *out, const uint8_t *rows) {
  uint8_t counts[8];
  frame_put32(counts, (uint32_t)out->nrefs);
  frame_put32(counts + 4, (uint32_t)out->nraws);
  bytes_add(b, counts, 8);
  bytes_add(b, rows, out->nrefs * 16);
  for (size_t i = 0; i < out->nraws; i++) {
    size_t length;
    (void)remora_as_text(out->raws[i].value, &length);
    frame_put32(b->data + b->end, (uint32_t)length);
    b->end += 4;
  }
}

int session_send(session *s, frame *head, const char *method, codec_out *out, const uint8_t *rows) {
  size_t tables = out->nrefs || out->nraws ? 8 + out->nrefs * 16 + out->nraws * 4 : 0;
  size_t front = head->mlen + tables + out->length, total = front;
  for (size_t i = 0; i < out->nraws; i++) {
    size_t length;
    (void)remora_as_text(out->raws[i].value, &length);
    total += length;
  }
  head->size = (uint32_t)total;
  if (tables) head->flags |= FRAME_TABLES;
  if (out->plain) head->flags |= FRAME_PLAIN;
  if (total > FRAME_SMALL) head->flags |= FRAME_CHUNKED;
  bytes *b = &s->small;
  if (total <= FRAME_SMALL) {
    if (bytes_room(b, FRAME_HEADER + total) != 0) return -1;
    size_t begin = b->end;
    frame_encode(head, b->data + b->end);
    b->end += FRAME_HEADER;
    bytes_add(b, method, head->mlen);
    if (tables) session_put_tables(b, out, rows);
    bytes_add(b, out->body, out->length);
    for (size_t i = 0; i < out->nraws; i++) {
      size_t length;
      const char *data = remora_as_text(out->raws[i].value, &length);
      bytes_add(b, data, length);
    }
    trace_frame(s->name, '>', head, s->secret ? NULL : b->data + begin + FRAME_HEADER);
    s->wipes = s->wipes || s->secret;
    return 0;
  }
  outgoing *o = malloc(sizeof *o + (1 + out->nraws) * sizeof o->segs[0]);
  bytes first = {0};
  if (!o || bytes_room(&first, front) != 0 || bytes_room(b, FRAME_HEADER) != 0) {
    free(o);
    free(first.data);
    return -1;
  }
  bytes_add(&first, method, head->mlen);
  if (tables) session_put_tables(&first, out, rows);
  bytes_add(&first, out->body, out->length);
  *o = (outgoing){.head = *head, .nsegs = 1 + out->nraws};
  o->segs[0].data = first.data;
  o->segs[0].length = first.end;
  o->segs[0].keep = NULL;
  for (size_t i = 0; i < out->nraws; i++) {
    o->segs[i + 1].keep = remora_value_ref(out->raws[i].value);
    o->segs[i + 1].data = (const uint8_t *)remora_as_text(out->raws[i].value, &o->segs[i + 1].length);
  }
  frame_encode(head,
               b->data + b->end); /* the header keeps its place among the small messages: that is the order of calls */
  b->end += FRAME_HEADER;
  o->after = s->small_sent + (b->end - b->begin);
  *s->large_last = o;
  s->large_last = &o->next;
  trace_frame(s->name, '>', head, first.data);
  return 0;
}

bool session_has_output(const session *s) {
  if (s->prefix.begin != s->prefix.end || s->control.begin != s->control.end) return true;
  if (s->hold) return s->small_frame_left || s->chunk_head_left || s->chunk_left;
  return s->small.begin != s->small.end || s->large;
}

size_t session_queued(const session *s) {
  size_t n = s->small.end - s->small.begin + s->control.end - s->control.begin + s->prefix.end - s->prefix.begin;
  for (const outgoing *o = s->large; o; o = o->next)
    for (size_t i = o->seg; i < o->nsegs; i++) n += o->segs[i].length - (i == o->seg ? o->offset : 0);
  return n;
}

static void session_piece(session *s, struct iovec *iov, int *n, uint8_t source, const uint8_t *data, size_t length) {
  if (length == 0) return;
  iov[*n].iov_base = (void *)(uintptr_t)data;
  iov[(*n)++].iov_len = length;
  if (s->plan_length > 0 && s->plan[s->plan_length - 1].source == source) {
    s->plan[s->plan_length - 1].length += length;
  } else {
    s->plan[s->plan_length].source = source;
    s->plan[s->plan_length++].length = length;
  }
}

/* Begins a chunk of the first large message whose header is out. */
static bool session_chunk_begin(session *s, uint64_t small_out) {
  outgoing *o = s->large;
  if (!o || o->after > small_out) return false;
  size_t length = 0;
  for (size_t i = o->seg; i < o->nsegs && i < o->seg + 4 && length < SESSION_CHUNK; i++)
    length += o->segs[i].length - (i == o->seg ? o->offset : 0);
  if (length > SESSION_CHUNK) length = SESSION_CHUNK;
  frame f = {.kind = FRAME_CHUNK_OF, .size = (uint32_t)length, .call = o->head.call, .aux = o->head.kind};
  frame_encode(&f, s->chunk_head);
  s->chunk_head_left = FRAME_HEADER;
  s->chunk_left = length;
  return true;
}

static void session_chunk_pieces(session *s, struct iovec *iov, int *n, int room) {
  session_piece(s, iov, n, FROM_CHUNK, s->chunk_head + FRAME_HEADER - s->chunk_head_left, s->chunk_head_left);
  outgoing *o = s->large;
  size_t left = s->chunk_left;
  for (size_t i = o->seg; left > 0 && i < o->nsegs && *n < room; i++) {
    size_t offset = i == o->seg ? o->offset : 0, length = o->segs[i].length - offset;
    if (length > left) length = left;
    session_piece(s, iov, n, FROM_CHUNK, o->segs[i].data + offset, length);
    left -= length;
  }
}

int session_output(session *s, struct iovec *iov, int room) {
  int n = 0;
  s->plan_length = 0;
  if (s->prefix.begin != s->prefix.end) {
    session_piece(s, iov, &n, FROM_PREFIX, s->prefix.data + s->prefix.begin, s->prefix.end - s->prefix.begin);
    return n;
  }
  if (s->chunk_head_left || s->chunk_left) { /* a frame that was begun has to be finished first */
    session_chunk_pieces(s, iov, &n, room);
    return n;
  }
  if (s->small_frame_left) {
    session_piece(s, iov, &n, FROM_SMALL, s->small.data + s->small.begin, s->small_frame_left);
    return n;
  }
  session_piece(s, iov, &n, FROM_CONTROL, s->control.data + s->control.begin, s->control.end - s->control.begin);
  if (s->hold) return n;
  /* Whole small frames, up to about 64 KiB. */
  size_t small = s->small.end - s->small.begin;
  if (small > FRAME_SMALL && s->large) {
    size_t cut = 0;
    while (cut < FRAME_SMALL && cut < small) {
      const uint8_t *h = s->small.data + s->small.begin + cut;
      cut += FRAME_HEADER + (h[5] & FRAME_CHUNKED ? 0 : frame_get32(h));
    }
    small = cut;
  }
  session_piece(s, iov, &n, FROM_SMALL, s->small.data + s->small.begin, small);
  if (s->control.begin == s->control.end && session_chunk_begin(s, s->small_sent + small))
    session_chunk_pieces(s, iov, &n, room);
  return n;
}

/* Small bytes went out: finds out whether a frame was cut. */
static void session_small_sent(session *s, size_t length) {
  s->small_sent += length;
  if (s->small_frame_left) {
    s->small_frame_left -= length;
  } else {
    size_t at = 0;
    while (at < length) {
      const uint8_t *h = s->small.data + s->small.begin + at;
      at += FRAME_HEADER + (h[5] & FRAME_CHUNKED ? 0 : frame_get32(h));
    }
    s->small_frame_left = at - length;
  }
  if (s->wipes) explicit_bzero(s->small.data + s->small.begin, length);
  bytes_take(&s->small, length);
}

static void session_chunk_sent(session *s, size_t length) {
  size_t head = length < s->chunk_head_left ? length : s->chunk_head_left;
  s->chunk_head_left -= head;
  length -= head;
  outgoing *o = s->large;
  s->chunk_left -= length;
  while (length > 0) {
    size_t n = o->segs[o->seg].length - o->offset;
    if (n > length) n = length;
    o->offset += n;
    length -= n;
    while (o->seg < o->nsegs && o->offset == o->segs[o->seg].length) o->seg++, o->offset = 0;
  }
  if (s->chunk_left || s->chunk_head_left) return;
  s->large = o->next; /* turns: to the end of the line, or away */
  if (!s->large) s->large_last = &s->large;
  if (o->seg == o->nsegs) {
    o->next = s->sent;
    s->sent = o;
    return;
  }
  o->next = NULL;
  *s->large_last = o;
  s->large_last = &o->next;
}

void session_spend(session *s, uint64_t cost) {
  if (s->outstanding > s->credit / 4 && s->outstanding + cost > s->credit) s->overdrawn += cost;
  s->outstanding += cost;
}

bool session_earn(session *s, uint64_t cost) {
  if (cost > s->outstanding) return false;
  s->outstanding -= cost;
  if (s->outstanding <= s->credit) s->overdrawn = 0;
  return true;
}

void session_sent(session *s, size_t length) {
  s->bytes_out += length;
  bool chunk_begun = false;
  for (int i = 0; i < s->plan_length; i++) {
    size_t n = s->plan[i].length < length ? s->plan[i].length : length;
    length -= n;
    switch (s->plan[i].source) {
    case FROM_PREFIX:
      bytes_take(&s->prefix, n);
      break;
    case FROM_CONTROL:
      bytes_take(&s->control, n);
      break;
    case FROM_SMALL:
      if (n) session_small_sent(s, n);
      break;
    default:
      if (n) session_chunk_sent(s, n), chunk_begun = true;
    }
  }
  if (!chunk_begun && s->chunk_head_left == FRAME_HEADER)
    s->chunk_head_left = s->chunk_left = 0; /* planned, not begun */
  s->plan_length = 0;
}
