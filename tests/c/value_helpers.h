/* value_helpers.h: what the tests of values and codecs share. */
#ifndef REMORA_TEST_VALUE_HELPERS_H
#define REMORA_TEST_VALUE_HELPERS_H

#include "value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Stand-ins for proxies and objects, so that values are tested alone: each points to an int that counts references. */
remora_proxy *remora_proxy_ref(remora_proxy *proxy);
remora_proxy *remora_proxy_unref(remora_proxy *proxy);
remora_object *remora_object_ref(remora_object *object);
remora_object *remora_object_unref(remora_object *object);
__attribute__((weak)) remora_proxy *remora_proxy_ref(remora_proxy *proxy) {
  ++*(int *)(void *)proxy;
  return proxy;
}
__attribute__((weak)) remora_proxy *remora_proxy_unref(remora_proxy *proxy) {
  --*(int *)(void *)proxy;
  return NULL;
}
__attribute__((weak)) remora_object *remora_object_ref(remora_object *object) {
  ++*(int *)(void *)object;
  return object;
}
__attribute__((weak)) remora_object *remora_object_unref(remora_object *object) {
  --*(int *)(void *)object;
  return NULL;
}

static remora_value *pair(remora_value *key, remora_value *item) {
  remora_value *map = remora_map();
  assert_int_equal(remora_put(map, key, item), 0);
  return map;
}

static remora_value *list_of(remora_value *item) {
  remora_value *list = remora_list();
  assert_int_equal(remora_append(list, item), 0);
  return list;
}

#endif
