/* acceptance_c FILE CHECK: as acceptance.py beside it, with C near. Prints "ok", or says what is wrong. */
#include <remora.h>

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *far;
static char folder[4096]; /* far, and behind it the folder that only the near side knows */

#define FAIL(...) (printf(__VA_ARGS__), printf(" (line %d)\n", __LINE__), exit(1))
#define SAME_INT(wanted, got) same_int((wanted), (got), __LINE__)
#define SAME_TEXT(wanted, got) same_text((wanted), (got), __LINE__)

static void fail_by(remora_error *err, int line) {
  if (!err) return;
  printf("%s: %s (line %d)\n", remora_error_type(err), remora_error_message(err), line);
  exit(1);
}
#define CHECK(err) fail_by(err, __LINE__)

/* Takes the value. */
static void same_int(int64_t wanted, remora_value *got, int line) {
  if (remora_value_kind(got) != REMORA_INT || remora_as_int(got) != wanted) {
    printf("wanted %lld, got %lld (line %d)\n", (long long)wanted, (long long)remora_as_int(got), line);
    exit(1);
  }
  remora_value_unref(got);
}

static void same_text(const char *wanted, remora_value *got, int line) {
  const char *text = remora_as_text(got, NULL);
  if (!text || strcmp(text, wanted) != 0) {
    printf("wanted \"%s\", got \"%s\" (line %d)\n", wanted, text ? text : "no text", line);
    exit(1);
  }
  remora_value_unref(got);
}

/* ------------------------------------------------------------------------------------------------------------- calling */

static remora_options *options(void) {
  remora_error *err = NULL;
  remora_options *opts = remora_options_new();
  remora_options_set(opts, "roots", remora_pack(&err, "=[s s]", folder, far), &err);
  remora_options_set(opts, "modules", remora_pack(&err, "=[s]", "acceptance"), &err);
  CHECK(err);
  return opts;
}

static remora_conn *connect_far(void) {
  remora_error *err = NULL;
  remora_options *opts = options();
  remora_conn *conn = remora_connect("-", opts, &err);
  CHECK(err);
  remora_options_free(opts);
  return conn;
}

/* Steals args. */
static remora_proxy *new_of(remora_conn *conn, const char *name, remora_value *args) {
  remora_error *err = NULL;
  remora_proxy *p = remora_new_on(conn, name, args, &err);
  CHECK(err);
  remora_value_unref(args);
  return p;
}

static remora_proxy *can_of(remora_conn *conn, const char *name) {
  remora_error *err = NULL;
  remora_proxy *p = remora_can_on(conn, name, &err);
  CHECK(err);
  if (!p) FAIL("there is no %s", name);
  return p;
}

/* Steals args. */
static remora_value *call(remora_proxy *p, const char *method, remora_value *args) {
  remora_error *err = NULL;
  remora_value *v = remora_call(p, method, args, &err);
  CHECK(err);
  remora_value_unref(args);
  return v;
}

/* Steals args. */
static remora_future *start(remora_proxy *p, const char *method, remora_value *args) {
  remora_error *err = NULL;
  remora_future *f = remora_start(p, method, args, &err);
  CHECK(err);
  remora_value_unref(args);
  return f;
}

static remora_value *result(remora_future *f) {
  remora_error *err = NULL;
  remora_value *v = remora_await(f, 20000, &err);
  CHECK(err);
  remora_future_unref(f);
  return v;
}

#define ARGS(...) remora_pack(NULL, __VA_ARGS__)

static remora_proxy *counter_of(remora_conn *conn) { return new_of(conn, "acceptance.Counter", NULL); }

/* ------------------------------------------------------------------------------------------------- objects of this side */

static int called;

static remora_value *callback_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  (void)userdata, (void)method, (void)args, (void)err;
  called++;
  return NULL;
}
static const remora_class callback_class = {sizeof(remora_class), "acceptance.callback", "call", callback_call};

static remora_value *callback(void) {
  remora_object *o = remora_export(NULL, &callback_class, NULL, NULL);
  remora_value *v = remora_value_of_object(o);
  remora_object_unref(o);
  return v;
}

/* A file that far code writes to. */
static remora_value *file_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  size_t length = 0;
  const char *text = remora_as_text(remora_at(args, 0), &length);
  if (strcmp(method, "write") != 0 || !text) {
    *err = remora_error_new(REMORA_E_NOTFOUND, method);
    return NULL;
  }
  return remora_int((int64_t)fwrite(text, 1, length, userdata));
}
static const remora_class file_class = {sizeof(remora_class), "acceptance.file", "", file_call};

/* -------------------------------------------------------------------------------------------------------------- checks */

static void await_one(void) {
  same_int(23, result(start(counter_of(connect_far()), "call_callback", ARGS("i V", 23, callback()))), __LINE__);
  if (called != 1) FAIL("called %d times", called);
}

static void await_dropped(void) {
  remora_conn *conn = connect_far();
  remora_proxy *p = counter_of(conn);
  remora_future *f = start(p, "call_callback", ARGS("i V", 24, callback()));
  remora_proxy_unref(p);
  remora_conn_unref(conn);
  SAME_INT(24, result(f));
  if (called != 1) FAIL("called %d times", called);
}

static void await_all(void) {
  remora_error *err = NULL;
  remora_future *f[3];
  for (int i = 0; i < 3; i++) f[i] = start(counter_of(connect_far()), "increment", ARGS("i", i));
  if (remora_await_all(f, 3, 20000, &err) != 0) CHECK(err);
  for (int i = 0; i < 3; i++) SAME_INT(i, result(f[i]));
}

static void basic_other_process(void) {
  remora_conn *conn = connect_far();
  SAME_INT(remora_conn_pid(conn), call(counter_of(conn), "pid", NULL));
  if (remora_conn_pid(conn) == getpid()) FAIL("the same process");
}

static void basic_state(void) {
  remora_proxy *p = counter_of(connect_far());
  SAME_INT(0, call(p, "value", NULL));
  SAME_INT(1, call(p, "increment", NULL));
  SAME_INT(1, call(p, "value", NULL));
}

static void basic_callback(void) {
  SAME_INT(27, call(counter_of(connect_far()), "call_callback", ARGS("i V", 27, callback())));
  if (called != 1) FAIL("called %d times", called);
}

static void basic_function(void) {
  char name[256] = "";
  if (gethostname(name, sizeof name - 1) != 0) FAIL("no host name");
  SAME_TEXT(name, call(can_of(connect_far(), "socket.gethostname"), NULL, NULL));
}

static void add_memory(void) {
  static const char source[] = "class MyData:\n    def value(self):\n        return 'from memory'\n\n"
                               "def function():\n    return 'function from memory'\n";
  remora_error *err = NULL;
  remora_module_add("python", "memory_data", 0, NULL, source, sizeof source - 1, &err);
  CHECK(err);
}

static void basic_data_class(void) {
  add_memory();
  SAME_TEXT("from memory", call(new_of(connect_far(), "memory_data.MyData", NULL), "value", NULL));
}

static void basic_data_function(void) {
  add_memory();
  SAME_TEXT("function from memory", call(can_of(connect_far(), "memory_data.function"), NULL, NULL));
}

static void three_pids(int64_t second, int64_t third) {
  if (second == third || second == getpid() || third == getpid()) FAIL("not three processes");
}

static int64_t number(remora_value *v) {
  int64_t n = remora_as_int(v);
  remora_value_unref(v);
  return n;
}

static void bridged_forward(void) {
  remora_proxy *bridge = new_of(connect_far(), "acceptance.Bridge", ARGS("s i", "acceptance.Counter", 3));
  SAME_INT(4, call(bridge, "forward", ARGS("s", "increment")));
  int64_t third = number(call(bridge, "far_pid", NULL));
  SAME_INT(third, call(bridge, "forward", ARGS("s", "pid")));
  three_pids(number(call(bridge, "pid", NULL)), third);
}

static void chained_three_processes(void) {
  remora_proxy *bridge = new_of(connect_far(), "acceptance.Bridge", ARGS("s", "acceptance.Counter"));
  remora_value *behind = call(bridge, "object", NULL);
  three_pids(number(call(bridge, "pid", NULL)), number(call(remora_as_proxy(behind), "pid", NULL)));
  remora_value_unref(behind);
}

static void chained_ping(void) {
  remora_conn *conn = connect_far();
  remora_proxy *between = counter_of(conn);
  remora_value *onward = call(can_of(conn, "remora.connect"), NULL, ARGS("s", "-"));
  remora_value *behind = call(can_of(conn, "remora.new_on"), NULL, ARGS("v s", onward, "acceptance.Counter"));
  SAME_INT(1, call(remora_as_proxy(behind), "increment", NULL));
  SAME_INT(0, call(between, "value", NULL));
  three_pids(number(call(between, "pid", NULL)), number(call(remora_as_proxy(behind), "pid", NULL)));
}

static void has(const char *text, const char *part) {
  if (!text || !strstr(text, part)) FAIL("\"%s\" is not in \"%s\"", part, text ? text : "");
}

/* ------------------------------------------------------------------------------------------------------------- logging */

static remora_value *record_of(remora_value *connection, remora_value *id) {
  return ARGS("={s:s s:s s:s s:d s:s s:s s:i s:i s:s s:s s:V s:V}", "level", "warn", "name", "app.db", "message",
              "a\nb", "time", 0.0, "function", "f", "file", "x.py", "line", 7, "pid", 42, "host", "h", "exporter",
              "python", "connection", connection, "connection_id", id);
}

static void logger_formats(void) {
  char year[8];
  time_t start = 0;
  remora_value *record = record_of(remora_null(), remora_null());
  SAME_TEXT("warn|local|python|app.db|f|x.py|7|h|42|%|\n |(undefined)|a\n b",
            remora_log_format("%l|%r|%c|%p|%m|%f|%i|%h|%P|%%|%n|%q|%s", record));
  SAME_TEXT("remote #3 web1", remora_log_format("%r", record_of(remora_str("web1"), remora_int(3))));
  strftime(year, sizeof year, "%Y", localtime(&start));
  remora_value *text = remora_log_format("%t", record);
  has(remora_as_text(text, NULL), year);
  remora_value_unref(text);
  remora_value_unref(record);
}

/* What a sink got, as text. */
typedef struct sunk {
  char text[1024];
  int count;
  bool names; /* or levels */
  remora_value *last;
} sunk;

static void sink(const remora_value *record, void *userdata) {
  sunk *s = userdata;
  size_t n = strlen(s->text);
  (void)snprintf(s->text + n, sizeof s->text - n, "%s ",
                 remora_as_text(remora_get(record, s->names ? "name" : "level"), NULL));
  s->count++;
  remora_value_unref(s->last);
  s->last = remora_value_ref((remora_value *)(uintptr_t)record);
}

static uint64_t add_sink(int level, const char *selections, sunk *s) {
  remora_error *err = NULL;
  uint64_t number = remora_log_add_sink(NULL, level, selections, sink, s, NULL, &err);
  CHECK(err);
  return number;
}

static void until(const int *count, int wanted) {
  for (int i = 0; i < 2000 && *count < wanted; i++) remora_serve(remora_default_queue(), 10);
  if (*count != wanted) FAIL("%d records, not %d", *count, wanted);
}

/* What a sink gets of one record of each level and three names. */
static void logged(int level, const char *selections, bool names, int count, const char *wanted) {
  static const char *const all[] = {"app", "app.db", "other"};
  sunk s = {.names = names};
  uint64_t number = add_sink(level, selections, &s);
  for (int i = 0; i < 3; i++)
    for (int each = REMORA_LOG_TRACE; each <= REMORA_LOG_FATAL; each++) REMORA_LOG(each, all[i], "text");
  until(&s.count, count);
  remora_log_remove_sink(number);
  if (strcmp(s.text, wanted) != 0) FAIL("wanted \"%s\", got \"%s\"", wanted, s.text);
  remora_value_unref(s.last);
}

static void logging_order(void) {
  logged(REMORA_LOG_TRACE, "app -app.db", false, 7, "trace debug verbose info warn error fatal ");
  logged(REMORA_LOG_WARN, "app -app.db", false, 3, "warn error fatal ");
}

static void logging_selections(void) {
  logged(REMORA_LOG_FATAL, "*", true, 3, "app app.db other ");
  logged(REMORA_LOG_FATAL, "app", true, 2, "app app.db ");
  logged(REMORA_LOG_FATAL, "app -app.db", true, 1, "app ");
  logged(REMORA_LOG_FATAL, "* -other", true, 2, "app app.db ");
}

static void logrouter_record(void) {
  remora_error *err = NULL;
  const char *level, *name, *message, *connection, *function, *file;
  int64_t pid;
  int line;
  double when;
  sunk s = {.names = true};
  add_sink(0, "acceptance", &s);
  remora_options *opts = options();
  remora_options_set(opts, "log_forward", remora_bool(1), &err);
  remora_conn *conn = remora_connect("-", opts, &err);
  CHECK(err);
  remora_options_free(opts);
  remora_value_unref(
      call(can_of(conn, "acceptance.log_as"), NULL, ARGS("s s s", "acceptance", "WARNING", "over there")));
  until(&s.count, 1);
  if (remora_unpack(s.last, &err, "={s:s s:s s:s s:s s:s s:s s:I s:i s:d}", "level", &level, "name", &name, "message",
                    &message, "connection", &connection, "function", &function, "file", &file, "pid", &pid, "line",
                    &line, "time", &when) != 0)
    CHECK(err);
  has(file, "acceptance.py");
  if (strcmp(level, "warn") != 0 || strcmp(message, "over there") != 0 || strcmp(connection, "-") != 0 ||
      strcmp(function, "log_as") != 0 || pid != remora_conn_pid(conn) || line < 2 || time(NULL) - (time_t)when > 60)
    FAIL("another record");
  REMORA_LOG(REMORA_LOG_INFO, "acceptance", "from %s", "here");
  until(&s.count, 2);
  SAME_TEXT("from here", remora_value_ref((remora_value *)(uintptr_t)remora_get(s.last, "message")));
  SAME_INT(getpid(), remora_value_ref((remora_value *)(uintptr_t)remora_get(s.last, "pid")));
}

static void logrouter_removed(void) {
  sunk first = {.names = true}, second = {.names = true};
  uint64_t number = add_sink(0, "app", &first);
  add_sink(0, "app", &second);
  REMORA_LOG(REMORA_LOG_INFO, "app", "one");
  until(&second.count, 1);
  until(&first.count, 1);
  remora_log_remove_sink(number);
  REMORA_LOG(REMORA_LOG_INFO, "app", "two");
  until(&second.count, 2);
  if (first.count != 1) FAIL("%d records", first.count);
}

/* ----------------------------------------------------------------------------------------------------------- the others */

static void not_found_dependency(void) {
  remora_error *err = NULL;
  if (remora_new_on(connect_far(), "needs_what_is_nowhere.Never", NULL, &err)) FAIL("no error");
  if (remora_error_code(err) != REMORA_E_REMOTE) CHECK(err);
  has(remora_error_message(err), "a_module_that_is_nowhere");
  has(remora_error_message(err), "the near side looked in ");
  has(remora_error_message(err), far);
  remora_error_free(err);
}

static void objects_keywords(void) {
  remora_proxy *p = new_of(connect_far(), "acceptance.Object", ARGS("k{s:s s:i}", "name", "foo", "size", 3));
  SAME_TEXT("foo", call(p, "name", NULL));
  remora_value *more = call(p, "extra", NULL);
  if (remora_as_int(remora_get(more, "size")) != 3) FAIL("another size");
  remora_value_unref(more);
}

static void objects_home(void) {
  remora_proxy *p = new_of(connect_far(), "acceptance.Object", ARGS("s", "foo"));
  remora_value *v = call(p, "takes_object", ARGS("p", p));
  if (!remora_as_bool(v)) FAIL("another object");
  remora_value_unref(v);
}

static void objects_itself(void) {
  remora_proxy *p = new_of(connect_far(), "acceptance.Object", ARGS("s", "foo"));
  remora_value *v = call(p, "give_back", NULL);
  if (remora_as_proxy(v) != p) FAIL("another proxy");
  remora_value_unref(v);
}

static void sender_folder(void) {
  SAME_INT(1, call(new_of(connect_far(), "only_near_module.Only", NULL), "increment", NULL));
}

static remora_proxy *sleeper(void) { return new_of(connect_far(), "acceptance.Sleeper", NULL); }

/* What was noted, as one text. */
static void notes(remora_proxy *p, const char *wanted) {
  char text[1024] = "";
  remora_value *list = call(p, "notes", NULL);
  for (size_t i = 0; i < remora_length(list); i++) {
    const char *word = remora_as_text(remora_at(list, i), NULL);
    size_t n = strlen(text);
    if (word)
      (void)snprintf(text + n, sizeof text - n, "%s ", word);
    else
      (void)snprintf(text + n, sizeof text - n, "%d ", (int)remora_as_int(remora_at(list, i)));
  }
  remora_value_unref(list);
  if (strcmp(text, wanted) != 0) FAIL("wanted \"%s\", got \"%s\"", wanted, text);
}

static void start_core_start(void) {
  remora_future *f = start(sleeper(), "note", ARGS("s", "x"));
  SAME_TEXT("x", result(remora_future_ref(f)));
  if (remora_future_state(f) != REMORA_DONE) FAIL("not done");
  remora_future_unref(f);
}

static remora_future *second_call;

static void note_more(remora_future *f, void *userdata) {
  char text[64];
  remora_error *err = NULL;
  remora_value *v = remora_future_result(f, &err);
  CHECK(err);
  (void)snprintf(text, sizeof text, "%sb", remora_as_text(v, NULL));
  remora_value_unref(v);
  second_call = start(userdata, "note", ARGS("s", text));
}

static void start_core_then(void) {
  remora_error *err = NULL;
  remora_proxy *p = sleeper();
  remora_future *first = start(p, "note", ARGS("s", "a"));
  if (remora_then(first, NULL, note_more, p, NULL, &err) != 0) CHECK(err);
  for (int i = 0; i < 200 && !second_call; i++) remora_serve(remora_default_queue(), 100);
  if (!second_call) FAIL("nothing followed");
  SAME_TEXT("ab", result(second_call));
  notes(p, "a ab ");
}

static void start_core_order(void) {
  char wanted[1024] = "";
  remora_proxy *p = sleeper();
  remora_future *f[100];
  for (int i = 0; i < 100; i++) {
    f[i] = start(p, "note", ARGS("i", i));
    size_t n = strlen(wanted);
    (void)snprintf(wanted + n, sizeof wanted - n, "%d ", i);
  }
  for (int i = 0; i < 100; i++) SAME_INT(i, result(f[i]));
  notes(p, wanted);
}

static void start_core_asynchronous(void) {
  remora_proxy *p = sleeper();
  remora_future *late = start(p, "note_later", ARGS("s s", "late", "early"));
  SAME_TEXT("early", call(p, "note", ARGS("s", "early")));
  SAME_TEXT("late", result(late));
  notes(p, "early late ");
}

static void start_core_blocking(void) { SAME_TEXT("x", call(sleeper(), "note_later", ARGS("s", "x"))); }

static void is_bool(bool wanted, remora_value *got) {
  if (remora_value_kind(got) != REMORA_BOOL || remora_as_bool(got) != wanted) FAIL("not %d", wanted);
  remora_value_unref(got);
}

static void tied_list(void) {
  remora_proxy *p = new_of(connect_far(), "builtins.list", ARGS("[i i i]", 1, 2, 3));
  SAME_INT(1, call(p, ":item", ARGS("i", 0)));
  SAME_INT(3, call(p, ":len", NULL));
  remora_value_unref(call(p, ":setitem", ARGS("i s", 1, "two")));
  remora_value_unref(call(p, "append", ARGS("i", 4)));
  remora_value_unref(call(p, ":delitem", ARGS("i", 0)));
  SAME_TEXT("two", call(p, ":item", ARGS("i", 0)));
  SAME_INT(4, call(p, ":item", ARGS("i", 2)));
  remora_value_unref(call(p, "clear", NULL));
  SAME_INT(0, call(p, ":len", NULL));
}

static void tied_map(void) {
  remora_proxy *p = new_of(connect_far(), "builtins.dict", ARGS("{s:i}", "a", 1));
  remora_value_unref(call(p, ":setitem", ARGS("s i", "b", 2)));
  SAME_INT(2, call(p, ":item", ARGS("s", "b")));
  is_bool(true, call(p, ":contains", ARGS("s", "b")));
  remora_value_unref(call(p, ":delitem", ARGS("s", "a")));
  is_bool(false, call(p, ":contains", ARGS("s", "a")));
  SAME_INT(1, call(p, ":len", NULL));
  remora_value_unref(call(p, "clear", NULL));
  SAME_INT(0, call(p, ":len", NULL));
}

static void timeout_silent(void) {
  remora_error *err = NULL;
  remora_options *opts = options();
  time_t began = time(NULL);
  remora_options_set(opts, "interpreter", ARGS("=[s s s]", "sh", "-c", "exec sleep 60"), &err);
  remora_options_set(opts, "timeout", remora_int(100), &err);
  CHECK(err);
  if (remora_connect("-", opts, &err)) FAIL("no error");
  has(remora_error_message(err), "within 100 ms");
  if (remora_error_code(err) != REMORA_E_CONNECT || time(NULL) - began > 10) CHECK(err);
  remora_error_free(err);
  remora_options_free(opts);
}

static void transfer_by_reference(void) {
  remora_error *err = NULL;
  remora_conn *conn = connect_far();
  remora_value *box = remora_by_ref(ARGS("={s:i}", "n", 1)), *items = remora_by_ref(ARGS("=[i i i]", 1, 2, 3));
  remora_value_unref(call(can_of(conn, "acceptance.fill"), NULL, ARGS("v s", box, "more")));
  SAME_INT(3, call(can_of(conn, "acceptance.double_all"), NULL, ARGS("v i", items, 0)));
  remora_value *full = remora_copy(box, &err), *doubled = remora_copy(items, &err);
  int n, more, list[3];
  if (remora_unpack(full, &err, "={s:i s:i}", "n", &n, "more", &more) != 0 ||
      remora_unpack(doubled, &err, "=[i i i]", &list[0], &list[1], &list[2]) != 0)
    CHECK(err);
  if (n != 2 || more != 2 || list[0] != 2 || list[1] != 4 || list[2] != 6) FAIL("another list or map");
  remora_value_unref(full);
  remora_value_unref(doubled);
  remora_value_unref(box);
  remora_value_unref(items);
}

static void transfer_result(void) {
  remora_error *err = NULL;
  remora_proxy *numbers = can_of(connect_far(), "acceptance.numbers");
  remora_future *f = remora_start_with(numbers, NULL, NULL, -1, REMORA_BYREF, &err);
  CHECK(err);
  remora_value *v = result(f);
  remora_proxy *list = remora_as_proxy(v);
  if (!list) FAIL("no reference");
  remora_value_unref(call(list, ":setitem", ARGS("i i", 0, 10)));
  SAME_INT(10, call(list, ":item", ARGS("i", 0)));
  SAME_INT(3, call(list, ":len", NULL));
  remora_value_unref(v);
}

static void transfer_near_file(void) {
  char text[64] = "";
  FILE *file = tmpfile();
  remora_proxy *write_to = can_of(connect_far(), "acceptance.write_to");
  remora_object *o = remora_export(NULL, &file_class, file, NULL);
  remora_value_unref(call(write_to, NULL, ARGS("o s", o, "from the far side\n")));
  remora_value_unref(call(write_to, NULL, ARGS("o s", o, "and again\n")));
  rewind(file);
  text[fread(text, 1, sizeof text - 1, file)] = 0;
  if (strcmp(text, "from the far side\nand again\n") != 0) FAIL("got \"%s\"", text);
  remora_object_unref(o);
  fclose(file);
}

/* A far file in a new folder; *steals* nothing. */
static remora_value *far_open(remora_conn *conn, const char *path, const char *mode) {
  return call(can_of(conn, "builtins.open"), NULL, ARGS("s s", path, mode));
}

static const char *new_path(void) {
  static char path[] = "/tmp/remora-acceptance-XXXXXX";
  int fd = mkstemp(path);
  if (fd < 0) FAIL("no temporary file");
  close(fd);
  return path;
}

static void transfer_far_file(void) {
  const char *path = new_path();
  remora_value *v = far_open(connect_far(), path, "w+");
  remora_proxy *file = remora_as_proxy(v);
  SAME_INT(14, call(file, "write", ARGS("s", "one\ntwo\nthree\n")));
  SAME_INT(0, call(file, "seek", ARGS("i", 0)));
  SAME_TEXT("one\n", call(file, "readline", NULL));
  remora_value *iterator = call(file, ":iter", NULL);
  remora_value *batch = call(remora_as_proxy(iterator), ":next", ARGS("i", 64));
  const char *two, *three;
  remora_error *err = NULL;
  int done;
  if (remora_unpack(batch, &err, "b [s s]", &done, &two, &three) != 0) CHECK(err);
  if (!done || strcmp(two, "two\n") != 0 || strcmp(three, "three\n") != 0) FAIL("other lines");
  remora_value_unref(batch);
  remora_value_unref(iterator);
  remora_value_unref(call(file, "close", NULL));
  remora_value_unref(v);
  unlink(path);
}

static void transfer_binary(void) {
  unsigned char data[768];
  size_t length;
  const char *path = new_path();
  remora_conn *conn = connect_far();
  for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)i;
  remora_value *v = far_open(conn, path, "wb");
  remora_value_unref(call(remora_as_proxy(v), "write", ARGS("y", data, sizeof data)));
  remora_value_unref(call(remora_as_proxy(v), "close", NULL));
  remora_value_unref(v);
  v = far_open(conn, path, "rb");
  remora_value *read = call(remora_as_proxy(v), "read", NULL);
  const char *bytes = remora_as_text(read, &length);
  if (remora_value_kind(read) != REMORA_BYTES || length != sizeof data || memcmp(bytes, data, length) != 0)
    FAIL("other bytes");
  remora_value_unref(read);
  remora_value_unref(v);
  unlink(path);
}

static void watchdog_hung(void) {
  remora_error *err = NULL;
  remora_options *opts = options();
  remora_options_set(opts, "heartbeat", remora_int(1000), &err);
  remora_options_set(opts, "dead_after", remora_int(1000), &err);
  remora_conn *conn = remora_connect("-", opts, &err);
  CHECK(err);
  remora_options_free(opts);
  remora_future *f = start(can_of(conn, "acceptance.nap"), NULL, ARGS("i", 60));
  kill((pid_t)remora_conn_pid(conn), SIGSTOP);
  if (remora_await(f, 20000, &err)) FAIL("no error");
  if (remora_error_code(err) != REMORA_E_LOST) CHECK(err);
  remora_error_free(err);
}

static void bridged_remote_two_levels(void) {
  remora_conn *conn = connect_far();
  remora_conn_serve(conn, "only_near_module");
  SAME_INT(1, call(new_of(conn, "acceptance.Bridge", ARGS("s", "only_near_module.Only")), "forward",
                   ARGS("s", "increment")));
}

static void load_optional_missing(void) {
  remora_error *err = NULL;
  remora_conn *conn = connect_far();
  if (remora_can_on(conn, "this_module.is_missing", &err) || err) FAIL("a missing module");
  if (remora_can_on(conn, "acceptance.is_missing", &err) || err) FAIL("a missing name");
  if (remora_can_on(conn, "needs_what_is_nowhere.anything", &err) || !err) FAIL("a broken module");
  has(remora_error_message(err), "a_module_that_is_nowhere");
  remora_error_free(err);
}

static const struct row {
  const char *file, *check;
  void (*run)(void);
} rows[] = {
    {"t/await.t", "one", await_one},
    {"t/await.t", "dropped", await_dropped},
    {"t/await.t", "all", await_all},
    {"t/basic.t", "other_process", basic_other_process},
    {"t/basic.t", "state", basic_state},
    {"t/basic.t", "callback", basic_callback},
    {"t/basic.t", "function", basic_function},
    {"t/basic_data.t", "class", basic_data_class},
    {"t/basic_data.t", "function", basic_data_function},
    {"t/bridged.t", "forward", bridged_forward},
    {"t/chained.t", "three_processes", chained_three_processes},
    {"t/chained.t", "ping", chained_ping},
    {"t/logger.t", "formats", logger_formats},
    {"t/logging.t", "order", logging_order},
    {"t/logging.t", "selections", logging_selections},
    {"t/logrouter.t", "record", logrouter_record},
    {"t/logrouter.t", "removed", logrouter_removed},
    {"t/not_found.t", "dependency", not_found_dependency},
    {"t/objects.t", "keywords", objects_keywords},
    {"t/objects.t", "home", objects_home},
    {"t/objects.t", "itself", objects_itself},
    {"t/sender.t", "folder", sender_folder},
    {"t/start_core.t", "start", start_core_start},
    {"t/start_core.t", "then", start_core_then},
    {"t/start_core.t", "order", start_core_order},
    {"t/start_core.t", "asynchronous", start_core_asynchronous},
    {"t/start_core.t", "blocking", start_core_blocking},
    {"t/tied.t", "list", tied_list},
    {"t/tied.t", "map", tied_map},
    {"t/timeout.t", "silent", timeout_silent},
    {"t/transfer.t", "by_reference", transfer_by_reference},
    {"t/transfer.t", "result", transfer_result},
    {"t/transfer.t", "near_file", transfer_near_file},
    {"t/transfer.t", "far_file", transfer_far_file},
    {"t/transfer.t", "binary", transfer_binary},
    {"t/watchdog.t", "hung", watchdog_hung},
    {"xt/bridged-remote.t", "two_levels", bridged_remote_two_levels},
    {"xt/load_optional.t", "missing", load_optional_missing},
};

int main(int argc, char **argv) {
  far = getenv("REMORA_ACCEPTANCE");
  if (argc != 3 || !far) return 2;
  (void)snprintf(folder, sizeof folder, "%s/only_near", far);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (strcmp(rows[i].file, argv[1]) == 0 && strcmp(rows[i].check, argv[2]) == 0) {
      rows[i].run();
      puts("ok");
      return 0;
    }
  puts("there is no such check");
  return 1;
}
