/* settings.c: the command line: one table of options, from which reading and --help are made. */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { CALL = 1, REPL = 2, RUN = 4, ALL = CALL | REPL | RUN };

/* Letters of options that have none in short. */
enum { JSON = 256, JSON_ARGS, CONNECT_TIMEOUT, INPUT };

static const struct {
  int letter;
  const char *name; /* NULL: in short only */
  const char *argument;
  int commands;
  const char *help;
} table[] = {
    {'n', "node", "LANG", ALL, "the far language: python (as usual), ruby, lua, perl or c"},
    {'t', "timeout", "SECONDS", ALL, "give up a call, line or command after that time; without it wait for ever"},
    {CONNECT_TIMEOUT, "connect-timeout", "SECONDS", ALL, "give up a connection that does not stand by then (10)"},
    {'i', "interpreter", "PATH", ALL, "the far interpreter; else REMORA_PYTHON and its like, else the usual one"},
    {'e', "env", "NAME=VALUE", ALL, "set a variable over there, again for each; NAME alone: as it is here"},
    {'C', "cwd", "DIR", ALL, "the directory over there"},
    {'o', NULL, "OPTION", ALL, "an option for ssh, as its own -o has it; again for each"},
    {'F', NULL, "FILE", ALL, "the configuration file for ssh"},
    {JSON, "json", NULL, CALL | RUN, "write JSON"},
    {JSON_ARGS, "json-args", NULL, CALL, "every ARG is JSON"},
    {INPUT, "input", "FILE", RUN, "what the command reads, of several hosts each all of it; -: standard input"},
    {'p', "parallel", "N", RUN, "so many hosts at the same time (32)"},
    {'v', "verbose", NULL, CALL, "show the far traceback of an error"},
    {'h', "help", NULL, ALL, "show this"},
    {'V', "version", NULL, ALL, "show the version"},
};
#define TABLE_COUNT (sizeof table / sizeof *table)

static const struct {
  const char *name, *usage, *brief, *what;
  int bit;
} usages[] = {
    {"repl", "remora repl [OPTION...] SPEC", "a conversation with a far interpreter",
     "Evaluates lines on the far side: of a terminal with editing, history and completion (Tab), else those of "
     "standard\n"
     "input, up to the first error.",
     REPL},
    {"call", "remora call [OPTION...] SPEC NAME [ARG...]", "calls a far function and writes its result",
     "Calls the far function NAME (a class makes an object) and writes its result. An ARG is text; KEY=TEXT is a "
     "keyword\n"
     "argument, KEY:=JSON one in JSON, :=JSON JSON without a keyword, =TEXT text that could be taken for one of these.",
     CALL},
    {"run", "remora run [OPTION...] SPEC... -- COMMAND [ARG...]", "runs a command on several hosts at the same time",
     "Runs a command on each host at the same time. What it writes appears as it comes, with the host before each line "
     "if\n"
     "there are several. The exit status is the command's, of several the highest.",
     RUN},
};
#define USAGE_COUNT (sizeof usages / sizeof *usages)

/* "  -n, --node LANG": what stands on the left of an option's line. */
static void option_left(char *room, size_t size, size_t i) {
  char letter[8] = "   ";
  if (table[i].letter < 256) snprintf(letter, sizeof letter, "-%c%s", table[i].letter, table[i].name ? "," : "");
  snprintf(room, size, "%s%s%s %s", letter, table[i].name ? " --" : "", table[i].name ? table[i].name : "",
           table[i].argument ? table[i].argument : "");
}

void settings_help(FILE *to, const char *command) {
  int bit = ALL;
  for (size_t i = 0; i < USAGE_COUNT; i++) {
    if (command && strcmp(command, usages[i].name) != 0) continue;
    if (command) bit = usages[i].bit;
    fprintf(to, "%s %s\n", command || i == 0 ? "usage:" : "      ", usages[i].usage);
    if (command) fprintf(to, "\n%s\n", usages[i].what);
  }
  if (!command) {
    fputs("\nUses objects, functions and programs of other processes and hosts.\n\n", to);
    for (size_t i = 0; i < USAGE_COUNT; i++) fprintf(to, "  %-5s %s\n", usages[i].name, usages[i].brief);
  }
  fputs("\nA SPEC is - (a child process), HOST, USER@HOST or ssh://USER@HOST:PORT (ssh), USER@ (sudo), or several with "
        "commas\n"
        "between them, a chain of hops: bastion,web1,postgres@\n\nOptions, which stand before the first SPEC:\n\n",
        to);
  for (size_t i = 0; i < TABLE_COUNT; i++) {
    if (!(table[i].commands & bit)) continue;
    char left[64];
    option_left(left, sizeof left, i);
    fprintf(to, "  %-29s %s", left, table[i].help);
    for (size_t k = 0; !command && table[i].commands != ALL && k < USAGE_COUNT; k++)
      if (table[i].commands & usages[k].bit) fprintf(to, " [%s]", usages[k].name);
    fputs("\n", to);
  }
  if (!command) fputs("\nremora COMMAND --help tells more; so does man remora.\n", to);
}

void settings_wrong(const char *command, const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("remora: ", stderr);
  vfprintf(stderr, format, args);
  va_end(args);
  fputs("\n", stderr);
  for (size_t i = 0; i < USAGE_COUNT; i++)
    if (!command || strcmp(command, usages[i].name) == 0)
      fprintf(stderr, "%s %s\n", command || i == 0 ? "usage:" : "      ", usages[i].usage);
  fprintf(stderr, "remora%s%s --help tells more\n", command ? " " : "", command ? command : "");
  exit(STATUS_USAGE);
}

static void set(const settings *s, const char *name, remora_value *value) {
  remora_error *err = NULL;
  if (remora_options_set(s->options, name, value, &err) == 0) return;
  settings_wrong(s->command, "%s", remora_error_message(err));
}

static remora_value *text_of(const settings *s, const char *text) {
  remora_value *value = remora_str(text);
  if (!value) settings_wrong(s->command, "\"%s\" is not UTF-8", text);
  return value;
}

/* Seconds, with a fraction if wanted, as milliseconds. */
static int64_t milliseconds(const settings *s, const char *name, const char *text) {
  char *end;
  errno = 0;
  double seconds = strtod(text, &end);
  if (end == text || *end || errno || !isfinite(seconds) || seconds <= 0 || seconds > 2e6)
    settings_wrong(s->command, "--%s: \"%s\" is no number of seconds between 0 and 2000000", name, text);
  return seconds < 0.001 ? 1 : (int64_t)(seconds * 1000 + 0.5);
}

static void add_env(const settings *s, remora_value *env, const char *text) {
  const char *equals = strchr(text, '=');
  char *name = strndup(text, equals ? (size_t)(equals - text) : strlen(text));
  const char *value = equals ? equals + 1 : name ? getenv(name) : NULL;
  if (!name) wait_die("out of memory");
  if (!*name) settings_wrong(s->command, "--env: \"%s\" names no variable", text);
  if (value && !remora_get(env, name)) (void)remora_put(env, text_of(s, name), text_of(s, value));
  free(name);
}

static size_t count(const settings *s, const char *text) {
  char *end;
  errno = 0;
  unsigned long n = strtoul(text, &end, 10);
  if (!isdigit((unsigned char)*text) || *end || errno || n < 1 || n > 100000)
    settings_wrong(s->command, "--parallel: \"%s\" is no number between 1 and 100000", text);
  return n;
}

void settings_read(settings *s, int argc, char **argv) {
  int bit = 0;
  for (size_t i = 0; i < USAGE_COUNT; i++)
    if (strcmp(s->command, usages[i].name) == 0) bit = usages[i].bit;
  struct option longs[TABLE_COUNT + 1] = {0};
  char shorts[2 * TABLE_COUNT + 3] = "+:"; /* options end where the first SPEC stands; we say what is wrong ourselves */
  size_t nlongs = 0, nshorts = 2;
  for (size_t i = 0; i < TABLE_COUNT; i++) {
    if (!(table[i].commands & bit)) continue;
    int has = table[i].argument ? required_argument : no_argument;
    if (table[i].name) longs[nlongs++] = (struct option){table[i].name, has, NULL, table[i].letter};
    if (table[i].letter >= 256) continue;
    shorts[nshorts++] = (char)table[i].letter;
    if (has == required_argument) shorts[nshorts++] = ':';
  }
  s->options = remora_options_new();
  s->timeout = -1;
  s->parallel = 32;
  remora_value *env = remora_map(), *ssh = remora_list();
  if (!s->options || !env || !ssh) wait_die("out of memory");
  /* "-,root@" is a chain that begins with a child, and no option. */
  for (int letter; !(optind < argc && strncmp(argv[optind], "-,", 2) == 0) &&
                   (letter = getopt_long(argc, argv, shorts, longs, NULL)) != -1;) {
    switch (letter) {
    case 'n':
      set(s, "node", text_of(s, optarg));
      break;
    case 't':
      s->timeout = milliseconds(s, "timeout", optarg);
      break;
    case CONNECT_TIMEOUT:
      set(s, "timeout", remora_int(milliseconds(s, "connect-timeout", optarg)));
      break;
    case 'i':
      set(s, "interpreter", text_of(s, optarg));
      break;
    case 'e':
      add_env(s, env, optarg);
      break;
    case 'C':
      set(s, "cwd", text_of(s, optarg));
      break;
    case 'o':
    case 'F':
      (void)remora_append(ssh, remora_str(letter == 'o' ? "-o" : "-F"));
      (void)remora_append(ssh, text_of(s, optarg));
      break;
    case JSON:
      s->json = true;
      break;
    case JSON_ARGS:
      s->json_args = true;
      break;
    case INPUT:
      s->input = optarg;
      break;
    case 'p':
      s->parallel = count(s, optarg);
      break;
    case 'v':
      s->verbose = true;
      break;
    case 'h':
      settings_help(stdout, s->command);
      exit(fflush(stdout) == 0 ? STATUS_OK : STATUS_FAR);
    case 'V':
      printf("remora %s\n", remora_version());
      exit(fflush(stdout) == 0 ? STATUS_OK : STATUS_FAR);
    case ':':
      settings_wrong(s->command, "the option %s wants an argument", argv[optind - 1]);
    default:
      if (optopt && optopt < 256) settings_wrong(s->command, "there is no option -%c", optopt);
      settings_wrong(s->command, "there is no option %s", argv[optind - 1]);
    }
  }
  set(s, "env", env);
  set(s, "ssh_options", ssh);
  set(s, "language", remora_str("the command remora"));
  s->operands = argv + optind;
  s->noperands = (size_t)(argc - optind);
}

void settings_free(settings *s) { s->options = remora_options_free(s->options); }
