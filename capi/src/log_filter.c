/* log_filter.c: levels, and selections of names. */
#include "log.h"

#include <stdlib.h>
#include <string.h>

static const char *const level_names[] = {"?", "trace", "debug", "verbose", "info", "warn", "error", "fatal"};

const char *remora_log_level_name(int level) {
  return level_names[level >= REMORA_LOG_TRACE && level <= REMORA_LOG_FATAL ? level : 0];
}

int remora_log_level_of(const char *name) {
  for (int i = REMORA_LOG_TRACE; name && i <= REMORA_LOG_FATAL; i++)
    if (strcmp(name, level_names[i]) == 0) return i;
  return 0;
}

log_filter *log_filter_new(int level, const char *selections) {
  if (!selections) selections = "*";
  size_t length = strlen(selections), most = length / 2 + 1;
  log_filter *f = malloc(sizeof *f + most * sizeof f->words[0] + length + 1);
  if (!f) return NULL;
  f->level = level;
  f->count = 0;
  char *text = (char *)&f->words[most], *rest = NULL;
  memcpy(text, selections, length + 1);
  for (char *word = strtok_r(text, " \t\r\n", &rest); word; word = strtok_r(NULL, " \t\r\n", &rest)) {
    bool on = *word != '-';
    if (!on) word++;
    f->words[f->count++] = (log_word){.text = word, .length = strcmp(word, "*") == 0 ? 0 : strlen(word), .on = on};
  }
  return f;
}

/* Does the word mean this name, or something that it is part of? "app" means app, app.db and app::db, not apple. */
static bool word_means(const log_word *w, const char *name) {
  if (w->length == 0) return true;
  if (strncmp(name, w->text, w->length) != 0) return false;
  char next = name[w->length];
  return next == 0 || next == '.' || next == ':' || next == '/';
}

bool log_filter_takes(const log_filter *f, int level, const char *name) {
  if (level < f->level) return false;
  const log_word *best = NULL;
  for (size_t i = 0; i < f->count; i++)
    if (word_means(&f->words[i], name) && (!best || f->words[i].length >= best->length)) best = &f->words[i];
  return best && best->on;
}
