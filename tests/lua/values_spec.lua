local remora = require "remora"
local helper = require "helper"

describe("values", function()
  local echo, kind, text_of

  setup(function()
    echo, kind, text_of = helper.fn "echo", helper.fn "kind", helper.fn "text_of"
  end)

  it("come back as they went", function()
    for _, value in ipairs { true, false, 0, 1, -1, 42, 0.5, -1e300, 1 / 0, -1 / 0, "", "text", "\0", "grüße" } do
      assert.are.equal(value, echo(value))
    end
    assert.is_nil(echo(nil))
    local nan = echo(0 / 0)
    assert.is_true(nan ~= nan)
    assert.are.equal("-0.0", text_of(-tonumber "0.0"))
  end)

  it("keep integers integers", function()
    assert.are.equal("int", kind(3))
    assert.are.equal("float", kind(0.5))
    for _, exact in ipairs { 9007199254740991, -9007199254740991, 9007199254740992 } do
      assert.are.equal(string.format("%d", exact), text_of(exact))
      assert.are.equal(exact, echo(exact))
    end
    if helper.integers then
      assert.are.equal("float", kind(3.0))
      assert.are.equal("float", math.type(echo(3.0)))
      for _, edge in ipairs { math.maxinteger, math.mininteger } do
        assert.are.equal(edge, echo(edge))
        assert.are.equal("integer", math.type(echo(edge)))
        assert.are.equal(tostring(edge), text_of(edge))
      end
    end
  end)

  it("hold integers of 64 bits in LuaJIT", function()
    if not helper.jit then return end
    local ffi = require "ffi"
    local load = loadstring
    for _, digits in ipairs { "9223372036854775807", "9007199254740993" } do
      local number = load("return " .. digits .. "LL")()
      assert.are.equal(digits, text_of(number))
      local back = echo(number)
      assert.is_true(ffi.istype("int64_t", back))
      assert.is_true(back == number)
    end
    local number = load("return -9223372036854775807LL - 1LL")()
    assert.is_true(echo(number) == number)
    local big = load("return 18446744073709551615ULL")()
    assert.are.equal("18446744073709551615", text_of(big))
    assert.are.equal("18446744073709551615", tostring(echo(big)))
  end)

  it("hold big integers as remora.big", function()
    local digits = "123456789012345678901234567890"
    local big = echo(remora.big(digits))
    assert.are.equal("big", remora.kind(big))
    assert.are.equal(digits, tostring(big))
    assert.is_true(big == remora.big("0" .. digits))
    assert.are.equal("-" .. digits, text_of(remora.big("-" .. digits)))
    assert.are.equal("int", kind(big))
    if not helper.integers and not helper.jit then
      assert.are.equal("9007199254740993", tostring(echo(remora.big "9007199254740993")))
    end
    assert.has_error(function() remora.big "12a" end)
  end)

  it("tell text from bytes", function()
    assert.are.equal("str", kind "grüße")
    assert.are.equal("bytes", kind "\255\0")
    assert.are.equal("bytes", kind(remora.bytes "plain"))
    assert.are.equal("str", kind(remora.text "plain"))
    local bytes = echo "\255\254"
    assert.are.equal("bytes", remora.kind(bytes))
    assert.are.equal("\255\254", tostring(bytes))
    assert.are.equal(2, #bytes)
    assert.are.equal(255, bytes:byte(1))
    assert.are.equal("\254", bytes:sub(2))
    assert.is_true(bytes == remora.bytes "\255\254")
    assert.are.equal("\255\254x", bytes .. "x")
    assert.are.equal("bytes", remora.kind(echo(remora.bytes "plain")))
    assert.are.equal("ValueNotSendable", helper.error_of(echo, remora.text "\255").class)
    local long = ("\255"):rep(300000)
    assert.is_true(tostring(echo(long)) == long)
    assert.is_true(echo(("x"):rep(300000)) == ("x"):rep(300000))
  end)

  it("obey the option strings", function()
    local conn = helper.connect { strings = "bytes" }
    local there = helper.fn("kind", conn)
    assert.are.equal("bytes", tostring(there "plain"))
    assert.are.equal("text", remora.kind(there "plain"))
    assert.are.equal("str", tostring(there(remora.text "plain")))
    assert.are.equal("plain", helper.fn("echo", conn) "plain")
    assert.are.equal(1, helper.fn("echo", conn){ a = 1 }.a)
    conn:close()
    conn = helper.connect { strings = "text" }
    assert.are.equal("str", helper.fn("kind", conn) "plain")
    assert.are.equal("ValueNotSendable", helper.error_of(helper.fn("kind", conn), "\255").class)
    conn:close()
    assert.are.equal("InvalidArgument", helper.error_of(helper.connect, { strings = "other" }).class)
  end)

  it("tell lists from maps", function()
    assert.are.equal("[]", text_of {})
    assert.are.equal("{}", text_of(remora.map()))
    assert.are.equal("[]", text_of(remora.list()))
    assert.are.equal("[1, 2, 3]", text_of { 1, 2, 3 })
    assert.are.equal("{'a': 1}", text_of { a = 1 })
    assert.are.equal("{1: 'a'}", text_of(remora.map { "a" }))
    assert.are.equal("[1, None, 3]", text_of(remora.list({ 1, nil, 3 }, 3)))
    assert.are.equal("[1, None]", text_of { 1, remora.null })
    assert.are.equal("{2: 'b'}", text_of { [2] = "b" })
    assert.are.equal("[3, 2, 1]", text_of { [3] = 1, [2] = 2, [1] = 3 })
    assert.are.equal(3, #echo { 1, { 2 }, { x = { 3 } } })
    assert.are.equal("map", remora.kind(echo(remora.map())))
    assert.are.equal("map", remora.kind(echo(remora.map { "a" })))
    assert.is_nil(remora.kind(echo {}))
    assert.are.equal(remora.null, echo({ a = remora.null }).a)
    assert.are.equal("map", remora.kind(echo(remora.map { __index = 1 })))
    assert.are.equal("ValueNotSendable", helper.error_of(echo, remora.list { 1, a = 2 }).class)
    local big = {}
    for i = 1, 20000 do big[i] = i end
    local back = echo(big)
    assert.are.equal(20000, #back)
    assert.are.equal(20000, back[20000])
  end)

  it("keep odd keys, or say that they cannot", function()
    local map = helper.fn "odd_map"()
    assert.are.equal("d", map[1])
    assert.are.equal("b", map[1.5])
    assert.are.equal("c", map[remora.null])
    local error = helper.error_of(helper.fn "clashing_map")
    assert.are.equal("ValueNotSendable", error.class)
  end)

  it("say what is too deep or in itself", function()
    local loop = {}
    loop[1] = loop
    assert.are.equal("ValueNotSendable", helper.error_of(echo, loop).class)
    local deep = {}
    for _ = 1, 200 do deep = { deep } end
    assert.are.equal("ValueNotSendable", helper.error_of(echo, deep).class)
    local twice = { 1 }
    assert.are.equal("[[1], [1]]", text_of { twice, twice })
    deep = 1
    for _ = 1, 126 do deep = { deep } end
    assert.are.equal("table", type(echo(deep)))
  end)

  it("pass nil among arguments and keyword arguments", function()
    local keywords = helper.fn "keywords"
    local got = keywords(1, nil, 2)
    assert.are.equal(3, #got[1])
    assert.are.equal(remora.null, got[1][2])
    got = keywords(1, remora.kw { key = "v", other = { 1 } })
    assert.are.equal(1, #got[1])
    assert.are.equal("v", got[2].key)
    assert.are.equal("InvalidArgument", helper.error_of(keywords, remora.kw { a = 1 }, 2).class)
    assert.are.equal("InvalidArgument", helper.error_of(keywords, remora.kw { "x" }).class)
  end)

  it("are not confused by what looks like a tag", function()
    for _, key in ipairs { "~b", "~r", "~m", "~s" } do assert.are.equal(0, echo({ [key] = 0 })[key]) end
  end)
end)
