/* The far fixture in C, for the node "c": as smoke.py and its like. */
#include <remora_node.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct account {
  char *owner;
  int64_t balance;
} account;

static const remora_module_class classes[];

static void *account_construct(const remora_value *args, remora_error **err) {
  const char *owner = remora_as_text(remora_at(args, 0), NULL);
  account *a = owner ? malloc(sizeof *a) : NULL;
  if (!a) return *err = remora_error_new(REMORA_E_INVALID, "Account(owner, balance)"), NULL;
  a->owner = strdup(owner);
  a->balance = remora_as_int(remora_at(args, 1));
  return a;
}

static void account_destroy(void *userdata) {
  account *a = userdata;
  free(a->owner);
  free(a);
}

static remora_value *list_of(remora_value *item) {
  remora_value *list = remora_list();
  (void)remora_append(list, item);
  return list;
}

/* A list of f(1) .. f(n). */
static remora_value *each_call(const remora_value *f, int64_t n, remora_error **err) {
  remora_value *results = remora_list();
  for (int64_t i = 1; i <= n; i++) {
    remora_value *args = list_of(remora_int(i)), *result = remora_value_call(f, "", args, err);
    remora_value_unref(args);
    if (!result) return remora_value_unref(results);
    (void)remora_append(results, result);
  }
  return results;
}

static remora_value *account_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  account *a = userdata;
  if (strcmp(method, "deposit") == 0) return remora_int(a->balance += remora_as_int(remora_at(args, 0)));
  if (strcmp(method, "balance") == 0) return remora_int(a->balance);
  if (strcmp(method, "owner") == 0) return remora_str(a->owner);
  if (strcmp(method, "each_call") == 0) return each_call(remora_at(args, 0), remora_as_int(remora_at(args, 1)), err);
  if (strcmp(method, "me") == 0) return remora_module_self(&classes[0], a);
  if (strcmp(method, "fail") == 0)
    *err = remora_error_new(REMORA_E_REMOTE, remora_as_text(remora_at(args, 0), NULL));
  else
    *err = remora_error_new(REMORA_E_NOTFOUND, "an account has no such method");
  return NULL;
}

static remora_value *echo(const remora_value *args, remora_error **err) {
  (void)err;
  return remora_value_ref((remora_value *)(uintptr_t)remora_at(args, 0));
}

static remora_value *add(const remora_value *args, remora_error **err) {
  (void)err;
  const remora_value *a = remora_at(args, 0), *b = remora_at(args, 1);
  if (remora_value_kind(a) == REMORA_INT && remora_value_kind(b) == REMORA_INT)
    return remora_int(remora_as_int(a) + remora_as_int(b));
  return remora_float(remora_as_float(a) + remora_as_float(b));
}

static remora_value *say(const remora_value *args, remora_error **err) {
  (void)err;
  puts(remora_as_text(remora_at(args, 0), NULL));
  return NULL;
}

static remora_value *apply(const remora_value *args, remora_error **err) {
  remora_value *inner = list_of(remora_value_ref((remora_value *)(uintptr_t)remora_at(args, 1)));
  remora_value *result = remora_value_call(remora_at(args, 0), "", inner, err);
  remora_value_unref(inner);
  return result;
}

static remora_value *make(const remora_value *args, remora_error **err) {
  (void)args;
  remora_value *mine = list_of(remora_str("made"));
  (void)remora_append(mine, remora_int(1));
  remora_value *made = remora_module_new(&classes[0], mine, err);
  remora_value_unref(mine);
  return made;
}

static remora_value *balance_of(const remora_value *args, remora_error **err) {
  return remora_value_call(remora_at(args, 0), "balance", NULL, err);
}

static remora_value *kind(const remora_value *args, remora_error **err) {
  static const char *const words[] = {"null",  "bool", "int",   "bigint", "float", "text",
                                      "bytes", "list", "tuple", "map",    "proxy", "object"};
  (void)err;
  return remora_str(words[remora_value_kind(remora_at(args, 0))]);
}

static remora_value *size(const remora_value *args, remora_error **err) {
  (void)err;
  const remora_value *v = remora_at(args, 0);
  size_t length = 0;
  const char *text = remora_as_text(v, &length);
  if (!text) return remora_int((int64_t)remora_length(v));
  int64_t n = 0; /* of text the characters */
  for (size_t i = 0; i < length; i++)
    n += remora_value_kind(v) != REMORA_TEXT || ((unsigned char)text[i] & 0xc0) != 0x80;
  return remora_int(n);
}

static remora_value *pair(const char *key, remora_value *item) {
  remora_value *args = list_of(remora_str(key));
  if (item) (void)remora_append(args, item);
  return args;
}

/* Steals args. */
static remora_value *ask(const remora_value *it, const char *method, remora_value *args, remora_error **err) {
  remora_value *result = *err ? NULL : remora_value_call(it, method, args, err);
  remora_value_unref(args);
  return result;
}

static remora_value *fill(const remora_value *args, remora_error **err) {
  const remora_value *numbers = remora_at(args, 0), *table = remora_at(args, 1);
  int64_t sum = 0;
  remora_value *all = remora_copy(numbers, err);
  for (size_t i = 0; i < remora_length(all); i++) sum += remora_as_int(remora_at(all, i));
  remora_value_unref(all);
  remora_value_unref(ask(table, ":setitem", pair("k", remora_int(sum)), err));
  remora_value_unref(ask(table, ":delitem", pair("a", NULL), err));
  remora_value *answers[] = {ask(numbers, ":len", NULL, err), ask(table, ":len", NULL, err),
                             ask(table, ":item", pair("k", NULL), err)};
  remora_value *made = remora_list();
  for (size_t i = 0; i < 3; i++) (void)remora_append(made, answers[i] ? answers[i] : remora_null());
  return *err ? remora_value_unref(made) : made;
}

static remora_value *shared(const remora_value *args, remora_error **err) {
  static remora_value *table;
  (void)args, (void)err;
  if (!table) {
    remora_value *map = remora_map();
    (void)remora_set(map, "n", remora_int(1));
    table = remora_by_ref(map);
  }
  return remora_value_ref(table);
}

static remora_value *lend(const remora_value *args, remora_error **err) {
  (void)args;
  return remora_by_ref(remora_pack(err, "=[i i i]", 1, 2, 3));
}

static remora_value *later(const remora_value *args, remora_error **err) {
  remora_value *inner = list_of(remora_value_ref((remora_value *)(uintptr_t)remora_at(args, 1)));
  remora_future *f = remora_start(remora_as_proxy(remora_at(args, 0)), "", inner, err);
  remora_value_unref(inner);
  if (f) remora_event_reply_with(remora_event_defer(), f);
  remora_future_unref(f);
  return NULL;
}

static const remora_module_function functions[] = {
    {"echo", echo}, {"add", add},   {"say", say},   {"apply", apply},   {"make", make}, {"balance_of", balance_of},
    {"kind", kind}, {"size", size}, {"fill", fill}, {"shared", shared}, {"lend", lend}, {"later", later},
    {NULL, NULL}};
static const remora_module_class classes[] = {
    {"Account", {sizeof(remora_class), "smoke.Account", "", account_call}, account_construct, account_destroy}, {0}};
static const remora_module module = {sizeof module, functions, classes};

REMORA_MODULE const remora_module *remora_module_v1(void) { return &module; }
