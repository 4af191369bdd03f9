# frozen_string_literal: true

require_relative "helper"

# What far sides may load from here.
class TestModules < FarTest
  def test_sources_from_memory
    Remora.add_module("memory/ruby_tool", "def memory_ruby_tool; 4; end\n")
    Remora.add_module("memory_python", "def f():\n    return 5\n", language: :python)
    Remora.connect("-") { |far| assert_equal 4, Remora.can_on(far, "memory/ruby_tool:memory_ruby_tool").call }
    Remora.connect("-", node: :python) { |far| assert_equal 5, Remora.can_on(far, "memory_python.f").call }
    error = assert_raises(Remora::InvalidArgument) { Remora.add_module("memory", "", language: :cobol) }
    assert_match(/no far language "cobol"/, error.message)
  end

  def test_what_is_denied_is_never_served
    Remora.add_module("memory/hidden", "def hidden; 4; end\n")
    Remora.connect("-", deny: "memory/hidden", modules: "all") do |far|
      error = assert_raises(Remora::NotFound) { Remora.can_on(far, "memory/hidden:hidden") }
      assert_match(/option deny forbids/, error.message)
    end
  end
end
