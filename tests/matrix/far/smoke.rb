# The far fixture of the matrix, in Ruby: the same names in every language.

class Account
  attr_reader :owner, :balance

  def initialize(owner, balance)
    @owner = owner
    @balance = balance
  end

  def deposit(amount)
    @balance += amount
  end

  def fail(text)
    raise ArgumentError, text
  end

  def each_call(function, count)
    (1..count).map { |i| function.call(i) }
  end

  def me
    self
  end
end

def echo(value)
  value
end

def add(a, b)
  a + b
end

def say(text)
  puts text
end

def apply(function, value)
  function.call(value)
end

def make
  Account.new("made", 1)
end

def balance_of(account)
  account.balance
end

def kind(value)
  value.class.name
end

def size(value)
  value.size
end

def fill(numbers, table)
  table["k"] = numbers.each.sum
  table.delete("a")
  [numbers.size, table.size, table["k"]]
end

TABLE = { "n" => 1 }

def shared
  TABLE
end

def lend
  Remora.by_ref([1, 2, 3])
end

def later(function, value)
  Remora.start(function).call(value)
end
