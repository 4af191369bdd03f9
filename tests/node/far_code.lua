-- Served to the node as the module app.sub.
local remora = require "remora"

local Thing = {}
Thing.__index = Thing
Thing.__name = "Thing"

function Thing.new() return setmetatable({x = 1}, Thing) end

local function deep(n)
  if n == 0 then error("at the bottom") end
  return (deep(n - 1))
end

function Thing:boom() return (deep(2)) end
function Thing:throw(name, text) error({name = name, message = text, code = 7, _hidden = 1}) end
function Thing:back(f, n) return f(n) end

function Thing:caught(f)
  local ok, e = pcall(f)
  return {ok, remora.kind(e), tostring(e), e:is("ValueError"), remora.is_error(e, "ValueError")}
end

function Thing:started(adder)
  local futures = {}
  for i = 1, 5 do futures[i] = remora.start(adder):add(i - 1, 1) end
  local results = remora.await_all(futures, 30)
  results.n = nil
  return results
end

function Thing:items(it)
  local found = {}
  for item in remora.iter(it) do found[#found + 1] = item end
  return remora.list(found)
end

function Thing:failing(n)
  return coroutine.create(function()
    for i = 1, n do coroutine.yield(i) end
    error("no more", 0)
  end)
end

function Thing:identity(proxy, same)
  return proxy == same and proxy ~= self and tostring(proxy):find("proxy") ~= nil and remora.kind(proxy) == "proxy"
end

function Thing:other()
  self.kept = Thing.new()
  return self.kept
end

function Thing:is_other(it) return rawequal(it, self.kept) end
function Thing:same(it) return it end
function Thing:collect() collectgarbage() collectgarbage() end

function Thing:kinds(...)
  local found = {}
  for i = 1, select("#", ...) do
    local v = (select(i, ...))
    found[i] = remora.kind(v) or type(v)
  end
  return remora.list(found)
end

-- What user code finds where the wire lies.
function Thing:wire()
  io.write("one ", 2, "\n")
  io.stdout:write("three\n"):flush()
  io.output():write("four\n")
  io.open("/dev/stdout", "w"):write("five\n")
  io.stderr:write("oops\n")
  print("six", nil, true)
  local lines = 0
  for _ in io.lines() do lines = lines + 1 end
  local pipe = io.popen("cat; echo popen")
  local said = pipe:read("*a")
  pipe:close()
  os.execute("cat; printf seven")
  pipe = io.popen("cat >&2; echo into", "w")
  pipe:write("fed\n")
  pipe:close()
  return remora.list({io.read("*a"), io.stdin:read("*l"), io.read("*n"), lines, said, io.type(io.stdout)}, 6)
end

function Thing:run(command)
  return remora.list({os.execute(command)}, _VERSION == "Lua 5.1" and 1 or 3)
end

function Thing:compute() while true do end end
function Thing:send(value) return remora[value[1]](value[2]) end
function Thing:hole() return {1, nil, 3} end
function Thing:own_list() return remora.list({1, nil, 3}, 3) end
function Thing:exit(code) print("last words") os.exit(code) end

function Thing:containers(it)
  return remora.list {remora.len(it), it[0], remora.contains(it, 5), remora.contains(it, 50)}
end

function Thing:words(f) return f(1, remora.kw {b = 2}) end
function Thing:dotted(adder) return remora.start(adder).add(1, 2):get(10) end
function Thing:futures(sum, fail)
  local one, two, three = remora.start(sum)(1, 2), remora.start(fail)(), remora.start(sum)(3, 4)
  local ok, e = pcall(remora.await_all, {one, two, three}, 20)
  local late = remora.start(sum)(5, 6)
  return remora.list {one:get(), ok, e.class, e:is("ValueError"), three:done(), late:cancel(), late:cancelled(), (pcall(late.get, late)),
    remora.options(sum, {timeout = 30})(7, 8), remora.start(remora.options(sum, {timeout = 30}))(1, 1):wait(30)}
end

function Thing:no_file() return remora.list {dofile() or "nothing", type(loadfile()), loadfile("/no/such/file") or "none"} end
function Thing:file(path, text)
  self.left = io.open(path, "w")
  self.left:write(text)
end

return {Thing = Thing, value = 3, nothing = function() end, many = function() return 1, 2 end}
