/* main.c: remora-node, the far side in C: greets, puts the descriptors in their places, and serves until its connection ends. */
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

static void write_all(int fd, const void *data, size_t length) {
  const char *p = data;
  while (length > 0) {
    ssize_t n = write(fd, p, length);
    if (n < 0 && errno != EINTR) _exit(1);
    if (n > 0) p += n, length -= (size_t)n;
  }
}

static void read_all(int fd, void *data, size_t length) {
  char *p = data;
  while (length > 0) {
    ssize_t n = read(fd, p, length);
    if (n == 0 || (n < 0 && errno != EINTR)) _exit(0); /* the end of the wire is the end of the node */
    if (n > 0) p += n, length -= (size_t)n;
  }
}

static void say_bye(int to, const char *why) {
  uint8_t head[FRAME_HEADER];
  const frame f = {.kind = FRAME_BYE, .size = (uint32_t)strlen(why)};
  frame_encode(&f, head);
  write_all(to, head, sizeof head);
  write_all(to, why, strlen(why));
  _exit(1);
}

/* The near side's HELLO: it says whether to fork, so it is read before there is a hub with threads. */
static remora_value *read_hello(int from, int to) {
  uint8_t head[FRAME_HEADER];
  frame f;
  read_all(from, head, sizeof head);
  frame_decode(head, &f);
  const char *fault = frame_check(&f, FRAME_CHUNK);
  if (!fault && f.kind != FRAME_HELLO) fault = "something came before the greeting";
  if (fault) say_bye(to, fault);
  char *text = malloc(f.size + 1);
  if (!text) say_bye(to, "out of memory");
  read_all(from, text, f.size);
  codec_in in = {.body = text, .length = f.size, .plain = true};
  remora_value *hello = codec_json.decode(&in, NULL);
  free(text);
  if (!hello || remora_value_kind(hello) != REMORA_MAP) say_bye(to, "the greeting cannot be read");
  char why[100];
  int64_t protocol = remora_as_int(remora_get(hello, "protocol"));
  (void)snprintf(why, sizeof why, "the near side speaks protocol %lld, this node %d", (long long)protocol,
                 FRAME_PROTOCOL);
  if (protocol != FRAME_PROTOCOL) say_bye(to, why);
  return hello;
}

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
  write_all(to, FRAME_MAGIC, FRAME_MAGIC_LENGTH); /* before the greeting is there: who brought us waits for it */
  remora_value *hello = read_hello(from, to);
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
  remora_conn *near = root ? far_adopt(from, to, output, hello, root) : NULL;
  if (!near) return 1;
  module_near(near);
  exit(far_serve(near));
}
