# frozen_string_literal: true

require_relative "helper"
require "set"

# Both sides in Ruby: blocks are blocks, and errors are what they were.
class TestFarRuby < FarTest
  using Remora::On

  def connect(spec = "-", **options)
    super(spec, node: :ruby, **options)
  end

  def far(name)
    Remora.can_on(conn, "far_ruby:FarRuby.#{name}")
  end

  def keeper
    @keeper ||= Remora.new_on(conn, "far_ruby:FarRuby::Keeper")
  end

  def test_names
    assert_equal conn.pid, Remora.can_on(conn, "Process.pid").()
    assert_equal conn.pid, Process.method(:pid).can_on(conn).call
    assert_equal 2, Set.new_on(conn, [1, 2]).size
    assert_nil Remora.can_on(conn, "Process.nonsense")
    assert_raises(Remora::NotFound) { Remora.new_on(conn, "No::Such") }
  end

  def test_the_promised_words
    set = Remora.new_on(conn, "Set", [1, 2])
    future = Remora.start(set).add(3)
    assert future.value.equal?(set)
    assert future.value!(1).equal?(set) && future.resolved?
    assert_equal [3, true], Remora.await_all(Remora.start(set).size, Remora.start(set).include?(3))
    assert_equal 3, Remora.await_future(Remora.start(set).size)
    assert_equal [1, 2, 3], set.each.to_a
  end

  def test_arguments_of_every_kind
    assert_equal [1, 2, [], 3, 5, {}, nil], keeper.named(1, key: 3)
    assert_equal [1, 7, [8, { "h" => 1 }], 3, 4, { more: 1 }.transform_keys(&:to_s), 8],
                 keeper.named(1, 7, 8, { h: 1 }, key: 3, other: 4, more: 1) { |a, b| a + b }.map { |v| Hash === v ? v.transform_keys(&:to_s) : v }
    assert_raises(ArgumentError) { keeper.named(1) }
  end

  def test_blocks
    assert_equal "missing", keeper.fetch_or { |word| word }
    assert_equal :gone, keeper.fetch_or { |_| break :gone }
    assert_equal 3, catch(:here) { keeper.fetch_or { throw :here, 3 } }
    assert_equal 1, keeper.fetch_or { next 1 }
    words = Remora.new_on(conn, "Array", %w[b c a])
    assert_equal %w[a b c], words.sort { |a, b| a <=> b }
    assert_equal [["b", 0], ["c", 1], ["a", 2]], words.each_with_index.each.to_a
    assert_equal %w[B C A], words.map(&:upcase)
    keeper.keep { |x| x * 2 }
    assert_equal 10, keeper.run(5)
    assert_equal 10, Remora.start(keeper).run(5).value!(10)
    keeper.keep(->(x, y: 1) { x * y })
    assert_equal 10, keeper.run(5, y: 2)
  end

  def test_iteration
    assert_equal [1, 2], keeper.each.to_a
    assert_equal [2, 4], keeper.each.map { |x| x * 2 }
    before = conn.stats["calls_out"]
    assert_equal 499_500, Remora.new_on(conn, "Range", 0, 999).each.sum
    assert_operator conn.stats["calls_out"] - before, :<, 30
  end

  def test_attributes
    keeper.label = "x"
    assert_equal "x", keeper.label
    Remora.setattr(keeper, :label, "y")
    assert_equal "y", Remora.getattr(keeper, :label)
  end

  def test_text_and_bytes_stay_what_they_are
    kind = far("kind")
    assert_equal ["String", "UTF-8"], kind.call("text")
    assert_equal ["String", "ASCII-8BIT"], kind.call("bytes".b)
    assert_equal ["String", "UTF-8"], kind.call(:symbol)
  end

  def test_errors_are_what_they_were
    error = assert_raises(ArgumentError) { far("raise_it").call("ArgumentError") }
    assert Remora::RemoteError === error
    assert_equal ["from there", "ArgumentError"], [error.message, error.type]
    assert_match(/far_ruby/, error.backtrace.join("\n"))
    assert(error.backtrace.any? { |line| line.start_with?(__FILE__) })
    assert_raises(KeyError) { Remora.new_on(conn, "Hash").fetch("nothing") }
    assert_raises(NoMethodError) { keeper.nonsense }
    assert_raises(Errno::ENOENT) { Remora.can_on(conn, "File.read").call("/no/such/file") }
    assert_raises(ZeroDivisionError) { Remora.new_on(conn, "Array", [1]).map { |x| x / 0 } }
  end

  def test_an_error_class_of_the_programs_own
    assert_instance_of Remora::RemoteError, assert_raises(Remora::RemoteError) { far("own_error").call }
    require File.join(HERE, "farmods/far_ruby")
    error = assert_raises(FarRuby::OwnError) { far("own_error").call }
    assert_equal [9, "own 9"], [error.number, error.message]
  end

  def test_exit_over_there_is_an_error_here
    error = assert_raises(Remora::RemoteError) { far("exit_there").call }
    assert_instance_of Remora::RemoteError, error
    assert_equal "SystemExit", error.type
    assert_equal conn.pid, Remora.can_on(conn, "Process.pid").call
  end

  def test_lent_objects_over_there
    assert_equal [3, 6], far("use").call(Set[1, 2, 3], "size", "sum")
    assert_equal [1, 2, 3], far("list").call(1..3)
    assert_equal [[1, 2], [3, 4]], far("list").call(Class.new(Hash)[1, 2, 3, 4])
    assert_raises(Remora::Error) { far("use").call(Set[1], "instance_variables") }
  end

  def test_a_proxy_of_a_python_object
    python = Remora.connect("-", node: :python)
    deque = Remora.new_on(python, "collections.deque", [1, 2, 3])
    assert_equal [1, 2, 3], far("list").call(deque)
  ensure
    python&.close
  end

  SCRIPT = <<~RUBY
    require "remora"

    class Greeter
      def initialize(name) = @name = name
      def greet = "hello \#{@name}"
    end

    def double(x) = 2 * x

    %s
      Remora.connect("-") do |conn|
        p Remora.new_on(conn, Greeter, "you").greet, Remora.can_on(conn, method(:double)).call(4)
      end
    end
  RUBY

  def test_the_scripts_own_classes_travel
    _, out, err = script(format(SCRIPT, "if __FILE__ == $PROGRAM_NAME"))
    assert_equal ["\"hello you\"\n8\n", ""], [out, err]
    _, out, err = script(format(SCRIPT, "if true"))
    assert_equal "", out
    assert_match(/has no `if __FILE__ == \$PROGRAM_NAME`/, err)
  end

  def test_a_class_with_an_autoload_that_was_required
    _, out, err = script(<<~RUBY)
      require "remora"
      autoload :FoundLate, "found_late"
      require "found_late"
      Remora.connect("-") { |conn| puts Remora.new_on(conn, FoundLate).pid == conn.pid }
    RUBY
    assert_equal "true\n", out, err
  end

  # Before 3.2 Ruby does not know Set of itself; minitest has loaded it here.
  def test_set_is_known_to_who_asks_it
    _, out, err = script(<<~RUBY)
      require "remora"
      using Remora::On
      Remora.connect("-") { |conn| puts Set.new_on(conn, [1, 2]).size }
    RUBY
    assert_equal "2\n", out, err
  end
end
