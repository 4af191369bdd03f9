# frozen_string_literal: true

# Counter: objects that live over there, their attributes, and the operators that work on a proxy.
require "remora"

# Shipped to the far side from this script: that is why what the script does stands behind a guard.
class Counter
  include Comparable

  attr_accessor :value

  def initialize(start = 0)
    @value = start
  end

  def increment(by: 1)
    @value += by
  end

  def same_as(other)
    equal?(other)
  end

  def <=>(other)
    value <=> other.value
  end
end

if __FILE__ == $PROGRAM_NAME
  Remora.connect(ARGV[0] || "-") do |conn|
    counter = Remora.new_on(conn, Counter, 5)
    puts "increment: #{counter.increment} #{counter.increment(by: 10)}"

    # In Ruby an attribute is a pair of methods. With far objects of every language these two do:
    puts "value: #{Remora.getattr(counter, :value)}"
    Remora.setattr(counter, :value, 100)
    puts "after setattr: #{counter.increment}"

    # A proxy that goes home arrives as the object itself; the same object is always the same proxy.
    puts "same object: #{counter.same_as(counter)} #{counter.same_as(Remora.new_on(conn, Counter))}"
    puts "in order: #{Remora.new_on(conn, Counter, 1) < counter}"

    # new_on always gives a proxy, also for a class whose objects otherwise cross by value.
    table = Remora.new_on(conn, "Hash")
    table["a"] = 1
    table["b"] = 2
    puts "far hash: #{table.size} #{table["b"]} #{table.key?("a")} #{table.each.map(&:first)}"
  end
end
