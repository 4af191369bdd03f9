/* spec.c: the grammar of specs; what could be misread, by us or by a program further on, is refused by name. */
#include "spec.h"

#include "error.h"
#include "value.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------------ words */

void spec_words_take(spec_words *words, char *text) {
  if (!text || words->failed) goto fail;
  if (words->count + 2 > words->room) {
    size_t room = words->room ? 2 * words->room : 16;
    char **items = realloc(words->items, room * sizeof *items);
    if (!items) goto fail;
    words->items = items;
    words->room = room;
  }
  words->items[words->count++] = text;
  words->items[words->count] = NULL;
  return;
fail:
  words->failed = true;
  free(text);
}

void spec_words_add(spec_words *words, const char *text) { spec_words_take(words, strdup(text)); }

void spec_words_add_value(spec_words *words, const remora_value *value) {
  if (!value) return;
  if (remora_value_kind(value) == REMORA_TEXT) spec_words_add(words, remora_as_text(value, NULL));
  for (size_t i = 0; i < remora_length(value); i++) spec_words_add(words, remora_as_text(remora_at(value, i), NULL));
}

void spec_words_move(spec_words *words, spec_words *more) {
  for (size_t i = 0; i < more->count; i++) spec_words_take(words, more->items[i]);
  words->failed |= more->failed;
  more->count = 0;
  spec_words_clear(more);
}

void spec_words_clear(spec_words *words) {
  for (size_t i = 0; i < words->count; i++) free(words->items[i]);
  free(words->items);
  *words = (spec_words){0};
}

/* Whether every shell takes the character as it is, wherever it stands. */
static bool spec_is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("_-./:,@%+", c));
}

char *spec_words_quote(const spec_words *words) {
  size_t room = 1;
  for (size_t i = 0; i < words->count; i++)
    room += 4 * strlen(words->items[i]) + 3; /* at worst nothing but single quotes, two around them and a blank */
  char *line = malloc(room), *out = line;
  if (!line || words->failed) {
    free(line);
    return NULL;
  }
  for (size_t i = 0; i < words->count; i++) {
    const char *word = words->items[i];
    bool plain = *word;
    for (const char *p = word; *p && plain; p++) plain = spec_is_plain(*p);
    if (i) *out++ = ' ';
    if (!plain) *out++ = '\'';
    for (const char *p = word; *p; p++) {
      if (*p == '\'') {
        memcpy(out, "'\\''", 4);
        out += 4;
      } else {
        *out++ = *p;
      }
    }
    if (!plain) *out++ = '\'';
  }
  *out = '\0';
  return line;
}

int spec_words_split(spec_words *words, const char *line) {
  const char *p = line;
  for (;;) {
    p += strspn(p, " \t\r\n");
    if (!*p) return 0;
    char *word = malloc(strlen(p) + 1), *out = word;
    if (!word) {
      words->failed = true;
      return 0;
    }
    char quote = '\0';
    for (; *p && (quote || !strchr(" \t\r\n", *p)); p++) {
      if (quote ? *p == quote : (*p == '\'' || *p == '"'))
        quote = quote ? '\0' : *p;
      else if (*p == '\\' && p[1] && (!quote || (quote == '"' && strchr("\"\\$`", p[1]))))
        *out++ = *++p;
      else
        *out++ = *p;
    }
    if (quote) {
      free(word);
      return -1;
    }
    *out = '\0';
    spec_words_take(words, word);
  }
}

char *spec_harmless(const char *text, size_t length) {
  char *clean = malloc(4 * length + 1), *out = clean;
  if (!clean) return NULL;
  for (size_t i = 0; i < length;) {
    unsigned char c = (unsigned char)text[i];
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    /* U+0080 to U+009F are control characters as well: some terminals obey them. */
    bool c1 = c == 0xc2 && i + 1 < length && (unsigned char)text[i + 1] < 0xa0;
    if (c >= 0x20 && c != 0x7f && !c1 && i + n <= length && value_utf8(text + i, n) == 1) {
      memcpy(out, text + i, n);
      out += n;
      i += n;
    } else {
      out += sprintf(out, "\\x%02x", c);
      i++;
    }
  }
  *out = '\0';
  return clean;
}

/* ------------------------------------------------------------------------------------------------------------ specs */

/* Refuses a spec: `spec "...": why`. */
static int spec_refuse(remora_error **err, const char *text, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int spec_refuse(remora_error **err, const char *text, const char *format, ...) {
  char reason[512];
  va_list args;
  va_start(args, format);
  vsnprintf(reason, sizeof reason, format, args);
  va_end(args);
  char *shown = spec_harmless(text, strlen(text)), *clean = spec_harmless(reason, strlen(reason));
  error_set(err, REMORA_E_INVALID, "spec \"%s\": %s", shown ? shown : "?", clean ? clean : "?");
  free(shown);
  free(clean);
  return -1;
}

static bool spec_starts(const char *text, const char *prefix) { return strncmp(text, prefix, strlen(prefix)) == 0; }

static bool spec_is_ipv6(const char *text) {
  char address[64];
  size_t length = strcspn(text, "%"); /* a zone may follow */
  struct in6_addr ignored;
  if (length >= sizeof address) return false;
  memcpy(address, text, length);
  address[length] = '\0';
  return inet_pton(AF_INET6, address, &ignored) == 1;
}

/* Users and hosts end up in argvs and, by way of %h and %r in an ssh_config, in shells: no options, no shell syntax. */
static int spec_check_name(const char *text, const char *what, const char *name, remora_error **err) {
  bool host = strcmp(what, "host") == 0;
  if (!*name) return spec_refuse(err, text, "the %s is empty", what);
  if (*name == '-') return spec_refuse(err, text, "the %s \"%s\" starts with \"-\"", what, name);
  for (const char *p = name; *p; p++) {
    if ((unsigned char)*p <= ' ' || *p == 0x7f)
      return spec_refuse(err, text, "the %s holds a blank or a control character", what);
    if (strchr("'`\"$;&<>|(){},", *p) || (host && strchr("\\/[]@", *p)) || (!host && *p == '\\' && !p[1]))
      return spec_refuse(err, text, "\"%c\" cannot be part of a %s", *p, what);
  }
  return 0;
}

/* host:port without a scheme: three readings, and guessing wrong would be worse than asking. */
static int spec_refuse_port(const char *text, const char *user, const char *host, remora_error **err) {
  char readings[256];
  if (spec_is_ipv6(host))
    snprintf(readings, sizeof readings, "ssh://%s%s[%s]", user ? user : "", user ? "@" : "", host);
  else
    snprintf(readings, sizeof readings, "ssh://%s%s%s, tcp:%s or tls:%s", user ? user : "", user ? "@" : "", host, host,
             host);
  return spec_refuse(err, text, "say which is meant: %s", readings);
}

/* [user@]host, with :port and an optional final slash when it stood behind ssh://. */
static int spec_parse_ssh(spec_hop *hop, const char *text, const char *rest, bool url, remora_error **err) {
  hop->type = CARRIER_SSH;
  const char *at = strrchr(rest, '@'), *host = at ? at + 1 : rest;
  if (at && !(hop->user = strndup(rest, (size_t)(at - rest)))) return error_set(err, REMORA_E_NOMEM, NULL);
  if (hop->user && url && strchr(hop->user, ':'))
    return error_set(err, REMORA_E_INVALID, "spec \"ssh://...\": a password cannot be part of a spec");
  if (hop->user && spec_check_name(text, "user", hop->user, err)) return -1;

  const char *end = host + strlen(host), *port = NULL;
  if (url && end > host && end[-1] == '/') end--;
  if (*host == '[') {
    const char *close = memchr(host, ']', (size_t)(end - host));
    if (!close || (close + 1 < end && close[1] != ':'))
      return spec_refuse(err, text, "an address in brackets is written [address] or [address]:port");
    if (close + 1 < end && !url) return spec_refuse_port(text, hop->user, host, err);
    port = close + 1 < end ? close + 2 : NULL;
    hop->host = strndup(host + 1, (size_t)(close - host - 1));
    if (hop->host && !spec_is_ipv6(hop->host)) return spec_refuse(err, text, "\"%s\" is no IPv6 address", hop->host);
  } else {
    const char *colon = memchr(host, ':', (size_t)(end - host));
    if (colon && !url) return spec_refuse_port(text, hop->user, host, err);
    if (colon && memchr(colon + 1, ':', (size_t)(end - colon - 1)))
      return spec_refuse(err, text, "an IPv6 address stands in brackets: ssh://[::1]:22");
    port = colon ? colon + 1 : NULL;
    hop->host = strndup(host, (size_t)((colon ? colon : end) - host));
  }
  if (!hop->host) return error_set(err, REMORA_E_NOMEM, NULL);
  if (spec_check_name(text, "host", hop->host, err)) return -1;
  if (port) {
    size_t digits = strspn(port, "0123456789");
    hop->port = digits && digits <= 5 && port + digits == end ? atoi(port) : 0;
    if (hop->port < 1 || hop->port > 65535) return spec_refuse(err, text, "a port is a number from 1 to 65535");
  }
  return 0;
}

static int spec_parse_into(spec_hop *hop, const char *text, remora_error **err) {
  static const struct {
    const char *prefix, *what;
  } later[] = {
      {"unix:", "Unix sockets"}, {"/", "Unix sockets"}, {"./", "Unix sockets"},
      {"../", "Unix sockets"},   {"tcp:", "TCP"},       {"tls:", "TLS"},
  };
  size_t length = strlen(text);
  if (!length)
    return error_set(err, REMORA_E_INVALID, "the spec is empty; \"-\" is a child, \"host\" ssh, \"user@\" sudo");
  if (!(hop->name = spec_harmless(text, length))) return error_set(err, REMORA_E_NOMEM, NULL);
  if (strcmp(text, "-") == 0) {
    hop->type = CARRIER_CHILD;
    return 0;
  }
  for (size_t i = 0; i < sizeof later / sizeof *later; i++)
    if (spec_starts(text, later[i].prefix)) return spec_refuse(err, text, "%s: not in this version", later[i].what);
  if (spec_starts(text, "ssh://")) return spec_parse_ssh(hop, text, text + strlen("ssh://"), true, err);
  if (strstr(text, "://")) return spec_refuse(err, text, "unknown scheme; ssh:// is known");
  if (text[length - 1] != '@') return spec_parse_ssh(hop, text, text, false, err);
  hop->type = CARRIER_SUDO;
  if (!(hop->user = strndup(text, length - 1))) return error_set(err, REMORA_E_NOMEM, NULL);
  if (strchr(hop->user, '@') && (*hop->user == '@' || hop->user[length - 2] == '@'))
    return spec_refuse(err, text, "\"%s\" is no user", hop->user);
  return spec_check_name(text, "user", hop->user, err);
}

int spec_parse(spec_hop *hop, const char *text, remora_error **err) {
  *hop = (spec_hop){0};
  if (spec_parse_into(hop, text, err) == 0) return 0;
  spec_hop_clear(hop);
  return -1;
}

void spec_hop_clear(spec_hop *hop) {
  free(hop->user);
  free(hop->host);
  free(hop->name);
  spec_words_clear(&hop->command);
  *hop = (spec_hop){0};
}

/* ----------------------------------------------------------------------------------------------------------- chains */

/* A command was checked when the option was set, so that only memory can fail. */
static int spec_take_command(spec_hop *hop, const remora_value *command, remora_error **err) {
  *hop = (spec_hop){.type = CARRIER_COMMAND};
  spec_words_add_value(&hop->command, command);
  char *line = spec_words_quote(&hop->command);
  hop->name = line ? spec_harmless(line, strlen(line)) : NULL;
  free(line);
  if (hop->name) return 0;
  spec_hop_clear(hop);
  return error_set(err, REMORA_E_NOMEM, NULL);
}

int spec_chain_make(spec_chain *chain, const char *spec, const remora_options *opts, remora_error **err) {
  const remora_value *hops = opts ? opts->hops : NULL, *command = opts ? opts->command : NULL;
  *chain = (spec_chain){0};
  if (hops && command)
    return error_set(err, REMORA_E_INVALID, "the options hops and command exclude each other: a hop may be a command");
  /* "-" adds nothing to a chain, so it may stand beside the options that say more. */
  if ((hops || command) && spec && strcmp(spec, "-") != 0)
    return error_set(err, REMORA_E_INVALID, "with the option %s there is no spec", hops ? "hops" : "command");
  if (!hops && !command && !spec)
    return error_set(err, REMORA_E_INVALID, "no spec, and neither of the options hops and command");

  size_t count = hops ? remora_length(hops) : 1;
  if (!(chain->hops = calloc(count, sizeof *chain->hops))) return error_set(err, REMORA_E_NOMEM, NULL);
  for (size_t i = 0; i < count; i++) {
    const remora_value *item = hops ? remora_at(hops, i) : command;
    int rc;
    if (!item)
      rc = spec_parse(&chain->hops[i], spec, err);
    else if (remora_value_kind(item) == REMORA_TEXT)
      rc = spec_parse(&chain->hops[i], remora_as_text(item, NULL), err);
    else
      rc = spec_take_command(&chain->hops[i], item, err);
    if (rc) {
      spec_chain_clear(chain);
      return -1;
    }
    chain->count++;
  }
  return 0;
}

void spec_chain_clear(spec_chain *chain) {
  for (size_t i = 0; i < chain->count; i++) spec_hop_clear(&chain->hops[i]);
  free(chain->hops);
  *chain = (spec_chain){0};
}
