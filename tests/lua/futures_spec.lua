local remora = require "remora"
local helper = require "helper"

describe("futures", function()
  local add, sleep, hold_until

  setup(function()
    add, sleep, hold_until = helper.fn "add", remora.can_on(helper.conn(), "time.sleep"), helper.fn "hold_until"
  end)

  it("give their results", function()
    local future = remora.start(add)(2, 3)
    assert.are.equal(5, future:get())
    assert.are.equal(5, future:get(1))
    assert.is_true(future:done())
    assert.is_false(future:cancelled())
    assert.is_nil(future:error())
    assert.are.equal(5, remora.await_future(future, 1))
    assert.are.equal("future", remora.kind(future))
    assert.has_error(function() remora.await_future(5) end)
  end)

  it("fail at their time, and watchdogs are fed, while this side computes", function()
    local conn = helper.connect { watchdog = 1.2 }
    local nap = remora.options(remora.can_on(conn, "time.sleep"), { timeout = 0.5 })
    local future = remora.start(nap)(1)
    local late = os.time() + 3
    while os.time() < late do end
    assert.is_true(future:done())
    assert.are.equal("Timeout", future:error().class)
    assert.is_true(conn:is_valid())
    conn:close()
  end)

  it("are many at once", function()
    local futures = {}
    for i = 1, 500 do futures[i] = remora.start(add)(i, 1) end
    local results = remora.await_all(futures, 20)
    assert.are.equal(500, results.n)
    for i = 1, 500 do assert.are.equal(i + 1, results[i]) end
  end)

  it("time out without ending the call", function()
    helper.hold(function(path, let_go)
      local future = remora.start(hold_until)(path)
      assert.are.equal("Timeout", helper.error_of(future.get, future, 0.01).class)
      assert.is_false(future:wait(0))
      let_go()
      assert.are.equal("let go\n", future:get(20))
    end)
  end)

  it("are cancelled", function()
    helper.hold(function(path)
      local future = remora.start(hold_until)(path)
      assert.is_true(future:cancel())
      assert.is_true(future:cancelled())
      assert.is_false(future:cancel())
      assert.are.equal("Cancelled", helper.error_of(future.get, future).class)
    end)
  end)

  it("raise what the call raised", function()
    local account = helper.new("Account", "x", 1)
    local future = remora.start(account):fail("oops")
    assert.are.equal("oops", future:error(5).message)
    assert.are.equal("oops", helper.error_of(future.get, future).message)
    local good = remora.start(account):balance()
    local bad = remora.start(account):fail("second")
    assert.are.equal("second", helper.error_of(remora.await_all, { good, bad }).message)
    assert.is_true(good:done())
  end)

  it("lead to others", function()
    assert.are.equal("5!", remora.start(add)(2, 3):next(function(x) return x .. "!" end):get(5))
    local chained = remora.start(add)(2, 3):next(function(x) return remora.start(add)(x, 10) end)
    assert.are.equal(15, chained:get(5))
    assert.are.equal(16, chained:next(function(x) return x + 1 end):get(5))
    local failing = remora.start(add)(1, 1):next(function() error("in next", 0) end)
    assert.are.equal("in next", failing:next(function() end):error(5))
    local ran
    remora.start(add)(1, 1):next(function(x) ran = x end)
    helper.eventually(function() return ran == 2 end)
    local told
    remora.start(add)(4, 4):on_done(function(f) told = f:get() end)
    helper.eventually(function() return told == 8 end)
    helper.hold(function(path)
      local never = remora.start(hold_until)(path):next(function() ran = "wrongly" end)
      assert.is_true(never:cancel())
      assert.are.equal("Cancelled", helper.error_of(never.get, never).class)
    end)
    assert.are.equal(2, ran)
  end)

  it("take options of a call", function()
    helper.hold(function(path) assert.are.equal("Timeout", helper.error_of(remora.options(hold_until, { timeout = 0.02 }), path).class) end)
    assert.is_nil(remora.options(sleep, { oneway = true })(0))
    local account = helper.new("Account", "x", 1)
    assert.are.equal(3, remora.options(account, { timeout = 5 }):deposit(2))
    assert.are.equal(4, remora.start(remora.options(account, { timeout = 5 })):deposit(1):get())
    assert.are.equal(5, remora.options(remora.start(account), { timeout = 5 }):deposit(1):get())
    assert.is_nil(remora.options(account, { oneway = true }):deposit(10))
    assert.are.equal(15, account:balance())
    assert.has_error(function() remora.options(account, { timout = 5 }) end)
  end)

  it("wait for room on a full connection", function()
    local size = helper.fn "sizes"
    local data = remora.bytes(("\255"):rep(1000000))
    local futures = {}
    for i = 1, 30 do futures[i] = remora.start(size)(data) end
    local results = remora.await_all(futures, 30)
    for i = 1, 30 do assert.are.equal(1000000, results[i]) end
  end)

  it("may be dropped", function()
    for _ = 1, 100 do remora.start(add)(1, 1) end
    helper.collect()
    assert.are.equal(2, add(1, 1))
  end)
end)

describe("waits in coroutines", function()
  -- A scheduler in a few lines: whoever yields is resumed when the descriptor is readable; select is a wait of ours for the test.
  local function run(...)
    local threads = {}
    for i, fn in ipairs { ... } do threads[i] = coroutine.create(fn) end
    local rounds = 0
    local until_time = os.time() + 20
    while #threads > 0 do
      local shortest = 1
      assert(os.time() < until_time, "the coroutines hang")
      rounds = rounds + 1
      local left = {}
      for _, thread in ipairs(threads) do
        local ok, fd, seconds = coroutine.resume(thread)
        if not ok then error(fd, 0) end
        shortest = math.min(shortest, seconds or 1)
        if coroutine.status(thread) ~= "dead" then left[#left + 1] = thread end
      end
      threads = left
      if #threads > 0 then remora.poll(shortest) end
    end
    return rounds
  end

  before_each(function() remora.set_yield(true) end)
  after_each(function() remora.set_yield(nil) end)

  it("give the thread away", function()
    local one, two = helper.connect(), helper.connect()
    local order = {}
    helper.hold(function(path, let_go)
      run(function()
        helper.fn("hold_until", one)(path)
        order[#order + 1] = "long"
      end, function()
        remora.can_on(two, "time.sleep")(0.05)
        order[#order + 1] = "short"
        let_go()
      end)
    end)
    assert.are.same({ "short", "long" }, order)
    one:close()
    two:close()
  end)

  it("give it away also when a far side has let go of something", function()
    local conn, lent = helper.connect(), setmetatable({}, { __mode = "k" })
    local function lend()
      local f = function() end
      lent[f] = true
      helper.fn "hold"(f, 0.05)
    end
    lend()
    local future = remora.start(remora.can_on(conn, "time.sleep"))(10)
    local why
    run(function() why = future:error() end, function()
      while next(lent) do
        collectgarbage()
        coroutine.yield(nil, 0.02)
      end
      future:cancel()
    end)
    assert.are.equal("Cancelled", why and why.class, "the other coroutine had no turn before the call was over")
    conn:close()
  end)

  it("wake whom an event was for that another one took", function()
    local one, two = helper.connect(), helper.connect()
    local long = remora.start(remora.can_on(one, "time.sleep"))(30)
    local short = remora.can_on(two, "time.sleep")
    local over = false
    local first = coroutine.create(function()
      short(0.1)
      over = true
    end)
    local second = coroutine.create(function() return long:error() end)
    assert(coroutine.resume(first))
    assert.is_true(remora.poll(10))
    assert(coroutine.resume(second)) -- now, before the first one has its turn
    for _ = 1, 3 do
      if over then break end
      assert.is_true(remora.poll(10), "nobody is to be resumed")
      assert(coroutine.resume(second))
      assert(coroutine.resume(first))
    end
    assert.is_true(over)
    long:cancel()
    assert.is_true(remora.poll(10))
    local _, why = assert(coroutine.resume(second))
    assert.are.equal("Cancelled", why.class)
    one:close()
    two:close()
  end)

  it("nest calls and callbacks", function()
    local results = {}
    local function worker(name)
      return function()
        local conn = helper.connect()
        local apply, add = helper.fn("apply", conn), helper.fn("add", conn)
        local sleep = remora.can_on(conn, "time.sleep")
        results[name] = apply(function(x)
          sleep(0.02) -- yields inside a callback
          return add(x, 1) + remora.await_all({ remora.start(add)(1, 1), remora.start(add)(2, 2) })[2]
        end, 10)
        conn:close()
      end
    end
    run(worker "a", worker "b", worker "c")
    assert.are.same({ a = 15, b = 15, c = 15 }, results)
    assert.are.equal(2, helper.fn "add"(1, 1))
  end)

  it("time out and fail there", function()
    local classes = {}
    helper.hold(function(path, let_go)
      run(function()
        local future = remora.start(helper.fn "hold_until")(path)
        classes[1] = future:wait(0.02) -- without pcall, which Lua 5.1 cannot yield out of
        let_go()
        classes[2] = remora.start(helper.new("Account", "x", 1)):fail("no"):error(10).message
        classes[3] = future:wait(10)
      end)
    end)
    assert.are.same({ false, "no", true }, classes)
  end)

  it("block where the host wants it", function()
    local asked = 0
    remora.set_yield(function()
      asked = asked + 1
      return false
    end)
    local thread = coroutine.create(function()
      remora.can_on(helper.conn(), "time.sleep")(0.02)
      return "done"
    end)
    local _, result = coroutine.resume(thread)
    assert.are.equal("done", result)
    assert.is_true(asked > 0)
  end)
end)
