// sd-bus (libsystemd) without a broker: over a socket pair to a process that this one starts.
#include "peer.hpp"
#include <systemd/sd-bus.h>

#define PEER nullptr, "/peer", "bench.Peer" // destination, path, interface

static int checked(int result, const char *what) {
  if (result < 0) {
    errno = -result;
    DIE("%s", what);
  }
  return result;
}
#define OK(call) checked((call), #call)

static int far_add(sd_bus_message *m, void *, sd_bus_error *) {
  int64_t a, b;
  OK(sd_bus_message_read(m, "xx", &a, &b));
  return sd_bus_reply_method_return(m, "x", a + b);
}

static int far_echo(sd_bus_message *m, void *, sd_bus_error *) {
  const void *data;
  size_t size;
  sd_bus_message *reply;
  OK(sd_bus_message_read_array(m, 'y', &data, &size));
  OK(sd_bus_message_new_method_return(m, &reply));
  OK(sd_bus_message_append_array(reply, 'y', data, size));
  int sent = sd_bus_send(nullptr, reply, nullptr);
  sd_bus_message_unref(reply);
  return sent;
}

static int far_sink(sd_bus_message *m, void *, sd_bus_error *) {
  const void *data;
  size_t size;
  OK(sd_bus_message_read_array(m, 'y', &data, &size));
  return sd_bus_reply_method_return(m, "x", int64_t(size));
}

static const sd_bus_vtable methods[] = {
    SD_BUS_VTABLE_START(0), SD_BUS_METHOD("Add", "xx", "x", far_add, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Echo", "ay", "ay", far_echo, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Sink", "ay", "x", far_sink, SD_BUS_VTABLE_UNPRIVILEGED), SD_BUS_VTABLE_END};

static int serve() {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sd_bus *bus;
  sd_id128_t id;
  OK(sd_id128_randomize(&id));
  OK(sd_bus_new(&bus));
  OK(sd_bus_set_fd(bus, 3, 3));
  OK(sd_bus_set_server(bus, 1, id));
  OK(sd_bus_set_anonymous(bus, 1));
  OK(sd_bus_add_object_vtable(bus, nullptr, "/peer", "bench.Peer", methods, nullptr));
  OK(sd_bus_start(bus));
  for (;;) {
    int did = sd_bus_process(bus, nullptr);
    if (did < 0 || (!did && sd_bus_wait(bus, UINT64_MAX) < 0)) return 0;
  }
}

struct Connection {
  pid_t pid = 0;
  sd_bus *bus = nullptr;

  void open() {
    int s[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s)) DIE("socketpair");
    pid = spawn_self({"far"}, s[1]);
    close(s[1]);
    OK(sd_bus_new(&bus));
    OK(sd_bus_set_fd(bus, s[0], s[0]));
    OK(sd_bus_start(bus));
    OK(sd_bus_set_method_call_timeout(bus, 60000000));
  }

  void end() {
    bus = sd_bus_close_unref(bus);
    end_process(pid);
  }

  void add() {
    sd_bus_message *reply = nullptr;
    int64_t sum;
    OK(sd_bus_call_method(bus, PEER, "Add", nullptr, &reply, "xx", int64_t(2), int64_t(3)));
    OK(sd_bus_message_read(reply, "x", &sum));
    sd_bus_message_unref(reply);
    if (sum != 5) DIE("wrong result");
  }

  // The reply of Echo or Sink.
  sd_bus_message *bulk(const char *method, const std::string &data) {
    sd_bus_message *m, *reply = nullptr;
    OK(sd_bus_message_new_method_call(bus, &m, PEER, method));
    OK(sd_bus_message_append_array(m, 'y', data.data(), data.size()));
    OK(sd_bus_call(bus, m, 0, nullptr, &reply));
    sd_bus_message_unref(m);
    return reply;
  }

  void echo(const std::string &data, std::string &out) {
    sd_bus_message *reply = bulk("Echo", data);
    const void *got;
    size_t size;
    OK(sd_bus_message_read_array(reply, 'y', &got, &size));
    out.assign(static_cast<const char *>(got), size);
    sd_bus_message_unref(reply);
  }
};

static long done;

static int got_sum(sd_bus_message *m, void *want, sd_bus_error *) {
  int64_t sum;
  OK(sd_bus_message_read(m, "x", &sum));
  if (sum != int64_t(intptr_t(want))) DIE("wrong result");
  done++;
  return 0;
}

// IN_FLIGHT calls are under way at any time.
static void outstanding(sd_bus *bus, double seconds) {
  long sent = 0;
  uint64_t start = now_ns();
  for (bool more = true; more || done < sent;) {
    more = double(now_ns() - start) < seconds * 1e9;
    for (; more && sent - done < IN_FLIGHT; sent++)
      OK(sd_bus_call_method_async(bus, nullptr, PEER, "Add", got_sum, reinterpret_cast<void *>(intptr_t(sent + 3)),
                                  "xx", int64_t(sent), int64_t(3)));
    if (!OK(sd_bus_process(bus, nullptr))) OK(sd_bus_wait(bus, UINT64_MAX));
  }
  printf("{\"calls_s\": %.0f, \"n\": %ld, \"in_flight\": %d}\n", double(done) / (double(now_ns() - start) / 1e9), done,
         IN_FLIGHT);
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  std::string workload = argc > 1 ? argv[1] : "call";
  if (workload == "far") return serve();
  double seconds = argc > 2 ? atof(argv[2]) : 2;
  Connection a, b;
  if (workload == "spawn") {
    spawns(
        seconds,
        [&] {
          a.open();
          a.add();
        },
        [&] { a.end(); });
    bench_end();
    _exit(0);
  }
  a.open();
  a.add();
  bool back = workload == "mixed-back";
  std::string data, out;
  if (workload == "bytes" || back || workload == "mixed") {
    data.resize(BLOB_SIZE);
    fill_random(&data[0], BLOB_SIZE);
  }
  if (workload == "outstanding")
    outstanding(a.bus, seconds);
  else if (workload == "hold")
    bench_pause("hold");
  else if (workload == "bytes")
    bytes(
        seconds, [&] { a.echo(data, out); },
        [&] {
          if (out != data) DIE("the bytes came back changed");
        });
  else if (back || workload == "mixed") {
    b.open();
    mixed(
        seconds, [&] { a.add(); },
        [&] {
          if (back)
            b.echo(data, out);
          else
            sd_bus_message_unref(b.bulk("Sink", data));
        },
        back ? 2 : 1);
  } else if (!calls(workload.c_str(), seconds, [&] { a.add(); }))
    bench_unsupported(workload.c_str());
  bench_end();
  _exit(0);
}
