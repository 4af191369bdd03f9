-- The wire: bytes in and out, the clock, what is known of this process.
--
-- A stock Lua can neither duplicate descriptors nor poll. So the wire stays on standard input and output, two files that
-- only this program holds (output.lua takes them from user code and its children), and reading blocks until all is there.
-- LuaJIT has the C library: the wire moves to other descriptors, and reading spins before it sleeps.

local VERSION = "0.1.0"
local HELLO, CALL, REPLY, ERROR, CANCEL, RELEASE, BEAT, CREDIT, TYPE, OUTPUT, CHUNK, BYE = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
local PLAIN, TABLES, CHUNKED, KW, ONEWAY = 1, 2, 4, 8, 16 -- and 32, BYREF: the result is wanted as a reference
local GRANT = 16 * 1048576 -- bytes of calls that we let the other side have outstanding
local LONG = 4096 -- text from here on goes as an attachment
local SMALL = 65536 -- messages up to here go in one frame
local DEEP = 128

local type, pcall, error, tostring, tonumber, select, next, pairs, ipairs, getmetatable, setmetatable, rawget, rawequal =
  type, pcall, error, tostring, tonumber, select, next, pairs, ipairs, getmetatable, setmetatable, rawget, rawequal
local byte, char, sub, find, format, gsub, rep = string.byte, string.char, string.sub, string.find, string.format, string.gsub, string.rep
local concat, insert, remove, floor = table.concat, table.insert, table.remove, math.floor
local unpack = table.unpack or unpack
local load = loadstring or load
local raw_metatable = debug.getmetatable
local integers = math.type -- the version has them
local ffi = jit and select(2, pcall(require, "ffi")) or nil
if type(ffi) ~= "table" then ffi = nil end

local null, held, kind_of, is_text = marks.null, marks.held, marks.kind, marks.is_text
local metatables = marks.metatables
local NO_CHAIN = rep("\0", 8)

local u32, u64, get32, get64
local pack_head, unpack_head
if string.pack then
  local spack, sunpack = string.pack, string.unpack
  function u32(n) return spack("<I4", n) end
  function u64(n) return spack("<I8", n) end
  function get32(s, at) return (sunpack("<I4", s, at)) end
  function get64(s, at) return (sunpack("<i8", s, at)) end
  function pack_head(size, kind, flags, mlen, call, aux, object, chain)
    return spack("<I4BBI2I4I4I8c8", size, kind, flags, mlen, call, aux, object, chain)
  end
  function unpack_head(s)
    return sunpack("<I4BBI2I4I4i8c8", s)
  end
else
  function u32(n) return char(n % 256, floor(n / 256) % 256, floor(n / 65536) % 256, floor(n / 16777216) % 256) end
  function u64(n) return u32(n % 4294967296) .. u32(floor(n / 4294967296)) end
  function get32(s, at)
    local a, b, c, d = byte(s, at, at + 3)
    return a + b * 256 + c * 65536 + d * 16777216
  end
  function get64(s, at) return get32(s, at) + get32(s, at + 4) * 4294967296 end -- beyond 2^53 no id of ours is meant
  function pack_head(size, kind, flags, mlen, call, aux, object, chain)
    return u32(size) .. char(kind, flags, mlen % 256, floor(mlen / 256)) .. u32(call) .. u32(aux)
      .. (object == 0 and NO_CHAIN or u64(object)) .. chain
  end
  function unpack_head(s)
    local a, b, c, d, kind, flags, m, n, e, f, g, h, p, q, r, t = byte(s, 1, 16)
    return a + b * 256 + c * 65536 + d * 16777216, kind, flags, m + n * 256, e + f * 256 + g * 65536 + h * 16777216,
      p + q * 256 + r * 65536 + t * 16777216, get64(s, 17), sub(s, 25, 32)
  end
end

local function frame(kind, payload, object, call, aux)
  return pack_head(#payload, kind, 0, 0, call or 0, aux or 0, object or 0, NO_CHAIN) .. payload
end

local beat_due -- does what is to be done when a time has gone by without anything (LuaJIT)
local ending = false

-- `read` gives exactly n bytes and ends the process at the end of the wire; `more` says that bytes are here already;
-- `write` writes all; `clock` counts seconds, as exactly as the version can.
local read, more, write, clock
local exit, errors = os.exit, io.stderr

local leaving = {} -- functions to call before

local function finish(code)
  ending = true
  for _, f in next, leaving do pcall(f) end
  io.stdout:flush()
  exit(code)
end

if ffi then
  ffi.cdef [[
    typedef struct { int fd; short events, revents; } remora_pollfd;
    typedef struct { long sec, nsec; } remora_timespec;
    long read(int, void *, size_t); long write(int, const void *, size_t); int dup2(int, int); int close(int);
    int fcntl(int, int, ...); int open(const char *, int, ...); int poll(remora_pollfd *, unsigned long, int);
    int sched_yield(void); int getpid(void); int clock_gettime(int, remora_timespec *);
  ]]
  local C = ffi.C
  local function apart(fd) return C.fcntl(fd, 1030, ffi.cast("int", 10)) end -- F_DUPFD_CLOEXEC of Linux
  local rfd, wfd = apart(0), apart(1)
  if rfd < 0 or wfd < 0 then rfd, wfd = 0, 1 end
  if rfd > 1 then
    local nothing = C.open("/dev/null", 0)
    C.dup2(nothing, 0)
    if nothing > 2 then C.close(nothing) end
    C.dup2(2, 1)
  end
  local polled = ffi.new("remora_pollfd[1]")
  polled[0].fd = rfd
  polled[0].events = 1
  local time = ffi.new("remora_timespec[1]")
  function clock()
    C.clock_gettime(1, time)
    return tonumber(time[0].sec) + tonumber(time[0].nsec) * 1e-9
  end
  local ROOM = 65536
  local room = ffi.new("uint8_t[?]", ROOM)
  local at, fill, misses = 0, 0, 0
  -- Waits for bytes: first with the processor in hand.
  local function wait()
    if misses < 4 then
      local late = clock() + 5e-5
      repeat
        C.sched_yield()
        if C.poll(polled, 1, 0) > 0 then
          misses = 0
          return
        end
      until clock() > late
      misses = misses + 1
    end
    local before = clock()
    while C.poll(polled, 1, beat_due()) <= 0 do end
    if clock() - before < 1e-4 then misses = 0 end
  end
  jit.off(wait)
  local function refill()
    wait()
    local n = tonumber(C.read(rfd, room, ROOM))
    if n <= 0 then
      local why = ffi.errno()
      if n < 0 and (why == 4 or why == 11) then return refill() end -- EINTR, EAGAIN
      finish(0)
    end
    at, fill = 0, n
  end
  function more() return at < fill end
  function read(n)
    if at == fill then refill() end
    if n <= fill - at then
      local s = ffi.string(room + at, n)
      at = at + n
      return s
    end
    local parts = {}
    while n > 0 do
      if at == fill then refill() end
      local part = n < fill - at and n or fill - at
      parts[#parts + 1] = ffi.string(room + at, part)
      at = at + part
      n = n - part
    end
    return concat(parts)
  end
  function write(s)
    local n = tonumber(C.write(wfd, s, #s))
    if n == #s then return end
    local p, left = ffi.cast("const uint8_t *", s), #s
    while true do
      if n < 0 then
        local why = ffi.errno()
        if why ~= 4 and why ~= 11 then finish(0) end
        C.sched_yield()
      else
        p, left = p + n, left - n
      end
      if left == 0 then return end
      n = tonumber(C.write(wfd, p, left))
    end
  end
else
  local input, output = io.stdin, io.stdout
  output:setvbuf("full", 65536)
  function more() return false end
  function read(n)
    local s = input:read(n)
    if not s or #s < n then finish(0) end
    return s
  end
  function write(s)
    if not output:write(s) or not output:flush() then finish(0) end
  end
  clock = os.time
end
local COARSE = ffi and 0 or 1 -- how much later than it thinks it may be for `clock`

-- Process id, host and user, without a library for them.
local pid, host, user
do
  local function line(path)
    local file = io.open(path)
    local text = file and file:read("*l")
    if file then file:close() end
    return text
  end
  pid, host, user = ffi and ffi.C.getpid(), line("/proc/sys/kernel/hostname"), os.getenv("USER") or os.getenv("LOGNAME")
  pid = pid or tonumber((line("/proc/self/stat") or ""):match("^%d+") or nil)
  if not pid or not host or not user then -- no Linux, or no user's name
    local pipe = io.popen("exec </dev/null; echo $PPID; uname -n; id -un")
    local parent = pipe:read("*l")
    pid, host, user = pid or tonumber(parent), pipe:read("*l") or host or "?", pipe:read("*l") or user or "?"
    pipe:close()
  end
end
