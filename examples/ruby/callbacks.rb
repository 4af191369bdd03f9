# frozen_string_literal: true

# Callbacks: blocks, procs and objects of this process, called from over there.
require "remora"

# Lent to the far side: over there only its public methods can be used.
class Log
  attr_reader :lines

  def initialize
    @lines = []
  end

  def add(line)
    @lines << line
    @lines.size
  end

  private

  def clear
    @lines.clear
  end
end

# What follows runs on the far side.

def count_down(count)
  count.downto(1) { |left| yield left }
  "done"
end

def length_of(word)
  word.length
end

def write_twice(log, line)
  [log.add(line), log.add(line.upcase)]
end

def try_private(log)
  log.clear
end

if __FILE__ == $PROGRAM_NAME
  Remora.connect(ARGV[0] || "-") do |conn|
    # The block runs in this thread, inside the wait for the call that it belongs to.
    seen = []
    puts "count_down: #{Remora.can_on(conn, method(:count_down)).call(3) { |left| seen << left }} #{seen}"

    # A break leaves the far call too.
    puts "left at: #{Remora.can_on(conn, method(:count_down)).call(3) { |left| break left if left < 3 }}"

    # Far code that calls a block that calls far code ...
    words = Remora.new_on(conn, "Array", %w[ccc a bb])
    length_there = Remora.can_on(conn, method(:length_of))
    puts "sorted by a key of ours: #{words.sort_by { |word| length_there.call(word) }}"

    log = Log.new
    puts "an object of ours: #{Remora.can_on(conn, method(:write_twice)).call(log, "hello")} #{log.lines}"
    begin
      Remora.can_on(conn, method(:try_private)).call(log)
    rescue NoMethodError => e
      puts "refused: #{e.message}"
    end
  end
end
