-- Modules of the near side, and what a name of section 5.2 stands for.

local answers = {} -- module -> what the near side said; false if it has none

local function near_source(name)
  local found = answers[name]
  if found == nil then
    found = call_near(0, "module", nil, "lua", name) or false
    answers[name] = found
  end
  return found
end

-- Where the near side has looked for a module, in words; "" if it was not asked.
local function nowhere(name)
  local found = answers[name]
  return found and found.kind == "missing" and "; " .. found.reason or ""
end

local searchers = package.searchers or package.loaders
searchers[#searchers + 1] = function(name)
  if name == "remora" or find(name, "^remora%.") then return "\n\tno part of the node '" .. name .. "'" end
  local found = near_source(name)
  local kind = found and found.kind
  if kind == "module" or kind == "package" then
    local path = found.path or name
    local f, why = load(tostring(found.source), "@" .. path)
    if not f then
      error(format("error loading module '%s', which comes from the near side (%s), in %s here:\n\t%s", name,
        tostring(told.language), jit and jit.version or _VERSION, why), 0)
    end
    return f, path
  end
  if kind == "extension" then return "\n\tthe near side has only a compiled module '" .. tostring(found.path) .. "'" end
  if kind == "denied" then return "\n\tfrom the near side: " .. tostring(found.reason) end
  return "\n\tno module '" .. name .. "' on the near side" .. nowhere(name)
end

-- Before any file of that name: a Lua that has the near side's package installed is no near side here.
package.preload["remora.log"] = function()
  local found = near_source("remora.log") or error("the near side has no remora.log", 0)
  return load(tostring(found.source), "@remora.log")({told = told, clock = clock, time = os.time, frame = frame, is_text = is_text,
    flush = function()
      push_output()
      flush()
    end,
    on_write = function(take) last_words = take end})
end

-- Loads a module; false and why if there is none of that name.
local function loaded(name)
  local ok, result = pcall(require, name)
  if ok then return true, result end
  if type(result) == "string" and sub(result, 1, #name + 20) == "module '" .. name .. "' not found:" then
    local found = answers[name]
    local reason = found and found.kind ~= "missing" and (found.reason or found.kind == "extension" and "the near side has only a compiled module " .. tostring(found.path))
    return false, reason
  end
  error(result, 0)
end

local function member(value, path)
  for part in path:gmatch("[^.]+") do
    if type(value) ~= "table" and type(value) ~= "userdata" then return nil end
    if value == _G then value = rawget(_G, part) else value = value[part] end -- a strict _G raises for what is not there
    if value == nil then return nil end
  end
  return value
end

-- What a name stands for; nil, and perhaps why, if there is no such thing.
local function lookup(name)
  if type(name) ~= "string" then err("Value", "a name has to be text") end
  local module, path = name:match("^([^:]*):(.*)$")
  if module then
    if module == "" then return member(_G, path) end
    local there, result = loaded(module)
    if not there then return nil, result end
    if type(result) ~= "table" then return member(_G, path) end -- a module in the old style
    return member(result, path)
  end
  local value = member(_G, name)
  if value ~= nil then return value end
  module = name -- which may itself be a class
  local why
  while module do
    path = sub(name, #module + 2)
    local there, result = loaded(module)
    if there then
      if type(result) ~= "table" then return member(_G, path) end
      return member(result, path)
    end
    why = why or result
    module = module:match("^(.*)%.[^.]*$")
  end
  return nil, why
end

-- The same of the module in a name, or of one around it.
local function sought(name)
  local module = name:match("^([^:]*):") or name
  while module do
    local words = nowhere(module)
    if words ~= "" then return words end
    module = module:match("^(.*)%.[^.]*$")
  end
  return ""
end

local function callable(value)
  return type(value) == "function" or (type(value) == "table" or type(value) == "userdata") and has(raw_metatable(value), "__call")
end

function root.new(name, ...)
  local found, why = lookup(name)
  if found == nil then err("NotFound", why and format("%s: %s", name, why) or "no class " .. tostring(name) .. sought(tostring(name))) end
  local make = type(found) == "table" and found.new or found
  if not callable(make) then err("NotFound", name .. " has no function `new` and cannot be called") end
  local made = make(...)
  local kind = type(made)
  if kind == "nil" or kind == "string" or kind == "number" or kind == "boolean" then
    err("Value", format("%s made no object, but %s", name, kind))
  end
  return marks.ref(made)
end

-- Its code comes from the near side (nodes/lua/lib).
function root.repl()
  return marks.ref(load(tostring(near_source("remora.repl").source), "=remora")())
end

function root.can(name)
  local found, why = lookup(name)
  if why then err("NotFound", format("%s: %s", name, why)) end
  if callable(found) or type(found) == "table" and callable(found.new) then return marks.ref(found) end
end

-- Files and commands: lib/remora/files.lua, which puts itself in the place of these.
for _, name in ipairs {"run", "open", "stat"} do
  root[name] = function(...)
    local item = later.root -- fetching may let others in between
    assert(load(near_source("remora.files").source, "=remora")) {
      root = root, marks = marks, null = null, held = held, err = err, make_error = make_error, pid = pid, clock = clock,
      call_near = call_near, cancelled = cancelled, leaving = leaving, released = released,
      most = function() return most end,
      current = function() return later.root end,
      id_of = function(it) return records[it] and records[it].id end,
      oserror = function(message, number, path)
        local e = make_error("OSError", message)
        e.type, e.attributes = {"OSError"}, {errno = number, filename = is_text(path) and path or nil}
        error(e, 0)
      end,
    }
    later.root = item
    return root[name](...)
  end
end
