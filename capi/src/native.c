/* native.c: finds the executable of the C node, and brings it to a far side that has none. */
#include "native.h"

#include "error.h"
#include "language.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

static char native_found[4096];
static pthread_once_t native_once = PTHREAD_ONCE_INIT;

bool native_beside(const char *program, char *room, size_t size) {
  static const char *const ups[] = {"", "/..", "/../.."};
  const char *folder = language_folder(), *slash = strrchr(folder, '/');
  for (size_t i = 0; slash && i < sizeof ups / sizeof *ups; i++) {
    (void)snprintf(room, size, "%.*s/..%s/libexec/remora/%s", (int)(slash - folder), folder, ups[i], program);
    if (access(room, X_OK) == 0) return true;
  }
  *room = 0;
  return false;
}

static void native_find(void) {
  const char *chosen = getenv("REMORA_NODE_C");
  if (chosen && *chosen)
    (void)snprintf(native_found, sizeof native_found, "%s", chosen);
  else
    (void)native_beside("remora-node", native_found, sizeof native_found);
}

const char *native_path(void) {
  (void)pthread_once(&native_once, native_find);
  return *native_found ? native_found : NULL;
}

static void native_nothing(void) { (void)snprintf(native_found, sizeof native_found, "/proc/self/exe"); }

void native_is_self(void) { (void)pthread_once(&native_once, native_nothing); }

char *native_stub(const char *script, remora_error **err) {
  const char *path = native_path(), *mark = strstr(script, "@SIZE@");
  struct stat st;
  char *text = NULL;
  if (!path || stat(path, &st) != 0)
    return error_set(err, REMORA_E_INVALID,
                     "the C node's executable is not beside the library (libexec/remora/remora-node); REMORA_NODE_C "
                     "can name another"),
           NULL;
  if (asprintf(&text, "%.*s%lld%s", (int)(mark - script), script, (long long)st.st_size, mark + 6) < 0)
    return error_set(err, REMORA_E_NOMEM, NULL), NULL;
  return text;
}

int native_answer(const char *name, const char *question, uint8_t **data, size_t *length, remora_error **err) {
  struct utsname us;
  char ours[256], theirs[256];
  if (uname(&us) != 0) return error_stage(err, "bootstrap", "%s: this system does not say what it is", name);
  int n = snprintf(ours, sizeof ours, "%s %s", us.sysname, us.machine);
  (void)snprintf(theirs, sizeof theirs, "%s", question);
  for (char *p = theirs; *p; p++)
    if (*p < ' ' || *p > '~') *p = '?';
  if (strncmp(ours, theirs, (size_t)n) != 0 || theirs[n] > ' ')
    return error_stage(err, "bootstrap",
                       "%s: the far side is %s and has no remora-node " REMORA_VERSION
                       " in PATH; the one that could be sent is for %s",
                       name, theirs, ours);
  struct stat st;
  FILE *f = native_path() ? fopen(native_path(), "rbe") : NULL;
  uint8_t *bytes = f && fstat(fileno(f), &st) == 0 ? malloc((size_t)st.st_size + 1) : NULL;
  size_t got = bytes ? fread(bytes, 1, (size_t)st.st_size, f) : 0;
  if (f) (void)fclose(f);
  if (!bytes || got != (size_t)st.st_size) {
    free(bytes);
    return error_stage(err, "bootstrap", "%s: the C node's executable cannot be read", name);
  }
  *data = bytes;
  *length = got;
  return 0;
}
