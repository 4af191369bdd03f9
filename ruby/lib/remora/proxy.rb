# frozen_string_literal: true

module Remora
  # An object or function of a far process.
  #
  # proxy.method(*args, **kwargs, &block) is one round trip. ==, eql?, equal?, hash, inspect, to_s, class, is_a? and respond_to? are answered here and never
  # travel; Remora.options(proxy).to_s asks over there. The same far object is the same proxy: equal? says so. What a far type of another language can do
  # has Ruby's names: call, each, size, [], []=, include?, <. Attributes: Remora.getattr and Remora.setattr.
  #
  # Any thread may call. Dropping the last reference tells the far side at the next occasion.
  class Proxy < BasicObject
    # What is known here: the proxy's own methods and those that its far type's words give it.
    def respond_to?(name, _private = false)
      self.class.method_defined?(name)
    end

    def inspect
      type, conn, pid = Capi.about(self)
      "#<Remora::Proxy of #{type} on #{conn} (pid #{pid})>"
    end

    def to_s
      inspect
    end

    def pretty_print(out)
      out.text(inspect)
    end

    def instance_of?(cls)
      self.class.equal?(cls)
    end

    def nil?
      false
    end

    def frozen?
      false
    end

    def object_id
      hash
    end

    def dup
      ::Kernel.raise ::TypeError, "a Remora::Proxy belongs to its connection and cannot be copied"
    end
    alias clone dup

    # A far function; .call and .() are one round trip.
    module Callable
      def to_proc
        proxy = self
        ::Kernel.proc { |*args, &block| proxy.call(*args, &block) }.ruby2_keywords
      end
    end

    # Items come in batches. Without a block an Enumerator, which has everything else.
    module Iterable
      def each(&block)
        return ::Enumerator.new { |out| Internal.each(self) { |item| out << item } } unless block
        Internal.each(self, &block)
        self
      end
    end

    # The far object is an iterator itself.
    module Iterator
      def each(&block)
        return ::Enumerator.new { |out| Items.each(self) { |item| out << item } } unless block
        Items.each(self, &block)
        self
      end
    end

    # Far types of other languages have no `size`, `[]` or `include?`, but the operation.
    module Sized
      def size
        Capi.invoke(self, ":len")
      end
      alias length size
    end

    module Readable
      def [](key)
        Capi.invoke(self, ":item", key)
      end
    end

    module Writable
      def []=(key, value)
        Capi.invoke(self, ":setitem", key, value)
      end
    end

    module Removable
      def delete(key)
        Capi.invoke(self, ":delitem", key)
      end
      alias delete_at delete
    end

    # A map of another language is one of Ruby's.
    module Map
      def keys
        Capi.invoke(self, ":keys")
      end

      def key?(key)
        Capi.invoke(self, ":contains", key)
      end
      alias has_key? key?

      # The pairs, as they are now.
      def each(&block)
        return ::Enumerator.new { |out| each { |pair| out << pair } } unless block
        Capi.invoke(self, ":copy").each(&block)
        self
      end
      alias each_pair each
    end

    module Container
      def include?(value)
        Capi.invoke(self, ":contains", value)
      end
    end

    # `with` in Python: enter { |value| ... } gives the block's value, or nil when the guard swallowed an error.
    module Guard
      def enter
        value = Capi.invoke(self, ":enter")
        begin
          result = yield value
        rescue ::Exception => error
          ::Kernel.raise unless Capi.invoke(self, ":exit", "#{error.class}: #{error.message}")
          return nil
        end
        Capi.invoke(self, ":exit", nil)
        result
      end
    end

    module Ordered
      { "<" => ":lt", "<=" => ":le", ">" => ":gt", ">=" => ":ge" }.each do |name, method|
        define_method(name) { |other| Capi.invoke(self, method, other) }
      end
    end
  end

  # What by_ref gives: its value crosses as a reference.
  class ByRef
    def initialize(value)
      @value = value
    end
  end

  # What start(proxy) and options(proxy) give: every method is the far object's.
  class Call < BasicObject
    def inspect
      "#<Remora::Call>"
    end

    def respond_to?(name, _private = false)
      %i[inspect respond_to?].include?(name)
    end

    %i[== != ! equal? instance_eval instance_exec].each { |name| undef_method(name) }
  end

  module Internal
    WORDS = { call: Proxy::Callable, iter: Proxy::Iterable, next: Proxy::Iterator }.freeze # next after iter: an iterator is its own
    OPERATIONS = { len: Proxy::Sized, item: Proxy::Readable, setitem: Proxy::Writable, delitem: Proxy::Removable, contains: Proxy::Container, enter: Proxy::Guard,
                   order: Proxy::Ordered, keys: Proxy::Map }.freeze

    class << self
      # The class of the proxies of far types with these words. What is Ruby over there has its own names.
      def proxy_class(words, ruby)
        modules = (ruby ? WORDS : WORDS.merge(OPERATIONS)).select { |word, _| words.include?(word) }.values
        Class.new(Proxy) do
          modules.each { |mod| include(mod) }
          define_singleton_method(:name) { "Remora::Proxy" }
          define_singleton_method(:inspect) { "Remora::Proxy" }
          define_singleton_method(:to_s) { "Remora::Proxy" }
        end
      end

      def each(proxy, &block)
        Items.each(Capi.invoke(proxy, ":iter"), &block)
      end
    end
  end
end
