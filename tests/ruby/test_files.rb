# frozen_string_literal: true

require_relative "helper"
require "fileutils"
require "pathname"
require "stringio"
require "tmpdir"

# Commands and files of the far side.
class TestFiles < FarTest
  def in_folder
    Dir.mktmpdir { |folder| yield folder }
  end

  def parts(folder)
    Dir.children(folder).grep(/\.part\z/)
  end

  def test_run
    result = Remora.run(conn, ["sh", "-c", "cat; echo err >&2; exit 3"], input: "in")
    assert_equal [3, nil, "in", "err\n", false], [result.status, result.signal, result.stdout, result.stderr, result.ok?]
    assert_equal 9, conn.run(["sh", "-c", "kill -9 $$"]).signal
    assert_equal "x/tmp\n", conn.run(["sh", "-c", 'echo "$A$PWD"'], cwd: "/tmp", env: { A: "x" }).stdout
    assert_equal "ab", conn.run(%w[cat], input: ["a", "", "b"]).stdout
    assert_equal "io", conn.run(%w[cat], input: StringIO.new("io")).stdout
    assert_equal 2_000_000, conn.run(%w[cat], input: "x" * 2_000_000).stdout.bytesize
    assert_equal Encoding::BINARY, result.stdout.encoding
  end

  def test_errors_of_run
    error = assert_raises(Remora::CommandFailed) { conn.run(["sh", "-c", "echo why >&2; exit 2"], check: true) }
    assert_equal 2, error.result.status
    assert_match(/exit status 2: why/, error.message)
    assert_raises(Remora::NotFound) { conn.run(%w[no-such-program]) }
    assert_raises(Remora::Timeout) { conn.run(%w[sleep 1000], timeout: 0.2) }
    assert_raises(Remora::InvalidArgument) { conn.run("ls") }
    assert_raises(ArgumentError) { conn.run(%w[ls], shell: true) }
  end

  def test_no_time_limit
    assert conn.run(%w[true], timeout: Float::INFINITY).ok?
  end

  def test_the_error_of_a_command_of_any_bytes
    error = assert_raises(Remora::CommandFailed) { conn.run(["sh", "-c", "echo \u00e9 >&2; exit 2", "caf\xe9".b, "\u00e9"], check: true) }
    assert_match(/exit status 2: \u00e9\z/, error.message)
  end

  def test_output_is_taken_live_and_its_error_is_raised
    seen = Hash.new { |hash, stream| hash[stream] = +"" }
    result = conn.run(["sh", "-c", "seq 50000; echo e >&2"]) { |stream, data| seen[stream] << data }
    assert_nil result.stdout
    assert_equal (1..50_000).map { |i| "#{i}\n" }.join, seen["stdout"]
    assert_equal "e\n", seen["stderr"]
    mine = Class.new(StandardError)
    assert_raises(mine) { conn.run(["sh", "-c", "while :; do echo y; done"], on_output: ->(*) { raise mine }) }
    assert_raises(mine) { conn.run(%w[cat], input: Enumerator.new { |y| y << "a" && raise(mine) }) }
  end

  def test_started
    future = Remora.start(conn).run(%w[echo x])
    assert_equal "x\n", future.value!(10).stdout
    slow = Remora.start(conn).run(%w[sleep 1000])
    assert conn.run(%w[true]).ok?
    assert slow.cancel
    in_folder do |folder|
      File.write("#{folder}/a", "x")
      assert_equal 1, Remora.start(conn).put("#{folder}/a", "#{folder}/b").value!(10)
      assert_equal 1, Remora.start(conn).get("#{folder}/b", "#{folder}/c").value!(10)
    end
  end

  def test_there_and_back
    in_folder do |folder|
      a, b, c = %w[a b c].map { |name| "#{folder}/#{name}" }
      File.binwrite(a, Random.bytes(3_000_000))
      File.chmod(0o640, a)
      File.utime(1_000_000, 1_100_000, a)
      assert_equal 3_000_000, conn.put(a, b)
      assert_equal 3_000_000, conn.get(b, Pathname(c))
      [b, c].each do |copy|
        assert FileUtils.identical?(a, copy)
        assert_equal [0o100640, 1_100_000], [File.stat(copy).mode, File.mtime(copy).to_i]
      end
      conn.put(a, b, mode: 0o604, times: false)
      assert_equal 0o100604, File.stat(b).mode
      error = assert_raises(Remora::FileError) { conn.put("/no/such", b) }
      assert_match(%r{/no/such}, error.message)
      assert_raises(Remora::RemoteError) { conn.get("/no/such", c) }
      assert_raises(Remora::InvalidArgument) { conn.put(a, b, mode: "x") }
      assert_raises(ArgumentError) { conn.put(a, b, modes: 1) }
      assert_empty parts(folder)
    end
  end

  def test_a_cancelled_copy_leaves_nothing
    in_folder do |folder|
      future = Remora.start(conn).put("/dev/zero", "#{folder}/a")
      Thread.pass while parts(folder).empty?
      assert future.cancel
      conn.run(%w[true]) # behind the last of it
      Thread.pass until parts(folder).empty?
      assert_empty Dir.children(folder)
    end
  end

  def test_text_stream
    in_folder do |folder|
      path = "#{folder}/text"
      value = Remora.open(conn, path, "w") do |f|
        f << "grün\n"
        f.puts "line", 2
        f.print "a", "b\n"
        f.printf("%03d", 7)
        f.write("x", :y)
      end
      assert_equal 2, value
      assert_equal "grün\nline\n2\nab\n007xy", File.read(path)
      Remora.open(conn, path) do |f|
        assert_equal "grün\n", f.gets
        assert_equal [Encoding::UTF_8, 1, 6], [f.external_encoding, f.lineno, f.pos]
        assert_equal %w[line 2], [f.readline(chomp: true), f.gets(chomp: true)]
        assert_equal ["ab\n", "007xy"], f.each_line.to_a
        assert f.eof?
        assert_nil f.gets
        assert_raises(EOFError) { f.readline }
        assert_equal ["", nil], [f.read, f.read(1)]
        f.rewind
        assert_equal "grün\nli", f.gets + f.read(2)
        f.seek(-2, IO::SEEK_END)
        assert_equal "xy", f.read
        f.pos = 0
        assert_equal 5, f.count
        f.seek(0, :SET)
        assert_equal "grün\nline\n", f.gets("ine\n")
      end
    end
  end

  def test_paragraphs
    in_folder do |folder|
      path = "#{folder}/text"
      ["", "\n", "\n\n", "a", "a\n", "a\n\n", "\n\na\nb\n\n\n\nc\n\nd\n", "a\n\n\n\n"].each do |text|
        File.write(path, text)
        assert_equal File.readlines(path, ""), conn.open(path) { |f| f.each_line("").first(10) }, text.inspect
      end
      conn.open(path) { |f| assert_equal ["a"], f.readlines("", chomp: true) }
      conn.open(path) { |f| assert_equal "a\n\n\n\n", f.gets(nil, chomp: true) }
    end
  end

  def test_text_is_written_in_the_encoding_of_the_file
    in_folder do |folder|
      path = "#{folder}/text"
      writes = ->(f) { f.write("gr\u00fcn", "\xfc".dup.force_encoding("ISO-8859-1")) && f.puts("\u00fc") && f << "\u00fc" }
      ["ISO-8859-1", "UTF-16LE"].each do |encoding|
        File.open("#{folder}/ours", "w", encoding: encoding, &writes)
        conn.open(path, "w", encoding: encoding, &writes)
        assert_equal File.binread("#{folder}/ours"), File.binread(path)
        conn.open(path, encoding: encoding) { |f| assert_equal File.binread(path).force_encoding(encoding), f.read }
      end
      conn.open(path, "w") { |f| f << "\xff".b << "\u00fc" }
      assert_equal "\xff\u00fc".b, File.binread(path)
      assert_raises(Encoding::UndefinedConversionError) { conn.open(path, "w", encoding: "ISO-8859-1") { |f| f << "\u20ac" } }
    end
  end

  def test_binary_and_both
    in_folder do |folder|
      path, data = "#{folder}/data", Random.bytes(3_000_000)
      f = conn.open(path, "wb")
      assert_equal data.bytesize, f.write(data)
      f.close
      f.close
      assert f.closed?
      assert_raises(IOError) { f.write("x") }
      conn.open(path, "rb") { |r| assert_equal data, r.read }
      conn.open(path, "rb") do |r|
        start = r.read(3)
        assert_raises(Remora::RemoteError) { r.seek(-1) }
        assert data == start + r.read
      end
      conn.open(path, "ab") { |a| a << "more" && assert_equal(data.bytesize + 4, a.pos) }
      File.write(path, "0123456789")
      conn.open(path, "r+") do |b|
        assert_equal "012", b.read(3)
        b.write("XX")
        assert_equal "5", b.read(1)
        b.truncate(7)
        assert_equal({ "size" => 7, "kind" => "file" }, b.stat.slice("size", "kind"))
      end
      assert_equal "012XX56", File.read(path)
      assert_raises(IOError) { conn.open(path) { |r| r.write("x") } }
      assert_raises(Remora::InvalidArgument) { conn.open(path, "w+") }
      assert_raises(Remora::RemoteError) { conn.open("/no/such") }
    end
  end

  def test_atomic
    in_folder do |folder|
      path = "#{folder}/x"
      File.write(path, "old")
      assert_raises(ZeroDivisionError) { conn.open(path, "w", atomic: true) { |f| f << "new" && 1 / 0 } }
      assert_equal ["old", []], [File.read(path), parts(folder)]
      conn.open(path, "w", atomic: true, permissions: 0o600, sync: true) { |f| f << "new" }
      assert_equal ["new", 0o100600], [File.read(path), File.stat(path).mode]
      assert_raises(Remora::RemoteError) { conn.open("/dev/full", "w") { |f| f << "x" } }
    end
  end

  def test_what_could_not_be_written_replaces_nothing
    small = connect(limits: { file_size: 1000 })
    in_folder do |folder|
      path = "#{folder}/x"
      File.write(path, "old")
      file = small.open(path, "w", atomic: true)
      file << "x" * 2000
      assert_raises(Remora::RemoteError) { file.flush }
      file.close
      assert_raises(Remora::RemoteError) { small.open(path, "w", atomic: true) { |f| f << "x" * 2000 } }
      assert_equal ["old", []], [File.read(path), parts(folder)]
    end
  end

  def test_atomic_in_a_thread_that_is_killed
    in_folder do |folder|
      path, written = "#{folder}/x", Queue.new
      File.write(path, "old")
      thread = Thread.new { conn.open(path, "w", atomic: true) { |f| f << "half" and f.flush and written << true and sleep } }
      written.pop
      thread.kill.join
      assert_equal ["old", []], [File.read(path), parts(folder)]
    end
  end

  def test_lines_are_no_round_trips
    in_folder do |folder|
      before = conn.stats["calls_out"]
      conn.open("#{folder}/x", "w") { |f| 50_000.times { f.puts "a line of some length" } }
      assert_equal(50_000, conn.open("#{folder}/x") { |f| f.each_line.count })
      assert_operator conn.stats["calls_out"] - before, :<, 60
    end
  end
end
