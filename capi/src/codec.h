/* codec.h: value <-> bytes. One vtable per encoding; the tables of references and attachments stand outside of it (docs/protocol.md section 4). */
#ifndef REMORA_CODEC_H
#define REMORA_CODEC_H

#include "value.h"

/* An attachment going out: a text or bytes value whose bytes are sent as they are. */
typedef struct codec_raw {
  remora_value *value; /* holds a reference */
} codec_raw;

/* What encoding a value yields. Zero it first; codec_out_clear gives everything back. */
typedef struct codec_out {
  char *body; /* malloc'd; or inline_buffer, as long as that is large enough */
  size_t length;
  size_t room;
  char *inline_buffer; /* a caller's buffer of `room` bytes, used until it is too small; never freed */
  bool arguments;      /* set by the caller: v is an argument list; errors then say "argument 2", else "element 2" */
  bool plain;          /* the body holds no tag */
  remora_value **refs; /* references in the order of their rows; each holds a reference */
  size_t nrefs, refs_room;
  codec_raw *raws;
  size_t nraws, raws_room;
} codec_out;

/* What decoding needs beside the body. */
typedef struct codec_in {
  const char *body;
  size_t length;
  bool plain;
  remora_value *const *refs; /* rows, borrowed */
  size_t nrefs;
  const char *const *raws; /* attachments inside the message's memory */
  const uint32_t *raw_lengths;
  size_t nraws;
  void (*retain)(void *message);  /* called once for every value that points into the message's memory... */
  void (*release)(void *message); /* ...and when that value goes */
  void *message;
} codec_in;

typedef struct codec {
  const char *name;
  /* Appends the encoding of v. 0, or -1 with REMORA_E_VALUE (text names where: "argument 2, key \"a\", ...") or REMORA_E_NOMEM. v NULL is null.
   * A list with keywords is encoded as the list with the keywords map as last element. */
  int (*encode)(const remora_value *v, codec_out *out, remora_error **err);
  /* *new* value; NULL with REMORA_E_VALUE: what is wrong with the body. Bytes of at least CODEC_VIEW bytes point into the message. */
  remora_value *(*decode)(const codec_in *in, remora_error **err);
} codec;

#define CODEC_LONG_TEXT 4096 /* text from here on goes as an attachment */
#define CODEC_VIEW 4096

extern const codec codec_json;

void codec_out_clear(codec_out *out);

#endif
