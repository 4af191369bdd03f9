# Errors: how one is described for the other side, and how one of the other side is raised here.

module Remora
  module Errors
    module_function

    def simple?(value)
      case value
      when nil, true, false, Integer, Float, Symbol then true
      when String then value.encoding != BINARY && value.valid_encoding?
      else false
      end
    end

    def text(it)
      text = String.new(it.to_s)
      text = text.force_encoding(UTF8) if text.encoding == BINARY
      text.encode(UTF8, invalid: :replace, undef: :replace).scrub
    rescue Exception
      "(an error whose text cannot be made)"
    end

    def name_of(kind)
      text(kind.name || kind.to_s).sub(/\ARemora::/, "remora.")
    end

    # The value of an ERROR frame.
    def describe(error, here, depth = 0)
      if (Error === error || Remote === error) && error.info
        info = error.info.merge("hops" => Array(error.info["hops"]) + [here])
      else
        info = { "type" => error.class.ancestors.grep(Class).take_while { |c| c != Object }.map { |c| name_of(c) },
                 "message" => text(error.message), "language" => "ruby", "hops" => [here] }
        trace = error.backtrace
        info["traceback"] = trace_text(info, trace) if trace && !(Error === error)
        more = attributes(error)
        info["attributes"] = more unless more.empty?
      end
      info["cause"] = describe(error.cause, here, depth + 1) if error.cause && depth < 8 && !info.key?("cause")
      info
    end

    # As Ruby prints it, without the node's own lines.
    def trace_text(info, trace)
      lines = trace.reject { |line| line.start_with?("<remora>", "-e:1:", "remora/") }.map { |line| text(line) }
      lines = lines.first(500) + ["..."] if lines.size > 500
      "#{lines.shift || "-"}: #{info["message"]} (#{info["type"][0]})" + lines.map { |line| "\n\tfrom #{line}" }.join
    end

    def attributes(error)
      more = {}
      error.instance_variables.each { |name| more[name.to_s[1..-1]] = error.instance_variable_get(name) }
      case error
      when SystemCallError then more["errno"] = error.errno
      when SystemExit then more["code"] = error.status
      when KeyError then more["key"] = (error.key rescue nil)
      when NameError then more["name"] = error.name
      end
      more = more.select { |name, value| !name.start_with?("_") && !value.nil? && simple?(value) }
      more.each { |name, value| more[name] = value.to_s if Symbol === value }
    end

    # The exception to raise for an ERROR: of the class it had, as far as that is loaded already.
    def revive(info)
      info = { "message" => info.to_s } unless Hash === info
      names = Array(info["type"]).grep(String)
      message = info["message"].to_s
      own = names[0].to_s.start_with?("remora.") && loaded("Remora::" + names[0][7..-1])
      if own && own < Error && !own.equal?(RemoteError)
        error = own.new(message)
        error.info = info
        return error
      end
      kind = nil
      kind = names.lazy.map { |name| loaded(name) }.find { |c| c } if info["language"].to_s.start_with?("ruby")
      plain = kind.nil? || !(kind <= StandardError) || kind <= StopIteration || kind == StandardError
      error = plain ? RemoteError.new(message) : (kin(kind, message) || RemoteError.new(message))
      error.info = info
      error.set_backtrace(Array(info["traceback"].to_s.lines.map(&:strip)) + caller) if info["traceback"]
      error
    end

    # An error of a subclass of that class. It is made without the class's constructor, which may want anything.
    def kin(kind, message)
      @kin ||= {}
      made = @kin[kind] ||= Class.new(kind) do
        include Remote
        define_singleton_method(:name) { kind.name }
        define_singleton_method(:to_s) { kind.name }
        define_singleton_method(:inspect) { kind.name }
        define_method(:message) { info["message"].to_s }
        define_method(:to_s) { info["message"].to_s }
      end
      error = made.allocate
      error.instance_variable_set(:@info, "message" => message)
      error
    rescue StandardError
      nil
    end

    # The constant of that name, an exception class, if it is there; nothing is loaded for it.
    def loaded(name)
      found = name.split("::").inject(Object) do |scope, part|
        return nil unless Module === scope && part =~ /\A[A-Z]\w*\z/ && scope.const_defined?(part, scope.equal?(Object))
        return nil if scope.autoload?(part)
        scope.const_get(part, scope.equal?(Object))
      end
      found if Class === found && found <= Exception
    rescue NameError
      nil
    end
  end
end
