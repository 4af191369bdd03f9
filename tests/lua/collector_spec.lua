-- The collector runs at every step, finalisers raise: nothing of C's is lost or used too late.
local remora = require "remora"
local helper = require "helper"

describe("under a busy collector", function()
  local function all_of_it()
    local conn = helper.connect()
    local echo, apply = helper.fn("echo", conn), helper.fn("apply", conn)
    local value = { 1, "two", { 3.5, remora.null, { key = { "deep", remora.bytes "\255" } } }, remora.map(), print }
    for _ = 1, 3 do
      local back = echo(value)
      assert.are.equal("deep", back[3][3].key[1])
      assert.is_true(rawequal(print, back[5]))
    end
    assert.are.equal(6, apply(function(x) return x.a + #x.b end, { a = 3, b = { 1, 2, 3 } }))
    assert.are.equal("gone", helper.error_of(apply, function() error({ message = "x" } and "gone", 0) end).message)
    local account = remora.new_on(conn, "lua_far:Account", "anna", 1)
    local futures = {}
    for i = 1, 10 do futures[i] = remora.start(account):deposit(1) end
    assert.are.equal(11, remora.await_all(futures)[10])
    assert.are.equal("no", remora.start(account):fail("no"):error().message)
    for item in remora.iter(remora.can_on(conn, "builtins.map")(function(x) return { x } end, { 1, 2 })) do
      assert.is_true(item[1] >= 1)
    end
    assert.are.equal(4, remora.start(echo)(3):next(function(x) return x + 1 end):get())
    conn:close()
  end

  it("works with a collection every few instructions", function()
    debug.sethook(function() collectgarbage() end, "", helper.jit and 401 or 97)
    local ok, e = pcall(all_of_it)
    debug.sethook()
    assert(ok, tostring(e))
  end)

  it("works with a collector that never pauses", function()
    local pause = collectgarbage("setpause", 1)
    local multiplier = collectgarbage("setstepmul", 1000000)
    local ok, e = pcall(all_of_it)
    collectgarbage("setpause", pause)
    collectgarbage("setstepmul", multiplier)
    assert(ok, tostring(e))
    if _VERSION == "Lua 5.4" then
      collectgarbage "generational"
      ok, e = pcall(all_of_it)
      collectgarbage "incremental"
      assert(ok, tostring(e))
    end
  end)

  it("lets finalisers call, and raise", function()
    if helper.jit then jit.off() end -- luacheck: ignore; its compiled code does not survive a finaliser that raises
    local echo = helper.fn "echo"
    local function with_finaliser(fn)
      if newproxy then -- luacheck: ignore
        local made = newproxy(true) -- luacheck: ignore
        getmetatable(made).__gc = fn
      else
        setmetatable({}, { __gc = fn })
      end
    end
    local calls, raised = 0, 0
    local value = {}
    for i = 1, 200 do value[i] = { "item " .. i, i } end
    -- Until 5.3 (and in LuaJIT) an error of a finaliser ends whatever allocates: the collector runs inside of pcall only.
    local function collecting(fn, ...)
      local function stopped(...)
        collectgarbage "stop"
        return ...
      end
      return stopped(pcall(function(...)
        collectgarbage "restart"
        collectgarbage("setstepmul", 400)
        return fn(...)
      end, ...))
    end
    collectgarbage "stop"
    for i = 1, 60 do
      with_finaliser(function() calls = calls + echo(1) end)
      if i % 3 == 0 then
        with_finaliser(function()
          raised = raised + 1
          error("from a finaliser", 0)
        end)
      end
      local ok, back = collecting(echo, value)
      if ok then assert.are.equal(200, back[200][2]) end
    end
    for _ = 1, 300 do
      if collecting(collectgarbage) and raised == 20 and calls == 60 then break end
    end
    collectgarbage "restart"
    if helper.jit then jit.on() end -- luacheck: ignore
    assert.are.equal(60, calls)
    assert.are.equal(20, raised)
    assert.are.equal(5, helper.fn "add"(2, 3))
  end)

  it("does not grow with calls", function()
    local apply, echo = helper.fn "apply", helper.fn "echo"
    local function work()
      for i = 1, 300 do
        apply(function(x) return x end, { i })
        echo(remora.bytes "abc")
        pcall(echo, remora.list { 1, a = 2 })
      end
      remora.serve(0)
      helper.collect()
      return collectgarbage "count"
    end
    work()
    local first = work()
    work()
    assert.is_true(work() < first + 50)
  end)
end)
