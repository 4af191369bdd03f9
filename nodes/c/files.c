/* files.c: `open` and `stat` of the root, and the methods of an open file. All on the main thread, but files_remove_all. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_PIECE ((size_t)1 << 20)

typedef struct file {
  struct file *next; /* in the list of those that have a temporary file */
  char *path, *temporary;
  int fd; /* -1: closed */
  bool regular, timed, sync;
  int64_t mode; /* -1: none was asked for */
  int64_t old;  /* of what an atomic file replaces; -1: there was nothing, so it has the usual ones from the start */
  struct timespec times[2];
} file;

size_t files_most = 1 << 20;
static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER;
static file *files_temporary;

void files_begin(uint32_t max_message) { files_most = max_message > 4096 ? max_message - 1024 : 1024; }

/* -------------------------------------------------------------------------------------------------------------- errors */

/* *new* text of what may be no UTF-8. */
static remora_value *files_shown(const char *text) {
  remora_value *v = remora_str(text);
  if (v) return v;
  char *ascii = strdup(text);
  for (char *p = ascii; p && *p; p++)
    if ((unsigned char)*p >= 0x80) *p = '?';
  v = ascii ? remora_str(ascii) : NULL;
  free(ascii);
  return v;
}

static remora_error *files_made(const char *type, const char *text, const char *path, int number) {
  remora_value *map = remora_map(), *types = remora_list();
  int failed = remora_append(types, remora_str(type));
  if (failed) types = remora_value_unref(types);
  failed |= remora_set(map, "type", types);
  failed |= remora_set(map, "message", files_shown(text));
  failed |= remora_set(map, "language", remora_str("c"));
  failed |= remora_set(map, "hops", remora_list());
  if (path) {
    remora_value *attributes = remora_map();
    failed |= remora_set(attributes, "errno", remora_int(number));
    failed |= remora_set(attributes, "filename", files_shown(path));
    failed |= remora_set(map, "attributes", attributes);
  }
  remora_error *err = failed ? NULL : remora_error_remote(map);
  if (failed) (void)remora_value_unref(map);
  return err ? err : remora_error_new(REMORA_E_NOMEM, NULL);
}

remora_error *files_error(const char *what, int number) {
  char *text = NULL;
  if (asprintf(&text, "%s: %s", what, strerror(number)) < 0) return remora_error_new(REMORA_E_NOMEM, NULL);
  remora_error *err = files_made("OSError", text, what, number);
  free(text);
  return err;
}

remora_error *files_fault(const char *type, const char *format, ...) {
  char *text = NULL;
  va_list args;
  va_start(args, format);
  int length = vasprintf(&text, format, args);
  va_end(args);
  if (length < 0) return remora_error_new(REMORA_E_NOMEM, NULL);
  remora_error *err = files_made(type, text, NULL, 0);
  free(text);
  return err;
}

static bool files_failed(const file *f, remora_error **err) {
  *err = files_error(f->path, errno);
  return false;
}

/* -------------------------------------------------------------------------------------------------------------- values */

static bool files_is_text(const remora_value *v) {
  remora_kind kind = remora_value_kind(v);
  return v && (kind == REMORA_TEXT || kind == REMORA_BYTES);
}

const char *files_text(const remora_value *v, const char *what, remora_error **err) {
  size_t length = 0;
  const char *text = files_is_text(v) ? remora_as_text(v, &length) : NULL;
  if (!text)
    *err = files_fault("remora.Value", "%s is text or bytes", what);
  else if (memchr(text, 0, length))
    *err = files_fault("remora.Value", "%s with a NUL", what);
  return *err ? NULL : text;
}

static remora_value *files_time(struct timespec t) { return remora_float((double)t.tv_sec + (double)t.tv_nsec * 1e-9); }

static remora_value *files_describe(const struct stat *st) {
  const char *kind = S_ISREG(st->st_mode)   ? "file"
                     : S_ISDIR(st->st_mode) ? "directory"
                     : S_ISLNK(st->st_mode) ? "link"
                                            : "other";
  remora_value *map = remora_map();
  int failed = remora_set(map, "size", remora_int(st->st_size));
  failed |= remora_set(map, "mode", remora_int(st->st_mode & 07777));
  failed |= remora_set(map, "mtime", files_time(st->st_mtim));
  failed |= remora_set(map, "atime", files_time(st->st_atim));
  failed |= remora_set(map, "kind", remora_str(kind));
  return failed ? remora_value_unref(map) : map;
}

/* NULL without an error if there is nothing of that name. A link that leads nowhere is what it is. */
static remora_value *files_stat(const char *path, remora_error **err) {
  struct stat st;
  int rc = stat(path, &st);
  if (rc != 0 && (errno == ENOENT || errno == ENOTDIR)) rc = lstat(path, &st);
  if (rc == 0) return files_describe(&st);
  if (errno != ENOENT && errno != ENOTDIR) *err = files_error(path, errno);
  return NULL;
}

static bool files_null(const remora_value *v) { return !v || remora_value_kind(v) == REMORA_NULL; }

static void file_set_times(file *f, const remora_value *times) {
  if (files_null(times) || remora_length(times) != 2 || !f->regular) return;
  for (size_t i = 0; i < 2; i++) {
    double t = remora_as_float(remora_at(times, i));
    if (!(t > -1e11 && t < 1e11)) return;
    time_t whole = (time_t)t;
    if ((double)whole > t) whole--;
    f->times[i] = (struct timespec){.tv_sec = whole, .tv_nsec = (long)((t - (double)whole) * 1e9)};
  }
  f->timed = true;
}

/* --------------------------------------------------------------------------------------------------------- atomic files */

static void file_list(file *f) {
  (void)pthread_mutex_lock(&files_lock);
  f->next = files_temporary;
  files_temporary = f;
  (void)pthread_mutex_unlock(&files_lock);
}

/* The temporary file is not ours to remove any more; its path (*new*), or NULL if there is none. */
static char *file_unlist(file *f) {
  (void)pthread_mutex_lock(&files_lock);
  file **at = &files_temporary;
  while (*at && *at != f) at = &(*at)->next;
  char *path = *at ? f->temporary : NULL;
  if (*at) *at = f->next;
  (void)pthread_mutex_unlock(&files_lock);
  if (path) f->temporary = NULL;
  return path;
}

void files_remove_all(void) {
  (void)pthread_mutex_lock(&files_lock);
  for (const file *f = files_temporary; f; f = f->next) (void)unlink(f->temporary);
  files_temporary = NULL;
  (void)pthread_mutex_unlock(&files_lock);
}

/* The path behind symbolic links, also where it leads to nothing yet. */
static void file_follow(file *f) {
  for (int hops = 0; hops < 40; hops++) {
    char to[4096];
    ssize_t n = readlink(f->path, to, sizeof to - 1);
    if (n <= 0) return;
    to[n] = 0;
    const char *slash = *to == '/' ? NULL : strrchr(f->path, '/');
    char *next = NULL;
    if (asprintf(&next, "%.*s%s", slash ? (int)(slash - f->path) + 1 : 0, f->path, to) < 0) return;
    free(f->path);
    f->path = next;
  }
}

static bool file_open_beside(file *f, int flags, remora_error **err) {
  file_follow(f);
  const char *slash = strrchr(f->path, '/'), *name = slash ? slash + 1 : f->path;
  struct stat st;
  f->old = stat(f->path, &st) == 0 ? (int64_t)(st.st_mode & 07777) : -1;
  do {
    uint32_t random;
    if (getrandom(&random, sizeof random, 0) < 0) return files_failed(f, err);
    free(f->temporary);
    if (asprintf(&f->temporary, "%.*s.%.200s.%08x.part", (int)(name - f->path), f->path, name, random) < 0) {
      f->temporary = NULL;
      errno = ENOMEM;
      return files_failed(f, err);
    }
    f->fd = open(f->temporary, flags | O_EXCL, f->mode < 0 && f->old < 0 ? 0666 : 0600);
  } while (f->fd < 0 && errno == EEXIST);
  if (f->fd < 0) return files_failed(f, err);
  file_list(f);
  return true;
}

/* An atomic file leaves no trace. */
static void file_discard(file *f) {
  if (f->fd >= 0) close(f->fd);
  f->fd = -1;
  char *temporary = file_unlist(f);
  if (temporary) (void)unlink(temporary);
  free(temporary);
}

static bool file_put(file *f, remora_error **err) {
  if (f->temporary) {
    struct stat before;
    bool there = stat(f->path, &before) == 0;
    if (there && fchown(f->fd, before.st_uid, before.st_gid) != 0) errno = 0; /* where that is allowed */
    int64_t mode = f->mode >= 0 ? f->mode : there ? (int64_t)(before.st_mode & 07777) : f->old;
    if (mode >= 0 && fchmod(f->fd, (mode_t)mode) != 0) return files_failed(f, err);
  }
  if (f->timed && futimens(f->fd, f->times) != 0) return files_failed(f, err);
  if (f->sync && fsync(f->fd) != 0) return files_failed(f, err);
  int rc = close(f->fd);
  f->fd = -1;
  if (rc != 0 || (f->temporary && rename(f->temporary, f->path) != 0)) return files_failed(f, err);
  free(file_unlist(f));
  return true;
}

static void file_close(file *f, const remora_value *times, remora_error **err) {
  if (f->fd < 0) return;
  file_set_times(f, times);
  if (!file_put(f, err)) file_discard(f);
}

static void file_free(void *userdata) {
  file *f = userdata;
  file_discard(f);
  free(f->temporary);
  free(f->path);
  free(f);
}

/* ------------------------------------------------------------------------------------------------------------- methods */

/* At most n bytes; without n (-1) all that are left. More than a message can carry is an error, and nothing is lost. */
static remora_value *file_read(file *f, int64_t n, remora_error **err) {
  size_t most = n >= 0 && (uint64_t)n <= files_most ? (size_t)n : files_most + 1, size = 0, room = 0;
  char *data = NULL;
  while (size < most) {
    if (size == room) { /* it grows with what is there, not with what was asked for */
      room = room ? room * 2 : FILES_PIECE;
      if (room > most) room = most;
      char *more = realloc(data, room);
      if (!more) {
        free(data);
        *err = remora_error_new(REMORA_E_NOMEM, NULL);
        return NULL;
      }
      data = more;
    }
    ssize_t got = read(f->fd, data + size, room - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      free(data);
      (void)files_failed(f, err);
      return NULL;
    }
    size += (size_t)got;
    if (got == 0 || (!f->regular && n >= 0)) break;
  }
  if (size > files_most) {
    (void)lseek(f->fd, -(off_t)size, SEEK_CUR);
    free(data);
    *err = files_fault("remora.Limit", "%s: more than the %zu bytes that one message can carry", f->path, files_most);
    return NULL;
  }
  return remora_bytes_view(data ? data : "", size, free, data);
}

static void file_write(file *f, const remora_value *v, remora_error **err) {
  size_t length = 0;
  const char *data = remora_value_kind(v) == REMORA_BYTES ? remora_as_text(v, &length) : NULL;
  if (!data) {
    *err = files_fault("remora.Value", "bytes are written, and nothing else");
    return;
  }
  while (length > 0) {
    ssize_t n = write(f->fd, data, length);
    if (n < 0 && errno != EINTR) {
      (void)files_failed(f, err);
      return;
    }
    if (n > 0) data += n, length -= (size_t)n;
  }
}

static remora_value *file_seek(file *f, int64_t offset, int64_t whence, remora_error **err) {
  off_t at = whence >= 0 && whence <= 2 ? lseek(f->fd, offset, (int)whence) : (errno = EINVAL, -1);
  if (at >= 0) return remora_int(at);
  (void)files_failed(f, err);
  return NULL;
}

static remora_value *file_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  file *f = userdata;
  const remora_value *first = remora_at(args, 0);
  if (strcmp(method, "close") == 0) {
    file_close(f, first, err);
  } else if (strcmp(method, "discard") == 0) {
    file_discard(f);
  } else if (strcmp(method, "read") == 0) {
    return file_read(f, files_null(first) ? -1 : remora_as_int(first), err);
  } else if (strcmp(method, "write") == 0) {
    file_write(f, first, err);
  } else if (strcmp(method, "seek") == 0) {
    return file_seek(f, remora_as_int(first), remora_as_int(remora_at(args, 1)), err);
  } else if (strcmp(method, "tell") == 0) {
    return file_seek(f, 0, SEEK_CUR, err);
  } else if (strcmp(method, "truncate") == 0) {
    off_t n = files_null(first) ? lseek(f->fd, 0, SEEK_CUR) : (off_t)remora_as_int(first);
    if (n < 0 || ftruncate(f->fd, n) != 0) (void)files_failed(f, err);
  } else if (strcmp(method, "stat") == 0) {
    struct stat st;
    if (fstat(f->fd, &st) == 0) return files_describe(&st);
    (void)files_failed(f, err);
  } else if (strcmp(method, "flush") != 0) {
    *err = files_fault("remora.NotFound", "a file has no method \"%.80s\"", method);
  }
  return NULL;
}

static const remora_class file_class = {sizeof(remora_class), "remora.File", "", file_call};

/* ---------------------------------------------------------------------------------------------------------------- open */

static int files_flags(const remora_value *mode) {
  static const struct {
    const char *name;
    int flags;
  } modes[] = {{"r", O_RDONLY},
               {"r+", O_RDWR},
               {"w", O_WRONLY | O_CREAT | O_TRUNC},
               {"a", O_WRONLY | O_CREAT | O_APPEND},
               {"x", O_WRONLY | O_CREAT | O_EXCL}};
  const char *name = files_null(mode) ? "r" : remora_value_kind(mode) == REMORA_TEXT ? remora_as_text(mode, NULL) : "";
  for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
    if (strcmp(name, modes[i].name) == 0) return modes[i].flags;
  return -1;
}

static bool file_begin(file *f, int flags, const remora_value *options, remora_error **err) {
  struct stat st;
  const remora_value *mode = remora_get(options, "mode");
  f->mode = files_null(mode) ? -1 : remora_as_int(mode) & 07777;
  bool atomic = remora_as_bool(remora_get(options, "atomic")) && flags & O_TRUNC &&
                (stat(f->path, &st) != 0 || S_ISREG(st.st_mode));
  if (atomic && !file_open_beside(f, flags | O_CLOEXEC, err)) return false;
  if (!atomic && (f->fd = open(f->path, flags | O_CLOEXEC, 0666)) < 0) return files_failed(f, err);
  if (fstat(f->fd, &st) != 0) return files_failed(f, err);
  if (S_ISDIR(st.st_mode)) return errno = EISDIR, files_failed(f, err);
  f->regular = S_ISREG(st.st_mode); /* a device keeps its rights and times */
  if (f->mode >= 0 && f->regular && !atomic && (flags & O_ACCMODE) != O_RDONLY && fchmod(f->fd, (mode_t)f->mode) != 0)
    return files_failed(f, err);
  f->sync = remora_as_bool(remora_get(options, "sync")) && f->regular;
  file_set_times(f, remora_get(options, "times"));
  return true;
}

static remora_value *files_open(const char *path, const remora_value *args, remora_error **err) {
  int flags = files_flags(remora_at(args, 1));
  if (flags < 0) {
    *err = files_fault("remora.Value", "no such mode: there are r, w, a, x and r+");
    return NULL;
  }
  file *f = calloc(1, sizeof *f);
  if (f) f->fd = -1;
  if (!f || !(f->path = strdup(path))) {
    free(f);
    *err = remora_error_new(REMORA_E_NOMEM, NULL);
    return NULL;
  }
  remora_object *object =
      file_begin(f, flags, remora_at(args, 2), err) ? remora_export(NULL, &file_class, f, file_free) : NULL;
  if (!object) {
    file_free(f);
    if (!*err) *err = remora_error_new(REMORA_E_NOMEM, NULL);
    return NULL;
  }
  remora_value *v = remora_value_of_object(object);
  (void)remora_object_unref(object);
  return v;
}

bool files_answer(const char *method, const remora_value *args, remora_value **result, remora_error **err) {
  bool is_open = strcmp(method, "open") == 0;
  if (!is_open && strcmp(method, "stat") != 0) return false;
  const char *path = files_text(remora_at(args, 0), "a path", err);
  if (path) *result = is_open ? files_open(path, args, err) : files_stat(path, err);
  return true;
}
