# frozen_string_literal: true

# What the Ruby programs of the benchmark share; harness.py is the model, and says what the lines mean.
require "json"

module Harness
  IN_FLIGHT = 1000
  RUBY = ENV.fetch("BENCH_RUBY", "ruby")

  Unsupported = Class.new(StandardError)

  module_function

  def clock
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  def emit(**measured)
    puts measured.transform_values { |value| value.is_a?(Float) ? value.round(4) : value }.to_json
    $stdout.flush
  end

  def pause(name)
    emit(pause: name)
    $stdin.gets
  end

  def share(values, part)
    values.sort[[values.size - 1, (values.size * part).to_i].min]
  end

  # A system connects by its block to one far object with `add`, a peer: [object, function of (count) that starts add(i, 3) for each i below count
  # before it takes a result, or nil, what is to be closed].
  def main(&connect)
    name, seconds = ARGV[0], Float(ARGV[1] || 2)
    Work.new(connect).run(name, seconds)
  rescue Unsupported => e
    emit(unsupported: e.message)
  rescue StandardError => e
    emit(error: "#{e.class}: #{e.message[0, 300]}")
  ensure
    emit(end: true)
    exit!(0)
  end

  class Work
    include Harness

    def initialize(connect)
      @connect = connect
    end

    def run(name, seconds)
      case name
      when "call" then call(seconds)
      when "call-1ms" then call(seconds, think: 0.001)
      when "call-50ms" then call(seconds, think: 0.05)
      when "call-busy"
        Thread.new { loop { 1 + 1 } }
        call(seconds)
      when "outstanding" then outstanding(seconds)
      when "spawn" then spawn_one(seconds)
      when "hold"
        peer, = @kept = @connect.call
        raise "2 + 3" unless peer.add(2, 3) == 5
        pause("hold")
      else raise Unsupported, "not in Ruby"
      end
    end

    private

    def call(seconds, think: nil)
      peer, = @kept = @connect.call
      warm = clock
      5000.times { clock - warm < [1.0, seconds / 2].min && peer.add(2, 3) }
      times, till = [], clock + seconds
      while clock < till || times.size < 20
        sleep think if think
        start = clock
        result = peer.add(2, 3)
        times << clock - start
        raise "2 + 3 = #{result.inspect}" unless result == 5
      end
      emit(p50_us: share(times, 0.5) * 1e6, p99_us: share(times, 0.99) * 1e6, calls_s: times.size / times.sum, n: times.size)
    end

    def outstanding(seconds)
      _, burst = @kept = @connect.call
      raise Unsupported, "calls without waiting" unless burst
      want = Array.new(IN_FLIGHT) { |i| i + 3 }
      burst.call(IN_FLIGHT)
      done, start = 0, clock
      while clock - start < seconds
        raise "wrong results" unless burst.call(IN_FLIGHT) == want
        done += IN_FLIGHT
      end
      emit(calls_s: done / (clock - start), n: done, in_flight: IN_FLIGHT)
    end

    def spawn_one(seconds)
      times, start = [], clock
      while times.size < 3 || (clock - start < seconds && times.size < 40)
        began = clock
        peer, _, closing = @connect.call
        raise "2 + 3" unless peer.add(2, 3) == 5
        times << (clock - began) * 1e3
        closing.call
      end
      emit(ms: share(times, 0.5), n: times.size)
    end
  end
end
