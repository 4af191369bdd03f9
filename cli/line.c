/* line.c: lines that somebody types, with editing, history and completion by libedit; or the lines of standard input. While
 * it waits, what far code prints appears. */
#include "cli.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

struct line_source {
  EditLine *edit; /* NULL: no terminal */
  History *history;
  remora_value *(*complete)(void *userdata, const char *text);
  void *userdata;
  const char *prompt;
  volatile bool *stop;
  char *text; /* read from standard input and not given out yet */
  size_t length, room;
  bool ended;
  mbstate_t half; /* a character of which only some bytes have come */
};

static volatile sig_atomic_t resized, continued;

static void on_resize(int number) {
  (void)number;
  resized = 1;
}

static void on_continue(int number) {
  (void)number;
  continued = 1;
}

bool line_is_terminal(const line_source *l) { return l->edit != NULL; }

/* ---------------------------------------------------------------------------------------------------------- waiting */

/* Far output between the prompt and what is typed: above both. */
static void show_events(line_source *l) {
  bool any = false;
  char last = '\n';
  for (remora_event *e; (e = remora_next_event(remora_default_queue(), 0)) != NULL; wait_event(e)) {
    size_t length = 0;
    const char *data = remora_event_type(e) == REMORA_EVENT_OUTPUT ? remora_event_data(e, &length) : NULL;
    if (!data || !length) continue;
    if (l->edit && !any) {
      fputs("\r\033[K", stdout);
      (void)fflush(stdout);
    }
    any = true;
    last = data[length - 1];
  }
  if (!l->edit || !any) return;
  if (last != '\n') fputc('\n', stdout);
  (void)fflush(stdout);
  el_set(l->edit, EL_REFRESH);
}

/* Waits until standard input can be read: LINE_READ; LINE_INTERRUPTED; LINE_END when there is no use any more. */
static int wait_input(line_source *l) {
  remora_queue *queue = remora_default_queue();
  sigset_t ours, before;
  (void)sigemptyset(&ours);
  (void)sigaddset(&ours, SIGINT);
  (void)sigaddset(&ours, SIGWINCH);
  (void)sigaddset(&ours, SIGCONT);
  /* Let in while it sleeps and nowhere else: none is lost between the look and the sleep. */
  (void)sigprocmask(SIG_BLOCK, &ours, &before);
  int result = -2;
  while (result == -2) {
    if (remora_queue_arm(queue)) show_events(l);
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = remora_queue_fd(queue), .events = POLLIN}};
    if (*l->stop) {
      result = LINE_END;
    } else if (interrupted) {
      result = LINE_INTERRUPTED;
    } else if (ppoll(fds, 2, NULL, &before) < 0) {
      if (l->edit && resized) el_resize(l->edit);
      if (l->edit && continued) {
        el_set(l->edit, EL_PREP_TERM, 1);
        el_set(l->edit, EL_REFRESH);
      }
      resized = continued = 0;
    } else if (fds[0].revents) {
      result = LINE_READ;
    }
  }
  (void)sigprocmask(SIG_SETMASK, &before, NULL);
  return result;
}

/* One character for libedit: 1; 0 at the end; -1 when the line is given up. */
static int get_character(EditLine *edit, wchar_t *c) {
  line_source *l;
  el_get(edit, EL_CLIENTDATA, &l);
  for (;;) {
    int ready = wait_input(l);
    if (ready != LINE_READ) return ready;
    char byte;
    ssize_t n = read(STDIN_FILENO, &byte, 1);
    if (n <= 0) {
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      return 0;
    }
    size_t got = mbrtowc(c, &byte, 1, &l->half);
    if (got == (size_t)-2) continue;
    if (got == (size_t)-1) {
      memset(&l->half, 0, sizeof l->half);
      continue; /* no character of this terminal's */
    }
    return 1;
  }
}

/* ------------------------------------------------------------------------------------------------------- completion */

/* How much of the end of the text is the beginning of the candidate. */
static size_t overlap(const char *text, size_t length, const char *candidate) {
  size_t n = strlen(candidate);
  if (n > length) n = length;
  while (n && memcmp(text + length - n, candidate, n) != 0) n--;
  return n;
}

static void show_candidates(EditLine *edit, const remora_value *list) {
  struct winsize size;
  size_t widest = 0, n = remora_length(list), width = 80;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col) width = size.ws_col;
  for (size_t i = 0; i < n; i++) {
    size_t length = 0;
    (void)remora_as_text(remora_at(list, i), &length);
    if (length > widest) widest = length;
  }
  size_t columns = width / (widest + 2) ? width / (widest + 2) : 1, rows = (n + columns - 1) / columns;
  fputc('\n', stdout);
  for (size_t row = 0; row < rows; row++)
    for (size_t column = 0; column < columns; column++) {
      size_t i = column * rows + row;
      if (i < n) printf("%-*s", i + rows < n ? (int)widest + 2 : 0, remora_as_text(remora_at(list, i), NULL));
      if (column + 1 == columns) fputc('\n', stdout);
    }
  (void)fflush(stdout);
  (void)edit;
}

/* Tab. */
static unsigned char complete(EditLine *edit, int c) {
  line_source *l;
  (void)c;
  el_get(edit, EL_CLIENTDATA, &l);
  const LineInfo *line = el_line(edit);
  size_t length = (size_t)(line->cursor - line->buffer);
  char *text = strndup(line->buffer, length);
  if (!text) return CC_ERROR;
  if (strspn(text, " \t") == length) { /* nothing to complete: an indentation */
    free(text);
    return el_insertstr(edit, "    ") == 0 ? CC_REFRESH : CC_ERROR;
  }
  unsigned char result = CC_REFRESH_BEEP;
  remora_value *list = l->complete(l->userdata, text);
  const char *first = list ? remora_as_text(remora_at(list, 0), NULL) : NULL;
  if (first) {
    size_t have = overlap(text, length, first), common = strlen(first);
    for (size_t i = 1; i < remora_length(list); i++) {
      const char *other = remora_as_text(remora_at(list, i), NULL);
      size_t n = 0;
      while (other && n < common && other[n] == first[n]) n++;
      common = n;
    }
    while (common && ((unsigned char)first[common] & 0xc0) == 0x80) common--; /* whole characters */
    char *more = common > have ? strndup(first + have, common - have) : NULL;
    if (more) {
      if (el_insertstr(edit, more) == 0) result = CC_REFRESH;
    } else if (remora_length(list) > 1) {
      show_candidates(edit, list);
      result = CC_REDISPLAY;
    } else {
      result = CC_REFRESH;
    }
    free(more);
  }
  (void)remora_value_unref(list);
  free(text);
  return result;
}

/* ----------------------------------------------------------------------------------------------------------- a line */

static char *prompt(EditLine *edit) {
  line_source *l;
  el_get(edit, EL_CLIENTDATA, &l);
  return (char *)(uintptr_t)l->prompt;
}

static void known(void *userdata, const char *text) {
  line_source *l = userdata;
  HistEvent event;
  if (*text) (void)history(l->history, &event, H_ENTER, text);
}

line_source *line_open(remora_value *(*completer)(void *userdata, const char *text), void *userdata) {
  line_source *l = calloc(1, sizeof *l);
  if (!l) wait_die("out of memory");
  l->complete = completer;
  l->userdata = userdata;
  if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) return l;
  (void)setlocale(LC_CTYPE, "");
  HistEvent event;
  l->edit = el_init("remora", stdin, stdout, stderr);
  l->history = history_init();
  if (!l->edit || !l->history) wait_die("libedit does not know this terminal");
  (void)history(l->history, &event, H_SETSIZE, 2000);
  (void)history(l->history, &event, H_SETUNIQUE, 1);
  el_set(l->edit, EL_CLIENTDATA, l);
  el_set(l->edit, EL_PROMPT, prompt);
  el_set(l->edit, EL_HIST, history, l->history);
  el_set(l->edit, EL_EDITOR, "emacs");
  el_set(l->edit, EL_GETCFN, get_character);
  el_set(l->edit, EL_ADDFN, "remora-complete", "complete a far name", complete);
  el_set(l->edit, EL_BIND, "^I", "remora-complete", NULL);
  el_set(l->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
  (void)el_source(l->edit, NULL);
  history_load(known, l);
  struct sigaction action = {.sa_handler = on_resize, .sa_flags = SA_RESTART};
  (void)sigemptyset(&action.sa_mask);
  (void)sigaction(SIGWINCH, &action, NULL);
  action.sa_handler = on_continue;
  (void)sigaction(SIGCONT, &action, NULL);
  return l;
}

/* The next line of standard input that is no terminal. */
static int plain_line(line_source *l, char **text) {
  for (;;) {
    char *end = l->length ? memchr(l->text, '\n', l->length) : NULL;
    if (end || (l->ended && l->length)) {
      size_t n = end ? (size_t)(end - l->text) : l->length, used = end ? n + 1 : n;
      if (!(*text = strndup(l->text, n))) wait_die("out of memory");
      memmove(l->text, l->text + used, l->length - used);
      l->length -= used;
      return LINE_READ;
    }
    if (l->ended) return LINE_END;
    int ready = wait_input(l);
    if (ready != LINE_READ) return ready;
    if (l->room - l->length < 4096 && !(l->text = realloc(l->text, l->room = 2 * l->room + 8192)))
      wait_die("out of memory");
    ssize_t n = read(STDIN_FILENO, l->text + l->length, l->room - l->length);
    if (n > 0) l->length += (size_t)n;
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) l->ended = true;
  }
}

int line_next(line_source *l, const char *text_before, volatile bool *stop, char **text) {
  l->prompt = text_before;
  l->stop = stop;
  if (!l->edit) return plain_line(l, text);
  int length = 0;
  /* Before the prompt is there: a Ctrl-D that answers it at once would be swallowed. */
  el_set(l->edit, EL_PREP_TERM, 1);
  const char *line = el_gets(l->edit, &length);
  if (interrupted) {
    interrupted = 0;
    el_reset(l->edit);
    fputs("^C\n", stdout);
    return LINE_INTERRUPTED;
  }
  if (!line || length <= 0) {
    fputc('\n', stdout);
    return LINE_END;
  }
  if (length && line[length - 1] == '\n') length--;
  if (!(*text = strndup(line, (size_t)length))) wait_die("out of memory");
  return LINE_READ;
}

void line_remember(line_source *l, const char *text) {
  HistEvent last;
  if (!l->edit || !*text || (history(l->history, &last, H_FIRST) >= 0 && strcmp(last.str, text) == 0)) return;
  known(l, text);
  history_append(text);
}

void line_close(line_source *l) {
  if (!l) return;
  if (l->edit) el_end(l->edit);
  if (l->history) history_end(l->history);
  free(l->text);
  free(l);
}
