-- Values that say what they are: null, lists, maps, bytes, text, big integers, references. docs/lua.md, "What crosses how".
local capi = require "remora.capi"

local marks = {}

local NULL = { __name = "remora.null", __tostring = function() return "null" end }
local LIST = { __name = "remora.list" }
local MAP = { __name = "remora.map" }
local TEXT = { __name = "remora.text" }
local BIG = { __name = "remora.big" }
local REF = { __name = "remora.ref" }
local KW = { __name = "remora.kw" }
local BYTES = { __name = "remora.bytes" }

---The null inside of lists and maps.
marks.null = setmetatable({}, NULL)

local function mark(t, meta, function_name)
  if type(t) ~= "table" then error("remora." .. function_name .. " wants a table, not a " .. type(t), 3) end
  local has = getmetatable(t)
  if has ~= nil and has ~= LIST and has ~= MAP then error("remora." .. function_name .. ": this table has a metatable", 3) end
  return setmetatable(t, meta)
end

---Marks t (in place) as a list; holes up to n (else t.n, else #t) become remora.null.
---@param t? table
---@param n? integer
---@return table
function marks.list(t, n)
  t = mark(t or {}, LIST, "list")
  if n == nil then
    n = rawget(t, "n")
    rawset(t, "n", nil)
  end
  for i = 1, n or #t do
    if rawget(t, i) == nil then rawset(t, i, marks.null) end
  end
  return t
end

---Marks t (in place) as a map, also when it is empty or its keys are 1..n.
---@param t? table
---@return table
function marks.map(t) return mark(t or {}, MAP, "map") end

local held, handle_kind = capi.held, capi.handle_kind

local function like_a_string(meta)
  meta.__tostring = held
  meta.__len = function(v) return #held(v) end
  meta.__eq = function(a, b) return handle_kind(a) == handle_kind(b) and held(a) == held(b) end
  meta.__concat = function(a, b) return (held(a) or a) .. (held(b) or b) end
  meta.__index = {}
  for name, method in pairs(string) do
    meta.__index[name] = function(v, ...) return method(held(v) or v, ...) end
  end
end
like_a_string(BYTES)
like_a_string(TEXT)

---Bytes, whatever is in the string. tostring gives it back; #, .., == and the methods of strings work.
---@param s string
---@return userdata
function marks.bytes(s) return capi.bytes(held(s) or s) end

---The same for text, under every option `strings`.
---@param s string
---@return userdata
function marks.text(s) return capi.text(held(s) or s) end

BIG.__tostring = function(v) return v[1] end
BIG.__eq = function(a, b) return a[1] == b[1] end

---An integer of any size, in decimal digits (or an integral number). It cannot be calculated with.
---@param x string|number
---@return table
function marks.big(x)
  local digits
  if type(x) == "number" and x == math.floor(x) and x - x == 0 then
    digits = math.type and math.type(x) == "integer" and tostring(x) or string.format("%.0f", x)
  elseif type(x) ~= "number" then
    digits = tostring(x):match("^(.-)U?L?L?$")
  end
  local sign, figures = (digits or ""):match("^(%-?)0*(%d+)$")
  if not figures then error("remora.big wants decimal digits, not " .. tostring(x), 2) end
  return setmetatable({ figures == "0" and "0" or sign .. figures }, BIG)
end

---A table that crosses as a reference, not as a copy: far code uses it as a container of its own, and what it changes is changed here. remora.by_ref is the same.
---@param t any
---@return table
function marks.ref(t)
  if t == nil then error("remora.ref wants something to refer to", 2) end
  return setmetatable({ t }, REF)
end

---Keyword arguments: the last argument of a call. `f(1, remora.kw{ key = 2 })`
---@param t table
---@return table
function marks.kw(t)
  if type(t) ~= "table" or getmetatable(t) ~= nil then error("remora.kw wants a plain table", 2) end
  return setmetatable(t, KW)
end

local kinds = { [LIST] = "list", [MAP] = "map", [BIG] = "big", [REF] = "ref" }

---"null", "list", "map", "bytes", "text", "big", "ref", "proxy", "future", "connection", or nil.
---@param v any
---@return string?
function marks.kind(v)
  if type(v) == "table" then
    if v == marks.null then return "null" end
    return kinds[getmetatable(v)]
  end
  return capi.handle_kind(v)
end

marks.setup = { null = marks.null, list = LIST, map = MAP, text = TEXT, big = BIG, ref = REF, kw = KW, bytes = BYTES }

return marks
