# frozen_string_literal: true

# DRb, of Ruby's standard library, over a unix socket to a process that this one starts (this file with "far"); it ends with its standard input.
require "drb"
require "drb/unix"
require_relative "../harness"

class Far
  def add(a, b)
    a + b
  end

  def echo(value)
    value
  end
end

class Drb < Bench::System
  LOAD_LIMIT = 256 << 20 # of one message

  Peer = Struct.new(:process, :far) do
    def add(a, b)
      far.add(a, b)
    end

    def echo(value)
      far.echo(value)
    end

    def close
      DRb::DRbConn.stop_pool # else a connection to the ended process stays in it
      process.close
    end
  end

  def self.serve
    DRb.start_service("drbunix:", Far.new, load_limit: LOAD_LIMIT)
    puts DRb.uri
    $stdout.flush
    $stdin.read
    exit!(0)
  end

  def initialize
    super
    DRb.start_service("drbunix:", nil, load_limit: LOAD_LIMIT)
  end

  def connect
    process = IO.popen([Bench::RUBY, __FILE__, "far"], "r+")
    Peer.new(process, DRbObject.new_with_uri(process.gets.chomp))
  end

  # No calls without waiting: threads, each with a connection of DRb's pool.
  def in_flight
    8
  end

  private

  def outstanding(seconds)
    peer, done = connect, Array.new(in_flight, 0)
    100.times { peer.add(2, 3) }
    start = now
    Array.new(in_flight) do |k|
      Thread.new do
        while now - start < seconds
          i = done[k] += 1
          raise "wrong result" unless peer.add(i, 3) == i + 3
        end
      end
    end.each(&:join)
    emit(calls_s: done.sum / (now - start), n: done.sum, in_flight: in_flight)
  end
end

ARGV[0] == "far" ? Drb.serve : Bench.main(Drb.new)
