-- Lines that somebody types elsewhere are evaluated here: what `repl` of the root gives. As in the interpreter itself a local variable ends with its line.
local remora = package.loaded.remora
local load = loadstring or load
local repl = {}

local words = {"and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not", "or", "repeat",
  "return", "then", "true", "until", "while"}

local function shown(n, ...)
  if n == 0 then return remora.null end
  local texts = {...}
  for i = 1, n do texts[i] = tostring(texts[i]) end
  return table.concat(texts, "\t")
end

local function counted(...) return select("#", ...), ... end

function repl:eval(text)
  local run, why = load("return " .. text, "=input")
  if not run then run, why = load(text, "=input") end
  if not run then
    if not why:find("<eof>", 1, true) then error(why, 0) end
    return remora.map {more = true, value = remora.null}
  end
  local value = shown(counted(run()))
  return remora.map {more = false, value = value}
end

-- What the last word of the text may become.
function repl:complete(text)
  local word = text:match("[%w_.:]*$")
  local head, mark, last = word:match("^(.*)([.:])([^.:]*)$")
  local found, seen = {}, {}
  local function add(name)
    if type(name) == "string" and name:match("^[%a_][%w_]*$") and name:sub(1, #last) == last and not seen[name] then
      seen[name] = true
      found[#found + 1] = (head and head .. mark or "") .. name
    end
  end
  if not head then
    last = word
    for name in pairs(_G) do add(name) end
    for _, name in ipairs(words) do add(name) end
  else
    local it = _G
    for part in head:gmatch("[^.:]+") do
      local ok, value = pcall(function() return it[part] end)
      it = ok and value
    end
    for _ = 1, 10 do -- a class, and those that it inherits from
      if type(it) == "table" then
        for name in pairs(it) do add(name) end
      end
      local meta = debug.getmetatable(it)
      it = type(meta) == "table" and rawget(meta, "__index")
      if not it then break end
    end
  end
  table.sort(found)
  return remora.list(found)
end

return repl
