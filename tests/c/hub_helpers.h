/* hub_helpers.h: what the tests of the whole library share: a far side, short ways to call it, waiting with a limit. */
#ifndef REMORA_TEST_HUB_HELPERS_H
#define REMORA_TEST_HUB_HELPERS_H

#include "remora.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT 60000 /* ms; what takes longer hangs: a regular expression of two seconds may have a tenth of a core */

static inline int64_t now_ms(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ----------------------------------------------------------------------------------------------------------- errors */

/* What has to work: says why it did not. */
#define WORKS(err)                                                                                                     \
  do {                                                                                                                 \
    if (err) fail_msg("%s: %s", remora_code_name(remora_error_code(err)), remora_error_message(err));                  \
  } while (0)

/* The error that was expected; text NULL: any message. Frees it. */
static inline void expect_error(remora_error *err, int code, const char *text) {
  assert_non_null(err);
  if (remora_error_code(err) != code || (text && !strstr(remora_error_message(err), text)))
    fail_msg("%s: \"%s\" instead of %s \"%s\"", remora_code_name(remora_error_code(err)), remora_error_message(err),
             remora_code_name(code), text ? text : "");
  (void)remora_error_free(err);
}

/* ----------------------------------------------------------------------------------------------------------- values */

/* An argument list from a word of letters: i int, s text, v value (stolen), p proxy, o object. */
static inline remora_value *pack(const char *kinds, ...) {
  remora_value *list = remora_list();
  va_list ap;
  va_start(ap, kinds);
  for (; *kinds; kinds++) {
    remora_value *v = NULL;
    switch (*kinds) {
    case 'i':
      v = remora_int(va_arg(ap, int));
      break;
    case 's':
      v = remora_str(va_arg(ap, const char *));
      break;
    case 'v':
      v = va_arg(ap, remora_value *);
      break;
    case 'p':
      v = remora_value_of_proxy(va_arg(ap, remora_proxy *));
      break;
    case 'o':
      v = remora_value_of_object(va_arg(ap, remora_object *));
      break;
    default:
      break;
    }
    assert_int_equal(remora_append(list, v), 0);
  }
  va_end(ap);
  return list;
}

/* The integer in a value, which goes. */
static inline int64_t int_of(remora_value *v) {
  assert_non_null(v);
  assert_int_equal(remora_value_kind(v), REMORA_INT);
  int64_t n = remora_as_int(v);
  (void)remora_value_unref(v);
  return n;
}

/* ------------------------------------------------------------------------------------------------------------ calls */

/* Calls and has to succeed. Steals args. */
static inline remora_value *call(remora_proxy *p, const char *method, remora_value *args) {
  remora_error *err = NULL;
  remora_value *v = remora_call(p, method, args, &err);
  (void)remora_value_unref(args);
  WORKS(err);
  assert_non_null(v);
  return v;
}

static inline remora_future *start(remora_proxy *p, const char *method, remora_value *args) {
  remora_error *err = NULL;
  remora_future *f = remora_start(p, method, args, &err);
  (void)remora_value_unref(args);
  WORKS(err);
  assert_non_null(f);
  return f;
}

/* Waits for a result that has to come. */
static inline remora_value *await(remora_future *f) {
  remora_error *err = NULL;
  remora_value *v = remora_await(f, LIMIT, &err);
  WORKS(err);
  assert_non_null(v);
  return v;
}

/* Waits for an error. Drops the future. */
static inline remora_error *await_error(remora_future *f) {
  remora_error *err = NULL;
  assert_null(remora_await(f, LIMIT, &err));
  assert_non_null(err);
  (void)remora_future_unref(f);
  return err;
}

/* ------------------------------------------------------------------------------------------------------ connections */

/* What the far side runs, sent over as a module. */
static const char far_source[] = "import ctypes, os, re, signal, sys, threading, time\n"
                                 "def identity(x): return x\n"
                                 "def both(*args, **kwargs): return [list(args), kwargs]\n"
                                 "def add(a, b): return a + b\n"
                                 "def fail(text): raise ValueError(text)\n"
                                 "def apply(f, *args): return f(*args)\n"
                                 "def same(a, b): return a is b\n"
                                 "def down(f, n): return 0 if n == 0 else 1 + f(n - 1)\n"
                                 "def show(text): print(text, flush=True)\n"
                                 "def sleep(s): time.sleep(s)\n"
                                 "def held(path, s):\n"
                                 "    open(path).close()\n"
                                 "    time.sleep(s)\n"
                                 "def kill_me(number): os.kill(os.getpid(), number)\n"
                                 "def stop(): os.kill(os.getpid(), signal.SIGSTOP)\n"
                                 "def leave(n): os._exit(n)\n"
                                 "def leave_orderly(n): sys.exit(n)\n"
                                 "def compute(s):\n"
                                 "    end = time.monotonic() + s\n"
                                 "    n = 0\n"
                                 "    while time.monotonic() < end: n += 1\n"
                                 "    return n > 0\n"
                                 "def hold_lock(s): return ctypes.PyDLL(None).usleep(int(s * 1e6))\n"
                                 "def long_regex(n): return re.match('(a+)+$', 'a' * n + 'b') is None\n"
                                 "def rubbish():\n"
                                 "    import _remora_node\n"
                                 "    os.write(_remora_node.up.wfd, b'this is no frame, and never was one' * 10)\n"
                                 "def orphan(s):\n"
                                 "    pid = os.fork()\n"
                                 "    if pid == 0:\n"
                                 "        time.sleep(s)\n"
                                 "        os._exit(0)\n"
                                 "    return pid\n"
                                 "def defer(o):\n"
                                 "    import remora\n"
                                 "    owed = remora.start(o).owe()\n"
                                 "    o.pay('paid')\n"
                                 "    return [owed.result(), o.now()]\n"
                                 "class Counter:\n"
                                 "    def __init__(self, start=0, step=1): self.n, self.step = start, step\n"
                                 "    def up(self): self.n += self.step; return self.n\n"
                                 "    def itself(self): return self\n"
                                 "class Keep:\n"
                                 "    def __init__(self): self.kept = []\n"
                                 "    def keep(self, x): self.kept.append(x)\n"
                                 "    def first(self): return self.kept[0]\n"
                                 "    def call(self, *args): return self.kept[0](*args)\n"
                                 "    def drop(self): del self.kept[:]\n"
                                 "    def later(self, n):\n"
                                 "        f = self.kept[0]\n"
                                 "        threading.Thread(target=lambda: [f(i) for i in range(n)]).start()\n";

/* A connection to a child, with options as name, value, ..., NULL. */
static inline remora_conn *connect_with(const char *spec, remora_error **err, ...) {
  remora_options *opts = remora_options_new();
  va_list ap;
  va_start(ap, err);
  for (const char *name; (name = va_arg(ap, const char *)) != NULL;) {
    remora_error *wrong = NULL;
    (void)remora_options_set(opts, name, va_arg(ap, remora_value *), &wrong);
    WORKS(wrong);
  }
  va_end(ap);
  remora_conn *c = remora_connect(spec, opts, err);
  (void)remora_options_free(opts);
  return c;
}

static inline remora_conn *connect_here(void) {
  remora_error *err = NULL;
  remora_conn *c = connect_with("-", &err, NULL);
  WORKS(err);
  assert_non_null(c);
  return c;
}

/* A function of the far module. */
static inline remora_proxy *far(remora_conn *c, const char *name) {
  char full[64];
  (void)snprintf(full, sizeof full, "far_tests.%s", name);
  remora_error *err = NULL;
  remora_proxy *p = remora_can_on(c, full, &err);
  WORKS(err);
  if (!p) fail_msg("there is no %s", full);
  return p;
}

/* An object of a class of the far module. Steals args. */
static inline remora_proxy *make(remora_conn *c, const char *name, remora_value *args) {
  char full[64];
  (void)snprintf(full, sizeof full, "far_tests.%s", name);
  remora_error *err = NULL;
  remora_proxy *p = remora_new_on(c, full, args, &err);
  (void)remora_value_unref(args);
  WORKS(err);
  assert_non_null(p);
  return p;
}

/* Calls a function of the far module once. Steals args. */
static inline remora_value *run(remora_conn *c, const char *name, remora_value *args) {
  remora_proxy *f = far(c, name);
  remora_value *v = call(f, NULL, args);
  (void)remora_proxy_unref(f);
  return v;
}

static inline remora_future *launch(remora_conn *c, const char *name, remora_value *args) {
  remora_proxy *p = far(c, name);
  remora_future *f = start(p, NULL, args);
  (void)remora_proxy_unref(p);
  return f;
}

/* A far side is busy for as long as this side wants, and then for some seconds: `name` is a pipe in the file system, until let_go(). */
static inline remora_future *launch_held(remora_conn *c, char name[32], double seconds) {
  (void)strcpy(name, "/tmp/remora-held-XXXXXX");
  assert_non_null(mkdtemp(name));
  assert_int_equal(rmdir(name), 0);
  assert_int_equal(mkfifo(name, 0600), 0);
  return launch(c, "held", pack("sv", name, remora_float(seconds)));
}

static inline void let_go(const char *name) {
  int fd = open(name, O_WRONLY | O_CLOEXEC); /* waits for the far side to have come that far */
  assert_true(fd >= 0);
  (void)close(fd);
  (void)unlink(name);
}

static inline int64_t stat_of(remora_conn *c, const char *name) {
  remora_value *m = remora_conn_stats(c);
  assert_non_null(remora_get(m, name));
  int64_t n = remora_as_int(remora_get(m, name));
  (void)remora_value_unref(m);
  return n;
}

/* Closes, waits until the far process is gone, drops. */
static inline void finish(remora_conn *c) {
  remora_conn_close(c);
  assert_int_equal(remora_conn_wait_closed(c, LIMIT), 0);
  (void)remora_conn_unref(c);
}

static inline int count_fds(void) {
  DIR *dir = opendir("/proc/self/fd");
  int n = 0;
  while (readdir(dir)) n++;
  (void)closedir(dir);
  return n - 3; /* ".", "..", the directory itself */
}

/* Serves the default queue until the condition holds. */
#define SERVE_UNTIL(condition)                                                                                         \
  do {                                                                                                                 \
    int64_t serve_end = now_ms() + LIMIT;                                                                              \
    while (!(condition)) {                                                                                             \
      if (now_ms() > serve_end) fail_msg("never: %s", #condition);                                                     \
      (void)remora_serve(remora_default_queue(), 5);                                                                   \
    }                                                                                                                  \
  } while (0)

static inline int hub_setup(void **state) {
  (void)state;
  return remora_module_add("python", "far_tests", 0, NULL, far_source, sizeof far_source - 1, NULL);
}

#endif
