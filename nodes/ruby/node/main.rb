# Who runs and who reads: the main thread, the understudy, others that wait; signs of life, and the end.

module Remora
  class Node
    SPIN = 5e-5
    NEVER = 1e19

    def initialize
      # Copies are closed in programs that are started. What the stub read went past the buffer of $stdin.
      @r = $stdin.dup
      @w = $stdout.dup
      @error = $stderr.dup
      [@r, @w, @error].each { |io| io.binmode.sync = true }
      set_up_session
      set_up_output
      @here = "pid #{Process.pid}"
      @chain = 0  # of the call that the main thread runs
      @due = nil  # and when its time is up
      @running = nil  # a number for each stretch of user code on the main thread
      @stretch = 0
      @queue = []  # calls for the main thread
      @routing = Mutex.new  # guards @waits, and taking from @queue
      @waits = {}  # chain -> futures for which threads wait that can run calls of that chain
      @chains = {}.compare_by_identity  # thread -> the chain that it works for, other than the main thread
      @bell = ConditionVariable.new  # rings when the future of a thread other than the main one may be settled
      @desk = Mutex.new
      @taken = false  # the understudy reads
      @back = false  # the main thread wants to
      @reading = Mutex.new  # held by the understudy while it reads
      @parked = false
      @resting = false  # the main thread sleeps in select
      @waiting = 0  # threads that wait for a reply that others read
      @fast = {}  # object -> methods that have been fast
      @commands = {}  # call -> a command that runs for it
      @last = 0.0
      @misses = 0  # spins in a row that found nothing
      @reads = 0
      @mark = -1
      @beat_at = 0.0
    end

    def hello(told)
      raise Fault, "HELLO is no map" unless Hash === told
      raise Fault, "protocol 1 here, #{told["protocol"].inspect} there" if told["protocol"] != 1
      @told = told
      @credit = told["credit"] || @credit
      @heartbeat = (told["heartbeat"] || 0) / 1000.0
      @tick = @heartbeat > 0 ? [0.1, @heartbeat / 2].min : 0.1
      @most = told["max_message"] || @most
      @ruby = told["language"].to_s.start_with?("ruby")
    end

    # Greets, and puts everything into its place.
    def begin
      receive_hello
      @guardian = Warden.stand([@r, @w], @error, @heartbeat) if @told["warden"]
      @pid = Process.pid
      host = File.read("/proc/sys/kernel/hostname").chomp rescue (require "socket"; Socket.gethostname)
      @here = "#{@told["name"] || host} pid #{@pid}"
      user = ENV["USER"] || ENV["LOGNAME"] || Process.uid.to_s
      text = JSON.generate("protocol" => 1, "version" => VERSION, "credit" => GRANT, "language" => "ruby #{RUBY_VERSION}",
                           "pid" => @pid, "host" => Errors.text(host), "node" => "ruby", "user" => Errors.text(user))
      write(MAGIC + Remora.frame(HELLO, text))
      move_output
      @waker, @alarm = IO.pipe
      @doze, @poke = IO.pipe
      @watched = [@r, @waker, @guardian, *@spills.keys].compact
      # A handler and not "IGNORE", which children would inherit: Ctrl-C at the near side's terminal is not for the node.
      trap("INT") {}
      # Ruby would raise these as exceptions in the call that runs, which would be its answer.
      %w[TERM HUP ALRM USR1 USR2].each { |name| trap(name, "SYSTEM_DEFAULT") }
      at_exit { leave }
      @logs = Log::Buffer.new(self, @told["log"]) if @told["log"]
      watch_forks
      @second = Thread.new { understudy }
      @second.report_on_exception = false
      watch_near(@told["watchdog"] / 1000.0) if @told["watchdog"]
    end

    def receive_hello
      until @buf.bytesize >= 32 && (@buf.bytesize >= 32 + (size = @buf.unpack1("V")) || size > 65536)
        @buf << @r.readpartial(65536)
      end
      size, kind, flags, mlen, call, aux, id, chain = @buf.unpack(HEAD)
      check(size, kind, flags, mlen, call, aux, id, chain)
      @at = 32 + size
      hello(JSON.parse(@buf.byteslice(32, size).force_encoding(UTF8)))
    rescue EOFError
      exit!(0)
    rescue JSON::ParserError => error
      raise Fault, "a HELLO that makes no sense: #{error.message}"
    end

    # -- running calls

    # Runs calls: for ever, or until a future is settled or it is late. `dry`: only until there is credit.
    def serve(til = nil, late = nil, dry = false)
      while true
        if til.nil?
          if @queue.empty?
            item = parse
            unless item.nil? || @queue.empty? # parsing met a call with tables before this one
              @queue << item
              item = next_call
            end
          else
            item = next_call
          end
        elsif til.settled
          return
        elsif !til.calls.empty?
          item = til.calls.shift
        else
          item = parse
          if item && (dry || item[3] != til.chain || !til.calls.empty?)
            route(item)
            next
          end
        end
        if item.nil?
          if til.nil?
            next unless @queue.empty?
          elsif til.settled || !til.calls.empty?
            next
          elsif late && Remora.clock >= late || dry && @spent <= @credit / 4
            return
          end
          receive(til, late, dry)
          next
        end
        id = item[2]
        name = item[5]
        flush unless @out.empty? || (known = @fast[id]) && known[name]
        @chain = item[3]
        @due = item[4]
        @running = @stretch += 1
        til ? Thread.handle_interrupt(Object => :immediate) { run(item) } : run(item)
        @running = item = nil
        reclaim if @taken
        next unless @at < @buf.bytesize
        # More is here already: answers are collected as long as calls are known to be quick.
        now = Remora.clock
        if now - @last < 0.0002
          @fast.clear if @fast.size > 1000
          (@fast[id] ||= {})[name] = true
          flush if @out.bytesize > 8192
        else
          @fast.delete(id)
          flush
        end
        @last = now
      end
    end

    # Runs a call and puts the answer into what is to be written.
    def run(item)
      call, flags, id, _, due, name, body, refs, raws, cost, target = item
      begin
        args = decode(body, flags, refs, raws)
        raise Value, "the arguments are no list" unless Array === args
        if id != 0 && (@owed += cost) > GRANT / 4
          @out << Remora.frame(CREDIT, "", 0, 0, 0, @owed)
          @owed = 0
        end
        raise Timeout, "no time was left to start the call" if due && Remora.clock > due
        name.force_encoding(UTF8)
        if flags & KW != 0 || id == 0 || ABSENT.equal?(target) || !(Object === target)
          result = perform(flags, id, name, args, target, item)
        elsif name.empty?
          result = Method === target || Proc === target ? target.call(*args) : Calls.call(target, args, nil, nil)
        elsif name.getbyte(0) != 58
          result = target.public_send(name, *args)
        else
          result = Operations.perform(self, name, target, args)
        end
        return if flags & ONEWAY != 0
        raise Cancelled, "cancelled" if !@cancelled.empty? && @cancelled.delete(call)
        case result
        when Integer
          return send_message(REPLY, 0, call, result) unless result < BIG && result >= -BIG
          text = result.to_s
        when nil then text = "null"
        when String
          unless result.instance_of?(String) && result.bytesize < LONG && Values.text?(result) &&
                 !result.match?(Values::SPECIAL)
            return send_message(REPLY, 0, call, result)
          end
          text = "\"#{result}\""
        when true then text = "true"
        when false then text = "false"
        when Future then return owe(item, result)
        else
          return nil if Deferred.equal?(result)
          result = Lend.new(result) if flags & BYREF != 0 && (Array === result || Hash === result)
          return send_message(REPLY, 0, call, result)
        end
        [text.bytesize, REPLY | PLAIN << 8, call, text].pack(REPLY_HEAD, buffer: @out)
      rescue Exception => error
        finish if @ending
        raise if Fault === error
        fail_call(call, error) if flags & ONEWAY == 0
      end
      nil
    end

    # The answer to a call whose method has returned a future comes with the future's; meanwhile other calls run.
    def owe(item, future)
      call, flags = item
      @owing[call] = future
      future.at_once do
        @owing.delete(call)
        begin
          value = future.value!
          value = Lend.new(value) if flags & BYREF != 0 && (Array === value || Hash === value)
          raise Cancelled, "cancelled" if @cancelled.delete(call)
          send_message(REPLY, 0, call, value)
        rescue Exception => error
          raise if Fault === error
          fail_call(call, error)
        end
      end
    end

    # The less common ways to call.
    def perform(flags, id, name, args, target, item)
      kwargs = block = nil
      if flags & KW != 0
        kwargs = args.pop
        raise Value, "the keyword arguments are no map" unless Hash === kwargs
        block = kwargs.delete("&")
        block = block.to_proc unless block.nil?
        kwargs = kwargs.map { |key, value| [key.to_sym, value] }.to_h
      end
      return Root.perform(self, name, args, kwargs, block, item) if id == 0
      # It was looked up on arrival: a release that came behind the call has taken effect meanwhile.
      raise NotFound, "no object #{id}" if ABSENT.equal?(target)
      return Calls.call(target, args, kwargs, block) if name.empty?
      return Operations.perform(self, name, target, args) if name.start_with?(":")
      Calls.invoke(target, name, args, kwargs, block)
    end

    def fail_call(call, error)
      error = Cancelled.new("cancelled") if @cancelled.delete(call)
      send_message(ERROR, 0, call, Errors.describe(error, @here))
    rescue Exception => second
      raise if Fault === second || SystemExit === second
      send_message(ERROR, 0, call, "type" => [Errors.name_of(error.class), "Exception"], "language" => "ruby", "hops" => [@here],
                   "message" => "#{error.class} (and in reporting it: #{Errors.text(second.message)})")
    end

    # The answer of a call that was left to another thread.
    def reply_later(item, result)
      return if item[1] & ONEWAY != 0
      begin
        send_message(REPLY, 0, item[0], result)
      rescue StandardError => error
        fail_call(item[0], error)
      end
      flush
    end

    def fail_later(item, error)
      return if item[1] & ONEWAY != 0
      fail_call(item[0], error)
      flush
    end

    # The chain of the calls that this thread makes from now on; nil: of its own.
    def work_for(chain)
      chain ? @chains[Thread.current] = chain : @chains.delete(Thread.current)
    end

    # A call that the reading thread does not run itself goes to the thread of its chain, else to the main thread.
    def route(item)
      @routing.synchronize do
        waiting = @waits[item[3]]
        if waiting
          waiting[-1].calls << item
          ring
        else
          @queue << item
        end
      end
      wake
    end

    # nil: a thread that waits has taken it.
    def next_call
      @routing.synchronize { @queue.shift }
    end

    # From here on `route` gives this future the calls of its chain. What came for the wait around this one, or while nobody
    # waited, came first.
    def await_calls(future)
      @routing.synchronize do
        line = (@waits[future.chain] ||= [])
        future.calls.concat(line[-1].calls.slice!(0..-1)) unless line.empty?
        line << future
        mine, others = @queue.partition { |item| Array === item && item[3] == future.chain }
        future.calls.concat(mine)
        @queue.replace(others) unless mine.empty?
      end
    end

    def await_no_calls(future)
      @routing.synchronize do
        line = @waits[future.chain]
        line.delete(future)
        @waits.delete(future.chain) if line.empty?
        (line.empty? ? @queue : line[-1].calls).concat(future.calls)
      end
    end

    # -- reading

    # Waits for more to do, first with the processor in hand.
    def receive(til, late, dry)
      flush unless dry || @out.empty? && @printed.empty? && @dropped.empty?
      if @misses < 4
        stop = nil
        while true
          Thread.pass
          return if take_in
          now = Remora.clock
          if stop.nil?
            stop = now + SPIN
          elsif now > stop
            @misses += 1
            break
          end
        end
      end
      sleep_until_there_is_more(til, late, dry)
    end

    # Reads what there is; false if there is nothing.
    def take_in
      if @rest > 0
        data = @r.read_nonblock([@rest, PIECE].min, @spare, exception: false)
        return false if data == :wait_readable
        @reads += 1
        data ? pour(data) : finish
        Thread.pass
        return true
      end
      got = @r.read_nonblock(65536, @spare, exception: false)
      return false if got == :wait_readable
      return finish if got.nil?
      @misses = 0
      @reads += 1
      if @at < @buf.bytesize
        @buf = @buf.byteslice(@at, @buf.bytesize - @at) << got
      else
        @buf, @spare = @spare, @buf
      end
      @at = 0
      true
    end

    def sleep_until_there_is_more(til, late, dry)
      @resting = true
      if dry || !(@queue.any? && til.nil? || @out.bytesize > 0 || @printed.any? || @dropped.any?)
        now = Remora.clock
        stop = next_beat(now)
        stop = late if late && late < stop
        ready = doze_in_select(stop == NEVER ? nil : [0, stop - now].max, til)
        @misses = 0 if Remora.clock - now < 1e-4  # a spin would have found it
      end
      @resting = false
      nudge if @parked
      ready ? handle(ready[0]) : beat(Remora.clock)
    ensure
      @resting = false
    end

    # Inside a call of user code it may be interrupted, by Timeout for instance, here and nowhere else.
    def doze_in_select(seconds, til)
      return IO.select(@watched, nil, nil, seconds) unless til
      Thread.handle_interrupt(Object => :immediate) { IO.select(@watched, nil, nil, seconds) }
    end

    def handle(ready)
      ready.each do |io|
        if io.equal?(@r) then take_in
        elsif io.equal?(@waker) then io.read_nonblock(4096, exception: false)
        elsif io.equal?(@guardian) then finish
        else @write_lock.synchronize { collect }
        end
      end
    end

    # Blocks until the future is settled, and runs calls of its chain meanwhile.
    def wait(future, timeout = nil)
      return wait_beside(future, timeout) unless Thread.current.equal?(MAIN)
      chain = @chain
      due = @due
      await_calls(future)
      @running = nil
      reclaim if @taken
      begin
        serve(future, timeout && Remora.clock + timeout)
      ensure
        await_no_calls(future)
        @chain = chain
        @due = due
        @running = @stretch += 1
      end
      raise Timeout, "no answer within #{timeout} seconds" unless future.settled
    end

    # The same in another thread than the main one: somebody else reads.
    def wait_beside(future, timeout)
      mine = Thread.current
      late = timeout && Remora.clock + timeout
      await_calls(future)
      had = @chains[mine]
      @chains[mine] = future.chain
      @waiting += 1
      future.waiters += 1
      nudge
      begin
        until future.settled
          if (item = future.calls.shift)
            Thread.handle_interrupt(Object => :immediate) { run(item) }
            flush
            next
          end
          left = late && late - Remora.clock
          raise Timeout, "no answer within #{timeout} seconds" if left && left <= 0
          @desk.synchronize do
            unless future.settled || !future.calls.empty?
              Thread.handle_interrupt(Object => :immediate) { @bell.wait(@desk, left) }
            end
          end
        end
      ensure
        @waiting -= 1
        future.waiters -= 1
        await_no_calls(future)
        wake  # the main thread, if calls are left for it
        had ? @chains[mine] = had : @chains.delete(mine)
      end
    end

    def ring
      @desk.synchronize { @bell.broadcast }
    end

    # Takes reading back from the understudy.
    def reclaim
      @back = true
      wake
      @reading.synchronize { @back = false }
    end

    # -- the understudy

    # Wakes the understudy. May be called anywhere.
    def nudge
      @poke.write_nonblock("!", exception: false)
    rescue IOError, SystemCallError
      nil
    end

    def nudge_if_parked
      nudge if @parked
    end

    # By the understudy: everything else goes first, and nobody waits for the near side to read these.
    def send_logs
      return unless @unsent_logs || @logs.any?
      @write_lock.synchronize do
        return if @ending || !@out.empty? || !@printed.empty?
        @unsent_logs = @logs.frames if @unsent_logs.nil? || @unsent_logs.empty?
        return if @unsent_logs.empty?
        # A look whether it can be written would cost another turn of the lock that all threads share.
        written = @w.write_nonblock(@unsent_logs, exception: false)
        return if written == :wait_writable
        rest = @unsent_logs.byteslice(written, @unsent_logs.bytesize - written)
        @unsent_logs = nil
        @sent += 1
        write(rest) unless rest.empty?
      end
    rescue SystemCallError, IOError
      finish
    end

    # Wakes who reads.
    def wake
      @alarm.write_nonblock("!", exception: false) if @resting || @taken
    end

    def understudy
      seen = calm = 0
      line = [@doze]
      while true
        calm = @resting ? calm + 1 : 0
        todo = !@printed.empty? || !@dropped.empty? || @logs && (@unsent_logs || @logs.any?)
        if calm > 10 && !todo
          @parked = true
          IO.select(line, nil, nil, @resting ? nil : 0)
          @parked = false
          calm = 0
        else
          IO.select(line, nil, nil, @tick)
        end
        @doze.read_nonblock(4096, exception: false)
        now = @running
        if now && (now == seen || @waiting > 0)
          stand_in(now)
        elsif todo
          flush
          send_logs if @logs
        end
        seen = now
      end
    rescue Exception => error
      fatal(error)
    end

    # Reads while the main thread runs user code, until that wants to read again.
    def stand_in(now)
      @reading.synchronize do
        @taken = true
        while @running == now && !@back
          flush
          send_logs if @logs
          start = Remora.clock
          ready = IO.select(@watched, nil, nil, [0.001, [next_beat(start), start + (@logs ? 0.1 : 60)].min - start].max)
          handle(ready[0]) if ready
          while (item = parse)
            route(item)
          end
          beat(Remora.clock)
        end
        @taken = false
      end
    end

    # -- signs of life, and the end

    def next_beat(now)
      return NEVER if @heartbeat == 0
      if @mark != @sent
        @mark = @sent
        @beat_at = now + @heartbeat
      end
      @beat_at
    end

    def beat(now)
      @write_lock.synchronize { write(Remora.frame(BEAT)) } if now >= next_beat(now)
    end

    # The watchdog: ends the process when nothing has come for so long. A thread of its own, so that nothing else has to look at the clock.
    def watch_near(limit)
      Thread.new do
        reads = nil
        heard = before = Remora.clock
        while true
          sleep limit / 4
          now = Remora.clock
          if reads != @reads || IO.select([@r], nil, nil, 0) || now - before > limit / 2 + 1
            heard = now  # at last: whoever was stopped, or could not run, has not listened
          elsif now - heard >= limit
            Thread.new { sleep 2; exit!(1) }  # nobody may read it
            fatal(Fault.new("ended by its watchdog: nothing heard for #{(limit * 1000).round} ms"))
          end
          reads = @reads
          before = now
        end
      rescue IOError
        nil  # the end
      end.report_on_exception = false
    end

    # The process goes with its connection. User code gets a second for what it does at exit.
    def finish(code = 0)
      exit!(0) if forked?
      unless @ending
        @ending = true
        @code = code
        @commands.each_value { |command| command.signal(:TERM) }
        Thread.new do
          sleep 1
          exit!(code)
        end
      end
      raise SystemExit.new(code) if Thread.current.equal?(MAIN)
      MAIN.raise(SystemExit.new(code))
      sleep
    end

    # What runs last at exit: files that user code has left open are written out.
    def leave
      return if forked?
      ObjectSpace.each_object(File) { |file| file.flush rescue nil }
      50.times { sleep 0.01 unless @commands.empty? }
      exit!(@code || 0)
    end

    def exit!(code)
      unless forked? || !Remora.const_defined?(:Files, false)
        @commands.each_value { |command| command.signal(:KILL) }
        Files::File.remove_all
      end
      Process.exit!(code)
    end

    def forked?
      Process.pid != @pid && !@pid.nil?
    end

    # The node itself cannot go on: says why on all ways that there are, and ends.
    def fatal(error)
      exit!(0) if forked?
      text = error.message
      text = "#{error.class}: #{text}\n#{Array(error.backtrace).join("\n")}" unless Fault === error
      text = Errors.text(text)
      @error.write(text + "\n") unless Fault === error || @ending
      begin
        @w.write(Remora.frame(BYE, text[0, 20000])) unless @ending
      rescue SystemCallError, IOError
        nil
      end
      finish(1)
    end

    def main
      self.begin
      serve
    rescue SystemExit
      raise if @ending
      exit!(1)
    rescue Exception => error
      fatal(error)
    end
  end
end
