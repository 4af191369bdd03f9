/* arguments.c: the words behind NAME as arguments of a far function. */
#include "cli.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------------------------------------- JSON becomes values */

static remora_value *value_of_json(const json_t *j, const char **why);

static int base64_digit(char c) {
  return c >= 'A' && c <= 'Z'   ? c - 'A'
         : c >= 'a' && c <= 'z' ? c - 'a' + 26
         : c >= '0' && c <= '9' ? c - '0' + 52
         : c == '+'             ? 62
         : c == '/'             ? 63
                                : -1;
}

static remora_value *bytes_of_base64(const char *text, size_t length) {
  while (length && text[length - 1] == '=') length--;
  unsigned char *bytes = malloc(length + 1);
  size_t n = 0;
  unsigned bits = 0;
  for (size_t i = 0; bytes && i < length; i++) {
    int digit = base64_digit(text[i]);
    if (digit < 0 || length % 4 == 1) {
      free(bytes);
      return NULL;
    }
    bits = bits << 6 | (unsigned)digit;
    if (i % 4) bytes[n++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
  }
  remora_value *v = bytes ? remora_bytes(bytes, n) : NULL;
  free(bytes);
  return v;
}

static remora_value *float_of_name(const char *name) {
  if (strcmp(name, "nan") == 0) return remora_float(__builtin_nan(""));
  if (strcmp(name, "inf") == 0) return remora_float(__builtin_inf());
  if (strcmp(name, "-inf") == 0) return remora_float(-__builtin_inf());
  return NULL;
}

static remora_value *map_of_pairs(const json_t *pairs, const char **why) {
  remora_value *map = remora_map();
  for (size_t i = 0; i < json_array_size(pairs); i++) {
    const json_t *pair = json_array_get(pairs, i);
    remora_value *key = json_array_size(pair) == 2 ? value_of_json(json_array_get(pair, 0), why) : NULL;
    remora_value *item = key ? value_of_json(json_array_get(pair, 1), why) : NULL;
    if (!key || !item) {
      if (!*why) *why = "$map wants a list of [key, value]";
      (void)remora_value_unref(key);
      (void)remora_value_unref(map);
      return NULL;
    }
    (void)remora_put(map, key, item);
  }
  return map;
}

/* What show_json writes for what JSON has not. NULL and no reason: an object like any other. */
static remora_value *value_of_tag(const char *tag, const json_t *j, const char **why) {
  const char *text = json_string_value(j);
  remora_value *v = NULL;
  if (strcmp(tag, "$bytes") == 0) {
    if (!text || !(v = bytes_of_base64(text, json_string_length(j)))) *why = "$bytes wants base64";
  } else if (strcmp(tag, "$int") == 0) {
    if (!text || !(v = remora_bigint(text))) *why = "$int wants decimal digits";
  } else if (strcmp(tag, "$float") == 0) {
    if (!text || !(v = float_of_name(text))) *why = "$float wants nan, inf or -inf";
  } else if (strcmp(tag, "$map") == 0) {
    if (json_is_array(j))
      v = map_of_pairs(j, why);
    else
      *why = "$map wants a list of [key, value]";
  } else if (strcmp(tag, "$ref") == 0) {
    *why = "$ref stands for an object that cannot be sent back";
  }
  return v;
}

static remora_value *value_of_object(const json_t *j, const char **why) {
  if (json_object_size(j) == 1) {
    void *only = json_object_iter((json_t *)(uintptr_t)j);
    remora_value *v = value_of_tag(json_object_iter_key(only), json_object_iter_value(only), why);
    if (v || *why) return v;
  }
  remora_value *map = remora_map();
  const char *key;
  json_t *item;
  json_object_foreach((json_t *)(uintptr_t)j, key, item) {
    remora_value *v = value_of_json(item, why);
    if (!v || remora_set(map, key, v) != 0) {
      (void)remora_value_unref(map);
      return NULL;
    }
  }
  return map;
}

static remora_value *value_of_json(const json_t *j, const char **why) {
  switch (json_typeof(j)) {
  case JSON_OBJECT:
    return value_of_object(j, why);
  case JSON_ARRAY: {
    remora_value *list = remora_list();
    for (size_t i = 0; i < json_array_size(j); i++) {
      remora_value *item = value_of_json(json_array_get(j, i), why);
      if (!item || remora_append(list, item) != 0) {
        (void)remora_value_unref(list);
        return NULL;
      }
    }
    return list;
  }
  case JSON_STRING:
    return remora_text(json_string_value(j), json_string_length(j));
  case JSON_INTEGER:
    return remora_int(json_integer_value(j));
  case JSON_REAL:
    return remora_float(json_real_value(j));
  case JSON_TRUE:
  case JSON_FALSE:
    return remora_bool(json_is_true(j));
  default:
    return remora_null();
  }
}

/* *new*; NULL after a message. A whole number of any length is one, which jansson would refuse beyond 64 bits. */
static remora_value *value_of_text(const char *word, const char *text) {
  remora_value *v = remora_bigint(text);
  if (v) return v;
  json_error_t where;
  json_t *j = json_loadb(text, strlen(text), JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
  const char *why = j ? NULL : where.text;
  if (j) v = value_of_json(j, &why);
  if (!v) fprintf(stderr, "remora: argument \"%s\": %s\n", word, why ? why : "out of memory");
  json_decref(j);
  return v;
}

/* -------------------------------------------------------------------------------------------------------- the words */

/* The length of the keyword before "=" or ":=", which may be empty; -1 when the word is no such thing. */
static int keyword_length(const char *word) {
  size_t n = 0;
  while (isalnum((unsigned char)word[n]) || word[n] == '_') n++;
  if (n && isdigit((unsigned char)*word)) return -1;
  return word[n] == '=' || (word[n] == ':' && word[n + 1] == '=') ? (int)n : -1;
}

remora_value *arguments_read(char **args, size_t n, bool json) {
  remora_value *list = remora_list(), *keywords = remora_map();
  for (size_t i = 0; i < n; i++) {
    const char *word = args[i], *text = word;
    int length = keyword_length(word);
    bool is_json = json;
    if (length >= 0) {
      is_json = json || word[length] == ':';
      text = word + length + (word[length] == ':' ? 2 : 1);
    }
    remora_value *value = is_json ? value_of_text(word, text) : remora_str(text);
    if (!value && !is_json) fprintf(stderr, "remora: argument %zu is not UTF-8\n", i + 1);
    if (value && length > 0) {
      char *key = strndup(word, (size_t)length);
      bool twice = key && remora_get(keywords, key);
      if (twice) {
        fprintf(stderr, "remora: the keyword \"%s\" is given twice\n", key);
        (void)remora_value_unref(value);
        value = NULL;
      } else if (!key || remora_set(keywords, key, value) != 0) {
        wait_die("out of memory");
      }
      free(key);
    } else if (value && remora_append(list, value) != 0) {
      wait_die("out of memory");
    }
    if (!value) {
      (void)remora_value_unref(list);
      (void)remora_value_unref(keywords);
      return NULL;
    }
  }
  if (remora_length(keywords) == 0)
    (void)remora_value_unref(keywords);
  else if (remora_set_keywords(list, keywords) != 0)
    wait_die("out of memory");
  return list;
}
