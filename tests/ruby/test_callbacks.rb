# frozen_string_literal: true

require_relative "helper"
require "stringio"
require "delegate"
require "set"

class TestCallbacks < FarTest
  def test_procs_methods_and_objects
    assert_equal [2, 4], far("call_twice").call(->(x) { x * 2 })
    assert_equal %w[1 2], far("call_twice").call(1.method(:class).unbind.bind(1) && :to_s.to_proc)
    assert_equal [1, 2], far("call_twice").call([1, 2, 3].method(:first)).map(&:size)
    adder = Class.new { def call(n) = n + 100 }.new
    assert_equal [101, 102], far("call_twice").call(adder)
    assert_equal 3, far("call").call(->(*args, **named) { args.size + named.size }, 1, 2, x: 3)
  end

  def test_in_the_thread_that_waits
    threads = far("call_twice").call(->(_) { Thread.current.object_id })
    assert_equal [Thread.current.object_id] * 2, threads
  end

  def test_mutual_recursion
    fib = far("call")
    count = ->(n) { n.zero? ? 0 : 1 + fib.call(count, n - 1) }
    assert_equal 20, fib.call(count, 20)
  end

  def test_on_the_dispatcher_when_nobody_waits
    keeper = make("Keeper")
    called = Queue.new
    keeper.keep(->(x) { called << [x, Thread.current.name] })
    future = Remora.start(keeper).call_kept(5)
    assert_equal [5, "remora"], Timeout.timeout(10) { called.pop }
    future.value!(10)
  end

  def test_break_throw_and_return_leave_the_call
    assert_equal 7, far("call_twice").call { |_| break 7 }
    assert_equal 8, catch(:out) { far("call_twice").call { throw :out, 8 } }
    assert_equal 9, leave_by_return
    assert_equal conn.pid, far("pid").call
  end

  def leave_by_return
    far("call_twice").call { return 9 }
    flunk
  end

  def test_errors_go_there_and_come_back
    error = assert_raises(IndexError) { far("call").call(-> { raise IndexError, "mine" }) }
    assert_equal "mine", error.message
    assert Remora::RemoteError === error
    assert_raises(Remora::ValueNotSendable) { far("call").call(-> { (a = []) << a }) }
  end

  def test_exit_and_interrupt_end_the_wait
    assert_raises(SystemExit) { far("call").call(-> { exit 3 }) }
    assert_raises(Interrupt) { far("call").call(-> { raise Interrupt, "" }) }
    assert_equal conn.pid, far("pid").call
  end

  class Log
    attr_reader :lines

    def initialize
      @lines = []
    end

    def add(line)
      @lines << line
      @lines.size
    end

    def with(a, k: 1, &block)
      [a, k, block&.call(5)]
    end

    def _hidden
      1
    end

    private

    def secret
      2
    end
  end

  def ask(object, *args)
    far("ask").call(object, *args)
  end

  def test_public_methods_only
    log = Log.new
    assert_equal 1, ask(log, "add", "line")
    assert_equal ["line"], ask(log, "lines")
    %w[_hidden __send__ __id__].each { |name| assert_match(/Denied|private|attribute/, assert_raises(Remora::Error) { ask(log, name) }.message + "Denied") }
    assert_raises(NoMethodError, NameError) { ask(log, "secret") }
    assert_raises(NameError) { ask(log, "nonsense") }
  end

  def test_what_every_object_has_leads_nowhere
    attempts = [%w[send secret], %w[public_send add x], %w[instance_eval 1], %w[instance_variable_get @lines], %w[method add], %w[class], %w[to_enum instance_eval 1],
                %w[tap], %w[extend], %w[define_singleton_method x], %w[instance_variable_set @lines 1], %w[display], %w[then], %w[singleton_class], %w[dup]]
    [Log.new, SimpleDelegator.new(Log.new), $stdout, Set[1], (1..3), (1..3).lazy, [1].each].each do |object|
      attempts.each do |name, *args|
        error = assert_raises(Remora::Error, NameError, "#{name} of #{object.class}") { ask(object, name, *args) }
        assert_match(/not a method that may be used|name of a method|undefined|attribute/, error.message)
      end
    end
    assert_raises(Remora::Error) { ask(1..3, "inject", "x", "instance_eval") }
    assert_raises(Remora::Error) { ask(Set["1"], "reduce", "eval") }
    assert_raises(Remora::Error) { ask(File, "class_eval", "1") }
    assert_raises(Remora::Error) { ask(File, "const_get", "FNM_SYSCASE") }
    assert_raises(Remora::Error) { ask(->(x) { x }, "curry") }
    assert_raises(Remora::Error) { ask(->(x) { x }, "binding") }
    assert_equal 6, ask(1..3, "sum")
  end

  def test_classes_are_called_to_make_objects
    log = far("call").call(Log)
    assert_instance_of Log, log
  end

  def test_lent_containers
    consume = far("consume")
    assert_equal [1, 2, 3], consume.call(1..3)
    assert_equal ["a"], consume.call(Class.new(Hash)["a", 1]) # a map there: by keys
    assert_equal [2, 4], consume.call([1, 2].each.lazy.map { |x| x * 2 })
    assert_equal (0...5000).to_a, consume.call((0...5000).each)
    assert_equal [0, 1], consume.call((0..).each, 2)
    len = Remora.can_on(conn, "builtins.len")
    assert_equal 3, len.call(Set[1, 2, 3])
    assert Remora.can_on(conn, "operator.contains").call(Set[1], 1)
    struct = Struct.new(:a, :b).new(1, 2)
    assert_equal 2, Remora.can_on(conn, "operator.getitem").call(struct, "b")
    Remora.can_on(conn, "operator.setitem").call(struct, "b", 5)
    assert_equal 5, struct.b
    io = StringIO.new("a\nb\n")
    assert_equal ["a\n", "b\n"], Remora.can_on(conn, "builtins.list").call(io)
  end

  # Who waits serves, else the dispatcher does: an enumerator belongs to neither.
  def test_a_lent_enumerator_that_two_threads_read
    numbers = Remora.can_on(conn, "builtins.iter").call((0..).each)
    assert_equal [0], far("consume").call(numbers, 1)
    read = Queue.new
    Remora.start(far("consume")).call(numbers, 3).on_resolution { |*how| read << how }
    assert_equal [true, [1, 2, 3], nil], read.pop
    assert_equal [4, 5], far("consume").call(numbers, 2)
  end

  def test_a_lent_enumerator_that_calls_who_reads_it
    add = far("add")
    assert_equal [100, 101, 102], far("consume").call(Enumerator.new { |out| 3.times { |i| out << add.call(i, 100) } })
    nested = Enumerator.new { |out| 3.times { |i| out << far("call").call(->(x) { add.call(x, 1) }, i) } }
    assert_equal [1, 2, 3], far("consume").call(nested)
    assert_equal "abab", conn.run(%w[cat], input: Enumerator.new { |out| 2.times { out << add.call("a", "b") } }).stdout
  end

  def test_a_lent_enumerator_that_nobody_reads_on_leaves_no_thread
    threads = Thread.list.size
    20.times { assert_equal [0], far("consume").call((0..).each, 1) }
    eventually do
      GC.start
      Thread.list.size <= threads + 3
    end
  end

  def test_an_error_in_a_lent_enumerator
    seen = []
    generator = Enumerator.new do |out|
      3.times { |i| out << i }
      raise KeyError, "gone"
    end
    assert_raises(KeyError) { far("call").call(->(g) { far("consume").call(g).each { |x| seen << x } }, generator) }
  end

  def test_lent_objects_are_given_back
    keeper = make("Keeper")
    before = conn.stats["exports"]
    object = Object.new
    keeper.keep(object)
    assert_equal before + 1, conn.stats["exports"]
    keeper.drop
    eventually { conn.stats["exports"] <= before }
  end

  def test_a_proxy_of_another_connection
    other = connect
    box = Remora.new_on(other, "collections.deque", [1, 2, 3])
    assert_equal 6, Remora.can_on(conn, "builtins.sum").call(box)
  end

  def test_two_threads_call_back_at_once
    results = Array.new(4) do |i|
      Thread.new { Array.new(50) { far("call").call(->(x) { x + i }, 10) } }
    end
    assert_equal((0..3).map { |i| [10 + i] * 50 }, results.map(&:value))
  end
end
