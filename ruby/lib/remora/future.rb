# frozen_string_literal: true

module Remora
  # A result that will come: of Remora.start(x).method(...), of a connection's end, or of then and rescue.
  #
  # Any thread may use it, and several may wait for it. A thread that waits drives the connections itself and runs the callbacks that belong to
  # the call. The words are those of concurrent-ruby's futures. Times are seconds.
  class Future
    # Waits; whether it is resolved.
    def wait(timeout = nil)
      wait_ms(Internal.milliseconds(timeout))
    end

    # The result, or nil: it has not come within the time, or the call failed (see reason).
    def value(timeout = nil)
      wait(timeout) ? outcome[0] : nil
    end

    # The result. Raises what the call raised, and Timeout when it has not come in time (the call goes on).
    def value!(timeout = nil)
      return take if timeout.nil?
      raise Internal.timeout(timeout) unless wait(timeout)
      value, error = outcome
      raise error if error
      value
    end

    # The exception of a call that failed, or nil.
    def reason(timeout = nil)
      wait(timeout) ? outcome[1] : nil
    end

    # [fulfilled, value, reason], or nil when it has not come within the time.
    def result(timeout = nil)
      return unless wait(timeout)
      value, error = outcome
      [error.nil?, value, error]
    end

    def resolved?
      state != :pending
    end

    def pending?
      state == :pending
    end

    def fulfilled?
      state == :fulfilled
    end

    def rejected?
      %i[rejected cancelled].include?(state)
    end

    def cancelled?
      state == :cancelled
    end

    # A future of what the block makes of the result, or of the future that the block gives. If this one fails, so does that. The block runs once, on
    # the dispatcher thread or on a thread that waits for the new future.
    def then(&block)
      Derived.new(self, block, nil)
    end

    # A future of this one's result, or of what the block makes of its exception.
    def rescue(&block)
      Derived.new(self, nil, block)
    end

    # The block gets (fulfilled, value, reason) once it is resolved: at once if it is, else on the dispatcher thread.
    def on_resolution(&block)
      notify { block.call(*result) }
      self
    end

    # For await_any: this one, also when it is resolved by now, so that the wait for it ends at once.
    def waits_for
      [self]
    end

    def inspect
      "#<Remora::Future #{state}>"
    end
    alias to_s inspect

    protected

    # The block runs when this is resolved.
    def notify(&block)
      return Internal.quietly(&block) if resolved?
      Dispatch.start
      Capi.then_here(self, block)
    end
  end

  # A future made of another one. Whoever first finds that one resolved runs the block.
  class Derived < Future
    attr_reader :state

    def initialize(before, on_value, on_error)
      super()
      @before, @on_value, @on_error = before, on_value, on_error
      @state = :pending
      @lock, @settled, @claimed, @waiting = Mutex.new, ConditionVariable.new, false, []
      before.notify { run }
    end

    # Gives up this one, and the one that it is made of.
    def cancel
      return false if resolved?
      @lock.synchronize { @claimed = true }
      (@inner || @before).cancel
      settle(nil, Errors.make(Cancelled::CODE, "the call was cancelled", nil, nil, nil))
      cancelled?
    end

    # A future of C that is resolved as this one is.
    def promise
      made = Capi.remora_promise
      notify do
        @error ? Capi.reject(made, @error) : Capi.remora_resolve(made, @value)
      rescue StandardError => e # no value that can cross
        Capi.reject(made, e)
      end
      made
    end

    # The futures of calls without one of which this one cannot go on; none while its block runs, or when it is resolved.
    def waits_for
      return @before.waits_for unless @before.resolved?
      run
      @inner.nil? || @inner.resolved? ? [] : @inner.waits_for
    end

    protected

    def notify(&block)
      waits = @lock.synchronize { @waiting&.push(block) }
      Internal.quietly(&block) unless waits
    end

    private

    # Runs the block if nobody has; the future before is resolved.
    def run
      mine = @lock.synchronize { @claimed ? false : @claimed = true }
      return unless mine
      begin
        _, value, error = @before.result
        if error
          error, value = nil, @on_error.call(error) if @on_error
        elsif @on_value
          value = @on_value.call(value)
        end
        ended = true
      rescue StandardError, ScriptError, NoMemoryError, SystemStackError => e
        value, error, ended = nil, e, true
      ensure # else its thread was interrupted or killed
        settle(nil, Errors.make(Cancelled::CODE, "the block was interrupted", nil, nil, nil)) unless ended
      end
      return settle(value, error) unless Future === value
      @inner = value
      value.notify { settle_from(value) }
    end

    def settle_from(inner)
      _, value, error = inner.result
      settle(value, error)
    end

    def settle(value, error)
      waiting = @lock.synchronize do
        next unless @state == :pending
        @value, @error = value, error
        @state = error.nil? ? :fulfilled : Cancelled === error ? :cancelled : :rejected
        @settled.broadcast
        waiting, @waiting = @waiting, nil
        waiting
      end
      waiting&.each { |block| Internal.quietly(&block) }
    end

    def outcome
      [@value, @error]
    end

    def take
      wait
      raise @error if @error
      @value
    end

    def wait_ms(limit)
      return true if resolved?
      till = limit.negative? ? nil : Internal.now + limit / 1000.0
      left = -> { till && [till - Internal.now, 0.0].max }
      # Waiting for the call itself, not for another thread: this may be the thread that has to run its callbacks.
      return false unless @before.wait(left.call)
      run
      settle_from(@inner) if @inner&.wait(left.call)
      @lock.synchronize do
        while @state == :pending
          rest = left.call
          return false if rest&.zero?
          @settled.wait(@lock, rest)
        end
      end
      true
    end
  end

  class << self
    # The result; the same as future.value!(timeout).
    def await_future(future, timeout = nil)
      future.value!(timeout)
    end

    # The results of all, in order: await_all(f, g, timeout: 2.0), await_all(list). Waits at most `timeout` seconds for all together (Timeout; the calls
    # go on). When all are resolved and some failed, the first of these errors is raised.
    def await_all(*futures, timeout: nil)
      futures = futures.flatten
      if timeout
        till = Internal.now + timeout
        late = futures.reject { |future| future.wait([till - Internal.now, 0.0].max) }
        raise Internal.timeout(timeout, "#{late.size} of #{futures.size} results have") unless late.empty?
      else
        futures.each(&:wait)
      end
      futures.map(&:value!)
    end

    # The first of them that is resolved, whatever its outcome: await_any(f, g, timeout: 2.0), await_any(list). Waits at most `timeout` seconds (Timeout;
    # the calls go on).
    def await_any(*futures, timeout: nil)
      futures = futures.flatten
      raise Internal.invalid("the first of no futures") if futures.empty?
      till = timeout && Internal.now + timeout
      moved = nil # resolved when a block that another thread runs has come to its end
      loop do
        ready = futures.find { |future| future.wait(0) }
        return ready if ready
        calls = futures.map(&:waits_for)
        calls << [moved ||= Internal.moved(futures)] if calls.any?(&:empty?)
        left = till && [till - Internal.now, 0].max
        raise Errors.make(Timeout::CODE, "none of #{futures.size} results has come within #{timeout} s", nil, nil, nil) unless Capi.first_of(calls.flatten).wait(left)
      end
    end
  end

  module Internal
    class << self
      def now
        Process.clock_gettime(Process::CLOCK_MONOTONIC)
      end

      # A future that is resolved when one of these that are made of others is.
      def moved(futures)
        made = Capi.remora_promise
        futures.grep(Derived).each { |future| future.on_resolution { Capi.remora_resolve(made, nil) } }
        made
      end

      def milliseconds(seconds)
        return -1 if seconds.nil? || seconds == Float::INFINITY
        raise invalid("#{seconds.inspect} is not a time in seconds") unless seconds.is_a?(Numeric) && seconds >= 0
        seconds > 1e12 ? -1 : (seconds * 1000).ceil
      end

      def timeout(seconds, what = "the result has")
        Errors.make(Timeout::CODE, "#{what} not come within #{seconds} s", nil, nil, nil)
      end

      def invalid(text)
        Errors.make(InvalidArgument::CODE, text, nil, nil, nil)
      end
    end
  end
end
