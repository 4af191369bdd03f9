/* language.c: one row per far language. A new one needs a row here and a folder in nodes/. */
#include "language.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const flag_c[] = {"-c", NULL}, *const flag_e[] = {"-e", NULL};
/* RubyGems takes 35 ms of a start of 42: the node loads it when something asks for it. */
static const char *const flag_ruby[] = {"--disable=gems", "-e", NULL};

static const language_file python_files[] = {{"%s/__init__.py", "package"}, {"%s.py", "module"}, {NULL, NULL}};
static const language_file ruby_files[] = {{"%s.rb", "module"}, {"%s.so", "extension"}, {NULL, NULL}};
static const language_file lua_files[] = {
    {"%s.lua", "module"}, {"%s/init.lua", "package"}, {"%s.so", "extension"}, {NULL, NULL}};
static const language_file perl_files[] = {{"%s.pm", "module"}, {NULL, NULL}};
static const language_file c_files[] = {{"%s.so", "module"}, {"lib%s.so", "module"}, {NULL, NULL}};

static const char *const python_loads[] = {"import", "from", NULL};
static const char *const ruby_loads[] = {"require", "require_relative", "load", "autoload", NULL};
static const char *const lua_loads[] = {"require", NULL};
static const char *const perl_loads[] = {"use parent -norequire,", "use parent", "use base", "use", "require", NULL};
static const char *const no_loads[] = {NULL};

static const language languages[] = {
    {.name = "python",
     .variable = "REMORA_PYTHON",
     .program = "python3",
     .flags = flag_c,
     .separator = ".",
     .files = python_files,
     .path_variable = "PYTHONPATH",
     .loads = python_loads,
     .list = true,
     .any_folder = true},
    {.name = "ruby",
     .variable = "REMORA_RUBY",
     .program = "ruby",
     .flags = flag_ruby,
     .separator = "/",
     .files = ruby_files,
     .path_variable = "RUBYLIB",
     .loads = ruby_loads,
     .anywhere = true},
    {.name = "lua",
     .variable = "REMORA_LUA",
     .program = "lua*",
     .flags = flag_e,
     .separator = ".",
     .files = lua_files,
     .path_variable = "LUA_PATH",
     .loads = lua_loads,
     .anywhere = true,
     .heeds_interrupt = true},
    {.name = "perl",
     .variable = "REMORA_PERL",
     .program = "perl",
     .flags = flag_e,
     .separator = "::",
     .files = perl_files,
     .path_variable = "PERL5LIB",
     .loads = perl_loads},
    {.name = "object-remote",
     .variable = "REMORA_PERL",
     .program = "perl",
     .flags = flag_e,
     .separator = "::",
     .files = perl_files,
     .path_variable = "PERL5LIB",
     .loads = perl_loads,
     .translator = "remora-object-remote"},
    {.name = "c",
     .program = "sh",
     .flags = flag_c,
     .separator = ".",
     .files = c_files,
     .path_variable = "REMORA_C_PATH",
     .loads = no_loads,
     .executable = true},
};

const language *language_find(const char *name) {
  for (size_t i = 0; i < sizeof languages / sizeof *languages; i++)
    if (strcmp(languages[i].name, name) == 0) return &languages[i];
  return NULL;
}

const struct remora_embedded_node *language_node(const char *name) {
  for (const struct remora_embedded_node *n = remora_embedded_nodes; n->language; n++)
    if (strcmp(n->language, name) == 0) return n;
  return NULL;
}

char *language_known(void) {
  char *text = NULL;
  size_t length;
  FILE *f = open_memstream(&text, &length);
  if (!f) return NULL;
  for (const struct remora_embedded_node *n = remora_embedded_nodes; n->language; n++)
    (void)fprintf(f, "%s%s", n == remora_embedded_nodes ? "" : ", ", n->language);
  if (fclose(f) == 0) return text;
  free(text);
  return NULL;
}

static char folder[4096];

static void language_find_folder(void) {
  Dl_info info;
  char *real = dladdr(languages, &info) && info.dli_fname ? realpath(info.dli_fname, NULL) : NULL;
  char *slash = real ? strrchr(real, '/') : NULL;
  if (slash && (size_t)(slash - real) + sizeof "/remora" <= sizeof folder)
    (void)snprintf(folder, sizeof folder, "%.*s/remora", (int)(slash - real), real);
  free(real);
}

const char *language_folder(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)pthread_once(&once, language_find_folder);
  return folder;
}
