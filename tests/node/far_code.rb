# Served to the Ruby node as the file app/sub.
require "remora"
require_relative "part"

class Thing
  attr_accessor :x

  LIMIT = 12

  def initialize
    @x = 1
  end

  def boom
    {}.fetch("k")
  end

  def caused
    boom
  rescue KeyError
    raise ArgumentError, "outer"
  end

  def throw_it(name)
    raise Object.const_get(name), "thrown"
  end

  def failing(count)
    Enumerator.new do |out|
      count.times { |i| out << i }
      1 / 0
    end
  end

  def back(function, value)
    function.call(value)
  end

  def in_a_fiber(function)
    made = Enumerator.new { |out| 3.times { |i| out << function.call(i) } }
    [made.next, made.next, made.peek]
  end

  def call_block(&block)
    block.call(5, y: 2)
  end

  def caught(function)
    function.call
  rescue ArgumentError => e
    [e.class.name, Remora::RemoteError === e && e.is_a?(Remora::RemoteError), e.message, e.type]
  end

  def rescued(function)
    function.call
  rescue Remora::RemoteError => e
    [e.class.name, e.message]
  end

  def started(adder)
    Remora.await_all((0...5).map { |i| Remora.start(adder).add(i, 1) }, timeout: 30)
  end

  def futures(function)
    made = (1..3).map { |i| Remora.start(function).call(i) }
    failed = Remora.start(function).call(0)
    cancelled = Remora.start(function).call(9)
    cancelled.cancel
    [made.map(&:value!), failed.value, failed.reason.message, failed.rejected?, made[0].fulfilled?, made[1].result, cancelled.cancelled?,
     cancelled.reason.class.name]
  end

  def guarded(guard)
    [guard.enter { |it| it + 1 }, guard.enter { raise "swallowed" }]
  end

  def items(iterable)
    iterable.each.to_a
  end

  def doubled(iterable)
    iterable.each.map { |x| x * 2 }.select(&:even?).first(3)
  end

  def identity(proxy)
    proxy == proxy && !!proxy && proxy.inspect.include?("proxy") && { proxy => 1 }[proxy] == 1 && !proxy.nil? &&
      proxy.is_a?(Remora::Proxy) && !proxy.respond_to?(:to_ary) && [proxy].flatten.size == 1 && [proxy, proxy].uniq.size == 1
  end

  def other
    @kept = Thing.new
  end

  def other?(it)
    it.equal?(@kept)
  end

  def same(it)
    it
  end

  def threaded(function, count)
    (0...count).map { |i| Thread.new { function.call(i) } }.map(&:value).sort
  end

  # The near side calls back before the thread that has called it waits, and the main thread does nothing but wait for that.
  def threaded_slowly(function)
    Thread.new do
      future = Remora.start(function).call(1)
      queue = Remora::Node.current.instance_variable_get(:@queue)
      stop = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 20
      while queue.empty?
        raise "the call did not come" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > stop
        Thread.pass
      end
      future.value!
    end.value
  end

  def required(name)
    Thread.new { [require(name), require(name)] }.value
  end

  def prints
    print "one two\n"
    system("echo three")
    $stderr.puts "err"
    STDOUT.write("fo", "ur")
  end

  def compute
    i = 0
    i += 1 while true
  end

  def swallow
    puts "in"
    $stdout.flush
    begin
      sleep
    rescue Exception
      retry
    end
  end

  def forked
    pid = fork do
      puts "in the child"
      $stdout.flush
      exit!(7)
    end
    Process.wait2(pid)[1].exitstatus
  end

  def forked_plainly
    pid = Process.fork
    exit!(8) if pid.nil?
    Process.wait2(pid)[1].exitstatus
  end

  def keywords(a, b: 2, **rest)
    [a, b, rest]
  end

  def trailing(a, options = {})
    [a, options]
  end

  def with_block(n)
    return "no block" unless block_given?
    (1..n).map { |i| yield i }
  end

  def pass_block(it)
    it.each_pair { |a| a + 1 }
  end

  def each_of_two(list)
    list.each
  end

  def timed_out(function)
    require "timeout"
    Timeout.timeout(0.05) { function.call }
  rescue Timeout::Error
    "late"
  end

  def limited(function)
    Remora.options(function, timeout: 0.05).call
  rescue Remora::Timeout
    "late"
  end

  def container(it)
    it[1] = 5
    [it[1], it.size, it.length, it.include?(5), it.respond_to?(:size), it.respond_to?(:next)]
  end

  def bare
    BasicObject.new
  end

  def question?
    true
  end

  def deep(list)
    list
  end

  def strings
    ["a", "b".b, :sym, "\u00e9".encode("ISO-8859-1"), { a: 1, "b" => 2 }]
  end

  def bad_text
    "\xff"
  end

  def at_the_end(path)
    at_exit { File.write(path, "left") }
    nil
  end

  def talks_at_the_end(function, path)
    at_exit do
      puts "too late"
      begin
        function.call(1)
      rescue Remora::ConnectionLost => e
        File.write(path, e.message)
      end
    end
    nil
  end

  def reopened(path)
    before = $stdout.dup
    $stdout.reopen(path, "w")
    puts "there"
    $stdout.reopen(before)
    puts "here"
  end

  def calls_in_a_fork(function)
    r, w = IO.pipe
    pid = fork do
      w.write((function.call(1) rescue $!.class.name))
      w.close
      exit!(0)
    end
    w.close
    Process.wait(pid)
    r.read
  end

  def returns_in_a_fork
    pid = fork
    return "in the child" if pid.nil?
    Process.wait2(pid)[1].exitstatus
  end

  def gem_version
    Gem::Version.new("1.2") < Gem::Version.new("1.10")
  end

  private

  def hidden
    1
  end
end
