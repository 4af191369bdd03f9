-- Remora: REMote Objects, Run Anywhere.
--
--     local remora = require "remora"
--     local conn = remora.connect("deploy@web1")                  -- nothing is installed there but Lua
--     local acc = remora.new_on(conn, "account", "anna", 100)     -- require "account", then its .new
--     acc:deposit(5)                                              -- one round trip
--     local future = remora.start(acc):balance()                  -- does not wait
--     print(future:get(5.0))
--
-- One source for Lua 5.1, 5.3, 5.4 and LuaJIT. The guide is docs/lua.md.
local swig_type, swig_equals = rawget(_G, "swig_type"), rawget(_G, "swig_equals")
local capi = require "remora.capi"
rawset(_G, "swig_type", swig_type) -- the wrapper leaves two globals behind
rawset(_G, "swig_equals", swig_equals)

if capi.remora_abi() ~= capi.REMORA_ABI then
  error(("remora's Lua module was built for version %d of the C interface, but libremora %s has version %d"):format(
    capi.REMORA_ABI, capi.remora_version(), capi.remora_abi()))
end

local marks = require "remora.marks"
local errors = require "remora.errors"
local wait = require "remora.wait"
local call = require "remora.call"
local future = require "remora.future"
local proxy = require "remora.proxy"
local connection = require "remora.connection"
local commands = require "remora.commands"
local files = require "remora.files"
local log = require "remora.log"

local setup = {
  words = proxy.words,
  proxy = proxy.base,
  future = future.meta,
  event = { __name = "remora.event", __gc = capi.release },
  connection = connection.meta,
}
for name, mark in pairs(marks.setup) do setup[name] = mark end
if rawget(_G, "jit") then
  local ok, ffi = pcall(require, "ffi")
  if ok then
    setup.int64, setup.uint64, setup.istype = ffi.typeof("int64_t"), ffi.typeof("uint64_t"), ffi.istype
  end
end
capi.setup(setup)

---@class remora
local remora = {
  version = capi.remora_version(),

  connect = connection.connect,
  new_on = connection.new_on,
  can_on = connection.can_on,

  run = commands.run,
  put = files.put,
  open = files.open,

  start = files.start,
  options = call.options,
  await_future = future.await_future,
  await_all = future.await_all,
  await_any = future.await_any,
  serve = wait.serve,
  set_yield = wait.set_yield,
  poll = wait.poll,

  iter = proxy.iter,
  len = proxy.len,
  item = proxy.item,
  setitem = proxy.setitem,
  delitem = proxy.delitem,
  contains = proxy.contains,
  copy = proxy.copy,
  pairs = proxy.pairs,
  str = proxy.str,
  getattr = proxy.getattr,
  setattr = proxy.setattr,
  set = proxy.setattr,
  type = proxy.type,

  null = marks.null,
  list = marks.list,
  map = marks.map,
  bytes = marks.bytes,
  text = marks.text,
  big = marks.big,
  ref = marks.ref,
  by_ref = marks.ref,
  kw = marks.kw,
  is_error = errors.is_error,

  log = log,
}

---Gives the far sides of all connections a module that is in no file: what `source` says, under its full name. It stands before files and an earlier
---one of that name, for far sides that have not asked for it yet. New in 0.1.
---@param name string
---@param source string
---@param language string?  "lua"
function remora.add_module(name, source, language)
  local ok, why = pcall(capi.remora_module_add, language or "lua", name, 0, "<" .. tostring(name) .. ">", source)
  if not ok then errors.invalid("%s", tostring(why)) end
end

---get(conn, from, to, options) copies a file of the far side to this one; get(proxy, name, default) is getattr.
---@param what any
---@return any
function remora.get(what, ...)
  if capi.handle_kind(what) == "connection" then return files.get(what, ...) end
  return proxy.getattr(what, ...)
end

---A number for a connection, a proxy or a future, which another language in this process redeems, once. Until then it keeps the thing alive.
---@param thing remora.Connection|remora.Proxy|remora.Future
---@return integer
function remora.ticket(thing) return call.result(capi.ticket(thing)) end

---The connection, proxy or future that another language wrote the ticket for.
---@param number integer
---@return any
function remora.redeem(number) return call.result(capi.redeem(number)) end

---"null", "list", "map", "bytes", "text", "big", "ref", "proxy", "future", "connection", "error", or nil.
---@param v any
---@return string?
function remora.kind(v) return errors.is_error(v) and "error" or marks.kind(v) end

return remora
