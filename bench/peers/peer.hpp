// What the two C++ peers share: records, lambdas for common.h, starting oneself as the far process.
#pragma once
#include "../common.h"
#include <spawn.h>
#include <string>
#include <vector>
extern char **environ;

struct Record {
  int64_t id;
  std::string name;
  std::vector<std::string> tags;
  double score;
  bool operator==(const Record &o) const { return id == o.id && name == o.name && tags == o.tags && score == o.score; }
};

inline std::vector<Record> make_records() {
  std::vector<Record> v(RECORDS);
  for (int i = 0; i < RECORDS; i++) v[i] = {i, "item " + std::to_string(i), {"a", "b", "c"}, 1.5};
  return v;
}

// A lambda as function and context for the loops of common.h.
template <class F> void invoke(void *f) { (*static_cast<F *>(f))(); }
template <class F> bool calls(const char *workload, double seconds, F call) {
  return bench_calls(workload, seconds, invoke<F>, &call);
}
template <class F> void repeat(double seconds, F once) { bench_repeat(seconds, invoke<F>, &once); }
template <class A, class B> struct Pair {
  A a;
  B b;
  static void first(void *p) { static_cast<Pair *>(p)->a(); }
  static void second(void *p) { static_cast<Pair *>(p)->b(); }
};
template <class A, class B> void bytes(double seconds, A echo, B check) {
  Pair<A, B> p{echo, check};
  bench_bytes(seconds, p.first, p.second, &p);
}
template <class A, class B> void spawns(double seconds, A once, B end) {
  Pair<A, B> p{once, end};
  bench_spawn(seconds, p.first, p.second, &p);
}
template <class A, class B> void mixed(double seconds, A small, B bulk, int ways) {
  Pair<A, B> p{small, bulk};
  bench_mixed(seconds, p.first, p.second, &p, ways);
}

// This executable again, as `SELF ARGS...` with `fd` as its descriptor 3.
inline pid_t spawn_self(std::vector<std::string> args, int fd) {
  char self[4096];
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  if (n < 0) DIE("readlink");
  self[n] = 0;
  std::vector<char *> argv{self};
  for (auto &a : args) argv.push_back(&a[0]);
  argv.push_back(nullptr);
  int high = fcntl(fd, F_DUPFD_CLOEXEC, 100); // so that 3 is never the descriptor itself
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, high, 3);
  pid_t pid;
  int e = posix_spawn(&pid, self, &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(high);
  if (e) {
    errno = e;
    DIE("posix_spawn");
  }
  return pid;
}

inline void end_process(pid_t pid) {
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
}
