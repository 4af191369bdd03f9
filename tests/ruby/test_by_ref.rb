# frozen_string_literal: true

require_relative "helper"
require "set"

# Arrays and hashes by reference, both ways; futures of futures, the first of several, far methods whose answers come later.
class TestByRef < FarTest
  def far(name)
    Remora.can_on(conn, "far_containers.#{name}")
  end

  def turnstile
    @turnstile ||= Remora.new_on(conn, "far_containers.Turnstile")
  end

  def test_containers_of_ours
    table = { "old" => 1, "kept" => 2 }
    assert_equal [2, %w[kept new], true, 2, { "kept" => 2, "new" => 2 }], far("use_dict").call(Remora.by_ref(table))
    assert_equal({ "kept" => 2, "new" => 2 }, table)
    list = [1, 2, 3]
    assert_equal [3, ["first", 3, "last"], true, "last"], far("use_list").call(Remora.by_ref(list))
    assert_equal ["first", 3, "last"], list
    list = [1, 2]
    assert far("give_back").call(Remora.by_ref(list)).equal?(list)
    assert_equal [[1, 2], [1, 2]], far("give_back").call([Remora.by_ref(list), list])
    far("clear").call(Remora.by_ref(list))
    assert_empty list
    proxy = far("numbers").call
    assert Remora.by_ref(proxy).equal?(proxy)
  end

  def test_far_containers
    table = Remora.options(far("table"), by_ref: true).call
    table["b"] = 2
    assert_equal({ "a" => [1], "b" => 2 }, far("table").call)
    assert_equal [["a", [1]], ["b", 2]], table.each.to_a
    assert_equal [%w[a b], true, false, true, 2], [table.keys, table.key?("b"), table.key?("c"), table.include?("a"), table.size]
    seen = []
    table.each { |key, value| seen << key << value }
    assert_equal ["a", [1], "b", 2], seen
    table.delete("b")
    assert_equal({ "a" => [1] }, Remora.copy(table))
    assert Remora.start(Remora.options(far("table"), by_ref: true)).call.value!(10).equal?(table)
    numbers = far("numbers").call
    assert_equal [3, 3, [1, 2, 3], true], [numbers.size, numbers[-1], numbers.each.to_a, numbers.include?(2)]
    assert_equal [1, 2, 3], Remora.copy(numbers)
    numbers.delete_at(0)
    assert_equal [2, 3], Remora.copy(numbers)
  end

  def test_what_far_code_asks_for
    mine = { "x" => 1 }
    kind, copy = far("ask_by_ref").call(-> { mine })
    assert_equal ["Hash", { "x" => 1, "seen" => true }], [kind, copy]
    assert_equal({ "x" => 1, "seen" => true }, mine)
    assert_equal "dict", far("ask").call(-> { mine })
  end

  def test_rescue_and_then
    add = Remora.can_on(conn, "operator.add")
    chain = Remora.start(add).call(1, 2).then { |x| Remora.start(add).call(x, 10) }.then { |x| x * 2 }
    assert_equal 26, chain.value!(10)
    broken = Remora.start(add).call(1, "x").then { flunk }
    assert_equal 7, broken.rescue { Remora.start(add).call(3, 4) }.value!(10)
  end

  def test_the_first_of_several
    add = Remora.can_on(conn, "operator.add")
    slow, quick = Remora.start(turnstile).wait("slow"), Remora.start(add).call(1, 1)
    assert Remora.await_any(slow, quick, timeout: 10).equal?(quick)
    assert_equal 3, Remora.await_any([slow, quick.then { |x| Remora.start(add).call(x, 1) }], timeout: 10).value!
    assert_raises(Remora::Timeout) { Remora.await_any(slow, slow.then(&:to_s), timeout: 0.05) }
    assert_raises(Remora::InvalidArgument) { Remora.await_any([]) }
    turnstile.open
    assert_equal "SLOW", Remora.await_any(slow.then(&:upcase), timeout: 10).value!
  end

  def test_the_first_of_several_comes_between_two_looks
    future = Remora.start(Remora.can_on(conn, "operator.add")).call(1, 1)
    future.define_singleton_method(:waits_for) { wait(10) && super() }
    assert Remora.await_any(future, timeout: 10).equal?(future)
  end

  def test_the_first_of_several_while_another_thread_runs_the_block
    entered, leave = Queue.new, Queue.new
    shut = Remora.new_on(conn, "far_containers.Turnstile")
    held = Remora.start(turnstile).wait("held").then { entered << 1 and leave.pop } # not yet there: else the block runs here
    turnstile.open
    entered.pop # on the dispatcher
    other = Remora.start(shut).wait("never")
    assert_raises(Remora::Timeout) { Remora.await_any(held, other, timeout: 0.05) }
    leave << 5
    assert Remora.await_any(held, other, timeout: 10).equal?(held)
    other.cancel
  end

  def test_coroutines_hold_nothing_up
    waiting = Array.new(20) { |i| Remora.start(turnstile).wait(i) }
    assert_equal (0...20).to_a, turnstile.names # they began in the order in which they were sent
    assert_equal (0...20).to_a, turnstile.open
    assert_equal (0...20).to_a, Remora.await_all(waiting, timeout: 10)
  end

  def test_cancel_goes_on_to_the_source
    source = Remora.start(turnstile).was_cancelled
    eventually { turnstile.how == "waiting" }
    assert source.then(&:to_s).then(&:to_s).cancel
    assert source.cancelled?
    eventually { turnstile.how == "cancelled" }
  end

  def test_lent_functions_may_return_futures
    logged = far("logged")
    assert_equal [3], far("composed").call(->(x) { Remora.start(logged).call.then { x + 1 } }, 1)
    assert_equal 5, far("of_started").call(-> { Remora.start(Remora.can_on(conn, "operator.add")).call(2, 3) })
    assert_equal "rescued RemoteError", far("rescued").call(-> { Remora.start(logged).call.then { raise KeyError, "no" } })[0, 19]
  end

  def test_lent_functions_whose_futures_bring_what_cannot_cross
    calls = Remora.can_on(conn, "builtins.eval").call("lambda f: f()")
    error = assert_raises(Remora::ValueNotSendable, Remora::RemoteError) { Remora.options(calls, timeout: 10).call(-> { Remora.start(far("logged")).call.then { "\xff" } }) }
    assert_match(/not valid UTF-8/, error.message)
  end

  def test_loops_that_stop_early_keep_nobody_from_adding
    ruby = connect(node: :ruby)
    hash, set = Remora.new_on(ruby, "Hash"), Remora.new_on(ruby, "Set", (1..200).to_a)
    200.times { |i| hash[i] = -i }
    assert_equal [[0, 0], 1], [hash.each { |pair| break pair }, set.each { |item| break item }]
    hash["new"] = set.add("new") && 1
    assert_equal [["new", 1], "new", 201], [hash.each.to_a.last, set.each.to_a.last, set.size]
    set = Set.new(1..200)
    assert_equal 1, Remora.can_on(conn, "builtins.eval").call("lambda s: next(iter(s))").call(set)
    assert_equal 201, set.add(201).size
  end

  def test_far_ruby
    ruby = connect(node: :ruby)
    list = Remora.new_on(ruby, "Array")
    list.push(1, { "a" => 2 })
    assert_equal [[1, { "a" => 2 }], 2], [Remora.copy(list), list.size]
    inner = Remora.options(list, by_ref: true)[1]
    inner["a"] = 3
    assert_equal [1, { "a" => 3 }], Remora.copy(list)
    assert_equal [["a", 3]], inner.each.to_a
  end

  def test_files_of_ours
    Dir.mktmpdir do |dir|
      path = File.join(dir, "f")
      File.write(path, "one\ntwo\n")
      File.open(path, "r+") do |file|
        assert_equal %W[one\n two\n], far("lines").call(file)
        assert_equal "two", far("seek_and_read").call(file, 4, 3).force_encoding("UTF-8")
        assert_raises(Remora::Denied) { far("attribute").call(file, "path") }
      end
      File.open(path, "w") { |file| assert_equal 6, far("write").call(file, "abc", "def") }
      assert_equal "abcdef", File.read(path)
      file = File.open(path, "w")
      far("with_block").call(file)
      assert file.closed?
    end
  end

  def test_far_files
    Dir.mktmpdir do |dir|
      path = File.join(dir, "f")
      file = far("opened").call(path, "w+b")
      assert_equal 4, file.write("a\0\xFFb".b)
      assert_equal 1, file.seek(1)
      assert_equal "\0\xFFb".b, file.read
      file.close
      assert_equal "a\0\xFFb".b, File.binread(path)
      assert_raises(Remora::RemoteError) { file.read }
      assert_equal 2, far("opened").call(path, "r+b").enter { |inside| inside.write("xy".b) }
      assert_equal "xy\xFFb".b, File.binread(path)
    end
  end
end
