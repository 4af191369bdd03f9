# frozen_string_literal: true

# Code travels: classes and methods of this very script, and files beside it, run where they are not installed.
require "remora"

$LOAD_PATH.unshift(__dir__) # where `shipped` is; the far side asks for what it cannot load itself
require "shipped/stock" # examples/ruby/shipped/stock.rb

# Looks at the machine it was sent to.
class Probe
  def initialize
    @asked = 0
  end

  def look
    @asked += 1
    puts "this line was printed on the far side"
    { "pid" => Process.pid, "asked" => @asked }
  end
end

def shout(text)
  "#{text.upcase}!"
end

# Without this guard the far side would run the script anew to get at its classes; Remora refuses to try.
if __FILE__ == $PROGRAM_NAME
  spec = ARGV[0] || "-"
  Remora.connect(spec) do |conn|
    probe = Remora.new_on(conn, Probe)
    puts "asked: #{[probe.look["asked"], probe.look["asked"]]}"
    puts "in the far process: #{probe.look["pid"] == conn.pid}"
    puts "a method: #{Remora.can_on(conn, method(:shout)).call("hello")}"

    # A file travels with what it requires.
    shelf = Remora.new_on(conn, Shipped::Shelf)
    puts "a file and what it requires: #{shelf.price("apple")}"
  end

  # What far code prints can be taken by a block instead of appearing here.
  taken = []
  Remora.connect(spec) do |conn|
    conn.on_output { |stream, data| taken << [stream, data] }
    Remora.new_on(conn, Probe).look
  end
  puts "taken: #{taken}"
end
