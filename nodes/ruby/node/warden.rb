# The warden: the parent of the node, which watches it from outside (protocol.md, section 7); and forks of user code.

module Remora
  class Node
    # Forks. The child goes on as the node and gets a pipe that ends with its parent, the warden.
    def stand_under_warden
      mine, yours = IO.pipe
      pid = fork
      if pid.nil?
        Process.setpgid(0, 0)
        yours.close
        return mine
      end
      status = 1
      begin
        [@r, @w, mine, $stdin, $stdout].each(&:close)
        status = watch(pid, @heartbeat > 0 ? @heartbeat : 5)
      ensure
        exit!(status)
      end
    end

    def watch(pid, beat)
      r, w = IO.pipe
      trap("CHLD") { w.write_nonblock("!", exception: false) }
      trap("INT") {}
      state = "alive"
      continued = RUBY_PLATFORM =~ /linux/ ? 8 : 16  # WCONTINUED, which Ruby does not name
      while true
        got, status = Process.wait2(pid, Process::WNOHANG | Process::WUNTRACED | continued)
        if got
          break if status.exited? || status.signaled?
          state = status.stopped? ? "stopped" : "alive"
          report(state)
          next
        end
        if IO.select([r], nil, nil, beat)
          r.read_nonblock(512, exception: false)
        elsif state
          unless report(state)  # nobody listens any more: the worker ought to notice the same
            state = nil
            beat = [beat, 2].min
          end
        else
          Process.kill(:KILL, pid)
        end
      end
      begin
        Process.kill(:KILL, -pid)
      rescue SystemCallError
        nil
      end
      report(status.signaled? ? "signal #{status.termsig}" : "exit #{status.exitstatus}")
      status.signaled? ? 128 + status.termsig : status.exitstatus
    end

    def report(text)
      @error.write("\0remora #{text}\n")
      true
    rescue SystemCallError, IOError
      false
    end

    # A child of user code must not keep the wire open, nor use it.
    def close_in_fork
      [@r, @w, @error, @alarm, @waker, @poke, @doze, @guardian, *@spilled].compact.each { |io| io.close unless io.closed? }
      nil
    end

    # Before Ruby 3.1 there is no one place that all forks pass through.
    def watch_forks
      node = self
      if Process.respond_to?(:_fork)
        Process.singleton_class.prepend(Module.new do
          define_method(:_fork) do
            pid = super()
            node.close_in_fork if pid == 0
            pid
          end
        end)
        return
      end
      original = Process.method(:fork)
      forking = lambda do |&block|
        next original.call { node.close_in_fork || block.call } if block
        pid = original.call
        node.close_in_fork if pid.nil?
        pid
      end
      Process.define_singleton_method(:fork, &forking)
      Kernel.define_singleton_method(:fork, &forking)
      Kernel.send(:define_method, :fork, &forking)
      Kernel.send(:private, :fork)
    end
  end
end
