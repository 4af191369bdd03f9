# frozen_string_literal: true

# What the Ruby programs of the benchmark call; this file is near, and travels.
class Peer
  def add(a, b)
    a + b
  end

  def echo(value)
    value
  end

  def sink(value)
    value.size
  end
end
