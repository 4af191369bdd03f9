# The Ruby node: the far side of a Remora connection, for a stock Ruby from 2.5 on.
#
# The near side starts `ruby --disable=gems -e STUB` and sends this program, stripped and compressed, through standard
# input. docs/protocol.md says what goes over the wire.
#
# Who does what: the *main* thread runs calls, one at a time, and reads the wire whenever it runs none. The *understudy*
# looks in every tenth of a second while calls come; when one runs long it reads in the main thread's place until that
# is back. Any other thread that waits for a reply gets it from whichever of the two reads.
#
# RubyGems costs 35 ms of a start that takes 7: it is loaded when something asks for it (modules.rb).

require "json"

module Remora
  VERSION = "0.1.0"
  HELLO, CALL, REPLY, ERROR, CANCEL, RELEASE, BEAT, CREDIT, TYPE, OUTPUT, CHUNK, BYE, LOG = *1..13
  PLAIN, TABLES, CHUNKED, KW, ONEWAY, BYREF = 1, 2, 4, 8, 16, 32
  MAGIC = "\0REMORA\n".b
  GRANT = 16 << 20  # bytes of calls that we let the other side have outstanding
  LONG = 4096  # text from here on goes as an attachment
  SMALL = 65536  # messages up to here go in one frame
  PIECE = 262144
  DEEP = 128
  BIG = 1 << 63
  HEAD = "VCCvVVQ<Q<".freeze
  REPLY_HEAD = "VVVx20a*".freeze
  ROW = "VVQ<".freeze
  UTF8 = Encoding::UTF_8
  ASCII = Encoding::US_ASCII
  BINARY = Encoding::BINARY
  ABSENT = Object.new
  Deferred = Object.new  # the result of a call whose answer another thread sends
  NONE = [].freeze
  MAIN = Thread.main

  def self.clock
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  def self.frame(kind, payload = "", flags = 0, call = 0, aux = 0, object = 0)
    [payload.bytesize, kind, flags, 0, call, aux, object, 0].pack(HEAD) << payload.b
  end

  # A script of the near side that says `using Remora::On` is run here too.
  module On
  end

  # An object of another process: see proxies.rb.
  class Proxy < BasicObject
  end

  # What an error has that came over the wire: the map itself, and what is asked for most.
  module Remote
    attr_accessor :info

    def type
      info["type"] || [""]
    end

    def traceback
      info["traceback"]
    end

    def is_a?(kind)
      super || Class === kind && RemoteError <= kind
    end
    alias kind_of? is_a?

    def hops
      info["hops"] || []
    end
  end

  class Error < StandardError
    attr_accessor :info

    def self.===(error)
      super || Remote === error && RemoteError <= self
    end
  end

  # An error of the other side. One whose class is loaded here is raised as a subclass of that; `rescue RemoteError` has
  # both.
  class RemoteError < Error
    include Remote
  end

  %w[ConnectionLost Timeout Cancelled ProtocolError Overloaded NotFound Denied Value Limit].each do |name|
    const_set(name, Class.new(Error))
  end

  ValueNotSendable = Value

  # The other side broke the protocol: the connection ends.
  class Fault < Exception
  end

  # Parts of the node that not every connection needs travel as text in LATER (pack.py) and are compiled when one of their
  # constants is first used: `require` of remora/PART comes to modules.rb.
  autoload :Errors, "remora/errors"
  autoload :Walk, "remora/walk"
  autoload :Traits, "remora/proxies"
  autoload :Starter, "remora/proxies"
  autoload :Optioned, "remora/proxies"
  autoload :Warden, "remora/warden"
  autoload :Log, "remora/log"

  # A Logger whose records go to the near side, if that wants them.
  def self.logger(name = "ruby")
    Log.logger(name)
  end
end
