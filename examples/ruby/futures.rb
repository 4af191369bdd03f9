# frozen_string_literal: true

# Futures: calls that run at the same time, and what can be done with a result that has not come yet.
require "remora"

def nap(seconds)
  sleep seconds
  seconds
end

if __FILE__ == $PROGRAM_NAME
  # One far process runs one call at a time; four of them run four.
  conns = Array.new(4) { Remora.connect(ARGV[0] || "-") }
  naps = conns.map { |conn| Remora.can_on(conn, method(:nap)) }

  start = Time.now
  futures = naps.map { |far_nap| Remora.start(far_nap).call(1) }
  puts "four naps: #{Remora.await_all(futures, timeout: 10)}"
  puts "at the same time: #{Time.now - start < 3.8}"

  # Many calls on their way over one connection.
  root = Remora.can_on(conns[0], "Integer.sqrt")
  futures = Array.new(1000) { |i| Remora.start(root).call(i * i) }
  puts "a thousand calls: #{Remora.await_all(futures) == (0...1000).to_a}"

  # A limit for waiting leaves the call alone; a limit for the call ends it.
  future = Remora.start(naps[0]).call(1)
  begin
    future.value!(0.01)
  rescue Remora::Timeout
    puts "not yet; resolved: #{future.resolved?}"
  end
  puts "later: #{future.value!}"
  begin
    Remora.options(naps[0], timeout: 0.05).call(1)
  rescue Remora::Timeout
    puts "the call's own time is up"
  end

  future = Remora.start(naps[1]).call(10)
  puts "cancelled: #{future.cancel} #{future.cancelled?}"

  doubled = Remora.start(naps[2]).call(0.1).then { |seconds| seconds * 2 }
  puts "then: #{doubled.value!}"
  saved = Remora.start(naps[2]).call(-1).rescue { |error| "saved from #{error.class}" }
  puts "rescue: #{saved.value!}"
  conns.each(&:close)
end
