# Output of user code and of the processes that it starts: home, in order, before the reply that follows.

module Remora
  class Node
    FULL = 1 << 20  # bytes that wait; beyond that who writes waits

    def set_up_output
      @printed = []  # [1 or 2, bytes]
      @spills = {}  # what is read of the descriptors 1 and 2 -> 1 or 2
      @spare = "".b
    end

    # The descriptors 0, 1 and 2 become user code's: empty input, and pipes that we read. What Ruby code writes comes
    # directly, so that both streams keep their common order.
    def move_output
      $stdin.reopen(File::NULL)
      node = self
      { 1 => STDOUT, 2 => STDERR }.each do |number, io|
        r, w = IO.pipe
        io.reopen(w)
        w.close
        r.binmode
        @spills[r] = number
        io.sync = true
        io.define_singleton_method(:write) do |*parts|
          parts.map!(&:to_s)
          node.say(number, parts) ? parts.sum(&:bytesize) : super(*parts)
        end
        io.define_singleton_method(:flush) do
          node.flush unless node.forked?
          self
        end
        io.define_singleton_method(:reopen) do |*args|
          %i[write flush reopen].each { |name| singleton_class.send(:remove_method, name) }
          reopen(*args)  # it leads elsewhere from now on, or to the pipe again
        end
      end
      @spilled = @spills.keys
    end

    # False where it has to go through the descriptor: in a fork of us, in a signal handler (which cannot lock).
    def say(number, parts)
      return false if forked?
      return true if @ending
      full = false
      Thread.handle_interrupt(Object => :never) do
        @write_lock.synchronize do
          collect
          parts.each { |part| print(number, part) }
          full = @printed.sum { |_, data| data.bytesize } > 32768
        end
        if full
          flush
          wait_for_room unless Thread.current.equal?(MAIN) || Thread.current.equal?(@second)
        elsif @parked
          nudge
        end
      end
      true
    rescue ThreadError
      false
    end

    # Into what waits; under the lock.
    def print(number, data)
      last = @printed[-1]
      data = data.b
      if last && last[0] == number && last[1].bytesize + data.bytesize <= 65536
        last[1] << data
      else
        @printed << [number, data]
      end
    end

    # What was written to the descriptors 1 and 2; under the lock.
    def collect
      return unless (ready = IO.select(@spilled, nil, nil, 0))
      return if @printed.size > FULL / 65536
      ready[0].each do |io|
        data = io.read_nonblock(65536, exception: false)
        print(@spills[io], data) if String === data
      end
    end

    # A thread that prints more than there is credit for.
    def wait_for_room
      while @printed.size > FULL / 65536
        future = Future.new(self, 0, 0)
        @tables.synchronize { @thirsty << future }
        flush  # credit may have come in between
        wait(future) if @printed.size > FULL / 65536
      end
    end

    # OUTPUT frames, as far as the credit goes; under the lock.
    def outputs
      frames = "".b
      until @printed.empty?
        number, data = @printed[0]
        cost = 32 + [data.bytesize, 65536].min
        fits = @tables.synchronize do
          room = @spent <= @credit / 4 || @spent + cost <= @credit
          @spent += cost if room
          room
        end
        break unless fits
        @printed.shift
        if data.bytesize > 65536
          @printed.unshift([number, data.byteslice(65536, data.bytesize - 65536)])
          data = data.byteslice(0, 65536)
        end
        frames << Remora.frame(OUTPUT, data, 0, 0, number)
      end
      frames
    end

    # Writes what waits, output before replies. What has no credit holds up the replies behind it.
    def flush
      until @ending
        @write_lock.synchronize do
          out = take_out  # before collecting: an answer that another thread gives meanwhile may have output of its call before it
          collect
          data = @printed.empty? ? nil : outputs
          if @printed.empty?
            data = data ? data << out : out
          elsif !out.empty?
            @out = out << @out
          end
          write(data) unless data.nil? || data.empty?
        end
        return if @printed.empty? || !Thread.current.equal?(MAIN)
        wait_for_credit
      end
    end

    # The main thread reads until some of its output may go.
    def wait_for_credit
      running = @running
      @running = nil  # for the understudy: two must not read
      reclaim if @taken
      serve(Future.new(self, 0, 0), Remora.clock + 1, true)
      @running = running
    end
  end
end
