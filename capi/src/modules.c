/* modules.c: what the far side may import from here, answered without any interpreter.
 *
 * Served are: the library's own parts, modules registered with remora_module_add, and from the connection's roots the top-level packages that were named (by new_on,
 * can_on, the option modules) or that a served module imports. The standard library is in no root. */
#include "hub.h"

#include "embed.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MODULES_MAX_FILE (64u * 1024 * 1024)

struct modules {
  pthread_mutex_t lock;
  remora_value *roots; /* a list of text, or NULL */
  bool all;
  char **allowed; /* top-level names */
  size_t nallowed, room;
};

/* What is registered for all connections. */
typedef struct registered {
  struct registered *next;
  char *language, *name, *path, *source;
  size_t length;
  int is_package;
} registered;
static registered *registry;
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;

int modules_node(const char *language, const unsigned char **program, size_t *size, const char **stub) {
  for (const struct remora_embedded_node *n = remora_embedded_nodes; n->language; n++)
    if (strcmp(language, n->language) == 0) {
      *program = n->program;
      *size = n->size;
      *stub = n->stub;
      return 0;
    }
  return -1;
}

int remora_module_add(const char *language, const char *name, int is_package, const char *path, const char *source,
                      size_t length, remora_error **err) {
  if (!language || !name || !*name || !source)
    return error_set(err, REMORA_E_INVALID, "a module needs a language, a name and a source");
  registered *r = calloc(1, sizeof *r);
  if (!r) return error_set(err, REMORA_E_NOMEM, NULL);
  *r = (registered){.language = strdup(language),
                    .name = strdup(name),
                    .path = strdup(path ? path : name),
                    .source = malloc(length + 1),
                    .length = length,
                    .is_package = is_package};
  if (!r->language || !r->name || !r->path || !r->source) {
    free(r->language), free(r->name), free(r->path), free(r->source), free(r);
    return error_set(err, REMORA_E_NOMEM, NULL);
  }
  memcpy(r->source, source, length);
  r->source[length] = 0;
  pthread_mutex_lock(&registry_lock);
  r->next = registry; /* an older one of that name stays behind it: somebody may be reading it */
  registry = r;
  pthread_mutex_unlock(&registry_lock);
  return 0;
}

/* The child of a fork: another thread may have held the lock. */
void modules_forked(void) {
  static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
  registry_lock = fresh;
}

/* --------------------------------------------------------------------------------------------------------------- policy */

struct modules *modules_new(const remora_options *o) {
  struct modules *m = calloc(1, sizeof *m);
  if (!m) return NULL;
  (void)pthread_mutex_init(&m->lock, NULL);
  m->roots = o->roots ? remora_value_ref(o->roots) : NULL;
  if (o->modules && remora_value_kind(o->modules) == REMORA_TEXT)
    m->all = true;
  else if (o->modules)
    for (size_t i = 0; i < remora_length(o->modules); i++)
      modules_allow(m, remora_as_text(remora_at(o->modules, i), NULL));
  return m;
}

void modules_free(struct modules *m) {
  if (!m) return;
  for (size_t i = 0; i < m->nallowed; i++) free(m->allowed[i]);
  free(m->allowed);
  (void)remora_value_unref(m->roots);
  (void)pthread_mutex_destroy(&m->lock);
  free(m);
}

static bool modules_allowed_locked(const struct modules *m, const char *name, size_t length) {
  if (m->all) return true;
  for (size_t i = 0; i < m->nallowed; i++)
    if (strlen(m->allowed[i]) == length && memcmp(m->allowed[i], name, length) == 0) return true;
  return false;
}

static bool modules_allowed(struct modules *m, const char *name) {
  pthread_mutex_lock(&m->lock);
  bool yes = modules_allowed_locked(m, name, strcspn(name, ".:"));
  pthread_mutex_unlock(&m->lock);
  return yes;
}

static void modules_allow_top(struct modules *m, const char *name, size_t length) {
  if (length == 0) return;
  pthread_mutex_lock(&m->lock);
  if (!modules_allowed_locked(m, name, length)) {
    if (m->nallowed == m->room) {
      size_t room = m->room ? m->room * 2 : 16;
      char **bigger = realloc(m->allowed, room * sizeof *bigger);
      if (bigger) m->allowed = bigger, m->room = room;
    }
    char *copy = m->nallowed < m->room ? strndup(name, length) : NULL;
    if (copy) m->allowed[m->nallowed++] = copy;
  }
  pthread_mutex_unlock(&m->lock);
}

void modules_allow(struct modules *m, const char *name) {
  if (name) modules_allow_top(m, name, strcspn(name, ".:"));
}

/* A served module opens what it imports: the import statements at the beginning of its lines. */
static void modules_allow_imports(struct modules *m, const char *source, size_t length) {
  const char *end = source + length;
  for (const char *line = source; line < end;) {
    const char *next = memchr(line, '\n', (size_t)(end - line));
    if (!next) next = end;
    const char *p = line;
    while (p < next && (*p == ' ' || *p == '\t')) p++;
    bool from = next - p > 5 && memcmp(p, "from ", 5) == 0, import = next - p > 7 && memcmp(p, "import ", 7) == 0;
    if (from || import) p += from ? 5 : 7;
    while ((from || import) && p < next) {
      while (p < next && (*p == ' ' || *p == '\t')) p++;
      const char *name = p;
      while (p < next && !strchr(" \t,.;#\r\\", *p)) p++;
      modules_allow_top(m, name, (size_t)(p - name));
      if (from) break;
      p = memchr(p, ',', (size_t)(next - p));
      if (!p) break;
      p++;
    }
    line = next + 1;
  }
}

/* ----------------------------------------------------------------------------------------------------------- the answers */

static remora_value *module_map(const char *kind, const char *path, const char *source, size_t length) {
  remora_value *m = remora_map();
  (void)remora_set(m, "kind", remora_str(kind));
  if (path) (void)remora_set(m, "path", remora_str(path));
  if (source) {
    remora_value *text = remora_text(source, length);
    (void)remora_set(m, "source",
                     text ? text
                          : remora_bytes(source, length)); /* another coding than UTF-8: the far side finds out */
  }
  return m;
}

static remora_value *module_refusal(const char *path, const char *format, const char *name) {
  char reason[512];
  remora_value *m = module_map("denied", path, NULL, 0);
  (void)snprintf(reason, sizeof reason, format, name);
  remora_value *text = remora_str(reason);
  (void)remora_set(m, "reason", text ? text : remora_str("denied"));
  return m;
}

/* Names are dotted identifiers; nothing in them can leave a root. */
static bool module_name_is_safe(const char *name) {
  if (!*name || *name == '.' || strlen(name) > 1024 || strstr(name, "..") || name[strlen(name) - 1] == '.')
    return false;
  for (const char *p = name; *p; p++)
    if ((unsigned char)*p <= ' ' || strchr("/\\:;*?\"'<>|", *p)) return false;
  return true;
}

static char *read_file(const char *path, size_t *length) {
  FILE *f = fopen(path, "rbe");
  if (!f) return NULL;
  struct stat st;
  char *text = NULL;
  if (fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= (off_t)MODULES_MAX_FILE &&
      (text = malloc((size_t)st.st_size + 1)) != NULL) {
    *length = fread(text, 1, (size_t)st.st_size, f);
    text[*length] = 0;
  }
  (void)fclose(f);
  return text;
}

static remora_value *module_from_file(struct modules *m, const char *kind, const char *path) {
  size_t length;
  char *text = read_file(path, &length);
  if (!text) return NULL;
  modules_allow_imports(m, text, length);
  remora_value *v = module_map(kind, path, text, length);
  free(text);
  return v;
}

/* The base path of a module in a root: "root/pkg/mod". */
static bool module_base(char *room, size_t size, const char *root, const char *name) {
  int n = snprintf(room, size, "%s/%s", *root ? root : ".", name);
  if (n < 0 || (size_t)n >= size) return false;
  for (char *p = room + strlen(*root ? root : ".") + 1; *p; p++)
    if (*p == '.') *p = '/';
  return true;
}

/* pkg/mod.cpython-311-x86_64-linux-gnu.so, pkg/mod.so */
static bool extension_path(const char *base, char *room, size_t size) {
  const char *slash = strrchr(base, '/');
  (void)snprintf(room, size, "%.*s", (int)(slash - base), base);
  DIR *dir = opendir(room);
  if (!dir) return false;
  bool found = false;
  size_t stem = strlen(slash + 1);
  for (struct dirent *e; !found && (e = readdir(dir)) != NULL;) {
    size_t n = strlen(e->d_name);
    found = n > stem + 3 && memcmp(e->d_name, slash + 1, stem) == 0 && e->d_name[stem] == '.' &&
            strcmp(e->d_name + n - 3, ".so") == 0;
    if (found) (void)snprintf(room + (slash - base), size - (size_t)(slash - base), "/%s", e->d_name);
  }
  (void)closedir(dir);
  return found;
}

static remora_value *module_find(struct modules *m, const char *name) {
  bool allowed = modules_allowed(m, name), is_namespace = false;
  char base[3000], path[4096];
  for (size_t i = 0; i < remora_length(m->roots); i++) {
    if (!module_base(base, sizeof base, remora_as_text(remora_at(m->roots, i), NULL), name)) continue;
    struct stat st;
    const char *kind = NULL;
    (void)snprintf(path, sizeof path, "%s/__init__.py", base);
    if (stat(path, &st) == 0) {
      kind = "package";
    } else {
      (void)snprintf(path, sizeof path, "%s.py", base);
      if (stat(path, &st) == 0) kind = "module";
    }
    if (!kind && extension_path(base, path, sizeof path)) return module_map("extension", path, NULL, 0);
    if (!kind) {
      is_namespace = is_namespace || (stat(base, &st) == 0 && S_ISDIR(st.st_mode));
      continue;
    }
    if (!allowed)
      return module_refusal(path,
                            "the near side has it but does not serve \"%s\": no served module imports it, and the "
                            "option modules does not name it",
                            name);
    remora_value *v = module_from_file(m, kind, path);
    return v ? v : module_refusal(path, "the near side cannot read the file of \"%s\"", name);
  }
  return is_namespace && allowed ? module_map("namespace", NULL, NULL, 0) : NULL;
}

static remora_value *module_answer(struct modules *m, const char *language, const char *name) {
  for (const struct remora_embedded_module *e = remora_embedded_modules; e->name; e++)
    if (strcmp(e->language, language) == 0 && strcmp(e->name, name) == 0)
      return module_map(e->is_package ? "package" : "module", name, e->source, e->size);
  if (strncmp(name, "remora", 6) == 0 && (name[6] == 0 || name[6] == '.'))
    return NULL; /* the far side's own, or nothing */
  pthread_mutex_lock(&registry_lock);
  registered *r = registry;
  pthread_mutex_unlock(&registry_lock);
  for (; r; r = r->next)
    if (strcmp(r->language, language) == 0 && strcmp(r->name, name) == 0) {
      modules_allow_imports(m, r->source, r->length);
      return module_map(r->is_package ? "package" : "module", r->path, r->source, r->length);
    }
  if (strcmp(language, "python") != 0 || !module_name_is_safe(name)) return NULL;
  return module_find(m, name);
}

/* A relative path that stays where it starts. */
static bool path_is_safe(const char *path) {
  size_t n = strlen(path);
  return *path != '/' && strcmp(path, "..") != 0 && strncmp(path, "../", 3) != 0 && !strstr(path, "/../") &&
         !(n > 2 && strcmp(path + n - 3, "/..") == 0);
}

/* A file beside the modules of a package; name NULL: the list of what is there, or in a folder of it. */
static remora_value *resource_answer(struct modules *m, const char *package, const char *name, const char *folder) {
  if (!module_name_is_safe(package) || !modules_allowed(m, package) || !path_is_safe(name ? name : folder)) return NULL;
  if (name && !*name) return NULL;
  remora_value *list = name ? NULL : remora_list();
  bool any = false;
  char base[3000], path[4096];
  for (size_t i = 0; i < remora_length(m->roots); i++) {
    if (!module_base(base, sizeof base, remora_as_text(remora_at(m->roots, i), NULL), package)) continue;
    if (name) {
      size_t length;
      (void)snprintf(path, sizeof path, "%s/%s", base, name);
      char *data = read_file(path, &length);
      if (!data) continue;
      remora_value *v = remora_bytes(data, length);
      free(data);
      return v;
    }
    char where[4000], path_there[5000];
    (void)snprintf(where, sizeof where, "%s/%s", base, folder);
    DIR *dir = opendir(where);
    if (!dir) continue;
    any = true;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
      if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strcmp(e->d_name, "__pycache__") == 0)
        continue;
      struct stat st;
      if (snprintf(path_there, sizeof path_there, "%s/%s", where, e->d_name) >= (int)sizeof path_there ||
          stat(path_there, &st) != 0)
        continue;
      (void)snprintf(path, sizeof path, "%s%s", e->d_name, S_ISDIR(st.st_mode) ? "/" : "");
      remora_value *text = remora_str(path);
      if (text) (void)remora_append(list, text);
    }
    (void)closedir(dir);
  }
  if (!any) list = remora_value_unref(list);
  return list;
}

remora_value *modules_answer(struct modules *m, const char *method, const remora_value *args, remora_error **err) {
  const char *text[3] = {NULL, NULL, NULL};
  for (size_t i = 0; i < 3 && i < remora_length(args); i++) {
    const remora_value *v = remora_at(args, i);
    text[i] = remora_value_kind(v) == REMORA_TEXT ? remora_as_text(v, NULL) : NULL;
  }
  if (strcmp(method, "module") == 0 && text[0] && text[1]) return module_answer(m, text[0], text[1]);
  if (strcmp(method, "resource") == 0 && text[1] && text[2]) return resource_answer(m, text[1], text[2], NULL);
  if (strcmp(method, "resources") == 0 && text[1]) return resource_answer(m, text[1], NULL, text[2] ? text[2] : "");
  (void)error_set(err, REMORA_E_NOTFOUND, "the near side's root has no method \"%s\" with such arguments", method);
  return NULL;
}
