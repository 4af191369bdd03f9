# frozen_string_literal: true

# smoke.rb LIB: Ruby drives a Perl node of Object::Remote. Prints "ok".
require "remora"

class Greeter
  def greet(name)
    "hello #{name}"
  end
end

def check(expected, got)
  raise "expected #{expected.inspect}, got #{got.inspect}" unless expected == got
end

conn = Remora.connect("-", node: "object-remote", roots: [ARGV[0]])
far = Remora.new_on(conn, "Interop", name: "ruby")
check "ruby", far.name
check 3, [far.increment, far.increment(2)].last
check "☺ and é", far.echo("☺ and é")
check [1, 2, 3], far.several
check 42, far.call(->(x) { x * 2 }, 21)
check "hello Perl", far.ask(Greeter.new, "greet", "Perl")
check far, far.myself
check [1, 2, 3], Remora.await_all([1, 2, 3].map { |i| Remora.start(far).echo(i) })
waiting = Remora.start(far).__send__("start::later")
far.resolve("ready")
check "ready", waiting.value!
begin
  far.fail
  raise "no error"
rescue Remora::RemoteError => e
  check "on purpose", e.message[/on purpose/]
end
check %w[a b c], far.tied_hash.each.sort
check 5, Remora.can_on(conn, "Interop::add").call(2, 3)
check nil, Remora.can_on(conn, "Interop::nosuch")
conn.close
puts "ok"
