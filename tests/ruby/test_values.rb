# frozen_string_literal: true

require_relative "helper"
require "pp"
require "set"

class TestValues < FarTest
  def echo(value)
    (@echo ||= far("echo")).call(value)
  end

  def assert_crosses(value)
    back = echo(value)
    assert value.eql?(back), "#{value.inspect[0, 80]} came back as #{back.inspect[0, 80]}"
    assert_equal value.encoding, back.encoding if String === value
  end

  def test_numbers
    [0, 1, -1, 2**31, 2**53 + 1, 2**62, -2**62 - 1, 2**63 - 1, -2**63, 2**63, -2**63 - 1, 2**64, 10**5000, -10**5000].each { |n| assert_crosses n }
    [0.0, 1.5, 1e308, 5e-324, Float::INFINITY, -Float::INFINITY].each { |n| assert_crosses n }
    assert echo(Float::NAN).nan?
    assert_equal(-Float::INFINITY, 1 / echo(-0.0))
    [nil, true, false].each { |value| value.nil? ? assert_nil(echo(nil)) : assert_equal(value, echo(value)) }
  end

  def test_text
    ["", "a\0b", "häß €", "\u{1F600}", "x" * 5000, "é" * 100_000].each { |text| assert_crosses text }
    assert_equal "str", far("type_name").call("ä".encode("ISO-8859-1"))
    assert_equal "ä", echo("ä".encode("UTF-16LE"))
    assert_equal "abc", echo("abc".encode("US-ASCII"))
    assert_equal "word", echo(:word)
    assert_equal "frozen", echo("frozen".freeze)
  end

  def test_lone_surrogates_are_their_three_bytes
    lone = "a\xED\xA0\x80b"
    refute lone.valid_encoding?
    assert_equal lone.b, echo(lone).b
    assert_equal Encoding::UTF_8, echo(lone).encoding
  end

  def test_text_that_is_none
    error = assert_raises(Remora::ValueNotSendable) { echo("\xff\xfe") }
    assert_match(/UTF-8/, error.message)
    assert_raises(TypeError) { echo(["\xff"]) }
    assert_raises(EncodingError) { echo("\x81".dup.force_encoding("Windows-1252")) }
    assert_equal 1, echo(1) # nothing was sent, and the connection lives
  end

  def test_bytes
    ["".b, "\x00\xff".b, "abc".b, ("y" * 4095).b, ("y" * 4096).b, Random.bytes(3_000_000)].each { |bytes| assert_crosses bytes }
    assert_equal "bytes", far("type_name").call("abc".b)
  end

  def test_bytes_may_be_changed_after_the_call
    data = ("a" * 100_000).b
    futures = Array.new(3) { Remora.start(far("echo")).call(data) }
    data.setbyte(0, 98)
    data << "more".b
    assert_equal ["a"] * 3, futures.map { |future| future.value!(10)[0] }
    assert_equal 100_004, data.size
  end

  def test_lists_and_maps
    [[], [1, [2, [3, nil]]], {}, { "a" => 1, "b" => [nil, {}] }, { 1 => 2, nil => 3, 1.5 => {}, false => 0, "k".b => 1 }].each { |value| assert_crosses value }
    assert_equal %w[z a m], echo({ "z" => 1, "a" => 2, "m" => 3 }).keys
    assert_equal({ "a" => "b" }, echo({ a: :b }))
    assert_equal({ "~b" => 0 }, echo({ "~b" => 0 }))
    assert_equal [1, 2], echo(Hash.new(5).merge(1 => 2)).first
    records = Array.new(2000) { |i| { "id" => i, "name" => "item #{i}", "tags" => %w[a b] } }
    assert_equal records, echo(records)
  end

  def test_tuples_are_lists
    assert_equal [[1, 2], {}], far("echo_all").call(1, 2)
  end

  def test_too_deep_and_in_itself
    deep = []
    200.times { deep = [deep] }
    assert_match(/nested deeper than 128/, assert_raises(Remora::ValueNotSendable) { echo(deep) }.message)
    loop_in = [1]
    loop_in << { "a" => loop_in }
    assert_match(/contains itself/, assert_raises(Remora::ValueNotSendable) { echo(loop_in) }.message)
    shared = [1]
    assert_equal [[1], [1]], echo([shared, shared])
  end

  def test_everything_else_is_a_reference
    own_string = Class.new(String).new("x")
    [Object.new, own_string, Set[1], 1..2, 3r, 2i, Time.now, $stdout, Class.new(Array).new([1]), Struct.new(:a).new(1), BasicObject.new, Class.new].each do |object|
      assert echo(object).equal?(object)
      assert echo([object, { "k" => object }])[0].equal?(object)
    end
  end

  def test_the_same_proxy_for_the_same_object
    object = make("Plain")
    assert_same object.class, object.class
    other = echo([object])[0]
    assert other.equal?(object)
    assert other == object && other.eql?(object) && other.hash == object.hash
    refute other != object
    assert_equal 1, { object => 1, other => 2 }.size
    refute make("Plain") == object
    assert far("same").call(object, other)
  end

  def test_what_stays_here
    calls = conn.stats["calls_out"]
    object = make("Box", a: 1)
    made = conn.stats["calls_out"]
    assert_match(/\A#<Remora::Proxy of far_things.Box on - \(pid \d+\)>\z/, object.inspect)
    assert_equal object.inspect, object.to_s
    assert_equal object.inspect, "#{object}"
    assert object.is_a?(Remora::Proxy) && Remora::Proxy === object && object.kind_of?(BasicObject)
    assert object.respond_to?(:size) && object.respond_to?(:[]) && !object.respond_to?(:to_ary) && !object.respond_to?(:frobnicate)
    assert_equal [object], [object].flatten
    assert_equal "#{object.inspect}\n", PP.pp(object, +"")
    assert object && !object.nil?
    assert_raises(TypeError) { object.dup }
    assert_raises(TypeError) { Marshal.dump(object) }
    assert_equal made, conn.stats["calls_out"]
    assert_operator made, :>, calls
  end
end
