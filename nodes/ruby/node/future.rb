# Results that will come; what is kept of imports and said of exports.

module Remora
  # What is known of an object of the other side while its proxy lives; what to give back when that is gone.
  class Import
    attr_reader :id
    attr_accessor :count

    def initialize(node, id)
      @node = node
      @id = id
      @count = 0
    end

    # The finaliser of the proxy. It may run anywhere: it takes no lock and writes nothing.
    def call(_)
      @node.drop(self)
    end
  end

  # The words of a TYPE.
  module Words
    BY_METHOD = [["call", :call], ["iter", :each], ["next", :next], ["len", :size], ["item", :[]], ["setitem", :[]=],
                 ["delitem", :delete], ["contains", :include?], ["enter", :close]].freeze

    # What can be done with that object.
    def self.of(it)
      case it
      when Proxy then return it.class.words
      when Module then return it.respond_to?(:new) || it.respond_to?(:call) ? ["call"] : []
      when Proc, Method, UnboundMethod then return ["call"]
      when Object
      else return []  # a BasicObject does not say
      end
      words = BY_METHOD.select { |_, method| it.respond_to?(method) }.map(&:first)
      words << "len" if !words.include?("len") && it.respond_to?(:length)
      words << "keys" if Hash === it
      words << "order" if Comparable === it
      words << "exception" if Exception === it
      words.delete("next") unless words.include?("iter")
      words.delete("len") if Enumerator === it || IO === it
      words
    end
  end

  # What a call that was sent will bring.
  class Future
    attr_reader :chain, :call, :calls
    attr_accessor :settled, :message, :waiters

    def initialize(node, call, chain)
      @node = node
      @call = call
      @chain = chain
      @calls = []  # calls of the same chain, to be run by who waits
      @waiters = 0
    end

    def settle(message = nil, error = nil)
      @message = message  # kind, flags, body, refs, raws: decoded by who wants it
      @error = error
      @settled = true
      @node.ring if @waiters > 0
      run_at_once
    end

    # The block runs when this is settled, by whoever settles it.
    def at_once(&block)
      @at_once = block
      run_at_once if @settled
    end

    # Of who settles it and who comes with the block one finds both.
    def run_at_once
      block, @at_once = @at_once, nil
      block&.call
    end

    # The result; raises the error if there is one, and Remora::Timeout when it is not there in time.
    def value!(timeout = nil)
      Thread.handle_interrupt(Object => :never) { @node.wait(self, timeout) } unless @settled
      if @message
        kind, flags, body, refs, raws = @message
        @message = nil
        begin
          value = @node.decode(body, flags, refs, raws)
          kind == ERROR ? @error = Errors.revive(value) : @value = value
        rescue Value => error
          @error = error
        end
      end
      raise @error if @error
      @value
    end

    # Waits; whether it is resolved.
    def wait(timeout = nil)
      value!(timeout)
      true
    rescue Exception => error
      raise unless error.equal?(@error) || Timeout === error
      resolved?
    end

    # The result, or nil: it has not come in time, or the call failed (see reason).
    def value(timeout = nil)
      wait(timeout) ? @value : nil
    end

    # The exception of a call that failed, or nil.
    def reason(timeout = nil)
      wait(timeout) ? @error : nil
    end

    # [fulfilled, value, reason], or nil when it has not come in time.
    def result(timeout = nil)
      wait(timeout) ? [@error.nil?, @value, @error] : nil
    end

    def resolved?
      @settled ? true : false
    end

    def pending?
      !@settled
    end

    def fulfilled?
      resolved? && reason.nil?
    end

    def rejected?
      resolved? && !reason.nil?
    end

    def cancelled?
      Cancelled === @error
    end

    def cancel
      @node.give_up(self)
    end
  end

  module_function

  # Remora.start(proxy).method(...) gives a future.
  def start(proxy)
    Starter.new(far(proxy), {})
  end

  def options(proxy, timeout: nil, oneway: false, by_ref: false)
    Optioned.new(far(proxy), timeout: timeout, oneway: oneway, by_ref: by_ref)
  end

  # An Array or a Hash, as argument or result, that is lent instead of copied. (Anything else that would be.)
  def by_ref(it)
    Proxy === it || Lend === it ? it : Lend.new(it)
  end

  # What is in a list, map or other container of the other side, by value.
  def copy(container)
    Operations.copy(container)
  end

  def await_future(future, timeout = nil)
    future.value!(timeout)
  end

  # The results, in order; the first error is raised.
  def await_all(*futures, timeout: nil)
    late = timeout && clock + timeout
    futures.flatten(1).map { |future| future.value!(late && [late - clock, 0].max) }
  end

  # A connection onwards, to another process there or on another host. The near side makes it, behind the hops of this one,
  # if its option `onward` lets it.
  def connect(spec = "-", **options)
    asked = options.map { |name, value| [name.to_s, value.is_a?(Numeric) ? (value * 1000).round : value] }.to_h
    Node.current.ask(0, "connect", [spec, asked])
  end

  def new_on(connection, name, *args, **kwargs, &block)
    Node.current.ask(far(connection).__remora_id, "new", [name, *args], kwargs, block)
  end

  def can_on(connection, name)
    Node.current.ask(far(connection).__remora_id, "can", [name])
  end

  def getattr(proxy, name)
    Node.current.ask(far(proxy).__remora_id, ":get", [name.to_s])
  end

  def setattr(proxy, name, value)
    Node.current.ask(far(proxy).__remora_id, ":set", [name.to_s, value])
  end

  def far(proxy)
    return proxy if Proxy === proxy
    raise ArgumentError, "an object of the other side is wanted, and not a #{proxy.class}"
  end
end
