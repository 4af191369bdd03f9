-- What user code and its children see as standard input and output. The wire is not theirs: where it lies on standard input and
-- output, every way there is taken away, and a command runs behind `exec </dev/null` in its own shell.

local printed, printed_size, printed_at = {}, 0, 0 -- {1 or 2, text}

-- OUTPUT frames of all that waits. What has no credit waits for it, and so does what comes behind.
function push_output()
  if printed_size == 0 then return end
  local waiting = printed
  printed, printed_size = {}, 0
  local i = 1
  while waiting[i] do
    local n, parts, size = waiting[i][1], {}, 0
    while waiting[i] and waiting[i][1] == n and size < 65536 do
      parts[#parts + 1] = waiting[i][2]
      size = size + #waiting[i][2]
      i = i + 1
    end
    local text = concat(parts)
    for at = 1, #text, 65536 do
      local piece = sub(text, at, at + 65535)
      local cost = 32 + #piece
      while spent > credit / 4 and spent + cost > credit do
        flush()
        local item = step()
        if item then enqueue(item) end
      end
      spent = spent + cost
      send_frame(frame(OUTPUT, piece, 0, 0, n))
    end
  end
end

local function say(n, text)
  if text == "" then return end
  printed[#printed + 1] = {n, text}
  printed_size = printed_size + #text
  local now = os.clock()
  if printed_size > 8192 or now - printed_at > 0.005 then -- a line before a long computation is not kept back
    printed_at = now
    push_output()
    flush()
  end
end

local function flush_all()
  push_output()
  flush()
end

-- ---- files

local function file_like(name, methods)
  local meta = {__name = "FILE*", __index = methods, __tostring = function() return "file (" .. name .. ")" end}
  for _, method in ipairs {"read", "lines", "write", "flush", "close", "seek", "setvbuf"} do
    methods[method] = methods[method] or function() return nil, "not possible with " .. name, 9 end
  end
  return setmetatable({}, meta)
end

local function writer(n, name)
  local it
  it = file_like(name, {
    write = function(_, ...)
      for i = 1, select("#", ...) do
        local part = select(i, ...)
        local kind = type(part)
        if kind ~= "string" and kind ~= "number" then
          error(format("bad argument #%d to 'write' (string expected, got %s)", i, kind), 2)
        end
        say(n, tostring(part))
      end
      return it
    end,
    flush = function()
      flush_all()
      return it
    end,
    setvbuf = function() return true end,
  })
  return it
end

local user_in = file_like("stdin", { -- empty
  read = function(_, what) return type(what) == "string" and find(what, "^%*?a") and "" or nil end,
  lines = function() return function() end end,
  close = function() return true end,
})
local user_out, user_err = writer(1, "stdout"), writer(2, "stderr")
local real = {}
for name, f in pairs(io) do real[name] = f end
local ours = {[user_in] = true, [user_out] = true, [user_err] = true}
local now_in, now_out = user_in, user_out
local special = {
  ["/dev/stdin"] = user_in, ["/dev/fd/0"] = user_in, ["/proc/self/fd/0"] = user_in, ["/dev/stdout"] = user_out,
  ["/dev/fd/1"] = user_out, ["/proc/self/fd/1"] = user_out,
}

io.stdin, io.stdout, io.stderr = user_in, user_out, user_err

function io.type(file)
  if ours[file] then return "file" end
  return real.type(file)
end

function io.open(path, mode)
  if special[path] then return special[path] end
  return real.open(path, mode)
end

local function chosen(file, mode)
  if type(file) ~= "string" then
    if io.type(file) ~= "file" then error("bad argument #1 (FILE* expected, got " .. type(file) .. ")", 3) end
    return file
  end
  local opened, why = io.open(file, mode)
  if not opened then error(why, 3) end
  return opened
end

function io.input(file)
  if file ~= nil then now_in = chosen(file, "r") end
  return now_in
end

function io.output(file)
  if file ~= nil then now_out = chosen(file, "w") end
  return now_out
end

function io.read(...) return now_in:read(...) end
function io.write(...) return now_out:write(...) end
function io.close(file) return (file or now_out):close() end

function io.lines(path, ...)
  if path == nil then return now_in:lines(...) end
  if special[path] then return special[path]:lines(...) end
  return real.lines(path, ...)
end

function print(...)
  local parts = {}
  for i = 1, select("#", ...) do
    local text = tostring((select(i, ...)))
    if type(text) ~= "string" then error("'tostring' must return a string to 'print'", 2) end
    parts[i] = text
  end
  say(1, concat(parts, "\t") .. "\n")
end

debug.debug = function() end -- it would read the wire, and so would these without a path
local real_dofile, real_loadfile = dofile, loadfile

function dofile(path)
  if path == nil or special[path] then return end
  return real_dofile(path)
end

function loadfile(path, ...)
  if path == nil or special[path] then return function() end end
  return real_loadfile(path, ...)
end

-- ---- commands

local mark = 0

local function shell_word(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

function io.popen(command, mode)
  flush_all()
  if find(mode or "r", "w", 1, true) then return real.popen("exec >&2\n" .. command, mode) end
  return real.popen("exec </dev/null\n" .. command, mode)
end

-- Runs the command and passes on what it prints. Its standard error is the node's own, which the near side shows.
local function captured(command)
  mark = mark + 1
  local stop = format("\0remora %d %d:", pid, mark)
  local pipe = real.popen(format("exec </dev/null\nsh -c %s\nprintf '\\0remora %d %d:%%d\\n' $?", shell_word(command), pid, mark))
  local lines, line, size, second = {}, {}, 0, os.time()
  while true do
    local c = pipe:read(1) -- one byte: a background process of the command may keep the pipe open
    if not c then break end
    line[#line + 1] = c
    size = size + 1
    if c == "\n" then
      local text = concat(line)
      local at = find(text, stop, 1, true)
      lines[#lines + 1] = at and sub(text, 1, at - 1) or text
      line = {}
      if at or size > 8192 or os.time() ~= second then
        say(1, concat(lines))
        lines, size, second = {}, 0, os.time()
        flush_all()
      end
      if at then
        pipe:close()
        return tonumber(sub(text, at + #stop, -2))
      end
    elseif #line > 32768 then -- as much as cannot be the mark
      say(1, concat(lines) .. concat(line, "", 1, #line - 64))
      lines, line, size = {}, {unpack(line, #line - 63)}, 64
    end
  end
  say(1, concat(lines) .. concat(line))
  pipe:close()
  return 137
end

local tells_how = _VERSION ~= "Lua 5.1"

function os.execute(command)
  if command == nil then return tells_how and true or 1 end
  flush_all()
  local status = captured(command)
  if not tells_how then return status < 128 and status * 256 or status - 128 end
  if status > 128 then return nil, "signal", status - 128 end
  if status == 0 then return true, "exit", 0 end
  return nil, "exit", status
end

function os.exit(code)
  flush_all()
  finish((code == nil or code == true) and 0 or code or 1)
end
