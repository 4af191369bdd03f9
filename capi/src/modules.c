/* modules.c: what the far side may import from here, answered without any interpreter.
 *
 * Served are: the library's own parts, modules registered with remora_module_add, and from the connection's roots the top-level packages that were named (by new_on,
 * can_on, the option modules) or that a served module loads; never what the option deny names. The standard library is in no root. */
#include "hub.h"

#include "language.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODULES_MAX_FILE (64u * 1024 * 1024)

struct modules {
  pthread_mutex_t lock;
  const language *node; /* of the far side */
  remora_value *roots;  /* language -> list of text */
  remora_value *deny;   /* list of names, or NULL */
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

int remora_module_add(const char *speech, const char *name, int is_package, const char *path, const char *source,
                      size_t length, remora_error **err) {
  if (!speech || !name || !*name || !source)
    return error_set(err, REMORA_E_INVALID, "a module needs a language, a name and a source");
  if (!language_find(speech)) return error_set(err, REMORA_E_INVALID, "there is no far language \"%s\"", speech);
  registered *r = calloc(1, sizeof *r);
  if (!r) return error_set(err, REMORA_E_NOMEM, NULL);
  *r = (registered){.language = strdup(speech),
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

/* Where a language's modules lie when nobody says it: where its own interpreter would look, and where programs keep
 * them. Relative ones are taken from the directory that is current when the connection is made. */
static remora_value *modules_default_roots(const language *l) {
  remora_value *list = remora_list();
  char *here = getcwd(NULL, 0);
  const char *variable = getenv(l->path_variable);
  char *line = NULL;
  if (asprintf(&line, "%s%clib%c.", variable ? variable : "", variable && strchr(variable, ';') ? ';' : ':',
               variable && strchr(variable, ';') ? ';' : ':') < 0)
    line = NULL;
  for (char *rest = line, *dir; (dir = strsep(&rest, ";:")) != NULL;) {
    char *mark = strstr(dir, "/?"), *path = NULL;
    if (mark) *mark = 0; /* a pattern: "dir/?.lua", "dir/?/init.lua" */
    if (!*dir || strchr(dir, '?')) continue;
    if (asprintf(&path, "%s%s%s", *dir == '/' || !here ? "" : here, *dir == '/' || !here ? "" : "/", dir) < 0) break;
    (void)remora_append(list, remora_str(path));
    free(path);
  }
  free(line);
  free(here);
  return list;
}

/* The directories for modules of a language. */
static const remora_value *modules_roots(const struct modules *m, const language *l) {
  return remora_get(m->roots, l->name);
}

struct modules *modules_new(const remora_options *o) {
  struct modules *m = calloc(1, sizeof *m);
  if (!m) return NULL;
  (void)pthread_mutex_init(&m->lock, NULL);
  m->node = language_find(o->node);
  m->roots = remora_map();
  m->deny = remora_value_ref(o->deny);
  bool map = o->roots && remora_value_kind(o->roots) == REMORA_MAP;
  for (const struct remora_embedded_node *n = remora_embedded_nodes; n->language; n++) {
    const language *l = language_find(n->language);
    const remora_value *given = map ? remora_get(o->roots, n->language) : l == m->node ? o->roots : NULL;
    if (l)
      (void)remora_set(m->roots, l->name,
                       given ? remora_value_ref((remora_value *)(uintptr_t)given) : modules_default_roots(l));
  }
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
  (void)remora_value_unref(m->deny);
  (void)pthread_mutex_destroy(&m->lock);
  free(m);
}

static bool modules_allowed_locked(const struct modules *m, const char *name, size_t length) {
  if (m->all) return true;
  for (size_t i = 0; i < m->nallowed; i++)
    if (strlen(m->allowed[i]) == length && memcmp(m->allowed[i], name, length) == 0) return true;
  return false;
}

/* Up to where a name tells its top-level package: "pkg.mod:Class", "Foo::Bar", "net/http". */
#define MODULES_SEPARATORS ".:/"

static bool modules_allowed(struct modules *m, const char *name) {
  pthread_mutex_lock(&m->lock);
  bool yes = modules_allowed_locked(m, name, strcspn(name, MODULES_SEPARATORS));
  pthread_mutex_unlock(&m->lock);
  return yes;
}

/* The entry of the option deny that forbids the name, itself or a package around it; or NULL. */
static const char *modules_denied(const struct modules *m, const char *name) {
  for (size_t i = 0; i < remora_length(m->deny); i++) {
    const char *entry = remora_as_text(remora_at(m->deny, i), NULL);
    size_t length = strlen(entry);
    if (length && strncmp(name, entry, length) == 0 && (!name[length] || strchr(MODULES_SEPARATORS, name[length])))
      return entry;
  }
  return NULL;
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
  if (!name) return;
  size_t length = strcspn(name, MODULES_SEPARATORS);
  const char *arrow = strstr(name, "->"); /* a method of a class of Perl's */
  if (arrow && (size_t)(arrow - name) < length) length = (size_t)(arrow - name);
  modules_allow_top(m, name, length);
  char snake[256];
  size_t n = 0;
  /* A Ruby constant lies in a file in snake case: FooBar in foo_bar.rb. */
  if (!m->node || *m->node->separator != '/' || length >= sizeof snake / 2) return;
  for (size_t i = 0; i < length; i++) {
    bool upper = name[i] >= 'A' && name[i] <= 'Z';
    if (upper && i && name[i - 1] >= 'a' && name[i - 1] <= 'z') snake[n++] = '_';
    snake[n++] = (char)(upper ? name[i] + 32 : name[i]);
  }
  modules_allow_top(m, snake, n);
}

static bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         (unsigned char)c > 127;
}

/* What stands behind a word that loads modules, up to the line's end. */
static void modules_allow_loaded(struct modules *m, const language *l, const char *p, const char *next, bool list) {
  while (p < next) {
    while (p < next && strchr(" \t('\"[", *p)) p++;
    const char *name = p;
    while (p < next && is_word(*p)) p++;
    modules_allow_top(m, name, (size_t)(p - name));
    p = list && l->list ? memchr(p, ',', (size_t)(next - p)) : NULL;
    if (!p) break;
    p++;
  }
}

/* A served module opens what it loads. */
static void modules_allow_loads(struct modules *m, const language *l, const char *source, size_t length) {
  const char *end = source + length;
  for (const char *line = source; line < end;) {
    const char *next = memchr(line, '\n', (size_t)(end - line));
    if (!next) next = end;
    const char *p = line;
    while (p < next && (*p == ' ' || *p == '\t')) p++;
    for (const char *at = p; at < next; at++) {
      if (at > p && (!l->anywhere || is_word(at[-1]))) {
        if (!l->anywhere) break;
        continue;
      }
      for (const char *const *word = l->loads; *word; word++) {
        size_t n = strlen(*word);
        if ((size_t)(next - at) > n && memcmp(at, *word, n) == 0 && !is_word(at[n])) {
          modules_allow_loaded(m, l, at + n, next, word == l->loads);
          break;
        }
      }
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

/* Names are identifiers with the language's separator between them; nothing in them can leave a root. */
static bool module_name_is_safe(const language *l, const char *name) {
  size_t n = strlen(l->separator), length = strlen(name);
  if (length > 1024) return false;
  for (const char *part = name;;) {
    const char *end = strstr(part, l->separator);
    if (!end) end = name + length;
    if (end == part || *part == '.') return false;
    for (const char *p = part; p < end; p++)
      if ((unsigned char)*p <= ' ' || strchr("/\\:;*?\"'<>|", *p)) return false;
    if (!*end) return true;
    part = end + n;
  }
}

/* A module that somebody wanted and that is nowhere: the far side's error then tells where it was looked for. */
static remora_value *module_missing(const remora_value *roots) {
  remora_value *m = module_map("missing", NULL, NULL, 0);
  char *reason = NULL;
  size_t length;
  FILE *f = open_memstream(&reason, &length);
  if (!m || !f) return remora_value_unref(m);
  (void)fprintf(f, "the near side looked in %s", remora_length(roots) ? "" : "no directory: the option roots is empty");
  for (size_t i = 0; i < remora_length(roots); i++)
    (void)fprintf(f, "%s%s", i ? ", " : "", remora_as_text(remora_at(roots, i), NULL));
  if (fclose(f) == 0) (void)remora_set(m, "reason", remora_str(reason));
  free(reason);
  return m;
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

static remora_value *module_from_file(struct modules *m, const language *l, const char *kind, const char *path) {
  size_t length;
  char *text = read_file(path, &length);
  if (!text) return NULL;
  modules_allow_loads(m, l, text, length);
  remora_value *v = module_map(kind, path, text, length);
  free(text);
  return v;
}

/* The module's name as a path: "pkg/mod". */
static void module_path(const language *l, char *room, size_t size, const char *name) {
  size_t n = strlen(l->separator), at = 0;
  for (const char *p = name; *p && at + 1 < size;) {
    bool parts = memcmp(p, l->separator, strnlen(p, n)) == 0;
    room[at++] = parts ? '/' : *p;
    p += parts ? n : 1;
  }
  room[at] = 0;
}

/* The base path of a module in a root: "root/pkg/mod". */
static bool module_base(char *room, size_t size, const char *root, const char *path) {
  int n = snprintf(room, size, "%s/%s", *root ? root : ".", path);
  return n >= 0 && (size_t)n < size;
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

/* The first file of the module in this root. */
static const char *module_file(const language *l, const char *root, const char *name, char *path, size_t size) {
  struct stat st;
  for (const language_file *f = l->files; f->pattern; f++) {
    const char *rest = strstr(f->pattern, "%s");
    const char *slash = strrchr(name, '/');
    int folder = slash ? (int)(slash + 1 - name) : 0; /* what stands before %s belongs to the file: "libNAME.so" */
    int n = snprintf(path, size, "%s/%.*s%.*s%s%s", *root ? root : ".", folder, name, (int)(rest - f->pattern),
                     f->pattern, name + folder, rest + 2);
    if (n >= 0 && (size_t)n < size && stat(path, &st) == 0 && S_ISREG(st.st_mode)) return f->kind;
  }
  return NULL;
}

static remora_value *module_find(struct modules *m, const language *l, const char *name) {
  bool allowed = modules_allowed(m, name), is_namespace = false;
  char relative[1100], base[3000], path[4096];
  module_path(l, relative, sizeof relative, name);
  const remora_value *roots = modules_roots(m, l);
  for (size_t i = 0; i < remora_length(roots); i++) {
    const char *root = remora_as_text(remora_at(roots, i), NULL);
    if (!module_base(base, sizeof base, root, relative)) continue;
    struct stat st;
    const char *kind = module_file(l, root, relative, path, sizeof path);
    if (!kind && l->any_folder && extension_path(base, path, sizeof path)) kind = "extension";
    if (!kind) {
      is_namespace = is_namespace || (l->any_folder && stat(base, &st) == 0 && S_ISDIR(st.st_mode));
      continue;
    }
    if (strcmp(kind, "extension") == 0) return module_map(kind, path, NULL, 0);
    if (!allowed)
      return module_refusal(path,
                            "the near side has it but does not serve \"%s\": no served module loads it, and the "
                            "option modules does not name it",
                            name);
    remora_value *v = module_from_file(m, l, kind, path);
    return v ? v : module_refusal(path, "the near side cannot read the file of \"%s\"", name);
  }
  return !allowed ? NULL : is_namespace ? module_map("namespace", NULL, NULL, 0) : module_missing(roots);
}

static remora_value *module_answer(struct modules *m, const char *speech, const char *name) {
  for (const struct remora_embedded_module *e = remora_embedded_modules; e->name; e++)
    if (strcmp(e->language, speech) == 0 && strcmp(e->name, name) == 0)
      return module_map(e->is_package ? "package" : "module", name, e->source, e->size);
  if (strncmp(name, "remora", 6) == 0 && (name[6] == 0 || name[6] == '.'))
    return NULL; /* the far side's own, or nothing */
  const char *denied = modules_denied(m, name);
  if (denied) return module_refusal(NULL, "the near side's option deny forbids \"%s\"", denied);
  pthread_mutex_lock(&registry_lock);
  registered *r = registry;
  pthread_mutex_unlock(&registry_lock);
  const language *l = language_find(speech);
  for (; r; r = r->next)
    if (strcmp(r->language, speech) == 0 && strcmp(r->name, name) == 0) {
      if (l) modules_allow_loads(m, l, r->source, r->length);
      return module_map(r->is_package ? "package" : "module", r->path, r->source, r->length);
    }
  return l && module_name_is_safe(l, name) ? module_find(m, l, name) : NULL;
}

/* A relative path that stays where it starts. */
static bool path_is_safe(const char *path) {
  size_t n = strlen(path);
  return *path != '/' && strcmp(path, "..") != 0 && strncmp(path, "../", 3) != 0 && !strstr(path, "/../") &&
         !(n > 2 && strcmp(path + n - 3, "/..") == 0);
}

/* A file beside the modules of a package; name NULL: the list of what is there, or in a folder of it. */
static remora_value *resource_answer(struct modules *m, const char *language_name, const char *package,
                                     const char *name, const char *folder) {
  const language *l = language_find(language_name);
  if (!l || !module_name_is_safe(l, package) || !modules_allowed(m, package) || modules_denied(m, package)) return NULL;
  if (!path_is_safe(name ? name : folder)) return NULL;
  if (name && !*name) return NULL;
  remora_value *list = name ? NULL : remora_list();
  bool any = false;
  char relative[1100], base[3000], path[4096];
  module_path(l, relative, sizeof relative, package);
  const remora_value *roots = modules_roots(m, l);
  for (size_t i = 0; i < remora_length(roots); i++) {
    if (!module_base(base, sizeof base, remora_as_text(remora_at(roots, i), NULL), relative)) continue;
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

/* A node in the middle says which contents it has: then they need not travel again. */
static remora_value *module_unless_known(remora_value *found, const char *known) {
  size_t length;
  const remora_value *source = remora_get(found, "source");
  const char *text = remora_as_text(source, &length), *kind = remora_as_text(remora_get(found, "kind"), NULL);
  const char *path = remora_as_text(remora_get(found, "path"), NULL);
  if (!text) return found;
  uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
#define MIX(data, size)                                                                                                \
  for (size_t i = 0; i < (size); i++) hash = (hash ^ (unsigned char)(data)[i]) * UINT64_C(0x100000001b3)
  MIX(kind, strlen(kind) + 1);
  MIX(path ? path : "", path ? strlen(path) + 1 : 1);
  MIX(text, length);
#undef MIX
  char name[17];
  (void)snprintf(name, sizeof name, "%016" PRIx64, hash);
  if (strcmp(known, name) != 0) {
    (void)remora_set(found, "hash", remora_str(name));
    return found;
  }
  (void)remora_value_unref(found);
  return module_map("same", NULL, NULL, 0);
}

remora_value *modules_answer(struct modules *m, const char *method, const remora_value *args, remora_error **err) {
  const char *text[3] = {NULL, NULL, NULL};
  for (size_t i = 0; i < 3 && i < remora_length(args); i++) {
    const remora_value *v = remora_at(args, i);
    text[i] = remora_value_kind(v) == REMORA_TEXT ? remora_as_text(v, NULL) : NULL;
  }
  if (strcmp(method, "module") == 0 && text[0] && text[1]) {
    remora_value *found = module_answer(m, text[0], text[1]);
    return text[2] ? module_unless_known(found, text[2]) : found;
  }
  if (strcmp(method, "resource") == 0 && text[0] && text[1] && text[2])
    return resource_answer(m, text[0], text[1], text[2], NULL);
  if (strcmp(method, "resources") == 0 && text[0] && text[1])
    return resource_answer(m, text[0], text[1], NULL, text[2] ? text[2] : "");
  (void)error_set(err, REMORA_E_NOTFOUND, "the near side's root has no method \"%s\" with such arguments", method);
  return NULL;
}
