# frozen_string_literal: true

require_relative "helper"

class TestErrors < FarTest
  def test_a_remote_error_is_whole
    error = assert_raises(Remora::RemoteError) { far("fail_from").call }
    assert_equal ["ValueError", "outer", "python"], [error.type, error.details["message"], error.language]
    assert_includes error.types, "Exception"
    assert_match(/fail_from/, error.traceback)
    assert_instance_of Remora::RemoteError, error.cause
    assert_equal "KeyError", error.cause.type
    assert_equal "missing", error.cause.attributes["key"]
    assert_match(/pid #{conn.pid}/, error.hops.first)
    assert(error.backtrace.any? { |line| line.include?("fail_from") })
    assert(error.backtrace.any? { |line| line.include?(__FILE__) })
    assert_match(/fail_from/, error.full_message)
    assert StandardError === error && Remora::Error === error
    assert_equal(-1, error.code)
  end

  def test_classes_of_another_language_are_not_mapped
    error = assert_raises(Remora::RemoteError) { far("fail").call("SystemExit", 3) }
    assert_instance_of Remora::RemoteError, error
  end

  class Mine < ArgumentError
    attr_reader :number

    def initialize(number, other)
      super("number #{number} #{other}")
      @number = number
    end

    def message
      "#{super} (#{@number})"
    end
  end

  # What a Ruby far side would say.
  def remote(types, message = "text", **more)
    details = { "type" => types, "message" => message, "language" => "ruby 3.1.2", "hops" => ["web1 pid 7"] }.merge(more.transform_keys(&:to_s))
    Remora::Internal.make_error(-1, message, nil, nil, details)
  end

  def test_a_ruby_error_is_what_it_was
    error = remote(%w[KeyError IndexError StandardError Exception], "key not found", attributes: { "key" => "k" })
    assert KeyError === error && IndexError === error && Remora::RemoteError === error && Remora::Error === error
    assert error.is_a?(Remora::RemoteError) && error.is_a?(KeyError) && !error.is_a?(Remora::Timeout)
    assert_equal "k", error.key
    assert_equal "KeyError", error.class.name
    assert_equal "#<KeyError: key not found>", error.inspect
    rescued = begin
      raise error
    rescue ArgumentError, KeyError => e
      e
    end
    assert_same error, rescued
  end

  def test_a_class_of_the_users_own
    error = remote([Mine.name, "ArgumentError", "StandardError"], "number 3 x (3)", attributes: { "number" => 3 }, traceback: "a.rb:1:in `x': number 3 x (3) (TestErrors::Mine)\n\tfrom b.rb:2")
    assert Mine === error
    assert_equal ["number 3 x (3)", 3], [error.message, error.number]
    assert_equal ["(web1 pid 7) a.rb:1:in `x'", "(web1 pid 7) b.rb:2"], error.backtrace.first(2)
  end

  def test_the_nearest_class_that_is_loaded
    assert ArgumentError === remote(["No::Such::Class", "ArgumentError", "StandardError"])
    assert_instance_of Remora::RemoteError, remote(["No::Such", "StandardError"])
    Object.autoload(:NeverLoaded, "/no/such/file")
    assert_instance_of Remora::RemoteError, remote(["NeverLoaded", "StandardError"])
    assert Object.autoload?(:NeverLoaded)
  end

  def test_what_would_end_something_stays_plain
    [%w[SystemExit Exception], %w[Interrupt SignalException Exception], %w[StopIteration IndexError StandardError], %w[ClosedQueueError StopIteration IndexError],
     %w[NoMemoryError Exception]].each { |types| assert_instance_of Remora::RemoteError, remote(types) }
  end

  def test_errors_of_our_own_are_told_whole
    cause = begin
      begin
        {}.fetch(:missing)
      rescue KeyError
        raise Mine.new(4, "y")
      end
    rescue Mine => e
      e
    end
    details = Remora::Internal.failure(cause)
    assert_equal [Mine.name, "ArgumentError", "StandardError", "Exception"], details["type"]
    assert_equal ["ruby", 4, "KeyError", "missing"],
                 [details["language"], details["attributes"]["number"], details["cause"]["type"][0], details["cause"]["attributes"]["key"]]
    error = assert_raises(Mine) { far("call").call(-> { raise cause }) }
    assert Remora::RemoteError === error
    assert_equal 4, error.number
    assert KeyError === error.cause
  end

  def test_the_table
    codes = Remora::Errors::CLASSES
    assert_equal 15, codes.size
    assert_equal [Remora::RemoteError, Remora::Timeout, Remora::NotFound], [codes[-1], codes[-4], codes[-14]]
    assert(codes.values.all? { |cls| cls < Remora::Error && cls < StandardError })
  end

  def test_arguments_are_checked
    assert_raises(Remora::InvalidArgument) { Remora.connect("host:22") }
    assert_raises(ArgumentError) { Remora.connect("-", nonsense: 1) }
    assert_raises(Remora::InvalidArgument) { Remora.connect("-", node: :cobol) }
    assert_raises(Remora::InvalidArgument) { Remora.connect("-", timeout: -1) }
    assert_raises(Remora::InvalidArgument) { Remora.connect(3) }
    assert_raises(Remora::InvalidArgument) { Remora.new_on(conn, Class.new) }
    assert_raises(Remora::InvalidArgument) { Remora.can_on(conn, -> {}) }
    assert_equal [], assert_raises(Remora::InvalidArgument) { Remora.connect(3) }.hops
    assert_equal 1, assert_raises(Remora::NotFound) { Remora.new_on(conn, "collections.Nonsense") }.hops.size
  end

  def test_a_value_that_is_none_names_its_option
    %i[interpreter env cwd command ssh ssh_options sudo roots limits nice max_message on_prompt on_output].each do |option|
      error = assert_raises(Remora::InvalidArgument, option.to_s) { Remora.connect("-", option => 5.5) }
      assert_includes error.message, "option #{option}"
    end
    assert_raises(Remora::InvalidArgument) { Remora.connect("-", env: { LANG: nil }) }
    [{ env: 5 }, { input: 5 }, { on_output: 5 }, { input: [5] }].each do |wrong|
      assert_raises(Remora::InvalidArgument, wrong.to_s) { conn.run(%w[cat], **wrong) }
    end
    assert_raises(Remora::InvalidArgument) { Remora.new_on(conn, "") }
    assert_raises(Remora::InvalidArgument) { Remora.can_on(conn, "") }
  end

  def test_connections_that_the_near_side_makes
    %i[lua perl ruby].each do |node|
      there = connect(node: node, onward: true).connect("-", node: "python")
      assert_equal 5, Remora.can_on(there, "operator.add").call(2, 3)
      assert_equal 2, Remora.new_on(there, "collections.deque", [1, 2]).size
    end
    error = assert_raises(Remora::NotFound) { connect(node: :c).connect("-") }
    assert_includes error.message, "a far side in c makes no connections"
  end

  def test_connect_errors_name_their_stage
    error = assert_raises(Remora::ConnectError) { connect(interpreter: "no-such-interpreter") }
    assert_equal "spawn", error.stage
    error = assert_raises(Remora::ConnectError) { connect(command: ["sh", "-c", "echo rubbish; exit 3"]) }
    assert_equal "bootstrap", error.stage
    assert_match(/rubbish/, error.message)
  end

  def test_a_far_process_that_dies
    future = Remora.start(far("nap")).call(60)
    reasons = Queue.new
    conn.on_close { |reason| reasons << reason }
    Process.kill(:KILL, conn.pid)
    error = assert_raises(Remora::ConnectionLost) { future.value!(10) }
    assert_match(/signal 9/, error.message)
    refute conn.valid?
    assert_raises(Remora::ConnectionLost) { far("pid") }
    assert_match(/signal 9/, Timeout.timeout(10) { reasons.pop }.message)
    assert_raises(Remora::ConnectionLost) { conn.on_close.value! }
  end

  def test_closing
    future = Remora.start(far("nap")).call(60)
    on_close = conn.on_close
    conn.close
    assert conn.wait_closed(10)
    assert_raises(Remora::ConnectionLost) { future.value! }
    assert_nil on_close.value!(5)
    conn.close
    value = Remora.connect("-", node: :python) { |c| [c, c.valid?] }
    assert_equal [false, true], [value[0].valid?, value[1]]
    assert_raises(ZeroDivisionError) { Remora.connect("-", node: :python) { 1 / 0 } }
  end
end
