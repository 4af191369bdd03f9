-- The far fixture of the matrix, in Lua: the same names in every language. Lua 5.1 to 5.4 and LuaJIT.
local remora = require "remora"
local smoke = {}

local Account = {}
Account.__index = Account
Account.__name = "Account"
smoke.Account = Account

function Account.new(owner, balance)
  return setmetatable({holder = owner, sum = balance}, Account)
end

function Account:deposit(n)
  self.sum = self.sum + n
  return self.sum
end

function Account:balance() return self.sum end
function Account:owner() return self.holder end
function Account:fail(text) error(text, 0) end
function Account:me() return self end

function Account:each_call(f, n)
  local results = {}
  for i = 1, n do results[i] = f(i) end
  return results
end

function smoke.echo(v) return v end
function smoke.add(a, b) return a + b end
function smoke.say(text) print(text) end
function smoke.apply(f, x) return f(x) end
function smoke.make() return Account.new("made", 1) end
function smoke.balance_of(account) return account:balance() end

function smoke.kind(v)
  return remora.kind(v) or math.type and math.type(v) or type(v)
end

-- Characters of text, bytes of bytes, elements of a list, keys of a map.
function smoke.size(v)
  if type(v) == "string" then return select(2, v:gsub("[^\128-\191]", "")) end
  if type(v) ~= "table" or getmetatable(v) and getmetatable(v).__len then return #v end
  local n = 0
  for _ in pairs(v) do n = n + 1 end
  return n
end

function smoke.fill(numbers, table)
  local sum = 0
  for n in remora.iter(numbers) do sum = sum + n end
  remora.setitem(table, "k", sum)
  remora.delitem(table, "a")
  return {#numbers, #table, remora.item(table, "k")}
end

local table_of_all = {n = 1}
function smoke.shared() return table_of_all end
function smoke.lend() return remora.by_ref({1, 2, 3}) end
function smoke.later(f, x) return remora.start(f)(x) end

return smoke
