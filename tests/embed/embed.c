/* embed.c: a program in C with Python and Lua inside. One connection serves all three, in turn and at once, each on its own queue; there is one run loop
 * and one I/O thread, counted from outside. Prints "ok" and exits with 0. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dirent.h>
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <remora.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 500

static void check(int good, const char *what, const char *why) {
  if (good) return;
  (void)fprintf(stderr, "embed: %s: %s\n", what, why ? why : "wrong");
  _exit(1);
}

static void check_error(const void *result, remora_error *err, const char *what) {
  check(result != NULL, what, err ? remora_error_message(err) : NULL);
}

/* How many entries of the folder lead to (or hold, when they are files) this text. */
static int count(const char *folder, const char *file, const char *text) {
  int n = 0;
  DIR *dir = opendir(folder);
  check(dir != NULL, folder, "cannot be read");
  for (struct dirent *e; (e = readdir(dir)) != NULL;) {
    char path[600], found[200] = "";
    (void)snprintf(path, sizeof path, "%s/%s%s", folder, e->d_name, file);
    if (*file) {
      FILE *f = fopen(path, "re");
      if (f && !fgets(found, sizeof found, f)) *found = 0;
      if (f) (void)fclose(f);
    } else {
      ssize_t length = readlink(path, found, sizeof found - 1);
      found[length > 0 ? length : 0] = 0;
    }
    found[strcspn(found, "\n")] = 0;
    n += strcmp(found, text) == 0;
  }
  (void)closedir(dir);
  return n;
}

static void one_loop(const char *when) {
  check(count("/proc/self/fd", "", "anon_inode:[eventpoll]") == 1, when, "not exactly one run loop");
  check(count("/proc/self/task", "/comm", "remora") == 1, when, "not exactly one I/O thread");
}

static remora_value *two(int64_t a, int64_t b) {
  remora_value *args = remora_list();
  (void)remora_append(args, remora_int(a));
  (void)remora_append(args, remora_int(b));
  return args;
}

/* -------------------------------------------------------------------------------------------------------------- the three */

static void *work_in_c(void *proxy) {
  remora_error *err = NULL;
  for (int i = 0; i < ROUNDS; i++) {
    remora_value *args = two(i, 1), *v = remora_call(proxy, NULL, args, &err);
    check_error(v, err, "a call from C");
    check(remora_as_int(v) == i + 1, "a call from C", NULL);
    (void)remora_value_unref(v);
    (void)remora_value_unref(args);
  }
  return NULL;
}

static void run_python(const char *text) {
  PyGILState_STATE state = PyGILState_Ensure();
  check(PyRun_SimpleString(text) == 0, "Python", "raised");
  PyGILState_Release(state);
}

static uint64_t python_number(const char *name) {
  PyGILState_STATE state = PyGILState_Ensure();
  PyObject *value = PyObject_GetAttrString(PyImport_AddModule("__main__"), name);
  uint64_t number = value ? PyLong_AsUnsignedLongLong(value) : 0;
  Py_XDECREF(value);
  PyGILState_Release(state);
  return number;
}

static void *work_in_python(void *text) {
  run_python(text);
  return NULL;
}

static void run_lua(lua_State *L, const char *text) { check(luaL_dostring(L, text) == 0, "Lua", lua_tostring(L, -1)); }

static const char python_begin[] = "import remora\n"
                                   "conn = remora.redeem(%llu)\n"
                                   "add = remora.can_on(conn, 'operator.add')\n"
                                   "assert add(1, 2) == 3\n";
static const char python_busy[] = "mapped = remora.can_on(conn, 'builtins.sorted')\n"
                                  "for i in range(%d):\n"
                                  "    assert add(i, 1) == i + 1\n"
                                  "    if i %% 50 == 0: assert mapped([3, 1, 2], key=lambda x: -x) == [3, 2, 1]\n";
static const char lua_begin[] = "remora = require 'remora'\n"
                                "conn = remora.redeem(%llu)\n"
                                "add = remora.can_on(conn, 'operator.add')\n"
                                "assert(add(1, 2) == 3)\n";
static const char lua_busy[] =
    "local reduce = remora.can_on(conn, 'functools.reduce')\n"
    "for i = 1, %d do\n"
    "  assert(add(i, 1) == i + 1)\n"
    "  if i %% 50 == 0 then assert(reduce(function(a, b) return a * b end, {2, 3, 4}) == 24) end\n"
    "end\n";

static const char *format(const char *text, unsigned long long number) {
  static char room[4][2000];
  static int next;
  char *out = room[next++ % 4];
  (void)snprintf(out, sizeof room[0], text, number);
  return out;
}

int main(void) {
  remora_error *err = NULL;
  (void)alarm(240);
  remora_conn *conn = remora_connect("-", NULL, &err);
  check_error(conn, err, "connect");
  remora_proxy *add = remora_can_on(conn, "operator.add", &err);
  check_error(add, err, "can_on");
  one_loop("C alone");

  Py_InitializeEx(0);
  PyThreadState *released = PyEval_SaveThread();
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);

  /* In turn. */
  run_python(format(python_begin, remora_ticket_conn(conn, &err)));
  run_lua(L, format(lua_begin, remora_ticket_conn(conn, &err)));
  (void)work_in_c(add);
  one_loop("after each in turn");

  /* At once. */
  pthread_t c, python;
  check(pthread_create(&c, NULL, work_in_c, add) == 0, "thread", NULL);
  char text[2000];
  (void)snprintf(text, sizeof text, python_busy, ROUNDS);
  check(pthread_create(&python, NULL, work_in_python, text) == 0, "thread", NULL);
  run_lua(L, format(lua_busy, ROUNDS));
  (void)pthread_join(c, NULL);
  (void)pthread_join(python, NULL);
  one_loop("after all at once");

  /* From hand to hand: an object from Python to Lua to C, a future from Lua to Python, one from C to Lua. */
  run_python("counts = remora.new_on(conn, 'collections.Counter', 'abca')\n"
             "number = remora.ticket(counts)\n");
  run_lua(L, format("counts = remora.redeem(%llu)\n"
                    "assert(counts:total() == 4)\n"
                    "number = remora.ticket(counts)\n"
                    "future = remora.ticket(remora.start(counts):total())\n",
                    python_number("number")));
  (void)lua_getglobal(L, "number");
  (void)lua_getglobal(L, "future");
  remora_proxy *counts = remora_redeem_proxy((uint64_t)lua_tointeger(L, -2), &err);
  check_error(counts, err, "an object from Lua");
  run_python(
      format("assert remora.await_future(remora.redeem(%llu), 20) == 4\n", (unsigned long long)lua_tointeger(L, -1)));
  remora_value *args = two(20, 22);
  remora_future *sum = remora_start(add, NULL, args, &err);
  check_error(sum, err, "start");
  run_lua(L, format("assert(remora.redeem(%llu):get(20) == 42)\n", remora_ticket_future(sum, &err)));
  one_loop("after what changed hands");

  (void)remora_value_unref(args);
  (void)remora_future_unref(sum);
  (void)remora_proxy_unref(counts);
  lua_close(L);
  run_python("del counts, add, conn");
  PyEval_RestoreThread(released);
  check(Py_FinalizeEx() == 0, "Python's end", NULL);
  (void)remora_proxy_unref(add);
  remora_conn_close(conn);
  check(remora_conn_wait_closed(conn, 20000) == 0, "close", NULL);
  (void)remora_conn_unref(conn);
  puts("ok");
  return 0;
}
