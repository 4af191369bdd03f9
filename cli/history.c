/* history.c: the lines of earlier sessions: $XDG_STATE_HOME/remora/history, a line each, nobody else's to read. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define HISTORY_LINES 2000 /* are kept; twice as many before the file is shortened */

/* The file's path, *new*; NULL when there is no place for it. Its folders are made. */
static char *history_path(void) {
  const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
  char *path = NULL;
  int n = state && *state == '/' ? asprintf(&path, "%s/remora/history", state)
          : home && *home        ? asprintf(&path, "%s/.local/state/remora/history", home)
                                 : -1;
  if (n < 0) return NULL;
  for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    (void)mkdir(path, 0700);
    *slash = '/';
  }
  return path;
}

/* Open and locked against other sessions. */
static FILE *history_open(void) {
  char *path = history_path();
  int fd = path ? open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
  free(path);
  if (fd < 0) return NULL;
  struct stat st;
  FILE *f = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && flock(fd, LOCK_EX) == 0 && fchmod(fd, 0600) == 0
                ? fdopen(fd, "r+")
                : NULL;
  if (!f) close(fd);
  return f;
}

void history_load(void (*fn)(void *userdata, const char *line), void *userdata) {
  FILE *f = history_open();
  if (!f) return;
  char **lines = NULL, *line = NULL;
  size_t n = 0, room = 0, size = 0;
  for (ssize_t length; (length = getline(&line, &size, f)) >= 0;) {
    if (length && line[length - 1] == '\n') line[--length] = 0;
    if (n == room) {
      size_t more = room ? 2 * room : 256;
      char **bigger = realloc(lines, more * sizeof *bigger);
      if (!bigger) break;
      lines = bigger;
      room = more;
    }
    if (!(lines[n] = strdup(line))) break;
    n++;
  }
  free(line);
  size_t first = n > HISTORY_LINES ? n - HISTORY_LINES : 0;
  if (n > 2 * HISTORY_LINES && ftruncate(fileno(f), 0) == 0) {
    clearerr(f);
    for (size_t i = first; i < n; i++) fprintf(f, "%s\n", lines[i]);
  }
  (void)fclose(f);
  for (size_t i = 0; i < n; i++) {
    if (i >= first) fn(userdata, lines[i]);
    free(lines[i]);
  }
  free(lines);
}

void history_append(const char *line) {
  FILE *f = history_open();
  if (!f) return;
  fprintf(f, "%s\n", line);
  (void)fclose(f);
}
