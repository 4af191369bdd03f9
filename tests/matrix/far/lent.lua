-- Uses files that were lent to it.
local remora = require "remora"

return {
  read = function(file)
    local lines = {}
    for line in remora.iter(file) do lines[#lines + 1] = line end
    file:seek(0)
    local all = file:read()
    file:close()
    return {lines, all}
  end,
  write = function(file, what)
    file:write(what)
    file:flush()
    local at = file:tell()
    file:close()
    return at
  end,
}
