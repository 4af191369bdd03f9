// gRPC over an (abstract) unix socket to a process that this one starts. Unary calls: the blocking stub; outstanding: the
// callback API on both sides, and one bidirectional stream beside it.
#include "peer.grpc.pb.h"
#include "peer.hpp"
#include <atomic>
#include <condition_variable>
#include <functional>
#include <grpcpp/grpcpp.h>
#include <memory>
#include <mutex>
#include <thread>

using peer::AddReply;
using peer::AddRequest;
using peer::Blob;
using peer::Items;
using peer::Length;

struct Far final : peer::Peer::Service {
  grpc::Status Add(grpc::ServerContext *, const AddRequest *q, AddReply *r) override {
    r->set_r(q->a() + q->b());
    return grpc::Status::OK;
  }
  grpc::Status Echo(grpc::ServerContext *, const Blob *q, Blob *r) override {
    *r = *q;
    return grpc::Status::OK;
  }
  grpc::Status Sink(grpc::ServerContext *, const Blob *q, Length *r) override {
    r->set_n(q->d().size());
    return grpc::Status::OK;
  }
  grpc::Status EchoItems(grpc::ServerContext *, const Items *q, Items *r) override {
    *r = *q;
    return grpc::Status::OK;
  }
  grpc::Status Stream(grpc::ServerContext *, grpc::ServerReaderWriter<AddReply, AddRequest> *s) override {
    AddRequest q;
    AddReply r;
    while (s->Read(&q)) {
      r.set_r(q.a() + q.b());
      s->Write(r);
    }
    return grpc::Status::OK;
  }
};
struct CallbackFar final : peer::Peer::CallbackService {
  grpc::ServerUnaryReactor *Add(grpc::CallbackServerContext *c, const AddRequest *q, AddReply *r) override {
    r->set_r(q->a() + q->b());
    auto *reactor = c->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

static int serve(const std::string &address, bool callback) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  grpc::ServerBuilder b;
  b.SetMaxReceiveMessageSize(-1);
  b.SetMaxSendMessageSize(-1);
  b.AddListeningPort(address, grpc::InsecureServerCredentials());
  Far far;
  CallbackFar callback_far;
  if (callback)
    b.RegisterService(&callback_far);
  else
    b.RegisterService(&far);
  auto s = b.BuildAndStart();
  if (write(3, "r", 1) != 1) return 1;
  close(3);
  s->Wait();
  return 0;
}

static void ok(const grpc::Status &s) {
  if (!s.ok()) DIE("gRPC: %s", s.error_message().c_str());
}

struct Server { // a far process that may not listen yet
  pid_t pid;
  std::string address;
  int ready;
  explicit Server(bool callback = false) {
    static int count;
    int p[2];
    if (pipe2(p, O_CLOEXEC)) DIE("pipe");
    address = "unix-abstract:remora-bench-" + std::to_string(getpid()) + "-" + std::to_string(count++);
    pid = spawn_self({"far", address, callback ? "callback" : ""}, p[1]);
    close(p[1]);
    ready = p[0];
  }
  Server &wait() {
    char b;
    if (read(ready, &b, 1) != 1) DIE("the server did not start");
    close(ready);
    return *this;
  }
};

struct Client {
  std::unique_ptr<peer::Peer::Stub> stub;
  Blob blob;
  explicit Client(const std::string &address) {
    grpc::ChannelArguments a;
    a.SetMaxReceiveMessageSize(-1);
    a.SetMaxSendMessageSize(-1);
    a.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1); // a connection of its own
    stub = peer::Peer::NewStub(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), a));
  }
  void add() {
    grpc::ClientContext c;
    AddRequest q;
    AddReply r;
    q.set_a(2);
    q.set_b(3);
    ok(stub->Add(&c, q, &r));
    if (r.r() != 5) DIE("wrong result");
  }
  void sink() {
    grpc::ClientContext c;
    Length r;
    ok(stub->Sink(&c, blob, &r));
    if (r.n() != BLOB_SIZE) DIE("wrong result");
  }
  void echo(Blob *out) {
    grpc::ClientContext c;
    ok(stub->Echo(&c, blob, out));
  }
};

static void fill(Client &c) {
  std::string data(BLOB_SIZE, 0);
  fill_random(&data[0], BLOB_SIZE);
  c.blob.set_d(std::move(data));
}

static void outstanding(double seconds) {
  struct Call {
    grpc::ClientContext c;
    AddRequest q;
    AddReply r;
  };
  Server server(true);
  Client client(server.wait().address);
  client.add();
  std::atomic<long> done{0}, next{0};
  int live = IN_FLIGHT;
  std::mutex m;
  std::condition_variable cv;
  uint64_t start = now_ns();
  std::function<void()> go = [&] { // IN_FLIGHT of these run at any time
    auto *c = new Call;
    int64_t i = next++;
    c->q.set_a(i);
    c->q.set_b(3);
    client.stub->async()->Add(&c->c, &c->q, &c->r, [&, c, i](grpc::Status s) {
      ok(s);
      if (c->r.r() != i + 3) DIE("wrong result");
      delete c;
      done++;
      if (double(now_ns() - start) < seconds * 1e9) return go();
      std::lock_guard<std::mutex> g(m);
      if (--live == 0) cv.notify_one();
    });
  };
  for (int i = 0; i < IN_FLIGHT; i++) go();
  std::unique_lock<std::mutex> g(m);
  cv.wait(g, [&] { return live == 0; });
  double unary = double(done) / (double(now_ns() - start) / 1e9);

  Server stream_server;
  Client h(stream_server.wait().address);
  grpc::ClientContext c;
  auto s = h.stub->Stream(&c);
  std::atomic<long> got{0};
  std::thread reader([&] {
    AddReply r;
    while (s->Read(&r))
      if (r.r() != got++ + 3) DIE("wrong result");
  });
  AddRequest q;
  long sent = 0;
  start = now_ns();
  while (double(now_ns() - start) < seconds * 1e9) {
    if (sent - got >= IN_FLIGHT) {
      std::this_thread::yield();
      continue;
    }
    q.set_a(sent++);
    q.set_b(3);
    s->Write(q);
  }
  s->WritesDone();
  reader.join();
  double stream = double(got) / (double(now_ns() - start) / 1e9);
  ok(s->Finish());
  printf("{\"calls_s\": %.0f, \"n\": %ld, \"in_flight\": %d, \"stream_s\": %.0f}\n", unary, long(done), IN_FLIGHT,
         stream);
}

static void records(Client &client, double seconds) {
  auto in = make_records();
  repeat(seconds, [&] {
    Items q, r;
    for (auto &x : in) {
      auto *e = q.add_l();
      e->set_id(x.id);
      e->set_name(x.name);
      for (auto &t : x.tags) e->add_tags(t);
      e->set_score(x.score);
    }
    grpc::ClientContext c;
    ok(client.stub->EchoItems(&c, q, &r));
    std::vector<Record> out;
    for (auto &e : r.l()) out.push_back({e.id(), e.name(), {e.tags().begin(), e.tags().end()}, e.score()});
    if (out != in) DIE("the records came back changed");
  });
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  std::string workload = argc > 1 ? argv[1] : "call";
  if (workload == "far" && argc > 3) return serve(argv[2], !strcmp(argv[3], "callback"));
  double seconds = argc > 2 ? atof(argv[2]) : 2;
  if (workload == "outstanding") {
    outstanding(seconds);
  } else if (workload == "spawn") {
    pid_t pid = 0;
    spawns(
        seconds,
        [&] {
          Server s;
          pid = s.pid;
          Client(s.wait().address).add();
        },
        [&] { end_process(pid); });
  } else if (workload == "fifty") {
    uint64_t start = now_ns();
    std::vector<Server> servers(NODES);
    std::vector<std::unique_ptr<Client>> clients;
    for (auto &s : servers) {
      clients.emplace_back(new Client(s.wait().address));
      clients.back()->add();
    }
    printf("{\"ms\": %.3f, \"n\": %d}\n", double(now_ns() - start) / 1e6, NODES);
    bench_end();
    _exit(0);
  } else {
    Server server;
    Client client(server.wait().address);
    client.add();
    if (workload == "records")
      records(client, seconds);
    else if (workload == "hold")
      bench_pause("hold");
    else if (workload == "bytes") {
      fill(client);
      Blob out;
      bytes(
          seconds, [&] { client.echo(&out); },
          [&] {
            if (client.blob.d() != out.d()) DIE("the bytes came back changed");
          });
    } else if (workload == "mixed" || workload == "mixed-back") {
      bool back = workload == "mixed-back";
      Server other;
      Client bulk(other.wait().address);
      fill(bulk);
      Blob out;
      mixed(
          seconds, [&] { client.add(); },
          [&] {
            if (back)
              bulk.echo(&out);
            else
              bulk.sink();
          },
          back ? 2 : 1);
    } else if (!calls(workload.c_str(), seconds, [&] { client.add(); }))
      bench_unsupported(workload.c_str());
  }
  bench_end();
  _exit(0);
}
