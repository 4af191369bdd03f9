# frozen_string_literal: true

# DRb over a Unix socket: the far side is this file, run with "serve".
require "drb"
require "drb/unix"

class Adder
  def add(a, b)
    a + b
  end
end

if ARGV[0] == "serve"
  DRb.start_service("drbunix:", Adder.new)
  puts DRb.uri
  $stdout.flush
  $stdin.read
  exit!(0)
end

require_relative "../harness"

Harness.main do
  DRb.start_service("drbunix:") unless DRb.primary_server
  far = IO.popen([Harness::RUBY, __FILE__, "serve"], "r+")
  [DRbObject.new_with_uri(far.gets.chomp), nil, -> { far.close }]
end
