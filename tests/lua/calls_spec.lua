local remora = require "remora"
local helper = require "helper"

describe("objects and functions", function()
  it("are made and called", function()
    local account = helper.new("Account", "anna", 100)
    assert.are.equal(105, account:deposit(5))
    assert.are.equal(105, account:balance())
    assert.are.equal("anna", remora.getattr(account, "owner_name"))
    remora.setattr(account, "owner_name", "eve")
    assert.are.equal("eve", remora.getattr(account, "owner_name"))
    assert.are.equal(5, helper.fn "add"(2, 3))
    assert.is_nil(remora.can_on(helper.conn(), "lua_far:nothing"))
    assert.is_nil(remora.can_on(helper.conn(), "no_such_module:nothing"))
  end)

  it("keep their identity", function()
    local account = helper.new("Account", "anna", 1)
    assert.is_true(account:me() == account)
    assert.is_true(rawequal(account:me(), account))
    assert.is_true(helper.fn "same"(account, account))
    assert.are.equal("proxy", remora.kind(account))
    assert.truthy(tostring(account):find("Account", 1, true))
    local name, words = remora.type(helper.new "Numbers")
    assert.are.equal("lua_far.Numbers", name)
    assert.truthy(table.concat(words, " "):find("len", 1, true))
  end)

  it("do what their types can", function()
    local numbers = helper.new("Numbers", 3, 1, 2)
    assert.are.equal(3, #numbers)
    assert.are.equal(3, remora.len(numbers))
    assert.are.equal(3, numbers[0])
    numbers[0] = 7
    assert.are.equal(7, remora.item(numbers, 0))
    remora.setitem(numbers, 1, 8)
    assert.are.equal(8, numbers[1])
    assert.is_true(remora.contains(numbers, 8))
    assert.is_false(remora.contains(numbers, 99))
    local fewer = helper.new("Numbers", 1)
    assert.is_true(fewer < numbers)
    assert.is_true(numbers > fewer)
    assert.is_true(numbers >= fewer)
    assert.is_false(numbers <= fewer)
    local items = {}
    for item in remora.iter(numbers) do items[#items + 1] = item end
    assert.are.same({ 7, 8, 2 }, items)
    assert.has_error(function() return #helper.new("Account", "x") end)
    assert.has_error(function() helper.new("Account", "x").field = 1 end)
  end)

  it("are iterated in batches that lose nothing", function()
    local iterator = helper.fn "failing"(10)
    local seen = {}
    for item in remora.iter(iterator) do
      seen[#seen + 1] = item
      if item == 4 then break end
    end
    local e = helper.error_of(function()
      for item in remora.iter(iterator) do seen[#seen + 1] = item end
    end)
    assert.are.same({ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 }, seen)
    assert.are.equal("no more", e.message)
  end)

  it("want a colon", function()
    local account = helper.new("Account", "anna", 1)
    assert.truthy(tostring(helper.error_of(function() account.deposit(5) end)):find("colon", 1, true))
    assert.has_error(function() remora.start(account).deposit(5) end)
    assert.has_error(function() remora.start "no proxy" end)
  end)

  it("are released when they are collected", function()
    local conn = helper.connect()
    local make = remora.can_on(conn, "lua_far:Account")
    local before = conn:stats().imports
    local accounts = {}
    for i = 1, 50 do accounts[i] = make("x", i) end
    assert.are.equal(before + 50, conn:stats().imports)
    accounts = nil -- luacheck: ignore
    helper.eventually(function()
      helper.collect()
      make("y", 1) -- a call carries the releases
      return conn:stats().imports <= before + 2
    end)
    conn:close()
  end)

  it("live as long as an implicit connection", function()
    local ok, fn = pcall(remora.can_on, "-", "string.rep") -- the default node is Lua's
    if not ok and fn.message:find("there is no", 1, true) then return pending "no Lua node" end
    helper.collect()
    assert.are.equal("xxx", fn("x", 3))
  end)
end)

describe("errors", function()
  it("cross whole", function()
    local account = helper.new("Account", "anna", 1)
    local e = helper.error_of(account.fail, account, "too little")
    assert.is_true(remora.is_error(e))
    assert.is_true(remora.is_error(e, "RemoteError"))
    assert.are.equal("RemoteError", e.class)
    assert.are.equal(-1, e.code)
    assert.are.equal("ValueError", e.type[1])
    assert.are.equal("too little", e.message)
    assert.are.equal("too little", tostring(e))
    assert.truthy(e.traceback:find("fail", 1, true))
    assert.truthy(e.hops[1]:find("pid " .. helper.conn():pid(), 1, true))
    e = helper.error_of(account.caused, account)
    assert.are.equal("inner", e.cause.message)
    assert.truthy(e:describe():find("caused by ValueError: inner", 1, true))
    e = helper.error_of(account.nothing, account)
    assert.are.equal("AttributeError", e.type[1])
    assert.are.equal("error", remora.kind(e))
  end)

  it("of connecting have a stage", function()
    local e = helper.error_of(remora.connect, "-", { node = "python", interpreter = "/nowhere/python" })
    assert.are.equal("ConnectError", e.class)
    assert.are.equal("spawn", e.stage)
    e = helper.error_of(remora.connect, "host:22", { node = "python" })
    assert.are.equal("InvalidArgument", e.class)
    e = helper.error_of(remora.connect, "-", { nodes = "python" })
    assert.truthy(e.message:find("unknown option nodes", 1, true))
    e = helper.error_of(remora.connect, "-", { timeout = "soon" })
    assert.are.equal("InvalidArgument", e.class)
  end)

  it("come from lost connections", function()
    local conn = helper.connect()
    local sleep = remora.can_on(conn, "time.sleep")
    local told
    conn:on_close(function(e) told = e or "closed" end)
    local future = remora.start(sleep)(30)
    os.execute("kill -9 " .. conn:pid())
    local e = helper.error_of(future.get, future, 10)
    assert.are.equal("ConnectionLost", e.class)
    helper.eventually(function() return told end)
    assert.are.equal("ConnectionLost", told.class)
    assert.is_false(conn:is_valid())
    assert.are.equal("ConnectionLost", helper.error_of(sleep, 0).class)
  end)

  it("do not break a connection that is closed", function()
    local conn = helper.connect()
    local sleep = remora.can_on(conn, "time.sleep")
    local future = remora.start(sleep)(30)
    local closed = conn:on_close()
    conn:close()
    conn:close()
    assert.are.equal("ConnectionLost", helper.error_of(future.get, future).class)
    assert.is_nil(closed:get(5))
    assert.is_true(conn:wait_closed(10))
    assert.truthy(tostring(conn):find("closed", 1, true))
  end)
end)

describe("connections", function()
  it("say what they are", function()
    local conn = helper.conn()
    assert.is_true(conn:is_valid())
    assert.are.equal(conn:pid(), remora.can_on(conn, "os.getpid")())
    assert.are.equal("-", conn:name())
    assert.are.equal(conn:pid(), conn:hello().pid)
    assert.is_true(conn:stats().calls_out > 0)
    assert.are.equal("connection", remora.kind(conn))
  end)

  it("take options", function()
    local conn = helper.connect { env = { LUA_NEAR = "yes" }, cwd = "/", heartbeat = 1, dead_after = 60, timeout = 5.5 }
    assert.are.equal("yes", remora.can_on(conn, "os.getenv") "LUA_NEAR")
    assert.are.equal("/", remora.can_on(conn, "os.getcwd")())
    conn:close()
    conn = remora.connect(nil, { node = "python", command = { "env" } })
    assert.are.equal(3, remora.can_on(conn, "operator.add")(1, 2))
    conn:close()
    conn = remora.connect({ { "env", "HOP=1" } }, { node = "python" })
    assert.are.equal("1", remora.can_on(conn, "os.getenv") "HOP")
    conn:close()
  end)

  it("say which argument is none", function()
    local function class_of(...) return helper.error_of(...).class end
    assert.are.equal("InvalidArgument", class_of(remora.new_on, nil, "builtins.list")) -- and not a new process
    assert.are.equal("InvalidArgument", class_of(remora.can_on, nil, "os.getpid"))
    assert.are.equal("InvalidArgument", class_of(remora.new_on, helper.conn(), ""))
    assert.are.equal("InvalidArgument", class_of(remora.can_on, helper.conn(), ""))
    assert.are.equal("InvalidArgument", class_of(remora.connect, "-", 5))
    local e = helper.error_of(remora.connect, "-", { env = { LANG = false } })
    assert.is_truthy(e.message:find("env: LANG is false", 1, true))
    local came = helper.error_of(remora.new_on, helper.conn(), "nosuch.Class")
    assert.are.equal("NotFound", came.class)
    assert.are.equal(1, #came.hops)
    local c = remora.connect("-", { node = "c" })
    assert.are.equal("NotFound", class_of(c.connect, c, "-"))
    c:close()
  end)

  it("are made by the near side where they may be", function()
    for _, node in ipairs { "lua", "perl", "ruby" } do
      local conn = helper.connect { node = node, onward = true }
      local last = conn:connect("-", { node = "python" })
      assert.are.equal(5, remora.can_on(last, "operator.add")(2, 3))
      assert.are.equal(3, #remora.new_on(last, "collections.deque", { 1, 2, 3 }))
      conn:close()
    end
  end)

  it("go on to others", function()
    local last = helper.conn():connect("-")
    assert.are.equal(5, remora.can_on(last, "operator.add")(2, 3))
    assert.are.equal(3, #remora.new_on(last, "collections.deque", { 1, 2, 3 }))
    last:close()
  end)

  it("close at the end of a block", function()
    if _VERSION ~= "Lua 5.4" then return end
    local block = load [[
      local helper = ...
      local conn <close> = helper.connect()
      return conn:pid(), setmetatable({ conn }, { __mode = "v" })
    ]]
    local _, weak = block(helper)
    assert.is_false(weak[1]:is_valid())
  end)

  it("pass their proxies on to each other", function()
    local other = helper.connect()
    local account = helper.new("Account", "anna", 3)
    assert.are.equal(10, helper.fn("call_method", other)(account, "deposit", 7))
    assert.are.equal(10, account:balance())
    other:close()
  end)
end)
