/* command.c: calls of the far root for commands and files: docs/protocol.md sections 5.3 and 5.4. */
#include "hub.h"

#include <string.h>

static remora_value *command_ref(const remora_value *v) {
  return v ? remora_value_ref((remora_value *)(uintptr_t)v) : remora_null();
}

static bool command_known(const char *name, const char *const *known) {
  while (*known && strcmp(name, *known) != 0) known++;
  return *known != NULL;
}

/* Far sides take no notice of what they do not know: a slip of the pen would do nothing. */
static int command_options(const char *what, const remora_value *options, const char *const *known,
                           remora_error **err) {
  if (!options) return 0;
  if (remora_value_kind(options) != REMORA_MAP && remora_value_kind(options) != REMORA_NULL)
    return error_set(err, REMORA_E_INVALID, "the options of %s are a map", what);
  for (size_t i = 0; i < remora_length(options); i++) {
    const char *name = remora_as_text(remora_key_at(options, i), NULL);
    if (!name || !command_known(name, known))
      return error_set(err, REMORA_E_INVALID, "%s has no option \"%s\"", what, name ? name : "(no text)");
  }
  return 0;
}

remora_future *remora_run(remora_conn *c, const remora_value *argv, const remora_value *options, remora_error **err) {
  if (!argv || remora_value_kind(argv) != REMORA_LIST || remora_length(argv) == 0)
    return error_set(err, REMORA_E_INVALID, "a command is a list of text, its program first"), NULL;
  static const char *const known[] = {"input", "output", "cwd", "env", "timeout", NULL};
  if (command_options("a command", options, known, err) != 0) return NULL;
  remora_proxy *root = remora_conn_root(c, err);
  remora_value *args = root ? remora_pack(err, "V V", command_ref(argv), command_ref(options)) : NULL;
  remora_future *f = args ? remora_start(root, "run", args, err) : NULL;
  (void)remora_value_unref(args);
  (void)remora_proxy_unref(root);
  return f;
}

remora_proxy *remora_open(remora_conn *c, const char *path, const char *mode, const remora_value *options,
                          remora_error **err) {
  if (!path || !*path) return error_set(err, REMORA_E_INVALID, "the path of the far file is missing"), NULL;
  static const char *const known[] = {"atomic", "mode", "times", "sync", NULL};
  if (command_options("a far file", options, known, err) != 0) return NULL;
  remora_proxy *root = remora_conn_root(c, err);
  remora_value *name = remora_str(path);
  if (!name) name = remora_bytes(path, strlen(path)); /* not UTF-8 */
  remora_value *args = remora_pack(err, "V s V", name, mode ? mode : "r", command_ref(options));
  remora_value *v = root && args ? remora_call(root, "open", args, err) : NULL;
  remora_proxy *p = v ? remora_proxy_ref(remora_as_proxy(v)) : NULL;
  if (v && !p) (void)error_set(err, REMORA_E_PROTOCOL, "the far side answered open with something that is no file");
  (void)remora_value_unref(v);
  (void)remora_value_unref(args);
  (void)remora_proxy_unref(root);
  return p;
}
