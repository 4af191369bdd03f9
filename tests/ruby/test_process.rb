# frozen_string_literal: true

require_relative "helper"

# A good guest: children, fork, the end of the program.
class TestProcess < FarTest
  def test_children_of_the_programs_own
    far("pid").call
    assert system("true")
    refute system("false")
    assert_equal "out\n", `echo out`
    assert_equal 0, $?.exitstatus
    pid = spawn("exit 7")
    assert_equal [pid, 7], Process.wait2(pid).then { |id, status| [id, status.exitstatus] }
    pid = spawn("exit 8")
    assert_equal [pid, 8], Process.wait2.then { |id, status| [id, status.exitstatus] }
    assert_equal 9, Process.detach(spawn("exit 9")).value.exitstatus
    assert_equal "x", IO.popen(["cat"], "r+") { |io| io.write("x") && io.close_write; io.read }
    assert_equal conn.pid, far("pid").call
  end

  def test_trap_cld_works
    seen = Queue.new
    old = trap("CLD") { seen << true }
    system("true")
    Timeout.timeout(10) { seen.pop }
    assert_equal conn.pid, far("pid").call
  ensure
    trap("CLD", old || "DEFAULT")
  end

  def test_a_far_process_that_the_program_reaps
    future = Remora.start(far("nap")).call(30)
    Process.kill(:KILL, conn.pid)
    begin
      Process.wait(conn.pid)
    rescue Errno::ECHILD # the library was faster
      nil
    end
    assert_raises(Remora::ConnectionLost) { future.value!(10) }
  end

  # Runs the block in a child; what it gives has to be true.
  def in_child
    reader, writer = IO.pipe
    pid = fork do
      reader.close
      writer.write(Marshal.dump(yield))
    rescue Exception => e # rubocop:disable Lint/RescueException
      writer.write(Marshal.dump("#{e.class}: #{e.full_message}"))
    ensure
      writer.close
      exit!(0)
    end
    writer.close
    result = Marshal.load(Timeout.timeout(30) { reader.read })
    Process.wait(pid)
    result
  end

  def test_fork
    add = far("add")
    future = Remora.start(add).call(1, 2)
    object = Object.new
    far("echo").call(object)
    outcome = in_child do
      errors = [-> { add.call(1, 2) }, -> { far("pid") }, -> { conn.on_close }].map do |use|
        use.call
      rescue Remora::ForkedError => e
        e.class.name
      end
      fresh = Remora.connect("-", node: :python, roots: ROOTS)
      called = []
      sum = Remora.can_on(fresh, "far_things.call").call(->(x) { called << x; x + 1 }, 41)
      keeper = Remora.new_on(fresh, "far_things.Keeper")
      queue = Queue.new
      keeper.keep(->(x) { queue << x })
      Remora.start(keeper).call_kept(5)
      [errors, conn.valid?, sum, called, Timeout.timeout(10) { queue.pop }, fresh.close && 0]
    end
    assert_equal [["Remora::ForkedError"] * 3, false, 42, [41], 5], outcome.first(5), outcome
    assert_equal 3, future.value!(10)
    assert_equal 3, add.call(1, 2)
  end

  def test_fork_while_another_thread_waits
    thread = Thread.new { far("nap").call(0.5) }
    eventually { thread.status == "sleep" }
    outcome = in_child { Remora.connect("-", node: :python) { |fresh| Remora.can_on(fresh, "os.getpid").call == fresh.pid } }
    assert_equal true, outcome
    assert_equal 0.5, thread.value
  end

  def test_the_child_of_a_fork_ends_normally
    far("pid").call
    status, out, err = script(<<~RUBY)
      require "remora"
      conn = Remora.connect("-", node: :python)
      pid = Remora.can_on(conn, "os.getpid")
      child = fork { puts "child"; $stdout.flush }
      Process.wait(child)
      puts $?.success?, pid.call == conn.pid
    RUBY
    assert_equal "child\ntrue\ntrue\n", out, err
    assert status.success?
  end

  def test_the_end_of_the_program
    Dir.mktmpdir do |dir|
      path = File.join(dir, "said")
      status, out, err = script(<<~RUBY)
        require "remora"
        at_exit { puts Remora.can_on($conn, "os.getpid").call == $conn.pid; Remora.options($path, oneway: true).write_text("sent") }
        $conn = Remora.connect("-", node: :python)
        $path = Remora.new_on($conn, "pathlib.Path", #{path.inspect})
        $kept = [Remora.can_on($conn, "os.getpid"), Remora.start(Remora.can_on($conn, "time.sleep")).call(0)]
        exit 5
      RUBY
      assert_equal ["true\n", "", 5], [out, err, status.exitstatus]
      assert_equal "sent", File.read(path)
    end
  end

  def test_the_end_while_threads_wait_and_callbacks_run
    status, out, err = script(<<~RUBY)
      require "remora"
      conn = Remora.connect("-", node: :python)
      nap = Remora.can_on(conn, "time.sleep")
      3.times { Thread.new { nap.call(60) } }
      called = Queue.new
      Remora.start(Remora.can_on(Remora.connect("-", node: :python), "builtins.list")).call(Enumerator.new { |out| called << 1; sleep })
      called.pop
      puts "end"
    RUBY
    assert_equal ["end\n", "", 0], [out, err, status.exitstatus]
  end

  def test_far_processes_end_with_their_connections
    pids = Array.new(3) { connect.pid }
    @conns.each(&:close).each { |conn| assert conn.wait_closed(10) }
    pids.each { |pid| assert_raises(Errno::ESRCH) { Process.kill(0, pid) } }
  end

  def test_a_dropped_connection_ends
    pid = Thread.new { Remora.connect("-", node: :python).pid }.value
    eventually { GC.start || !File.exist?("/proc/#{pid}") }
  end
end
