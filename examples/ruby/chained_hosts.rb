# frozen_string_literal: true

# Chained hosts: two far processes meet by way of this one, and a list of hops.
#
#     chained_hosts.rb [SPEC]     the first hop, "-" (a child process) unless given
require "remora"

def sum_of(numbers)
  numbers.sum
end

if __FILE__ == $PROGRAM_NAME
  spec = ARGV[0] || "-"
  Remora.connect(spec) do |conn|
    # Two connections of ours meet: an object of one is lent to code of the other, by way of this process.
    Remora.connect(spec) do |other|
      box = Remora.new_on(other, "Array", [1, 2, 3])
      puts "two processes: #{conn.pid != other.pid}"
      puts "bridged: #{Remora.can_on(conn, method(:sum_of)).call(box)}"
    end

    # The other one may speak another language.
    Remora.connect(spec, node: :python) do |python|
      box = Remora.new_on(python, "collections.deque", [1, 2, 3])
      puts "a deque of Python, in Ruby over there: #{Remora.can_on(conn, "Kernel.Array").call(box.each.to_a)}"
      far_set = Remora.new_on(conn, "Set", [1, 2])
      puts "a set of Ruby, in Python: #{Remora.can_on(python, "builtins.len").call(far_set)}"
    end
  end

  # A list of hops is one connection: here a command that carries stdin and stdout to the next.
  Remora.connect([["env", "REMORA_EXAMPLE=hop"], "-"]) do |conn|
    puts "by way of a command: #{Remora.can_on(conn, "ENV.fetch").call("REMORA_EXAMPLE")}"
  end
end
