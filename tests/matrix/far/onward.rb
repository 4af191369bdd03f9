# Far code that has a connection made to a third process.
require "remora"

module Onward
  module_function

  def reach(spec, node)
    @conn = Remora.connect(spec, node: node, timeout: 5.0)
    nil
  end

  def with_option(name, value)
    Remora.connect("-", **{ name.to_sym => value })
  end

  def add(a, b)
    Remora.can_on(@conn, "smoke:add").call(a, b)
  end

  def there(name)
    Remora.can_on(@conn, name)
  end

  def nothing
    Remora.can_on(@conn, "smoke:nothing_of_the_kind")
  end

  def account
    Remora.new_on(@conn, "smoke:Account", "anna", 100)
  end

  def called_back
    got = nil
    Remora.can_on(@conn, "smoke:apply").call(->(x) { got = x }, 7)
    got
  end

  def lament
    account.fail("from the third")
  end

  def finish
    @conn.close
  end
end
