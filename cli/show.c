/* show.c: values as text: JSON for programs, nearly JSON for people. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void show_base64(FILE *to, const unsigned char *bytes, size_t length) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < length; i += 3) {
    size_t n = length - i < 3 ? length - i : 3;
    unsigned three = (unsigned)bytes[i] << 16 | (n > 1 ? (unsigned)bytes[i + 1] << 8 : 0) | (n > 2 ? bytes[i + 2] : 0);
    for (size_t k = 0; k < 4; k++) fputc(k <= n ? digits[three >> (18 - 6 * k) & 63] : '=', to);
  }
}

/* A string of JSON. Of the text, which is UTF-8, only lone surrogates need more than quoting: three bytes from ED A0 on. */
static void show_string(FILE *to, const char *text, size_t length) {
  fputc('"', to);
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)text[i];
    if (c == 0xed && i + 2 < length && (unsigned char)text[i + 1] >= 0xa0) {
      fprintf(to, "\\u%04x", 0xd000u | ((unsigned)text[i + 1] & 63) << 6 | ((unsigned)text[i + 2] & 63));
      i += 2;
    } else if (c == '"' || c == '\\') {
      fprintf(to, "\\%c", c);
    } else if (c == '\n' || c == '\t' || c == '\r') {
      fprintf(to, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
    } else if (c < 0x20 || c == 0x7f) {
      fprintf(to, "\\u%04x", c);
    } else {
      fputc(c, to);
    }
  }
  fputc('"', to);
}

/* The shortest digits that are this number again, and always a float for who reads them. */
static void show_float(FILE *to, double number) {
  char text[40];
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, number);
    if (strtod(text, NULL) == number) break;
  }
  fprintf(to, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

static const char *special_float(double number) {
  return isfinite(number) ? NULL : isnan(number) ? "nan" : number > 0 ? "inf" : "-inf";
}

/* Whether an object of JSON can be this map: keys of text, and it looks like none of ours. */
static bool is_object(const remora_value *map) {
  size_t n = remora_length(map);
  for (size_t i = 0; i < n; i++) {
    const remora_value *key = remora_key_at(map, i);
    if (remora_value_kind(key) != REMORA_TEXT) return false;
    if (n == 1 && *remora_as_text(key, NULL) == '$') return false;
  }
  return true;
}

static void show(FILE *to, const remora_value *v, bool json);

static void show_map(FILE *to, const remora_value *map, bool json) {
  bool object = !json || is_object(map);
  fputs(object ? "{" : "{\"$map\": [", to);
  for (size_t i = 0; i < remora_length(map); i++) {
    fputs(i ? ", " : "", to);
    fputs(object ? "" : "[", to);
    show(to, remora_key_at(map, i), json);
    fputs(object ? ": " : ", ", to);
    show(to, remora_at(map, i), json);
    fputs(object ? "" : "]", to);
  }
  fputs(object ? "}" : "]}", to);
}

/* A member of one of our own in JSON; the text alone for people. */
static void show_tagged(FILE *to, const char *tag, const char *text, bool json) {
  if (json) {
    fprintf(to, "{\"%s\": \"%s\"}", tag, text);
  } else {
    fputs(text, to);
  }
}

static void show(FILE *to, const remora_value *v, bool json) {
  size_t length = 0;
  const char *text = remora_as_text(v, &length);
  switch (remora_value_kind(v)) {
  case REMORA_NULL:
    fputs("null", to);
    break;
  case REMORA_BOOL:
    fputs(remora_as_bool(v) ? "true" : "false", to);
    break;
  case REMORA_INT:
    fprintf(to, "%lld", (long long)remora_as_int(v));
    break;
  case REMORA_BIGINT:
    show_tagged(to, "$int", text, json);
    break;
  case REMORA_FLOAT:
    if (special_float(remora_as_float(v)))
      show_tagged(to, "$float", special_float(remora_as_float(v)), json);
    else
      show_float(to, remora_as_float(v));
    break;
  case REMORA_TEXT:
    show_string(to, text, length);
    break;
  case REMORA_BYTES:
    if (json) {
      fputs("{\"$bytes\": \"", to);
      show_base64(to, (const unsigned char *)text, length);
      fputs("\"}", to);
      break;
    }
    fputs("b\"", to);
    for (size_t i = 0; i < length; i++) {
      unsigned char c = (unsigned char)text[i];
      fprintf(to, c < 0x20 || c > 0x7e ? "\\x%02x" : c == '"' || c == '\\' ? "\\%c" : "%c", c);
    }
    fputs("\"", to);
    break;
  case REMORA_LIST:
  case REMORA_TUPLE:
    fputs("[", to);
    for (size_t i = 0; i < remora_length(v); i++) {
      fputs(i ? ", " : "", to);
      show(to, remora_at(v, i), json);
    }
    fputs("]", to);
    break;
  case REMORA_MAP:
    show_map(to, v, json);
    break;
  case REMORA_PROXY:
  case REMORA_OBJECT: {
    const char *type = remora_as_proxy(v) ? remora_proxy_type(remora_as_proxy(v)) : "";
    fputs(json ? "{\"$ref\": " : "<", to);
    if (json)
      show_string(to, type, strlen(type));
    else
      fputs(type, to);
    fputs(json ? "}" : ">", to);
    break;
  }
  }
}

void show_json(FILE *to, const remora_value *value) { show(to, value, true); }

void show_json_bytes(FILE *to, const char *bytes, size_t length) {
  remora_value *v = remora_text(bytes, length);
  if (!v) v = remora_bytes(bytes, length);
  if (!v) wait_die("out of memory");
  show(to, v, true);
  (void)remora_value_unref(v);
}

void show_result(FILE *to, const remora_value *value) {
  size_t length = 0;
  const char *text = remora_as_text(value, &length);
  switch (remora_value_kind(value)) {
  case REMORA_NULL:
    return;
  case REMORA_TEXT:
    (void)fwrite(text, 1, length, to);
    if (length == 0 || text[length - 1] != '\n') fputc('\n', to);
    return;
  case REMORA_BYTES:
    (void)fwrite(text, 1, length, to);
    return;
  default:
    show(to, value, false);
    fputc('\n', to);
  }
}
