# The warden: the parent of the node, which watches it from outside (protocol.md, section 7).

module Remora
  module Warden
    module_function

    # Forks. The child goes on as the node and gets a pipe that ends with its parent, the warden.
    def stand(wire, error, heartbeat)
      @error = error
      mine, yours = IO.pipe
      pid = fork
      if pid.nil?
        Process.setpgid(0, 0)
        yours.close
        return mine
      end
      status = 1
      begin
        [*wire, mine, $stdin, $stdout].each(&:close)
        status = watch(pid, heartbeat > 0 ? heartbeat : 5)
      ensure
        Process.exit!(status)
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
  end
end
