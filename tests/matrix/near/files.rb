# frozen_string_literal: true

# files.rb FAR FOLDER: commands and files against a far side in that language. Prints "ok" last.
require "remora"

def check(truth, what)
  raise "failed: #{what}" unless truth
end

def error_of(kind)
  yield
  raise "no #{kind}"
rescue kind => e
  e
end

far, folder = ARGV
data = (0..255).to_a.pack("C*") * 4000
source, there, back = %w[source there back].map { |name| File.join(folder, name) }
File.binwrite(source, data)

Remora.connect("-", node: far) do |conn|
  result = conn.run(["sh", "-c", 'cat; echo "$A" >&2; exit 3'], input: "in", env: { A: "err" })
  check(result.to_a.last(4) == [3, nil, "in", "err\n"], result.inspect)
  check(conn.run(["sh", "-c", "kill -9 $$"]).signal == 9, "signal")
  seen = +""
  check(conn.run(%w[seq 20000]) { |_, piece| seen << piece }.ok?, "output")
  check(seen.split.map(&:to_i) == (1..20_000).to_a, "order of the output")
  check(error_of(Remora::NotFound) { conn.run(%w[no-such-program]) }.message.include?("no-such-program"), "no program")
  error_of(Remora::Timeout) { conn.run(%w[sleep 1000], timeout: 0.2) }

  check(conn.put(source, there) == data.bytesize && conn.get(there, back) == data.bytesize, "there and back")
  check(File.binread(back) == data, "what came back")
  check(error_of(Remora::RemoteError) { conn.get("/no/such", back) }.attributes["errno"] == 2, "errno")

  conn.open(there, "w", atomic: true) { |f| f.puts "one", "two" }
  conn.open(there) do |f|
    check(f.to_a == %W[one\n two\n], "lines")
    f.seek(4)
    check(f.read == "two\n", "seek")
  end
  check(Dir.children(folder).sort == %w[back source there], Dir.children(folder).inspect)
end
puts "ok"
