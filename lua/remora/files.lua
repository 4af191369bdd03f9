-- Files of the far side: copied whole, or opened.
local capi = require "remora.capi"
local errors = require "remora.errors"
local marks = require "remora.marks"
local wait = require "remora.wait"
local call = require "remora.call"
local commands = require "remora.commands"
local connection = require "remora.connection"

local PIECE, WINDOW = 256 * 1024, 8 -- of what is on the way, and how many pieces at most
local OPTIONS = { atomic = true, permissions = true, sync = true }
local MODES = { r = true, w = true, a = true, x = true, ["r+"] = true }

local files = {}

local function path_of(path, what)
  if type(path) ~= "string" or path == "" then errors.invalid("%s: a path is wanted", what) end
  return path
end

-- ------------------------------------------------------------------------------------------------------------------- copying

local function begin(conn, up, from, to, options)
  local given = marks.map { atomic = true, mode = true, times = true, sync = false }
  for name, value in pairs(options or {}) do given[name] = value end
  return call.result(capi.transfer(conn, up, path_of(from, "from"), path_of(to, "to"), given))
end

local function finish(future)
  local ok, e = wait.guarded(wait.ready, future)
  if not ok then -- interrupted
    capi.cancel(future)
    error(e, 0)
  end
  return call.result(capi.result(future)).bytes
end

---Copies a file of this side to the far side; the number of bytes. Any size in constant memory. Options: atomic (true: the new file replaces the old one when it is complete), mode (true: the
---permissions of what it was copied from; or which), times (true: its times too), sync (false: whether it has to be on disk before this returns).
---@param conn remora.Connection|string
---@param from string
---@param to string
---@param options? { atomic: boolean?, mode: boolean|integer?, times: boolean?, sync: boolean? }
---@return integer
function files.put(conn, from, to, options) return finish(begin(commands.connection(conn), true, from, to, options)) end

---Copies a file of the far side to this one; the number of bytes. Options as in put.
---@param conn remora.Connection
---@param from string
---@param to string
---@param options? { atomic: boolean?, mode: boolean|integer?, times: boolean?, sync: boolean? }
---@return integer
function files.get(conn, from, to, options) return finish(begin(commands.connection(conn), false, from, to, options)) end

local function bytes_of(found) return found.bytes end

-- What can be started of a connection: start(conn):run(...), :put(...), :get(...).
local Starting = {}
Starting.__index = Starting

function Starting:run(argv, options) return commands.start_run(self[1], argv, options) end

function Starting:put(from, to, options) return begin(self[1], true, from, to, options):next(bytes_of) end

function Starting:get(from, to, options) return begin(self[1], false, from, to, options):next(bytes_of) end

---start(conn):run(...) and the like; else as call.start.
function files.start(target)
  if capi.handle_kind(target) == "connection" then return setmetatable({ target }, Starting) end
  return call.start(target)
end

-- ------------------------------------------------------------------------------------------------------------------- streams

---An open far file, used like those of io.open. What is read in a row is asked for ahead, what is written is not waited for; both have a bound. Errors are raised; one in
---writing by a later write, by flush or by close. What was not flushed when it is dropped without close is lost.
---@class remora.File
local File = {}
local FILE = { __index = File, __name = "remora.File" }

function FILE.__tostring(self) return ("remora.File %s%s"):format(self.path, self.closed and " (closed)" or "") end
function FILE.__close(self, e) return (e ~= nil and self.atomic) and self:discard() or self:close() end

local function open_here(self)
  if getmetatable(self) ~= FILE then errors.invalid "the methods of a far file are called with a colon" end
  if self.closed then error(errors.new("InvalidArgument", "the far file is closed"), 3) end
end

local function settle(self, most)
  while #self.behind > most do
    local before = self.incomplete
    self.incomplete = true -- unless it goes well
    table.remove(self.behind, 1):get()
    self.incomplete = before
  end
end

local function send_out(self, least)
  if self.out_size < least then return end
  local data = table.concat(self.out)
  self.out, self.out_size = {}, 0
  for i = 1, #data, PIECE do
    settle(self, WINDOW - 1)
    self.behind[#self.behind + 1] = self.start:write(marks.bytes(data:sub(i, i + PIECE - 1)))
  end
end

local function forget_ahead(self)
  self.ahead, self.buffer, self.from, self.wanted = {}, "", 1, 1
end

-- One piece more; false at the end. Who reads on gets more ahead each time.
local function fill(self)
  while #self.ahead < self.wanted do self.ahead[#self.ahead + 1] = self.start:read(PIECE) end
  local piece = table.remove(self.ahead, 1):get()
  piece = capi.held(piece) or piece
  self.wanted = piece == "" and 1 or math.min(2 * self.wanted, WINDOW)
  self.buffer = self.buffer:sub(self.from) .. piece
  self.from = 1
  return piece ~= ""
end

local function left(self) return #self.buffer - self.from + 1 end

local function take(self, n)
  local data = self.buffer:sub(self.from, self.from + n - 1)
  self.from = self.from + #data
  self.at = self.at + #data
  return data
end

local function read_line(self, keep)
  local from = self.from
  while true do
    local found = self.buffer:find("\n", from, true)
    if found then
      local line = take(self, found - self.from + 1)
      return keep and line or line:sub(1, -2)
    end
    local had = left(self)
    if not fill(self) then
      if had == 0 then return nil end
      return take(self, had)
    end
    from = had + 1
  end
end

local function read_all(self)
  local pieces = { take(self, left(self)) }
  while fill(self) do pieces[#pieces + 1] = take(self, left(self)) end
  return table.concat(pieces)
end

local function read_bytes(self, n)
  while left(self) < n and fill(self) do end
  if left(self) == 0 and (n > 0 or not fill(self)) then return nil end
  return take(self, n)
end

local function read_number(self)
  while left(self) < 200 and fill(self) do end
  local blanks, word = self.buffer:match("^(%s*)([+-]?[%x.xXpPeE+-]*)", self.from)
  local length = #word
  while length > 0 and not tonumber(word:sub(1, length)) do length = length - 1 end
  take(self, #blanks + length)
  return length > 0 and tonumber(word:sub(1, length)) or nil
end

local function read_one(self, format)
  if type(format) == "number" then return read_bytes(self, format) end
  local letter = type(format) == "string" and format:gsub("^%*", ""):sub(1, 1)
  if letter == "l" then return read_line(self, false) end
  if letter == "L" then return read_line(self, true) end
  if letter == "a" then return read_all(self) end
  if letter == "n" then return read_number(self) end
  errors.invalid("read: unknown format %s", tostring(format))
end

local function reading(self)
  open_here(self)
  if self.mode ~= "r" and self.mode ~= "r+" then errors.invalid "the far file was not opened for reading" end
  if self.out_size > 0 or #self.behind > 0 then self:flush() end
end

---As file:read of io: "l" (without argument), "L", "a", "n", or a number of bytes; nil at the end.
function File:read(...)
  reading(self)
  local n = select("#", ...)
  if n == 0 then return read_line(self, false) end
  local results = {}
  for i = 1, n do
    results[i] = read_one(self, (select(i, ...)))
    if results[i] == nil then return (table.unpack or unpack)(results, 1, i) end
  end
  return (table.unpack or unpack)(results, 1, n)
end

---for line in file:lines() do ... end; with formats as read has them.
function File:lines(...)
  reading(self)
  local n, formats = select("#", ...), { ... }
  return function() return wait.blocking(self.read, self, (table.unpack or unpack)(formats, 1, n)) end
end

---@return remora.File
function File:write(...)
  open_here(self)
  if self.mode == "r" then errors.invalid "the far file was not opened for writing" end
  if #self.ahead > 0 or left(self) > 0 then
    forget_ahead(self)
    self.proxy:seek(self.at, 0)
  end
  for i = 1, select("#", ...) do
    local data = select(i, ...)
    data = type(data) == "number" and tostring(data) or capi.held(data) or data
    if type(data) ~= "string" then errors.invalid("write: a string is wanted, not a %s", type(data)) end
    self.out[#self.out + 1] = data
    self.out_size = self.out_size + #data
    self.at = self.at + #data
    send_out(self, PIECE)
  end
  return self
end

---Waits until what was written has been written over there.
---@return remora.File
function File:flush()
  open_here(self)
  send_out(self, 1)
  settle(self, 0)
  return self
end

---As file:seek of io: whence "set", "cur" (without argument) or "end"; the new position.
---@param whence? string
---@param offset? integer
---@return integer
function File:seek(whence, offset)
  open_here(self)
  whence, offset = whence or "cur", offset or 0
  if whence == "cur" and offset == 0 then return self.at end
  local number = ({ set = 0, cur = 0, ["end"] = 2 })[whence]
  if not number then errors.invalid("seek: unknown place %s (set, cur, end)", tostring(whence)) end
  self:flush()
  if whence == "cur" then offset = offset + self.at end
  self.at = self.proxy:seek(offset, number)
  forget_ahead(self) -- not before: a seek that fails leaves what was read ahead
  return self.at
end

---@param size integer
function File:truncate(size)
  self:flush()
  self.proxy:truncate(size)
end

---size, mode, mtime, atime, kind of the far file.
---@return table
function File:stat()
  self:flush()
  return self.proxy:stat()
end

function File:close()
  if self.closed then return true end
  local ok, e = wait.guarded(self.flush, self)
  if not ok then
    self:discard()
    error(e, 0)
  end
  self.closed = true
  if self.incomplete then self.proxy:discard() else self.proxy:close() end -- what could not be written was told, and replaces nothing
  return true
end

---Closes the file without writing out; one opened with atomic = true is not replaced.
function File:discard()
  if self.closed then return true end
  self.closed, self.ahead, self.behind = true, {}, {}
  self.proxy:discard()
  return true
end

---Opens a far file: open(conn, "/etc/hosts") is used like io.open("/etc/hosts"), but errors are raised. mode: r, w, a, x or r+ (a b is ignored). Options: atomic (for w: what is written
---replaces the file when it is closed), permissions (that it gets), sync (close waits until it is on disk).
---@param conn remora.Connection|string
---@param path string
---@param mode? string
---@param options? { atomic: boolean?, permissions: integer?, sync: boolean? }
---@return remora.File
function files.open(conn, path, mode, options)
  options = options or {}
  for name in pairs(options) do
    if not OPTIONS[name] then errors.invalid("open: unknown option %s (atomic, permissions, sync)", tostring(name)) end
  end
  mode = tostring(mode or "r"):gsub("b", "", 1)
  if not MODES[mode] then errors.invalid("the mode of a far file is r, w, a, x or r+, not %s", mode) end
  local given = marks.map { atomic = options.atomic and true or false, sync = options.sync and true or false, mode = options.permissions }
  local root = call.result(capi.root(commands.connection(conn)))
  local proxy = root:open(path_of(path, "open"), marks.text(mode), given)
  local self = setmetatable({ proxy = proxy, start = call.start(proxy), path = path, mode = mode, atomic = given.atomic, out = {}, out_size = 0, behind = {}, at = 0 }, FILE)
  forget_ahead(self)
  if mode == "a" then self.at = proxy:seek(0, 2) end
  return self
end

-- The methods of a connection.
local Connection = connection.meta.__index

---remora.run(conn, argv, options)
---@return remora.CommandResult
function Connection:run(argv, options) return commands.run(self, argv, options) end

---remora.put(conn, from, to, options)
---@return integer
function Connection:put(from, to, options) return files.put(self, from, to, options) end

---remora.get(conn, from, to, options)
---@return integer
function Connection:get(from, to, options) return files.get(self, from, to, options) end

---remora.open(conn, path, mode, options)
---@return remora.File
function Connection:open(path, mode, options) return files.open(self, path, mode, options) end

return files
