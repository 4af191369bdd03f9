local remora = require "remora"
local helper = require "helper"

describe("by reference", function()
  local conn, far, turnstile

  setup(function()
    conn = helper.connect { roots = { python = { helper.far, (os.getenv("REMORA_SOURCE") or ".") .. "/tests/python/farmods" } } }
    far = function(name) return assert(remora.can_on(conn, "far_containers:" .. name)) end
    turnstile = remora.new_on(conn, "far_containers:Turnstile")
  end)
  teardown(function() conn:close() end)

  it("a table of ours is a dict over there", function()
    local map = { old = 1, kept = 2 }
    local told = far "use_dict"(remora.by_ref(map))
    assert.are.same({ 2, { "kept", "new" }, true, 2, { kept = 2, new = 2 } }, told)
    assert.are.same({ kept = 2, new = 2 }, map)
    assert.is_true(rawequal(map, far "give_back"(remora.by_ref(map))))
  end)

  it("a table 1..n of ours is a list that counts from 1", function()
    local list = { 5, 6, 7 }
    assert.are.same({ 5, 6, 7 }, far "lines"(remora.by_ref(list)))
    assert.are.equal(3, remora.can_on(conn, "builtins.len")(remora.by_ref(list)))
    remora.can_on(conn, "operator.setitem")(remora.by_ref(list), 1, "x")
    remora.can_on(conn, "operator.delitem")(remora.by_ref(list), 2)
    assert.are.same({ "x", 7 }, list)
    assert.is_true(remora.can_on(conn, "operator.contains")(remora.by_ref(list), 7))
  end)

  it("marks say what an empty table is", function()
    assert.are.same({}, remora.can_on(conn, "builtins.list")(remora.by_ref(remora.list())))
    assert.are.equal(0, remora.can_on(conn, "builtins.len")(remora.by_ref(remora.map())))
  end)

  it("what is no data stays closed", function()
    local class = setmetatable({ secret = 1 }, {})
    local item = remora.can_on(conn, "operator.getitem")
    assert.is_false((pcall(item, class, "secret")))
    local module = { secret = 1 }
    module.__index = module
    assert.is_false((pcall(item, module, "secret")))
  end)

  it("far containers are used by name, number and as a loop", function()
    local map = remora.options(far "table", { by_ref = true })()
    remora.setitem(map, "b", 2)
    assert.are.same({ a = { 1 }, b = 2 }, far "table"())
    assert.are.same({ a = { 1 }, b = 2 }, remora.copy(map))
    assert.are.equal(2, remora.item(map, "b"))
    local keys = {}
    for key in remora.iter(map) do keys[#keys + 1] = key end
    assert.are.same({ "a", "b" }, keys)
    local sum = 0
    for key, value in remora.pairs(map) do
      if key == "b" then sum = sum + value end
    end
    if _VERSION ~= "Lua 5.1" then
      for key, value in pairs(map) do
        if key == "b" then sum = sum + value end
      end
      assert.are.equal(4, sum)
    end
    remora.delitem(map, "b")
    assert.is_false(remora.contains(map, "b"))
    assert.are.equal(map, remora.start(remora.options(far "table", { by_ref = true }))():get(10))
    local numbers = far "numbers"()
    assert.are.equal(3, #numbers)
    assert.are.equal(1, numbers[0]) -- the other side counts in its own way
    local list = remora.new_on(conn, "builtins.list", { 1, 2, 3 })
    list[0] = nil
    list[0] = remora.null
    assert.are.equal(2, #list)
    assert.are.equal(3, list[1])
    assert.are.same({ 1, 2, 3 }, remora.copy(numbers))
  end)

  it("far code asks for a reference", function()
    local map = { x = 1 }
    assert.are.same({ "table", { x = 1, seen = true } }, far "ask_by_ref"(function() return map end))
    assert.is_true(map.seen)
    assert.are.equal("dict", far "ask"(function() return map end))
  end)

  it("options are known", function()
    assert.has_error(function() remora.options(far "table", { by_reference = true }) end)
  end)

  it("files of ours are written over there", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    remora.can_on(conn, "far_containers:write_only")(file, "one\n", "two\n")
    file:close()
    local lines = {}
    for line in io.lines(path) do lines[#lines + 1] = line end
    os.remove(path)
    assert.are.same({ "one", "two" }, lines)
  end)

  it("far files are read here", function()
    local path = os.tmpname()
    local file = far "opened"(path, "w")
    file:write("one\ntwo\n")
    file:close()
    file = far "opened"(path, "r")
    local lines = {}
    for line in remora.iter(file) do lines[#lines + 1] = line end
    assert.are.same({ "one\n", "two\n" }, lines)
    assert.are.equal(4, file:seek(4))
    assert.are.equal("two\n", file:read())
    file:close()
    os.remove(path)
    assert.has_error(function() file:read() end)
  end)

  it("futures are rescued", function()
    local add = remora.can_on(conn, "operator.add")
    local broken = remora.start(add)(1, "x"):next(function() error("not called") end)
    assert.are.equal(7, broken:rescue(function(e) return remora.start(add)(remora.is_error(e, "RemoteError") and 3 or 0, 4) end):get(10))
    assert.are.equal(3, remora.start(add)(1, 2):rescue(function() error("not called") end):get(10))
  end)

  it("the first of several", function()
    local add = remora.can_on(conn, "operator.add")
    local slow, quick = remora.start(turnstile):wait("slow"), remora.start(add)(1, 1)
    local first, number = remora.await_any({ slow, quick }, 10)
    assert.are.equal(quick, first)
    assert.are.equal(2, number)
    assert.are.equal(3, remora.await_any({ slow, quick:next(function(x) return remora.start(add)(x, 1) end) }, 10):get())
    assert.are.equal("Timeout", helper.error_of(remora.await_any, { slow, slow:next(tostring) }, 0.05).class)
    assert.has_error(function() remora.await_any {} end)
    turnstile:open()
    assert.are.equal("slow!", remora.await_any({ slow:next(function(s) return s .. "!" end) }, 10):get())
  end)

  it("far coroutines hold nothing up", function()
    local other, waiting, wanted = remora.new_on(conn, "far_containers:Turnstile"), {}, {}
    for i = 1, 20 do
      waiting[i], wanted[i] = remora.start(other):wait(i), i
    end
    assert.are.same(wanted, other:names())
    other:open()
    local results = remora.await_all(waiting, 10)
    for i = 1, 20 do assert.are.equal(i, results[i]) end
  end)

  it("lent functions may return futures", function()
    local logged = far "logged"
    assert.are.same({ 3 }, far "composed"(function(x) return remora.start(logged)():next(function() return x + 1 end) end, 1))
    assert.is_truthy(far "rescued"(function() return remora.start(logged)():next(function() error("no") end) end):find("rescued", 1, true))
  end)
end)
