# frozen_string_literal: true

require_relative "helper"

class TestFutures < FarTest
  def test_the_words
    future = Remora.start(far("add")).call(1, 2)
    assert_equal 3, future.value!
    assert_equal [3, 3, nil, [true, 3, nil]], [future.value, future.value!(1), future.reason, future.result]
    assert future.resolved? && future.fulfilled? && !future.rejected? && !future.pending? && !future.cancelled?
    assert_equal :fulfilled, future.state
    assert_equal 3, Remora.await_future(future)
    refute future.cancel
  end

  def test_failed
    future = Remora.start(far("fail")).call("ValueError", "no")
    assert_nil future.value(10)
    assert_equal "ValueError", future.reason.type
    assert future.rejected?
    2.times { assert_raises(Remora::RemoteError) { future.value! } }
    assert_same future.reason, future.reason
    refute future.result.first
  end

  def test_their_time_goes_on_while_this_side_computes
    conn = Remora.connect("-", node: :python, watchdog: 1.2, heartbeat: 0.5, dead_after: 1.5)
    nap = Remora.start(Remora.options(Remora.can_on(conn, "time.sleep"), timeout: 0.5)).call(1)
    late = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 2.5
    nil while Process.clock_gettime(Process::CLOCK_MONOTONIC) < late
    assert nap.resolved?
    assert_kind_of Remora::Timeout, nap.reason
    assert conn.valid?
    conn.close
  end

  def test_not_in_time
    hold do |path, let_go|
      future = Remora.start(far("hold")).call(path)
      assert_raises(Remora::Timeout) { future.value!(0.01) }
      assert_raises(Timeout::Error) { Remora.await_future(future, 0.01) }
      assert_nil future.value(0.01)
      assert_nil future.result(0)
      refute future.wait(0.01)
      assert future.pending?
      let_go.call
      assert future.wait
      assert_equal "let go\n", future.value!
    end
  end

  def test_cancel
    hold do |path, let_go|
      future = Remora.start(far("hold")).call(path)
      assert future.cancel
      assert future.cancelled? && future.rejected?
      assert_raises(Remora::Cancelled) { future.value! }
      let_go.call
      assert_equal conn.pid, far("pid").call
    end
  end

  def test_await_all
    add = Remora.start(far("add"))
    futures = Array.new(1000) { |i| add.call(i, 1) }
    assert_equal (1..1000).to_a, Remora.await_all(futures)
    assert_equal [3, 4], Remora.await_all(add.call(1, 2), add.call(1, 3), timeout: 5)
    assert_equal [], Remora.await_all
    assert_raises(Remora::RemoteError) { Remora.await_all(add.call(1, 2), Remora.start(far("fail")).call("ValueError")) }
    hold do |path, _|
      slow = Remora.start(far("hold")).call(path)
      assert_match(/1 of 1 results/, assert_raises(Remora::Timeout) { Remora.await_all(slow, timeout: 0.02) }.message)
    end
  end

  def test_then_and_rescue
    add = Remora.start(far("add"))
    assert_equal 6, add.call(1, 2).then { |x| x * 2 }.value!
    assert_equal 10, add.call(1, 2).then { |x| add.call(x, 7) }.value!(5)
    assert_equal "no", Remora.start(far("fail")).call("ValueError", "no").rescue { |e| e.details["message"] }.value!
    assert_equal 3, add.call(1, 2).rescue { flunk }.value!
    failed = add.call(1, 2).then { raise IOError, "here" }
    assert_raises(IOError) { failed.value! }
    assert failed.rejected?
    assert_equal :saved, failed.then { flunk }.rescue { :saved }.value!
    hold do |path, _|
      pending = Remora.start(far("hold")).call(path).then { flunk }
      refute pending.wait(0.01)
      assert pending.cancel
      assert_raises(Remora::Cancelled) { pending.value! }
    end
  end

  def test_a_block_whose_thread_is_killed
    entered = Queue.new
    derived = nil
    hold do |path, let_go|
      derived = Remora.start(far("hold")).call(path).then { entered << Thread.current and sleep }
      thread = Thread.new { derived.wait }
      eventually { thread.status == "sleep" }
      let_go.call
      entered.pop.kill.join
    end
    assert derived.wait(10)
    assert derived.cancelled?
    assert_equal 3, Remora.start(far("add")).call(1, 2).value!
  end

  def test_then_without_anybody_waiting
    done = Queue.new
    Remora.start(far("add")).call(1, 2).then { |x| x + 1 }.on_resolution { |*outcome| done << outcome }
    assert_equal [true, 4, nil], Timeout.timeout(10) { done.pop }
    Remora.start(far("fail")).call("ValueError").on_resolution { |*outcome| done << outcome }
    assert_equal [false, nil], Timeout.timeout(10) { done.pop }.first(2)
  end

  def test_several_threads_wait_for_one
    future = Remora.start(far("nap")).call(0.1)
    assert_equal [0.1] * 4, Array.new(4) { Thread.new { future.value! } }.map(&:value)
  end

  def test_dropped
    200.times { Remora.start(far("make_many")).call(3) }
    eventually { (GC.start; far("pid").call) && conn.stats["imports"] < 50 }
  end
end
