/* askpass.c: what ssh and sudo run to ask somebody: the question goes to the hub that has started them, the answer to standard output. */
#include "node.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Connects to the abstract socket of that name, if its owner is the user that asks. -1 otherwise. */
static int askpass_reach(const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct ucred owner;
  socklen_t size = sizeof owner;
  size_t length = strlen(name);
  if (!length || length >= sizeof address.sun_path) return -1;
  memcpy(address.sun_path + 1, name, length);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  length += offsetof(struct sockaddr_un, sun_path) + 1;
  if (connect(fd, (const struct sockaddr *)&address, (socklen_t)length) == 0 &&
      getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &owner, &size) == 0 && owner.uid == getuid())
    return fd;
  close(fd);
  return -1;
}

/* Is it ssh that waits for us, and not whoever has taken us over from it? It was started with the same variable. */
static bool askpass_is_ours(pid_t parent, const char *name) {
  char path[32], *line = NULL;
  size_t room = 0, length = sizeof PROMPT_VARIABLE - 1;
  bool found = false;
  (void)snprintf(path, sizeof path, "/proc/%ld/environ", (long)parent);
  FILE *f = fopen(path, "re");
  while (f && !found && getdelim(&line, &room, 0, f) > 0)
    found = strncmp(line, PROMPT_VARIABLE "=", length + 1) == 0 && strcmp(line + length + 1, name) == 0;
  free(line);
  if (f) (void)fclose(f);
  return found;
}

int askpass(const char *name, const char *text) {
  const char *hint = getenv("SSH_ASKPASS_PROMPT");
  char packet[PROMPT_TEXT + 1];
  bool told = hint && strcmp(hint, "none") == 0, confirms = hint && strcmp(hint, "confirm") == 0;
  packet[0] = told ? PROMPT_INFO : confirms ? PROMPT_CONFIRM : PROMPT_SECRET;
  size_t length = strnlen(text, PROMPT_TEXT);
  memcpy(packet + 1, text, length);
  int fd = askpass_reach(name);
  ssize_t got = fd >= 0 && send(fd, packet, length + 1, MSG_NOSIGNAL) > 0 ? recv(fd, packet, sizeof packet, 0) : -1;
  if (got > 0) {
    bool written = write(1, packet + 1, (size_t)got - 1) == got - 1;
    explicit_bzero(packet, sizeof packet);
    return !written;
  }
  if (told) return 0;
  /* ssh would take no answer for an empty password, try it, and ask again. */
  pid_t parent = getppid();
  if (!confirms && askpass_is_ours(parent, name)) (void)kill(parent, SIGTERM);
  return 1;
}
