-- Values out of a message: a reader of JSON that knows the tags.

-- Integers of more digits than are always exact.
local function large_integer(digits)
  if integers then
    local n = math.tointeger(tonumber(digits))
    if n and format("%d", n) == digits then return n end
  elseif ffi and fits_64(digits) then
    return (assert(load("return " .. (digits == "-9223372036854775808" and "-9223372036854775807LL-1LL" or digits .. "LL")))())
  end
  return marks.big(digits)
end

local function integer(digits)
  if #digits < 16 then return tonumber(digits) + 0 end
  if not integers then
    local n = tonumber(digits)
    if n <= 9007199254740992 and n >= -9007199254740992 and format("%.0f", n) == digits then return n end
  end
  return large_integer(digits)
end

local function bad(what)
  err("Value", "not a value: " .. what)
end

local function code_text(code) -- UTF-8 of a code point
  if code < 128 then return char(code) end
  if code < 2048 then return char(192 + floor(code / 64), 128 + code % 64) end
  if code < 65536 then return char(224 + floor(code / 4096), 128 + floor(code / 64) % 64, 128 + code % 64) end
  return char(240 + floor(code / 262144), 128 + floor(code / 4096) % 64, 128 + floor(code / 64) % 64, 128 + code % 64)
end

local unescapes = {b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/"}

local function unescaped(s, at)
  local parts = {}
  while true do
    local stop = find(s, '["\\]', at)
    if not stop then bad("text without its end") end
    parts[#parts + 1] = sub(s, at, stop - 1)
    if byte(s, stop) == 34 then return concat(parts), stop + 1 end
    local letter = sub(s, stop + 1, stop + 1)
    at = stop + 2
    if letter == "u" then
      local code = tonumber(s:match("^%x%x%x%x", at) or bad("a broken escape"), 16)
      at = at + 4
      if code >= 0xD800 and code < 0xDC00 then
        local low = s:match("^\\u([dD][c-fC-F]%x%x)", at)
        if low then
          code = 0x10000 + (code - 0xD800) * 1024 + tonumber(low, 16) - 0xDC00
          at = at + 6
        end
      end
      parts[#parts + 1] = code_text(code)
    else
      parts[#parts + 1] = unescapes[letter] or bad("a broken escape")
    end
  end
end

-- What the message that is being decoded brought along.
local in_refs, in_raws, in_plain

local function entry(list, i, tag)
  if type(i) ~= "number" or i ~= floor(i) or i < 0 or not list or list[i + 1] == nil then bad("bad index in ~" .. tag) end
  return list[i + 1]
end

local function tagged(tag, value)
  if tag == "~r" then return entry(in_refs, value, "r") end
  if tag == "~b" then return marks.bytes(entry(in_raws, value, "b")) end
  if tag == "~s" then
    local text = entry(in_raws, value, "s")
    if not is_text(text) then bad("text that is not UTF-8") end
    return text
  end
  if tag == "~t" then
    if type(value) == "table" and not kind_of(value) and sequence(value) then return value end
  elseif tag == "~i" then
    if type(value) == "string" and find(value, "^%-?%d+$") then return integer((value:gsub("^(%-?)0+(%d)", "%1%2"))) end
  elseif tag == "~f" then
    if value == "nan" then return 0 / 0 elseif value == "inf" then return 1 / 0 elseif value == "-inf" then return -1 / 0 end
  elseif tag == "~m" and type(value) == "table" and not kind_of(value) and sequence(value) then
    local made = {}
    for _, pair in ipairs(value) do
      if type(pair) ~= "table" or kind_of(pair) or #pair ~= 2 then bad("a broken map") end
      local key = pair[1]
      if key ~= key then bad("a map with a key that is not a number (NaN), which Lua cannot have") end
      if made[key] ~= nil then bad("a map with two keys that are equal in Lua") end
      made[key] = pair[2]
    end
    if sequence(made) or made.__index ~= nil then marks.map(made) end
    return made
  end
  bad("bad tag " .. format("%.40s", tag))
end

local scan

local function scan_list(s, at, depth)
  if depth > DEEP then err("Value", "nested more than " .. DEEP .. " deep") end
  local list, n, c = {}, 0, nil
  at = s:match("^[ \t\r\n]*()", at)
  if byte(s, at) == 93 then return list, at + 1 end
  while true do
    n = n + 1
    list[n], at = scan(s, at, depth)
    c = byte(s, at)
    if c ~= 44 and c ~= 93 then
      at = s:match("^[ \t\r\n]*()", at)
      c = byte(s, at)
    end
    at = at + 1
    if c == 93 then return list, at end
    if c ~= 44 then bad("a list without its end") end
  end
end

local function scan_map(s, at, depth)
  if depth > DEEP then err("Value", "nested more than " .. DEEP .. " deep") end
  local map, count, first = {}, 0, nil
  at = s:match("^[ \t\r\n]*()", at)
  if byte(s, at) == 125 then return marks.map(map), at + 1 end
  while true do
    local key, value
    if byte(s, at) ~= 34 then bad("a map without a key") end
    key, at = scan(s, at, depth)
    at = s:match("^[ \t\r\n]*:()", at) or bad("a key without its value")
    value, at = scan(s, at, depth)
    if map[key] ~= nil then bad("a map with two equal keys") end
    map[key] = value
    count = count + 1
    first = first or key
    local c = byte(s, at)
    if c ~= 44 and c ~= 125 then
      at = s:match("^[ \t\r\n]*()", at)
      c = byte(s, at)
    end
    at = at + 1
    if c == 125 then break end
    if c ~= 44 then bad("a map without its end") end
    at = s:match("^[ \t\r\n]*()", at)
  end
  if count == 1 and not in_plain and byte(first) == 126 then return tagged(first, map[first]), at end
  if map.__index ~= nil then marks.map(map) end
  return map, at
end

-- The value at a place of the text, and the place behind it.
function scan(s, at, depth)
  local c = byte(s, at)
  if c == 32 or c == 10 or c == 13 or c == 9 then
    at = s:match("^[ \t\r\n]*()", at)
    c = byte(s, at)
  end
  if c == 34 then
    local stop = find(s, '["\\]', at + 1)
    if stop and byte(s, stop) == 34 then return sub(s, at + 1, stop - 1), stop + 1 end
    return unescaped(s, at + 1)
  end
  if c == 91 then return scan_list(s, at + 1, depth + 1) end
  if c == 123 then return scan_map(s, at + 1, depth + 1) end
  if c == 116 and sub(s, at, at + 3) == "true" then return true, at + 4 end
  if c == 102 and sub(s, at, at + 4) == "false" then return false, at + 5 end
  if c == 110 and sub(s, at, at + 3) == "null" then return null, at + 4 end
  local _, stop = find(s, "^-?%d+", at)
  if not stop then bad("no JSON") end
  local after = byte(s, stop + 1)
  if after == 46 or after == 101 or after == 69 then
    local _, last = find(s, "^%.%d+", stop + 1)
    stop = last or stop
    _, last = find(s, "^[eE][+-]?%d+", stop + 1)
    stop = last or stop
    local number = tonumber(sub(s, at, stop)) -- with point or exponent: a float
    return number, stop + 1
  end
  if find(s, "^-?0%d", at) then bad("a number that begins with 0") end
  return integer(sub(s, at, stop)), stop + 1
end

-- The value of a body. `refs`: the objects of its table; `raws`: its attachments.
function decode(body, plain, refs, raw)
  if refs == false then err("Value", "a reference to an object that is not lent, or of an unknown type") end
  if find(body, "[\128-\255]") and (not is_text(body) or find(body, "\237[\160-\191]")) then bad("not UTF-8") end
  in_refs, in_raws, in_plain = refs, raw, plain
  local value, at = scan(body, 1, 0)
  in_refs, in_raws = nil, nil
  if at <= #body and find(body, "[^ \t\r\n]", at) then bad("more than one value") end
  return value
end
