// Cap'n Proto RPC (two-party) over a socket pair to a process that this one starts.
#include "peer.capnp.h"
#include "peer.hpp"
#include <capnp/rpc-twoparty.h>
#include <functional>
#include <kj/async-io.h>

static capnp::ReaderOptions reader_options() {
  capnp::ReaderOptions o;
  o.traversalLimitInWords = 1ull << 32;
  return o;
}
static const capnp::MessageSize blob_message{(BLOB_SIZE >> 3) + 64, 0};

struct Far final : Peer::Server {
  kj::Promise<void> add(AddContext c) override {
    auto p = c.getParams();
    c.getResults().setR(p.getA() + p.getB());
    return kj::READY_NOW;
  }
  kj::Promise<void> echo(EchoContext c) override {
    c.getResults(blob_message).setD(c.getParams().getD());
    return kj::READY_NOW;
  }
  kj::Promise<void> sink(SinkContext c) override {
    c.getResults().setN(c.getParams().getD().size());
    return kj::READY_NOW;
  }
  kj::Promise<void> items(ItemsContext c) override {
    c.getResults().setL(c.getParams().getL());
    return kj::READY_NOW;
  }
};

static int serve() {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  auto io = kj::setupAsyncIo();
  auto stream = io.lowLevelProvider->wrapSocketFd(3);
  capnp::TwoPartyVatNetwork network(*stream, capnp::rpc::twoparty::Side::SERVER, reader_options());
  auto rpc = capnp::makeRpcServer(network, kj::heap<Far>());
  network.onDisconnect().wait(io.waitScope);
  return 0;
}

struct Connection {
  pid_t pid;
  kj::Own<kj::AsyncIoStream> stream;
  capnp::TwoPartyVatNetwork network;
  capnp::RpcSystem<capnp::rpc::twoparty::VatId> rpc;
  Connection(pid_t pid, kj::Own<kj::AsyncIoStream> s)
      : pid(pid), stream(kj::mv(s)), network(*stream, capnp::rpc::twoparty::Side::CLIENT, reader_options()),
        rpc(capnp::makeRpcClient(network)) {}
  Peer::Client peer() {
    capnp::MallocMessageBuilder m;
    auto v = m.initRoot<capnp::rpc::twoparty::VatId>();
    v.setSide(capnp::rpc::twoparty::Side::SERVER);
    return rpc.bootstrap(v).castAs<Peer>();
  }
};

struct Near {
  kj::AsyncIoContext io = kj::setupAsyncIo();
  kj::WaitScope &wait = io.waitScope;

  kj::Own<Connection> connect() {
    int s[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s)) DIE("socketpair");
    pid_t pid = spawn_self({"far"}, s[1]);
    close(s[1]);
    return kj::heap<Connection>(pid,
                                io.lowLevelProvider->wrapSocketFd(s[0], kj::LowLevelAsyncIoProvider::TAKE_OWNERSHIP));
  }
};

static kj::Promise<int64_t> add(Peer::Client &c, int64_t a, int64_t b) {
  auto r = c.addRequest();
  r.setA(a);
  r.setB(b);
  return r.send().then([](capnp::Response<Peer::AddResults> &&x) { return x.getR(); });
}

static kj::Promise<size_t> bulk(Peer::Client &c, const std::string &b, bool back) {
  auto data = kj::arrayPtr(reinterpret_cast<const kj::byte *>(b.data()), b.size());
  if (back) {
    auto r = c.echoRequest(blob_message);
    r.setD(data);
    return r.send().then([](capnp::Response<Peer::EchoResults> &&x) { return size_t(x.getD().size()); });
  }
  auto r = c.sinkRequest(blob_message);
  r.setD(data);
  return r.send().then([](capnp::Response<Peer::SinkResults> &&x) { return size_t(x.getN()); });
}

static void outstanding(Near &near, Peer::Client peer, double seconds) {
  long done = 0, next = 0;
  uint64_t start = now_ns();
  std::function<kj::Promise<void>()> chain = [&]() -> kj::Promise<void> { // IN_FLIGHT of these run at any time
    int64_t i = next++;
    return add(peer, i, 3).then([&, i](int64_t r) -> kj::Promise<void> {
      if (r != i + 3) DIE("wrong result");
      done++;
      if (double(now_ns() - start) > seconds * 1e9) return kj::READY_NOW;
      return chain();
    });
  };
  kj::Vector<kj::Promise<void>> all;
  for (int i = 0; i < IN_FLIGHT; i++) all.add(chain());
  kj::joinPromises(all.releaseAsArray()).wait(near.wait);
  printf("{\"calls_s\": %.0f, \"n\": %ld, \"in_flight\": %d}\n", done / (double(now_ns() - start) / 1e9), done,
         IN_FLIGHT);
}

static void records(Near &near, Peer::Client peer, double seconds) {
  auto in = make_records();
  repeat(seconds, [&] {
    auto r = peer.itemsRequest();
    auto l = r.initL(in.size());
    for (size_t k = 0; k < in.size(); k++) {
      auto e = l[k];
      e.setId(in[k].id);
      e.setName(in[k].name.c_str());
      auto t = e.initTags(in[k].tags.size());
      for (size_t j = 0; j < in[k].tags.size(); j++) t.set(j, in[k].tags[j].c_str());
      e.setScore(in[k].score);
    }
    auto x = r.send().wait(near.wait);
    std::vector<Record> out;
    for (auto e : x.getL()) {
      Record z{e.getId(), e.getName().cStr(), {}, e.getScore()};
      for (auto t : e.getTags()) z.tags.push_back(t.cStr());
      out.push_back(std::move(z));
    }
    if (out != in) DIE("the records came back changed");
  });
}

// One event loop, as the library wants it: the bulk call goes on while small calls are waited for.
static void mixed_on_loop(Near &near, double seconds, bool back) {
  auto c1 = near.connect(), c2 = near.connect();
  auto a = c1->peer(), b = c2->peer();
  std::string data(BLOB_SIZE, 0);
  fill_random(&data[0], BLOB_SIZE);
  bench_paced_times idle{}, load{};
  auto &timer = near.io.provider->getTimer();
  auto paced = [&](bench_paced_times &t, std::function<bool(double)> stop) {
    uint64_t start = now_ns();
    for (uint64_t k = 1;; k++) {
      uint64_t due = start + k * PERIOD_NS, now = now_ns();
      if (now + 1000000 < due) timer.afterDelay((due - now - 1000000) * kj::NANOSECONDS).wait(near.wait);
      while ((now = now_ns()) < due) near.wait.poll();
      if (t.due.n && stop(double(now - start) / 1e9)) return;
      if (add(b, 2, 3).wait(near.wait) != 5) DIE("wrong result");
      uint64_t end = now_ns();
      samples_add(&t.due, end - due);
      samples_add(&t.started, end - now);
    }
  };
  for (int i = 0; i < 300; i++) add(b, 2, 3).wait(near.wait);
  paced(idle, [&](double t) { return t > seconds / 2; });
  bulk(a, data, back).wait(near.wait);
  int n = 0;
  double took = 0;
  uint64_t start = now_ns();
  std::function<kj::Promise<void>()> chain = [&]() -> kj::Promise<void> {
    return bulk(a, data, back).then([&](size_t) -> kj::Promise<void> {
      n++;
      if (double(now_ns() - start) > seconds * 2e9) {
        took = double(now_ns() - start) / 1e9;
        return kj::READY_NOW;
      }
      return chain();
    });
  };
  auto run = chain().eagerlyEvaluate([](kj::Exception &&e) { DIE("%s", e.getDescription().cStr()); });
  paced(load, [&](double t) { return took > 0 || t > 60; });
  bench_mixed_print(&idle, &load, n, took, back ? 2 : 1);
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  std::string workload = argc > 1 ? argv[1] : "call";
  if (workload == "far") return serve();
  double seconds = argc > 2 ? atof(argv[2]) : 2;
  Near near;
  if (workload == "mixed" || workload == "mixed-back") {
    mixed_on_loop(near, seconds, workload == "mixed-back");
  } else if (workload == "spawn") {
    kj::Own<Connection> c;
    spawns(
        seconds,
        [&] {
          c = near.connect();
          auto p = c->peer();
          if (add(p, 2, 3).wait(near.wait) != 5) DIE("wrong result");
        },
        [&] {
          pid_t pid = c->pid;
          c = nullptr;
          end_process(pid);
        });
  } else if (workload == "fifty") {
    uint64_t start = now_ns();
    std::vector<kj::Own<Connection>> conns;
    std::vector<Peer::Client> peers;
    kj::Vector<kj::Promise<int64_t>> first;
    for (int i = 0; i < NODES; i++) {
      conns.push_back(near.connect());
      peers.push_back(conns.back()->peer());
      first.add(add(peers.back(), 2, 3));
    }
    for (auto r : kj::joinPromises(first.releaseAsArray()).wait(near.wait))
      if (r != 5) DIE("wrong result");
    printf("{\"ms\": %.3f, \"n\": %d}\n", double(now_ns() - start) / 1e6, NODES);
  } else {
    auto c = near.connect();
    auto peer = c->peer();
    if (add(peer, 2, 3).wait(near.wait) != 5) DIE("wrong result");
    if (workload == "outstanding")
      outstanding(near, peer, seconds);
    else if (workload == "records")
      records(near, peer, seconds);
    else if (workload == "hold")
      bench_pause("hold");
    else if (workload == "bytes") {
      std::string in(BLOB_SIZE, 0), out(BLOB_SIZE, 0);
      fill_random(&in[0], BLOB_SIZE);
      bytes(
          seconds,
          [&] {
            auto r = peer.echoRequest(blob_message);
            r.setD(kj::arrayPtr(reinterpret_cast<const kj::byte *>(in.data()), in.size()));
            auto x = r.send().wait(near.wait);
            auto d = x.getD();
            out.assign(reinterpret_cast<const char *>(d.begin()), d.size());
          },
          [&] {
            if (in != out) DIE("the bytes came back changed");
          });
    } else if (!calls(workload.c_str(), seconds, [&] {
                 if (add(peer, 2, 3).wait(near.wait) != 5) DIE("wrong result");
               }))
      bench_unsupported(workload.c_str());
  }
  bench_end();
  _exit(0);
}
