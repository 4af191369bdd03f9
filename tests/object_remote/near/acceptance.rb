# frozen_string_literal: true

# acceptance.rb FILE CHECK: as acceptance.py beside it, with Ruby near.
require "remora"
require "socket"
require "tmpdir"

FAR = ENV.fetch("REMORA_ACCEPTANCE")
CHECKS = {}

def check(file, name, &block)
  CHECKS[[file, name]] = block
end

def connect(**options, &block)
  Remora.connect("-", node: :python, roots: [FAR], modules: ["acceptance"], **options, &block)
end

def wrong(what)
  raise what.inspect
end

def same(wanted, got)
  wrong([wanted, got]) unless wanted == got
end

def error_of(kind)
  yield
rescue kind => error
  error
else
  wrong("no error")
end

check("t/await.t", "one") do
  connect do |conn|
    seen = []
    counter = Remora.new_on(conn, "acceptance.Counter")
    same 23, Remora.await_future(Remora.start(counter).call_callback(23, -> { seen << 1 }), 20)
    same [1], seen
  end
end

check("t/await.t", "dropped") do
  seen = []
  future = Remora.start(Remora.new_on(connect, "acceptance.Counter")).call_callback(24, -> { seen << 1 })
  GC.start
  same 24, Remora.await_future(future, 20)
  same [1], seen
end

check("t/await.t", "all") do
  futures = (0..2).map { |i| Remora.start(Remora.new_on(connect, "acceptance.Counter")).increment(i) }
  same [0, 1, 2], Remora.await_all(futures, timeout: 20)
end

check("t/basic.t", "other_process") do
  connect do |conn|
    same conn.pid, Remora.new_on(conn, "acceptance.Counter").pid
    wrong(conn.pid) if conn.pid == Process.pid
  end
end

check("t/basic.t", "state") do
  connect do |conn|
    counter = Remora.new_on(conn, "acceptance.Counter")
    same [0, 1, 1], [counter.value, counter.increment, counter.value]
  end
end

check("t/basic.t", "callback") do
  connect do |conn|
    seen = []
    same 27, Remora.new_on(conn, "acceptance.Counter").call_callback(27, -> { seen << Process.pid })
    same [Process.pid], seen
  end
end

check("t/basic.t", "function") do
  connect { |conn| same Socket.gethostname, Remora.can_on(conn, "socket.gethostname").call }
end

MEMORY = "class MyData:\n    def value(self):\n        return 'from memory'\n\ndef function():\n    return 'function from memory'\n"

check("t/basic_data.t", "class") do
  Remora.add_module("memory_data", MEMORY, language: :python)
  connect { |conn| same "from memory", Remora.new_on(conn, "memory_data.MyData").value }
end

check("t/basic_data.t", "function") do
  Remora.add_module("memory_data", MEMORY, language: :python)
  connect { |conn| same "function from memory", Remora.can_on(conn, "memory_data.function").call }
end

check("t/bridged.t", "forward") do
  connect do |conn|
    bridge = Remora.new_on(conn, "acceptance.Bridge", "acceptance.Counter", 3)
    same 4, bridge.forward("increment")
    same bridge.far_pid, bridge.forward("pid")
    same 3, [Process.pid, bridge.pid, bridge.far_pid].uniq.size
  end
end

check("t/chained.t", "three_processes") do
  connect do |conn|
    bridge = Remora.new_on(conn, "acceptance.Bridge", "acceptance.Counter")
    same 3, [Process.pid, bridge.pid, bridge.object.pid].uniq.size
  end
end

check("t/chained.t", "ping") do
  connect do |conn|
    between = Remora.new_on(conn, "acceptance.Counter")
    behind = Remora.new_on(conn.connect("-"), "acceptance.Counter")
    same [1, 0], [behind.increment, between.value]
    wrong(between.pid) if between.pid == behind.pid
  end
end

RECORD = { level: "warn", name: "app.db", message: "a\nb", time: 0.0, function: "f", file: "x.py", line: 7, pid: 42, host: "h", exporter: "python",
           connection: nil, connection_id: nil }.freeze

check("t/logger.t", "formats") do
  same "warn|local|python|app.db|f|x.py|7|h|42|%|\n |(undefined)|a\n b", Remora::Log.format(RECORD, "%l|%r|%c|%p|%m|%f|%i|%h|%P|%%|%n|%q|%s")
  same "remote #3 web1", Remora::Log.format(RECORD.merge(connection: "web1", connection_id: 3), "%r")
  wrong(Remora::Log.format(RECORD, "%t")) unless Remora::Log.format(RECORD, "%t").include?(Time.at(0).year.to_s)
end

def eventually
  stop = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 20
  until yield
    wrong("has not happened") if Process.clock_gettime(Process::CLOCK_MONOTONIC) > stop
    sleep 0.01
  end
end

# What a sink gets of one record of each level and three names.
def logged(level, selections)
  got = []
  sink = Remora::Log.add_sink(level: level, selections: selections) { |record| got << [record[:level], record[:name]] }
  %w[app app.db other].each { |name| Remora::Log::LEVELS.each { |each| Remora::Log.log(each, "text", name: name) } }
  Remora::Log.fatal("end", name: "app")
  eventually { got.last == %w[fatal app] && got.count(%w[fatal app]) == 2 }
  sink.remove
  got[0...-1]
end

check("t/logging.t", "order") do
  same %w[trace debug verbose info warn error fatal], logged(:trace, "app -app.db").map(&:first)
  same %w[warn error fatal], logged(:warn, "app -app.db").map(&:first)
end

check("t/logging.t", "selections") do
  names = { "*" => %w[app app.db other], "app" => %w[app app.db], "app -app.db" => %w[app], "* -other" => %w[app app.db] }
  names.each { |selections, wanted| same wanted, logged(:fatal, selections).map(&:last) }
end

check("t/logrouter.t", "record") do
  got = []
  Remora::Log.add_sink(selections: "acceptance") { |record| got << record }
  connect(log_forward: true) do |conn|
    Remora.can_on(conn, "acceptance.log_as").call("acceptance", "WARNING", "from over there")
    Remora::Log.info("from here", name: "acceptance")
    eventually { got.size == 2 }
    near, far = got.partition { |record| record[:connection].nil? }.map(&:first)
    same ["warn", "acceptance", "from over there", "-", conn.pid, "log_as"], far.values_at(:level, :name, :message, :connection, :pid, :function)
    wrong(far) unless far[:file].end_with?("acceptance.py") && far[:line] > 1 && (far[:time] - Time.now.to_f).abs < 60
    same ["info", "from here", nil, Process.pid], near.values_at(:level, :message, :connection, :pid)
  end
end

check("t/logrouter.t", "removed") do
  first = []
  second = []
  sink = Remora::Log.add_sink(selections: "app") { |record| first << record }
  Remora::Log.add_sink(selections: "app") { |record| second << record }
  Remora::Log.info("one", name: "app")
  eventually { first.any? && second.any? }
  sink.remove
  Remora::Log.info("two", name: "app")
  eventually { second.size == 2 }
  same 1, first.size
end

check("t/not_found.t", "dependency") do
  connect do |conn|
    error = error_of(Remora::RemoteError) { Remora.new_on(conn, "needs_what_is_nowhere.Never") }
    wrong(error) unless error.message.include?("a_module_that_is_nowhere") && error.message.include?("the near side looked in #{FAR}")
  end
end

check("t/objects.t", "keywords") do
  connect do |conn|
    it = Remora.new_on(conn, "acceptance.Object", name: "foo", size: 3)
    same ["foo", { "size" => 3 }], [it.name, it.extra]
  end
end

check("t/objects.t", "home") do
  connect do |conn|
    it = Remora.new_on(conn, "acceptance.Object", "foo")
    same true, it.takes_object(it)
  end
end

check("t/objects.t", "itself") do
  connect do |conn|
    it = Remora.new_on(conn, "acceptance.Object", "foo")
    wrong(it) unless it.give_back.equal?(it)
  end
end

check("t/sender.t", "folder") do
  Remora.connect("-", node: :python, roots: ["#{FAR}/only_near", FAR]) do |conn|
    same 1, Remora.new_on(conn, "only_near_module.Only").increment
  end
end

check("t/start_core.t", "start") do
  connect do |conn|
    future = Remora.start(Remora.new_on(conn, "acceptance.Sleeper")).note("x")
    same "x", future.value!(20)
    same true, future.resolved?
  end
end

check("t/start_core.t", "then") do
  connect do |conn|
    it = Remora.new_on(conn, "acceptance.Sleeper")
    future = Remora.start(it).note("a").then { |got| Remora.start(it).note("#{got}b") }
    same "ab", future.value!(20)
    same %w[a ab], it.notes
  end
end

check("t/start_core.t", "order") do
  connect do |conn|
    it = Remora.new_on(conn, "acceptance.Sleeper")
    Remora.await_all((0..99).map { |i| Remora.start(it).note(i) }, timeout: 20)
    same (0..99).to_a, it.notes
  end
end

check("t/start_core.t", "asynchronous") do
  connect do |conn|
    it = Remora.new_on(conn, "acceptance.Sleeper")
    late = Remora.start(it).note_later("late", "early")
    same "early", it.note("early")
    same "late", late.value!(20)
    same %w[early late], it.notes
  end
end

check("t/start_core.t", "blocking") do
  connect { |conn| same "x", Remora.new_on(conn, "acceptance.Sleeper").note_later("x") }
end

check("t/tied.t", "list") do
  connect do |conn|
    it = Remora.new_on(conn, "builtins.list", [1, 2, 3])
    same [1, 3], [it[0], it.size]
    it[1] = "two"
    it.append(4)
    it.pop(0)
    same ["two", 3, 4], it.each.to_a
    it.clear
    same 0, it.size
  end
end

check("t/tied.t", "map") do
  connect do |conn|
    it = Remora.new_on(conn, "builtins.dict", { "a" => 1 })
    it["b"] = 2
    same [true, 2, %w[a b]], [it.include?("b"), it["b"], it.keys.sort]
    it.delete("a")
    same [false, 1], [it.include?("a"), it.size]
    it.clear
    same 0, it.size
  end
end

check("t/timeout.t", "silent") do
  start = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  error = error_of(Remora::ConnectError) { connect(interpreter: ["sh", "-c", "exec sleep 60"], timeout: 0.1) }
  wrong(error) unless error.message.include?("within 100 ms") && Process.clock_gettime(Process::CLOCK_MONOTONIC) - start < 5
end

check("t/transfer.t", "by_reference") do
  connect do |conn|
    box = { "n" => 1 }
    items = [1, 2, 3]
    Remora.can_on(conn, "acceptance.fill").call(Remora.by_ref(box), "more")
    same 3, Remora.can_on(conn, "acceptance.double_all").call(Remora.by_ref(items), 0)
    same [{ "n" => 2, "more" => 2 }, [2, 4, 6]], [box, items]
  end
end

check("t/transfer.t", "result") do
  connect do |conn|
    items = Remora.options(Remora.can_on(conn, "acceptance.numbers"), by_ref: true).call
    items[0] = 10
    same [true, [10, 2, 3]], [Remora::Proxy === items, items.each.to_a]
  end
end

check("t/transfer.t", "near_file") do
  Dir.mktmpdir do |folder|
    connect do |conn|
      File.open("#{folder}/x", "w") do |file|
        write_to = Remora.can_on(conn, "acceptance.write_to")
        write_to.call(file, "from the far side\n")
        write_to.call(file, "and again\n")
      end
      same "from the far side\nand again\n", File.read("#{folder}/x")
    end
  end
end

check("t/transfer.t", "far_file") do
  Dir.mktmpdir do |folder|
    connect do |conn|
      file = Remora.can_on(conn, "builtins.open").call("#{folder}/x", "w+")
      file.write("one\ntwo\nthree\n")
      file.seek(0)
      same ["one\n", ["two\n", "three\n"]], [file.readline, file.each.to_a]
      file.close
      same "one\ntwo\nthree\n", File.read("#{folder}/x")
    end
  end
end

check("t/transfer.t", "binary") do
  data = (0..255).to_a.pack("C*") * 3
  Dir.mktmpdir do |folder|
    connect do |conn|
      open = Remora.can_on(conn, "builtins.open")
      file = open.call("#{folder}/x", "wb")
      file.write(data)
      file.close
      same data, open.call("#{folder}/x", "rb").read
    end
  end
end

check("t/watchdog.t", "hung") do
  conn = connect(heartbeat: 1.0, dead_after: 1.0)
  future = Remora.start(Remora.can_on(conn, "acceptance.nap")).call(60)
  Process.kill("STOP", conn.pid)
  error_of(Remora::ConnectionLost) { future.value!(20) }
end

check("xt/bridged-remote.t", "two_levels") do
  Remora.connect("-", node: :python, roots: ["#{FAR}/only_near", FAR], modules: ["only_near_module"]) do |conn|
    same 1, Remora.new_on(conn, "acceptance.Bridge", "only_near_module.Only").forward("increment")
  end
end

check("xt/load_optional.t", "missing") do
  connect do |conn|
    same [nil, nil], [Remora.can_on(conn, "this_module.is_missing"), Remora.can_on(conn, "acceptance.is_missing")]
    error = error_of(Remora::RemoteError) { Remora.can_on(conn, "needs_what_is_nowhere.anything") }
    wrong(error) unless error.message.include?("a_module_that_is_nowhere")
  end
end

CHECKS.fetch(ARGV[0, 2]).call
puts "ok"
