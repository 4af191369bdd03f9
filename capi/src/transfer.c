/* transfer.c: whole files from here to the far side and back. A thread for each reads and writes the local file and keeps several pieces on the way; it waits like any other
 * thread, for answers of the far file (docs/protocol.md section 5.4), and gives up as soon as its own future is ready: that was cancelled then. */
#include "hub.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRANSFER_PIECE ((size_t)256 * 1024)
#define TRANSFER_WINDOW 8 /* pieces on the way */

typedef struct transfer {
  hub *hub;
  remora_conn *conn;
  remora_future *future; /* the caller's */
  remora_proxy *file;    /* over there */
  remora_future *line[TRANSFER_WINDOW];
  unsigned first, count; /* of what is on the way */
  uint64_t chain;
  bool up, atomic, times, sync, keep_mode;
  bool regular; /* the local file; a device or a fifo keeps its permissions and times */
  int64_t mode; /* -1: as keep_mode says */
  int64_t bytes;
  size_t piece;
  int fd;
  char *local, *remote;
  char *target,
      *part; /* what the local file is called in the end; while it is being written, NULL when that is the same */
} transfer;

/* ------------------------------------------------------------------------------------------------------------ options */

static int transfer_option(transfer *t, const char *name, const remora_value *v, remora_error **err) {
  remora_kind kind = remora_value_kind(v);
  if (name && strcmp(name, "atomic") == 0 && kind == REMORA_BOOL) return t->atomic = remora_as_bool(v), 0;
  if (name && strcmp(name, "times") == 0 && kind == REMORA_BOOL) return t->times = remora_as_bool(v), 0;
  if (name && strcmp(name, "sync") == 0 && kind == REMORA_BOOL) return t->sync = remora_as_bool(v), 0;
  if (name && strcmp(name, "mode") == 0 && kind == REMORA_BOOL) return t->keep_mode = remora_as_bool(v), 0;
  if (name && strcmp(name, "mode") == 0 && kind == REMORA_INT && remora_as_int(v) >= 0 && remora_as_int(v) <= 07777)
    return t->mode = remora_as_int(v), 0;
  return error_set(err, REMORA_E_INVALID,
                   "the options of a copied file are atomic, times, sync (bool) and mode (bool, or the permission "
                   "bits), not %s like this",
                   name ? name : "one");
}

static int transfer_options(transfer *t, const remora_value *options, remora_error **err) {
  t->atomic = t->times = t->keep_mode = true;
  t->mode = -1;
  if (!options || remora_value_kind(options) == REMORA_NULL) return 0;
  if (remora_value_kind(options) != REMORA_MAP)
    return error_set(err, REMORA_E_INVALID, "the options of a copied file are a map");
  for (size_t i = 0; i < remora_length(options); i++)
    if (transfer_option(t, remora_as_text(remora_key_at(options, i), NULL), remora_at(options, i), err) != 0) return -1;
  return 0;
}

/* ----------------------------------------------------------------------------------------------------------- far calls */

static bool transfer_over(const transfer *t) { return atomic_load(&t->future->state) != REMORA_PENDING; }

/* Waits until f, or else this transfer, is over; false: it was cancelled, or the hub ends. */
static bool transfer_wait(transfer *t, remora_future *f) {
  while (atomic_load_explicit(&f->state, memory_order_acquire) == REMORA_PENDING) {
    waiter w = {.future = f, .unless = t->future};
    if (loop_wait(t->hub, &w, -1) == REMORA_WAIT_TIMEOUT) return false; /* the hub ends */
    if (transfer_over(t)) return false;
  }
  return !transfer_over(t);
}

/* *new* result; steals f. NULL with *err, or without when it was cancelled. */
static remora_value *transfer_result(transfer *t, remora_future *f, remora_error **err) {
  remora_value *v = f && transfer_wait(t, f) ? remora_future_result(f, err) : NULL;
  (void)remora_future_unref(f);
  return v;
}

/* Room for a call of that size. */
static bool transfer_credit(transfer *t, uint64_t cost) {
  waiter w = {.credit = t->conn, .cost = cost, .unless = t->future};
  return loop_wait(t->hub, &w, -1) == REMORA_WAIT_READY && !transfer_over(t);
}

/* *new*; steals args. */
static remora_future *transfer_start(transfer *t, remora_proxy *p, const char *method, remora_value *args, size_t size,
                                     remora_error **err) {
  remora_future *f = NULL;
  remora_error *why = NULL;
  while (args && !(f = remora_start_with(p, method, args, -1, REMORA_NOWAIT, &why))) {
    if (remora_error_code(why) != REMORA_E_OVERLOADED || !transfer_credit(t, size + 256)) break;
    why = remora_error_free(why);
  }
  (void)remora_value_unref(args);
  if (!f && !transfer_over(t) && err) *err = why ? why : remora_error_new(REMORA_E_NOMEM, NULL), why = NULL;
  (void)remora_error_free(why);
  return f;
}

static remora_value *transfer_call(transfer *t, remora_proxy *p, const char *method, remora_value *args,
                                   remora_error **err) {
  return transfer_result(t, transfer_start(t, p, method, args, 0, err), err);
}

static int transfer_ok(remora_value *v) {
  (void)remora_value_unref(v);
  return v ? 0 : -1;
}

/* The oldest of what is on the way. */
static remora_value *transfer_next(transfer *t, remora_error **err) {
  remora_future *f = t->line[t->first];
  t->line[t->first] = NULL;
  t->first = (t->first + 1) % TRANSFER_WINDOW;
  t->count--;
  return transfer_result(t, f, err);
}

static int transfer_send(transfer *t, const char *method, remora_value *args, size_t size, remora_error **err) {
  remora_future *f = transfer_start(t, t->file, method, args, size, err);
  if (!f) return -1;
  t->line[(t->first + t->count++) % TRANSFER_WINDOW] = f;
  return 0;
}

static remora_value *transfer_name(const char *path) {
  remora_value *v = remora_str(path);
  return v ? v : remora_bytes(path, strlen(path)); /* a name that is not UTF-8 */
}

static remora_value *transfer_times(const struct stat *s) {
  return remora_pack(NULL, "=[d d]", (double)s->st_atim.tv_sec + (double)s->st_atim.tv_nsec / 1e9,
                     (double)s->st_mtim.tv_sec + (double)s->st_mtim.tv_nsec / 1e9);
}

static int transfer_open_far(transfer *t, const char *mode, remora_value *options, remora_error **err) {
  remora_proxy *root = remora_conn_root(t->conn, err);
  remora_value *args = remora_pack(NULL, "V s V", transfer_name(t->remote), mode, options);
  remora_value *v = NULL;
  if (root)
    v = transfer_call(t, root, "open", args, err);
  else
    (void)remora_value_unref(args);
  (void)remora_proxy_unref(root);
  if (!v) return -1;
  t->file = remora_proxy_ref(remora_as_proxy(v));
  (void)remora_value_unref(v);
  return t->file ? 0 : error_set(err, REMORA_E_PROTOCOL, "the far side answered open with something that is no file");
}

/* The far file is given up: what is not complete there goes. */
static void transfer_drop_far(transfer *t) {
  while (t->count > 0) {
    remora_future *f = t->line[t->first];
    (void)remora_cancel(f);
    t->line[t->first] = remora_future_unref(f);
    t->first = (t->first + 1) % TRANSFER_WINDOW;
    t->count--;
  }
  if (!t->file) return;
  remora_future *f = remora_start_with(t->file, "discard", NULL, -1, REMORA_ONEWAY | REMORA_NOWAIT, NULL);
  (void)remora_future_unref(f);
}

/* -------------------------------------------------------------------------------------------------------------- upload */

static int transfer_piece_up(transfer *t, bool *end, remora_error **err) {
  char *data = malloc(t->piece);
  if (!data) return error_set(err, REMORA_E_NOMEM, NULL);
  size_t have = 0;
  while (have < t->piece) {
    ssize_t n = read(t->fd, data + have, t->piece - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return free(data), error_file(err, errno, "read", t->local);
    if (n == 0) break;
    have += (size_t)n;
  }
  *end = have < t->piece;
  t->bytes += (int64_t)have;
  if (have == 0) return free(data), 0;
  remora_value *view = remora_bytes_view(data, have, free, data);
  if (!view) return free(data), error_set(err, REMORA_E_NOMEM, NULL);
  return transfer_send(t, "write", remora_pack(NULL, "V", view), have, err);
}

static int transfer_up(transfer *t, remora_error **err) {
  struct stat s;
  t->fd = open(t->local, O_RDONLY | O_CLOEXEC);
  if (t->fd < 0 || fstat(t->fd, &s) != 0) return error_file(err, errno, "read", t->local);
  if (S_ISDIR(s.st_mode)) return error_file(err, EISDIR, "read", t->local);
  remora_value *options = remora_pack(NULL, "={s:b s:b}", "atomic", t->atomic, "sync", t->sync);
  if (t->mode >= 0 || t->keep_mode)
    (void)remora_set(options, "mode", remora_int(t->mode >= 0 ? t->mode : (int64_t)(s.st_mode & 0777)));
  if (t->times) (void)remora_set(options, "times", transfer_times(&s));
  if (transfer_open_far(t, "w", options, err) != 0) return -1;
  for (bool end = false; !end;) {
    if (t->count == TRANSFER_WINDOW && transfer_ok(transfer_next(t, err)) != 0) return -1;
    if (transfer_over(t) || transfer_piece_up(t, &end, err) != 0) return -1;
  }
  while (t->count > 0)
    if (transfer_ok(transfer_next(t, err)) != 0) return -1;
  if (S_ISREG(s.st_mode) && t->bytes < s.st_size)
    return error_set(err, REMORA_E_FILE, "%s became shorter while it was read: %lld bytes instead of %lld", t->local,
                     (long long)t->bytes, (long long)s.st_size);
  return transfer_ok(transfer_call(t, t->file, "close", remora_list(), err));
}

/* ------------------------------------------------------------------------------------------------------------ download */

/* The new local file: beside the one that it replaces (of a symbolic link: what that leads to), or that itself. */
static int transfer_create(transfer *t, remora_error **err) {
  struct stat old;
  char *real = realpath(t->local, NULL);
  t->target = real ? real : strdup(t->local);
  if (!t->target) return error_set(err, REMORA_E_NOMEM, NULL);
  bool there = stat(t->target, &old) == 0;
  if (there && S_ISDIR(old.st_mode)) return error_file(err, EISDIR, "write", t->local);
  t->regular = !there || S_ISREG(old.st_mode);
  if (!t->atomic || !t->regular) {
    t->fd = open(t->target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return t->fd >= 0 ? 0 : error_file(err, errno, "write", t->local);
  }
  if (t->mode < 0 && !t->keep_mode && there) t->mode = (int64_t)(old.st_mode & 07777);
  const char *slash = strrchr(t->target, '/'), *name = slash ? slash + 1 : t->target;
  size_t room = strlen(t->target) + 32;
  char *part = malloc(room);
  if (!part) return error_set(err, REMORA_E_NOMEM, NULL);
  do {
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, 0) != sizeof random) random = (uint32_t)uv_hrtime();
    (void)snprintf(part, room, "%.*s.%.200s.%08x.part", (int)(name - t->target), t->target, name, random);
    /* What is to have the usual permissions gets them from the start. */
    t->fd =
        open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, t->mode < 0 && !t->keep_mode ? (mode_t)0666 : (mode_t)0600);
  } while (t->fd < 0 && errno == EEXIST);
  if (t->fd < 0) {
    int number = errno;
    free(part);
    return error_file(err, number, "write", t->local);
  }
  t->part = part;
  return 0;
}

static int transfer_piece_down(transfer *t, const remora_value *v, remora_error **err) {
  size_t left;
  const char *data = remora_as_text(v, &left);
  if (!data || remora_value_kind(v) != REMORA_BYTES)
    return error_set(err, REMORA_E_PROTOCOL, "the far side answered read with something that is no bytes");
  while (left > 0) {
    ssize_t n = write(t->fd, data, left);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return error_file(err, errno, "write", t->local);
    data += n;
    left -= (size_t)n;
    t->bytes += n;
  }
  return 0;
}

/* What the far side says: it may say anything. */
static struct timespec transfer_time(double seconds) {
  if (!(seconds > -1e11 && seconds < 1e11)) return (struct timespec){.tv_nsec = UTIME_OMIT};
  time_t whole = (time_t)seconds;
  if ((double)whole > seconds) whole--;
  return (struct timespec){.tv_sec = whole, .tv_nsec = (long)((seconds - (double)whole) * 1e9)};
}

/* Permissions and times, then it takes its place. */
static int transfer_finish(transfer *t, const remora_value *about, remora_error **err) {
  int64_t mode = t->mode >= 0 ? t->mode : t->keep_mode ? remora_as_int(remora_get(about, "mode")) & 0777 : -1;
  if (mode >= 0 && t->regular && fchmod(t->fd, (mode_t)mode) != 0 && t->part)
    return error_file(err, errno, "set the permissions of", t->local);
  if (t->times && t->regular) {
    struct timespec times[2] = {transfer_time(remora_as_float(remora_get(about, "atime"))),
                                transfer_time(remora_as_float(remora_get(about, "mtime")))};
    if (futimens(t->fd, times) != 0 && t->part) return error_file(err, errno, "set the times of", t->local);
  }
  if (t->sync && fsync(t->fd) != 0) return error_file(err, errno, "write", t->local);
  int rc = close(t->fd);
  t->fd = -1;
  if (rc != 0) return error_file(err, errno, "write", t->local);
  if (t->part && rename(t->part, t->target) != 0) return error_file(err, errno, "replace", t->local);
  free(t->part);
  t->part = NULL;
  return 0;
}

static int transfer_down(transfer *t, remora_error **err) {
  if (transfer_open_far(t, "r", remora_null(), err) != 0) return -1;
  remora_future *asked = transfer_start(t, t->file, "stat", remora_list(), 0, err);
  if (!asked) return -1;
  unsigned wanted = 2; /* a small file needs no more */
  while (t->count < wanted)
    if (transfer_send(t, "read", remora_pack(NULL, "I", (int64_t)t->piece), 0, err) != 0)
      return (void)remora_future_unref(asked), -1;
  remora_value *about = transfer_result(t, asked, err);
  int rc = about ? transfer_create(t, err) : -1;
  for (bool end = false; rc == 0 && !end;) {
    remora_value *v = transfer_next(t, err);
    rc = v ? transfer_piece_down(t, v, err) : -1;
    size_t size = 0;
    (void)remora_as_text(v, &size);
    end = size == 0;
    (void)remora_value_unref(v);
    if (wanted < TRANSFER_WINDOW) wanted++;
    while (rc == 0 && !end && t->count < wanted)
      rc = transfer_send(t, "read", remora_pack(NULL, "I", (int64_t)t->piece), 0, err);
  }
  const char *kind = remora_as_text(remora_get(about, "kind"), NULL);
  int64_t size = remora_as_int(remora_get(about, "size"));
  if (rc == 0 && kind && strcmp(kind, "file") == 0 && t->bytes < size)
    rc = error_set(err, REMORA_E_FILE, "%s became shorter while it was read: %lld bytes instead of %lld", t->remote,
                   (long long)t->bytes, (long long)size);
  if (rc == 0) rc = transfer_finish(t, about, err);
  (void)remora_value_unref(about);
  return rc;
}

/* ----------------------------------------------------------------------------------------------------------- the thread */

static void transfer_free(transfer *t) {
  (void)remora_proxy_unref(t->file);
  (void)remora_future_unref(t->future);
  if (t->fd >= 0) close(t->fd);
  if (t->part) (void)unlink(t->part);
  free(t->part);
  free(t->target);
  free(t->local);
  free(t->remote);
  free(t);
}

static void *transfer_main(void *arg) {
  transfer *t = arg;
  hub *h = t->hub;
  call_chain = t->chain; /* whoever waits for this may stand in a call of the far side */
  remora_error *err = NULL;
  int rc = t->up ? transfer_up(t, &err) : transfer_down(t, &err);
  if (rc != 0 || !t->up) transfer_drop_far(t);
  if (rc != 0 && t->part) {
    (void)unlink(t->part); /* before anybody is told */
    free(t->part);
    t->part = NULL;
  }
  remora_value *result = rc == 0 ? remora_pack(&err, "={s:I}", "bytes", t->bytes) : NULL;
  if (!result && !err) err = remora_error_new(REMORA_E_LOST, "the file was not copied: this process ends");
  hub_lock(h);
  if (result && !transfer_over(t)) {
    atomic_store(&t->future->value, result);
    result = NULL;
    future_done(t->future, NULL);
  } else if (err) {
    future_fail(t->future, err);
    err = NULL;
  }
  hub_unlock(h);
  (void)remora_error_free(err);
  (void)remora_value_unref(result);
  transfer_free(t);
  hub_lock(h);
  h->transfers--;
  hub_unlock(h);
  return NULL;
}

static remora_future *transfer_begin(remora_conn *c, bool up, const char *local, const char *remote,
                                     const remora_value *options, remora_error **err) {
  hub *h = c->hub;
  if (h != hub_current) return error_set(err, REMORA_E_FORKED, NULL), NULL;
  if (!local || !*local || !remote || !*remote)
    return error_set(err, REMORA_E_INVALID, "to copy a file takes a path here and one over there"), NULL;
  transfer *t = calloc(1, sizeof *t);
  if (!t) return error_set(err, REMORA_E_NOMEM, NULL), NULL;
  size_t limit = c->session.max_message, most = limit > 8192 ? limit - 4096 : limit / 2;
  *t = (transfer){.hub = h, .conn = c, .up = up, .fd = -1, .chain = call_chain};
  t->piece = most < TRANSFER_PIECE ? most : TRANSFER_PIECE;
  t->local = strdup(local);
  t->remote = strdup(remote);
  t->future = future_new(h, c);
  if (!t->local || !t->remote || !t->future) return transfer_free(t), error_set(err, REMORA_E_NOMEM, NULL), NULL;
  if (transfer_options(t, options, err) != 0) return transfer_free(t), NULL;
  remora_future *f = remora_future_ref(t->future);
  hub_lock(h);
  h->transfers++;
  hub_unlock(h);
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old); /* the host's handlers must never run on our thread */
  pthread_t thread;
  int rc = pthread_create(&thread, NULL, transfer_main, t);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (rc == 0) {
    (void)pthread_detach(thread);
    return f;
  }
  hub_lock(h);
  h->transfers--;
  hub_unlock(h);
  transfer_free(t);
  (void)remora_future_unref(f);
  return error_set(err, REMORA_E_OVERLOADED, "cannot start a thread that copies the file: %s", strerror(rc)), NULL;
}

remora_future *remora_upload(remora_conn *c, const char *local, const char *remote, const remora_value *options,
                             remora_error **err) {
  return transfer_begin(c, true, local, remote, options, err);
}

remora_future *remora_download(remora_conn *c, const char *remote, const char *local, const remora_value *options,
                               remora_error **err) {
  return transfer_begin(c, false, local, remote, options, err);
}
