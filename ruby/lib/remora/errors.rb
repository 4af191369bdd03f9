# frozen_string_literal: true

require "etc"

# Exceptions: one class for each row of the C library's table of errors, and remote exceptions that are also what they were over there.
#
#     StandardError
#      └─ Remora::Error
#          ├─ RemoteError         the far code raised; also an instance of its own class if that is loaded here (ArgumentError, ...)
#          ├─ ConnectError        #stage: "spawn", "transport", "auth", "bootstrap" or "hello"
#          ├─ ConnectionLost
#          ├─ Timeout             (also Timeout::Error, when that is loaded)
#          ├─ Cancelled, ProtocolError, Overloaded, ForkedError, OutOfMemory, Interrupted, Denied
#          ├─ ValueNotSendable    (also TypeError)
#          ├─ InvalidArgument     (also ArgumentError)
#          ├─ NotFound, FileError (a file of this side)
#          └─ CommandFailed       run(..., check: true): #result
#
# Ruby's classes have one parent. What is "also" something is an instance of a class below that, and its own class here says so in ===, which is
# what `rescue` asks, and in is_a?.
module Remora
  # What this package raises. code: the number of the C interface.
  class Error < StandardError
    CODE = 0

    # ConnectError: how far it came.
    attr_accessor :stage
    attr_writer :hops

    # The processes that it came through, nearest to its origin first; none when it began here.
    def hops
      @hops || []
    end

    def code
      self.class::CODE
    end

    def self.===(error)
      super || (Kin === error && error.remora_class <= self)
    end
  end

  # An error that is also something else: what its class has from Remora.
  module Kin
    def is_a?(cls)
      super || (cls.is_a?(Class) && remora_class <= cls)
    end
    alias kind_of? is_a?

    def code
      remora_class::CODE
    end

    def self.included(cls)
      cls.attr_accessor(:stage)
      cls.attr_writer(:hops)
      cls.define_method(:hops) { @hops || [] }
    end

    # A subclass of `parent` that is also the class `own` of Remora. It is called by the parent's name, and where Ruby does not ask (an uncaught
    # exception), Remora::Remote::ArgumentError.
    def self.subclass(parent, own)
      shown = own <= RemoteError ? parent.name : own.name
      made = Class.new(parent) do
        include RemoteError::Details if own <= RemoteError
        include Kin
        define_method(:remora_class) { own }
      end
      place, name = own <= RemoteError ? Remote : Kin, shown.delete_prefix("Remora::").gsub("::", "_")
      place.send(:remove_const, name) if place.const_defined?(name, false)
      place.const_set(name, made)
      %i[name to_s inspect].each { |method| made.define_singleton_method(method) { shown } }
      made
    end

    def inspect
      "#<#{self.class.name}: #{message}>"
    end
  end

  module Remote; end

  # The far code raised an exception.
  class RemoteError < Error
    # types: the full names of its class and of those above it; traceback: the far side's, as text; language: what it ran ("ruby");
    # attributes: the simple values among its attributes.
    module Details
      attr_reader :types, :traceback, :language, :attributes, :details

      # The full name of its class over there.
      def type
        types&.first.to_s
      end

      def details=(details)
        @details = details
        @types = Array(details["type"]).grep(String)
        @remote_message = details["message"].to_s
        @traceback = details["traceback"] if String === details["traceback"]
        @language = details["language"]
        @hops = Array(details["hops"])
        @attributes = Hash === details["attributes"] ? details["attributes"] : {}
      end

      def to_s
        return super unless @remote_message
        instance_of?(RemoteError) && !type.empty? ? "#{type}: #{@remote_message}" : @remote_message
      end

      def message
        to_s
      end
    end
    include Details
  end

  (-1).downto(-1000) do |code|
    name = Capi.remora_code_name(code)
    break if name == "Error"
    const_set(name, Class.new(Error)) unless const_defined?(name, false)
    const_get(name, false).const_set(:CODE, code)
  end

  # Makes exceptions of what the C library and the far sides say, and the other way round.
  module Errors
    CLASSES = Remora.constants.map { |name| Remora.const_get(name) }
                    .select { |cls| Class === cls && cls < Error }.to_h { |cls| [cls::CODE, cls] }.freeze

    # What a class is, apart from an Error; by name, for it may not be loaded.
    ALSO = { "Timeout" => "Timeout::Error", "ValueNotSendable" => "TypeError", "InvalidArgument" => "ArgumentError" }.freeze
    # Raising one of these here would end a loop, a thread or the program.
    NEVER = %w[SystemExit Interrupt SignalException StopIteration NoMemoryError SystemStackError].freeze
    LIBRARY = File.expand_path("..", __dir__) + File::SEPARATOR

    @kin = {}

    class << self
      # The exception for an error of the C library.
      def make(code, message, stage, _traceback, details)
        cls = CLASSES.fetch(code, Error)
        return from_details(details) if cls == RemoteError && Hash === details
        also = ALSO[Capi.remora_code_name(code)]
        parent = also && loaded(also)
        error = build(parent ? kin(parent, cls) : cls, message)
        error.stage = stage
        if Hash === details && Array === details["hops"]
          error.hops = details["hops"]
          error.instance_variable_set(:@came, details) # so that it goes on whole
        end
        error
      end

      def from_details(details, depth = 0)
        error = build(remote_class(details), details["message"].to_s)
        error.details = details
        adopt(error)
        error.set_backtrace(far_lines(error) + here)
        cause = details["cause"]
        Hash === cause && depth < 16 ? caused_by(error, from_details(cause, depth + 1)) : error
      end

      # The map in which an exception of ours goes to the far side.
      def details_of(error, depth = 0)
        known = error.details if RemoteError === error
        return known if known
        made = {
          "type" => error.class.ancestors.grep(Class).take_while { |cls| cls != Object }.map { |cls| cls.name || "(anonymous)" },
          "message" => text_of(error), "traceback" => traceback_of(error), "language" => "ruby",
          "hops" => ["#{Etc.uname[:nodename]} pid #{Process.pid}"], "attributes" => attributes_of(error)
        }
        made["cause"] = details_of(error.cause, depth + 1) if error.cause && depth < 8
        made
      end

      # What the far side is told of an exception of ours: such a map, or [code, message].
      def tell(error)
        if Error === error && !(RemoteError === error) && error.code != 0
          return error.instance_variable_get(:@came) || [error.code, text_of(error)]
        end
        details_of(error)
      end

      private

      # Without the far class's own initialize, which may want anything.
      def build(cls, message)
        error = cls.allocate
        Exception.instance_method(:initialize).bind_call(error, message)
        error
      end

      def kin(parent, own)
        if @kin.size >= 1000 # a program may make classes all day
          @kin.clear
          [Kin, Remote].each { |place| place.constants.each { |name| place.send(:remove_const, name) } }
        end
        @kin[[parent, own]] ||= Kin.subclass(parent, own)
      end

      # RemoteError, or a class that is also the nearest of its types that is loaded here.
      def remote_class(details)
        types = Array(details["type"]).grep(String)
        return RemoteError unless details["language"].to_s.start_with?("ruby") && (NEVER & types).empty?
        types.each do |name|
          break if name == "StandardError"
          found = loaded(name)
          return kin(found, RemoteError) if found
        end
        RemoteError
      end

      # The exception class of that name, if it is loaded; loads nothing.
      def loaded(name)
        scope = Object
        name.split("::").each do |part|
          return unless part.match?(/\A[A-Z]\w*\z/) && !scope.autoload?(part) && scope.const_defined?(part, false)
          scope = scope.const_get(part, false)
          return unless Module === scope
        end
        scope if Class === scope && scope < StandardError && !(scope <= Error)
      end

      # Such as errno, key, and what the class's own readers show: what code that rescues it looks at.
      def adopt(error)
        own = error.class
        error.attributes.each do |name, value|
          next unless name.match?(/\A[a-z]\w*\z/) && !error.instance_variable_defined?("@#{name}")
          error.instance_variable_set("@#{name}", value)
          error.define_singleton_method(name) { value } if own.method_defined?(name) && !RemoteError.method_defined?(name)
        end
      end

      def far_lines(error)
        where = error.hops.first
        text = error.traceback.to_s.sub(": #{error.details["message"]} (#{error.type})", "") # Ruby says it in the first line
        lines = text.lines.map { |line| line.strip.delete_prefix("from ") }.reject(&:empty?)
        lines.map { |line| where ? "(#{where}) #{line}" : line }
      end

      def here
        caller.reject { |line| line.start_with?(LIBRARY) }
      end

      # Only raise sets a cause.
      def caused_by(error, cause)
        raise error, cause: cause
      rescue Exception => e # rubocop:disable Lint/RescueException -- it is the one just raised
        e
      end

      # As Ruby prints it, without the lines of this package and what is printed below them.
      def traceback_of(error)
        first, *rest = (error.backtrace || []).reject { |line| line.start_with?(LIBRARY) }
        "#{first}: #{text_of(error)} (#{error.class.name})\n#{rest.map { |line| "\tfrom #{line}\n" }.join}"
      end

      def text_of(error)
        text = error.respond_to?(:original_message) ? error.original_message : error.message # without the source line that Ruby 3.1 adds
        text.to_s.encode(Encoding::UTF_8, invalid: :replace, undef: :replace).tr("\0", " ")
      rescue StandardError
        "(an error whose text cannot be made)"
      end

      def attributes_of(error)
        values = error.instance_variables.to_h { |name| [name.to_s.delete_prefix("@"), error.instance_variable_get(name)] }
        %w[errno key name status].each { |name| values[name] = reader(error, name) if error.respond_to?(name) }
        values.transform_values! { |value| Symbol === value ? value.to_s : value }
        values.select { |_, value| [true, false].include?(value) || [Integer, Float, String].include?(value.class) }
      end

      def reader(error, name)
        error.public_send(name)
      rescue StandardError
        nil
      end
    end
  end

  # What the C code of this package asks for.
  module Internal
    def self.make_error(*args)
      Errors.make(*args)
    end

    def self.failure(error)
      Errors.tell(error)
    end
  end
end
