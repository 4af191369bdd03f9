-- What Lua has no word for: null, lists and maps that do not look like one, bytes, text, big integers, references.
-- One file for both sides: part of the node's program, and the binding's `remora.marks`. Lua 5.1 to 5.4 and LuaJIT.

local marks = {}
local held = setmetatable({}, {__mode = "k"}) -- bytes, text or big integer -> its string

-- A value type that holds a string. Before 5.2 only a userdata's metatable may have __len.
local function holder(name, methods)
  local meta = {}
  local made = newproxy and newproxy(true)
  if made then meta = getmetatable(made) end
  meta.__name = "remora." .. name
  meta.__tostring = function(it) return held[it] end
  meta.__index = methods
  meta.__eq = function(a, b) return held[a] == held[b] end
  return meta, function(text)
    local it
    if made then it = newproxy(made) else it = setmetatable({}, meta) end
    held[it] = text
    return it
  end
end

local function as_string(x)
  return held[x] or x
end

local function string_like(name)
  local methods = {}
  local meta, make = holder(name, methods)
  for key, f in pairs(string) do
    methods[key] = function(it, ...) return f(as_string(it), ...) end
  end
  meta.__len = function(it) return #held[it] end
  meta.__concat = function(a, b) return as_string(a) .. as_string(b) end
  return meta, make
end

local bytes_meta, make_bytes = string_like("bytes")
local text_meta, make_text = string_like("text")
local big_meta, make_big = holder("big", {})
local list_meta = {__name = "remora.list"}
local map_meta = {__name = "remora.map"}
local ref_meta = {__name = "remora.ref"}
local kw_meta = {__name = "remora.kw"}
local null_meta = {__name = "remora.null", __tostring = function() return "null" end}

marks.null = setmetatable({}, null_meta)
marks.metatables = {bytes = bytes_meta, text = text_meta, big = big_meta, list = list_meta, map = map_meta, ref = ref_meta,
  kw = kw_meta}

local kinds = {[null_meta] = "null"}
for name, meta in pairs(marks.metatables) do kinds[meta] = name end
local raw_metatable = debug and debug.getmetatable or getmetatable

-- "null", "list", "map", "bytes", "text", "big", "ref", "kw", or nil.
function marks.kind(value)
  local meta = raw_metatable(value)
  return meta and kinds[meta]
end

-- The string in bytes, text or a big integer; nil of anything else.
function marks.held(value)
  return held[value]
end

function marks.bytes(text)
  return make_bytes(tostring(text))
end

-- Valid UTF-8, except that lone surrogates may be there as their three bytes.
if utf8 then
  local lax = utf8.len("\237\160\128") == nil -- 5.4 refuses surrogates otherwise
  function marks.is_text(s)
    return not s:find("[\128-\255]")
      or not s:find("[\245-\255]") and not s:find("\244[\144-\191]") and utf8.len(s, 1, -1, lax) ~= nil
  end
else
  function marks.is_text(s)
    local find, byte = string.find, string.byte
    local at = find(s, "[\128-\255]")
    while at do
      local first = byte(s, at)
      local last, _
      if first < 224 then
        _, last = find(s, "^[\194-\223][\128-\191]", at)
      elseif first == 224 then
        _, last = find(s, "^\224[\160-\191][\128-\191]", at)
      elseif first < 240 then
        _, last = find(s, "^[\225-\239][\128-\191][\128-\191]", at)
      elseif first == 240 then
        _, last = find(s, "^\240[\144-\191][\128-\191][\128-\191]", at)
      elseif first < 244 then
        _, last = find(s, "^[\241-\243][\128-\191][\128-\191][\128-\191]", at)
      else
        _, last = find(s, "^\244[\128-\143][\128-\191][\128-\191]", at)
      end
      if not last then return false end
      at = find(s, "[\128-\255]", last + 1)
    end
    return true
  end
end

function marks.text(text)
  text = tostring(text)
  if not marks.is_text(text) then error("remora.text: not UTF-8", 2) end
  return make_text(text)
end

-- An integer of any size, from its decimal digits or an integral number. Opaque: tostring, == and nothing else.
function marks.big(digits)
  if type(digits) == "number" then
    if digits ~= math.floor(digits) or digits - digits ~= 0 then error("remora.big: not an integer", 2) end
    digits = math.type and math.type(digits) == "integer" and tostring(digits) or ("%.0f"):format(digits)
  end
  local sign, rest = tostring(digits):match("^(%-?)0*(%d+)$")
  if not rest then error("remora.big: not an integer: " .. tostring(digits), 2) end
  return make_big(rest == "0" and rest or sign .. rest)
end

-- Makes a table cross as a list, also when it is empty or has holes: up to n they become null.
function marks.list(it, n)
  it = it or {}
  if not n then
    n = rawget(it, "n")
    if n then it.n = nil else n = #it end
  end
  for i = 1, n do
    if it[i] == nil then it[i] = marks.null end
  end
  return setmetatable(it, list_meta)
end

function marks.map(it)
  return setmetatable(it or {}, map_meta)
end

-- Keyword arguments: the last argument of a call.
function marks.kw(it)
  return setmetatable(it, kw_meta)
end

-- Makes a plain table cross as a reference.
function marks.ref(it)
  return setmetatable({it}, ref_meta)
end

return marks
