# frozen_string_literal: true

# Remora from Ruby: the far side is the zero-install Ruby node, started through stdin.
require "remora"
require_relative "harness"

$LOAD_PATH.unshift(__dir__)

Harness.main do
  conn = Remora.connect("-", interpreter: Harness::RUBY)
  peer = Remora.new_on(conn, "bench_far:Peer")
  burst = lambda do |count|
    start = Remora.start(peer)
    Remora.await_all(Array.new(count) { |i| start.add(i, 3) })
  end
  [peer, burst, -> { conn.close }]
end
