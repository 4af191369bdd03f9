-- Connections.
local capi = require "remora.capi"
local errors = require "remora.errors"
local marks = require "remora.marks"
local wait = require "remora.wait"
local call = require "remora.call"

local CLOSE_MS = 5000 -- how long the end of a block waits for the far process; it is killed before
local STRINGS = { auto = 0, text = 1, bytes = 2 }

local connection = {}

---@class remora.Connection
local Connection = {}

---Fails every waiting call with ConnectionLost and ends the far process. Returns at once; more than once is harmless.
function Connection:close() capi.remora_conn_close(self) end

---Waits until the far process of a closed connection is gone, at most `timeout` seconds; whether it is.
---@param timeout? number
---@return boolean
function Connection:wait_closed(timeout)
  return capi.remora_conn_wait_closed(self, call.milliseconds(timeout, "timeout")) == 0
end

---Whether calls can be made.
---@return boolean
function Connection:is_valid() return capi.remora_conn_is_valid(self) ~= 0 end

---The process id of the far side, on its host.
---@return integer
function Connection:pid() return capi.remora_conn_pid(self) end

---What it was connected to, for messages.
---@return string
function Connection:name() return capi.remora_conn_name(self) end

---What the far side said of itself: language, pid, host, user.
---@return table
function Connection:hello() return call.result(capi.hello(self)) or {} end

---Counters: calls_out, calls_in, bytes_out, bytes_in, exports, imports, pending, queued (bytes).
---@return table
function Connection:stats() return call.result(capi.stats(self)) end

---A future that fails with ConnectionLost when the connection is lost, and yields nil when it is closed from here.
---With fn: fn(error or nil) is called then, in a wait or in remora.serve.
---@param fn? fun(error: remora.Error?)
---@return remora.Future
function Connection:on_close(fn)
  local future = call.result(capi.on_close(self))
  if fn then
    future:on_done(function(f) fn(f:error()) end)
  end
  return future
end

local function end_block(self)
  capi.remora_conn_close(self)
  capi.remora_conn_wait_closed(self, CLOSE_MS)
end

connection.meta = {
  __name = "remora.Connection",
  __metatable = "remora.Connection",
  __index = Connection,
  __gc = capi.release,
  __close = end_block,
  __tostring = function(self)
    return ("remora.Connection to %s (pid %d)%s"):format(self:name(), self:pid(), self:is_valid() and "" or ", closed")
  end,
}

-- ------------------------------------------------------------------------------------------------------------------- options

local function text(value, what)
  if type(value) ~= "string" then errors.invalid("%s: text is wanted, not a %s", what, type(value)) end
  return value
end

local function texts(value, what)
  if type(value) ~= "table" then errors.invalid("%s: a list of text is wanted, not a %s", what, type(value)) end
  local list = marks.list {}
  for i = 1, #value do list[i] = text(value[i], what) end
  return list
end

local function text_or_texts(value, what) return type(value) == "string" and value or texts(value, what) end

local function milliseconds(value, what)
  local ms = call.milliseconds(value, what)
  if ms < 0 then errors.invalid("%s: %s is not a time in seconds", what, tostring(value)) end
  return ms
end

local function integer(value, what)
  if type(value) ~= "number" or value ~= math.floor(value) then errors.invalid("%s: an integer is wanted", what) end
  return math.tointeger and math.tointeger(value) or value
end

local function flag(value, what)
  if type(value) ~= "boolean" then errors.invalid("%s: true or false is wanted, not a %s", what, type(value)) end
  return value
end

local function map(value, what)
  if type(value) ~= "table" then errors.invalid("%s: a table is wanted, not a %s", what, type(value)) end
  local copy = marks.map {}
  for k, v in pairs(value) do
    if v == false or v == marks.null then errors.invalid("%s: %s is %s: connect adds variables, and takes none away", what, tostring(k), tostring(v)) end
    copy[text(k, what)] = tostring(v)
  end
  return copy
end

local function integers(value, what)
  if type(value) ~= "table" then errors.invalid("%s: a table is wanted, not a %s", what, type(value)) end
  local copy = marks.map {}
  for k, v in pairs(value) do copy[text(k, what)] = integer(v, what) end
  return copy
end

local function modules(value, what)
  if value == "all" then return value end
  return type(value) == "string" and marks.list { value } or texts(value, what)
end

-- Of remora.h; the other options are this side's.
local OPTIONS = {
  node = text,
  timeout = milliseconds,
  heartbeat = milliseconds,
  dead_after = milliseconds,
  interpreter = text_or_texts,
  env = map,
  cwd = text,
  command = texts,
  ssh = texts,
  ssh_options = texts,
  sudo = texts,
  modules = modules,
  deny = function(value, what) return type(value) == "string" and marks.list { value } or texts(value, what) end,
  max_message = integer,
  limits = integers,
  nice = integer,
  watchdog = milliseconds,
  onward = flag,
  on_prompt = function(value) return value end, -- checked in C
  log_forward = flag,
  log_level = text,
  log_selections = text,
  log_budget = integer,
}

-- Where Lua's modules for the far side are looked for: the directories of package.path.
local function package_roots()
  local list, seen = marks.list {}, {}
  for template in package.path:gmatch("[^;]+") do
    local root = template:match("^(.-)/?%?%.lua$")
    if root and not root:find("?", 1, true) then
      root = root == "" and "." or root
      if not seen[root] then
        seen[root] = true
        list[#list + 1] = root
      end
    end
  end
  return list
end

-- roots: a list for the far side's language, or a map of languages to lists.
local function all_roots(node, given)
  local all = marks.map { lua = package_roots() }
  if given == nil then return all end
  if type(given) ~= "table" then errors.invalid("roots: a list of directories is wanted, not a %s", type(given)) end
  if given[1] ~= nil or next(given) == nil then given = { [node] = given } end
  for name, folders in pairs(given) do all[text(name, "roots")] = texts(folders, "roots") end
  return all
end

local function known_options()
  local names = { "strings", "on_output", "roots" }
  for name in pairs(OPTIONS) do names[#names + 1] = name end
  table.sort(names)
  return table.concat(names, ", ")
end

local function language()
  local jit = rawget(_G, "jit")
  return ((jit and jit.version or _VERSION):lower())
end

local function checked(options)
  if type(options) ~= "table" then errors.invalid("options: a table is wanted, not a %s", type(options)) end
  local given = { node = "lua", timeout = 10000, language = language() }
  for name, value in pairs(options) do
    if OPTIONS[name] then
      given[name] = OPTIONS[name](value, name)
    elseif name ~= "strings" and name ~= "on_output" and name ~= "roots" then
      errors.invalid("unknown option %s (known: %s)", tostring(name), known_options())
    end
  end
  if options.strings ~= nil and not STRINGS[options.strings] then errors.invalid('strings: "auto", "text" or "bytes" is wanted') end
  given.roots = all_roots(given.node, options.roots)
  return given
end

local function hops(spec)
  local list = marks.list {}
  for i = 1, #spec do list[i] = text_or_texts(spec[i], "spec") end
  if #list == 0 then errors.invalid("an empty list is no spec") end
  return list
end

-- -------------------------------------------------------------------------------------------------------------------- connect

local function keep_output(conn, address, fn)
  wait.set_output(address, fn) -- nil: forgets what was there of an earlier one at this address
  if fn then
    conn:on_close():on_done(function()
      if wait.output_of(address) == fn then wait.set_output(address, nil) end
    end)
  end
end

---Connects and waits until the far side is there. spec: "-" a child process; "host", "user@host", "ssh://user@host:port" by ssh; "user@" by sudo; a list: hops, each a spec or
---a list of words that is a command. Options: docs/lua.md. Raises a ConnectError, whose stage tells how far it came.
---@param spec? string|table
---@param options? table
---@return remora.Connection
function connection.connect(spec, options)
  options = options or {}
  if spec == nil then spec = "-" end
  local given = checked(options)
  local where = nil
  if given.command == nil then
    if type(spec) == "table" then
      given.hops = hops(spec)
    else
      where = text(spec, "spec")
    end
  end
  local future = call.result(capi.connect(where, given))
  local ok, e = wait.guarded(wait.ready, future)
  if not ok then
    capi.cancel(future)
    error(e, 0)
  end
  call.result(capi.result(future))
  local conn, address = capi.connection(future, STRINGS[options.strings or "auto"])
  keep_output(conn, address, options.on_output)
  return conn
end

local function root_of(where)
  if where == nil then errors.invalid "a connection, or a spec, is wanted, not nil" end
  if capi.handle_kind(where) ~= "connection" then where = connection.connect(where) end
  return call.result(capi.root(where)), where
end

local function far_function(where, name)
  if capi.remora_proxy_id(where) == 0 then -- a connection that was made from here for the far side (`onward`): we have its root
    return function(root, ...) return call.invoke(root, name == "new_on" and "new" or "can", ...) end
  end
  return call.invoke(call.result(capi.root_of(where)), "can", marks.text("remora." .. name))
end

---Makes an object on the far side and gives its proxy. where: a connection, a spec (then the connection lives as long as anything that came from it), or
---the proxy of a connection that the far side has made.
---@param where any
---@param name string
---@return any
function connection.new_on(where, name, ...)
  if text(name, "the name of a class") == "" then errors.invalid "the name of a class or function is empty" end
  if capi.handle_kind(where) == "proxy" then
    capi.serve_name(where, name)
    return far_function(where, "new_on")(where, marks.text(name), ...)
  end
  local root, conn = root_of(where)
  capi.serve_name(conn, name)
  return call.invoke(root, "new", marks.text(name), ...)
end

---The proxy of a function (class, callable) on the far side, or nil if there is no such thing.
---@param where any
---@param name string
---@return any
function connection.can_on(where, name)
  if text(name, "the name of a function") == "" then errors.invalid "the name of a class or function is empty" end
  if capi.handle_kind(where) == "proxy" then
    capi.serve_name(where, name)
    return far_function(where, "can_on")(where, marks.text(name))
  end
  local root, conn = root_of(where)
  capi.serve_name(conn, name)
  return call.invoke(root, "can", marks.text(name))
end

---Makes the far side connect; gives the proxy of its connection, which new_on and can_on take like one of ours.
function Connection:connect(spec, options)
  local far = call.invoke(call.result(capi.root(self)), "can", marks.text "remora.connect")
  if far == nil then
    error(errors.new("NotFound", ("%s: a far side in %s makes no connections; connect { ..., ... } from here makes a chain of hops"):format(self:name(), self:hello().node)), 0)
  end
  return far(spec or "-", marks.kw(options or {}))
end

return connection
