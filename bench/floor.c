/* The floors in C: two processes and a pipe pair, nothing between. floor WORKLOAD SECONDS [PIPE_SIZE] */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "common.h"

typedef struct duplex {
  int r, w;
} duplex;

static void read_all(int fd, void *data, size_t size) {
  char *p = data;
  while (size) {
    ssize_t n = read(fd, p, size);
    if (n <= 0) _exit(0); /* the other side is gone */
    p += n;
    size -= (size_t)n;
  }
}

static void write_all(int fd, const void *data, size_t size) {
  const char *p = data;
  while (size) {
    ssize_t n = write(fd, p, size);
    if (n <= 0) _exit(0);
    p += n;
    size -= (size_t)n;
  }
}

/* A child that runs serve(its ends, data). */
static duplex start(int pipe_size, void (*serve)(duplex, char *), char *data) {
  int down[2], up[2];
  if (pipe2(down, O_CLOEXEC) || pipe2(up, O_CLOEXEC)) DIE("pipe");
  if (pipe_size && (fcntl(down[1], F_SETPIPE_SZ, pipe_size) < 0 || fcntl(up[1], F_SETPIPE_SZ, pipe_size) < 0))
    DIE("F_SETPIPE_SZ");
  pid_t pid = fork();
  if (pid < 0) DIE("fork");
  duplex near = {up[0], down[1]}, far = {down[0], up[1]};
  if (!pid) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(near.r);
    close(near.w);
    serve(far, data);
    _exit(0);
  }
  close(far.r);
  close(far.w);
  return near;
}

static void serve_small(duplex d, char *unused) {
  char m[64];
  (void)unused;
  for (;;) {
    read_all(d.r, m, sizeof m);
    write_all(d.w, m, sizeof m);
  }
}

static void serve_bulk(duplex d, char *data) {
  for (;;) {
    char back;
    read_all(d.r, &back, 1);
    read_all(d.r, data, BLOB_SIZE);
    if (back)
      write_all(d.w, data, BLOB_SIZE);
    else
      write_all(d.w, "k", 1);
  }
}

typedef struct state {
  duplex small, bulk;
  char *sent, *got;
  char ways; /* 1: the 64 MiB come back */
} state;

static void small(void *ctx) {
  state *s = ctx;
  char m[64] = {1};
  write_all(s->small.w, m, sizeof m);
  read_all(s->small.r, m, sizeof m);
}

static void bulk(void *ctx) {
  state *s = ctx;
  write_all(s->bulk.w, &s->ways, 1);
  write_all(s->bulk.w, s->sent, BLOB_SIZE);
  read_all(s->bulk.r, s->got, s->ways ? BLOB_SIZE : 1);
}

static void check(void *ctx) {
  state *s = ctx;
  if (memcmp(s->sent, s->got, BLOB_SIZE)) DIE("the bytes came back changed");
}

/* 1,000 messages written one by one before the answers are read: as many as the pipes hold. */
static void outstanding(state *s, double seconds) {
  char m[64] = {0};
  long done = 0;
  uint64_t begin = now_ns();
  while ((double)(now_ns() - begin) < seconds * 1e9) {
    for (uint32_t i = 0; i < IN_FLIGHT; i++) {
      memcpy(m, &i, sizeof i);
      write_all(s->small.w, m, sizeof m);
    }
    for (uint32_t i = 0; i < IN_FLIGHT; i++) {
      uint32_t got;
      read_all(s->small.r, m, sizeof m);
      memcpy(&got, m, sizeof got);
      if (got != i) DIE("wrong result");
    }
    done += IN_FLIGHT;
  }
  printf("{\"calls_s\": %.0f, \"n\": %ld, \"in_flight\": %d}\n", (double)done / ((double)(now_ns() - begin) / 1e9),
         done, IN_FLIGHT);
}

int main(int argc, char **argv) {
  const char *workload = argc > 1 ? argv[1] : "call";
  double seconds = argc > 2 ? atof(argv[2]) : 2;
  int pipe_size = argc > 3 ? atoi(argv[3]) : 0;
  state s = {.ways = 0};
  signal(SIGPIPE, SIG_IGN);
  bool is_bytes = !strcmp(workload, "bytes"), is_back = !strcmp(workload, "mixed-back"),
       is_mixed = is_back || !strcmp(workload, "mixed");
  if (is_bytes || is_mixed) {
    s.sent = malloc(BLOB_SIZE);
    if (!s.sent) DIE("malloc");
    s.got = malloc(BLOB_SIZE);
    char *far = malloc(BLOB_SIZE);
    if (!s.got || !far) DIE("malloc");
    fill_random(s.sent, BLOB_SIZE);
    s.ways = is_bytes || is_back;
    s.bulk = start(pipe_size, serve_bulk, far);
  }
  if (!is_bytes) s.small = start(0, serve_small, NULL);
  if (is_bytes)
    bench_bytes(seconds, bulk, check, &s);
  else if (is_mixed)
    bench_mixed(seconds, small, bulk, &s, s.ways ? 2 : 1);
  else if (!strcmp(workload, "outstanding"))
    outstanding(&s, seconds);
  else if (!bench_calls(workload, seconds, small, &s))
    bench_unsupported(workload);
  bench_end();
  _exit(0);
}
