-- What the methods with a colon do (section 5.1).

local iterator_meta = {__name = "iterator"}

operations[":get"] = function(target, name) return target[name] end
operations[":set"] = function(target, name, value) target[name] = value end
operations[":len"] = function(target) -- of a map the number of its keys
  local n, meta = #target, raw_metatable(target)
  if n > 0 or type(target) ~= "table" or has(meta, "__len") then return n end
  for _ in next, target do n = n + 1 end
  return n
end
operations[":item"] = function(target, key) return target[key] end
operations[":setitem"] = function(target, key, value) target[key] = value end
operations[":delitem"] = function(target, key)
  if type(key) == "number" and type(target) == "table" and key >= 1 and key <= #target then remove(target, key) else target[key] = nil end
end
operations[":contains"] = function(target, value) -- a value of a sequence, a key of anything else
  if #target > 0 then
    for i = 1, #target do
      if target[i] == value then return true end
    end
    return false
  end
  return target[value] ~= nil
end
operations[":keys"] = function(target)
  local keys = {}
  for key in next, target do insert(keys, key) end
  return marks.list(keys)
end
operations[":copy"] = function(target) -- without its metatable
  if type(target) ~= "table" then
    local items = {}
    for item in items_of(target) do insert(items, item) end
    return marks.list(items)
  end
  local copy = {}
  for key, value in next, target do copy[key] = value end
  return setmetatable(copy, metatables[kind_of(target) or 0])
end
operations[":enter"] = function(target) return target end
operations[":exit"] = function(target, text)
  local meta = raw_metatable(target)
  if has(meta, "__close") then meta.__close(target, text) elseif target.close then target:close() end
  return false
end
operations[":lt"] = function(a, b) return a < b end
operations[":le"] = function(a, b) return a <= b end
operations[":gt"] = function(a, b) return a > b end
operations[":ge"] = function(a, b) return a >= b end
operations[":str"] = tostring
operations[":repr"] = tostring

-- A function that gives the items one after another, nil behind the last.
function items_of(target)
  if type(target) == "function" then return target end
  if type(target) == "thread" then
    return function()
      if coroutine.status(target) == "dead" then return nil end
      local got = {coroutine.resume(target)}
      if not got[1] then error(got[2], 0) end
      return unpack(got, 2)
    end
  end
  local meta = raw_metatable(target)
  if meta == iterator_meta then return target.items end
  if has(meta, "__call") then return target end
  if io.type(target) then return target:lines() end
  if #target > 0 then
    local i = 0
    return function()
      i = i + 1
      return target[i]
    end
  end
  local key
  return function()
    key = next(target, key)
    return key
  end
end

operations[":iter"] = function(target)
  return marks.ref(raw_metatable(target) == iterator_meta and target or setmetatable({items = items_of(target)}, iterator_meta))
end

local function item_of(first_value, ...)
  if select("#", ...) == 0 then return first_value end
  return marks.list({first_value, ...}, 1 + select("#", ...))
end

-- As many items as are made in about 5 ms; an error behind some items waits for its turn.
operations[":next"] = function(target, count, id)
  if kept[id] then
    local e = kept[id]
    kept[id] = nil
    error(e[1], 0)
  end
  iterators[id] = iterators[id] or items_of(target)
  local items, n = {}, 0
  local late = os.clock() + 0.005
  while n < count do
    local ok, item = pcall(function() return item_of(iterators[id]()) end)
    if not ok then
      if n == 0 then error(item, 0) end
      kept[id] = {item}
      break
    end
    if item == nil then return marks.list {true, marks.list(items, n)} end
    n = n + 1
    items[n] = item
    if os.clock() > late then break end
  end
  return marks.list {false, marks.list(items, n)}
end
