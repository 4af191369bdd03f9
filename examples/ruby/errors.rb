# frozen_string_literal: true

# Errors: what far code raises arrives as what it was; what goes wrong on the way says where.
require "remora"

def buy(what)
  stock = { "apple" => 1 }
  stock[what] = stock.fetch(what) - 1
rescue KeyError
  raise ArgumentError, "no #{what}"
end

if __FILE__ == $PROGRAM_NAME
  Remora.connect(spec = ARGV[0] || "-") do |conn|
    far_buy = Remora.can_on(conn, method(:buy))
    begin
      far_buy.call("pear")
    rescue ArgumentError => e # the far exception's own class, if it is loaded here
      puts "caught: #{e.class} - #{e.message}"
      puts "and it is a RemoteError: #{e.is_a?(Remora::RemoteError)}"
      puts "because of: #{e.cause.type} #{e.cause.key}"
      puts "raised over there in: #{e.backtrace.first[/buy/]}"
    end

    begin
      Remora.new_on(conn, "Nonsense")
    rescue Remora::NotFound => e
      puts "not found: #{e.message.partition("; ").first}" # and behind it where it was looked for
    end

    # The far process dies while a call runs: the call fails at once, and says why.
    sleeping = Remora.start(Remora.can_on(conn, "Kernel.sleep")).call(60)
    start = Time.now
    spec == "-" ? Process.kill(:KILL, conn.pid) : conn.close
    begin
      sleeping.value!
    rescue Remora::ConnectionLost => e
      puts "lost: #{e.message}"
      puts "noticed at once: #{Time.now - start < 10}"
    end
    puts "still valid: #{conn.valid?}"
  end

  # A connection that cannot be made says how far it came.
  [{ interpreter: "no-such-ruby" }, { command: ["sh", "-c", "echo some rubbish; exit 3"] }].each do |options|
    Remora.connect("-", **options)
  rescue Remora::ConnectError => e
    puts "stage #{e.stage}: #{e.message}"
  end
end
