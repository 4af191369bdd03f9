/* main.c: remora-node, the far side in C: greets, puts the descriptors in their places, and serves until its connection ends. */
#include "files.h"
#include "hello.h"
#include "native.h"
#include "node.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "remora-node " REMORA_VERSION ": the far side of a connection; it is started by libremora (node \"c\"), "
    "which speaks to its standard input and output.\n";

/* What user code writes to descriptor n, and how: lines are seen while it goes on. */
static int take_output(int n) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0 || dup2(ends[1], n) < 0) _exit(1);
  close(ends[1]);
  (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return ends[0];
}

static void no_interrupt(int signal) { (void)signal; }

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "--version") == 0) return puts("remora-node " REMORA_VERSION) < 0;
  if (argc == 2 && getenv(PROMPT_VARIABLE)) return askpass(getenv(PROMPT_VARIABLE), argv[1]);
  if (argc > 2 && strcmp(argv[1], "--unlink") == 0) (void)unlink(argv[2]); /* it was put there for us alone */
  if (isatty(0)) return fputs(usage, stderr), 2;
  for (int n = 0; n < 3; n++) /* a descriptor that is closed must not become another one's */
    if (fcntl(n, F_GETFD) < 0) (void)open("/dev/null", O_RDWR);
  int from = fcntl(0, F_DUPFD_CLOEXEC, 3), to = fcntl(1, F_DUPFD_CLOEXEC, 3), errors = fcntl(2, F_DUPFD_CLOEXEC, 3);
  if (from < 0 || to < 0 || errors < 0) return 1;
  (void)signal(SIGPIPE, SIG_DFL);
  hello_write(to, FRAME_MAGIC, FRAME_MAGIC_LENGTH); /* before the greeting is there: who brought us waits for it */
  remora_value *hello = hello_read(from, to);
  if (remora_as_bool(remora_get(hello, "warden")))
    warden_stand(from, to, errors, remora_as_int(remora_get(hello, "heartbeat")));
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC), output[2];
  if (null < 0 || dup2(null, 0) < 0) return 1;
  close(null);
  for (int i = 0; i < 2; i++) output[i] = take_output(i + 1);
  (void)setvbuf(stdout, NULL, _IOLBF, 0);
  /* Ctrl-C belongs to the near side's terminal. A handler, for what user code starts gets the default again. */
  const struct sigaction quiet = {.sa_handler = no_interrupt, .sa_flags = SA_RESTART};
  (void)sigaction(SIGINT, &quiet, NULL);
  (void)fcntl(from, F_SETFL, fcntl(from, F_GETFL) | O_NONBLOCK);
  (void)fcntl(to, F_SETFL, fcntl(to, F_GETFL) | O_NONBLOCK);
  native_is_self();
  static char store; /* an address: the root is one object */
  remora_object *root = remora_export(NULL, &module_root, &store, NULL);
  remora_conn *near = root ? far_adopt(from, to, output, hello, root, &command_hooks, NULL) : NULL;
  if (!near) return 1;
  module_near(near);
  files_begin(near->session.max_message);
  int status = far_serve(near);
  command_end_all();
  exit(status);
}
