# frozen_string_literal: true

# smoke.rb FAR [SECONDS]: what every near language does with every far language; its like stands beside it in each of them.
#
# Prints "ok NAME" or "failed NAME: why" for each check; with SECONDS, at the end the median round trip of add(1, 2) in microseconds.
# REMORA_SMOKE_FAR names the folders of the far fixtures, with colons between them.
require "remora"

class NearAccount
  def balance
    77
  end
end

class Checks
  Unheld = Class.new(StandardError) # what Ruby cannot even make
  TABLES = File.dirname(__dir__)

  attr_reader :failed, :conn

  def initialize(far)
    @failed, @printed, @far = 0, [], far
    @conn = Remora.connect("-", node: far, roots: ENV.fetch("REMORA_SMOKE_FAR").split(":"), on_output: ->(stream, data) { @printed << [stream, data] })
    @echo, @add, @apply = can("echo"), can("add"), can("apply")
  end

  def can(name)
    Remora.can_on(@conn, "smoke:#{name}")
  end

  def account(*args)
    Remora.new_on(@conn, "smoke:Account", *args)
  end

  def run(name)
    result = yield
    raise "got #{result.inspect[0, 200]}" unless result == true
    puts "ok #{name}"
  rescue StandardError => e
    @failed += 1
    puts "failed #{name}: #{e.class}: #{e.message[0, 300].tr("\n", " ")}"
  ensure
    $stdout.flush
  end

  # -- the table of values

  def read_form(words)
    case word = words.shift
    when "null", "true", "false" then { "null" => nil, "true" => true, "false" => false }[word]
    when "int" then Integer(words.shift, 10)
    when "float" then read_float(words.shift)
    when "text", "textn", "bytes", "bytesn"
      times = word.end_with?("n") ? words.shift.to_i : 1
      raw = words.shift
      data = (raw == "-" ? "" : [raw].pack("H*")) * times
      word.start_with?("text") ? data.force_encoding("UTF-8") : data.b
    when "list" then Array.new(words.shift.to_i) { read_form(words) }
    when "map"
      pairs = Array.new(words.shift.to_i) { [read_form(words), read_form(words)] }
      raise Unheld, "keys that Ruby takes for equal" if pairs.to_h.size < pairs.size
      pairs.to_h
    when "ints" then (0...words.shift.to_i).to_a
    else (words.shift.to_i - 1).times.inject([]) { |value, _| [value] }
    end
  end

  def read_float(text)
    { "nan" => Float::NAN, "inf" => Float::INFINITY, "-inf" => -Float::INFINITY }[text] || Float(text)
  end

  # Equal, and of the same kind.
  def same?(a, b)
    return false unless a.class == b.class
    case a
    when Float then [a].pack("G") == [b].pack("G") || (a.nan? && b.nan?)
    when String then a.encoding == b.encoding && a.b == b.b
    when Array then a.size == b.size && a.zip(b).all? { |x, y| same?(x, y) }
    when Hash then a.size == b.size && a.all? { |key, value| b.any? { |other, item| same?(key, other) && same?(value, item) } }
    else a == b
    end
  end

  def values
    limits = {} # value -> what comes back in its place; nil: it is refused
    far = File.basename(ENV["REMORA_#{@far.upcase}"] || @far)
    File.foreach(File.join(TABLES, "limits.txt")) do |line|
      side, language, name, _, *form = line.split
      limits[name] = form.empty? ? nil : form if [%w[near ruby], ["far", @far], ["far", far]].include?([side, language])
    end
    File.foreach(File.join(TABLES, "values.txt")) do |line|
      next if line.start_with?("#")
      name, *form = line.split
      if limits.key?(name) && limits[name].nil?
        run("value #{name}") { refused(form) }
      else
        run("value #{name}") { echoed(read_form(form.dup), read_form(limits[name]&.dup || form)) }
      end
    end
  end

  def echoed(value, wanted)
    back = @echo.call(value)
    same?(wanted, back) || back
  end

  # What a language cannot hold is an error, never another value.
  def refused(form)
    @echo.call(read_form(form))
  rescue Unheld, Remora::RemoteError, Remora::ValueNotSendable
    true
  end

  # -- objects and functions

  def objects
    a = account("anna", 100)
    [a.deposit(5), a.balance, a.owner] == [105, 105, "anna"]
  end

  def missing
    return "something" unless can("nothing").nil? && Remora.can_on(@conn, "no_such_module_at_all:x").nil?
    Remora.new_on(@conn, "smoke:Nothing")
  rescue Remora::NotFound
    true
  end

  def said(text)
    yield
  rescue Remora::RemoteError => e
    e.message.include?(text) || e.message
  end

  def nested
    down = ->(n) { n.zero? ? 0 : @add.call(1, @apply.call(down, n - 1)) }
    down.call(6) == 6
  end

  def home
    a = account("h", 9)
    can("balance_of").call(a) == 9 && a.me.equal?(a)
  end

  def futures
    a = account("f", 0)
    made = Array.new(50) { Remora.start(a).deposit(1) }
    Remora.await_all(made, timeout: 30)
    made.map(&:value!) == (1..50).to_a
  end

  def future_error
    f = Remora.start(account("f", 0)).fail("later")
    Remora::RemoteError === f.reason(30) && f.reason.message.include?("later")
  end

  def cancel
    f = Remora.start(@add).call(1, 2)
    f.cancel
    f.resolved? && @add.call(2, 3) == 5
  end

  def output
    @printed.clear
    can("say").call("hello there")
    @printed.map(&:last).join.strip == "hello there" || @printed
  end

  def deep
    @echo.call(200.times.inject([]) { |value, _| [value] })
  rescue Remora::ValueNotSendable
    @add.call(1, 1) == 2
  end

  def lent
    numbers, table = [1, 2, 3], { "a" => 1 }
    told = can("fill").call(Remora.by_ref(numbers), Remora.by_ref(table))
    [told, table] == [[3, 1, 6], { "k" => 6 }] || [told, table]
  end

  def wanted
    table = Remora.options(can("shared"), by_ref: true).call
    table["n"] = 5
    again = Remora.options(can("shared"), by_ref: true).call
    again.equal?(table) && [table["n"], table.key?("n"), table.size, table.each.to_a, Remora.copy(table)] == [5, true, 1, [["n", 5]], { "n" => 5 }]
  end

  def given
    numbers = can("lend").call
    [numbers.size, numbers.each.to_a, Remora.copy(numbers)] == [3, [1, 2, 3], [1, 2, 3]]
  end

  def all
    run("function") { @add.call(2, 3) == 5 }
    run("object") { objects }
    run("missing") { missing }
    run("error") { said("so what") { account("e", 0).fail("so what") } }
    run("callback") { @apply.call(->(x) { 2 * x + 1 }, 20) == 41 }
    run("callbacks") { account("c", 0).each_call(->(i) { i * i }, 30) == (1..30).map { |i| i * i } }
    run("callback error") { said("not me 4") { @apply.call(->(x) { raise KeyError, "not me #{x}" }, 4) } }
    run("nested callbacks") { nested }
    run("object comes home") { home }
    run("object from a function") { can("make").call.owner == "made" }
    run("object of this side") { can("balance_of").call(NearAccount.new) == 77 }
    run("future") { futures }
    run("future error") { future_error }
    run("cancel") { cancel }
    run("output") { output }
    run("too deep") { deep }
    run("container lent") { lent }
    run("result by reference") { wanted }
    run("container from a function") { given }
    run("answer that comes later") { can("later").call(->(x) { 2 * x + 1 }, 20) == 41 }
    run("size") { ["h\u00e9llo", "abc".b, [1, 2], { "a" => 1 }].map { |value| can("size").call(value) } == [5, 3, 2, 1] }
    values
  end

  def round_trip(seconds)
    now = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) }
    times, till = [], now.call + seconds
    while now.call < till
      start = now.call
      @add.call(1, 2)
      times << now.call - start
    end
    puts format("round trip %.1f", times.sort[times.size / 2] * 1e6)
  end
end

checks = Checks.new(ARGV[0])
checks.all
checks.round_trip(Float(ARGV[1])) if ARGV[1]
checks.conn.close
exit(checks.failed.zero?)
