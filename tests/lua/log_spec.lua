local remora = require "remora"
local helper = require "helper"

describe("log records", function()
  local sinks

  local function sink(options)
    options = options or {}
    options.selections = options.selections or "* -remora"
    local records = {}
    sinks[#sinks + 1] = remora.log.add_sink(function(record) records[#records + 1] = record end, options)
    return records, sinks[#sinks]
  end

  before_each(function() sinks = {} end)
  after_each(function()
    for _, each in ipairs(sinks) do remora.log.remove_sink(each) end
  end)

  local function exec(conn, source) remora.can_on(conn, "builtins.exec")(source, remora.map {}) end

  it("come from a far side", function()
    local records = sink()
    local conn = helper.connect { log_forward = true, log_level = "debug" }
    exec(conn, "import logging\nlogging.getLogger('app.db').warning('%d rows', 3)")
    helper.eventually(function() return #records == 1 end)
    local record = records[1]
    assert.are.equal("warn app.db 3 rows logging -", table.concat({ record.level, record.name, record.message, record.exporter, record.connection }, " "))
    assert.are.equal(conn:pid(), record.pid)
    assert.is_nil(record.hops)
    assert.is_true(math.abs(record.time - os.time()) < 60)
    assert.are.equal(("[warn remote #%d -] 3 rows"):format(record.connection_id), remora.log.format(record))
    assert.are.equal("3 rows (undefined) %", remora.log.format(record, "%s %x %%"))
    conn:close()
  end)

  it("are counted exactly", function()
    local records, number = sink()
    local conn = helper.connect { log_forward = true, log_budget = 65536 } -- however slowly it logs, it logs more than that
    exec(conn, "import logging\nfor i in range(20000): logging.info('line %d', i)")
    local stats
    helper.eventually(function()
      stats = conn:stats()
      return stats.log_records + stats.log_dropped >= 20000
    end)
    assert.are.equal(20000, stats.log_records + stats.log_dropped)
    assert.is_true(stats.log_dropped > 0)
    helper.eventually(function() return #records + remora.log.dropped(number) >= stats.log_records end)
    conn:close()
  end)

  it("are those of this side too", function()
    local records = sink { level = "info" }
    remora.log.info("one", "app")
    remora.log.log("fatal", function() return "made late" end)
    remora.log.debug(function() error("nobody wants it") end)
    helper.eventually(function() return #records == 2 end)
    assert.are.equal("info app one", table.concat({ records[1].level, records[1].name, records[1].message }, " "))
    assert.are.equal("fatal lua made late", table.concat({ records[2].level, records[2].name, records[2].message }, " "))
    assert.is_nil(records[1].connection)
    assert.is_true(records[1].line > 0)
    assert.is_true(remora.log.wants("info"))
    assert.is_false(remora.log.wants("debug"))
  end)

  it("are selected by name, level or a function", function()
    local few = sink { level = "warn", selections = "app -app.noisy" }
    local chosen = sink { selections = function(record) return record.name == "b" end }
    for _, name in ipairs { "app", "app.noisy", "b" } do
      remora.log.error("x", name)
      remora.log.info("x", name)
    end
    helper.eventually(function() return #chosen == 2 and #few == 1 end)
    assert.are.equal("app", few[1].name)
    assert.is_true(remora.is_error(helper.error_of(remora.log.add_sink, print, { level = "loud" }), "InvalidArgument"))
    assert.is_true(remora.is_error(helper.error_of(remora.log.add_sink, print, { levle = "warn" }), "InvalidArgument"))
    assert.is_true(remora.is_error(helper.error_of(remora.log.add_sink), "InvalidArgument"))
    assert.is_true(remora.is_error(helper.error_of(helper.connect, { log_level = "loud" }), "InvalidArgument"))
  end)
end)
