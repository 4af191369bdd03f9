# frozen_string_literal: true

# Remora from Ruby to Ruby: the far side is the zero-install Ruby node, started through stdin.
require "remora"
require_relative "harness"

class Near < Bench::System
  Peer = Struct.new(:conn, :proxy) do
    def add(a, b)
      proxy.add(a, b)
    end

    def echo(value)
      proxy.echo(value)
    end

    def close
      conn.close
    end
  end

  def connect
    conn = Remora.connect("-", interpreter: Bench::RUBY, roots: [__dir__])
    Peer.new(conn, Remora.new_on(conn, "bench_far:Peer"))
  end

  def burst(peer, count)
    proxy = peer.proxy
    Remora.await_all(Array.new(count) { |i| Remora.start(proxy).add(i, 3) })
  end
end

Bench.main(Near.new)
