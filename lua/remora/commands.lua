-- Commands on the far side.
local capi = require "remora.capi"
local errors = require "remora.errors"
local marks = require "remora.marks"
local wait = require "remora.wait"
local call = require "remora.call"
local connection = require "remora.connection"

local commands = {}

---@class remora.CommandResult
---@field args string[]
---@field pid integer
---@field status integer?  the exit status; exactly one of status and signal is nil
---@field signal integer?  the number of the signal that killed it
---@field stdout string?   nil when on_output got it
---@field stderr string?
---@field ok boolean       whether it exited with status 0

local OPTIONS = { input = true, on_output = true, cwd = true, env = true, timeout = true, check = true }

-- Bytes and null as Lua has them.
local function plain(value)
  if value == marks.null then return nil end
  return capi.held(value) or value
end

-- fn, but an error that comes out of it is kept for the caller, who sees it as it is.
local function guarded(kept, fn)
  return function(...)
    local ok, value = wait.guarded(fn, ...)
    if not ok then
      kept.error = value
      error(value, 0)
    end
    return value
  end
end

-- Something with a method read, or a function that gives piece after piece, as the far side reads it.
local function input_of(kept, source)
  if type(source) == "string" or capi.held(source) then return marks.bytes(source) end
  local read
  if type(source) == "function" then
    read = guarded(kept, function()
      local piece
      repeat piece = source() until piece == nil or #piece > 0 -- nothing would be the end
      return piece
    end)
  else
    if type(source) ~= "table" and type(source) ~= "userdata" then
      errors.invalid("input: a string, a function or something with read is wanted, not a %s", type(source))
    end
    read = guarded(kept, function(n) return source:read(n) end)
  end
  return marks.ref { read = function(_, n) return marks.bytes(read(n) or "") end }
end

local function environment(env)
  if type(env) ~= "table" then errors.invalid("env: a table is wanted, not a %s", type(env)) end
  local map = marks.map {}
  for name, value in pairs(env) do
    map[tostring(name)] = (value == false or value == marks.null) and marks.null or tostring(value)
  end
  return map
end

-- The future of what the far side says of it, and what ran here meanwhile.
local function begin(conn, argv, options)
  if type(argv) ~= "table" or #argv == 0 then
    errors.invalid 'a command is a list of words; for a shell: { "sh", "-c", command }'
  end
  local words, kept, given = marks.list {}, {}, marks.map {}
  for i = 1, #argv do words[i] = tostring(argv[i]) end
  if type(options) ~= "table" then errors.invalid("options: a table is wanted, not a %s", type(options)) end
  for name in pairs(options) do
    if not OPTIONS[name] then errors.invalid("run: unknown option %s (check, cwd, env, input, on_output, timeout)", tostring(name)) end
  end
  if options.input ~= nil then given.input = input_of(kept, options.input) end
  if options.on_output ~= nil then
    local told = guarded(kept, options.on_output)
    given.output = function(stream, data) told(stream == 1 and "stdout" or "stderr", plain(data)) end
  end
  if options.cwd ~= nil then given.cwd = options.cwd end
  if options.env ~= nil then given.env = environment(options.env) end
  local limit = call.milliseconds(options.timeout, "timeout")
  if limit >= 0 then given.timeout = limit end
  local root = call.result(capi.root(conn))
  return call.start(root):run(words, given), kept
end

local function failed(result)
  local last = (result.stderr or ""):match "([^\n]+)%s*$"
  local ending = result.signal and ("signal %d"):format(result.signal) or ("exit status %d"):format(result.status)
  local e = errors.new("CommandFailed", ("%s: %s%s"):format(table.concat(result.args, " "), ending, last and ": " .. last or ""))
  e.result = result
  return e
end

local function finish(argv, options, found)
  local args = {}
  for i = 1, #argv do args[i] = tostring(argv[i]) end
  local result = { args = args }
  for _, name in ipairs { "pid", "status", "signal", "stdout", "stderr" } do result[name] = plain(found[name]) end
  result.ok = result.status == 0
  if options.check and not result.ok then error(failed(result), 0) end
  return result
end

---Runs a command on the far side and waits for its end: run(conn, { "ls", "-l" }, options).
---
---input: its standard input: a string, something with read, or a function that gives piece after piece, then nil. on_output: fn(stream, data) gets what it writes as it
---comes, stream "stdout" or "stderr"; without it the result has both. cwd, env: its directory, and variables that are added (false: taken away). timeout: seconds, then it
---is ended and a Timeout raised. check: whether an error of class CommandFailed is raised unless it exits with status 0.
---@param conn remora.Connection|string
---@param argv string[]
---@param options? table
---@return remora.CommandResult
function commands.run(conn, argv, options)
  options = options or {}
  conn = commands.connection(conn)
  local future, kept = begin(conn, argv, options)
  local ok, e = wait.guarded(wait.ready, future)
  if not ok then -- interrupted
    capi.cancel(future)
    error(e, 0)
  end
  local status, value = capi.result(future)
  if status ~= 0 and kept.error ~= nil then error(kept.error, 0) end
  return finish(argv, options, call.result(status, value))
end

---start(conn):run(argv, options): a future of what run gives.
function commands.start_run(conn, argv, options)
  options = options or {}
  return (begin(conn, argv, options)):next(function(found) return finish(argv, options, found) end)
end

---A connection of this process: as given, or made of a spec.
function commands.connection(where)
  if capi.handle_kind(where) == "connection" then return where end
  if type(where) == "string" then return connection.connect(where) end
  errors.invalid("commands and files need a connection, not a %s", type(where))
end

return commands
