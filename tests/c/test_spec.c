/* test_spec.c: specs become exactly the command line that is meant, and it survives the shells on its way. */
#include "carrier.h"
#include "error.h"
#include "spec.h"

#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NODE(text) (&(struct remora_embedded_node){.language = "python", .stub = (text)})

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* Fails the test unless the error's message holds the text; frees the error. */
static void expect_message(remora_error *err, int code, const char *text) {
  assert_non_null(err);
  if (!strstr(remora_error_message(err), text))
    fail_msg("\"%s\" does not hold \"%s\"", remora_error_message(err), text);
  assert_int_equal(remora_error_code(err), code);
  remora_error_free(err);
}

/* A list of text from words separated by "|". */
static remora_value *words_value(const char *text) {
  remora_value *list = remora_list();
  char *copy = strdup(text), *rest = copy;
  for (char *word; (word = strsep(&rest, "|"));) assert_int_equal(remora_append(list, remora_str(word)), 0);
  free(copy);
  return list;
}

/* ------------------------------------------------------------------------------------------------------------ specs */

static void test_specs(void **state) {
  (void)state;
  static const struct {
    const char *spec;
    carrier_type type;
    const char *user, *host;
    int port;
  } table[] = {
      {"-", CARRIER_CHILD, NULL, NULL, 0},
      {"root@", CARRIER_SUDO, "root", NULL, 0},
      {"www-data@", CARRIER_SUDO, "www-data", NULL, 0},
      {"#1000@", CARRIER_SUDO, "#1000", NULL, 0},
      {"DOM\\joe@", CARRIER_SUDO, "DOM\\joe", NULL, 0},
      {"joe@example.com@", CARRIER_SUDO, "joe@example.com", NULL, 0},
      {"web1", CARRIER_SSH, NULL, "web1", 0},
      {"web-1.example.com", CARRIER_SSH, NULL, "web-1.example.com", 0},
      {"10.0.0.1", CARRIER_SSH, NULL, "10.0.0.1", 0},
      {"deploy@web1", CARRIER_SSH, "deploy", "web1", 0},
      {"joe@example.com@web1", CARRIER_SSH, "joe@example.com", "web1", 0},
      {"DOM\\joe@web1", CARRIER_SSH, "DOM\\joe", "web1", 0},
      {"h\303\266st", CARRIER_SSH, NULL, "h\303\266st", 0},
      {"[::1]", CARRIER_SSH, NULL, "::1", 0},
      {"deploy@[fe80::1%eth0]", CARRIER_SSH, "deploy", "fe80::1%eth0", 0},
      {"ssh://web1", CARRIER_SSH, NULL, "web1", 0},
      {"ssh://web1/", CARRIER_SSH, NULL, "web1", 0},
      {"ssh://web1:22", CARRIER_SSH, NULL, "web1", 22},
      {"ssh://deploy@web1:2222", CARRIER_SSH, "deploy", "web1", 2222},
      {"ssh://deploy@web1:65535/", CARRIER_SSH, "deploy", "web1", 65535},
      {"ssh://[::1]", CARRIER_SSH, NULL, "::1", 0},
      {"ssh://deploy@[2001:db8::1]:2222", CARRIER_SSH, "deploy", "2001:db8::1", 2222},
  };
  for (size_t i = 0; i < COUNT(table); i++) {
    spec_hop hop;
    remora_error *err = NULL;
    if (spec_parse(&hop, table[i].spec, &err)) fail_msg("%s: %s", table[i].spec, remora_error_message(err));
    assert_int_equal(hop.type, table[i].type);
    assert_string_equal(hop.user ? hop.user : "none", table[i].user ? table[i].user : "none");
    assert_string_equal(hop.host ? hop.host : "none", table[i].host ? table[i].host : "none");
    assert_int_equal(hop.port, table[i].port);
    assert_string_equal(hop.name, table[i].spec);
    spec_hop_clear(&hop);
  }
}

static void test_specs_refused(void **state) {
  (void)state;
  static const struct {
    const char *spec, *message;
  } table[] = {
      {"", "the spec is empty"},
      {"@", "the user is empty"},
      {"@web1", "the user is empty"},
      {"@@", "is no user"},
      {"root@@", "is no user"},
      {"web1:22", "ssh://web1:22, tcp:web1:22 or tls:web1:22"},
      {"deploy@web1:22", "ssh://deploy@web1:22, tcp:web1:22 or tls:web1:22"},
      {"web1:", "ssh://web1:, tcp:"},
      {"web1:/srv", "say which is meant"},
      {"::1", "say which is meant: ssh://[::1]"},
      {"deploy@::1", "say which is meant: ssh://deploy@[::1]"},
      {"[::1]:22", "ssh://[::1]:22, tcp:[::1]:22"},
      {"[web1]", "\"web1\" is no IPv6 address"},
      {"[]", "is no IPv6 address"},
      {"[::1", "is written [address]"},
      {"ssh://[::1]x", "is written [address]"},
      {"ssh://::1", "an IPv6 address stands in brackets"},
      {"ssh://", "the host is empty"},
      {"ssh://deploy@", "the host is empty"},
      {"ssh://:22", "the host is empty"},
      {"ssh://web1:", "a port is a number"},
      {"ssh://web1:0", "a port is a number"},
      {"ssh://web1:65536", "a port is a number"},
      {"ssh://web1:22x", "a port is a number"},
      {"ssh://web1:+22", "a port is a number"},
      {"ssh://web1:000000022", "a port is a number"},
      {"ssh://web1/srv", "\"/\" cannot be part of a host"},
      {"http://web1", "unknown scheme"},
      {"-oProxyCommand=x", "the host \"-oProxyCommand=x\" starts with \"-\""},
      {"deploy@-x", "the host \"-x\" starts with \"-\""},
      {"ssh://-x", "the host \"-x\" starts with \"-\""},
      {"-x@web1", "the user \"-x\" starts with \"-\""},
      {"-x@", "the user \"-x\" starts with \"-\""},
      {"--", "the host \"--\" starts with \"-\""},
      {"web 1", "a blank or a control character"},
      {" web1", "a blank or a control character"},
      {"web1\n", "spec \"web1\\x0a\": the host holds a blank or a control character"},
      {"we\033[1mb", "a blank or a control character"},
      {"ro ot@", "the user holds a blank or a control character"},
      {"a,b", "\",\" cannot be part of a host"},
      {"$(id)", "cannot be part of a host"},
      {"`id`", "cannot be part of a host"},
      {"web1;id", "\";\" cannot be part of a host"},
      {"x;id@web1", "\";\" cannot be part of a user"},
      {"x\\@web1", "cannot be part of a user"},
      {"web1/x", "\"/\" cannot be part of a host"},
      {"unix:/run/x", "Unix sockets: not in this version"},
      {"/run/x", "Unix sockets: not in this version"},
      {"./x y", "Unix sockets: not in this version"},
      {"../x", "Unix sockets: not in this version"},
      {"tcp:web1:22", "TCP: not in this version"},
      {"tls:web1:22", "TLS: not in this version"},
  };
  for (size_t i = 0; i < COUNT(table); i++) {
    spec_hop hop;
    remora_error *err = NULL;
    if (!spec_parse(&hop, table[i].spec, &err)) fail_msg("\"%s\" was taken", table[i].spec);
    expect_message(err, REMORA_E_INVALID, table[i].message);
  }
}

/* A secret that was put into a spec by mistake does not get into logs. */
static void test_spec_password(void **state) {
  (void)state;
  spec_hop hop;
  remora_error *err = NULL;
  assert_int_equal(spec_parse(&hop, "ssh://deploy:hunter2@web1", &err), -1);
  assert_null(strstr(remora_error_message(err), "hunter2"));
  expect_message(err, REMORA_E_INVALID, "a password cannot be part of a spec");
}

static void test_split(void **state) {
  (void)state;
  static const struct {
    const char *line, *words; /* words separated by "|"; NULL: a quote is not closed */
  } table[] = {
      {"python3", "python3"},
      {"  nice -n\t10 python3 ", "nice|-n|10|python3"},
      {"'a b'c \"d e\"", "a bc|d e"},
      {"a\\ b \\'", "a b|'"},
      {"\"a\\\"b\\n\" 'c\\'", "a\"b\\n|c\\"},
      {"'' x", "|x"},
      {"a\\", "a\\"},
      {"\"$HOME\"", "$HOME"},
      {"'a", NULL},
      {"a\"b", NULL},
  };
  for (size_t i = 0; i < COUNT(table); i++) {
    spec_words words = {0};
    char joined[256] = "";
    int rc = spec_words_split(&words, table[i].line);
    for (size_t w = 0; w < words.count; w++)
      snprintf(joined + strlen(joined), sizeof joined - strlen(joined), "%s%s", w ? "|" : "", words.items[w]);
    assert_int_equal(rc, table[i].words ? 0 : -1);
    if (table[i].words) assert_string_equal(joined, table[i].words);
    spec_words_clear(&words);
  }
}

static void test_harmless(void **state) {
  (void)state;
  static const char text[] = "a\033[1m\0\r\n\177\302\233\303\266\377\342\202\xac\342\202";
  char *clean = spec_harmless(text, sizeof text - 1);
  assert_string_equal(clean, "a\\x1b[1m\\x00\\x0d\\x0a\\x7f\\xc2\\x9b\303\266\\xff\342\202\xac\\xe2\\x82");
  free(clean);
}

/* ------------------------------------------------------------------------------------------------------------ plans */

/* Sets an option from "name=value": words are separated by "|", hops by ">"; a hop with "|" is a command. */
static void set_option(remora_options *opts, const char *text) {
  char *name = strdup(text), *value = strchr(name, '=');
  *value++ = '\0';
  remora_value *v = NULL;
  if (strcmp(name, "cwd") == 0 || strcmp(name, "node") == 0) {
    v = remora_str(value);
  } else if (strcmp(name, "env") == 0) {
    v = remora_map();
    for (char *pair; (pair = strsep(&value, "|"));) {
      char *item = strchr(pair, '=');
      *item++ = '\0';
      remora_set(v, pair, remora_str(item));
    }
  } else if (strcmp(name, "hops") == 0) {
    v = remora_list();
    for (char *hop; (hop = strsep(&value, ">"));)
      remora_append(v, strchr(hop, '|') ? words_value(hop) : remora_str(hop));
  } else {
    v = words_value(value);
  }
  remora_error *err = NULL;
  if (remora_options_set(opts, name, v, &err)) fail_msg("%s", remora_error_message(err));
  free(name);
}

static char *join_words(char **words) {
  char *text = NULL;
  size_t length;
  FILE *f = open_memstream(&text, &length);
  for (char **word = words; *word; word++) fprintf(f, "%s%s", word == words ? "" : "|", *word);
  fclose(f);
  return text;
}

#define FIXED "-o|BatchMode=yes|-o|RemoteCommand=none|-T|-e|none|"
#define FIXED_LINE "-o 'BatchMode=yes' -o 'RemoteCommand=none' -T -e none "

static void test_plans(void **state) {
  (void)state;
  unsetenv("REMORA_PYTHON");
  static const struct {
    const char *spec, *options[5], *argv, *name;
  } table[] = {
      {"-", {0}, "python3|-c|s t", "-"},
      {"-", {"interpreter=/opt/python"}, "/opt/python|-c|s t", "-"},
      {"-", {"interpreter=nice|-n|10|python3"}, "nice|-n|10|python3|-c|s t", "-"},
      {NULL, {"hops=->-"}, "python3|-c|s t", "- > -"},
      {"root@", {0}, "sudo|-n|-H|-u|root|--|python3|-c|s t", "root@"},
      {"root@", {"sudo=/opt/sudo|-E"}, "/opt/sudo|-E|-n|-H|-u|root|--|python3|-c|s t", "root@"},
      {NULL, {"hops=->root@"}, "sudo|-n|-H|-u|root|--|python3|-c|s t", "- > root@"},
      {NULL, {"hops=a@>b@"}, "sudo|-n|-H|-u|a|--|sudo|-n|-H|-u|b|--|python3|-c|s t", "a@ > b@"},
      {"root@",
       {"env=A=x y|B=", "cwd=/srv/it's"},
       "sudo|-n|-H|-u|root|--|sh|-c|cd \"$1\" && shift && exec \"$@\"|sh|/srv/it's|env|A=x y|B=|python3|-c|s t",
       "root@"},
      {"web1", {0}, "ssh|" FIXED "--|web1|python3 -c 's t'", "web1"},
      {"deploy@web1", {0}, "ssh|" FIXED "--|deploy@web1|python3 -c 's t'", "deploy@web1"},
      {"ssh://deploy@web1:2222", {0}, "ssh|" FIXED "-p|2222|--|deploy@web1|python3 -c 's t'", "ssh://deploy@web1:2222"},
      {"ssh://[::1]:22", {0}, "ssh|" FIXED "-p|22|--|::1|python3 -c 's t'", "ssh://[::1]:22"},
      {"web1", {"ssh_options=-F|/x y|-v"}, "ssh|-F|/x y|-v|" FIXED "--|web1|python3 -c 's t'", "web1"},
      {"web1", {"ssh=/opt/ssh|-4"}, "/opt/ssh|-4|" FIXED "--|web1|python3 -c 's t'", "web1"},
      {"web1", {"env=A=x y"}, "ssh|" FIXED "--|web1|env 'A=x y' python3 -c 's t'", "web1"},
      {"web1",
       {"cwd=src"},
       "ssh|" FIXED "--|web1|sh -c 'cd \"$1\" && shift && exec \"$@\"' sh ./src python3 -c 's t'",
       "web1"},
      {"web1", {"interpreter=~/bin/py thon"}, "ssh|" FIXED "--|web1|'~/bin/py thon' -c 's t'", "web1"},
      {NULL, {"hops=->web1>-"}, "ssh|" FIXED "--|web1|python3 -c 's t'", "- > web1 > -"},
      {NULL, {"hops=web1>root@"}, "ssh|" FIXED "--|web1|sudo -n -H -u root -- python3 -c 's t'", "web1 > root@"},
      {NULL, {"hops=root@>web1"}, "sudo|-n|-H|-u|root|--|ssh|" FIXED "--|web1|python3 -c 's t'", "root@ > web1"},
      {NULL, {"hops=a>b"}, "ssh|" FIXED "-J|a|--|b|python3 -c 's t'", "a > b"},
      {NULL, {"hops=a>->b"}, "ssh|" FIXED "-J|a|--|b|python3 -c 's t'", "a > - > b"},
      {NULL,
       {"hops=u@a>ssh://v@[::1]:23>ssh://w@c:24"},
       "ssh|" FIXED "-p|24|-J|u@a,v@[::1]:23|--|w@c|python3 -c 's t'",
       "u@a > ssh://v@[::1]:23 > ssh://w@c:24"},
      {NULL, {"hops=a>b>root@"}, "ssh|" FIXED "-J|a|--|b|sudo -n -H -u root -- python3 -c 's t'", "a > b > root@"},
      {NULL,
       {"hops=a>r@>b", "ssh_options=-v"},
       "ssh|-v|" FIXED "--|a|sudo -n -H -u r -- ssh " FIXED_LINE "-- b 'python3 -c '\\''s t'\\'''",
       "a > r@ > b"},
      {NULL, {"command=docker|exec|-i|c 1"}, "docker|exec|-i|c 1|python3|-c|s t", "docker exec -i 'c 1'"},
      {"-", {"command=docker|exec|-i|c"}, "docker|exec|-i|c|python3|-c|s t", "docker exec -i c"},
      {NULL, {"command=docker|exec", "env=A=B"}, "docker|exec|env|A=B|python3|-c|s t", "docker exec"},
      {NULL,
       {"hops=web1>docker|exec|-i|c>root@"},
       "ssh|" FIXED "--|web1|docker exec -i c sudo -n -H -u root -- python3 -c 's t'",
       "web1 > docker exec -i c > root@"},
      {NULL,
       {"hops=a>nice|-n5>b"},
       "ssh|" FIXED "--|a|nice -n5 ssh " FIXED_LINE "-- b 'python3 -c '\\''s t'\\'''",
       "a > nice -n5 > b"},
  };
  for (size_t i = 0; i < COUNT(table); i++) {
    remora_options *opts = remora_options_new();
    for (const char *const *option = table[i].options; *option; option++) set_option(opts, *option);
    carrier c;
    remora_error *err = NULL;
    if (carrier_plan(&c, table[i].spec, opts, NODE("s t"), &err))
      fail_msg("%s: %s", table[i].name, remora_error_message(err));
    char *argv = join_words(c.argv);
    assert_string_equal(argv, table[i].argv);
    assert_string_equal(c.name, table[i].name);
    assert_int_equal(c.has_ssh, strstr(argv, "ssh") != NULL);
    assert_int_equal(c.has_sudo, strstr(argv, "sudo") != NULL);
    assert_int_equal(c.local_child, strspn(table[i].name, "- >") == strlen(table[i].name));
    free(argv);
    carrier_clear(&c);
    remora_options_free(opts);
  }
}

/* Who can be asked, and how: by the helper where the program is started here, else on sudo's standard input. */
static void test_plans_that_ask(void **state) {
  (void)state;
  static const struct {
    const char *spec, *options, *argv, *line;
    bool person, helper, gated;
  } table[] = {
      {"root@", NULL, "sudo|-A|-H|-u|root|--|python3|-c|s", "SUDO_ASKPASS=/lib/helper", true, true, false},
      {"root@", NULL, "sudo|-A|-H|-u|root|--|python3|-c|s", "REMORA_ASKPASS=where", false, true, false},
      {"web1", NULL, "ssh|-o|RemoteCommand=none|-T|-e|none|--|web1|python3 -c s", "SSH_ASKPASS=/lib/helper", true, true,
       false},
      {"web1", NULL, "ssh|-o|RemoteCommand=none|-T|-e|none|--|web1|python3 -c s", "SSH_ASKPASS_REQUIRE=force", false,
       true, false},
      {NULL, "hops=web1>root@", "ssh|-o|RemoteCommand=none|-T|-e|none|--|web1|sudo -n -H -u root -- python3 -c s",
       "SSH_ASKPASS=/lib/helper", false, true, false},
      {NULL, "hops=root@>web1", "sudo|-A|-H|-u|root|--|ssh|" FIXED "--|web1|python3 -c s", "SUDO_ASKPASS=/lib/helper",
       true, true, false},
      {NULL, "hops=a@>b@>c@",
       "sudo|-A|-H|-u|a|--|sudo|-S|-p|N%%2?|-H|-u|b|--|sudo|-S|-p|N%%3?|-H|-u|c|--|"
       "sh|-c|printf '%s!' \"$1\" >&2 && shift && exec \"$@\"|sh|N|python3|-c|s",
       "SUDO_ASKPASS=/lib/helper", true, true, true},
      {NULL, "hops=nice|-n5>b@",
       "nice|-n5|sudo|-S|-p|N%%2?|-H|-u|b|--|sh|-c|printf '%s!' \"$1\" >&2 && shift && exec \"$@\"|sh|N|python3|-c|s",
       NULL, true, false, true},
      {"-", NULL, "python3|-c|s", NULL, true, false, false},
  };
  for (size_t i = 0; i < COUNT(table); i++) {
    remora_options *opts = remora_options_new();
    remora_error *err = NULL;
    carrier c;
    if (table[i].options) set_option(opts, table[i].options);
    opts->ask_person = table[i].person;
    strcpy(opts->ask_helper, "/lib/helper");
    strcpy(opts->ask_socket, "where");
    strcpy(opts->ask_nonce, "N");
    if (carrier_plan(&c, table[i].spec, opts, NODE("s"), &err)) fail_msg("%s", remora_error_message(err));
    char *argv = join_words(c.argv);
    assert_string_equal(argv, table[i].argv);
    assert_int_equal(c.helper, table[i].helper);
    assert_int_equal(c.gated, table[i].gated);
    bool found = false;
    for (char **pair = c.envp; pair && *pair; pair++)
      found = found || strcmp(*pair, table[i].line ? table[i].line : "") == 0;
    assert_int_equal(found, table[i].line != NULL);
    free(argv);
    carrier_clear(&c);
    remora_options_free(opts);
  }
}

static void test_plans_refused(void **state) {
  (void)state;
  static const struct {
    const char *spec, *options[5], *message;
  } table[] = {
      {NULL, {0}, "no spec"},
      {"", {0}, "the spec is empty"},
      {"web1", {"command=docker|exec"}, "with the option command there is no spec"},
      {"web1", {"hops=a>b"}, "with the option hops there is no spec"},
      {NULL, {"hops=a>b", "command=x"}, "exclude each other"},
      {NULL, {"hops=a>b:22"}, "ssh://b:22, tcp:b:22"},
      {NULL, {"hops=a>"}, "the spec is empty"},
      {NULL, {"hops=a>-x@"}, "starts with \"-\""},
      {"-", {"node=cobol"}, "option node: there is no \"cobol\"; known: "},
  };
  for (size_t i = 0; i < COUNT(table); i++) {
    remora_options *opts = remora_options_new();
    for (const char *const *option = table[i].options; *option; option++) set_option(opts, *option);
    carrier c;
    remora_error *err = NULL;
    assert_int_equal(carrier_plan(&c, table[i].spec, opts, NODE("stub"), &err), -1);
    expect_message(err, REMORA_E_INVALID, table[i].message);
    remora_options_free(opts);
  }
}

static void test_interpreter_variable(void **state) {
  (void)state;
  static const struct {
    const char *variable, *argv, *message;
  } table[] = {
      {"/opt/py", "/opt/py|-c|stub", NULL},
      {"'/opt/my py' -B", "/opt/my py|-B|-c|stub", NULL},
      {"", "python3|-c|stub", NULL},
      {" ", "python3|-c|stub", NULL},
      {"'py", NULL, "REMORA_PYTHON: a quote is not closed"},
      {"-B", NULL, "REMORA_PYTHON: does not begin with a program"},
  };
  for (size_t i = 0; i < COUNT(table); i++) {
    carrier c;
    remora_error *err = NULL;
    setenv("REMORA_PYTHON", table[i].variable, 1);
    int rc = carrier_plan(&c, "-", NULL, NODE("stub"), &err);
    assert_int_equal(rc, table[i].message ? -1 : 0);
    if (rc) {
      expect_message(err, REMORA_E_INVALID, table[i].message);
      continue;
    }
    char *argv = join_words(c.argv);
    assert_string_equal(argv, table[i].argv);
    free(argv);
    carrier_clear(&c);
  }
  unsetenv("REMORA_PYTHON");
}

/* env and cwd of a child are given to it directly; the ssh client is told not to open a window. */
static void test_environment(void **state) {
  (void)state;
  carrier c;
  unsetenv("SSH_ASKPASS_REQUIRE");
  setenv("REMORA_TEST_SEEN", "old", 1);
  remora_options *opts = remora_options_new();
  set_option(opts, "env=REMORA_TEST_SEEN=new|REMORA_TEST_MORE=a=b");
  set_option(opts, "cwd=/tmp");
  assert_int_equal(carrier_plan(&c, "-", opts, NODE("stub"), NULL), 0);
  assert_string_equal(c.cwd, "/tmp");
  char *env = join_words(c.envp);
  assert_non_null(strstr(env, "REMORA_TEST_SEEN=new"));
  assert_null(strstr(env, "REMORA_TEST_SEEN=old"));
  assert_non_null(strstr(env, "REMORA_TEST_MORE=a=b"));
  assert_null(strstr(env, "SSH_ASKPASS_REQUIRE"));
  free(env);
  carrier_clear(&c);

  assert_int_equal(carrier_plan(&c, "root@", opts, NODE("stub"), NULL), 0);
  assert_null(c.envp);
  assert_null(c.cwd);
  carrier_clear(&c);

  assert_int_equal(carrier_plan(&c, "web1", opts, NODE("stub"), NULL), 0);
  env = join_words(c.envp);
  assert_non_null(strstr(env, "SSH_ASKPASS_REQUIRE=never"));
  assert_non_null(strstr(env, "REMORA_TEST_SEEN=old"));
  free(env);
  carrier_clear(&c);

  setenv("SSH_ASKPASS_REQUIRE", "force", 1); /* the user's own word */
  assert_int_equal(carrier_plan(&c, "web1", opts, NODE("stub"), NULL), 0);
  assert_null(c.envp);
  carrier_clear(&c);
  unsetenv("SSH_ASKPASS_REQUIRE");
  remora_options_free(opts);
}

/* ---------------------------------------------------------------------------------------------- through real shells */

static char directory[] = "/tmp/remora-test-spec-XXXXXX";

static void write_script(const char *name, const char *text) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fputs(text, f);
  fclose(f);
  assert_int_equal(chmod(path, 0755), 0);
}

/* Programs that treat their command as the real ones do, and one that shows what arrived. */
static int make_scripts(void **state) {
  (void)state;
  assert_non_null(mkdtemp(directory));
  write_script("ssh", "#!/bin/sh\nfor last; do :; done\nexec sh -c \"$last\"\n");
  write_script("sudo", "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\"\n");
  write_script("show", "#!/bin/sh\npwd\nprintf '%s\\0' \"$REMORA_TEST_A\" \"$@\"\n");
  write_script("it's a \"dir\" $HOME", "");
  char path[8192];
  snprintf(path, sizeof path, "%s:%s", directory, getenv("PATH"));
  setenv("PATH", path, 1);
  return 0;
}

static int remove_scripts(void **state) {
  (void)state;
  static const char *const names[] = {"ssh", "sudo", "show", "it's a \"dir\" $HOME"};
  for (size_t i = 0; i < COUNT(names); i++) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", directory, names[i]);
    remove(path);
  }
  return rmdir(directory);
}

/* Everything that the program writes; its length is returned. */
static size_t run(const carrier *c, char *text, size_t room) {
  spawned s;
  remora_error *err = NULL;
  if (carrier_spawn(c, &s, &err)) fail_msg("%s", remora_error_message(err));
  size_t length = 0;
  for (;;) {
    struct pollfd p = {s.from, POLLIN, 0};
    if (poll(&p, 1, 10000) <= 0) fail_msg("nothing came");
    ssize_t got = read(s.from, text + length, room - length);
    if (got <= 0) break;
    length += (size_t)got;
  }
  int status;
  assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
  assert_int_equal(status, 0);
  close(s.to);
  close(s.from);
  close(s.errors);
  if (s.pidfd >= 0) close(s.pidfd);
  return length;
}

static void test_through_shells(void **state) {
  (void)state;
  static const char *const chains[] = {
      "hops=-",   "hops=a",      "hops=root@",       "hops=env|X=1",
      "hops=a>b", "hops=a>r@>b", "hops=a>r@>b>s@>c", "hops=r@>a>r@>env|X=1>b",
  };
  static const char *const stubs[] = {
      "plain",
      "it's \"quoted\" `id` $(id) $HOME ${HOME} \\ \\\\ \\n ! !! # ~ * ? [a] {a,b} ; & | < > ( ) = %s %%",
      "two\nlines\n\n",
      "'",
      "''''",
      "\\'",
      "",
      " leading, trailing and\ttab ",
      "-c",
      "\303\266\342\202\254\377\001\033[0m",
  };
  char cwd[PATH_MAX], show[PATH_MAX], text[16384], expected[16384], option[PATH_MAX + 16];
  snprintf(cwd, sizeof cwd, "%s/it's a \"dir\" $HOME", directory);
  remove(cwd);
  assert_int_equal(mkdir(cwd, 0755), 0);
  snprintf(show, sizeof show, "interpreter=%s/show|a b|it's", directory);
  for (size_t i = 0; i < COUNT(chains); i++) {
    for (size_t k = 0; k < COUNT(stubs); k++) {
      remora_options *opts = remora_options_new();
      set_option(opts, chains[i]);
      set_option(opts, show);
      set_option(opts, "env=REMORA_TEST_A=$x 'y' \"z\"\n");
      snprintf(option, sizeof option, "cwd=%s", cwd);
      set_option(opts, option);
      carrier c;
      assert_int_equal(carrier_plan(&c, NULL, opts, NODE(stubs[k]), NULL), 0);
      size_t length = run(&c, text, sizeof text);
      int wanted =
          snprintf(expected, sizeof expected, "%s\n$x 'y' \"z\"\n%ca b%cit's%c-c%c%s%c", cwd, 0, 0, 0, 0, stubs[k], 0);
      if (length != (size_t)wanted || memcmp(text, expected, length) != 0)
        fail_msg("%s: stub %zu did not arrive unchanged", chains[i], k);
      carrier_clear(&c);
      remora_options_free(opts);
    }
  }
}

/* ----------------------------------------------------------------------------------------------------- explanations */

#define EXIT(code) ((code) << 8)

static void test_explanations(void **state) {
  (void)state;
  static const struct {
    const char *hops, *tail;
    int status; /* -1: unknown */
    const char *stage, *message;
  } table[] = {
      {"web1", "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\nHost key verification failed.\r\n",
       EXIT(255), "auth", "the host key is not the one that is known"},
      {"web1",
       "No ED25519 host key is known for web1 and you have requested strict checking.\r\nHost key verification "
       "failed.\r\n",
       EXIT(255), "auth", "the host key is not trusted; add it to known_hosts"},
      {"web1", "deploy@web1: Permission denied (publickey,password).\r\n", EXIT(255), "auth",
       "no key was accepted, nor an answer"},
      {"web1", "ssh: Could not resolve hostname web1: Name or service not known\r\n", EXIT(255), "transport",
       "there is no host of that name"},
      {"web1", "ssh: connect to host web1 port 22: Connection refused\r\n", EXIT(255), "transport",
       "nothing listens there"},
      {"web1", "ssh: connect to host web1 port 22: Connection timed out\r\n", EXIT(255), "transport",
       "does not answer"},
      {"web1", "kex_exchange_identification: Connection closed by remote host\r\n", EXIT(255), "transport",
       "MaxStartups"},
      {"web1", "command-line: line 0: Bad configuration option: foo\r\n", EXIT(255), "transport", "ssh_options"},
      {"web1", "something new\n", EXIT(255), "transport", "ssh failed (exit status 255); it printed: something new"},
      {"web1", "", EXIT(255), "transport", "ssh failed (exit status 255); it printed nothing"},
      {"web1", "", -1, "transport", "exit status unknown"},
      {"web1", "This account is currently not available.\n", EXIT(1), "auth", "may not run commands"},
      {"web1", "sh: 1: python3: not found\n", EXIT(127), "bootstrap", "not found there (the interpreter is python3;"},
      {"web1", "bash: line 1: python3: Permission denied\n", EXIT(126), "bootstrap", "cannot be run there"},
      {"web1", "", EXIT(127), "bootstrap", "not found there"},
      {"web1>root@", "sudo: a password is required\n", EXIT(1), "auth", "NOPASSWD"},
      {"root@", "sudo: a password is required\n", EXIT(1), "auth", "NOPASSWD"},
      {"root@", "sudo: sorry, you must have a tty to run sudo\n", EXIT(1), "auth", "requiretty"},
      {"root@", "joe is not in the sudoers file.\n", EXIT(1), "auth", "may not use sudo"},
      {"x@", "sudo: unknown user x\nsudo: error initializing audit plugin sudoers_audit\n", EXIT(1), "auth",
       "that user"},
      {"root@", "sudo: Ein Passwort ist notwendig\n", EXIT(1), "auth", "sudo refused"},
      {"root@", "sudo: python3: command not found\n", EXIT(1), "bootstrap", "the interpreter is python3"},
      {"web1>root@", "bash: line 1: sudo: command not found\n", EXIT(127), "bootstrap", "sudo: command not found"},
      {"-", "  File \"<string>\", line 1\n    ...\nSyntaxError: invalid syntax\n", EXIT(1), "bootstrap",
       "Python 3.6 or newer"},
      {"-", "Permission denied (publickey).\n", EXIT(1), "bootstrap", "the far side ended before it was there"},
      {"web1", "sh: 1: cd: can't cd to /x\n", EXIT(2), "bootstrap", "option cwd"},
      {"web1", "bash: -c: line 1: syntax error near unexpected token `('\n", EXIT(2), "bootstrap", "a shell took"},
      {"web1", "TimeoutError: timed out\n", EXIT(1), "bootstrap", "the far side ended before it was there"},
      {"-", "", 9, "bootstrap", "ended by signal 9"},
      {"-", "", -1, "bootstrap", "exit status unknown"},
      {"-", "rubbish\n", EXIT(0), "bootstrap", "exit status 0); it printed: rubbish"},
      {"-", "a\n\n\033[31mb\r\n", EXIT(3), "bootstrap", "(exit status 3); it printed: a | \\x1b[31mb"},
      {"-", "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n", EXIT(3), "bootstrap",
       "it printed: 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11"},
  };
  for (size_t i = 0; i < COUNT(table); i++) {
    remora_options *opts = remora_options_new();
    char option[256];
    snprintf(option, sizeof option, "hops=%s", table[i].hops);
    set_option(opts, option);
    carrier c;
    assert_int_equal(carrier_plan(&c, NULL, opts, NODE("stub"), NULL), 0);
    remora_error *err = NULL;
    carrier_explain(&c, table[i].tail, strlen(table[i].tail), table[i].status, table[i].status != -1, &err);
    assert_non_null(err);
    if (strcmp(remora_error_stage(err), table[i].stage) != 0)
      fail_msg("%s: stage %s: %s", table[i].tail, remora_error_stage(err), remora_error_message(err));
    assert_null(strchr(remora_error_message(err), '\n'));
    expect_message(err, REMORA_E_CONNECT, table[i].message);
    carrier_clear(&c);
    remora_options_free(opts);
  }
}

/* What was printed may be anything, of any length. */
static void test_explanation_of_rubbish(void **state) {
  (void)state;
  carrier c;
  static char tail[65536];
  assert_int_equal(carrier_plan(&c, "-", NULL, NODE("stub"), NULL), 0);
  for (unsigned seed = 0; seed < 200; seed++) {
    size_t length = seed * 331 % sizeof tail;
    for (size_t i = 0; i < length; i++) tail[i] = (char)(seed % 3 ? (unsigned)rand() : seed % 2 ? '\n' : 'x');
    remora_error *err = NULL;
    carrier_explain(&c, tail, length, EXIT(1), true, &err);
    assert_null(strchr(remora_error_message(err), '\n'));
    assert_true(strlen(remora_error_message(err)) < 10000);
    remora_error_free(err);
  }
  carrier_explain(&c, NULL, 0, 0, false, NULL);
  carrier_clear(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_specs),
      cmocka_unit_test(test_specs_refused),
      cmocka_unit_test(test_spec_password),
      cmocka_unit_test(test_split),
      cmocka_unit_test(test_harmless),
      cmocka_unit_test(test_plans),
      cmocka_unit_test(test_plans_that_ask),
      cmocka_unit_test(test_plans_refused),
      cmocka_unit_test(test_interpreter_variable),
      cmocka_unit_test(test_environment),
      cmocka_unit_test_setup_teardown(test_through_shells, make_scripts, remove_scripts),
      cmocka_unit_test(test_explanations),
      cmocka_unit_test(test_explanation_of_rubbish),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
