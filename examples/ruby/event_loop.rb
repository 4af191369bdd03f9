# frozen_string_literal: true

# Event loop: futures tell when they are ready; no thread waits for a call. Ruby's programs have many loops; a Queue stands for all of them here.
require "remora"

def nap(seconds)
  sleep seconds
  seconds
end

if __FILE__ == $PROGRAM_NAME
  spec = ARGV[0] || "-"
  conns = Array.new(2) { Remora.connect(spec) }
  loop_queue = Queue.new

  # The block of on_resolution runs on Remora's own thread: it only hands over.
  Remora.start(Remora.new_on(conns[0], "Set", %w[a b a])).size.on_resolution { |_, value, _| loop_queue << "one: #{value}" }
  puts loop_queue.pop

  naps = conns.map { |conn| Remora.can_on(conn, method(:nap)) }
  start = Time.now
  naps.each { |far_nap| Remora.start(far_nap).call(2).on_resolution { |_, value, _| loop_queue << value } }
  puts "two at once: #{[loop_queue.pop, loop_queue.pop]}"
  puts "at the same time: #{Time.now - start < 3.8}"

  slow = Remora.start(naps[0]).call(10)
  slow.on_resolution { |_, _, reason| loop_queue << "cancelled: #{reason.class}" }
  slow.cancel
  puts loop_queue.pop
  conns.each(&:close)
end
