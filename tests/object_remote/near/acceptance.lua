-- acceptance.lua FILE CHECK: as acceptance.py beside it, with Lua near.
local remora = require "remora"

local FAR = os.getenv "REMORA_ACCEPTANCE"
local checks = {}

local function check(file, name, fn) checks[file .. " " .. name] = fn end

local function show(value)
  if type(value) ~= "table" then return tostring(value) end
  local parts = {}
  for i, item in ipairs(value) do parts[i] = show(item) end
  return "{" .. table.concat(parts, ", ") .. "}"
end

local function same(wanted, got)
  if show(wanted) ~= show(got) then error(("wanted %s, got %s"):format(show(wanted), show(got)), 2) end
end

local function connect(options)
  local all = { node = "python", roots = { FAR }, modules = { "acceptance" } }
  for k, v in pairs(options or {}) do all[k] = v end
  return remora.connect("-", all)
end

local function error_of(class, fn, ...)
  local ok, why = pcall(fn, ...)
  if ok then error("no error", 2) end
  if not remora.is_error(why, class) then error(why, 2) end
  return tostring(why)
end

local function has(text, part)
  if not text:find(part, 1, true) then error(("%q is not in %q"):format(part, text), 2) end
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local function own_pid(conn) -- Lua has no word for it; the parent of a child has
  return remora.can_on(conn, "os.getppid")()
end

check("t/await.t", "one", function()
  local seen = {}
  local counter = remora.new_on(connect(), "acceptance.Counter")
  local future = remora.start(counter):call_callback(23, function() seen[#seen + 1] = 1 end)
  same(23, remora.await_future(future, 20))
  same({ 1 }, seen)
end)

check("t/await.t", "dropped", function()
  local seen = {}
  local future = remora.start(remora.new_on(connect(), "acceptance.Counter")):call_callback(24, function() seen[#seen + 1] = 1 end)
  collectgarbage()
  collectgarbage()
  same(24, remora.await_future(future, 20))
  same({ 1 }, seen)
end)

check("t/await.t", "all", function()
  local futures = {}
  for i = 0, 2 do futures[i + 1] = remora.start(remora.new_on(connect(), "acceptance.Counter")):increment(i) end
  same({ 0, 1, 2 }, remora.await_all(futures, 20))
end)

check("t/basic.t", "other_process", function()
  local conn = connect()
  local pid = remora.new_on(conn, "acceptance.Counter"):pid()
  same(conn:pid(), pid)
  assert(pid ~= own_pid(conn))
end)

check("t/basic.t", "state", function()
  local counter = remora.new_on(connect(), "acceptance.Counter")
  same({ 0, 1, 1 }, { counter:value(), counter:increment(), counter:value() })
end)

check("t/basic.t", "callback", function()
  local here = {}
  local seen
  same(27, remora.new_on(connect(), "acceptance.Counter"):call_callback(27, function() seen = here end))
  assert(seen == here)
end)

check("t/basic.t", "function", function()
  local pipe = assert(io.popen "uname -n")
  local name = pipe:read "*l"
  pipe:close()
  same(name, remora.can_on(connect(), "socket.gethostname")())
end)

local MEMORY = "class MyData:\n    def value(self):\n        return 'from memory'\n\ndef function():\n    return 'function from memory'\n"

check("t/basic_data.t", "class", function()
  remora.add_module("memory_data", MEMORY, "python")
  same("from memory", remora.new_on(connect(), "memory_data.MyData"):value())
end)

check("t/basic_data.t", "function", function()
  remora.add_module("memory_data", MEMORY, "python")
  same("function from memory", remora.can_on(connect(), "memory_data.function")())
end)

check("t/bridged.t", "forward", function()
  local conn = connect()
  local bridge = remora.new_on(conn, "acceptance.Bridge", "acceptance.Counter", 3)
  same(4, bridge:forward("increment"))
  same(bridge:far_pid(), bridge:forward("pid"))
  assert(bridge:pid() ~= bridge:far_pid() and own_pid(conn) ~= bridge:pid() and own_pid(conn) ~= bridge:far_pid())
end)

check("t/chained.t", "three_processes", function()
  local conn = connect()
  local bridge = remora.new_on(conn, "acceptance.Bridge", "acceptance.Counter")
  local behind = bridge:object():pid()
  assert(bridge:pid() ~= behind and own_pid(conn) ~= behind and own_pid(conn) ~= bridge:pid())
end)

check("t/chained.t", "ping", function()
  local conn = connect()
  local between, behind = remora.new_on(conn, "acceptance.Counter"), remora.new_on(conn:connect("-"), "acceptance.Counter")
  same({ 1, 0 }, { behind:increment(), between:value() })
  assert(between:pid() ~= behind:pid())
end)

local function record_with(more)
  local record = { level = "warn", name = "app.db", message = "a\nb", time = 0.0, ["function"] = "f", file = "x.py", line = 7, pid = 42, host = "h", exporter = "python" }
  for k, v in pairs(more or {}) do record[k] = v end
  return record
end

check("t/logger.t", "formats", function()
  same("warn|local|python|app.db|f|x.py|7|h|42|%|\n |(undefined)|a\n b", remora.log.format(record_with(), "%l|%r|%c|%p|%m|%f|%i|%h|%P|%%|%n|%q|%s"))
  same("remote #3 web1", remora.log.format(record_with { connection = "web1", connection_id = 3 }, "%r"))
  has(remora.log.format(record_with(), "%t"), os.date("%Y", 0))
end)

local function eventually(condition)
  local stop = os.time() + 20
  while not condition() do
    if os.time() > stop then error("has not happened", 2) end
    remora.serve(0.01)
  end
end

-- What a sink gets of one record of each level and three names: the levels, the names.
local function logged(level, selections)
  local levels, names, ends = {}, {}, 0
  local sink = remora.log.add_sink(function(record)
    levels[#levels + 1], names[#names + 1] = record.level, record.name
    if record.level == "fatal" and record.name == "app" then ends = ends + 1 end
  end, { level = level, selections = selections })
  for _, name in ipairs { "app", "app.db", "other" } do
    for _, each in ipairs(remora.log.levels) do remora.log.log(each, "text", name) end
  end
  remora.log.fatal("end", "app")
  eventually(function() return ends == 2 end)
  remora.log.remove_sink(sink)
  levels[#levels], names[#names] = nil, nil
  return levels, names
end

check("t/logging.t", "order", function()
  same({ "trace", "debug", "verbose", "info", "warn", "error", "fatal" }, (logged("trace", "app -app.db")))
  same({ "warn", "error", "fatal" }, (logged("warn", "app -app.db")))
end)

check("t/logging.t", "selections", function()
  local wanted = { ["*"] = { "app", "app.db", "other" }, app = { "app", "app.db" }, ["app -app.db"] = { "app" }, ["* -other"] = { "app", "app.db" } }
  for selections, names in pairs(wanted) do same(names, (select(2, logged("fatal", selections)))) end
end)

check("t/logrouter.t", "record", function()
  local far, near
  remora.log.add_sink(function(record)
    if record.connection then far = record else near = record end
  end, { selections = "acceptance" })
  local conn = connect { log_forward = true }
  remora.can_on(conn, "acceptance.log_as")("acceptance", "WARNING", "from over there")
  remora.log.info("from here", "acceptance")
  eventually(function() return far and near end)
  same({ "warn", "acceptance", "from over there", "-", conn:pid(), "log_as" }, { far.level, far.name, far.message, far.connection, far.pid, far["function"] })
  has(far.file, "acceptance.py")
  assert(far.line > 1 and math.abs(far.time - os.time()) < 60)
  same({ "info", "from here" }, { near.level, near.message })
  assert(near.pid ~= far.pid)
end)

check("t/logrouter.t", "removed", function()
  local first, second = 0, 0
  local sink = remora.log.add_sink(function() first = first + 1 end, { selections = "app" })
  remora.log.add_sink(function() second = second + 1 end, { selections = "app" })
  remora.log.info("one", "app")
  eventually(function() return first == 1 and second == 1 end)
  remora.log.remove_sink(sink)
  remora.log.info("two", "app")
  eventually(function() return second == 2 end)
  same(1, first)
end)

check("t/not_found.t", "dependency", function()
  local why = error_of("RemoteError", remora.new_on, connect(), "needs_what_is_nowhere.Never")
  has(why, "a_module_that_is_nowhere")
  has(why, "the near side looked in " .. FAR)
end)

check("t/objects.t", "keywords", function()
  local it = remora.new_on(connect(), "acceptance.Object", remora.kw { name = "foo", size = 3 })
  same("foo", it:name())
  same(3, it:extra().size)
end)

check("t/objects.t", "home", function()
  local it = remora.new_on(connect(), "acceptance.Object", "foo")
  same(true, it:takes_object(it))
end)

check("t/objects.t", "itself", function()
  local it = remora.new_on(connect(), "acceptance.Object", "foo")
  assert(rawequal(it, it:give_back()))
end)

check("t/sender.t", "folder", function()
  local conn = remora.connect("-", { node = "python", roots = { FAR .. "/only_near", FAR } })
  same(1, remora.new_on(conn, "only_near_module.Only"):increment())
end)

check("t/start_core.t", "start", function()
  local future = remora.start(remora.new_on(connect(), "acceptance.Sleeper")):note("x")
  same("x", future:get(20))
  same(true, future:done())
end)

check("t/start_core.t", "then", function()
  local it = remora.new_on(connect(), "acceptance.Sleeper")
  local future = remora.start(it):note("a"):next(function(got) return remora.start(it):note(got .. "b") end)
  same("ab", future:get(20))
  same({ "a", "ab" }, it:notes())
end)

check("t/start_core.t", "order", function()
  local it = remora.new_on(connect(), "acceptance.Sleeper")
  local futures, wanted = {}, {}
  for i = 1, 100 do futures[i], wanted[i] = remora.start(it):note(i), i end
  remora.await_all(futures, 20)
  same(wanted, it:notes())
end)

check("t/start_core.t", "asynchronous", function()
  local it = remora.new_on(connect(), "acceptance.Sleeper")
  local late = remora.start(it):note_later("late", "early")
  same("early", it:note("early"))
  same("late", late:get(20))
  same({ "early", "late" }, it:notes())
end)

check("t/start_core.t", "blocking", function()
  same("x", remora.new_on(connect(), "acceptance.Sleeper"):note_later("x"))
end)

check("t/tied.t", "list", function()
  local it = remora.new_on(connect(), "builtins.list", { 1, 2, 3 })
  same({ 1, 3 }, { remora.item(it, 0), remora.len(it) })
  remora.setitem(it, 1, "two")
  it:append(4)
  remora.delitem(it, 0)
  local all = {}
  for value in remora.iter(it) do all[#all + 1] = value end
  same({ "two", 3, 4 }, all)
  it:clear()
  same(0, remora.len(it))
end)

check("t/tied.t", "map", function()
  local it = remora.new_on(connect(), "builtins.dict", { a = 1 })
  remora.setitem(it, "b", 2)
  same({ true, 2, 2 }, { remora.contains(it, "b"), remora.item(it, "b"), remora.len(it) })
  remora.delitem(it, "a")
  same({ false, 1 }, { remora.contains(it, "a"), remora.len(it) })
  it:clear()
  same(0, remora.len(it))
end)

check("t/timeout.t", "silent", function()
  local start = os.time()
  has(error_of("ConnectError", connect, { interpreter = { "sh", "-c", "exec sleep 60" }, timeout = 0.1 }), "within 100 ms")
  assert(os.time() - start < 10)
end)

check("t/transfer.t", "by_reference", function()
  local conn, box, items = connect(), { n = 1 }, { 1, 2, 3 }
  remora.can_on(conn, "acceptance.fill")(remora.by_ref(box), "more")
  same(3, remora.can_on(conn, "acceptance.double_all")(remora.by_ref(items), 1)) -- a list of Lua begins there
  same({ 2, 2 }, { box.n, box.more })
  same({ 2, 4, 6 }, items)
end)

check("t/transfer.t", "result", function()
  local numbers = remora.can_on(connect(), "acceptance.numbers")
  local items = remora.options(numbers, { by_ref = true })()
  remora.setitem(items, 0, 10)
  local all = {}
  for value in remora.iter(items) do all[#all + 1] = value end
  same({ 10, 2, 3 }, all)
end)

check("t/transfer.t", "near_file", function()
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  local write_to = remora.can_on(connect(), "acceptance.write_to")
  write_to(file, "from the far side\n")
  write_to(file, "and again\n")
  file:close()
  same("from the far side\nand again\n", read(path))
  os.remove(path)
end)

check("t/transfer.t", "far_file", function()
  local path = os.tmpname()
  local file = remora.can_on(connect(), "builtins.open")(path, "w+")
  file:write("one\ntwo\nthree\n")
  file:seek(0)
  local lines = { file:readline() }
  for line in remora.iter(file) do lines[#lines + 1] = line end
  same({ "one\n", "two\n", "three\n" }, lines)
  file:close()
  same("one\ntwo\nthree\n", read(path))
  os.remove(path)
end)

check("t/transfer.t", "binary", function()
  local path, data = os.tmpname(), {}
  for i = 0, 255 do data[#data + 1] = string.char(i) end
  data = table.concat(data):rep(3)
  local open = remora.can_on(connect(), "builtins.open")
  local file = open(path, "wb")
  file:write(remora.bytes(data))
  file:close()
  same(data, open(path, "rb"):read())
  same(data, read(path))
  os.remove(path)
end)

check("t/watchdog.t", "hung", function()
  local conn = connect { heartbeat = 1.0, dead_after = 1.0 }
  local future = remora.start(remora.can_on(conn, "acceptance.nap"))(60)
  os.execute("kill -STOP " .. ("%d"):format(conn:pid()))
  error_of("ConnectionLost", future.get, future, 20)
end)

check("xt/bridged-remote.t", "two_levels", function()
  local conn = remora.connect("-", { node = "python", roots = { FAR .. "/only_near", FAR }, modules = { "only_near_module" } })
  same(1, remora.new_on(conn, "acceptance.Bridge", "only_near_module.Only"):forward("increment"))
end)

check("xt/load_optional.t", "missing", function()
  local conn = connect()
  assert(remora.can_on(conn, "this_module.is_missing") == nil and remora.can_on(conn, "acceptance.is_missing") == nil)
  has(error_of("RemoteError", remora.can_on, conn, "needs_what_is_nowhere.anything"), "a_module_that_is_nowhere")
end)

checks[arg[1] .. " " .. arg[2]]()
print "ok"
