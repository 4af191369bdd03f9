# frozen_string_literal: true

# What the tests use on a far side in Ruby; it travels from here.
module FarRuby
  class OwnError < StandardError
    attr_reader :number

    def initialize(number)
      super("own #{number}")
      @number = number
    end
  end

  class Keeper
    attr_accessor :label

    def each
      return to_enum unless block_given?
      yield 1
      yield 2
    end

    def keep(value = nil, &block)
      @kept = block || value
      self
    end

    def run(*args, **named)
      named.empty? ? @kept.call(*args) : @kept.call(*args, **named)
    end

    def named(a, b = 2, *rest, key:, other: 5, **more, &block)
      [a, b, rest, key, other, more, block&.call(a, b)]
    end

    def fetch_or
      yield(:missing)
    end
  end

  def self.own_error
    raise OwnError, 9
  end

  def self.raise_it(name)
    raise Object.const_get(name), "from there"
  end

  def self.exit_there
    exit 3
  end

  def self.kind(value)
    [value.class.name, value.respond_to?(:encoding) ? value.encoding.name : nil]
  end

  def self.use(object, *names)
    names.map { |name| object.__send__(name) }
  end

  def self.list(enumerable)
    enumerable.each.to_a
  end
end
