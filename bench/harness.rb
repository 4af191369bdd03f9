# frozen_string_literal: true

# harness.py in Ruby: what its programs share. Each runs as PROGRAM WORKLOAD [SECONDS] and prints one JSON object a line.
require "json"

module Bench
  BLOB_SIZE = 64 << 20
  IN_FLIGHT = 1000
  RUBY = ENV.fetch("BENCH_RUBY", "ruby")

  class Unsupported < StandardError; end

  # One system: #connect gives a peer in a fresh process, with add, echo and close; #burst(peer, count) is the results of add(i, 3), none waited for
  # before all are sent.
  class System
    def in_flight
      IN_FLIGHT
    end

    def burst(_peer, _count)
      raise Unsupported, "calls without waiting"
    end

    def run(workload, seconds)
      case workload
      when "call" then calls(seconds)
      when "call-1ms" then calls(seconds, 0.001)
      when "call-50ms" then calls(seconds, 0.050)
      when "call-busy" then calls_beside_work(seconds)
      when "outstanding" then outstanding(seconds)
      when "bytes" then bytes(seconds)
      when "records" then records(seconds)
      when "spawn" then spawn_until_result(seconds)
      when "hold" then hold
      else raise Unsupported, workload
      end
    end

    private

    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end

    def now_ns
      Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)
    end

    def percentile(values, share)
      values.sort[[values.size - 1, (values.size * share).to_i].min]
    end

    def emit(**measured)
      $stdout.puts JSON.generate(measured.transform_values { |v| Float === v ? v.round(4) : v })
      $stdout.flush
    end

    def pause(name)
      emit(pause: name)
      $stdin.gets
    end

    def calls(seconds, think = 0)
      peer = connect
      warm = now
      5000.times do
        peer.add(2, 3)
        break if now - warm > [1.0, seconds / 2].min
      end
      times = []
      start = last = now_ns
      while last - start < seconds * 1e9 || times.size < 20
        if think.positive?
          sleep(think)
          last = now_ns
        end
        result = peer.add(2, 3)
        at = now_ns
        times << at - last
        last = at
        raise "2 + 3 = #{result.inspect}" unless result == 5
      end
      emit(p50_us: percentile(times, 0.5) / 1e3, p99_us: percentile(times, 0.99) / 1e3, calls_s: times.size / (times.sum / 1e9), n: times.size)
    end

    def calls_beside_work(seconds)
      Thread.new do
        n = 0
        loop { n += 1 }
      end
      calls(seconds)
    end

    def outstanding(seconds)
      peer, count, done = connect, in_flight, 0
      want = Array.new(count) { |i| i + 3 }
      burst(peer, count)
      start = now
      while now - start < seconds
        raise "wrong results" unless burst(peer, count) == want
        done += count
      end
      emit(calls_s: done / (now - start), n: done, in_flight: count)
    end

    def bytes(seconds)
      peer, data = connect, Random.bytes(BLOB_SIZE)
      peer.add(2, 3)
      pause("before")
      times = [timed { @result = peer.echo(data) }]
      pause("after")
      compare(data)
      times.concat(repeat(seconds, data) { @result = peer.echo(data) })
      s = percentile(times.drop(1), 0.5) # repeat gives one at least
      emit(s: s, mb_s: 2 * BLOB_SIZE / 1e6 / s, first_s: times[0], n: times.size)
    end

    def records(seconds)
      peer = connect
      data = Array.new(100_000) { |i| { "id" => i, "name" => "item #{i}", "tags" => %w[a b c], "score" => 1.5 } }
      times = repeat(seconds, data) { @result = peer.echo(data) }
      emit(s: percentile(times.size > 1 ? times.drop(1) : times, 0.5), n: times.size)
    end

    def spawn_until_result(seconds)
      times, start = [], now
      while times.size < 3 || (now - start < seconds && times.size < 40)
        begun = now
        peer = connect
        result = peer.add(2, 3)
        times << (now - begun) * 1e3
        raise "2 + 3 = #{result.inspect}" unless result == 5
        peer.close
      end
      emit(ms: percentile(times, 0.5), n: times.size)
    end

    def hold
      peer = connect
      peer.add(2, 3)
      pause("hold")
    end

    def timed
      start = now
      yield
      now - start
    end

    def repeat(seconds, data, &block)
      times = []
      while times.empty? || (times.sum < seconds * 2 && times.size < 12)
        times << timed(&block)
        compare(data)
      end
      times
    end

    def compare(data)
      raise "it came back changed" unless @result == data && !@result.equal?(data)
      @result = nil
    end
  end

  # Runs the workload that the command line names; the process ends here.
  def self.main(system)
    status = 0
    begin
      system.run(ARGV[0], (ARGV[1] || 2).to_f)
    rescue Unsupported => e
      puts JSON.generate(unsupported: e.message)
    rescue StandardError => e
      puts JSON.generate(error: "#{e.class}: #{e.message[0, 300]}")
      status = 1
    end
    puts JSON.generate(end: true)
    $stdout.flush
    exit!(status)
  end
end
