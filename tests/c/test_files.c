/* test_files.c: commands and files of the far side: run, upload, download, open. */
#include "hub_helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char folder[64];

static const char *in_folder(const char *name) {
  static char rooms[4][400];
  static int turn;
  char *path = rooms[turn++ % 4];
  (void)snprintf(path, sizeof rooms[0], "%s/%s", folder, name);
  return path;
}

static int make_folder(void **state) {
  (void)state;
  (void)snprintf(folder, sizeof folder, "/tmp/remora-test-XXXXXX");
  return mkdtemp(folder) ? 0 : -1;
}

/* How many names end in .part; `all`: how many there are. */
static int names(bool all) {
  int n = 0;
  DIR *dir = opendir(folder);
  for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
    size_t length = strlen(e->d_name);
    n += all ? e->d_name[0] != '.' || length > 2 : length > 5 && strcmp(e->d_name + length - 5, ".part") == 0;
  }
  if (dir) (void)closedir(dir);
  return n;
}

static int drop_folder(void **state) {
  (void)state;
  DIR *dir = opendir(folder);
  for (struct dirent *e; dir && (e = readdir(dir)) != NULL;)
    if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) (void)unlink(in_folder(e->d_name));
  if (dir) (void)closedir(dir);
  return rmdir(folder);
}

static void spill(const char *path, size_t size) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  for (size_t i = 0; i < size; i++) (void)fputc((int)(i * 7 + i / 251) & 255, f);
  assert_int_equal(fclose(f), 0);
}

static bool same(const char *a, const char *b) {
  FILE *f = fopen(a, "rb"), *g = fopen(b, "rb");
  bool equal = f && g;
  for (int c = 0; equal && c != EOF;) equal = (c = fgetc(f)) == fgetc(g);
  if (f) (void)fclose(f);
  if (g) (void)fclose(g);
  return equal;
}

static void nothing_left(void) {
  for (int64_t until = now_ms() + LIMIT; names(false) > 0 && now_ms() < until;) (void)poll(NULL, 0, 1);
  assert_int_equal(names(false), 0);
}

static int64_t bytes_of(remora_future *f) {
  remora_error *err = NULL;
  remora_value *v = f ? remora_await(f, LIMIT, &err) : NULL;
  WORKS(err);
  assert_non_null(v);
  int64_t n = remora_as_int(remora_get(v, "bytes"));
  (void)remora_value_unref(v);
  (void)remora_future_unref(f);
  return n;
}

static remora_error *error_of(remora_future *f, remora_error *err) {
  if (!f) return err;
  assert_null(remora_await(f, LIMIT, &err));
  (void)remora_future_unref(f);
  return err;
}

static remora_conn *connected(void) {
  remora_error *err = NULL;
  remora_conn *c = remora_connect("-", NULL, &err);
  WORKS(err);
  return c;
}

static void ended(remora_conn *c) {
  remora_conn_close(c);
  assert_int_equal(remora_conn_wait_closed(c, LIMIT), 0);
  (void)remora_conn_unref(c);
}

static remora_value *on_output(void *seen, const char *method, const remora_value *args, remora_error **err) {
  (void)method;
  int stream;
  const void *data;
  size_t length;
  if (remora_unpack(args, err, "i y", &stream, &data, &length) != 0) return NULL;
  ((size_t *)seen)[stream] += length;
  return remora_null();
}

static void test_commands(void **state) {
  (void)state;
  remora_error *err = NULL;
  remora_conn *c = connected();
  remora_value *argv = remora_pack(&err, "s s s", "sh", "-c", "cat; echo err >&2; exit 3");
  remora_value *options = remora_pack(&err, "={s:s}", "input", "in");
  remora_future *f = remora_run(c, argv, options, &err);
  WORKS(err);
  remora_value *v = remora_await(f, LIMIT, &err);
  WORKS(err);
  assert_int_equal(remora_as_int(remora_get(v, "status")), 3);
  assert_int_equal(remora_value_kind(remora_get(v, "signal")), REMORA_NULL);
  assert_string_equal(remora_as_text(remora_get(v, "stdout"), NULL), "in");
  assert_string_equal(remora_as_text(remora_get(v, "stderr"), NULL), "err\n");
  (void)remora_value_unref(v);
  (void)remora_future_unref(f);
  (void)remora_value_unref(options);
  (void)remora_value_unref(argv);

  size_t seen[3] = {0};
  static const remora_class output = {.size = sizeof output, .name = "output", .traits = "call", .call = on_output};
  remora_object *lent = remora_export(NULL, &output, seen, NULL);
  argv = remora_pack(&err, "s s s", "sh", "-c", "head -c 1000000 /dev/zero; echo err >&2");
  options = remora_pack(&err, "={s:o}", "output", lent);
  v = remora_await(f = remora_run(c, argv, options, &err), LIMIT, &err);
  WORKS(err);
  assert_int_equal(seen[1], 1000000);
  assert_int_equal(seen[2], 4);
  (void)remora_value_unref(v);
  (void)remora_future_unref(f);
  (void)remora_value_unref(options);
  (void)remora_value_unref(argv);
  (void)remora_object_unref(lent);

  argv = remora_pack(&err, "s", "no-such-program");
  f = remora_run(c, argv, NULL, &err);
  expect_error(error_of(f, err), REMORA_E_NOTFOUND, "no-such-program");
  err = NULL;
  assert_null(remora_run(c, NULL, NULL, &err));
  expect_error(err, REMORA_E_INVALID, "list");
  err = NULL;
  assert_null(remora_run(c, argv, argv, &err));
  expect_error(err, REMORA_E_INVALID, "map");
  err = NULL;
  remora_value *odd = remora_pack(NULL, "={s:i}", "timout", 5);
  assert_null(remora_run(c, argv, odd, &err));
  expect_error(err, REMORA_E_INVALID, "no option \"timout\"");
  err = NULL;
  assert_null(remora_open(c, "/dev/null", "r", odd, &err));
  expect_error(err, REMORA_E_INVALID, "no option \"timout\"");
  err = NULL;
  assert_null(remora_new_on(c, "builtins.list", odd, &err));
  expect_error(err, REMORA_E_INVALID, "list");
  (void)remora_value_unref(odd);
  (void)remora_value_unref(argv);
  ended(c);
}

static void test_there_and_back(void **state) {
  (void)state;
  remora_error *err = NULL;
  remora_conn *c = connected();
  static const size_t sizes[] = {0, 1, 256 * 1024 - 1, 256 * 1024, 3000000};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    const char *a = in_folder("a"), *b = in_folder("b"), *d = in_folder("d");
    spill(a, sizes[i]);
    assert_int_equal(chmod(a, 0640), 0);
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000, .tv_nsec = 500000000}};
    assert_int_equal(utimensat(AT_FDCWD, a, times, 0), 0);
    assert_int_equal(bytes_of(remora_upload(c, a, b, NULL, &err)), sizes[i]);
    assert_int_equal(bytes_of(remora_download(c, b, d, NULL, &err)), sizes[i]);
    struct stat s;
    assert_int_equal(stat(d, &s), 0);
    assert_true(same(a, b) && same(a, d));
    assert_int_equal(s.st_mode & 07777, 0640);
    assert_int_equal(s.st_mtim.tv_sec, 2000);
  }
  assert_int_equal(names(true), 3);
  remora_value *options = remora_pack(&err, "={s:i s:b s:b s:b}", "mode", 0600, "times", 0, "atomic", 0, "sync", 1);
  assert_int_equal(bytes_of(remora_download(c, in_folder("a"), in_folder("b"), options, &err)), 3000000);
  struct stat s;
  assert_int_equal(stat(in_folder("b"), &s), 0);
  assert_int_equal(s.st_mode & 07777, 0600);
  assert_true(s.st_mtim.tv_sec > 10000);
  (void)remora_value_unref(options);
  ended(c);
}

static void test_small_messages(void **state) {
  (void)state;
  remora_error *err = NULL;
  remora_options *opts = remora_options_new();
  assert_int_equal(remora_options_set(opts, "max_message", remora_int(65536), &err), 0);
  remora_conn *c = remora_connect("-", opts, &err);
  WORKS(err);
  (void)remora_options_free(opts);
  spill(in_folder("a"), 1000000);
  assert_int_equal(bytes_of(remora_upload(c, in_folder("a"), in_folder("b"), NULL, &err)), 1000000);
  assert_int_equal(bytes_of(remora_download(c, in_folder("b"), in_folder("d"), NULL, &err)), 1000000);
  assert_true(same(in_folder("a"), in_folder("d")));
  ended(c);
}

static void test_errors(void **state) {
  (void)state;
  remora_error *err = NULL;
  remora_conn *c = connected();
  spill(in_folder("a"), 10);
  remora_error *why = error_of(remora_upload(c, "/no/such", in_folder("b"), NULL, &err), err);
  assert_int_equal(remora_as_int(remora_get(remora_error_details(why), "errno")), ENOENT);
  expect_error(why, REMORA_E_FILE, "cannot read /no/such: No such file");
  expect_error(error_of(remora_upload(c, folder, in_folder("b"), NULL, &err), err), REMORA_E_FILE, "directory");
  expect_error(error_of(remora_download(c, in_folder("a"), folder, NULL, &err), err), REMORA_E_FILE, "directory");
  expect_error(error_of(remora_download(c, in_folder("a"), "/no/such", NULL, &err), err), REMORA_E_FILE, "/no/such");
  expect_error(error_of(remora_download(c, in_folder("a"), "/dev/full", NULL, &err), err), REMORA_E_FILE, "space");
  expect_error(error_of(remora_upload(c, in_folder("a"), "/no/such", NULL, &err), err), REMORA_E_REMOTE, "/no/such");
  expect_error(error_of(remora_upload(c, in_folder("a"), "/dev/full", NULL, &err), err), REMORA_E_REMOTE, "space");
  expect_error(error_of(remora_download(c, "/no/such", in_folder("b"), NULL, &err), err), REMORA_E_REMOTE, "/no/such");
  remora_value *options = remora_pack(&err, "={s:i}", "mdoe", 0600);
  assert_null(remora_upload(c, in_folder("a"), in_folder("b"), options, &err));
  expect_error(err, REMORA_E_INVALID, "not mdoe");
  err = NULL;
  assert_null(remora_download(c, NULL, "", NULL, &err));
  expect_error(err, REMORA_E_INVALID, "path");
  err = NULL;
  (void)remora_value_unref(options);
  assert_int_equal(names(true), 1);
  remora_conn_close(c);
  expect_error(error_of(remora_upload(c, in_folder("a"), in_folder("b"), NULL, &err), err), REMORA_E_LOST, NULL);
  (void)remora_conn_unref(c);
}

/* Files without end, so that whatever ends the copying is what this test does. */
static void begin_endless(remora_conn *c, remora_future **up, remora_future **down) {
  remora_error *err = NULL;
  *up = remora_upload(c, "/dev/zero", in_folder("up"), NULL, &err);
  *down = remora_download(c, "/dev/zero", in_folder("down"), NULL, &err);
  WORKS(err);
  for (int64_t until = now_ms() + LIMIT; names(false) < 2 && now_ms() < until;) (void)poll(NULL, 0, 1);
  assert_int_equal(names(false), 2);
}

static void test_cancelling_leaves_nothing(void **state) {
  (void)state;
  remora_error *err = NULL;
  remora_conn *c = connected();
  remora_future *up, *down;
  begin_endless(c, &up, &down);
  assert_int_equal(remora_cancel(up), 1);
  assert_int_equal(remora_cancel(down), 1);
  expect_error(error_of(up, err), REMORA_E_CANCELLED, NULL);
  expect_error(error_of(down, err), REMORA_E_CANCELLED, NULL);
  nothing_left();
  assert_int_equal(names(true), 0);
  spill(in_folder("a"), 100);
  assert_int_equal(bytes_of(remora_upload(c, in_folder("a"), in_folder("b"), NULL, &err)), 100);
  ended(c);
}

static void test_the_end_of_the_connection(void **state) {
  (void)state;
  remora_error *err = NULL;
  remora_conn *c = connected();
  remora_future *up, *down;
  begin_endless(c, &up, &down);
  ended(c);
  expect_error(error_of(up, err), REMORA_E_LOST, NULL);
  expect_error(error_of(down, err), REMORA_E_LOST, NULL);
  nothing_left();
}

/* Nobody holds the future any more: the copy is made all the same. */
static void test_dropping_the_future(void **state) {
  (void)state;
  remora_error *err = NULL;
  remora_conn *c = connected();
  spill(in_folder("a"), 1000000);
  (void)remora_future_unref(remora_upload(c, in_folder("a"), in_folder("b"), NULL, &err));
  WORKS(err);
  for (int64_t until = now_ms() + LIMIT; access(in_folder("b"), F_OK) != 0 && now_ms() < until;) (void)poll(NULL, 0, 1);
  assert_true(same(in_folder("a"), in_folder("b")));
  ended(c);
}

static void test_streams(void **state) {
  (void)state;
  remora_error *err = NULL;
  remora_conn *c = connected();
  remora_value *options = remora_pack(&err, "={s:b}", "atomic", 1);
  remora_proxy *file = remora_open(c, in_folder("x"), "w", options, &err);
  WORKS(err);
  remora_value *args = remora_pack(&err, "y", "hello", (size_t)5);
  (void)remora_value_unref(remora_call(file, "write", args, &err));
  WORKS(err);
  (void)remora_value_unref(args);
  assert_int_equal(access(in_folder("x"), F_OK), -1);
  (void)remora_value_unref(remora_call(file, "close", NULL, &err));
  WORKS(err);
  (void)remora_proxy_unref(file);
  file = remora_open(c, in_folder("x"), "r", NULL, &err);
  WORKS(err);
  args = remora_pack(&err, "n");
  remora_value *v = remora_call(file, "read", args, &err);
  WORKS(err);
  assert_string_equal(remora_as_text(v, NULL), "hello");
  (void)remora_value_unref(v);
  (void)remora_value_unref(args);
  (void)remora_value_unref(options);
  (void)remora_proxy_unref(file);
  assert_null(remora_open(c, "/no/such", "r", NULL, &err));
  expect_error(err, REMORA_E_REMOTE, "/no/such");
  ended(c);
}

/* The host's end: what is not complete is gone before remora_shutdown returns. In a process of its own, for nothing works afterwards. */
static void test_shutdown(void **state) {
  (void)state;
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    (void)alarm(30);
    remora_conn *c = remora_connect("-", NULL, NULL);
    remora_future *up = c ? remora_upload(c, "/dev/zero", in_folder("up"), NULL, NULL) : NULL;
    remora_future *down = c ? remora_download(c, "/dev/zero", in_folder("down"), NULL, NULL) : NULL;
    while (names(false) < 2) (void)poll(NULL, 0, 1);
    remora_shutdown();
    _exit(up && down && names(false) == 0 ? 0 : 1);
  }
  int status = -1;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, drop_folder)
  const struct CMUnitTest tests[] = {
      TEST(test_shutdown),
      TEST(test_commands),
      TEST(test_there_and_back),
      TEST(test_small_messages),
      TEST(test_errors),
      TEST(test_cancelling_leaves_nothing),
      TEST(test_the_end_of_the_connection),
      TEST(test_dropping_the_future),
      TEST(test_streams),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  remora_shutdown();
  return failed;
}
