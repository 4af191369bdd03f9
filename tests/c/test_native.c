/* test_native.c: the C node from the near side: a child, one that is there already, one that is sent over; and why it may not come. */
#include "hub_helpers.h"

#include <glob.h>
#include <sys/stat.h>

#define LIBEXEC REMORA_BUILD_DIR "/libexec/remora"

/* A connection to a C node; `command`: by way of these words, NULL-terminated. */
static remora_conn *connect_c(const char *interpreter, const char *const *command, remora_error **err) {
  remora_options *opts = remora_options_new();
  assert_int_equal(remora_options_set(opts, "node", remora_str("c"), err), 0);
  assert_int_equal(remora_options_set(opts, "roots", remora_pack(err, "s", REMORA_BUILD_DIR "/tests/matrix"), err), 0);
  if (interpreter) assert_int_equal(remora_options_set(opts, "interpreter", remora_str(interpreter), err), 0);
  remora_value *words = remora_list();
  for (; command && *command; command++) assert_int_equal(remora_append(words, remora_str(*command)), 0);
  if (remora_length(words) > 0)
    assert_int_equal(remora_options_set(opts, "command", words, err), 0);
  else
    (void)remora_value_unref(words);
  remora_conn *c = remora_connect(command ? NULL : "-", opts, err);
  (void)remora_options_free(opts);
  return c;
}

/* It is there and works; then it goes. Whether its executable has a name any more. */
static bool works_and_ends(remora_conn *c) {
  remora_error *err = NULL;
  remora_value *args = remora_pack(&err, "s I", "anna", INT64_C(5));
  remora_proxy *account = remora_new_on(c, "smoke:Account", args, &err);
  WORKS(err);
  (void)remora_value_unref(args);
  assert_int_equal(int_of(call(account, "deposit", remora_pack(&err, "i", 3))), 8);
  assert_null(remora_can_on(c, "smoke:nothing", &err));
  WORKS(err);
  char link[64], target[512];
  (void)snprintf(link, sizeof link, "/proc/%lld/exe", (long long)remora_conn_pid(c));
  ssize_t n = readlink(link, target, sizeof target - 1);
  assert_true(n > 0);
  target[n] = 0;
  (void)remora_proxy_unref(account);
  remora_conn_close(c);
  assert_int_equal(remora_conn_wait_closed(c, LIMIT), 0);
  (void)remora_conn_unref(c);
  return strstr(target, "(deleted)") == NULL;
}

/* Programs on their way; those of other tests that run at the same time come and go. */
static glob_t sent_ones(void) {
  static const char *const patterns[] = {"/dev/shm/.remora-node-*", "/tmp/.remora-node-*", "/var/tmp/.remora-node-*"};
  glob_t found = {0};
  for (int i = 0; i < 3; i++) (void)glob(patterns[i], i ? GLOB_APPEND : 0, NULL, &found);
  return found;
}

static bool is_among(const glob_t *paths, const char *path) {
  for (size_t i = 0; i < paths->gl_pathc; i++)
    if (strcmp(paths->gl_pathv[i], path) == 0) return true;
  return false;
}

/* Whatever has come since then goes. */
static void nothing_left(glob_t *before) {
  glob_t now = sent_ones();
  int64_t until = now_ms() + LIMIT;
  for (size_t i = 0; i < now.gl_pathc; i++)
    while (!is_among(before, now.gl_pathv[i]) && access(now.gl_pathv[i], F_OK) == 0) {
      if (now_ms() > until) fail_msg("%s is left behind", now.gl_pathv[i]);
      (void)poll(NULL, 0, 5);
    }
  globfree(&now);
  globfree(before);
}

static void test_child(void **state) {
  (void)state;
  remora_error *err = NULL;
  remora_conn *c = connect_c(NULL, NULL, &err);
  WORKS(err);
  assert_string_equal(remora_as_text(remora_get(remora_conn_hello(c), "node"), NULL), "c");
  assert_true(works_and_ends(c));
}

static void test_sent(void **state) {
  (void)state;
  remora_error *err = NULL;
  glob_t before = sent_ones();
  const char *const command[] = {"env", "PATH=/usr/bin:/bin", NULL};
  remora_conn *c = connect_c(NULL, command, &err);
  WORKS(err);
  assert_false(works_and_ends(c));
  nothing_left(&before);
}

/* What it creates has the permissions that its user wants, however careful its start was. */
static void test_sent_keeps_the_umask(void **state) {
  (void)state;
  remora_error *err = NULL;
  const char *const command[] = {"sh", "-c", "umask 027; PATH=/usr/bin:/bin; exec \"$@\"", "sh", NULL};
  remora_conn *c = connect_c(NULL, command, &err);
  WORKS(err);
  remora_value *argv = remora_pack(&err, "s s s", "sh", "-c", "umask");
  remora_future *f = remora_run(c, argv, NULL, &err);
  WORKS(err);
  remora_value *v = remora_await(f, LIMIT, &err);
  WORKS(err);
  assert_string_equal(remora_as_text(remora_get(v, "stdout"), NULL), "0027\n");
  (void)remora_value_unref(v);
  (void)remora_future_unref(f);
  (void)remora_value_unref(argv);
  assert_false(works_and_ends(c));
}

/* A login shell prints something before. */
static void test_sent_behind_rubbish(void **state) {
  (void)state;
  remora_error *err = NULL;
  const char *const command[] = {"sh", "-c", "echo welcome to this host; PATH=/usr/bin:/bin; exec \"$@\"", "sh", NULL};
  remora_conn *c = connect_c(NULL, command, &err);
  WORKS(err);
  assert_false(works_and_ends(c));
}

static void test_there_already(void **state) {
  (void)state;
  remora_error *err = NULL;
  const char *const command[] = {"env", "PATH=" LIBEXEC ":/usr/bin:/bin", NULL};
  remora_conn *c = connect_c(NULL, command, &err);
  WORKS(err);
  assert_true(works_and_ends(c));
}

static void test_named(void **state) {
  (void)state;
  remora_error *err = NULL;
  const char *const command[] = {"env", "PATH=/usr/bin:/bin", NULL};
  remora_conn *c = connect_c(LIBEXEC "/remora-node", command, &err);
  WORKS(err);
  assert_true(works_and_ends(c));
  c = connect_c(LIBEXEC "/remora-node", NULL, &err);
  WORKS(err);
  assert_true(works_and_ends(c));
}

static void test_other_machine(void **state) {
  (void)state;
  char dir[] = "/tmp/remora-native-XXXXXX", file[64], path[128];
  assert_non_null(mkdtemp(dir));
  (void)snprintf(file, sizeof file, "%s/uname", dir);
  (void)snprintf(path, sizeof path, "PATH=%s:/usr/bin:/bin", dir);
  FILE *f = fopen(file, "we");
  assert_non_null(f);
  (void)fprintf(f, "#!/bin/sh\necho m68k\n");
  (void)fclose(f);
  assert_int_equal(chmod(file, 0755), 0);
  remora_error *err = NULL;
  const char *const command[] = {"env", path, NULL};
  glob_t before = sent_ones();
  assert_null(connect_c(NULL, command, &err));
  assert_string_equal(remora_error_stage(err), "bootstrap");
  expect_error(err, REMORA_E_CONNECT, "the far side is m68k m68k");
  nothing_left(&before);
  (void)unlink(file);
  (void)rmdir(dir);
}

static void test_that_do_not_start(void **state) {
  (void)state;
  static const struct {
    const char *script, *text;
  } table[] = {
      {"printf '\\000REMORA?Linux %s\\n' $(uname -m); head -c 100 >/dev/null; echo I fell over >&2; exit 3",
       "I fell over"},
      {"printf '\\000REMORA?Linux %s\\n' $(uname -m); exit 0", "the far side ended"},
      {"printf '\\000REMORA?\\n'", "the far side is "},
      {"exit 127", "a program was not found there"},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    remora_error *err = NULL;
    const char *const command[] = {"sh", "-c", table[i].script, NULL};
    assert_null(connect_c(NULL, command, &err));
    expect_error(err, REMORA_E_CONNECT, table[i].text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_child),
      cmocka_unit_test(test_sent),
      cmocka_unit_test(test_sent_keeps_the_umask),
      cmocka_unit_test(test_sent_behind_rubbish),
      cmocka_unit_test(test_there_already),
      cmocka_unit_test(test_named),
      cmocka_unit_test(test_other_machine),
      cmocka_unit_test(test_that_do_not_start),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
