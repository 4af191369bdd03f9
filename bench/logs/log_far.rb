# log_far.py in Ruby.
module LogFar
  @log = Remora.logger("bench.logs")
  @flooding = false

  class << self
    def lines(n)
      n.times { |i| @log.info("line #{i} of a program that has much to tell") }
      n
    end

    def flood(rate)
      @flooding = true
      @emitted = 0
      Thread.new do
        start = Process.clock_gettime(Process::CLOCK_MONOTONIC)
        while @flooding
          due = ((Process.clock_gettime(Process::CLOCK_MONOTONIC) - start) * rate).to_i
          some = [due - @emitted, 100].min
          lines(some)
          @emitted += some
          @emitted >= due ? sleep(0.001) : Thread.pass
        end
      end
      nil
    end

    def stop
      @flooding = false
      sleep 0.05
      @emitted
    end

    def echo(x)
      x
    end
  end
end
