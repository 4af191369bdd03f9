# frozen_string_literal: true

require_relative "helper"

# What may interrupt a wait, and what a wait must not hold up.
class TestThreads < FarTest
  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  # Runs the block in a thread; gives it once the far side has begun its call.
  def waiting
    gate = Queue.new
    nap = far("call")
    thread = Thread.new { yield(-> { nap.call(-> { gate << true }); far("nap").call(30) }) }
    thread.report_on_exception = false
    Timeout.timeout(20) { gate.pop }
    eventually { thread.status == "sleep" }
    thread
  end

  def test_thread_raise
    thread = waiting { |sleep_there| sleep_there.call }
    start = now
    thread.raise(IOError, "now")
    assert_raises(IOError) { thread.join(10) }
    assert_operator now - start, :<, 2
  end

  def test_thread_kill_runs_ensure
    ended = Queue.new
    thread = waiting do |sleep_there|
      sleep_there.call
    ensure
      ended << true
    end
    start = now
    thread.kill
    assert thread.join(10)
    assert ended.pop
    assert_operator now - start, :<, 2
  end

  def test_timeout
    start = now
    assert_raises(Timeout::Error) { Timeout.timeout(0.2) { far("nap").call(30) } }
    assert_operator now - start, :<, 5
    other = connect
    error = Class.new(StandardError)
    assert_raises(error) { Timeout.timeout(0.2, error) { Remora.start(Remora.can_on(other, "far_things.nap")).call(30).value! } }
  end

  def test_the_interrupted_call_is_cancelled
    hold do |path, let_go|
      far_hold = far("hold")
      pending = conn.stats["pending"]
      assert_raises(Timeout::Error) { Timeout.timeout(0.2) { far_hold.call(path) } }
      assert_equal pending, conn.stats["pending"]
      let_go.call
      assert_equal conn.pid, far("pid").call
    end
  end

  def test_several_waiting_threads_are_interrupted_one_by_one
    threads = Array.new(3) { Thread.new { Remora.can_on(connect, "far_things.nap").call(30) } }
    threads.each { |thread| thread.report_on_exception = false }
    threads.each { |thread| eventually { thread.status == "sleep" } }
    threads.reverse_each do |thread|
      thread.raise(IOError, "one")
      assert_raises(IOError) { thread.join(10) }
    end
  end

  def test_others_run_while_one_waits
    count = 0
    nap = Thread.new { far("nap").call(0.3) }
    count += 1 while nap.alive?
    assert_operator count, :>, 1000
  end

  def test_a_wait_beside_a_computing_thread
    busy = Thread.new { loop { 1 + 1 } }
    assert_equal((0...20).to_a, Array.new(20) { |i| far("echo").call(i) })
  ensure
    busy.kill.join
  end

  def test_interrupting_the_wait_for_room
    data = "z" * 1_000_000
    nap, echo = far("nap"), far("echo")
    Remora.start(nap).call(20)
    thread = Thread.new { 100.times { Remora.start(echo).call(data) } }
    thread.report_on_exception = false
    eventually { conn.stats["pending"] > 3 }
    eventually { thread.status == "sleep" }
    thread.raise(IOError, "stop")
    assert_raises(IOError) { thread.join(10) }
  end

  def test_closing_while_a_thread_waits
    thread = waiting { |sleep_there| sleep_there.call }
    conn.close
    assert_raises(Remora::ConnectionLost) { thread.join(10) }
  end

  def test_many_threads_one_connection
    add = far("add")
    results = Array.new(8) { |i| Thread.new { Array.new(200) { |k| add.call(i, k) } } }.map(&:value)
    assert_equal(Array.new(8) { |i| Array.new(200) { |k| i + k } }, results)
  end

  def test_fibers
    fibers = Array.new(3) { |i| Fiber.new { Fiber.yield(far("add").call(i, 1)); far("add").call(i, 2) } }
    assert_equal [1, 2, 3, 2, 3, 4], fibers.map(&:resume) + fibers.map(&:resume)
  end

  WAITING = <<~RUBY
    require "remora"
    trap(:USR1) { puts "trapped" }
    begin
      Remora.connect("-", node: :python) do |conn|
        sleep_there = Remora.can_on(conn, "time.sleep")
        future = Remora.start(sleep_there).call(60)
        puts "ready", conn.pid
        $stdout.flush
        %s
      end
    rescue Interrupt
      puts "interrupted"
    end
  RUBY

  def interrupted(wait, signal = :INT)
    script(format(WAITING, wait)) do |pid, out|
      eventually(20) { File.read(out) =~ /\Aready\n\d+\n/ }
      sleep 0.1
      Process.kill(signal, pid)
    end
  end

  def test_ctrl_c_ends_every_wait
    ["future.value!", "future.wait", "sleep_there.call(60)", "Remora.await_all(future)", "Remora.await_future(future, 60)", "conn.on_close.value!", "future.then { 1 }.value!",
     "Thread.new { future.value! }.join"].each do |wait|
      status, out, = interrupted(wait)
      assert_match(/\Aready\n\d+\ninterrupted\n\z/, out, wait)
      assert status.success?
    end
  end

  def test_trap_runs_and_the_wait_goes_on
    status, out, = interrupted('Remora.options(sleep_there, timeout: 1).call(60) rescue puts $!.class.name', :USR1)
    assert_match(/\Aready\n\d+\ntrapped\nRemora::Timeout\n\z/, out)
    assert status.success?
  end

  def test_a_terminated_program_leaves_nothing
    _, out, = interrupted("future.value!", :TERM)
    pid = out[/\d+/].to_i
    eventually do
      File.read("/proc/#{pid}/stat").split[2] =~ /[ZX]/
    rescue SystemCallError # also between open and read
      true
    end
  end
end
