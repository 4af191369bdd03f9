-- Errors: tables whose `class` is a row of the C library's table of errors.
local capi = require "remora.capi"
local marks = require "remora.marks"

local errors = {}

---@class remora.Error
---@field class string          "RemoteError", "ConnectError", "ConnectionLost", "Timeout", ... (docs/errors.md)
---@field code integer          its number in the C interface
---@field message string
---@field stage string?         ConnectError: "spawn", "transport", "auth", "bootstrap" or "hello"
---@field type string[]?        RemoteError: the names of the far error's class and of its bases, nearest first
---@field traceback string?     RemoteError: the far side's
---@field language string?
---@field hops string[]?        the processes it came through, nearest to its origin first
---@field cause remora.Error?   what it was raised from
---@field attributes table?     simple values of the far error
local Error = { __name = "remora.Error" }
Error.__index = Error

function Error.__tostring(e) return e.message end

---All that is known, for people: class, message, far traceback, the ways it took, causes.
---@return string
function Error:describe()
  local lines = { (self.type and self.type[1] or self.class) .. ": " .. self.message }
  if self.hops and #self.hops > 0 then lines[#lines + 1] = "from " .. table.concat(self.hops, ", by way of ") end
  if self.traceback then lines[#lines + 1] = (self.traceback:gsub("\n$", "")) end
  if self.cause then lines[#lines + 1] = "caused by " .. self.cause:describe() end
  return table.concat(lines, "\n")
end

local by_code, by_class = {}, {}
for code = -1, -1000, -1 do
  local class = capi.remora_code_name(code)
  if class == "Error" then break end
  by_code[code], by_class[class] = class, code
end
errors.codes = by_class

---@return remora.Error
function errors.new(class, message, level)
  return setmetatable({ class = class, code = by_class[class], message = message }, Error)
end

function errors.invalid(format, ...) error(errors.new("InvalidArgument", format:format(...)), 0) end

local function from_details(details)
  local e = errors.new("RemoteError", tostring(details.message or ""))
  e.type = type(details.type) == "table" and details.type or {}
  e.traceback = type(details.traceback) == "string" and details.traceback or nil
  e.language = type(details.language) == "string" and details.language or nil
  e.hops = type(details.hops) == "table" and details.hops or {}
  e.attributes = type(details.attributes) == "table" and details.attributes or {}
  e.cause = type(details.cause) == "table" and details.cause ~= marks.null and from_details(details.cause) or nil
  rawset(e, "details", details)
  return e
end

---The error for what the C library says (code, message, stage, traceback, details).
function errors.make(raw)
  local class = by_code[raw.code] or "Error"
  if class == "RemoteError" and type(raw.details) == "table" then return from_details(raw.details) end
  local e = errors.new(class, raw.message)
  e.code, e.stage, e.traceback = raw.code, raw.stage, raw.traceback
  if type(raw.details) == "table" and type(raw.details.hops) == "table" then
    e.hops = raw.details.hops
    rawset(e, "details", raw.details) -- so that it goes on whole
  end
  return e
end

---Whether e is an error of this package [and of that class].
---@param e any
---@param class? string
---@return boolean
function errors.is_error(e, class)
  return type(e) == "table" and getmetatable(e) == Error and (class == nil or e.class == class)
end

local where

local function type_names(e)
  local meta = type(e) == "table" and debug.getmetatable(e) or nil
  local name = type(e) == "table" and rawget(e, "name") or meta and (rawget(meta, "__name") or rawget(meta, "name"))
  if type(name) == "string" then return marks.list { capi.printable(name), "lua error" } end
  return marks.list { "lua error" }
end

---What an error of ours is for the far side: code and message, or the map of docs/protocol.md section 6.
function errors.for_far_side(e, traceback)
  if errors.is_error(e) then
    local details = rawget(e, "details")
    if details then return details end
    if e.class ~= "RemoteError" and by_class[e.class] then return e.code, capi.printable(tostring(e.message)) end
  end
  if not where then
    local host, pid = capi.process()
    where = ("%s pid %d"):format(host, pid)
  end
  local ok, message = pcall(tostring, e)
  if type(e) == "table" and type(rawget(e, "message")) == "string" then message = rawget(e, "message") end -- as a Lua far side has it
  local attributes = marks.map {}
  if type(e) == "table" then
    for name, value in next, e do
      local kind = type(value)
      if type(name) == "string" and not name:find("^_") and (kind == "string" or kind == "number" or kind == "boolean") then
        attributes[name] = value
      end
    end
  end
  return {
    type = type_names(e),
    message = capi.printable(ok and tostring(message) or "(an error whose text cannot be made)"),
    traceback = traceback and capi.printable(traceback) or nil,
    language = "lua",
    hops = marks.list { where },
    attributes = attributes,
  }
end

return errors
