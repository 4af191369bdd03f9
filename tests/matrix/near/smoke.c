/* smoke_c FAR [SECONDS]: as smoke.py beside it. REMORA_SMOKE_FAR names the folders of the far fixtures, with colons between them. */
#include <remora.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static remora_conn *conn;
static remora_proxy *add, *echo, *apply;
static remora_queue *output;
static const char *far;
static int failed;
static char why[400]; /* of the check that runs */

static bool wrong(const char *text) {
  (void)snprintf(why, sizeof why, "%s", text);
  return false;
}

static bool wrong_error(remora_error *err) {
  (void)snprintf(why, sizeof why, "%s: %s", remora_error_type(err), remora_error_message(err));
  remora_error_free(err);
  return false;
}

static void tell(const char *name, bool ok) {
  if (ok)
    printf("ok %s\n", name);
  else
    printf("failed %s: %s\n", name, *why ? why : "not what was expected");
  failed += !ok;
  *why = 0;
  fflush(stdout);
}

/* ------------------------------------------------------------------------------------------------------------- calling */

static remora_proxy *can(const char *name) {
  char full[100];
  remora_error *err = NULL;
  (void)snprintf(full, sizeof full, "smoke:%s", name);
  remora_proxy *p = remora_can_on(conn, full, &err);
  if (err) (void)wrong_error(err);
  return p;
}

/* The result, or NULL and the reason in `why`. Steals args. */
static remora_value *call(remora_proxy *p, const char *method, remora_value *args) {
  remora_error *err = NULL;
  remora_value *v = p ? remora_call(p, method, args, &err) : NULL;
  remora_value_unref(args);
  if (err) (void)wrong_error(err);
  return v;
}

static bool gives(remora_value *v, int64_t wanted) {
  bool same = v && remora_value_kind(v) == REMORA_INT && remora_as_int(v) == wanted;
  if (v && !same) (void)wrong("another result");
  remora_value_unref(v);
  return same;
}

static bool says(remora_value *v, const char *wanted) {
  const char *text = v ? remora_as_text(v, NULL) : NULL;
  bool same = text && strcmp(text, wanted) == 0;
  remora_value_unref(v);
  return same;
}

static remora_proxy *account(const char *owner, int balance) {
  remora_error *err = NULL;
  remora_value *args = remora_pack(&err, "s i", owner, balance);
  remora_proxy *p = remora_new_on(conn, "smoke:Account", args, &err);
  remora_value_unref(args);
  if (err) (void)wrong_error(err);
  return p;
}

/* ----------------------------------------------------------------------------------------------------- objects of ours */

typedef remora_value *(*callback)(const remora_value *args, remora_error **err);

static remora_value *callback_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  (void)method;
  return (*(callback *)userdata)(args, err);
}
static const remora_class callback_class = {sizeof(remora_class), "smoke.callback", "call", callback_call};

/* *new* value that refers to the function, which has to be static. */
static remora_value *lent(callback *f) {
  remora_object *object = remora_export(NULL, &callback_class, f, NULL);
  remora_value *v = remora_value_of_object(object);
  remora_object_unref(object);
  return v;
}

static remora_value *twice_and_one(const remora_value *args, remora_error **err) {
  int64_t n = 0;
  return remora_unpack(args, err, "I", &n) == 0 ? remora_int(2 * n + 1) : NULL;
}
static remora_value *square(const remora_value *args, remora_error **err) {
  int64_t n = 0;
  return remora_unpack(args, err, "I", &n) == 0 ? remora_int(n * n) : NULL;
}
static remora_value *broken(const remora_value *args, remora_error **err) {
  char text[40];
  (void)snprintf(text, sizeof text, "not me %d", (int)remora_as_int(remora_at(args, 0)));
  *err = remora_error_new(REMORA_E_REMOTE, text);
  return NULL;
}
static remora_value *down(const remora_value *args, remora_error **err);
static callback callbacks[] = {twice_and_one, square, broken, down};

static remora_value *down(const remora_value *args, remora_error **err) {
  int64_t n = 0;
  if (remora_unpack(args, err, "I", &n) != 0) return NULL;
  if (n == 0) return remora_int(0);
  remora_value *inner = call(apply, "", remora_pack(NULL, "V I", lent(&callbacks[3]), n - 1));
  remora_value *sum = inner ? call(add, "", remora_pack(NULL, "i V", 1, inner)) : NULL;
  if (!sum) *err = remora_error_new(REMORA_E_REMOTE, why);
  return sum;
}

static remora_value *near_account(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  (void)userdata, (void)args;
  if (strcmp(method, "balance") == 0) return remora_int(77);
  *err = remora_error_new(REMORA_E_NOTFOUND, "no such method");
  return NULL;
}
static const remora_class near_account_class = {sizeof(remora_class), "smoke.NearAccount", "", near_account};

/* -------------------------------------------------------------------------------------------------------------- checks */

static bool check_function(void) { return gives(call(add, "", remora_pack(NULL, "i i", 2, 3)), 5); }

static bool check_object(void) {
  remora_proxy *a = account("anna", 100);
  bool ok = gives(call(a, "deposit", remora_pack(NULL, "i", 5)), 105) && gives(call(a, "balance", NULL), 105) &&
            says(call(a, "owner", NULL), "anna");
  remora_proxy_unref(a);
  return ok;
}

static bool check_missing(void) {
  remora_error *err = NULL;
  if (can("nothing") || remora_can_on(conn, "no_such_module_at_all:x", &err)) return wrong("something");
  if (err) return wrong_error(err);
  if (remora_new_on(conn, "smoke:Nothing", NULL, &err)) return wrong("something");
  if (remora_error_code(err) != REMORA_E_NOTFOUND) return wrong_error(err);
  remora_error_free(err);
  return true;
}

/* The call fails, by the far side, with that text. */
static bool fails(remora_proxy *p, const char *method, remora_value *args, const char *text) {
  remora_error *err = NULL;
  remora_value *v = remora_call(p, method, args, &err);
  remora_value_unref(args);
  if (v) return remora_value_unref(v), wrong("no error");
  if (remora_error_code(err) != REMORA_E_REMOTE || !strstr(remora_error_message(err), text)) return wrong_error(err);
  remora_error_free(err);
  return true;
}

static bool check_error(void) {
  remora_proxy *a = account("e", 0);
  bool ok = fails(a, "fail", remora_pack(NULL, "s", "so what"), "so what");
  remora_proxy_unref(a);
  return ok;
}

static bool check_callback(void) {
  return gives(call(apply, "", remora_pack(NULL, "V i", lent(&callbacks[0]), 20)), 41);
}

static bool check_callbacks(void) {
  remora_proxy *a = account("c", 0);
  remora_value *v = call(a, "each_call", remora_pack(NULL, "V i", lent(&callbacks[1]), 30));
  bool ok = remora_length(v) == 30;
  for (int64_t i = 1; ok && i <= 30; i++) ok = remora_as_int(remora_at(v, (size_t)i - 1)) == i * i;
  remora_value_unref(v);
  remora_proxy_unref(a);
  return ok;
}

static bool check_callback_error(void) {
  return fails(apply, "", remora_pack(NULL, "V i", lent(&callbacks[2]), 4), "not me 4");
}

static bool check_nested(void) { return gives(call(apply, "", remora_pack(NULL, "V i", lent(&callbacks[3]), 6)), 6); }

static bool check_home(void) {
  remora_proxy *a = account("h", 9), *balance_of = can("balance_of");
  remora_value *me = call(a, "me", NULL);
  bool ok = gives(call(balance_of, "", remora_pack(NULL, "p", a)), 9) && me && remora_as_proxy(me) == a;
  remora_value_unref(me);
  remora_proxy_unref(balance_of);
  remora_proxy_unref(a);
  return ok;
}

static bool check_made(void) {
  remora_proxy *make = can("make");
  remora_value *made = call(make, "", NULL);
  bool ok = made && says(call(remora_as_proxy(made), "owner", NULL), "made");
  remora_value_unref(made);
  remora_proxy_unref(make);
  return ok;
}

static bool check_near_object(void) {
  remora_object *o = remora_export(NULL, &near_account_class, NULL, NULL);
  remora_proxy *balance_of = can("balance_of");
  bool ok = gives(call(balance_of, "", remora_pack(NULL, "o", o)), 77);
  remora_proxy_unref(balance_of);
  remora_object_unref(o);
  return ok;
}

static bool check_futures(void) {
  remora_error *err = NULL;
  remora_proxy *a = account("f", 0);
  remora_value *one = remora_pack(NULL, "i", 1);
  remora_future *futures[50];
  bool ok = true;
  for (int i = 0; i < 50; i++) futures[i] = remora_start(a, "deposit", one, NULL);
  if (remora_await_all(futures, 50, 30000, &err) != 0) ok = wrong_error(err);
  for (int i = 0; i < 50; i++) {
    ok = ok && gives(remora_future_result(futures[i], NULL), i + 1);
    remora_future_unref(futures[i]);
  }
  remora_value_unref(one);
  remora_proxy_unref(a);
  return ok;
}

static bool check_future_error(void) {
  remora_error *err = NULL;
  remora_proxy *a = account("f", 0);
  remora_value *args = remora_pack(NULL, "s", "later");
  remora_future *f = remora_start(a, "fail", args, NULL);
  remora_value *v = remora_await(f, 30000, &err);
  bool ok = !v && remora_error_code(err) == REMORA_E_REMOTE && strstr(remora_error_message(err), "later");
  remora_error_free(err);
  remora_future_unref(f);
  remora_value_unref(args);
  remora_proxy_unref(a);
  return ok;
}

static bool check_cancel(void) {
  remora_value *args = remora_pack(NULL, "i i", 1, 2);
  remora_future *f = remora_start(add, "", args, NULL);
  (void)remora_cancel(f);
  bool ok = remora_future_state(f) != REMORA_PENDING;
  remora_future_unref(f);
  remora_value_unref(args);
  return ok && check_function();
}

static bool check_output(void) {
  char text[200] = "";
  size_t used = 0;
  remora_proxy *say = can("say");
  remora_value_unref(call(say, "", remora_pack(NULL, "s", "hello there")));
  remora_proxy_unref(say);
  for (remora_event *e; (e = remora_next_event(output, 0)) != NULL; remora_event_free(e)) {
    size_t length = 0;
    const char *data = remora_event_data(e, &length);
    if (data && used + length < sizeof text) memcpy(text + used, data, length), used += length;
  }
  while (used > 0 && (text[used - 1] == '\n' || text[used - 1] == '\r')) text[--used] = 0;
  return strcmp(text, "hello there") == 0 || wrong(text);
}

static remora_value *nest(int depth) {
  remora_value *v = remora_list();
  for (; depth > 1; depth--) v = remora_pack(NULL, "V", v);
  return v;
}

static bool check_deep(void) {
  remora_error *err = NULL;
  remora_value *args = remora_pack(NULL, "V", nest(201)), *v = remora_call(echo, "", args, &err);
  remora_value_unref(args);
  if (v || remora_error_code(err) != REMORA_E_VALUE) return wrong("it was sent");
  remora_error_free(err);
  return check_function();
}

/* Whether the value, which goes, is the one of the format. Steals both. */
static bool is_value(remora_value *v, remora_value *wanted) {
  bool same = v && remora_value_equal(v, wanted);
  if (v && !same) (void)wrong("another value");
  remora_value_unref(v);
  remora_value_unref(wanted);
  return same;
}

static bool check_lent(void) {
  remora_proxy *fill = can("fill");
  remora_value *numbers = remora_by_ref(remora_pack(NULL, "=[i i i]", 1, 2, 3));
  remora_value *table = remora_by_ref(remora_pack(NULL, "={s:i}", "a", 1));
  bool ok =
      is_value(call(fill, "", remora_pack(NULL, "v v", numbers, table)), remora_pack(NULL, "=[i i i]", 3, 1, 6)) &&
      is_value(remora_copy(table, NULL), remora_pack(NULL, "={s:i}", "k", 6));
  remora_value_unref(table);
  remora_value_unref(numbers);
  remora_proxy_unref(fill);
  return ok;
}

static remora_value *call_by_ref(remora_proxy *p) {
  remora_future *f = remora_start_with(p, "", NULL, -1, REMORA_BYREF, NULL);
  remora_value *v = f ? remora_await(f, 30000, NULL) : NULL;
  remora_future_unref(f);
  return v;
}

static bool check_wanted(void) {
  remora_proxy *shared = can("shared");
  remora_value *table = call_by_ref(shared), *again = call_by_ref(shared);
  remora_proxy *it = table ? remora_as_proxy(table) : NULL;
  bool ok = it ? remora_value_equal(table, again) : wrong("no reference");
  remora_value_unref(ok ? call(it, ":setitem", remora_pack(NULL, "s i", "n", 5)) : NULL);
  ok = ok && gives(call(it, ":item", remora_pack(NULL, "s", "n")), 5) && gives(call(it, ":len", NULL), 1) &&
       is_value(call(it, ":keys", NULL), remora_pack(NULL, "=[s]", "n")) &&
       is_value(remora_copy(table, NULL), remora_pack(NULL, "={s:i}", "n", 5));
  remora_value_unref(again);
  remora_value_unref(table);
  remora_proxy_unref(shared);
  return ok;
}

static bool check_given(void) {
  remora_proxy *given = can("lend");
  remora_value *numbers = call(given, "", NULL);
  bool ok = numbers && remora_as_proxy(numbers) && gives(call(remora_as_proxy(numbers), ":len", NULL), 3) &&
            is_value(remora_copy(numbers, NULL), remora_pack(NULL, "=[i i i]", 1, 2, 3));
  remora_value_unref(numbers);
  remora_proxy_unref(given);
  return ok;
}

static bool check_later(void) {
  remora_proxy *later = can("later");
  bool ok = gives(call(later, "", remora_pack(NULL, "V i", lent(&callbacks[0]), 20)), 41);
  remora_proxy_unref(later);
  return ok;
}

static bool check_size(void) {
  remora_proxy *size = can("size");
  bool ok = gives(call(size, "", remora_pack(NULL, "s", "h\xc3\xa9llo")), 5) &&
            gives(call(size, "", remora_pack(NULL, "y", "abc", (size_t)3)), 3) &&
            gives(call(size, "", remora_pack(NULL, "[i i]", 1, 2)), 2) &&
            gives(call(size, "", remora_pack(NULL, "{s:i}", "a", 1)), 1);
  remora_proxy_unref(size);
  return ok;
}

/* -------------------------------------------------------------------------------------------------------------- values */

static remora_value *read_raw(const char *kind, long times, const char *hex) {
  size_t length = strcmp(hex, "-") == 0 ? 0 : strlen(hex) / 2;
  char *raw = malloc(length * (size_t)times + 1);
  for (size_t i = 0; i < length; i++) {
    unsigned byte = 0;
    (void)sscanf(hex + 2 * i, "%2x", &byte);
    raw[i] = (char)byte;
  }
  for (long i = 1; i < times; i++) memcpy(raw + (size_t)i * length, raw, length);
  length *= (size_t)times;
  remora_value *v = strncmp(kind, "text", 4) == 0 ? remora_text(raw, length) : remora_bytes(raw, length);
  free(raw);
  return v;
}

/* The value of a form; `rest` is strtok_r's. */
static remora_value *read_form(char *words, char **rest) {
  const char *word = strtok_r(words, " \n", rest);
  if (strcmp(word, "null") == 0) return remora_null();
  if (strcmp(word, "true") == 0) return remora_bool(1);
  if (strcmp(word, "false") == 0) return remora_bool(0);
  const char *next = strtok_r(NULL, " \n", rest);
  if (strcmp(word, "int") == 0) return remora_bigint(next);
  if (strcmp(word, "float") == 0) return remora_float(strtod(next, NULL));
  if (strcmp(word, "text") == 0 || strcmp(word, "bytes") == 0) return read_raw(word, 1, next);
  long n = atol(next);
  if (strcmp(word, "textn") == 0 || strcmp(word, "bytesn") == 0) return read_raw(word, n, strtok_r(NULL, " \n", rest));
  if (strcmp(word, "nest") == 0) return nest((int)n);
  bool map = strcmp(word, "map") == 0;
  remora_value *v = map ? remora_map() : remora_list();
  for (long i = 0; i < n; i++) {
    remora_value *first = strcmp(word, "ints") == 0 ? remora_int(i) : read_form(NULL, rest);
    if (map)
      (void)remora_put(v, first, read_form(NULL, rest));
    else
      (void)remora_append(v, first);
  }
  return v;
}

static bool check_value(const remora_value *sent, const remora_value *wanted) {
  remora_value *back = call(echo, "", remora_pack(NULL, "v", sent));
  bool same = back && remora_value_equal(back, wanted);
  if (same && remora_value_kind(back) == REMORA_FLOAT)
    same = !signbit(remora_as_float(back)) == !signbit(remora_as_float(wanted)) || isnan(remora_as_float(back));
  if (back && !same) (void)wrong("it came back as another value");
  remora_value_unref(back);
  return same;
}

static bool check_refused(const remora_value *sent) {
  remora_value *back = call(echo, "", remora_pack(NULL, "v", sent));
  *why = 0;
  remora_value_unref(back);
  return back ? wrong("it was taken") : true;
}

/* What limits.txt says of the value: 0 nothing, 1 it is refused, 2 it comes back as the form in `as`. */
static int limit_of(const char *folder, const char *name, char *as, size_t size) {
  char path[1000], line[500], variable[64] = "REMORA_", side[10], language[64], value[100];
  (void)snprintf(path, sizeof path, "%s/limits.txt", folder);
  for (size_t i = 0; far[i] && i + 8 < sizeof variable; i++) variable[7 + i] = (char)(far[i] & ~0x20);
  const char *interpreter = getenv(variable), *slash = interpreter ? strrchr(interpreter, '/') : NULL;
  FILE *f = fopen(path, "r");
  int found = 0, used = 0;
  while (f && !found && fgets(line, sizeof line, f)) {
    if (*line == '#' || sscanf(line, "%9s %63s %99s%n", side, language, value, &used) != 3) continue;
    bool here = strcmp(side, "near") == 0 && strcmp(language, "c") == 0;
    bool there = strcmp(side, "far") == 0 && (strcmp(language, far) == 0 ||
                                              (interpreter && strcmp(language, slash ? slash + 1 : interpreter) == 0));
    if ((!here && !there) || strcmp(value, name) != 0) continue;
    const char *form = strstr(line + used, " as ");
    (void)snprintf(as, size, "%s", form ? form + 4 : "");
    found = form ? 2 : 1;
  }
  if (f) (void)fclose(f);
  return found;
}

static void check_values(const char *folder) {
  char path[1000], as[500], title[200], *line = NULL;
  size_t room = 0;
  (void)snprintf(path, sizeof path, "%s/values.txt", folder);
  FILE *f = fopen(path, "r");
  while (f && getline(&line, &room, f) > 0) {
    if (*line == '#') continue;
    char *rest = NULL, *form = strchr(line, ' ');
    *form = 0;
    remora_value *value = read_form(form + 1, &rest);
    int limit = limit_of(folder, line, as, sizeof as);
    remora_value *wanted = limit == 2 ? read_form(as, &rest) : remora_value_ref(value);
    (void)snprintf(title, sizeof title, "value %s", line);
    tell(title, limit == 1 ? check_refused(value) : check_value(value, wanted));
    remora_value_unref(wanted);
    remora_value_unref(value);
  }
  free(line);
  if (f) (void)fclose(f);
}

/* ---------------------------------------------------------------------------------------------------------------- main */

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double now_us(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void round_trip(double seconds) {
  static double times[1000000];
  size_t n = 0;
  remora_value *args = remora_pack(NULL, "i i", 1, 2);
  for (double end = now_us() + seconds * 1e6, start = now_us(); start < end && n < 1000000; n++) {
    remora_value_unref(remora_call(add, "", args, NULL));
    double now = now_us();
    times[n] = now - start;
    start = now;
  }
  remora_value_unref(args);
  qsort(times, n, sizeof *times, by_size);
  printf("round trip %.1f\n", times[n / 2]);
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    bool (*run)(void);
  } checks[] = {{"function", check_function},
                {"object", check_object},
                {"missing", check_missing},
                {"error", check_error},
                {"callback", check_callback},
                {"callbacks", check_callbacks},
                {"callback error", check_callback_error},
                {"nested callbacks", check_nested},
                {"object comes home", check_home},
                {"object from a function", check_made},
                {"object of this side", check_near_object},
                {"future", check_futures},
                {"future error", check_future_error},
                {"cancel", check_cancel},
                {"output", check_output},
                {"too deep", check_deep},
                {"container lent", check_lent},
                {"result by reference", check_wanted},
                {"container from a function", check_given},
                {"answer that comes later", check_later},
                {"size", check_size}};
  const char *folders = getenv("REMORA_SMOKE_FAR");
  if (argc < 2 || !folders) return fprintf(stderr, "usage: REMORA_SMOKE_FAR=FOLDER:... smoke_c FAR [SECONDS]\n"), 2;
  far = argv[1];
  remora_error *err = NULL;
  remora_options *opts = remora_options_new();
  remora_value *roots = remora_list();
  char *copy = strdup(folders), *rest = NULL;
  for (char *dir = strtok_r(copy, ":", &rest); dir; dir = strtok_r(NULL, ":", &rest))
    (void)remora_append(roots, remora_str(dir));
  free(copy);
  output = remora_queue_new();
  remora_options_set_queue(opts, output);
  if (remora_options_set(opts, "node", remora_str(far), &err) == 0 &&
      remora_options_set(opts, "roots", roots, &err) == 0)
    conn = remora_connect("-", opts, &err);
  remora_options_free(opts);
  if (!conn) return fprintf(stderr, "%s\n", remora_error_message(err)), 2;
  add = can("add");
  echo = can("echo");
  apply = can("apply");
  for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) tell(checks[i].name, checks[i].run());
  check_values(SMOKE_DIR);
  if (argc > 2) round_trip(atof(argv[2]));
  remora_proxy_unref(apply);
  remora_proxy_unref(echo);
  remora_proxy_unref(add);
  remora_conn_close(conn);
  (void)remora_conn_wait_closed(conn, 5000);
  remora_conn_unref(conn);
  remora_queue_unref(output);
  return failed != 0;
}
