# frozen_string_literal: true

# What the tests of the Ruby package share. Each file can be run alone: ruby tests/ruby/test_x.rb, after `. build/env.sh`.
require "minitest/autorun"
require "timeout"
require "tmpdir"
require "remora"

class FarTest < Minitest::Test
  HERE = __dir__
  # Where the far modules are found, beside the load path.
  ROOTS = [File.join(HERE, "farmods"), File.join(HERE, "../python/farmods")].map { |dir| File.expand_path(dir) }.freeze
  SECONDS = 240 # for one test: that of GC.stress computes for long, and may have a tenth of a core

  # The whole program ends when a test hangs: an exception could not, if what hangs is that exceptions do not come.
  def run
    watchdog = Thread.new do
      sleep SECONDS
      warn "#{self.class}##{name} hangs:"
      Thread.list.each { |thread| warn "", thread.inspect, *thread.backtrace }
      exit!(1)
    end
    super
  ensure
    watchdog.kill.join
  end

  def connect(spec = "-", **options)
    options = { node: :python, roots: ROOTS }.merge(options)
    @conns ||= []
    @conns << (conn = Remora.connect(spec, **options))
    conn
  end

  # One connection for the test.
  def conn
    @conn ||= connect
  end

  # A function of far_things.py.
  def far(name)
    Remora.can_on(conn, "far_things.#{name}")
  end

  def make(name, *args, **named)
    Remora.new_on(conn, "far_things.#{name}", *args, **named)
  end

  def teardown
    (@conns || []).each { |conn| conn.close && conn.wait_closed(20.0) }
  end

  # For something that no event announces (a far process that ends, a table that empties).
  def eventually(seconds = 30.0)
    till = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
    until yield
      assert Process.clock_gettime(Process::CLOCK_MONOTONIC) < till, "has not happened within #{seconds} s"
      sleep 0.01
    end
  end

  # What far("hold") is called with, and what ends that call, or the next one.
  def hold
    Dir.mktmpdir do |dir|
      File.mkfifo(path = File.join(dir, "hold"))
      File.open(path, "r+") do |pipe|
        yield path, -> { pipe.syswrite("let go\n") }
      ensure
        File.unlink(path) # before the end: who opens it now is not alone
      end
    end
  end

  # Runs a program as a user would: [status, output, errors].
  def script(source, *args, seconds: 30, **env)
    Dir.mktmpdir do |dir|
      path = File.join(dir, "main_script.rb")
      File.write(path, source)
      out, err = File.join(dir, "out"), File.join(dir, "err")
      pid = spawn(env.transform_keys(&:to_s), RbConfig.ruby, "-I#{ROOTS.join(File::PATH_SEPARATOR)}", path, *args, out: out, err: err, in: File::NULL)
      yield pid, out if block_given?
      begin
        _, status = Timeout.timeout(seconds) { Process.wait2(pid) }
      rescue Timeout::Error
        Process.kill(:KILL, pid)
        Process.wait(pid)
        flunk("not done after #{seconds} s: #{File.read(out)} #{File.read(err)}")
      end
      [status, File.read(out), File.read(err)]
    end
  end

  # A callback that tells the test that it was reached, and may wait for the test.
  class Gate
    def initialize
      @reached, @open = Queue.new, Queue.new
    end

    def call(*)
      @reached << true
      @open.pop
    end

    def wait_reached
      Timeout.timeout(20) { @reached.pop }
    end

    def open
      @open << true
    end
  end
end
