/* frame.h: the envelope of docs/protocol.md section 2: header, kinds, flags, limits. */
#ifndef REMORA_FRAME_H
#define REMORA_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER 32u
#define FRAME_MAGIC "\0REMORA\n"
#define FRAME_MAGIC_LENGTH 8u
#define FRAME_PROTOCOL 1

/* Limits of section 9. */
#define FRAME_SMALL (64u * 1024)  /* a longer message is sent in chunks; the longest of the other frames */
#define FRAME_CHUNK (256u * 1024) /* the longest chunk, and the longest message that may come in one piece */
#define FRAME_MAX_ASSEMBLIES 1024u
#define FRAME_MAX_REFS 1000000u
#define FRAME_MAX_STRAY (64u * 1024)

enum frame_kind {
  FRAME_HELLO = 1,
  FRAME_CALL,
  FRAME_REPLY,
  FRAME_ERROR,
  FRAME_CANCEL,
  FRAME_RELEASE,
  FRAME_BEAT,
  FRAME_CREDIT,
  FRAME_TYPE,
  FRAME_OUTPUT,
  FRAME_CHUNK_OF,
  FRAME_BYE,
  FRAME_LOG,
  FRAME_KINDS
};

enum frame_flag {
  FRAME_PLAIN = 1,
  FRAME_TABLES = 2,
  FRAME_CHUNKED = 4,
  FRAME_KW = 8,
  FRAME_ONEWAY = 16,
  FRAME_BYREF = 32,
};

typedef struct frame {
  uint32_t size;
  uint8_t kind, flags;
  uint16_t mlen;
  uint32_t call, aux;
  uint64_t object, chain;
} frame;

void frame_encode(const frame *f, uint8_t out[FRAME_HEADER]);
void frame_decode(const uint8_t in[FRAME_HEADER], frame *out);
/* NULL, or what is wrong with the header; max_message bounds CALL, REPLY and ERROR. */
const char *frame_check(const frame *f, uint32_t max_message);
/* "CALL", or "?". */
const char *frame_kind_name(uint8_t kind);

static inline uint32_t frame_get32(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t frame_get64(const uint8_t *p) { return frame_get32(p) | (uint64_t)frame_get32(p + 4) << 32; }
static inline void frame_put32(uint8_t *p, uint32_t v) {
  p[0] = (uint8_t)v, p[1] = (uint8_t)(v >> 8), p[2] = (uint8_t)(v >> 16), p[3] = (uint8_t)(v >> 24);
}
static inline void frame_put64(uint8_t *p, uint64_t v) {
  frame_put32(p, (uint32_t)v);
  frame_put32(p + 4, (uint32_t)(v >> 32));
}

#endif
