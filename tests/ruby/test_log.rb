# frozen_string_literal: true

require_relative "helper"
require "logger"
require "stringio"

# Log records: of far sides, of this one; sinks, formats.
class TestLog < FarTest
  def sink(**options)
    records = []
    @sinks ||= []
    @sinks << (made = Remora::Log.add_sink(selections: "* -remora", **options) { |record| records << record })
    @last = made
    records
  end

  def teardown
    super
    (@sinks || []).each(&:remove)
  end

  def test_records_of_a_far_side
    records = sink
    there = connect(log_forward: true, log_level: :debug)
    Remora.can_on(there, "builtins.exec").call("import logging\nlogging.getLogger('app.db').warning('%d rows', 3)", {})
    eventually { !records.empty? }
    record = records[0]
    assert_equal ["warn", "app.db", "3 rows", "logging", "-", there.pid], record.values_at(:level, :name, :message, :exporter, :connection, :pid)
    assert_in_delta Time.now.to_f, record[:time], 60
    assert_equal "[warn remote ##{record[:connection_id]} -] 3 rows", Remora::Log.format(record)
    assert_equal "3 rows (undefined) %", Remora::Log.format(record, "%s %x %%")
  end

  def test_of_a_far_ruby
    records = sink
    there = connect(node: :ruby, log_forward: true)
    Remora.can_on(there, "Kernel.eval").call("Remora::Log.error('text', name: 'app'); Remora.logger('web').info { 'block' }")
    eventually { records.size == 2 }
    assert_equal [%w[error app text Remora::Log], %w[info web block Logger]], records.map { |r| r.values_at(:level, :name, :message, :exporter) }
    assert_equal 2, there.stats["log_records"]
    assert_equal 0, there.stats["log_dropped"]
  end

  def test_own_records
    records = sink(level: :info)
    Remora::Log.info("one")
    Remora::Log.fatal(name: "app.x") { "made late" }
    Remora::Log.debug { flunk "nobody wants it" }
    eventually { records.size == 2 }
    assert_equal ["info", "ruby", "one", __FILE__, nil, Process.pid], records[0].values_at(:level, :name, :message, :file, :connection, :pid)
    assert_equal ["fatal", "app.x", "made late"], records[1].values_at(:level, :name, :message)
    assert Remora::Log.wants?(:info)
    refute Remora::Log.wants?(:debug)
    assert_equal 0, @last.dropped
  end

  def test_selections
    few = sink(level: :warn, selections: "app -app.noisy")
    chosen = sink(selections: ->(record) { record[:name] == "b" })
    %w[app app.noisy b].each { |name| Remora::Log.error("x", name: name) }
    last = sink
    Remora::Log.error("last")
    eventually { !last.empty? }
    assert_equal(["app"], few.map { |r| r[:name] })
    assert_equal(["b"], chosen.map { |r| r[:name] })
    assert_raises(Remora::InvalidArgument) { Remora::Log.add_sink(level: :loud) {} }
    assert_raises(Remora::InvalidArgument) { connect(log_level: :loud) }
  end

  def test_into_a_logger
    out = StringIO.new
    @sinks = [Remora::Log.to_logger(Logger.new(out), selections: "* -remora")]
    there = connect(log_forward: true)
    Remora.can_on(there, "builtins.exec").call("import logging\nlogging.getLogger('app.db').error('there')", {})
    eventually { out.string.include?("ERROR -- app.db@-: there") }
  end

  def test_the_counter_is_exact
    records = sink
    there = connect(log_forward: true, log_budget: 65_536) # however slowly it logs, it logs more than that
    Remora.can_on(there, "builtins.exec").call("import logging\nfor i in range(20000): logging.info('line %d', i)", {})
    eventually { there.stats.values_at("log_records", "log_dropped").sum == 20_000 }
    assert_operator there.stats["log_dropped"], :>, 0
    eventually { records.size == there.stats["log_records"] }
  end
end
