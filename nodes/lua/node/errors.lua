-- Errors: how they cross, and how they come back. An error of the other side is a table with the fields of section 6.

local here = "pid " .. pid -- this process in the hops of an error
local error_methods = {}
local error_meta = {
  __name = "remora.error",
  __index = error_methods,
  __tostring = function(e) return e.message end,
  __concat = function(a, b) return tostring(a) .. tostring(b) end,
}

-- Whether it is of that class: "ValueError", "Timeout".
function error_methods:is(name)
  if self.class == name then return true end
  for _, class in ipairs(self.type) do
    if class == name then return true end
  end
  return false
end

local function make_error(class, message)
  return setmetatable({class = class, type = {"remora." .. class}, message = message, language = "lua", own = true}, error_meta)
end

function err(class, message)
  error(make_error(class, message), 0)
end

function fault(message)
  error({fault = message}, 0)
end

-- The traceback from where an error was raised, without this program's own lines.
local function clean(trace)
  local lines = {}
  for line in trace:gmatch("[^\n]+") do
    if not find(line, "^%s*remora:") and not find(line, "tail calls?%.*%)") then lines[#lines + 1] = line end
  end
  while #lines > 1 and find(lines[#lines], "^%s*%[C%]") or #lines > 0 and find(lines[#lines], "^%s*%(command line%)") do
    lines[#lines] = nil
  end
  return sub(concat(lines, "\n"), 1, 100000)
end

-- What a call that fails leaves: the error and where that was.
local function caught(e)
  if type(e) == "table" and (e.fault or raw_metatable(e) == error_meta and e.own) then return {e} end
  return {e, debug.traceback("", 2)}
end

local function text_of(e)
  local ok, text = pcall(tostring, e)
  return ok and type(text) == "string" and text or "(an error whose text cannot be made)"
end

local function list_of_texts(t)
  local out = {}
  for i, text in ipairs(type(t) == "table" and t or {}) do out[i] = tostring(text) end
  return marks.list(out)
end

local simple = {string = true, number = true, boolean = true}

-- The value of an ERROR frame.
local function describe(e, trace)
  local info = {language = "lua", hops = {here}}
  if type(e) == "table" and raw_metatable(e) == error_meta then
    for key, value in next, e do info[key] = value end
    info.own, info.class = nil, nil
    info.hops = list_of_texts(e.hops)
    info.hops[#info.hops + 1] = here
    info.type = list_of_texts(e.type)
    return info
  end
  local class
  if type(e) == "table" then
    local meta = raw_metatable(e)
    class = rawget(e, "name") or type(meta) == "table" and (meta.__name or type(meta.__index) == "table" and rawget(meta.__index, "name"))
    info.message = rawget(e, "message")
    local more = {}
    for key, value in next, e do
      if type(key) == "string" and simple[type(value)] and byte(key) ~= 95 and key ~= "message" then more[key] = value end
    end
    if next(more) then info.attributes = marks.map(more) end
  end
  if type(info.message) ~= "string" then info.message = text_of(e) end
  info.type = type(class) == "string" and {class, "lua error"} or {"lua error"}
  if trace then info.traceback = text_of(e) .. "\n" .. clean(trace) end
  if not is_text(info.message) then info.message = gsub(info.message, "[\128-\255]", "?") end
  if info.traceback and not is_text(info.traceback) then info.traceback = gsub(info.traceback, "[\128-\255]", "?") end
  return info
end

-- What to raise for an ERROR.
local function revive(info)
  if type(info) ~= "table" or kind_of(info) == "null" then info = {message = tostring(info)} end
  local e = {}
  for key, value in next, info do e[key] = value end
  e.message = type(e.message) == "string" and e.message or tostring(e.message or "")
  e.type = list_of_texts(e.type)
  if #e.type == 0 then e.type[1] = "" end
  setmetatable(e.type, nil)
  e.class = sub(e.type[1], 1, 7) == "remora." and sub(e.type[1], 8) or "RemoteError"
  return setmetatable(e, error_meta)
end
