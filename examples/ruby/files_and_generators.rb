# frozen_string_literal: true

# Files and enumerators: what is no plain value crosses as a reference, and is used as it would be at home.
require "remora"
require "tempfile"

def squares(count)
  Enumerator.new { |out| count.times { |i| out << i * i } }
end

def total(numbers)
  sum = 0
  numbers.each { |number| sum += number }
  sum
end

def count_lines(file)
  file.each.count
end

if __FILE__ == $PROGRAM_NAME
  Remora.connect(ARGV[0] || "-") do |conn|
    # A file that is open over there.
    path = "#{Remora.can_on(conn, "tmpdir:Dir.tmpdir").call}/remora-example-#{conn.pid}"
    far_open = Remora.can_on(conn, "File.open")
    file = far_open.call(path, "w+")
    puts "written: #{file.write("first\nsecond\n")}"
    file.rewind
    puts "read: #{file.each.map(&:chomp)}"
    file.close
    Remora.can_on(conn, "File.delete").call(path)

    # A file of ours, read by far code.
    Tempfile.create("ours") do |ours|
      ours.write("a\nb\nc\n")
      ours.rewind
      puts "lines of our file, counted there: #{Remora.can_on(conn, method(:count_lines)).call(ours)}"
    end

    # A far enumerator comes in batches: far fewer round trips than items.
    before = conn.stats["calls_out"]
    puts "sum: #{Remora.can_on(conn, method(:squares)).call(1000).each.sum}"
    puts "round trips for 1000 items below 50: #{conn.stats["calls_out"] - before < 50}"

    # An enumerator of ours, consumed over there.
    puts "sum over there: #{Remora.can_on(conn, method(:total)).call((0...1000).each.lazy.map { |i| i * i })}"
  end
end
