# Running what the other side calls.

module Remora
  # An iterator over anything that has `each`: a fiber that stops once for each batch, and not for each item.
  class Iterator
    LISTS = %w[Array Hash Set Struct].freeze  # a loop that stops within the `each` of a Hash or Set would keep others from adding to it

    def initialize(it)
      @it = it
      @items = []
      @fiber = nil
      @at = 0
      return unless Object === it && it.respond_to?(:each)
      owner = Kernel.instance_method(:method).bind(it).call(:each).owner
      @list = Array === it ? it : it.to_a if LISTS.include?(owner.name)
    end

    def each(&block)
      @it.each(&block)
    end

    def next
      done, items = batch(1)
      raise StopIteration, "iteration reached an end" if items.empty? && done
      items[0]
    end

    # At most n items, or as many as are made in about 5 ms. An error behind some items waits for its turn.
    def batch(most)
      if @error
        error, @error = @error, nil
        raise error
      end
      return [true, []] if @done
      if @list
        items = @list[@at, most].to_a
        @at += items.size
        return [@at >= @list.size, items]
      end
      @most = most
      @late = Remora.clock + 0.005
      begin
        (@fiber ||= Fiber.new { run }).resume
      rescue Exception => error
        @done = true
        raise if @items.empty?
        @error = error
      end
      items, @items = @items, []
      [@done && !@error ? true : false, items]
    end

    private

    def run
      @it.each do |*item|
        @items << (item.size == 1 ? item[0] : item)
        Fiber.yield if @items.size >= @most || Remora.clock > @late
      end
      @done = true
    end
  end

  # What a method's name with a colon stands for.
  module Operations
    module_function

    def perform(node, name, it, args)
      case name
      when ":get" then get(node, it, *args)
      when ":set" then set(node, it, *args)
      when ":len" then len(it)
      when ":item" then it.[](*args)
      when ":setitem"
        it.[]=(*args)
        nil
      when ":delitem"
        Array === it ? it.delete_at(*args) : it.delete(*args)
        nil
      when ":contains" then it.include?(*args) ? true : false
      when ":keys" then it.keys
      when ":copy" then copy(it)
      when ":iter" then Lend.new(Iterator.new(it))
      when ":next" then advance(it, *args)
      when ":enter" then it
      when ":exit"  # a guard is what can be closed, as in the block of File.open
        it.close
        false
      when ":lt" then it < args[0]
      when ":le" then it <= args[0]
      when ":gt" then it > args[0]
      when ":ge" then it >= args[0]
      when ":str" then Errors.text(it.to_s)
      when ":repr" then Errors.text(it.inspect)
      else raise NotFound, "no operation #{name.inspect} in Ruby"
      end
    end

    # An attribute: what a reader gives, a constant or a class variable of a module, an instance variable by its @name.
    def get(node, it, name)
      return node.ask(it.__remora_id, ":get", [name]) if Proxy === it
      case name
      when /\A@@/ then (Module === it ? it : it.class).class_variable_get(name)
      when /\A@/ then it.instance_variable_get(name)
      when /\A[A-Z]/
        return it.public_send(name) if it.respond_to?(name)
        (Module === it ? it : it.class).const_get(name)
      else it.public_send(name)
      end
    end

    def set(node, it, name, value)
      return node.ask(it.__remora_id, ":set", [name, value]) if Proxy === it
      case name
      when /\A@@/ then (Module === it ? it : it.class).class_variable_set(name, value)
      when /\A@/ then it.instance_variable_set(name, value)
      else it.public_send("#{name}=", value)
      end
      nil
    end

    def copy(it)
      case it
      when Proxy then Node.current.ask(it.__remora_id, ":copy", NONE)
      when Hash then {}.merge!(it)
      when Struct then it.to_h
      when String then String.new(it)
      else it.to_a
      end
    end

    def len(it)
      size = it.respond_to?(:size) ? it.size : it.length
      raise TypeError, "#{it.class} does not know its size" unless Integer === size
      size
    end

    def advance(it, most)
      return it.batch(most) if Iterator === it
      items = []
      late = Remora.clock + 0.005
      begin
        while items.size < most
          items << it.next
          break if Remora.clock > late
        end
      rescue StopIteration
        return [true, items]
      end
      [false, items]
    end
  end

  # Object 0 of a node.
  module Root
    module_function

    def perform(node, name, args, kwargs, block, item)
      case name
      when "new"
        found = Names.find(wanted = args.shift)
        raise NotFound, "no class #{wanted}#{Names.nowhere(wanted)}" if found.nil?
        Lend.new(construct(found, args, kwargs, block))
      when "can"
        found = Names.find(args[0])
        Module === found || found.respond_to?(:call) ? Lend.new(found) : nil
      when "run", "open", "stat"
        Modules.serve("remora/files")
        Files.perform(node, name, args, item)
      when "repl"
        Modules.serve("remora/repl")
        Lend.new(Repl.new)
      else raise NotFound, "the root has no method #{name.inspect}"
      end
    end

    def construct(found, args, kwargs, block)
      Calls.invoke(found, found.respond_to?(:new) ? "new" : "call", args, kwargs, block)
    end
  end

  module Calls
    PUBLIC_SEND = Kernel.instance_method(:public_send)

    module_function

    # Keywords are passed where there are any: Ruby gives them to a method without keywords as a map. A BasicObject has
    # no public_send.
    def invoke(it, name, args, kwargs, block)
      unless Object === it
        it = PUBLIC_SEND.bind(it)
        args = [name] + args
        name = "call"
      end
      if kwargs && !kwargs.empty?
        it.public_send(name, *args, **kwargs, &block)
      else
        it.public_send(name, *args, &block)
      end
    end

    # Calling the thing itself.
    def call(it, args, kwargs, block)
      invoke(it, Class === it && !it.respond_to?(:call) ? "new" : "call", args, kwargs, block)
    end
  end
end
