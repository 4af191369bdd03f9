# frozen_string_literal: true

# Hello: an object and a function of another process.
#
#     hello.rb [SPEC]     "-" (a child process, the default), "host", "user@host", "root@" (sudo)
require "remora"

closed = Remora.connect(ARGV[0] || "-") do |conn| # nothing is installed there
  words = Remora.new_on(conn, "Set", %w[a b r a c a d a b r a])
  puts "letters: #{words.size}" # one round trip

  basename = Remora.can_on(conn, "File.basename")
  puts "base name: #{basename.call("/usr/bin/env")}"

  pid = Remora.can_on(conn, "Process.pid")
  puts "it runs in the far process: #{pid.() == conn.pid}"
  puts "there is no such function: #{Remora.can_on(conn, "File.nonsense").inspect}"
  conn
end
puts "closed: #{!closed.valid?}"
