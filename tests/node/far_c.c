/* What test_c.py wants of far code, beside smoke.c. */
#include <remora_node.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int alive;

static remora_value *prints(const remora_value *args, remora_error **err) {
  (void)args, (void)err;
  printf("one ");
  fflush(stdout);
  (void)!system("echo two; echo three >&2");
  (void)!write(1, "four", 4);
  printf("five");
  return NULL;
}

/* Writes so many bytes to standard output. */
static remora_value *floods(const remora_value *args, remora_error **err) {
  (void)err;
  for (int64_t n = remora_as_int(remora_at(args, 0)); n > 0; n--) putchar('x');
  return NULL;
}

static remora_value *reads(const remora_value *args, remora_error **err) {
  char byte;
  (void)args, (void)err;
  return remora_int(read(0, &byte, 1));
}

static remora_value *naps(const remora_value *args, remora_error **err) {
  int64_t ms = remora_as_int(remora_at(args, 0));
  const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
  (void)err;
  nanosleep(&t, NULL);
  return remora_int(ms);
}

static remora_value *computes(const remora_value *args, remora_error **err) {
  volatile int on = 1;
  (void)args, (void)err;
  while (on) {
  }
  return NULL;
}

static remora_value *starts_child(const remora_value *args, remora_error **err) {
  pid_t pid = fork();
  (void)args, (void)err;
  if (pid == 0) {
    execlp("sleep", "sleep", "1000", (char *)NULL);
    _exit(127);
  }
  return remora_int(pid);
}

static remora_value *forks(const remora_value *args, remora_error **err) {
  int status = 0;
  pid_t pid = fork();
  (void)args, (void)err;
  if (pid == 0) {
    (void)!write(1, "in the child", 12);
    _exit(7);
  }
  waitpid(pid, &status, 0);
  return remora_int(WEXITSTATUS(status));
}

/* From here on the system reaps all children by itself. */
static remora_value *childless(const remora_value *args, remora_error **err) {
  (void)args, (void)err;
  (void)signal(SIGCHLD, SIG_IGN);
  return NULL;
}

static remora_value *living(const remora_value *args, remora_error **err) {
  (void)args, (void)err;
  return remora_int(alive);
}

static remora_value *list_of(int64_t n) {
  remora_value *list = remora_list();
  (void)remora_append(list, remora_int(n));
  return list;
}

/* Starts f(0) .. f(n - 1) and awaits them all. */
static remora_value *started(const remora_value *args, remora_error **err) {
  remora_proxy *f = remora_as_proxy(remora_at(args, 0));
  int64_t n = remora_as_int(remora_at(args, 1));
  remora_future *futures[100];
  remora_value *results = remora_list();
  for (int64_t i = 0; i < n; i++) {
    remora_value *one = list_of(i);
    futures[i] = remora_start(f, "", one, err);
    remora_value_unref(one);
    if (!futures[i]) return NULL;
  }
  for (int64_t i = 0; i < n; i++) {
    remora_value *v = remora_await(futures[i], -1, err);
    remora_future_unref(futures[i]);
    if (v) (void)remora_append(results, v);
  }
  return results;
}

static void *in_thread(void *f) {
  remora_value *one = list_of(20), *v = remora_call(f, "", one, NULL);
  remora_value_unref(one);
  return v;
}

static remora_value *threaded(const remora_value *args, remora_error **err) {
  pthread_t threads[8];
  int64_t sum = 0;
  (void)err;
  for (int i = 0; i < 8; i++)
    if (pthread_create(&threads[i], NULL, in_thread, remora_as_proxy(remora_at(args, 0)))) abort();
  for (int i = 0; i < 8; i++) {
    void *v = NULL;
    pthread_join(threads[i], &v);
    sum += remora_as_int(v);
    remora_value_unref(v);
  }
  return remora_int(sum);
}

/* Calls f and says what went wrong. */
static remora_value *caught(const remora_value *args, remora_error **err) {
  remora_error *why = NULL;
  remora_value *v = remora_call(remora_as_proxy(remora_at(args, 0)), "", NULL, &why);
  (void)err;
  if (v) return v;
  v = remora_str(remora_error_message(why));
  remora_error_free(why);
  return v;
}

/* An error with a class of its own. */
static remora_value *fails(const remora_value *args, remora_error **err) {
  remora_value *map = remora_map(), *types = remora_list();
  (void)args;
  (void)remora_append(types, remora_str("far_c.Broken"));
  (void)remora_set(map, "type", types);
  (void)remora_set(map, "message", remora_str("broken on purpose"));
  *err = remora_error_remote(map);
  return NULL;
}

static remora_value *borrow(const remora_value *v) { return remora_value_ref((remora_value *)(uintptr_t)v); }

/* A C node behind this one, made from this very executable: a child, or behind the hops, with options for ssh. */
static remora_value *onward(const remora_value *args, remora_error **err) {
  remora_options *opts = remora_options_new();
  (void)remora_options_set(opts, "node", remora_str("c"), NULL);
  if (remora_length(args) > 0) (void)remora_options_set(opts, "hops", borrow(remora_at(args, 0)), NULL);
  if (remora_length(args) > 1) (void)remora_options_set(opts, "ssh_options", borrow(remora_at(args, 1)), NULL);
  remora_conn *conn = remora_connect(remora_length(args) > 0 ? NULL : "-", opts, err);
  remora_options_free(opts);
  if (!conn) return NULL;
  remora_value *pid = remora_int(remora_conn_pid(conn));
  remora_conn_unref(conn);
  return pid;
}

static remora_value *keywords(const remora_value *args, remora_error **err) {
  (void)err;
  return remora_value_ref((remora_value *)(uintptr_t)remora_keywords(args));
}

static remora_value *broken_value(const remora_value *args, remora_error **err) {
  remora_value *v = remora_list();
  (void)args, (void)err;
  for (int i = 0; i < 200; i++) {
    remora_value *outer = remora_list();
    (void)remora_append(outer, v);
    v = outer;
  }
  return v;
}

/* --- classes */

static void *thing_construct(const remora_value *args, remora_error **err) {
  if (remora_length(args) > 1) return *err = remora_error_new(REMORA_E_INVALID, "a thing takes one argument"), NULL;
  int64_t *thing = malloc(sizeof *thing);
  *thing = remora_as_int(remora_at(args, 0));
  alive++;
  return thing;
}

static void thing_destroy(void *thing) {
  alive--;
  free(thing);
}

static remora_value *thing_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  int64_t *thing = userdata;
  if (strcmp(method, "push") == 0) return remora_int(*thing = *thing * 10 + remora_as_int(remora_at(args, 0)));
  if (strcmp(method, ":len") == 0) return remora_int(*thing);
  if (strcmp(method, "") == 0) return remora_int(-*thing);
  *err = remora_error_new(REMORA_E_NOTFOUND, "a thing has no such method");
  return NULL;
}

static const remora_module_function functions[] = {
    {"prints", prints},       {"floods", floods}, {"reads", reads},   {"naps", naps},         {"computes", computes},
    {"child", starts_child},  {"forks", forks},   {"living", living}, {"started", started},   {"threaded", threaded},
    {"caught", caught},       {"fails", fails},   {"onward", onward}, {"keywords", keywords}, {"broken", broken_value},
    {"childless", childless}, {NULL, NULL}};
static const remora_module_class classes[] = {
    {"Thing", {sizeof(remora_class), "far_c.Thing", "call len", thing_call}, thing_construct, thing_destroy}, {0}};
static const remora_module module = {sizeof module, functions, classes};

REMORA_MODULE const remora_module *remora_module_v1(void) { return &module; }

__attribute__((destructor)) static void at_exit(void) {
  const char *path = getenv("FAR_C_LEFT");
  FILE *f = path ? fopen(path, "w") : NULL;
  if (!f) return;
  fprintf(f, "%d", alive);
  fclose(f);
}
