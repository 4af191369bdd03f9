-- Files and commands for the near side: `run`, `open` and `stat` of the root (protocol.md, sections 5.2 to 5.4). Fetched when one of
-- them is first called. What `io` and `os` do not have (rights, times, new files that nobody else can make, two streams of a
-- command at a time) is done by the shell and the programs that POSIX has.
local node = ...
local root, marks, null, held, err, oserror = node.root, node.marks, node.null, node.held, node.err, node.oserror
local open, popen, remove, rename = io.open, io.popen, os.remove, os.rename
local find, sub, format, gsub, floor, concat = string.find, string.sub, string.format, string.gsub, math.floor, table.concat

local function given(value) return value ~= nil and value ~= null end

local function float(n) return math.type and n + 0.0 or n end

local function word(text) return "'" .. gsub(text, "'", "'\\''") .. "'" end

-- Text or bytes that the system can take.
local function octets(value, what)
  local text = type(value) == "string" and value or (marks.kind(value) == "bytes" or marks.kind(value) == "text") and held(value)
  if not text then err("Value", what .. " is text or bytes") end
  if find(text, "%z") then err("Value", what .. " with a NUL") end
  return text
end

-- No path is taken for an option.
local function path_of(value)
  local path = octets(value, "a path")
  return sub(path, 1, 1) == "-" and "./" .. path or path
end

-- What a script for the shell says, and its status as far as that is told.
local function shell(script, ...)
  local words = {...}
  for i = 1, #words do words[i] = word(words[i]) end
  local pipe = popen("LC_ALL=C; export LC_ALL; set -- " .. concat(words, " ") .. "\n" .. script, "r")
  local text = pipe:read("*a")
  pipe:close()
  return text
end

local function options_of(options)
  if not given(options) then return {} end
  if type(options) ~= "table" or marks.kind(options) and marks.kind(options) ~= "map" then err("Value", "the options are a map") end
  return options
end

local function fail(path, why, number)
  local reason = why and why:match(": ([^:]*)$") or why or "failed"
  oserror(path .. ": " .. reason, number or 5, path)
end

-- ---- stat

local STAT = [[
see() { stat $2 -c '%s %a %.9Y %.9X %F' "$1" || stat $2 -f '%z %Mp%Lp %Fm %Fa %HT' "$1"; }
{ see "$1" -L || see "$1"; } 2>/dev/null]]

local function described(text)
  local size, mode, mtime, atime, kind = text:match("^(%d+) (%d+) (%S+) (%S+) ([^\n]*)")
  if not size then return nil end
  kind = kind:lower()
  return marks.map {
    size = tonumber(size), mode = tonumber(mode, 8), mtime = float(tonumber(mtime) or tonumber(mtime:match("^%d+")) or 0),
    atime = float(tonumber(atime) or tonumber(atime:match("^%d+")) or 0),
    kind = find(kind, "regular") and "file" or kind == "directory" and kind or find(kind, "link") and "link" or "other",
  }
end

local function stat(path)
  local found = described(shell(STAT, path))
  if found then return found end
  local file, why, number = open(path, "rb")
  if file then file:close() end
  if number == 2 or number == 20 then return nil end
  fail(path, why, number)
end

function root.stat(path) return stat(path_of(path)) end

-- ---- files

local temporary = {} -- path of a file that is to be removed unless its name is changed -> true
node.leaving[#node.leaving + 1] = function()
  for path in next, temporary do remove(path) end
end

local file = {}
local file_meta = {__name = "remora.File", __index = file}
local modes = {r = "rb", w = "wb", a = "ab", ["r+"] = "r+b", x = "r+b"}

local function random()
  local from = open("/dev/urandom", "rb")
  local text = ""
  if from then
    from:setvbuf("no")
    text = from:read(4) or ""
    from:close()
  end
  return #text == 4 and format("%02x%02x%02x%02x", text:byte(1, 4)) or format("%08x", math.random(0, 2147483647))
end

-- A new file that nobody has made before; "" or why not: there, missing, denied. Nobody else may read what is private.
local NEW = [[
if (set -C; : >"$1") 2>/dev/null; then :
elif [ -e "$1" ] || [ -L "$1" ]; then printf there
else case $1 in */*) [ -d "${1%/*}/" ] ;; *) : ;; esac && printf denied || printf missing; fi]]
-- The same beside the file that it will replace: prints both paths with a NUL between; nothing where there is no plain file to be replaced.
local BESIDE = [[
p=$1 i=0
while [ -L "$p" ] && [ $i -lt 40 ]; do
  t=$(readlink "$p"; printf .)
  t=${t%??} i=$((i + 1))
  case $t in /*) p=$t ;; *) case $p in */*) p=${p%/*}/$t ;; *) p=$t ;; esac ;; esac
done
if [ -e "$p" ] && ! [ -f "$p" ]; then exit; fi
case $p in */*) d=${p%/*}/ ;; *) d= ;; esac
t=$d.$(printf %.200s "${p##*/}").$2.part
umask 077
if (set -C; : >"$t") 2>/dev/null; then printf '%s\000%s' "$t" "$p"
elif [ -e "$t" ]; then printf '\000there'
elif [ -d "${d:-.}" ]; then printf '\000denied'
else printf '\000missing'; fi]]
local why_not = {there = {"File exists", 17}, missing = {"No such file or directory", 2}, denied = {"Permission denied", 13}}

local function open_beside(self)
  local text, found
  repeat
    text = shell(BESIDE, self.path, random())
    if text == "" then return false end
    found, self.target = text:match("^(%Z*)%z(.*)$")
  until found ~= "" or self.target ~= "there"
  if found == "" then fail(self.path, why_not[self.target][1], why_not[self.target][2]) end
  temporary[found] = true
  self.temporary = found
  return true
end

function root.open(path, mode, options)
  path = path_of(path)
  options = options_of(options)
  local how = modes[mode == nil and "r" or mode]
  if not how then err("Value", "no such mode: there are r, w, a, x and r+") end
  local self = {path = path, mode = given(options.mode) and options.mode or nil, times = given(options.times) and options.times or nil,
    sync = options.sync == true}
  local beside = options.atomic == true and mode == "w" and open_beside(self)
  if mode == "x" then
    local failed = why_not[shell(NEW, path)]
    if failed then fail(path, failed[1], failed[2]) end
  end
  local handle, why, number = open(beside and self.temporary or path, how)
  if not handle then fail(path, why, number) end
  local folder = how == "rb" and open(path .. "/.", "rb") -- a directory can be opened, but not read
  if folder then
    folder:close()
    handle:close()
    fail(path, "Is a directory", 21)
  end
  if mode and mode ~= "r" then
    handle:setvbuf("no")
    if mode ~= "a" then handle:seek("set", 0) end
    if self.mode and not beside then shell('if [ -f "$1" ]; then chmod "$2" "$1"; fi', path, format("%04o", self.mode)) end
  end
  self.handle = handle
  node.released[self] = file.discard
  return marks.ref(setmetatable(self, file_meta))
end

local function handle_of(self)
  return self.handle or fail(self.path, "Bad file descriptor", 9)
end

-- C wants a seek between reading and writing.
local function turn(self, to)
  local handle = handle_of(self)
  if self.doing ~= to and self.doing then handle:seek("cur", 0) end
  self.doing = to
  return handle
end

-- At most n bytes, none at the end; all that are left without n.
function file:read(n)
  local handle, most = turn(self, "read"), node.most() - 1024
  n = n and n >= 0 and floor(n) or nil
  if n == 0 then return marks.bytes("") end
  local parts, size = {}, 0
  while not n or size < n do
    local wanted = n and n <= most and n or math.min(1048576, n and n - size or 1048576)
    local part, why, number = handle:read(wanted)
    if not part then
      if number then fail(self.path, why, number) end
      break
    end
    parts[#parts + 1] = part
    size = size + #part
    if size > most then
      handle:seek("cur", -size)
      err("Limit", format("%s: more than the %d bytes that one message can carry", self.path, most))
    end
    if #part < wanted then break end
  end
  return marks.bytes(parts[2] and concat(parts) or parts[1] or "")
end

function file:write(data)
  if marks.kind(data) ~= "bytes" then err("Value", "bytes are written, and nothing else") end
  local ok, why, number = turn(self, "write"):write(held(data))
  if not ok then fail(self.path, why, number) end
end

local whences = {[0] = "set", "cur", "end"}
function file:seek(offset, whence)
  local at, why, number = handle_of(self):seek(whences[whence or 0] or err("Value", "whence is 0, 1 or 2"), offset)
  if not at then fail(self.path, why, number) end
  self.doing = nil
  return at
end

function file:tell() return self:seek(0, 1) end
function file:flush() end

function file:truncate(n)
  handle_of(self)
  local failed = shell('dd if=/dev/null of="$1" bs=1 seek="$2" 2>/dev/null || printf failed',
    self.temporary or self.path, format("%d", n or self:tell()))
  if failed ~= "" then fail(self.path, "Invalid argument", 22) end
end

function file:stat()
  handle_of(self)
  return stat(self.temporary or self.path)
end

local function date(time)
  local whole = floor(time)
  return os.date("!%Y-%m-%dT%H:%M:%S", whole) .. format(".%09dZ", floor((time - whole) * 1e9)), os.date("!%Y%m%d%H%M.%S", whole)
end

-- The rights, owner and times of $1, which is closed; $2 the rights or "", $3 the file it replaces or "", then access and modification as touch
-- knows them, exactly and roughly.
local FINISH = [[
[ -f "$1" ] || exit
if [ "$3" ] && [ -e "$3" ]; then
  chown "$(stat -L -c %u:%g "$3" 2>/dev/null || stat -L -f %u:%g "$3")" "$1" 2>/dev/null
  [ "$2" ] || set -- "$1" "$(stat -L -c %a "$3" 2>/dev/null || stat -L -f %Mp%Lp "$3")" "$3" "$4" "$5" "$6" "$7" "$8"
elif [ "$3" ] && ! [ "$2" ]; then
  set -- "$1" "$(printf %o $((0666 & ~$(umask))))" "$3" "$4" "$5" "$6" "$7" "$8"
fi
{ ! [ "$2" ] || chmod "$2" "$1"; } && { ! [ "$4" ] || {
  { touch -a -d "$4" "$1" 2>/dev/null || TZ=UTC0 touch -a -t "$5" "$1"; } &&
  { touch -m -d "$6" "$1" 2>/dev/null || TZ=UTC0 touch -m -t "$7" "$1"; }; }; } || printf failed
if [ "$8" ]; then sync "$1" 2>/dev/null || sync; fi]]

-- Rights and times are set, an atomic file gets its name.
function file:close(times)
  local handle = self.handle
  if not handle then return end
  self.handle = nil
  times = times or self.times
  local ok, why, number = handle:close()
  if ok and (times or self.temporary or self.sync) then
    local a, b, c, d = "", "", "", ""
    if times then a, b = date(times[1]) c, d = date(times[2]) end
    if shell(FINISH, self.temporary or self.path, self.temporary and self.mode and format("%04o", self.mode) or "",
      self.temporary and self.target or "", a, b, c, d, self.sync and "1" or "") ~= "" then
      ok, why, number = nil, "Operation not permitted", 1
    end
  end
  if ok and self.temporary then
    ok, why, number = rename(self.temporary, self.target)
    if ok then
      temporary[self.temporary] = nil
      self.temporary = nil
    end
  end
  if ok then return end
  self:discard()
  fail(self.path, why, number)
end

-- An atomic file leaves no trace.
function file:discard()
  if self.handle then self.handle:close() end
  if self.temporary then
    remove(self.temporary)
    temporary[self.temporary] = nil
  end
  self.handle, self.temporary = nil, nil
end

-- ---- commands

-- Runs in a session of its own, so that it sees the end of this process, which it then brings to the command. $1: a folder of its own; the input; the
-- limit in ms; our number; the program of the command's own shell; the command. Each stream is cut into files, at most four of which are there; a line
-- tells of each: a stock Lua can read from one pipe only, and not just what is there.
local RUN = [[
dir=$1 input=${2:-/dev/null} made=$2 left=$3 node=$4 inner=$5
shift 5
(umask 077 && mkdir "$dir" && mkfifo "$dir/o" "$dir/e") || exit 1
own=setsid group=-
command -v setsid >/dev/null 2>&1 || own= group=
exec 3>&1 >/dev/null 2>"$dir/said"
take() {
  n=0
  while dd bs=61440 count=1 of="$dir/$1.$n" 2>/dev/null 3>&- && [ -s "$dir/$1.$n" ]; do
    echo "$1 $n" >&3
    n=$((n + 1))
    while [ -e "$dir/$1.$((n - 4))" ]; do sleep 0.01 2>/dev/null || sleep 1; done
  done
}
strike() { kill -s "$1" -- "$group$(cat "$dir/pid")"; }
watch() {
  while :; do
    step=250
    if [ "$left" ] && [ "$left" -lt $step ]; then step=$left; fi
    sleep "0.$(printf %03d $step)" 3>&- || sleep 1 3>&-
    if ! kill -0 "$node" || [ -e "$dir/stop" ]; then break; fi
    if [ "$left" ]; then
      left=$((left - step))
      if [ "$left" -le 0 ]; then
        : >"$dir/late"
        break
      fi
    fi
    echo look >&3
  done
  strike TERM
  sleep 2 3>&-
  strike KILL
  kill "$one" "$two"
} 2>/dev/null
take 1 <"$dir/o" &
one=$!
take 2 <"$dir/e" &
two=$!
watch &
watcher=$!
(exec $own sh -c "$inner" "$dir" "$@" <"$input" >"$dir/o" 2>"$dir/e")
status=$?
kind=exit
if [ "$status" -gt 128 ]; then
  # A shell says on its standard error by which signal a program ended, except of INT and PIPE; one that never says so leaves it open.
  case $status in
  130 | 141) kind=signal ;;
  *)
    if [ -s "$dir/said" ]; then kind=signal
    else
      sh -c 'kill -s KILL $$'
      [ -s "$dir/said" ] || kind=signal
    fi ;;
  esac
fi
if [ $kind = signal ]; then status=$((status - 128)); fi
wait "$one" "$two"
kill "$watcher" 2>/dev/null
if [ -e "$dir/late" ]; then kind=late; fi
(echo "$kind $status" >&3) || rm -rf "$dir" "${dir%.d}" "$made" # nobody listens; else the last files are still to be read]]

-- What the command's own shell does before it becomes the command; in a shell of its own, as its variables are the command's.
local LOOK = [[
(
  case $1 in
  */*)
    [ -e "$1" ] || why=none
    [ "$why" ] || { [ -f "$1" ] && [ -x "$1" ]; } || why=denied ;;
  *)
    why=none IFS=:
    set -f
    for folder in $PATH; do
      [ -f "${folder:-.}/$1" ] || continue
      why=denied
      [ -x "${folder:-.}/$1" ] || continue
      why=
      break
    done ;;
  esac
  [ "$why" ] || exit 0
  echo "$why 0" >&3
  exit 1
) || exit 127
echo $$ >"$0/pid"
echo "pid $$" >&3
exec "$@" 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-]]

local function words_of(argv)
  if type(argv) ~= "table" or marks.kind(argv) or #argv == 0 then
    err("Value", "a command is a list of text, at least the name of a program")
  end
  local words = {}
  for i = 1, #argv do words[i] = octets(argv[i], "an argument") end
  return words
end

local function prelude(cwd, env)
  local lines = {"why="}
  if cwd then lines[1] = "cd " .. word(find(cwd, "^[/.]") and cwd or "./" .. cwd) .. " >/dev/null 2>&1 || { echo 'cwd 0' >&3; exit 127; }" end
  if given(env) then
    if type(env) ~= "table" then err("Value", "env is a map") end
    for name, value in next, env do
      if type(name) ~= "string" or not find(name, "^[%a_][%w_]*$") then
        err("Value", "env: the shell cannot set a variable of the name " .. tostring(name))
      end
      if value == null then
        lines[#lines + 1] = "unset " .. name
      else
        lines[#lines + 1] = "export " .. name .. "=" .. word(octets(value, "env: " .. name))
      end
    end
  end
  return concat(lines, "\n") .. "\n"
end

local function write_file(path, data)
  local to, why, number = open(path, "wb")
  if not to then fail(path, why, number) end
  local ok
  ok, why, number = to:write(data)
  to:close()
  if not ok then fail(path, why, number) end
end

-- The input as a file.
local function fill(path, input)
  if type(input) == "string" or marks.kind(input) == "bytes" or marks.kind(input) == "text" then
    return write_file(path, held(input) or input)
  end
  local id = node.id_of(input)
  local to, why, number = open(path, "wb")
  if not to then fail(path, why, number) end
  local ok, failure = pcall(function()
    while true do
      local data = node.call_near(id, "read", nil, 61440)
      data = given(data) and (held(data) or data) or ""
      if type(data) ~= "string" then err("Value", "the input gave something else than bytes") end
      if data == "" then return end
      local done, reason, code = to:write(data)
      if not done then fail(path, reason, code) end
    end
  end)
  to:close()
  if not ok then error(failure, 0) end
end

-- Handles the lines that tell what has happened, until the command has ended.
local function follow(pipe, dir, item, output)
  local kept, size, told, failure = {{}, {}}, 0, {}, nil
  local function stop(e)
    if failure then return end
    failure = {e}
    local flag = open(dir .. "/stop", "wb")
    if flag then flag:close() end
  end
  local function take(n, path)
    local from = open(path, "rb")
    local data = from and from:read("*a") or ""
    if from then from:close() end
    remove(path)
    if failure or data == "" then return end
    if output then
      node.call_near(output, "", nil, n, marks.bytes(data))
    else
      kept[n][#kept[n] + 1] = data
      size = size + #data
      local most = node.most() - 1024
      if size > most then err("Limit", format("the command wrote more than %d bytes: take its output with on_output", most)) end
    end
  end
  for line in pipe:lines() do
    local what, number = line:match("^(%S+) ?(%d*)$")
    local ok, e = true, nil
    if what == "1" or what == "2" then
      ok, e = pcall(take, tonumber(what), dir .. "/" .. what .. "." .. number)
    elseif what == "look" then -- what is answered tells that the near side is there, and brings its CANCEL along
      ok, e = pcall(node.call_near, 0, "module", nil, "lua", "remora")
    elseif what then
      told[what] = tonumber(number)
    end
    if not ok then stop(e) end
    if node.cancelled[item.call] then stop(node.make_error("Cancelled", "cancelled")) end
  end
  return kept, told, failure
end

local function limit_of(item, options)
  local limit = given(options.timeout) and options.timeout or nil
  local left = item.due and math.max(1, (item.due - node.clock()) * 1000)
  return limit and left and math.min(limit, left) or limit or left, limit
end

function root.run(argv, options)
  local item = node.current()
  options = options_of(options)
  local words = words_of(argv)
  local cwd = given(options.cwd) and octets(options.cwd, "cwd") or nil
  local inner = prelude(cwd, options.env) .. LOOK
  local limit, asked = limit_of(item, options)
  local output = given(options.output) and (node.id_of(options.output) or err("Value", "the output is a function of the near side")) or nil
  if given(options.input) and type(options.input) ~= "string" and not held(options.input) and not node.id_of(options.input) then
    err("Value", "the input is bytes, or an object with read")
  end
  local name, input = os.tmpname(), given(options.input) and os.tmpname() or "" -- files that only we can read
  local dir = name .. ".d"
  local script = {word(dir), word(input), word(limit and format("%d", math.max(1, floor(limit))) or ""), format("%d", node.pid), word(inner)}
  local ok, kept, told, failure = pcall(function()
    if input ~= "" then fill(input, options.input) end
    for i = 1, #words do script[#script + 1] = word(words[i]) end
    local text = "set -- " .. concat(script, " ") .. "\n" .. RUN
    write_file(name, text) -- there is a limit to the length of an argument
    local pipe = popen(format("if command -v setsid >/dev/null 2>&1; then exec setsid sh %s; fi; exec sh %s", name, name), "r")
    local a, b, c = follow(pipe, dir, item, output)
    pipe:close()
    return a, b, c
  end)
  if ok and failure then ok, kept = false, failure[1] end
  if input ~= "" then remove(input) end
  for _, ending in ipairs {"", ".d/o", ".d/e", ".d/pid", ".d/said", ".d/late", ".d/stop"} do remove(name .. ending) end
  if not remove(dir) then shell('rm -rf "$1"', dir) end -- a command that was killed leaves more
  if not ok then error(kept, 0) end
  if told.late then
    err("Timeout", asked and format("the command %s has not ended within %d ms", words[1], asked) or "no time was left for the command")
  elseif told.none then
    err("NotFound", "no program " .. words[1])
  elseif told.denied then
    fail(words[1], "Permission denied", 13)
  elseif told.cwd then
    local _, why, number = open(cwd .. "/.", "rb")
    fail(cwd, why, number or 2)
  elseif told.exit == 126 and not told.pid then -- not even the command's own shell could be started
    fail(words[1], "Argument list too long", 7)
  elseif not told.exit and not told.signal then
    oserror("the command " .. words[1] .. " could not be started, or its end was not told", 5, words[1])
  end
  return marks.map {
    pid = told.pid, status = told.exit or null, signal = told.signal or null,
    stdout = output and null or marks.bytes(concat(kept[1])), stderr = output and null or marks.bytes(concat(kept[2])),
  }
end
