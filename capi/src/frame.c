/* frame.c: packing, unpacking and checking of frame headers. */
#include "frame.h"

void frame_encode(const frame *f, uint8_t out[FRAME_HEADER]) {
  frame_put32(out, f->size);
  out[4] = f->kind;
  out[5] = f->flags;
  out[6] = (uint8_t)f->mlen;
  out[7] = (uint8_t)(f->mlen >> 8);
  frame_put32(out + 8, f->call);
  frame_put32(out + 12, f->aux);
  frame_put64(out + 16, f->object);
  frame_put64(out + 24, f->chain);
}

void frame_decode(const uint8_t in[FRAME_HEADER], frame *out) {
  out->size = frame_get32(in);
  out->kind = in[4];
  out->flags = in[5];
  out->mlen = (uint16_t)(in[6] | in[7] << 8);
  out->call = frame_get32(in + 8);
  out->aux = frame_get32(in + 12);
  out->object = frame_get64(in + 16);
  out->chain = frame_get64(in + 24);
}

enum { CALL_ID = 1, AUX = 2, OBJECT = 4, CHAIN = 8 };

/* What each kind may carry: flags, fields that may be other than 0, and the longest payload (0: max_message). */
static const struct {
  uint8_t flags, fields;
  uint32_t size;
} rules[FRAME_KINDS] = {
    [FRAME_HELLO] = {0, 0, FRAME_SMALL},
    [FRAME_CALL] = {FRAME_PLAIN | FRAME_TABLES | FRAME_CHUNKED | FRAME_KW | FRAME_ONEWAY | FRAME_BYREF,
                    CALL_ID | AUX | OBJECT | CHAIN, 0},
    [FRAME_REPLY] = {FRAME_PLAIN | FRAME_TABLES | FRAME_CHUNKED, CALL_ID, 0},
    [FRAME_ERROR] = {FRAME_PLAIN | FRAME_TABLES | FRAME_CHUNKED, CALL_ID, 0},
    [FRAME_CANCEL] = {0, CALL_ID, UINT32_MAX},
    [FRAME_RELEASE] = {0, 0, FRAME_SMALL},
    [FRAME_BEAT] = {0, 0, UINT32_MAX},
    [FRAME_CREDIT] = {0, OBJECT, UINT32_MAX},
    [FRAME_TYPE] = {0, OBJECT, FRAME_SMALL},
    [FRAME_OUTPUT] = {0, AUX, FRAME_SMALL},
    [FRAME_CHUNK_OF] = {0, CALL_ID | AUX, FRAME_CHUNK},
    [FRAME_BYE] = {0, 0, FRAME_SMALL},
    [FRAME_LOG] = {0, OBJECT, FRAME_SMALL},
};

const char *frame_check(const frame *f, uint32_t max_message) {
  if (f->kind == 0 || f->kind >= FRAME_KINDS) return "unknown kind of frame";
  uint8_t fields = rules[f->kind].fields;
  uint32_t longest = rules[f->kind].size;
  if (f->flags & ~rules[f->kind].flags) return "a flag that this kind of frame does not have";
  if ((f->call && !(fields & CALL_ID)) || (f->aux && !(fields & AUX)) || (f->object && !(fields & OBJECT)) ||
      (f->chain && !(fields & CHAIN)) || (f->mlen && f->kind != FRAME_CALL))
    return "a field that must be 0 is not";
  if (f->size > (longest == 0 ? max_message : longest == UINT32_MAX ? 0 : longest)) return "a frame beyond its limit";
  if (fields & CALL_ID && f->call == 0) return "call id 0";
  if (longest == 0 && f->size > FRAME_CHUNK && !(f->flags & FRAME_CHUNKED))
    return "a long message that is not in chunks";
  if (f->mlen > f->size) return "a method's name longer than its frame";
  if (f->kind == FRAME_RELEASE && f->size % 16) return "a broken list of releases";
  if (f->kind == FRAME_OUTPUT && f->aux != 1 && f->aux != 2) return "output of an unknown stream";
  if (f->kind == FRAME_CHUNK_OF && (f->aux < FRAME_CALL || f->aux > FRAME_ERROR)) return "a chunk of nothing";
  return NULL;
}

const char *frame_kind_name(uint8_t kind) {
  static const char *const names[FRAME_KINDS] = {"?",    "HELLO",  "CALL", "REPLY",  "ERROR", "CANCEL", "RELEASE",
                                                 "BEAT", "CREDIT", "TYPE", "OUTPUT", "CHUNK", "BYE",    "LOG"};
  return kind < FRAME_KINDS ? names[kind] : "?";
}
