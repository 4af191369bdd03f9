local remora = require "remora"
local helper = require "helper"

local Log = {}
Log.__index = Log
Log.__name = "Log"
function Log:add(line)
  self.lines[#self.lines + 1] = line
  return #self.lines
end
function Log:_secret() return "secret" end
local function new_log() return setmetatable({ lines = {}, level = 3 }, Log) end

describe("callbacks", function()
  local apply, call_method, caught

  setup(function()
    apply, call_method, caught = helper.fn "apply", helper.fn "call_method", helper.fn "caught"
  end)

  it("run in the wait", function()
    local account = helper.new("Account", "anna", 0)
    local seen = {}
    local result = account:each_call(function(i)
      seen[#seen + 1] = i
      return i * i
    end, 4)
    assert.are.same({ 1, 2, 3, 4 }, seen)
    assert.are.same({ 1, 4, 9, 16 }, result)
  end)

  it("nest", function()
    local function fall(n)
      if n == 0 then return "ground" end
      return apply(fall, n - 1)
    end
    assert.are.equal("ground", fall(20))
  end)

  it("get all arguments, and keyword arguments as a last table", function()
    local function count(...) return select("#", ...) end
    assert.are.equal(3, apply(count, 1, nil, nil))
    assert.are.equal(0, apply(count))
    assert.are.equal(7, apply(function(a, kw) return a + kw.b end, 3, remora.kw { b = 4 }))
    assert.are.equal(1, apply(function() return 1, 2, 3 end))
    assert.is_nil(apply(function() end))
  end)

  it("reach public methods of objects only", function()
    local log = new_log()
    assert.are.equal(1, call_method(log, "add", "line"))
    assert.are.same({ "line" }, log.lines)
    assert.truthy(caught(call_method, log, "_secret")[3]:find("not a public method", 1, true))
    assert.truthy(caught(call_method, log, "level")[3]:find("not a method", 1, true))
    assert.truthy(caught(call_method, log, "nothing")[3]:find("no method nothing", 1, true))
    assert.truthy(caught(call_method, print, "anything")[3]:find("only the call", 1, true))
  end)

  it("know objects that come home", function()
    local echo, log = helper.fn "echo", new_log()
    assert.is_true(rawequal(log, echo(log)))
    assert.is_true(rawequal(print, echo(print)))
    local plain = { 1 }
    assert.is_true(rawequal(plain, echo(remora.ref(plain))))
    assert.is_true(rawequal(Log, echo(Log))) -- a class, with its __index
    assert.is_true(helper.fn "same"(log, log))
    assert.is_true(rawequal(log, echo({ log })[1]))
    assert.are.equal(io.stdout, echo(io.stdout))
  end)

  it("lend what metatables allow", function()
    local callable = setmetatable({}, { __call = function(_, x) return x + 1 end, __len = function() return 9 end })
    assert.are.equal(3, apply(callable, 2))
    if _VERSION ~= "Lua 5.1" then assert.are.equal(9, helper.fn "sizes"(callable)) end
    local thread = coroutine.create(function()
      for i = 1, 3 do coroutine.yield(i) end
    end)
    assert.are.same({ 1, 2, 3 }, helper.fn "items"(thread))
    local file = assert(io.tmpfile())
    call_method(file, "write", "written from afar")
    file:seek("set")
    assert.are.equal("written from afar", file:read("*a"))
  end)

  it("send their errors", function()
    local e = caught(apply, function() error("bad thing", 0) end)
    assert.truthy(e[3]:find("bad thing", 1, true))
    local error_back = helper.error_of(apply, function() error("bad thing", 0) end)
    assert.are.equal("bad thing", error_back.message)
    assert.are.equal("lua error", error_back.type[1])
    assert.are.equal("lua", error_back.language)
    assert.truthy(error_back.traceback:find("callbacks_spec", 1, true), error_back.traceback)
    assert.are.equal(2, #error_back.hops)
    local custom = setmetatable({ reason = 5 }, { __name = "MyError", __tostring = function() return "mine" end })
    error_back = helper.error_of(apply, function() error(custom) end)
    assert.are.equal("MyError", error_back.type[1])
    assert.are.equal("mine", error_back.message)
    assert.are.equal(5, error_back.attributes.reason)
    error_back = helper.error_of(apply, function() error({ name = "Named", message = "told", reason = 6 }) end)
    assert.are.equal("Named", error_back.type[1])
    assert.are.equal("told", error_back.message)
    assert.are.equal(6, error_back.attributes.reason)
    error_back = helper.error_of(apply, function() error("\255\254", 0) end)
    assert.are.equal("??", error_back.message)
    error_back = helper.error_of(apply, function() return remora.text "\255" end)
    assert.truthy(error_back.message:find("UTF-8", 1, true))
    local account = helper.new("Account", "x", 1)
    error_back = helper.error_of(apply, function() account:fail("there and back") end)
    assert.are.equal("ValueError", error_back.type[1])
  end)

  it("are run by serve and by other waits", function()
    local calls = 0
    helper.fn "keep"(function() calls = calls + 1 end)
    local timer = remora.can_on(helper.conn(), "threading.Timer")(0.01, helper.fn "call_kept")
    timer:start()
    helper.eventually(function() return calls == 1 end)
    helper.fn "forget"()
    helper.eventually(function() return remora.serve(0) == 0 end) -- the timer lets go of it a moment after its call
  end)

  it("are let go when the far side forgets them", function()
    local weak = setmetatable({}, { __mode = "k" })
    local keep, forget = helper.fn "keep", helper.fn "forget"
    do
      local log = new_log()
      weak[log] = true
      keep(log)
      log = nil -- luacheck: ignore
    end
    helper.collect()
    assert.is_not_nil(next(weak))
    forget()
    remora.can_on(helper.conn(), "gc.collect")()
    helper.eventually(function()
      helper.fn "echo"(1)
      helper.collect()
      return next(weak) == nil
    end)
  end)

  it("may be lent again while they go", function()
    local echo, log = helper.fn "echo", new_log()
    for _ = 1, 200 do assert.is_true(rawequal(log, echo(log))) end
  end)
end)

describe("output", function()
  it("comes before the result", function()
    local got = {}
    local conn = helper.connect { on_output = function(stream, data) got[#got + 1] = stream .. ":" .. data end }
    helper.fn("say", conn) "hello"
    assert.are.equal("stdout:hello\n", table.concat(got))
    got = {}
    helper.fn("say", conn)("trouble", "stderr")
    assert.are.equal("stderr:trouble\n", table.concat(got))
    conn:close()
  end)

  it("survives an error of its function", function()
    local conn = helper.connect { on_output = function() error("not my day") end }
    local stderr = io.stderr
    local text = {}
    io.stderr = { write = function(_, ...) text[#text + 1] = table.concat { ... } end } -- luacheck: ignore
    local ok, e = pcall(helper.fn("say", conn), "hello")
    io.stderr = stderr -- luacheck: ignore
    assert.is_true(ok, e)
    assert.truthy(table.concat(text):find("not my day", 1, true))
    conn:close()
  end)
end)
