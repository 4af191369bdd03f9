/* main.c: remora COMMAND ...: uses far processes from a shell. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const struct {
  const char *name;
  int (*run)(const settings *s);
} commands[] = {{"call", call_main}, {"repl", repl_main}, {"run", run_main}};

int main(int argc, char **argv) {
  if (argc < 2) settings_wrong(NULL, "no command");
  if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
    settings_help(stdout, NULL);
    return STATUS_OK;
  }
  if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
    printf("remora %s\n", remora_version());
    return STATUS_OK;
  }
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
    if (strcmp(argv[1], commands[i].name) != 0) continue;
    settings s = {.command = commands[i].name};
    settings_read(&s, argc - 1, argv + 1);
    wait_begin();
    int status = commands[i].run(&s);
    settings_free(&s);
    remora_shutdown();
    if (fflush(stdout) != 0 || ferror(stdout)) {
      perror("remora: standard output");
      if (status == STATUS_OK) status = STATUS_FAR;
    }
    return status;
  }
  settings_wrong(NULL, "there is no command \"%s\"", argv[1]);
}
