-- Values: how they stand in a message. docs/values.md says what is what in Lua.

local decode -- decode.lua
local err, fault -- errors.lua; raise an error of a class of ours; the other side broke the protocol

local escapes = {['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t"}
for i = 0, 31 do escapes[char(i)] = escapes[char(i)] or format("\\u%04x", i) end
escapes["\127"] = "\127"

local function quoted(s)
  if find(s, '[%c"\\]') then s = gsub(s, '[%c"\\]', escapes) end
  return '"' .. s .. '"'
end

local function float_text(n)
  if n ~= n then return '{"~f":"nan"}' end
  if n == 1 / 0 then return '{"~f":"inf"}' end
  if n == -1 / 0 then return '{"~f":"-inf"}' end
  local text = format("%.15g", n)
  if tonumber(text) ~= n then
    text = format("%.16g", n)
    if tonumber(text) ~= n then text = format("%.17g", n) end
  end
  if not find(text, "[.e]") then text = text .. ".0" end
  return text
end

local integer_text
if integers then
  function integer_text(n)
    if integers(n) == "integer" then return format("%d", n) end
  end
else
  function integer_text(n)
    if n == floor(n) and n <= 9007199254740992 and n >= -9007199254740992 and (n ~= 0 or 1 / n > 0) then
      return format("%.0f", n)
    end
  end
end

local function fits_64(digits)
  local sign, figures = digits:match("^(%-?)(%d+)$")
  if #figures ~= 19 then return #figures < 19 end
  return figures <= (sign == "-" and "9223372036854775808" or "9223372036854775807")
end

-- What one message mentions: rows of references, attachments.
local rows, raws
local row_of -- references.lua

local function attach(tag, data)
  raws[#raws + 1] = data
  return '{"~' .. tag .. '":' .. (#raws - 1) .. "}"
end

local function string_text(s, as)
  local odd = find(s, "[\128-\255]")
  if as == "bytes" or odd and not as and not is_text(s) then return attach("b", s) end
  if #s >= LONG or odd and find(s, "\237[\160-\191]") then return attach("s", s) end
  return quoted(s)
end

local function refer(value)
  rows[#rows + 1] = row_of(value)
  return '{"~r":' .. (#rows - 1) .. "}"
end

-- How many elements a sequence without holes has; nil if the table is something else.
local function sequence(t)
  local n = #t
  local count = 0
  for key in next, t do
    if type(key) ~= "number" or key < 1 or key > n or key ~= floor(key) then return nil end
    count = count + 1
  end
  return count == n and n or nil
end

local value_text

local function too_deep(path)
  local keys = {}
  while path do
    insert(keys, 1, "[" .. tostring(path[2]) .. "]")
    path = path[1]
  end
  err("Value", "nested more than " .. DEEP .. " deep, or in itself, at value" .. concat(keys, "", 1, math.min(#keys, 8)) .. "...")
end

local function list_text(t, n, depth, path)
  local out = {}
  for i = 1, n do out[i] = value_text(rawget(t, i), depth, {path, i}) end
  return "[" .. concat(out, ",") .. "]"
end

local function map_text(t, depth, path)
  local plain, only, count = true, nil, 0
  for key in next, t do
    count = count + 1
    only = key
    if type(key) ~= "string" or find(key, "[\128-\255]") and (not is_text(key) or find(key, "\237[\160-\191]")) then
      plain = false
      break
    end
  end
  if count == 1 and plain and byte(only) == 126 then plain = false end
  local out = {}
  if plain then
    for key, value in next, t do out[#out + 1] = quoted(key) .. ":" .. value_text(value, depth, {path, key}) end
    return "{" .. concat(out, ",") .. "}"
  end
  for key, value in next, t do
    out[#out + 1] = "[" .. value_text(key, depth + 1, path) .. "," .. value_text(value, depth + 1, {path, key}) .. "]"
  end
  return '{"~m":[' .. concat(out, ",") .. "]}"
end

local function table_text(t, depth, path)
  local meta = raw_metatable(t)
  if meta then
    local kind = kind_of(t)
    if kind == "null" then return "null" end
    if kind == "bytes" or kind == "text" then return string_text(held(t), kind) end
    if kind == "big" then return fits_64(held(t)) and held(t) or '{"~i":"' .. held(t) .. '"}' end
    if kind == "ref" then return refer(t[1]) end
    if kind ~= "list" and kind ~= "map" then return refer(t) end
    if depth > DEEP then too_deep(path) end
    if kind == "map" then return map_text(t, depth + 1, path) end
    local n = sequence(t)
    if not n then err("Value", "a table marked as a list has other keys than 1 to its length") end
    return list_text(t, n, depth + 1, path)
  end
  if rawget(t, "__index") ~= nil then return refer(t) end -- a class
  if depth > DEEP then too_deep(path) end
  local n = sequence(t)
  if n then return list_text(t, n, depth + 1, path) end
  return map_text(t, depth + 1, path)
end

function value_text(value, depth, path)
  local kind = type(value)
  if kind == "string" then return string_text(value) end
  if kind == "number" then return integer_text(value) or float_text(value) end
  if kind == "table" then return table_text(value, depth, path) end
  if kind == "boolean" then return value and "true" or "false" end
  if kind == "nil" then return "null" end
  if kind == "userdata" and kind_of(value) then return table_text(value, depth, path) end
  if kind == "cdata" then
    local digits = tostring(value):match("^(%-?%d+)U?LL$")
    if digits then return fits_64(digits) and digits or '{"~i":"' .. digits .. '"}' end
  end
  return refer(value)
end
