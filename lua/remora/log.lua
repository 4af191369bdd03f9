-- Log records: those of far sides (connect with log_forward = true), of remora itself (names that begin with "remora."), and one's own.
local capi = require "remora.capi"
local call = require "remora.call"
local errors = require "remora.errors"
local marks = require "remora.marks"
local wait = require "remora.wait"

---@class remora.log
local log = {}

log.levels = { "trace", "debug", "verbose", "info", "warn", "error", "fatal" }

local sinks = {} -- number -> function

local function number_of(level)
  local number = type(level) == "string" and capi.remora_log_level_of(level) or 0
  if number == 0 then
    errors.invalid("%s is no level of log records; those are %s", tostring(level), table.concat(log.levels, ", "))
  end
  return number
end

local function plain(record)
  local made = {}
  for key, value in pairs(record) do
    if value ~= marks.null then made[key] = value end
  end
  return made
end

wait.set_log(function(number, record)
  local fn = sinks[number]
  if fn then fn(plain(record)) end
end)

---Calls fn(record) with every record from now on, in waits and in remora.serve. options.level: the least that it gets ("trace"); options.selections: names between
---blanks, each for itself and all below it, or "*" for all, with "-" in front not these (the longest that fits decides), or a function of the record.
---A record is a table: level, name, message, time, function, file, line, pid, host, exporter, connection, connection_id, hops, dropped; what is not known is nil.
---@param fn fun(record: table): any
---@param options? table
---@return integer sink
function log.add_sink(fn, options)
  if fn == nil then errors.invalid "add_sink wants a function" end
  options = options or {}
  for name in pairs(options) do
    if name ~= "level" and name ~= "selections" then errors.invalid("add_sink: unknown option %s (level, selections)", tostring(name)) end
  end
  local selections = options.selections or "*"
  local number = number_of(options.level or "trace")
  local selects = type(selections) ~= "string" and selections
  local sink = capi.log_sink(number, selects and "*" or selections)
  sinks[sink] = selects and function(record)
    if selects(record) then fn(record) end
  end or fn
  return sink
end

---No record that comes from now on gets there. More than once is harmless.
---@param sink integer
function log.remove_sink(sink)
  if sinks[sink] then
    sinks[sink] = nil
    capi.remora_log_remove_sink(sink)
  end
end

---How many records the sink was too slow for.
---@param sink integer
---@return integer
function log.dropped(sink) return capi.remora_log_dropped(sink) end

---Prints records on standard error; with false not any more. Replaces what REMORA_LOG_LEVEL, REMORA_LOG_SELECTIONS and REMORA_LOG_FORMAT said.
---@param level? string|false
---@param selections? string
---@param format? string
function log.to_stderr(level, selections, format)
  capi.remora_log_print(level == false and 0 or number_of(level or "info"), selections or "*", format)
end

---The record as text: %l level, %s message, %t local time, %r "local" or "remote #3 web1", %c exporter, %p name, %m function, %f file, %i line, %h host, %P process id,
---%%, %n newline.
---@param record table
---@param format? string
---@return string
function log.format(record, format) return call.result(capi.log_format(format or "[%l %r] %s", marks.map(plain(record)))) end

---Whether anybody would get such a record.
---@param level string
---@param name? string
---@return boolean
function log.wants(level, name) return capi.remora_log_wants(number_of(level), name or "") == 1 end

local function emit(number, message, name)
  name = name or "lua"
  if capi.remora_log_wants(number, name) ~= 1 then return end
  if type(message) == "function" then message = message() end
  local place = debug.getinfo(3, "nSl") or {}
  capi.remora_log(number, name, tostring(message), place.name, place.short_src, math.max(place.currentline or 0, 0))
end

---Logs text, or what a function gives that is called only when somebody wants it.
---@param level string
---@param message any
---@param name? string
function log.log(level, message, name) emit(number_of(level), message, name) end

for number, level in ipairs(log.levels) do
  log[level] = function(message, name) emit(number, message, name) end
end

return log
