/* codec_json.h: what writing and reading JSON share. */
#ifndef REMORA_CODEC_JSON_H
#define REMORA_CODEC_JSON_H

#include "codec.h"

#include <float.h>
#include <locale.h>
#include <string.h>

/* Doubles are doubles (not so on the old x87): products and quotients with exact powers of ten are rounded once. */
enum { JSON_EXACT = FLT_EVAL_METHOD == 0 };

#define JSON_TWO53 9007199254740992.0
extern const double codec_json_power10[23]; /* all that are exact */

/* The locale "C": numbers go through the C library in it, for the host may have set one with a decimal comma. */
locale_t codec_json_locale(void);

remora_value *codec_json_decode(const codec_in *in, remora_error **err);

#define JSON_BYTES(b) (UINT64_C(0x0101010101010101) * (b))

/* The first byte that cannot stand in a string as it is (quote, backslash, control), or end. *foreign becomes true when
 * a byte before it is not ASCII. */
static inline const char *json_run(const char *at, const char *end, bool *foreign) {
  uint64_t seen = 0;
  for (; end - at >= 8; at += 8) {
    uint64_t word, quote, slash;
    memcpy(&word, at, 8);
    quote = word ^ JSON_BYTES('"');
    slash = word ^ JSON_BYTES('\\');
    /* The high bit of each byte that is one of them; a false one can only stand above a true one. */
    uint64_t hit =
        (((word - JSON_BYTES(' ')) & ~word) | ((quote - JSON_BYTES(1)) & ~quote) | ((slash - JSON_BYTES(1)) & ~slash)) &
        JSON_BYTES(0x80);
    if (hit) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
      int bits = __builtin_ctzll(hit) & ~7;
      *foreign |= ((seen | (word & ((UINT64_C(1) << bits) - 1))) & JSON_BYTES(0x80)) != 0;
      return at + bits / 8;
#else
      break;
#endif
    }
    seen |= word;
  }
  for (; at < end && (unsigned char)*at >= ' ' && *at != '"' && *at != '\\'; at++) seen |= (unsigned char)*at;
  *foreign |= (seen & JSON_BYTES(0x80)) != 0;
  return at;
}

#endif
