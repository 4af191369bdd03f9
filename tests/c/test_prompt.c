/* test_prompt.c: questions on the way to a far side, with stand-ins for ssh and sudo that ask as those do. */
#include "hub_helpers.h"

#include "error.h"

#include <sys/socket.h>
#include <sys/wait.h>

/* Asks by its helper, as ssh does, and runs its last word. */
#define FAKE_SSH                                                                                                       \
  "for last; do :; done; for turn in 1 2 3; do word=$(\"$SSH_ASKPASS\" \"me@there's password: \") || exit 255; "       \
  "[ \"$word\" = 'open %1?' ] && exec sh -c \"$last\"; done; echo 'me@there: Permission denied (password).' >&2; "     \
  "exit 255"
/* Asks on its standard input, as sudo -S does, and runs what follows. */
#define FAKE_SUDO                                                                                                      \
  "[ \"$1\" = -S ] || exit 9; printf 'A lecture.\\n' >&2; for turn in 1 2 3; do printf \"$3\" >&2; IFS= read -r "      \
  "word; "                                                                                                             \
  "[ \"$word\" = 'open %1?' ] && { while [ \"$1\" != -- ]; do shift; done; shift; exec \"$@\"; }; echo 'Sorry.' >&2; " \
  "done; "                                                                                                             \
  "echo 'sudo: 3 incorrect password attempts' >&2; exit 1"

static remora_value *program(const char *script) { return remora_pack(NULL, "s s s s", "sh", "-c", script, "fake"); }

typedef struct person {
  int calls, gone, left;
  int64_t right; /* the attempt from which on the answer is right */
  char text[200], hop[50], kind[20];
  remora_value *(*answer)(struct person *p, remora_error **err); /* NULL: a password */
  remora_conn *conn;
  remora_future *future;
} person;

static remora_value *person_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  person *p = userdata;
  const remora_value *question = remora_at(args, 0);
  assert_string_equal(method, "");
  p->calls++;
  const char *hop = remora_as_text(remora_get(question, "hop"), NULL);
  (void)snprintf(p->text, sizeof p->text, "%s", remora_as_text(remora_get(question, "text"), NULL));
  (void)snprintf(p->hop, sizeof p->hop, "%s", hop ? hop : "");
  (void)snprintf(p->kind, sizeof p->kind, "%s", remora_as_text(remora_get(question, "kind"), NULL));
  if (p->answer) return p->answer(p, err);
  return remora_str(remora_as_int(remora_get(question, "attempt")) >= p->right ? "open %1?" : "no");
}

static void person_gone(void *userdata) { ((person *)userdata)->gone++; }

static const remora_class person_class = {
    .size = sizeof person_class, .name = "test.Person", .traits = "call", .call = person_call};

static remora_value *ask(person *p) {
  remora_object *o = remora_export(NULL, &person_class, p, person_gone);
  assert_non_null(o);
  remora_value *v = remora_value_of_object(o);
  (void)remora_object_unref(o);
  return v;
}

/* Everything of the connection is gone, and so is what it asked. */
static void over(person *p) {
  int64_t until = now_ms() + LIMIT;
  while (!p->gone && now_ms() < until) (void)remora_serve(remora_default_queue(), 10);
  assert_int_equal(p->gone, 1);
}

static remora_conn *by_ssh(person *p, remora_error **err) {
  return connect_with("there", err, "ssh", program(FAKE_SSH), "on_prompt", ask(p), NULL);
}

static void test_answer(void **state) {
  (void)state;
  person p = {.right = 2};
  remora_error *err = NULL;
  remora_conn *c = by_ssh(&p, &err);
  WORKS(err);
  assert_int_equal(p.calls, 2);
  assert_string_equal(p.text, "me@there's password: ");
  assert_string_equal(p.hop, "there");
  assert_string_equal(p.kind, "secret");
  finish(c);
  over(&p);
}

static void test_wrong_to_the_end(void **state) {
  (void)state;
  person p = {.right = 9};
  remora_error *err = NULL;
  assert_null(by_ssh(&p, &err));
  assert_int_equal(p.calls, 3);
  assert_string_equal(remora_error_stage(err), "auth");
  expect_error(err, REMORA_E_CONNECT, "no key was accepted, nor an answer");
  over(&p);
}

static remora_value *answer_null(person *p, remora_error **err) {
  (void)p, (void)err;
  return remora_null();
}
static remora_value *answer_number(person *p, remora_error **err) {
  (void)p, (void)err;
  return remora_int(7);
}
static remora_value *answer_long(person *p, remora_error **err) {
  (void)p, (void)err;
  char text[1002];
  memset(text, 'x', sizeof text);
  return remora_text(text, sizeof text - 1);
}
static remora_value *answer_lines(person *p, remora_error **err) {
  (void)p, (void)err;
  return remora_str("a\nb");
}
static remora_value *answer_error(person *p, remora_error **err) {
  (void)p;
  *err = remora_error_new(REMORA_E_DENIED, "not today");
  return NULL;
}

static void test_no_answer(void **state) {
  (void)state;
  static const struct {
    remora_value *(*answer)(person *p, remora_error **err);
    const char *why;
  } table[] = {
      {answer_null, "there was no answer; the question that stood open: \"me@there's password: \""},
      {answer_number, "on_prompt returned neither text"},
      {answer_long, "at most 1000 bytes"},
      {answer_lines, "one line"},
      {answer_error, "on_prompt failed: not today; the question that stood open: \"me@there's password: \""},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    person p = {.answer = table[i].answer};
    remora_error *err = NULL;
    assert_null(by_ssh(&p, &err));
    assert_int_equal(p.calls, 1);
    assert_string_equal(remora_error_stage(err), "auth");
    expect_error(err, REMORA_E_CONNECT, table[i].why);
    over(&p);
  }
}

static void test_nobody(void **state) {
  (void)state;
  remora_error *err = NULL;
  assert_null(connect_with("there", &err, "ssh", program(FAKE_SSH), "on_prompt", remora_bool(0), NULL));
  assert_string_equal(remora_error_stage(err), "auth");
  expect_error(err, REMORA_E_CONNECT,
               "nobody can be asked (option on_prompt); the question that stood open: \"me@there's");
}

static remora_value *answer_truth(person *p, remora_error **err) {
  (void)err;
  return remora_bool(p->calls == 2);
}

static void test_truth(void **state) {
  (void)state;
  person p = {.answer = answer_truth};
  remora_error *err = NULL;
  remora_conn *c = connect_with("there", &err, "on_prompt", ask(&p), "ssh",
                                program("for last; do :; done; export SSH_ASKPASS_PROMPT=confirm; "
                                        "[ \"$(\"$SSH_ASKPASS\" 'Allow?')\" = no ] || exit 3; "
                                        "[ \"$(\"$SSH_ASKPASS\" 'Really?')\" = yes ] || exit 4; exec sh -c \"$last\""),
                                NULL);
  WORKS(err);
  assert_string_equal(p.text, "Really?");
  assert_string_equal(p.kind, "confirm");
  finish(c);
  over(&p);
}

/* About a host's key ssh asks until the answer is one. */
static void test_for_ever(void **state) {
  (void)state;
  person p = {.right = 99};
  remora_error *err = NULL;
  assert_null(connect_with("there", &err, "on_prompt", ask(&p), "ssh",
                           program("while word=$(\"$SSH_ASKPASS\" 'yes or no? '); do :; done; exit 255"), NULL));
  assert_int_equal(p.calls, 10);
  assert_string_equal(remora_error_stage(err), "auth");
  expect_error(err, REMORA_E_CONNECT, "ten answers were wrong; the question that stood open: \"yes or no? \"");
  over(&p);
}

static char told_file[] = "/tmp/remora-told-XXXXXX";

static remora_value *answer_told(person *p, remora_error **err) {
  (void)p, (void)err;
  assert_int_equal(unlink(told_file), 0);
  return remora_null();
}

/* What only tells something stands in nobody's way, and goes with who says it. */
static void test_info(void **state) {
  (void)state;
  person p = {.answer = answer_told};
  char script[500];
  int fd = mkstemp(told_file);
  assert_true(fd >= 0);
  (void)close(fd);
  (void)snprintf(script, sizeof script,
                 "for last; do :; done; SSH_ASKPASS_PROMPT=none \"$SSH_ASKPASS\" 'Touch it' & told=$!; "
                 "while [ -e %s ]; do sleep 0.02; done; kill $told; wait; exec sh -c \"$last\"",
                 told_file);
  remora_error *err = NULL;
  remora_conn *c = connect_with("there", &err, "on_prompt", ask(&p), "ssh", program(script), NULL);
  WORKS(err);
  assert_int_equal(p.calls, 1);
  assert_string_equal(p.kind, "info");
  finish(c);
  over(&p);
}

static void test_sudo_behind_ssh(void **state) {
  (void)state;
  person p = {.right = 2};
  remora_error *err = NULL;
  remora_value *hops = remora_pack(NULL, "s s s", "there", "root@", "other@");
  remora_conn *c = connect_with(NULL, &err, "hops", hops, "ssh", program(FAKE_SSH), "sudo", program(FAKE_SUDO),
                                "on_prompt", ask(&p), NULL);
  WORKS(err);
  assert_int_equal(p.calls, 6);
  assert_string_equal(p.hop, "other@");
  assert_string_equal(p.text, "[sudo] password, hop other@ of there > root@ > other@: ");
  assert_int_equal(int_of(run(c, "add", remora_pack(NULL, "i i", 2, 3))), 5);
  finish(c);
  over(&p);
}

static void test_sudo_wrong_to_the_end(void **state) {
  (void)state;
  person p = {.right = 9};
  remora_error *err = NULL;
  remora_value *hops = remora_list();
  assert_int_equal(remora_append(hops, remora_pack(NULL, "s", "env")), 0);
  assert_int_equal(remora_append(hops, remora_str("root@")), 0);
  assert_null(connect_with(NULL, &err, "hops", hops, "sudo", program(FAKE_SUDO), "on_prompt", ask(&p), NULL));
  assert_int_equal(p.calls, 3);
  assert_string_equal(remora_error_stage(err), "auth");
  expect_error(err, REMORA_E_CONNECT, "3 incorrect password attempts");
  over(&p);
}

/* Who prints the command line does not ask. */
static void test_echoed_words(void **state) {
  (void)state;
  person p = {.right = 1};
  remora_error *err = NULL;
  remora_value *hops = remora_list();
  assert_int_equal(remora_append(hops, program("echo \"$@\" >&2; exec \"$@\"")), 0);
  assert_int_equal(remora_append(hops, remora_str("root@")), 0);
  remora_conn *c = connect_with(NULL, &err, "hops", hops, "sudo", program(FAKE_SUDO), "on_prompt", ask(&p), NULL);
  WORKS(err);
  assert_int_equal(p.calls, 1);
  finish(c);
  over(&p);
}

/* In the middle of a question the connection goes: the event that waits is not run. */
static void test_cancelled(void **state) {
  (void)state;
  for (int served = 0; served < 2; served++) {
    person p = {.right = 1};
    remora_error *err = NULL;
    remora_options *opts = remora_options_new();
    (void)remora_options_set(opts, "ssh", program(FAKE_SSH), NULL);
    (void)remora_options_set(opts, "on_prompt", ask(&p), NULL);
    remora_future *f = remora_connect_start("there", opts, &err);
    (void)remora_options_free(opts);
    WORKS(err);
    remora_event *e = remora_next_event(remora_default_queue(), LIMIT);
    assert_non_null(e);
    assert_int_equal(remora_event_type(e), REMORA_EVENT_CALL);
    if (!served) {
      assert_int_equal(remora_cancel(f), 1);
      remora_event_run(e); /* it had begun: its answer is nobody's */
    } else {
      (void)remora_event_free(e); /* dropped: no answer */
      expect_error(await_error(remora_future_ref(f)), REMORA_E_CONNECT, "on_prompt failed: the call was dropped");
      e = NULL;
    }
    (void)remora_event_free(e);
    (void)remora_future_unref(f);
    assert_int_equal(p.calls, served ? 0 : 1);
    over(&p);
  }
}

static int question_sockets(void) {
  int n = 0;
  for (int fd = 3; fd < 256; fd++) {
    int type = 0;
    socklen_t size = sizeof type;
    n += getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
  }
  return n;
}

static remora_value *answer_forks(person *p, remora_error **err) {
  (void)err;
  p->right = question_sockets();
  pid_t pid = fork();
  if (pid == 0) _exit(question_sockets());
  int status = 0;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  p->left = WEXITSTATUS(status);
  return remora_str("open %1?");
}

/* A child that lives on must not keep ssh waiting for an answer that never comes. */
static void test_a_fork_takes_no_question_along(void **state) {
  (void)state;
  person p = {.answer = answer_forks};
  remora_error *err = NULL;
  remora_conn *c = by_ssh(&p, &err);
  WORKS(err);
  assert_int_equal(p.right, 2); /* the listener, and the question */
  assert_int_equal(p.left, 0);
  finish(c);
  over(&p);
}

static void test_descriptors(void **state) {
  (void)state;
  int before = count_fds();
  for (int i = 0; i < 3; i++) {
    person p = {.right = 9};
    remora_error *err = NULL;
    assert_null(by_ssh(&p, &err));
    (void)remora_error_free(err);
    over(&p);
  }
  int64_t until = now_ms() + LIMIT;
  while (count_fds() > before && now_ms() < until) (void)remora_serve(remora_default_queue(), 10);
  assert_true(count_fds() <= before);
}

/* The helper obeys the one that has started it, and nobody else. */
static void test_helper_alone(void **state) {
  (void)state;
  static const char helper[] = REMORA_BUILD_DIR "/libexec/remora/remora-node";
  char line[512];
  (void)snprintf(line, sizeof line, "SSH_ASKPASS_PROMPT=confirm REMORA_ASKPASS=remora-nobody %s question </dev/null",
                 helper);
  assert_int_equal(system(line), 256);
  (void)snprintf(line, sizeof line, "SSH_ASKPASS_PROMPT=none REMORA_ASKPASS=remora-nobody %s question </dev/null",
                 helper);
  assert_int_equal(system(line), 0);
  (void)snprintf(line, sizeof line, "REMORA_ASKPASS=remora-nobody sh -c '%s question; exit 3' </dev/null", helper);
  assert_int_equal(system(line), (128 + 15) << 8); /* ssh would take it for an empty password */
  (void)snprintf(line, sizeof line, "sh -c 'REMORA_ASKPASS=remora-nobody %s question; exit 3' </dev/null", helper);
  assert_int_equal(system(line), 3 << 8); /* whoever this is, it has not asked */
}

static int add_far(void **state) {
  (void)state;
  return remora_module_add("python", "far_tests", 0, "far_tests.py", far_source, strlen(far_source), NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_answer),
      cmocka_unit_test(test_wrong_to_the_end),
      cmocka_unit_test(test_no_answer),
      cmocka_unit_test(test_nobody),
      cmocka_unit_test(test_truth),
      cmocka_unit_test(test_info),
      cmocka_unit_test(test_for_ever),
      cmocka_unit_test(test_sudo_behind_ssh),
      cmocka_unit_test(test_sudo_wrong_to_the_end),
      cmocka_unit_test(test_echoed_words),
      cmocka_unit_test(test_cancelled),
      cmocka_unit_test(test_a_fork_takes_no_question_along),
      cmocka_unit_test(test_descriptors),
      cmocka_unit_test(test_helper_alone),
  };
  return cmocka_run_group_tests(tests, add_far, NULL);
}
