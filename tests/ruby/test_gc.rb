# frozen_string_literal: true

require_relative "helper"

# Nothing that C knows of is collected or moved too early, and what nobody knows is given back.
class TestGc < FarTest
  def exercise(rounds)
    keeper = make("Keeper")
    rounds.times do |i|
      object = Object.new
      assert far("echo").call([object, "s#{i}", { "k#{i}" => i, i => ("b" * 5000).b }])[0].equal?(object)
      assert_equal [i, i + 1], far("call_twice").call { |x| x + i - 1 }
      keeper.keep(->(x) { [x, "#{i}"] })
      assert_equal [i, i.to_s], keeper.call_kept(i)
      assert_equal [0, 1, 2], far("count_to").call(3).each.to_a
      error = assert_raises(Remora::RemoteError) { far("fail").call("ValueError", "e#{i}") }
      assert_equal "ValueError", error.type
      assert_raises(IndexError) { far("call").call(-> { raise IndexError, "i#{i}" }) }
      assert_equal [i] * 3, Remora.await_all(Array.new(3) { Remora.start(far("echo")).call(i) })
      assert_equal 2 * i, Remora.start(far("echo")).call(i).then { |x| 2 * x }.value!
    end
  end

  def test_stress
    conn
    far("echo").call({ "warm" => [1] })
    GC.stress = true
    exercise(2)
  ensure
    GC.stress = false
  end

  def test_compaction
    skip "this Ruby cannot compact" unless GC.respond_to?(:compact)
    kept = Array.new(200) { |i| "object #{i}".dup.tap { |text| text.instance_variable_set(:@i, i) }.then { |text| Struct.new(:text).new(text) } }
    back = far("echo").call(kept)
    keeper = make("Keeper")
    200.times { Object.new } # holes
    proxies = far("make_many").call(200)
    table = proxies.each_with_index.to_h
    keeper.keep(kept[7])
    2.times { GC.compact }
    exercise(3)
    assert(back.zip(kept).all? { |a, b| a.equal?(b) })
    assert_equal "object 7", Remora.getattr(keeper, "kept")[0].text
    assert_equal kept, far("echo").call(kept)
    assert_equal((0...200).to_a, far("echo").call(proxies).map { |proxy| table[proxy] })
  end

  def test_automatic_compaction
    skip "this Ruby does not compact by itself" unless GC.respond_to?(:auto_compact=)
    before = GC.auto_compact
    GC.auto_compact = true
    3.times { exercise(5) && GC.start }
  ensure
    GC.auto_compact = before if GC.respond_to?(:auto_compact=)
  end

  def test_verify_compaction
    skip "this Ruby cannot verify" unless GC.respond_to?(:verify_compaction_references)
    far("echo").call([Object.new])
    status, out, err = script(<<~RUBY)
      require "remora"
      conn = Remora.connect("-", node: :python)
      sorted = Remora.can_on(conn, "builtins.sorted")
      object = Object.new
      kept = Remora.new_on(conn, "builtins.list", [object])
      futures = Array.new(10) { |i| Remora.start(sorted).call([3, i, 1], key: ->(x) { -x }) }
      GC.verify_compaction_references(#{RUBY_VERSION >= "3.2" ? "expand_heap" : "double_heap"}: true, toward: :empty)
      puts Remora.await_all(futures)[2].inspect, kept[0].equal?(object), sorted.call([2, 1]).inspect
    RUBY
    assert_equal "[3, 2, 1]\ntrue\n[1, 2]\n", out, err
    assert status.success?
  end

  def rss
    File.read("/proc/self/status")[/VmRSS:\s+(\d+)/, 1].to_i
  end

  def test_nothing_grows
    work = lambda do
      300.times do |i|
        far("echo").call([Object.new, "text" * 100, { "a" => i }])
        far("call_twice").call { |x| x }
        begin
          far("fail").call("ValueError")
        rescue Remora::RemoteError
          nil
        end
      end
      GC.start
      far("pid").call
    end
    3.times { work.call }
    before = rss
    6.times { work.call }
    assert_operator rss - before, :<, 8000
    eventually { (GC.start; far("pid").call) && conn.stats["exports"] < 20 && conn.stats["imports"] < 20 }
  end

  def test_bytes_are_given_back
    data = Random.bytes(8 << 20)
    5.times { far("echo").call(data) }
    GC.start
    before = rss
    10.times { far("echo").call(data) }
    GC.start
    assert_operator rss - before, :<, 60_000
  end
end
