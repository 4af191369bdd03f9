# frozen_string_literal: true

require_relative "helper"
require "stringio"

class TestOutput < FarTest
  def test_it_comes_out_here_before_the_result
    out, err = capture_io do
      far("say").call("line äö\n")
      far("say").call("to stderr\n", "stderr")
      far("say_by_child").call("a child's\n")
    end
    assert_equal ["line äö\na child's\n", "to stderr\n"], [out, err]
  end

  def test_taken_by_a_callable
    taken = []
    conn = connect(on_output: ->(stream, data) { taken << [stream, data] })
    Remora.can_on(conn, "far_things.say").call("one\n")
    assert_equal [["stdout", "one\n".b]], taken
    conn.on_output { |_, data| taken << data }
    Remora.can_on(conn, "far_things.say").call("two\n")
    assert_equal "two\n".b, taken.last
    conn.on_output
    assert_equal "three\n", capture_io { Remora.can_on(conn, "far_things.say").call("three\n") }[0]
  end

  def test_what_the_callable_raises_is_reported
    conn = connect(on_output: ->(*) { raise "in the callable" })
    _, err = capture_io { Remora.can_on(conn, "far_things.say").call("one\n") }
    assert_match(/ignored in a callback.*in the callable/m, err)
    assert conn.valid?
  end
end
