# What stands here for objects of the other side.

module Remora
  # An object of another process. What Ruby itself asks of every object is answered here, all else over there.
  class Proxy < BasicObject
    class << self
      attr_accessor :type_name, :words

      def name
        "Remora::Proxy"
      end

      def inspect
        type_name ? "#{name}(#{type_name})" : name
      end
      alias to_s inspect
    end
    self.words = []

    def initialize(node, id)
      @node = node
      @id = id
    end

    def __remora_id
      @id
    end

    def class
      ::Remora::Proxy
    end

    def inspect
      kind = self.class
      "#<remora proxy of #{kind.type_name || "object"} ##{@id} in #{@node.peer}>"
    end
    alias to_s inspect

    def hash
      __id__.hash
    end

    def eql?(other)
      equal?(other)
    end

    def ===(other)
      equal?(other)
    end

    def =~(_)
      nil
    end

    def nil?
      false
    end

    def frozen?
      false
    end

    def object_id
      __id__
    end

    def is_a?(kind)
      kind === self
    end
    alias kind_of? is_a?

    def instance_of?(kind)
      self.class.equal?(kind)
    end

    # What is known without asking: the methods of this class. Names of the other side's methods are not.
    def respond_to?(name, _ = false)
      self.class.method_defined?(name)
    end

    def method_missing(name, *args, **kwargs, &block)
      text = name.to_s
      # Ruby asks for these on its own account.
      if text.start_with?("to_", "marshal_", "respond_to") && IMPLICIT.include?(text)
        ::Kernel.raise ::NoMethodError.new("undefined method `#{text}' for #{inspect}", name)
      end
      @node.ask(@id, text, args, kwargs, block)
    end

    IMPLICIT = %w[to_ary to_str to_hash to_int to_io to_path to_proc to_sym to_regexp to_open to_r to_c to_a to_h to_i to_f
                  to_json marshal_dump respond_to_missing?].freeze
  end

  # What the words of a TYPE make of a proxy, in Ruby's terms.
  module Traits
    CALL = Module.new do
      def call(*args, **kwargs, &block)
        @node.ask(@id, "", args, kwargs, block)
      end
      alias_method :yield, :call

      def to_proc
        it = self
        ::Proc.new { |*args, **words, &block| words.empty? ? it.call(*args, &block) : it.call(*args, **words, &block) }
      end
    end

    # Without a block an Enumerator, which has everything else.
    ITER = Module.new do
      def each(&block)
        return ::Enumerator.new { |out| each { |item| out << item } } unless block
        it = self.class.words.include?("next") ? self : @node.ask(@id, ":iter", NONE)
        number = it.__remora_id
        done = false
        size = 1
        until done
          done, items = @node.ask(number, ":next", [size])
          items.each(&block)
          size *= 2 if size < 1024
        end
        self
      end
    end

    NEXT = Module.new do
      # Fetches more with each round: one, two, four items and so on.
      def next
        @items ||= []
        while @items.empty?
          if @done
            @done = nil
            ::Kernel.raise ::StopIteration, "iteration reached an end"
          end
          @size = @size ? [@size * 2, 1024].min : 1
          @done, @items = @node.ask(@id, ":next", [@size])
        end
        @items.shift
      end
    end

    LEN = Module.new do
      def size
        @node.ask(@id, ":len", NONE)
      end
      alias_method :length, :size
    end

    ITEM = Module.new do
      def [](key)
        @node.ask(@id, ":item", [key])
      end
    end

    SETITEM = Module.new do
      def []=(key, value)
        @node.ask(@id, ":setitem", [key, value])
      end
    end

    DELITEM = Module.new do
      def delete(key)
        @node.ask(@id, ":delitem", [key])
      end
      alias_method :delete_at, :delete
    end

    CONTAINS = Module.new do
      def include?(value)
        @node.ask(@id, ":contains", [value])
      end
      alias_method :member?, :include?
    end

    # A map of another language is one of Ruby's.
    KEYS = Module.new do
      def keys
        @node.ask(@id, ":keys", NONE)
      end

      def key?(key)
        @node.ask(@id, ":contains", [key])
      end
      alias_method :has_key?, :key?

      def each(&block)
        return ::Enumerator.new { |out| each { |pair| out << pair } } unless block
        @node.ask(@id, ":copy", NONE).each(&block)
        self
      end
      alias_method :each_pair, :each
    end

    ORDER = Module.new do
      { :< => ":lt", :<= => ":le", :> => ":gt", :>= => ":ge" }.each do |name, operation|
        define_method(name) { |other| @node.ask(@id, operation, [other]) }
      end

      def <=>(other)
        return 0 if equal?(other)
        self < other ? -1 : self > other ? 1 : 0
      end
    end

    # Python's `with`: what the block makes is the result; the guard is left however the block ends.
    ENTER = Module.new do
      def enter
        begin
          result = yield @node.ask(@id, ":enter", NONE)
        rescue ::Exception => error
          ::Kernel.raise unless @node.ask(@id, ":exit", ["#{error.class}: #{error.message}"])
          return nil
        end
        @node.ask(@id, ":exit", [nil])
        result
      end
    end

    OWN = { "iter" => ITER, "next" => NEXT, "call" => CALL }.freeze
    # What is Ruby over there has methods of these names, which take what they take.
    FOREIGN = { "len" => LEN, "setitem" => SETITEM, "delitem" => DELITEM, "contains" => CONTAINS, "order" => ORDER,
                "item" => ITEM, "enter" => ENTER, "keys" => KEYS }.freeze

    # The class for the proxies of a type that the other side has described.
    def self.proxy_class(text, ruby)
      name, words = text.split("\n", 2)
      words = words.to_s.split
      made = Class.new(Proxy)
      (ruby ? OWN : OWN.merge(FOREIGN)).each { |word, trait| made.send(:include, trait) if words.include?(word) }
      made.send(:define_method, :class) { made }
      made.type_name = name
      made.words = words
      made
    end
  end

  # remora.start(it): its methods give futures; with options they may be one-way or have a time limit.
  class Starter < BasicObject
    def initialize(it, options)
      @it = it
      @options = options
    end

    def call(*args, **kwargs, &block)
      method_missing("", *args, **kwargs, &block)
    end

    def method_missing(name, *args, **kwargs, &block)
      Node.current.begin_call(@it.__remora_id, name.to_s, args, kwargs, block, **@options)
    end
  end

  # Like a proxy, but its calls have a time limit, or want no answer.
  class Optioned < Starter
    def method_missing(name, *args, **kwargs, &block)
      future = super
      @options[:oneway] ? nil : Node.current.finished(future, @options[:timeout])
    end
  end
end
