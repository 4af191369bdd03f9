-- Log records for the near side: log.info("text", "name"), or a function that gives the text and is called only when somebody wants it.
--
-- They are kept until the node writes something else anyway, and go behind that: at most `budget` bytes a second. What does not fit is counted.
local node = ...
local told = node.told.log
local log = {levels = {"trace", "debug", "verbose", "info", "warn", "error", "fatal"}}
local FULL = 16384

local rows, size, dropped, full = {}, 0, 0, false
local allowance, counted, looked = FULL, node.clock(), node.clock()
local words, known, known_count = {}, {}, 0
local number_of = {}

local function selects(name)
  local found = known[name]
  if found == nil then
    found = false
    local longest = -1
    for _, word in ipairs(words) do
      local text = word[1]
      local rest = name:sub(#text + 1, #text + 1)
      if #text >= longest and name:sub(1, #text) == text and (text == "" or rest == "" or rest:find("^[.:/]")) then
        longest, found = #text, word[2]
      end
    end
    if known_count > 1000 then known, known_count = {}, 0 end
    known[name], known_count = found, known_count + 1
  end
  return found
end

local function wants(level, name)
  return told ~= nil and level >= told.level and selects(name)
end

-- A string of JSON; null for nothing.
local function quoted(text, most)
  if text == nil then return "null" end
  text = tostring(text)
  if #text > most then
    text = text:sub(1, most)
    while text:find("[\128-\191]$") do text = text:sub(1, -2) end -- cut within a character
    text = text:gsub("[\192-\255]$", "")
  end
  if not node.is_text(text) then text = text:gsub("[\128-\255]", "?") end
  return '"' .. text:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
end

-- A frame of what may go now, behind everything else; nil if there is none. It may go beyond what is allowed, as nobody knows when the next one can follow; what comes meanwhile is dropped.
local function take()
  if size == 0 and dropped == 0 then return nil end
  local now = node.clock()
  allowance = math.min(FULL, allowance + (now - counted) * told.budget)
  counted = now
  local text = rows[1] and "[" .. table.concat(rows, ",") .. "]" or ""
  allowance = allowance - #text - 32
  local made = node.frame(13, text, dropped)
  rows, size, dropped, full = {}, 0, 0, false
  return made
end

-- What gets no answer for long is told all the same.
local function put(level, name, message, depth)
  if full then
    dropped = dropped + 1
    if dropped % 32 ~= 0 then return end
  end
  local now = node.clock()
  if not full and allowance + (now - counted) * told.budget <= 0 then
    dropped = dropped + 1
  elseif not full then
    local place = debug.getinfo(depth, "nSl")
    if type(message) == "function" then message = message() end
    local line = place and place.currentline > 0 and ("%d"):format(place.currentline) or "null"
    local text = ("[%d,%d.0,%s,%s,%s,%s,%s]"):format(level, node.time(), quoted(name, 500), quoted(message, 8000), quoted(place and place.name, 500),
      quoted(place and place.short_src, 500), line)
    rows[#rows + 1] = text
    size = size + #text + 1
    full = size > FULL
  end
  if now - looked >= 0.1 then
    looked = now
    node.flush()
  end
end

local function emit(level, message, name)
  name = name or "lua"
  if wants(level, name) then put(level, name, message, 4) end
end

for number, level in ipairs(log.levels) do
  number_of[level] = number
  log[level] = function(message, name) emit(number, message, name) end
end

local function checked(level) return number_of[level] or error(tostring(level) .. " is no level of log records", 3) end

function log.log(level, message, name) emit(checked(level), message, name) end
function log.wants(level, name) return wants(checked(level), name or "lua") end

if told then
  for word in told.selections:gmatch("%S+") do
    local on = word:sub(1, 1) ~= "-"
    if not on then word = word:sub(2) end
    words[#words + 1] = {word == "*" and "" or word, on}
  end
  node.on_write(take)
end

return log
