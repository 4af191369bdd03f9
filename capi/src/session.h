/* session.h: the protocol without I/O. Bytes in become messages, messages and control frames become bytes out; the tables of a connection live here.
 * Not thread-safe: the hub's lock is held around every call. */
#ifndef REMORA_SESSION_H
#define REMORA_SESSION_H

#include "codec.h"
#include "frame.h"
#include "idmap.h"

#include <sys/uio.h>

/* Something that arrived whole. Kept alive by values that point into it. */
typedef struct message {
  struct message *next;
  atomic_int refs;
  frame head;
  uint32_t filled;
  uint64_t order; /* of its header among all headers */
  bool secret;    /* a call whose answer is neither traced nor kept */
  uint32_t nrefs, nraws;
  const uint8_t *ref_rows, *raw_rows;
  const char *body;
  size_t body_length;
  remora_value **refs_in; /* the hub's: one value for each row of references */
  uint8_t payload[];      /* head.size bytes and a NUL */
} message;

message *message_ref(message *m);
void message_unref(message *m);

/* A message going out that is sent in chunks. */
typedef struct outgoing {
  struct outgoing *next;
  frame head;
  uint64_t after;            /* its first chunk may follow when so many bytes of the small stream are out */
  size_t nsegs, seg, offset; /* where the next chunk begins */
  struct {
    const uint8_t *data;
    size_t length;
    remora_value *keep; /* NULL: data was malloc'd for this message */
  } segs[];
} outgoing;

void outgoing_free_list(outgoing *o);

typedef struct bytes {
  uint8_t *data;
  size_t begin, end, room;
} bytes;

/* What a TYPE frame told. */
typedef struct far_type {
  uint32_t number;
  char *name, *traits;
} far_type;

/* A row of the export table. */
typedef struct lent {
  remora_object *object; /* NULL: the row is free */
  uint64_t count;        /* how often its id was sent */
  uint32_t generation, next_free;
} lent;

typedef struct session {
  /* in */
  bool started; /* the eight bytes have been seen */
  bytes stray;  /* what came before them */
  size_t stray_total;
  uint8_t head[FRAME_HEADER];
  unsigned head_have;
  frame chunk;         /* the CHUNK frame being read */
  message *current;    /* its payload is being read; for a chunk the message it continues */
  size_t current_left; /* bytes of the frame that are still to come */
  message *assemblies; /* chunked messages that have not arrived */
  unsigned nassemblies;
  message *held; /* arrived, but must wait for an assembly; in order */
  message *ready, **ready_last;
  uint64_t orders;
  uint32_t max_message;
  const char *fault; /* why the connection has to end; NULL: all is well */
  uint64_t bytes_in, bytes_out, calls_out, calls_in;
  /* out */
  bytes prefix; /* the program for the interpreter */
  bool hold;    /* only the prefix and what is urgent may go */
  bytes control, small;
  uint64_t small_sent;     /* bytes of the small stream that are out, for outgoing.after */
  size_t small_frame_left; /* bytes of a small frame that was cut by a partial write */
  outgoing *large, **large_last;
  outgoing *sent; /* large ones that are out, to be freed when there is time */
  uint8_t chunk_head[FRAME_HEADER];
  size_t chunk_head_left, chunk_left; /* of the chunk being written; its bytes come from the first of `large` */
  struct {
    uint8_t source;
    size_t length;
  } plan[4];
  int plan_length;
  /* credit for our calls */
  uint64_t credit, outstanding;
  uint64_t overdrawn; /* by small calls, since the credit was used up */
  uint64_t owed;      /* credit to give back to the far side */
  /* tables */
  void **pending; /* by slot; free slots are linked through pending_free */
  uint32_t *pending_next;
  uint16_t *pending_generation;
  uint32_t pending_room, pending_free, pending_last, npending;
  lent *exports;
  uint32_t exports_room, exports_free, nexports;
  idmap lent_ids; /* address of a remora_object -> index of its row */
  idmap imports;  /* far id -> remora_proxy */
  idmap types;    /* number -> far_type */
  idmap classes;  /* hash of what TYPE says -> our type number */
  uint32_t next_type;
  const char *name; /* for the trace */
  bool secret;      /* what is sent now is not to be traced, */
  bool wipes;       /* and what has been sent is wiped from then on */
} session;

void session_init(session *s, uint32_t max_message, const char *name);
/* Frees buffers and messages; the tables must be empty of owners already. */
void session_clear(session *s);

/* --- in --- */
void session_feed(session *s, const uint8_t *data, size_t length);
/* Where the next bytes may be read to directly: the rest of a long payload. */
bool session_direct(session *s, uint8_t **data, size_t *length);
void session_filled(session *s, size_t length);
/* The next message, or NULL; the caller owns it. */
message *session_next(session *s);
/* Before the start: a line that begins with these bytes (NUL included) and is whole; copies what follows them. */
bool session_line(const session *s, const char *mark, size_t length, char *room, size_t size);

/* --- out --- */
/* Queues CALL, REPLY or ERROR. parts: what `out` encoded (its attachments are kept, its body copied or stolen); rows: out->nrefs × 16 bytes. 0 or -1 (memory). */
int session_send(session *s, frame *head, const char *method, codec_out *out, const uint8_t *rows);
/* Queues any other frame: in the order of messages, or (urgent) before them. */
int session_send_frame(session *s, frame *head, const void *payload, bool urgent);
bool session_has_output(const session *s);
/* Bytes that wait to be written. */
size_t session_queued(const session *s);
/* Up to `room` (at least 8) pieces of what is to be written next, never much more than a chunk. */
int session_output(session *s, struct iovec *iov, int room);
void session_sent(session *s, size_t length);

/* May a call of that many bytes go? A large one may once the far side owes no more than it is allowed to collect; small
 * ones may overdraw by a quarter, else they would wait for the end of a large one. */
static inline bool session_has_credit(const session *s, uint64_t cost) {
  return s->outstanding + cost <= s->credit || s->outstanding <= s->credit / 4 ||
         (cost <= FRAME_SMALL && s->overdrawn + cost <= s->credit / 4);
}
void session_spend(session *s, uint64_t cost);
/* False: that much was not spent. */
bool session_earn(session *s, uint64_t cost);

/* --- tables --- */
uint32_t session_pending_add(session *s, void *call);      /* 0: memory is out, or too many */
void *session_pending_take(session *s, uint32_t id);       /* NULL: unknown */
void *session_pending_at(const session *s, uint32_t slot); /* for walking 1..pending_room-1 */
/* Counts one more sending of the object and gives its id (0: memory is out). *fresh: the row is new and now owns a reference that the caller has to have taken. */
uint64_t session_lend(session *s, remora_object *object, bool *fresh);
remora_object *session_lent(const session *s, uint64_t id);
/* Subtracts. 1: the row is free now and *object (if not NULL) gives its reference; 0: still lent; -1: more than was lent. */
int session_unlend(session *s, uint64_t id, uint64_t count, remora_object **object);

/* Shorter than a chunk may be: what is small waits for the chunk before it, here and where it is read. */
#define SESSION_CHUNK (FRAME_CHUNK / 2)

#define SESSION_CREDIT (16u * 1024 * 1024)

#endif
