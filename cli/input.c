/* input.c: what the commands of `run` read: a file or standard input. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_MOST (1 << 18)

struct input {
  int fd;
  bool regular; /* every reader has a place of its own; else there is one reader, which may have to wait */
  off_t begin;
};

/* As read(), which waits also where a descriptor does not, until Ctrl-C. at: where, -1: where it stands. -1 with errno. */
static ssize_t input_read(int fd, char *data, size_t n, off_t at) {
  if (at >= 0) return pread(fd, data, n, at);
  while (!interrupted) {
    if (poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 200) <= 0) continue;
    ssize_t got = read(fd, data, n);
    if (got >= 0 || (errno != EAGAIN && errno != EINTR)) return got;
  }
  errno = EINTR;
  return -1;
}

/* All of a pipe or terminal in a file without a name: several readers want it from its begin. -1 with errno. */
static int input_spool(int from) {
  static char data[READ_MOST];
  FILE *to = tmpfile();
  if (!to) return -1;
  ssize_t n;
  while ((n = input_read(from, data, sizeof data, -1)) > 0)
    if (fwrite(data, 1, (size_t)n, to) != (size_t)n) return -1;
  if (n < 0 || fflush(to) != 0) return -1;
  return fileno(to); /* open until the process ends */
}

input *input_open(const char *path, bool several) {
  static input only; /* as long as the process */
  input *i = &only;
  struct stat st;
  const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
  i->fd = name == path ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
  if (i->fd < 0 || fstat(i->fd, &st) != 0) goto fail;
  errno = EISDIR;
  if (S_ISDIR(st.st_mode)) goto fail;
  i->regular = S_ISREG(st.st_mode);
  if (i->regular && name != path && (i->begin = lseek(i->fd, 0, SEEK_CUR)) < 0) goto fail;
  if (!i->regular && several) {
    i->regular = true;
    if ((i->fd = input_spool(i->fd)) < 0 && !interrupted) goto fail;
  }
  return i;
fail:
  settings_wrong("run", "--input: %s: %s", name, strerror(errno));
}

off_t input_begin(const input *i) { return i->begin; }

typedef struct request {
  int fd;
  size_t n;
  remora_event *event;
} request;

static remora_value *input_piece(int fd, size_t n, off_t at, remora_error **err) {
  char *data = malloc(n);
  ssize_t got = data ? input_read(fd, data, n, at) : -1;
  remora_value *piece = got < 0 ? NULL : remora_bytes(data, (size_t)got);
  if (!piece) *err = remora_error_new(REMORA_E_FILE, data ? strerror(errno) : "out of memory");
  free(data);
  return piece;
}

/* A read that may have to wait, beside everything else. */
static void *input_wait(void *argument) {
  request r = *(request *)argument;
  free(argument);
  remora_error *err = NULL;
  remora_value *piece = input_piece(r.fd, r.n, -1, &err);
  if (piece)
    (void)remora_event_reply(r.event, piece, NULL);
  else
    remora_event_fail(r.event, err);
  (void)remora_value_unref(piece);
  (void)remora_event_free(r.event);
  return NULL;
}

remora_value *input_take(const input *i, off_t *at, size_t n, remora_error **err) {
  if (n > READ_MOST) n = READ_MOST;
  if (i->regular) {
    remora_value *piece = input_piece(i->fd, n, *at, err);
    size_t length = 0;
    if (piece) (void)remora_as_text(piece, &length);
    *at += (off_t)length;
    return piece;
  }
  request *r = malloc(sizeof *r);
  pthread_t thread;
  if (!r) wait_die("out of memory");
  *r = (request){.fd = i->fd, .n = n, .event = remora_event_defer()};
  if (!r->event || pthread_create(&thread, NULL, input_wait, r) != 0) wait_die("no thread for the input");
  (void)pthread_detach(thread); /* the command may end before its input does */
  return NULL;
}
