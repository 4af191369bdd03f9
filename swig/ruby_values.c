#include "ruby_values.h"

#include "ruby_types.h"

#include <pthread.h>
#include <ruby/encoding.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 128   /* docs/protocol.md section 9 */
#define VIEW_BYTES 4096 /* from here on bytes are not copied on their way out */
#define KEPT_CLASSES 1000

VALUE ruby_package;

static ID id_make_error, id_describe;

/* -------------------------------------------------------------------------------------------------- references held by C */

struct held {
  struct held *next, *previous; /* in held_all; under the interpreter's lock */
  struct held *next_released;
  VALUE object;
};

static struct held held_all = {.next = &held_all, .previous = &held_all};
_Atomic(struct held *) ruby_released;

/* What C holds does not move either: its address, or that of its bytes, is known to the library. */
static void held_mark(void *unused) {
  (void)unused;
  for (struct held *h = held_all.next; h != &held_all; h = h->next) rb_gc_mark(h->object);
}

static const rb_data_type_t held_type = {.wrap_struct_name = "remora held", .function = {.dmark = held_mark}};

void *ruby_held_new(VALUE object) {
  struct held *h = malloc(sizeof *h);
  if (!h) rb_memerror();
  *h = (struct held){.next = held_all.next, .previous = &held_all, .object = object};
  h->next->previous = held_all.next = h;
  return h;
}

VALUE ruby_held_object(const void *owner) { return ((const struct held *)owner)->object; }

/* Any thread, no interpreter's lock: only remembers. */
void ruby_held_release(void *owner) {
  struct held *h = owner;
  h->next_released = atomic_load_explicit(&ruby_released, memory_order_relaxed);
  while (!atomic_compare_exchange_weak_explicit(&ruby_released, &h->next_released, h, memory_order_release,
                                                memory_order_relaxed)) {
  }
}

void ruby_tidy_now(void) {
  struct held *h = atomic_exchange_explicit(&ruby_released, NULL, memory_order_acquire);
  while (h) {
    struct held *next = h->next_released;
    h->next->previous = h->previous;
    h->previous->next = h->next;
    free(h);
    h = next;
  }
}

/* ---------------------------------------------------------------------------------------------------------------- errors */

static VALUE text_or_nil(const char *text) { return text ? rb_utf8_str_new_cstr(text) : Qnil; }

static VALUE exception_body(VALUE argument) {
  remora_error *err = (remora_error *)argument;
  VALUE arguments[] = {INT2NUM(remora_error_code(err)), text_or_nil(remora_error_message(err)),
                       text_or_nil(remora_error_stage(err)), text_or_nil(remora_error_traceback(err)),
                       ruby_from_value(remora_error_details(err))};
  return rb_funcallv(ruby_package, id_make_error, 5, arguments);
}

VALUE ruby_exception(remora_error *err) {
  int state;
  VALUE exception = rb_protect(exception_body, (VALUE)err, &state);
  remora_error_free(err);
  if (state) rb_jump_tag(state);
  return exception;
}

void ruby_raise(remora_error *err) {
  if (!err) rb_memerror();
  rb_exc_raise(ruby_exception(err));
}

void ruby_failure_raise(ruby_failure *failure) {
  if (failure->state) rb_jump_tag(failure->state);
  ruby_raise(failure->error);
}

__attribute__((format(printf, 2, 3))) static remora_value *fail(ruby_failure *failure, const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  failure->error = remora_error_new(REMORA_E_VALUE, text);
  return NULL;
}

__attribute__((format(printf, 1, 2), noreturn)) static void refuse(const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  ruby_raise(remora_error_new(REMORA_E_VALUE, text));
}

/* ------------------------------------------------------------------------------------------------------- objects of ours */

/* What the far sides have of ours, each with how many objects of the library stand for it: keys by identity, which the collector neither
 * frees nor moves. */
static VALUE lent;

/* Never runs: our events are pulled. It also marks the classes that are this interpreter's. */
static remora_value *class_call(void *userdata, const char *method, const remora_value *args, remora_error **err) {
  (void)userdata, (void)method, (void)args;
  *err = remora_error_new(REMORA_E_INVALID, "an object of Ruby is called by its own queue");
  return NULL;
}

static VALUE classes_by_class, classes_by_text; /* -> address of a remora_class */

/* One remora_class for each name and traits, for ever: C may look at it as long as an object lives. */
static VALUE class_new(VALUE object) {
  VALUE methods = CLASS_OF(object), cls = rb_obj_class(object);
  VALUE text = rb_funcall(ruby_package, id_describe, 2, cls, methods); /* "name\ntraits" */
  VALUE address = rb_hash_lookup(classes_by_text, text);
  if (NIL_P(address)) {
    const char *all = StringValueCStr(text), *newline = strchr(all, '\n');
    size_t length = newline ? (size_t)(newline - all) : strlen(all);
    remora_class *made = calloc(1, sizeof *made);
    char *name = strndup(all, length), *traits = strdup(newline ? newline + 1 : "");
    if (!made || !name || !traits) rb_memerror();
    *made = (remora_class){.size = sizeof *made, .name = name, .traits = traits, .call = class_call};
    address = ULL2NUM((uintptr_t)made);
    rb_hash_aset(classes_by_text, text, address);
  }
  /* Classes are kept alive by this table, so it is not allowed to grow with a program that makes classes all day. */
  if (methods == cls) {
    if (RHASH_SIZE(classes_by_class) >= KEPT_CLASSES) rb_hash_clear(classes_by_class);
    rb_hash_aset(classes_by_class, cls, address);
  }
  return address;
}

static const remora_class *class_of(VALUE object, ruby_failure *failure) {
  VALUE address = rb_hash_lookup(classes_by_class, CLASS_OF(object));
  if (NIL_P(address)) address = rb_protect(class_new, object, &failure->state);
  return failure->state ? NULL : (const remora_class *)(uintptr_t)NUM2ULL(address);
}

/* Inside remora_queue_reap, which is called with the interpreter's lock. */
static void object_destroy(void *userdata) {
  VALUE object = (VALUE)userdata;
  long count = NUM2LONG(rb_hash_lookup2(lent, object, INT2FIX(1)));
  if (count > 1)
    rb_hash_aset(lent, object, LONG2NUM(count - 1));
  else
    rb_hash_delete(lent, object);
}

static VALUE lend(VALUE object) {
  rb_hash_aset(lent, object, LONG2NUM(NUM2LONG(rb_hash_lookup2(lent, object, INT2FIX(0))) + 1));
  return Qnil;
}

static VALUE queue_made(VALUE unused) {
  (void)unused;
  return (VALUE)ruby_queue();
}

static VALUE ruby_by_ref;
static ID id_value;

static remora_value *object_value(VALUE object, ruby_failure *failure) {
  const remora_class *cls = class_of(object, failure);
  if (!cls) return NULL;
  remora_queue *queue = (remora_queue *)rb_protect(queue_made, Qnil, &failure->state);
  if (failure->state) return NULL;
  remora_object *object_handle = remora_export_find(queue, cls, (void *)object);
  if (!object_handle) {
    rb_protect(lend, object, &failure->state);
    if (failure->state) return NULL;
    object_handle = remora_export(queue, cls, (void *)object, object_destroy);
    if (!object_handle) {
      object_destroy((void *)object);
      return NULL;
    }
  }
  remora_value *value = remora_value_of_object(object_handle);
  remora_object_unref(object_handle);
  return value;
}

/* --------------------------------------------------------------------------------------------------------- Ruby to value */

/* The containers that are being converted: a cycle would otherwise be found only after 2^128 steps. */
typedef struct path {
  ruby_failure *failure;
  VALUE open[MAX_DEPTH];
  int depth;
} path;

static remora_value *to_value(VALUE object, path *where);

static int enter(path *where, VALUE container) {
  for (int i = 0; i < where->depth; i++)
    if (where->open[i] == container) {
      fail(where->failure, "%s that contains itself cannot cross",
           RB_TYPE_P(container, T_ARRAY) ? "an Array" : "a Hash");
      return -1;
    }
  if (where->depth == MAX_DEPTH) {
    fail(where->failure, "values nested deeper than %d cannot cross", MAX_DEPTH);
    return -1;
  }
  where->open[where->depth++] = container;
  return 0;
}

static VALUE digits(VALUE number) { return rb_big2str(number, 10); }

static remora_value *big_value(VALUE number, ruby_failure *failure) {
  VALUE text = rb_protect(digits, number, &failure->state);
  if (failure->state) return NULL;
  remora_value *value = remora_bigint(RSTRING_PTR(text)); /* one that fits in 64 bits becomes REMORA_INT */
  RB_GC_GUARD(text);
  return value;
}

static VALUE frozen_and_held(VALUE string) { return (VALUE)ruby_held_new(rb_str_new_frozen(string)); }

static remora_value *bytes_value(VALUE string, ruby_failure *failure) {
  size_t length = (size_t)RSTRING_LEN(string);
  if (length < VIEW_BYTES) return remora_bytes(RSTRING_PTR(string), length);
  void *held =
      (void *)rb_protect(frozen_and_held, string, &failure->state); /* shares the memory; copied when written to */
  if (failure->state) return NULL;
  VALUE frozen = ruby_held_object(held);
  remora_value *value = remora_bytes_view(RSTRING_PTR(frozen), length, ruby_held_release, held);
  if (!value) ruby_held_release(held);
  return value;
}

static VALUE to_utf8(VALUE string) { return rb_str_encode(string, rb_enc_from_encoding(rb_utf8_encoding()), 0, Qnil); }

static remora_value *text_value(VALUE string, ruby_failure *failure) {
  int index = rb_enc_get_index(string);
  if (index == rb_ascii8bit_encindex()) return bytes_value(string, failure);
  if (index != rb_utf8_encindex() && index != rb_usascii_encindex()) {
    string = rb_protect(to_utf8, string, &failure->state);
    if (failure->state) return NULL;
  }
  remora_value *value = remora_text(RSTRING_PTR(string), (size_t)RSTRING_LEN(string));
  if (!value)
    fail(failure, "text that is not valid %s cannot cross; bytes can, as a String in the encoding ASCII-8BIT",
         rb_enc_name(rb_enc_from_index(index)));
  RB_GC_GUARD(string);
  return value;
}

static remora_value *symbol_value(VALUE symbol, ruby_failure *failure) {
  return text_value(rb_sym2str(symbol), failure);
}

/* Exporting an item may run code that changes the array, so nothing borrowed survives a step. */
static remora_value *array_value(VALUE array, path *where) {
  remora_value *list = remora_list();
  if (!list || enter(where, array) < 0) return remora_value_unref(list);
  for (long i = 0; i < RARRAY_LEN(array); i++) {
    remora_value *value = to_value(RARRAY_AREF(array, i), where);
    if (!value || remora_append(list, value) < 0) return remora_value_unref(list);
  }
  where->depth--;
  return list;
}

typedef struct filling {
  remora_value *map;
  path *where;
  int failed;
} filling;

static int put_pair(VALUE key, VALUE item, VALUE argument) {
  filling *f = (filling *)argument;
  remora_value *key_value = to_value(key, f->where);
  remora_value *value = key_value ? to_value(item, f->where) : NULL;
  if (!value) {
    remora_value_unref(key_value);
    f->failed = 1;
  } else if (remora_put(f->map, key_value, value) < 0) {
    f->failed = 1;
  }
  return f->failed ? ST_STOP : ST_CONTINUE;
}

static remora_value *hash_value(VALUE hash, path *where) {
  filling f = {.map = remora_map(), .where = where};
  if (!f.map || enter(where, hash) < 0) return remora_value_unref(f.map);
  rb_hash_foreach(hash, put_pair, (VALUE)&f);
  where->depth--;
  return f.failed ? remora_value_unref(f.map) : f.map;
}

/* Exact classes only: a subclass may mean something that its contents do not tell. */
static remora_value *to_value(VALUE object, path *where) {
  if (FIXNUM_P(object)) return remora_int(FIX2LONG(object));
  if (NIL_P(object)) return remora_null();
  if (object == Qtrue || object == Qfalse) return remora_bool(object == Qtrue);
  if (RB_FLOAT_TYPE_P(object)) return remora_float(RFLOAT_VALUE(object));
  if (SYMBOL_P(object)) return symbol_value(object, where->failure);
  switch (RB_BUILTIN_TYPE(object)) {
  case T_STRING:
    if (rb_obj_class(object) == rb_cString) return text_value(object, where->failure);
    break;
  case T_ARRAY:
    if (rb_obj_class(object) == rb_cArray) return array_value(object, where);
    break;
  case T_HASH:
    if (rb_obj_class(object) == rb_cHash) return hash_value(object, where);
    break;
  case T_BIGNUM:
    return big_value(object, where->failure);
  case T_DATA: {
    remora_proxy *proxy = ruby_proxy_peek(object);
    if (proxy) return remora_value_of_proxy(proxy);
    break;
  }
  case T_OBJECT:
    if (rb_obj_class(object) == ruby_by_ref) return object_value(rb_ivar_get(object, id_value), where->failure);
    break;
  default:
    break;
  }
  return object_value(object, where->failure);
}

remora_value *ruby_reference_try(VALUE object, ruby_failure *failure) { return object_value(object, failure); }

remora_value *ruby_value_try(VALUE object, ruby_failure *failure) {
  path where;
  where.failure = failure;
  where.depth = 0;
  return to_value(object, &where);
}

remora_value *ruby_value_new(VALUE object) {
  ruby_failure failure = {0};
  remora_value *value = ruby_value_try(object, &failure);
  if (!value) ruby_failure_raise(&failure);
  return value;
}

static int put_keyword(VALUE key, VALUE item, VALUE argument) {
  filling *f = (filling *)argument;
  if (!SYMBOL_P(key) && !(RB_TYPE_P(key, T_STRING) && rb_enc_get_index(key) != rb_ascii8bit_encindex())) {
    fail(f->where->failure, "a keyword argument has a name, which is a Symbol");
    f->failed = 1;
    return ST_STOP;
  }
  return put_pair(key, item, argument);
}

remora_value *ruby_arguments_try(int argc, const VALUE *argv, int keywords, VALUE block, int far_ruby,
                                 ruby_failure *failure) {
  if (argc == 0 && NIL_P(block)) return NULL;
  path where;
  where.failure = failure;
  where.depth = 0;
  remora_value *list = remora_list();
  if (!list) return NULL;
  int named = keywords && argc > 0 && RHASH_SIZE(argv[argc - 1]) > 0, count = keywords && argc > 0 ? argc - 1 : argc;
  for (int i = 0; i < count; i++) {
    remora_value *value = to_value(argv[i], &where);
    if (!value || remora_append(list, value) < 0) return remora_value_unref(list);
  }
  remora_value *block_value = NULL;
  if (!NIL_P(block) && !(block_value = to_value(block, &where))) return remora_value_unref(list);
  if (block_value && !far_ruby) {
    if (remora_append(list, block_value) < 0) return remora_value_unref(list);
    block_value = NULL;
  }
  if (!named && !block_value) return list;

  filling f = {.map = remora_map(), .where = &where};
  if (f.map && named) rb_hash_foreach(argv[argc - 1], put_keyword, (VALUE)&f);
  if (!f.map || f.failed) {
    remora_value_unref(block_value);
    remora_value_unref(f.map);
    return remora_value_unref(list);
  }
  if (block_value && remora_set(f.map, "&", block_value) < 0) f.failed = 1;
  if (f.failed) {
    remora_value_unref(f.map);
    return remora_value_unref(list);
  }
  return remora_set_keywords(list, f.map) < 0 ? remora_value_unref(list) : list;
}

/* --------------------------------------------------------------------------------------------------------- value to Ruby */

static VALUE text_of(const remora_value *value) {
  size_t length;
  const char *text = remora_as_text(value, &length);
  return rb_utf8_str_new(text, (long)length);
}

/* Keys of maps come again and again: one String for all that are equal, which the Hash need not copy. */
static VALUE key_of(const remora_value *value) {
  if (remora_value_kind(value) != REMORA_TEXT) return ruby_from_value(value);
#ifdef HAVE_RB_ENC_INTERNED_STR
  size_t length;
  const char *text = remora_as_text(value, &length);
  return rb_enc_interned_str(text, (long)length, rb_utf8_encoding());
#else
  return text_of(value);
#endif
}

static VALUE from_map(const remora_value *map) {
  VALUE hash = rb_hash_new();
  size_t count = remora_length(map);
  for (size_t i = 0; i < count; i++) {
    VALUE key = key_of(remora_key_at(map, i));
    rb_hash_aset(hash, key, ruby_from_value(remora_at(map, i)));
  }
  if (RHASH_SIZE(hash) != count) refuse("a map has keys that Ruby takes for equal"); /* text and bytes, for instance */
  return hash;
}

static VALUE from_list(const remora_value *list) {
  size_t length = remora_length(list);
  VALUE array = rb_ary_new_capa((long)length);
  for (size_t i = 0; i < length; i++) rb_ary_push(array, ruby_from_value(remora_at(list, i)));
  return array;
}

static VALUE from_object(remora_object *object) {
  if (remora_object_class(object)->call != class_call)
    refuse("an object of another language in this process has no place in Ruby");
  return (VALUE)remora_object_userdata(object);
}

VALUE ruby_from_value(const remora_value *value) {
  if (!value) return Qnil;
  size_t length;
  const char *text;
  switch (remora_value_kind(value)) {
  case REMORA_NULL:
    return Qnil;
  case REMORA_BOOL:
    return remora_as_bool(value) ? Qtrue : Qfalse;
  case REMORA_INT:
    return LL2NUM(remora_as_int(value));
  case REMORA_FLOAT:
    return DBL2NUM(remora_as_float(value));
  case REMORA_BIGINT:
    return rb_cstr2inum(remora_as_text(value, NULL), 10);
  case REMORA_TEXT:
    return text_of(value);
  case REMORA_BYTES:
    text = remora_as_text(value, &length);
    return rb_str_new(text, (long)length);
  case REMORA_LIST:
  case REMORA_TUPLE:
    return from_list(value);
  case REMORA_MAP:
    return from_map(value);
  case REMORA_PROXY:
    return ruby_proxy_new(remora_as_proxy(value));
  case REMORA_OBJECT:
    return from_object(remora_as_object(value));
  }
  refuse("a value of an unknown kind");
}

static VALUE from_value_body(VALUE value) { return ruby_from_value((const remora_value *)value); }

VALUE ruby_take_value(remora_value *value) {
  int state;
  VALUE made = rb_protect(from_value_body, (VALUE)value, &state);
  remora_value_unref(value);
  if (state) rb_jump_tag(state);
  return made;
}

/* ----------------------------------------------------------------------------------------------------------------- queue */

static remora_queue *the_queue;

/* The child of a fork: the parent's queue is leaked like all that hangs off its connections. */
static void forked(void) { the_queue = NULL; }

remora_queue *ruby_queue(void) {
  if (!the_queue && !(the_queue = remora_queue_new())) rb_memerror();
  return the_queue;
}

void ruby_values_init(VALUE package) {
  ruby_by_ref = rb_define_class_under(rb_define_module("Remora"), "ByRef", rb_cObject);
  rb_gc_register_mark_object(ruby_by_ref);
  id_value = rb_intern("@value");
  ruby_package = package;
  id_make_error = rb_intern("make_error");
  id_describe = rb_intern("describe");
  rb_gc_register_mark_object(TypedData_Wrap_Struct(rb_cObject, &held_type, &held_all));
  VALUE *tables[] = {&lent, &classes_by_class, &classes_by_text};
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
    rb_gc_register_address(tables[i]);
    *tables[i] = rb_hash_new();
    if (tables[i] != &classes_by_text) rb_funcall(*tables[i], rb_intern("compare_by_identity"), 0);
  }
  (void)pthread_atfork(NULL, NULL, forked);
}
