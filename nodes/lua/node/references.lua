-- References: what we have lent, and the proxies of what the other side has lent.

local objects, lent, ids = {}, {}, {} -- id -> object, id -> how often it was sent, object -> id
local next_id = 0
local types, next_type = {}, 0 -- name and words -> number
local imports = setmetatable({}, {__mode = "v"}) -- id -> proxy
local records = setmetatable({}, {__mode = "k"}) -- proxy -> {id, n, name, words}
local far_types = {} -- number of a type of the other side -> {name, words}
local dropped = {} -- records of proxies that are gone
local send_frame -- calls.lua
local call_near

-- ---- what we lend

local words_of_type = {["function"] = "call iter", thread = "iter next"}

local function has(meta, name)
  return type(meta) == "table" and rawget(meta, name) ~= nil
end

-- Name and words of a type.
local function type_of(value)
  local kind = type(value)
  local words = words_of_type[kind]
  if words then return kind .. "\n" .. words end
  local meta = raw_metatable(value)
  if records[value] then return records[value].name .. "\n" .. concat(records[value].list, " ") end
  if io.type(value) then return "file\niter enter" end
  local name = type(meta) == "table" and rawget(meta, "__name")
  if not name and type(meta) == "table" and type(rawget(meta, "__index")) == "table" then name = rawget(meta.__index, "name") end
  words = {}
  if has(meta, "__call") then words[#words + 1] = "call" end
  if kind == "table" then
    words[#words + 1] = "iter len item setitem delitem contains"
    local mark = kind_of(value)
    if mark == "map" or not meta and #value == 0 then words[#words + 1] = "keys" end
  else
    if has(meta, "__len") then words[#words + 1] = "len" end
    if has(meta, "__index") then words[#words + 1] = "item" end
    if has(meta, "__newindex") then words[#words + 1] = "setitem delitem" end
  end
  if has(meta, "__close") then words[#words + 1] = "enter" end
  if has(meta, "__lt") then words[#words + 1] = "order" end
  return (type(name) == "string" and is_text(name) and name or kind) .. "\n" .. concat(words, " ")
end

-- The row for the table of references of a message that mentions this object.
function row_of(value)
  local record = records[value]
  if record then return u32(0) .. u32(1) .. u64(record.id) end
  local text = type_of(value)
  local number = types[text]
  if not number then
    next_type = next_type + 1
    number = next_type
    types[text] = number
    send_frame(frame(TYPE, text, number))
  end
  local id = ids[value]
  if not id then
    next_id = next_id + 1
    id = next_id
    objects[id], lent[id], ids[value] = value, 0, id
  end
  lent[id] = lent[id] + 1
  return u32(number) .. u32(0) .. u64(id)
end

local released = setmetatable({}, {__mode = "k"}) -- object -> what to do when the other side has let go of it
local kept = {} -- id of an iterator -> the error to raise next
local iterators = {} -- id of an iterator -> function that gives the next item

local function give_back(id, n)
  local left = (lent[id] or 0) - n
  if left < 0 or id == 0 or n == 0 then fault(format("release of what was not lent: id %.0f, %.0f times", id, n)) end
  lent[id] = left
  if left == 0 then
    local it = objects[id]
    ids[it] = nil
    if released[it] then released[it](it) end
    objects[id], lent[id], kept[id], iterators[id] = nil, nil, nil, nil
  end
end

local function release(payload)
  for at = 1, #payload, 16 do give_back(get64(payload, at), get64(payload, at + 8)) end
end

-- ---- proxies

local proxy_meta, proxy_proto
if newproxy then
  proxy_proto = newproxy(true)
  proxy_meta = getmetatable(proxy_proto)
else
  proxy_meta = {}
end
proxy_meta.__name = "remora.proxy"

-- May run anywhere: sends nothing.
function proxy_meta.__gc(it)
  local record = records[it]
  if record then dropped[#dropped + 1] = record end
end

function proxy_meta.__call(it, ...)
  return call_near(records[it].id, "", nil, ...)
end

local methods = setmetatable({}, {__mode = "v"}) -- name -> function that calls it

local function method(name)
  local f = methods[name]
  if not f then
    function f(it, ...)
      local record = records[it]
      if not record then error("call a method with a colon: object:" .. name .. "(...)", 2) end
      return call_near(record.id, name, nil, ...)
    end
    methods[name] = f
  end
  return f
end

function proxy_meta.__index(it, key)
  if type(key) == "string" then return method(key) end
  return call_near(records[it].id, ":item", nil, key)
end

function proxy_meta.__newindex(it, key, value)
  if type(key) == "string" then error("set the attribute of an object with remora.setattr(object, name, value), an element with remora.setitem", 2) end
  if value == nil then return call_near(records[it].id, ":delitem", nil, key) end
  call_near(records[it].id, ":setitem", nil, key, value)
end

function proxy_meta.__len(it) return call_near(records[it].id, ":len") end
function proxy_meta.__lt(a, b)
  if records[a] then return call_near(records[a].id, ":lt", nil, b) end
  return call_near(records[b].id, ":gt", nil, a)
end
function proxy_meta.__le(a, b)
  if records[a] then return call_near(records[a].id, ":le", nil, b) end
  return call_near(records[b].id, ":ge", nil, a)
end
function proxy_meta.__tostring(it)
  local record = records[it]
  return format("<remora proxy of %s #%.0f in the near side>", record.name, record.id)
end

-- The objects of a message's table of references; false if that is faulty.
local function take(table_rows)
  local refs, good = {}, true
  for at = 1, #table_rows, 16 do
    local number, owner, id = get32(table_rows, at), get32(table_rows, at + 4), get64(table_rows, at + 8)
    local value
    if owner ~= 0 then
      value = owner == 1 and id ~= 0 and objects[id] or nil
      if value == nil then good = false end
    else
      local kind = far_types[number]
      if not kind then
        good = false
        kind = {name = "object", words = {}, list = {}}
      end
      value = imports[id]
      if value == nil then
        if proxy_proto then value = newproxy(proxy_proto) else value = setmetatable({}, proxy_meta) end
        records[value] = {id = id, n = 0, name = kind.name, words = kind.words, list = kind.list}
        imports[id] = value
      end
      records[value].n = records[value].n + 1
    end
    refs[#refs + 1] = value
  end
  return good and refs or false
end

local function learn_type(number, text)
  local name, rest = text:match("^([^\n]*)\n?(.*)$")
  local words, list = {}, {}
  for word in rest:gmatch("%S+") do
    words[word] = true
    list[#list + 1] = word
  end
  far_types[number] = {name = name, words = words, list = list}
end

-- RELEASE of what is not used any more; empty text if nothing is.
local function releases()
  local out = {}
  while #dropped > 0 do
    local some = {}
    for _ = 1, math.min(#dropped, 4096) do
      local record = remove(dropped)
      some[#some + 1] = u64(record.id) .. u64(record.n)
    end
    out[#out + 1] = frame(RELEASE, concat(some))
  end
  return concat(out)
end
