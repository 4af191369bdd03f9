-- smoke.lua FAR [SECONDS]: what smoke.py says. Runs under Lua 5.1, 5.3, 5.4 and LuaJIT.
local remora = require "remora"

local here = arg[0]:match("^(.*)/near/[^/]*$") or ".."
local far = arg[1]
local load_text = loadstring or load -- luacheck: ignore
local has_int64 = rawget(_G, "jit") ~= nil

-- --------------------------------------------------------------------------------------------------------------- values

local function integer(digits)
  if math.tointeger then
    local number = math.tointeger(tonumber(digits))
    if number and ("%d"):format(number) == digits then return number end
    return remora.big(digits)
  end
  local number = tonumber(digits)
  if number >= -2 ^ 53 and number <= 2 ^ 53 and ("%.0f"):format(number) == digits then return number end
  if has_int64 then
    local sign, figures = digits:match("^(%-?)(%d+)$")
    if #figures < 19 or (#figures == 19 and figures <= "9223372036854775807") then
      return load_text("return " .. sign .. figures .. "LL")()
    end
    if digits == "-9223372036854775808" then return load_text "return -9223372036854775807LL - 1LL"() end
  end
  return remora.big(digits)
end

local function float(text)
  if text == "nan" then return 0 / 0 end
  if text == "inf" then return 1 / 0 end
  if text == "-inf" then return -1 / 0 end
  local number = tonumber(text)
  return text:sub(1, 1) == "-" and -tonumber(text:sub(2)) or number + 0.0
end

local function raw(hex) return hex == "-" and "" or (hex:gsub("..", function(two) return string.char(tonumber(two, 16)) end)) end

local function held(value) -- in a list or map
  if value == nil then return remora.null end
  return value
end

local read_form
function read_form(words)
  local word = words()
  if word == "null" then return nil end
  if word == "true" or word == "false" then return word == "true" end
  if word == "int" then return integer(words()) end
  if word == "float" then return float(words()) end
  if word == "text" then return raw(words()) end
  if word == "bytes" then return remora.bytes(raw(words())) end
  local n = tonumber(words())
  if word == "textn" then return raw(words()):rep(n) end
  if word == "bytesn" then return remora.bytes(raw(words()):rep(n)) end
  local value = word == "map" and remora.map() or remora.list()
  if word == "map" then
    for _ = 1, n do
      local key = held(read_form(words))
      value[key] = held(read_form(words))
    end
  elseif word == "list" then
    for i = 1, n do value[i] = held(read_form(words)) end
  elseif word == "ints" then
    for i = 1, n do value[i] = i - 1 end
  else
    for _ = 1, n - 1 do value = remora.list { value } end
  end
  return value
end

local function is_map(t)
  local kind = remora.kind(t)
  if kind then return kind == "map" end
  local count = 0
  for key in pairs(t) do
    if type(key) ~= "number" or key < 1 or key > #t or key ~= math.floor(key) then return true end
    count = count + 1
  end
  return count ~= #t
end

-- Equal, and of the same kind.
local same
local function has_entry(map, key, value)
  if type(key) ~= "userdata" then return same(value, map[key]) end
  for k, v in pairs(map) do
    if same(k, key) then return same(value, v) end
  end
  return false
end
function same(a, b)
  if type(a) ~= type(b) or (remora.kind(a) or "") ~= (remora.kind(b) or "") and type(a) ~= "table" then return false end
  if type(a) == "number" then
    if math.type and math.type(a) ~= math.type(b) then return false end
    if a ~= a then return b ~= b end
    return a == b and (a ~= 0 or 1 / a == 1 / b)
  end
  if type(a) ~= "table" or a == remora.null or remora.kind(a) == "big" then return a == b end
  if is_map(a) ~= is_map(b) then return false end
  local left, right = 0, 0
  for key, value in pairs(a) do
    left = left + 1
    if not has_entry(b, key, value) then return false end
  end
  for _ in pairs(b) do right = right + 1 end
  return left == right
end

-- --------------------------------------------------------------------------------------------------------------- checks

local failed = 0
local printed = {}

local function run(name, check)
  local ok, result = pcall(check)
  if ok and result == true then
    print("ok " .. name)
  else
    failed = failed + 1
    local why = ok and "got " .. tostring(result) or remora.is_error(result) and result.class .. ": " .. result.message or tostring(result)
    print(("failed %s: %s"):format(name, why:sub(1, 300):gsub("\n", " ")))
  end
  io.stdout:flush()
end

local roots = {}
for root in (os.getenv "REMORA_SMOKE_FAR" or here .. "/far"):gmatch("[^:]+") do roots[#roots + 1] = root end
local conn = remora.connect("-", {
  node = far,
  roots = roots,
  on_output = function(_, data) printed[#printed + 1] = data end,
})
local function can(name) return remora.can_on(conn, "smoke:" .. name) end
local function account(...) return remora.new_on(conn, "smoke:Account", ...) end
local echo, add, apply = can "echo", can "add", can "apply"

-- The error that f raises, or nil.
local function error_of(f, ...)
  local ok, e = pcall(f, ...)
  if not ok then return e end
end

run("function", function() return add(2, 3) == 5 end)
run("object", function()
  local a = account("anna", 100)
  return a:deposit(5) == 105 and a:balance() == 105 and a:owner() == "anna"
end)
run("missing", function()
  if can "nothing" ~= nil or remora.can_on(conn, "no_such_module_at_all:x") ~= nil then return "something" end
  return remora.is_error(error_of(remora.new_on, conn, "smoke:Nothing"), "NotFound")
end)
run("error", function()
  local a = account("e", 0)
  local e = error_of(a.fail, a, "so what")
  return remora.is_error(e, "RemoteError") and (e.message:find("so what", 1, true) ~= nil or e.message)
end)
run("callback", function() return apply(function(x) return 2 * x + 1 end, 20) == 41 end)
run("callbacks", function()
  local results = account("c", 0):each_call(function(i) return i * i end, 30)
  for i = 1, 30 do
    if results[i] ~= i * i then return results[i] end
  end
  return #results == 30
end)
run("callback error", function()
  local e = error_of(apply, function(x) error("not me " .. ("%d"):format(x)) end, 4)
  return remora.is_error(e, "RemoteError") and (e.message:find("not me 4", 1, true) ~= nil or e.message)
end)
run("nested callbacks", function()
  local function down(n) return n == 0 and 0 or add(1, apply(down, n - 1)) end
  return down(6) == 6
end)
run("object comes home", function()
  local a = account("h", 9)
  return can "balance_of"(a) == 9 and rawequal(a:me(), a)
end)
run("object from a function", function() return can "make"():owner() == "made" end)
run("object of this side", function()
  local near = setmetatable({}, { __index = { balance = function() return 77 end } })
  return can "balance_of"(near) == 77
end)
run("future", function()
  local a, made = account("f", 0), {}
  for i = 1, 50 do made[i] = remora.start(a):deposit(1) end
  local results = remora.await_all(made, 30)
  for i = 1, 50 do
    if results[i] ~= i or made[i]:get() ~= i then return results[i] end
  end
  return true
end)
run("future error", function()
  local e = remora.start(account("f", 0)):fail("later"):error(30)
  return remora.is_error(e, "RemoteError") and e.message:find("later", 1, true) ~= nil
end)
run("cancel", function()
  local f = remora.start(add)(1, 2)
  f:cancel()
  return f:done() and add(2, 3) == 5
end)
run("output", function()
  printed = {}
  can "say" "hello there"
  local text = table.concat(printed)
  return text:match("^%s*(.-)%s*$") == "hello there" or text
end)
run("too deep", function()
  local value = {}
  for _ = 1, 200 do value = { value } end
  return remora.is_error(error_of(echo, value), "ValueNotSendable") and add(1, 1) == 2
end)
run("container lent", function()
  local numbers, map = { 1, 2, 3 }, { a = 1 }
  local told = can "fill"(remora.by_ref(numbers), remora.by_ref(map))
  return told[1] == 3 and told[2] == 1 and told[3] == 6 and map.k == 6 and map.a == nil
end)
run("result by reference", function()
  local shared = remora.options(can "shared", { by_ref = true })
  local map = shared()
  remora.setitem(map, "n", 5)
  local copy, keys = remora.copy(map), {}
  for key in remora.iter(map) do keys[#keys + 1] = type(key) == "table" and key[1] or key end -- Ruby's gives pairs
  for key, value in remora.pairs(map) do keys[#keys + 1] = key .. value end
  return rawequal(shared(), map) and remora.item(map, "n") == 5 and remora.contains(map, "n") and remora.len(map) == 1 and copy.n == 5
    and table.concat(keys, " ") == "n n5"
end)
run("container from a function", function()
  local numbers, sum = can "lend"(), 0
  for n in remora.iter(numbers) do sum = sum + n end
  local copy = remora.copy(numbers)
  return #numbers == 3 and sum == 6 and #copy == 3 and copy[3] == 3
end)
run("answer that comes later", function() return can "later"(function(x) return 2 * x + 1 end, 20) == 41 end)
run("size", function()
  local size = can "size"
  return size "h\195\169llo" == 5 and size(remora.bytes "abc") == 3 and size { 1, 2 } == 2 and size { a = 1 } == 1
end)

-- What a language cannot hold is an error, never another value.
local function refused(value)
  local e = error_of(echo, value)
  return remora.is_error(e, "RemoteError") or remora.is_error(e, "ValueNotSendable")
end

local function limits()
  local found = {} -- value -> words of what comes back in its place, or false: it is refused
  local interpreter = os.getenv("REMORA_" .. far:upper())
  local languages = { ["near lua"] = true, ["far " .. far] = true }
  if interpreter then languages["far " .. interpreter:match("[^/]*$")] = true end
  if has_int64 then languages["near luajit"] = true end
  if not has_int64 and _VERSION == "Lua 5.1" then languages["near lua5.1"] = true end
  for line in io.lines(here .. "/limits.txt") do
    local who, value, rest = line:match("^(%a+ %S+) (%S+)(.*)$")
    if languages[who] then found[value] = rest:match("^ as (.*)$") or false end
  end
  return found
end

local limited = limits()
for line in io.lines(here .. "/values.txt") do
  local name, form = line:match("^([^#%s]+) (.*)$")
  if name then
    local value = read_form(form:gmatch("%S+"))
    run("value " .. name, function()
      if limited[name] == false then return refused(value) end
      local wanted = value
      if limited[name] then wanted = read_form(limited[name]:gmatch("%S+")) end
      local back = echo(value)
      return same(wanted, back) or tostring(back)
    end)
  end
end

if arg[2] then
  local now, times = require("remora.capi").now, {}
  local until_time = now() + tonumber(arg[2]) * 1000
  repeat
    local start = now()
    add(1, 2)
    times[#times + 1] = (now() - start) * 1000
  until now() > until_time
  table.sort(times)
  print(("round trip %.1f"):format(times[math.ceil(#times / 2)]))
end
conn:close()
os.exit(failed == 0 and 0 or 1)
