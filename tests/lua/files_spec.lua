local remora = require "remora"
local helper = require "helper"

local function slurp(path)
  local f = assert(io.open(path, "rb"))
  local data = f:read "*a"
  f:close()
  return data
end

local function spill(path, data)
  local f = assert(io.open(path, "wb"))
  f:write(data)
  f:close()
end

describe("commands", function()
  local conn
  setup(function() conn = helper.conn() end)

  it("tell status, signal and both streams", function()
    local result = remora.run(conn, { "sh", "-c", "cat; echo err >&2; exit 3" }, { input = "in" })
    assert.are.same({ 3, "in", "err\n", false }, { result.status, result.stdout, result.stderr, result.ok })
    assert.is_nil(result.signal)
    result = conn:run { "sh", "-c", "kill -9 $$" }
    assert.is_nil(result.status)
    assert.are.equal(9, result.signal)
  end)

  it("take a folder, an environment and input", function()
    local result = conn:run({ "sh", "-c", 'echo "$A$PWD-${HOME-none}"' }, { cwd = "/tmp", env = { A = 1, HOME = false } })
    assert.are.equal("1/tmp-none\n", result.stdout)
    local pieces = { "a", "", "b\255" }
    assert.are.equal("ab\255", conn:run({ "cat" }, { input = function() return table.remove(pieces, 1) end }).stdout)
    local path = os.tmpname()
    spill(path, ("x"):rep(200000))
    local file = io.open(path, "rb")
    assert.are.equal(200000, #conn:run({ "cat" }, { input = file }).stdout)
    file:close()
    os.remove(path)
  end)

  it("have no time limit where that is infinite", function()
    assert.are.equal(0, conn:run({ "true" }, { timeout = math.huge }).status)
  end)

  it("raise errors with a name", function()
    local e = helper.error_of(conn.run, conn, { "sh", "-c", "echo why >&2; exit 2" }, { check = true })
    assert.is_true(remora.is_error(e, "CommandFailed"))
    assert.are.equal(2, e.result.status)
    assert.is_truthy(e.message:find("exit status 2: why", 1, true))
    assert.are.equal("NotFound", helper.error_of(conn.run, conn, { "no-such-program" }).class)
    assert.are.equal("Timeout", helper.error_of(conn.run, conn, { "sleep", "1000" }, { timeout = 0.2 }).class)
    assert.are.equal("InvalidArgument", helper.error_of(conn.run, conn, "ls").class)
    assert.are.equal("InvalidArgument", helper.error_of(conn.run, conn, { "ls" }, { shell = true }).class)
    for _, wrong in ipairs { 5, { env = 5 }, { input = 5 } } do
      assert.are.equal("InvalidArgument", helper.error_of(conn.run, conn, { "cat" }, wrong).class)
    end
    assert.are.equal("InvalidArgument", helper.error_of(conn.open, conn, "/etc/passwd", "r", { atomc = true }).class)
  end)

  it("give their output live", function()
    local seen = { stdout = {}, stderr = {} }
    local result = conn:run({ "sh", "-c", "seq 20000; echo e >&2" }, { on_output = function(stream, data) table.insert(seen[stream], data) end })
    assert.is_nil(result.stdout)
    assert.are.equal("e\n", table.concat(seen.stderr))
    local last = 0
    for line in table.concat(seen.stdout):gmatch "(%d+)\n" do
      last = last + 1
      assert.are.equal(last, tonumber(line))
    end
    assert.are.equal(20000, last)
    local mine = {}
    assert.are.equal(mine, helper.error_of(conn.run, conn, { "sh", "-c", "while :; do echo y; done" }, { on_output = function() error(mine) end }))
    assert.are.equal(mine, helper.error_of(conn.run, conn, { "cat" }, { input = function() error(mine) end }))
  end)

  it("are started, and cancelled", function()
    local future = remora.start(conn):run { "echo", "x" }
    assert.are.equal("x\n", future:get(10).stdout)
    local slow = remora.start(conn):run { "sleep", "1000" }
    assert.is_true(conn:run({ "true" }).ok)
    assert.is_true(slow:cancel())
  end)

  it("work whatever plain strings are", function()
    for _, strings in ipairs { "text", "bytes" } do
      local other = remora.connect("-", { node = "python", strings = strings })
      local result = other:run({ "cat" }, { input = "a", env = { A = "1" }, cwd = "/" })
      assert.are.equal("a", result.stdout)
      local path = os.tmpname()
      local f = other:open(path, "w", { atomic = true })
      f:write "one\ntwo\n"
      f:close()
      assert.are.equal("one", other:open(path):read())
      assert.are.equal(8, other:get(path, path))
      os.remove(path)
      other:close()
    end
  end)
end)

describe("files", function()
  local conn, path, copy
  setup(function() conn = helper.conn() end)
  before_each(function()
    path, copy = os.tmpname(), os.tmpname()
  end)
  after_each(function()
    os.remove(path)
    os.remove(copy)
  end)

  it("go there and back", function()
    local data = ("0123456789abcdef\255\n"):rep(100000)
    spill(path, data)
    assert.are.equal(#data, remora.put(conn, path, copy))
    os.remove(path)
    assert.are.equal(#data, remora.get(conn, copy, path))
    assert.is_true(slurp(path) == data)
    assert.are.equal(#data, remora.start(conn):put(path, copy, { atomic = false, mode = tonumber("600", 8), times = false, sync = true }):get(20))
    assert.are.equal(#data, remora.start(conn):get(copy, path):get(20))
    local e = helper.error_of(conn.put, conn, "/no/such", copy)
    assert.are.equal("FileError", e.class)
    assert.is_truthy(e.message:find("/no/such", 1, true))
    assert.are.equal("RemoteError", helper.error_of(conn.get, conn, "/no/such", copy).class)
    assert.are.equal("InvalidArgument", helper.error_of(conn.put, conn, path, copy, { modes = true }).class)
    local future = remora.start(conn):put("/dev/zero", copy)
    assert.is_true(future:cancel())
    assert.are.equal(#data, #slurp(copy))
  end)

  it("stay where they are when a seek fails", function()
    local text = ("0123456789"):rep(100000)
    spill(path, text)
    local f = remora.open(conn, path)
    local start = f:read(3)
    assert.is_truthy(helper.error_of(f.seek, f, "set", -1))
    assert.are.equal(text, start .. f:read "a")
    f:close()
  end)

  it("are streams", function()
    local f = remora.open(conn, path, "w")
    assert.are.equal(f, f:write("one\n", "two\n", 3, "\n"))
    f:close()
    assert.are.equal("one\ntwo\n3\n", slurp(path))
    assert.are.equal("InvalidArgument", helper.error_of(f.write, f, "x").class)
    f = conn:open(path)
    assert.are.equal("one", f:read())
    assert.are.equal("two\n", f:read "L")
    assert.are.equal(8, f:seek())
    assert.are.equal(3, f:read "n")
    assert.are.equal("\n", f:read "*a")
    assert.is_nil(f:read "l")
    assert.are.equal("", f:read "a")
    assert.is_nil(f:read(1))
    assert.are.equal(4, f:seek("set", 4))
    assert.are.same({ "tw", "o\n3" }, { f:read(2, 3) })
    assert.are.equal(8, f:seek("end", -2))
    f:seek "set"
    local lines = {}
    for line in f:lines() do lines[#lines + 1] = line end
    assert.are.same({ "one", "two", "3" }, lines)
    f:close()
    f = conn:open(path, "a")
    assert.are.equal(10, f:seek())
    f:write "more"
    f:close()
    f = conn:open(path, "r+b")
    assert.are.equal("one", f:read())
    f:write "TWO"
    f:flush()
    assert.are.equal("one\nTWO\n3\nmore", slurp(path))
    f:truncate(3)
    assert.are.equal(3, f:stat().size)
    f:close()
    assert.are.equal("InvalidArgument", helper.error_of(conn.open, conn, path, "w+").class)
    assert.are.equal("RemoteError", helper.error_of(conn.open, conn, "/no/such").class)
  end)

  it("replace nothing when something could not be written", function()
    local small = remora.connect("-", { node = "python", limits = { file_size = 1000 } })
    spill(path, "old")
    local f = small:open(path, "w", { atomic = true })
    f:write(("x"):rep(2000))
    assert.are.equal("RemoteError", helper.error_of(f.flush, f).class)
    f:close()
    assert.are.equal("old", slurp(path))
    small:close()
  end)

  it("are replaced at once, or not", function()
    spill(path, "old")
    local f = conn:open(path, "w", { atomic = true })
    f:write "new"
    f:flush()
    assert.are.equal("old", slurp(path))
    f:discard()
    assert.are.equal("old", slurp(path))
    f = conn:open(path, "w", { atomic = true, sync = true, permissions = tonumber("600", 8) })
    f:write "new"
    f:close()
    assert.are.equal("new", slurp(path))
    f = conn:open("/dev/full", "w")
    f:write "x"
    assert.are.equal("RemoteError", helper.error_of(f.close, f).class)
  end)

  it("are no round trip for each line", function()
    local before = conn:stats().calls_out
    local f = conn:open(path, "w")
    for _ = 1, 20000 do f:write("a line of some length", "\n") end
    f:close()
    local count = 0
    for _ in conn:open(path):lines() do count = count + 1 end
    assert.are.equal(20000, count)
    assert.is_true(conn:stats().calls_out - before < 40)
  end)

  it("leave remora.get of objects as it was", function()
    local date = remora.can_on(conn, "datetime.date")
    assert.are.equal(2024, remora.get(date(2024, 1, 2), "year"))
  end)
end)
