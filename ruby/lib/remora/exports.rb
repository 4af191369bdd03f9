# frozen_string_literal: true

module Remora
  # What the far side may do with objects of ours.
  module Exports
    FUNCTIONS = [Proc, Method, UnboundMethod].freeze
    # Words of docs/protocol.md section 5, and the methods of which an object has to have one.
    WORDS = { "call" => %i[call], "iter" => %i[each], "len" => %i[size length], "item" => %i[[]], "setitem" => %i[[]=], "delitem" => %i[delete],
              "contains" => %i[include?], "enter" => %i[close] }.freeze
    OPERATIONS = { ":item" => :[], ":setitem" => :[]=, ":delitem" => :delete, ":contains" => :include?, ":lt" => :<, ":le" => :<=, ":gt" => :>,
                   ":ge" => :>=, ":str" => :to_s, ":repr" => :inspect }.freeze
    NO_RESULT = %w[:setitem :delitem].freeze

    # Every object has these, and they can be used; the others that every object has (send, instance_eval, class ...) lead anywhere.
    HARMLESS = %i[to_s inspect hash == != ! === =~ !~ eql? equal? <=> nil? frozen? itself object_id respond_to?].freeze
    OF_CLASSES = %i[new name == === < <= > >= to_s inspect].freeze
    # Their first argument is a method's name, and that method need not be public.
    BY_NAME = %i[to_enum enum_for inject reduce].freeze
    ANYBODYS = [Object, BasicObject, Kernel, Module, Class].freeze

    class << self
      # "full name\nwords" of an object: cls is its class, methods where its methods are found (its singleton class, if it has one).
      def describe(cls, methods)
        name = cls.name || "#{cls.ancestors.grep(Class).find(&:name).name} (anonymous)"
        return "#{name}\ncall" if cls == Class || FUNCTIONS.any? { |function| cls <= function }
        return "#{name}\niter next" if cls <= Cursor
        words = cls <= Module ? [] : WORDS.select { |_, any| any.any? { |method| methods.public_method_defined?(method) } }.keys
        words.delete("len") if cls <= Enumerator # it may not know
        words << "keys" if cls <= Hash
        words << "order" if cls <= Comparable
        words << "exception" if cls <= Exception
        "#{name}\n#{words.join(" ")}"
      end

      # Does what a far side asks of an object of ours, if it may.
      def perform(target, method, args, keywords)
        keywords = keywords ? keywords.transform_keys(&:to_sym) : {}
        block = keywords.delete(:&)
        block = block.to_proc if block
        return call(target, args, keywords, block) if method.empty?
        case target
        when *FUNCTIONS
          return call(target, args, keywords, block) if method == "call"
          deny("of a lent function only the call may be used")
        when Cursor
          return target.batch(*args) if method == ":next"
          return target if method == ":iter"
        end
        method.start_with?(":") ? operate(target, method, args) : invoke(target, method, args, keywords, block)
      end

      private

      def call(target, args, keywords, block)
        invoke(target, Class === target ? "new" : "call", args, keywords, block)
      end

      def operate(target, method, args)
        case method
        when ":iter" then return Cursor.new(target)
        when ":keys" then return invoke(target, "keys", [], {}, nil)
        when ":copy" then return copy(target)
        when ":len" then return invoke(target, sends?(target, "size") ? "size" : "length", args, {}, nil)
        when ":enter" then return target
        when ":exit"
          invoke(target, "close", [], {}, nil)
          return false
        end
        return target.delete_at(*args) && nil if method == ":delitem" && target.instance_of?(Array)
        name = OPERATIONS[method] or deny("#{method} is not allowed on a lent object")
        result = invoke(target, name.to_s, args, {}, nil)
        NO_RESULT.include?(method) ? nil : result
      end

      def copy(target)
        case target
        when Hash then {}.merge!(target)
        when Struct then target.to_h
        when String then String.new(target)
        else invoke(target, "to_a", [], {}, nil)
        end
      end

      def invoke(target, method, args, keywords, block)
        deny("#{method} is not a public method") if method.start_with?("_")
        name = method.to_sym
        found = public_method(target, name)
        deny("#{method} is not a method that may be used on a lent object") unless allowed?(found, target, name)
        deny("#{method} with the name of a method") if BY_NAME.include?(name) && !(block && args.size < 2 && name.match?(/inject|reduce/))
        found.call(*args, **keywords, &block)
      end

      def allowed?(found, target, name)
        owner = found.owner
        return owner.singleton_class? || !ANYBODYS.include?(owner) || OF_CLASSES.include?(name) if Module === target
        return true if HARMLESS.include?(name)
        # A copy of Kernel (Delegator has one) is as good as Kernel.
        Object.public_method_defined?(name) ? Class === owner && !ANYBODYS.include?(owner) : !ANYBODYS.include?(owner)
      end

      # Also of objects without Kernel; private and missing ones are NameErrors.
      def public_method(target, name)
        Kernel.instance_method(:public_method).bind_call(target, name)
      rescue NameError
        raise NoMethodError.new("a lent #{Kernel.instance_method(:class).bind_call(target)} has no public method `#{name}'", name), cause: nil
      end

      def sends?(target, name)
        !public_method(target, name.to_sym).nil?
      rescue NameError
        false
      end

      def deny(text)
        raise Errors.make(Denied::CODE, text, nil, nil, nil)
      end
    end
  end

  # Where the output of the connections goes.
  module Output
    @by_conn = {}

    class << self
      # callable(stream, data) takes it; nil: $stdout and $stderr do. Forgets what was there about an earlier connection at this address.
      def set(conn, callable)
        address = Capi.conn_address(conn)
        return @by_conn.delete(address) if callable.nil?
        @by_conn[address] = callable
        Capi.remora_conn_on_close(conn).on_resolution { @by_conn.delete(address) if @by_conn[address].equal?(callable) }
      end

      def write(address, stream, data)
        callable = @by_conn[address]
        return callable.call(stream == 1 ? "stdout" : "stderr", data) if callable
        file = stream == 1 ? $stdout : $stderr
        file.write(data.force_encoding(Encoding::UTF_8))
        file.flush
      end
    end
  end

  module Internal
    def self.describe(cls, methods)
      Exports.describe(cls, methods)
    end

    def self.perform(target, method, args, keywords)
      Exports.perform(target, method, args, keywords)
    end

    def self.output(address, stream, data)
      Output.write(address, stream, data)
    end
  end
end
