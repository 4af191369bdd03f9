# frozen_string_literal: true

require_relative "helper"

class TestCalls < FarTest
  def test_objects_and_functions
    counter = make("Counter", 5)
    assert_equal 6, counter.increment
    assert_equal 16, counter.increment(by: 10)
    assert_equal conn.pid, far("pid").call
    assert_equal 3, far("add").(1, 2)
    assert_nil Remora.can_on(conn, "far_things.nonsense")
    assert_nil Remora.can_on(conn, "no_such_module_at_all.f")
    assert_equal "inner", Remora.new_on(conn, "far_things:Outer.Inner").name
  end

  def test_a_far_function_as_a_block
    assert_equal [1, 2], ["a", "bb"].map(&Remora.can_on(conn, "builtins.len"))
  end

  def test_keywords
    assert_equal [[1, { "k" => 2 }], { "a" => 3, "b" => 4 }], far("echo_all").call(1, { "k" => 2 }, a: 3, "b": 4)
    assert_equal [[{ "a" => 1 }], {}], far("echo_all").call({ a: 1 })
    options = { x: 1 }
    assert_equal [[], { "x" => 1 }], far("echo_all").call(**options)
    assert_equal [[], {}], far("echo_all").call(**{})
    named = make("Named", "n", colour: "red")
    assert_equal({ "colour" => "red" }, Remora.getattr(named, "more"))
  end

  def test_a_block_is_the_last_argument_where_there_are_none
    assert_equal [10, 20], far("call_twice").call { |x| x * 10 }
    assert_equal 7, far("call").call(->(a, b:) { a + b }, 3, b: 4)
  end

  def test_attributes
    counter = make("Counter", 5)
    assert_equal 5, Remora.getattr(counter, :counter)
    assert_nil Remora.setattr(counter, :counter, 100)
    assert_equal 101, counter.increment
    assert_raises(Remora::RemoteError) { Remora.getattr(counter, :nonsense) }
  end

  def test_containers
    box = make("Box", a: 1)
    box["b"] = 2
    assert_equal [2, 2, true, false], [box.size, box["b"], box.include?("a"), box.include?("z")]
    assert_equal 2, box.length
    assert make("Ranked", 1) < make("Ranked", 2)
    refute make("Ranked", 3) <= make("Ranked", 2)
  end

  def test_guards
    guard = make("Guard")
    assert(guard.enter { |inside| inside.equal?(guard) })
    assert_raises(IOError) { guard.enter { raise IOError, "out" } }
    assert_equal ["enter", "exit", "enter", "exit IOError: out"], Remora.getattr(guard, "log")
    assert_nil(make("Guard", true).enter { raise IOError, "swallowed" })
  end

  def test_iteration_in_batches
    before = conn.stats["calls_out"]
    numbers = far("count_to").call(1000)
    assert_equal (0...1000).to_a, numbers.each.to_a
    assert_operator conn.stats["calls_out"] - before, :<, 30
    assert_equal [0, 2, 4], far("count_to").call(9).each.lazy.map { |x| x * 2 }.first(3)
  end

  def test_leaving_a_loop_and_going_on
    numbers = far("count_to").call(10)
    first = []
    numbers.each do |x|
      first << x
      break if x == 3
    end
    assert_equal [0, 1, 2, 3], first
    assert_equal [4, 5, 6, 7, 8, 9], numbers.each.to_a
  end

  def test_an_error_comes_after_the_items_before_it
    seen = []
    error = assert_raises(Remora::RemoteError) { far("count_then_fail").call(5).each { |x| seen << x } }
    assert_equal [0, 1, 2, 3, 4], seen
    assert_equal "ValueError", error.type
  end

  def test_options
    nap = far("nap")
    error = hold { |path, _| assert_raises(Remora::Timeout) { Remora.options(far("hold"), timeout: 0.05).call(path) } }
    assert Timeout::Error === error
    assert_equal 0.0, Remora.options(nap, timeout: 20).call(0.0)
    counter = make("Counter")
    assert_nil Remora.options(counter, oneway: true).increment(5)
    assert_equal 5, counter.value
    assert_equal 1, Remora.start(Remora.options(make("Counter"), timeout: 5)).increment.value!
    assert_raises(ArgumentError) { Remora.options(nap, timeout: -1) }
    assert_raises(TypeError) { Remora.start(Object.new) }
  end

  def test_more_than_the_credit
    data = "z" * 1_000_000
    futures = Array.new(40) { Remora.start(far("echo")).call(data) }
    assert(Remora.await_all(futures).all? { |back| back.size == data.size })
  end

  def test_a_spec_instead_of_a_connection
    pid = Remora.can_on(connect, "os.getpid")
    GC.start
    assert_kind_of Integer, pid.call
  end

  def test_two_thousand_references_come_and_go
    assert_equal [true] * 2000, far("make_many").call(2000).map { |object| object.is_a?(Remora::Proxy) }
    eventually { (GC.start; far("pid").call) && conn.stats["imports"] < 100 }
  end
end
