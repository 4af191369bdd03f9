/* test_options.c: what remora_options_set takes, and what it says to the rest. */
#include "carrier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODE(text) (&(struct remora_embedded_node){.language = "python", .stub = (text)})

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* Fails the test unless the error's message holds the text; frees the error. */
static void expect_message(remora_error *err, int code, const char *text) {
  assert_non_null(err);
  if (!strstr(remora_error_message(err), text))
    fail_msg("\"%s\" does not hold \"%s\"", remora_error_message(err), text);
  assert_int_equal(remora_error_code(err), code);
  remora_error_free(err);
}

/* A list of text from words separated by "|". */
static remora_value *words_value(const char *text) {
  remora_value *list = remora_list();
  char *copy = strdup(text), *rest = copy;
  for (char *word; (word = strsep(&rest, "|"));) assert_int_equal(remora_append(list, remora_str(word)), 0);
  free(copy);
  return list;
}

static remora_value *make_null(void) { return remora_null(); }
static remora_value *make_zero(void) { return remora_int(0); }
static remora_value *make_minus(void) { return remora_int(-1); }
static remora_value *make_second(void) { return remora_int(1000); }
static remora_value *make_64k(void) { return remora_int(65536); }
static remora_value *make_below_64k(void) { return remora_int(65535); }
static remora_value *make_4g(void) { return remora_int(UINT32_MAX); }
static remora_value *make_above_4g(void) { return remora_int(INT64_C(1) + UINT32_MAX); }
static remora_value *make_float(void) { return remora_float(1.5); }
static remora_value *make_false(void) { return remora_bool(0); }
static remora_value *make_true(void) { return remora_bool(1); }
static remora_value *make_text(void) { return remora_str("text"); }
static remora_value *make_empty(void) { return remora_str(""); }
static remora_value *make_dash(void) { return remora_str("-x"); }
static remora_value *make_all(void) { return remora_str("all"); }
static remora_value *make_nul(void) { return remora_text("a\0b", 3); }
static remora_value *make_list(void) { return words_value("a|-b||c d"); }
static remora_value *make_no_list(void) { return remora_list(); }
static remora_value *make_dash_list(void) { return words_value("-a|b"); }
static remora_value *make_numbers(void) {
  remora_value *list = words_value("a");
  remora_append(list, remora_int(1));
  return list;
}
static remora_value *make_tuple(void) {
  remora_value *tuple = remora_tuple();
  remora_append(tuple, remora_str("a"));
  return tuple;
}
static remora_value *make_hops(void) {
  remora_value *hops = words_value("web1");
  remora_append(hops, words_value("docker|exec"));
  return hops;
}
static remora_value *make_env(void) {
  remora_value *map = remora_map();
  remora_set(map, "A", remora_str("x y"));
  remora_set(map, "B", remora_str(""));
  return map;
}
static remora_value *make_env_key(void) {
  remora_value *map = remora_map();
  remora_set(map, "A=B", remora_str("x"));
  return map;
}
static remora_value *make_env_number(void) {
  remora_value *map = remora_map();
  remora_set(map, "A", remora_int(1));
  return map;
}

static void test_options(void **state) {
  (void)state;
  static const struct {
    const char *name;
    remora_value *(*make)(void);
    const char *message; /* NULL: taken */
  } table[] = {
      {"timeout", make_second, NULL},
      {"timeout", make_zero, "option timeout: 0 is not between 1 and"},
      {"timeout", make_minus, "-1 is not between"},
      {"timeout", make_float, "option timeout: must be an integer"},
      {"timeout", make_true, "must be an integer"},
      {"timeout", make_null, "must be an integer"},
      {"timeout", make_text, "must be an integer"},
      {"heartbeat", make_zero, NULL},
      {"heartbeat", make_minus, "not between 0 and"},
      {"dead_after", make_second, NULL},
      {"dead_after", make_zero, "not between 1 and"},
      {"max_message", make_64k, NULL},
      {"max_message", make_4g, NULL},
      {"max_message", make_below_64k, "65535 is not between 65536 and 4294967295"},
      {"max_message", make_above_4g, "4294967296 is not between"},
      {"limits", make_text, "option limits: must be a map of limits to integers"},
      {"nice", make_minus, NULL},
      {"nice", make_second, "option nice: 1000 is not between -20 and 19"},
      {"watchdog", make_second, NULL},
      {"watchdog", make_minus, "option watchdog: -1 is not between 0 and 2147483647"},
      {"onward", make_true, NULL},
      {"onward", make_zero, "option onward: must be true or false"},
      {"node", make_text, NULL},
      {"node", make_empty, "option node: must be text that is not empty"},
      {"node", make_list, "must be text"},
      {"language", make_text, NULL},
      {"cwd", make_text, NULL},
      {"cwd", make_nul, "option cwd: must be text"},
      {"interpreter", make_text, NULL},
      {"interpreter", make_list, NULL},
      {"interpreter", make_tuple, NULL},
      {"interpreter", make_dash, "option interpreter: must be a program"},
      {"interpreter", make_dash_list, "must be a program"},
      {"interpreter", make_no_list, "must be a program"},
      {"interpreter", make_empty, "must be a program"},
      {"interpreter", make_second, "must be a program"},
      {"env", make_env, NULL},
      {"env", make_env_key, "option env: must be a map"},
      {"env", make_env_number, "option env: must be a map"},
      {"env", make_list, "option env: must be a map"},
      {"command", make_list, NULL},
      {"command", make_text, "option command: must be a list of text that begins with a program"},
      {"command", make_no_list, "must be a list"},
      {"command", make_dash_list, "must be a list"},
      {"command", make_numbers, "must be a list"},
      {"hops", make_hops, NULL},
      {"hops", make_no_list, "option hops: must be a list of specs"},
      {"hops", make_text, "must be a list of specs"},
      {"hops", make_numbers, "must be a list of specs"},
      {"ssh", make_list, NULL},
      {"ssh", make_text, "must be a list of text that begins"},
      {"ssh_options", make_dash_list, NULL},
      {"ssh_options", make_no_list, NULL},
      {"ssh_options", make_text, "option ssh_options: must be a list of text"},
      {"sudo", make_list, NULL},
      {"modules", make_list, NULL},
      {"modules", make_all, NULL},
      {"modules", make_text, "option modules: must be a list of text, or \"all\""},
      {"roots", make_list, NULL},
      {"roots", make_numbers, "option roots: must be a list of directories, or a map of languages to such lists"},
      {"queue", make_null, "unknown option \"queue\"; known are node, timeout"},
      {"on_prompt", make_false, NULL},
      {"on_prompt", make_true, "option on_prompt: must be a function of this side, or false"},
      {"on_prompt", make_text, "option on_prompt: must be a function of this side, or false"},
      {"colour", make_text, "log_budget, queue (by remora_options_set_queue)"},
  };
  for (size_t i = 0; i < COUNT(table); i++) {
    remora_options *opts = remora_options_new();
    remora_error *err = NULL;
    int rc = remora_options_set(opts, table[i].name, table[i].make(), &err);
    if (rc == 0 && table[i].message) fail_msg("%s was taken instead of: %s", table[i].name, table[i].message);
    if (rc && !table[i].message) fail_msg("%s", remora_error_message(err));
    if (rc) expect_message(err, REMORA_E_INVALID, table[i].message);
    remora_options *copy = options_copy(opts);
    remora_options_free(opts); /* the copy lives without it */
    assert_non_null(copy);
    remora_options_free(copy);
  }
  assert_int_equal(remora_options_set(NULL, "timeout", remora_int(1), NULL), -1);
  remora_options_set_queue(NULL, NULL);
  assert_null(remora_options_free(NULL));
}

/* Whoever sets one of the two gets the other one to fit; whoever sets both must make them fit. */
static void test_heartbeat(void **state) {
  (void)state;
  static const struct {
    int64_t heartbeat, dead_after; /* -1: not set */
    int64_t heartbeat_is, dead_after_is;
    const char *message;
  } table[] = {
      {-1, -1, 5000, 30000, NULL},
      {1000, -1, 1000, 30000, NULL},
      {20000, -1, 20000, 40000, NULL},
      {-1, 1000, 500, 1000, NULL},
      {-1, 1, 1, 1, NULL},
      {-1, 60000, 5000, 60000, NULL},
      {0, 1000, 0, 1000, NULL},
      {1000, 1000, 1000, 1000, NULL},
      {1001, 1000, 1001, 1000, "is less than heartbeat"},
  };
  for (size_t i = 0; i < COUNT(table); i++) {
    for (int order = 0; order < 2; order++) {
      remora_options *opts = remora_options_new();
      for (int step = 0; step < 2; step++) {
        if (step == order && table[i].heartbeat >= 0)
          assert_int_equal(remora_options_set(opts, "heartbeat", remora_int(table[i].heartbeat), NULL), 0);
        if (step != order && table[i].dead_after >= 0)
          assert_int_equal(remora_options_set(opts, "dead_after", remora_int(table[i].dead_after), NULL), 0);
      }
      remora_options *copy = options_copy(opts);
      assert_int_equal(copy->heartbeat, table[i].heartbeat_is);
      assert_int_equal(copy->dead_after, table[i].dead_after_is);
      carrier c;
      remora_error *err = NULL;
      if (carrier_plan(&c, "-", copy, NODE("stub"), &err) == 0) carrier_clear(&c);
      if (table[i].message)
        expect_message(err, REMORA_E_INVALID, table[i].message);
      else
        assert_null(err);
      remora_options_free(copy);
      remora_options_free(opts);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_options),
      cmocka_unit_test(test_heartbeat),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
