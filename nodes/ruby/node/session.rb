# The connection: bytes in and out, the tables of references.

module Remora
  # The node of this process. Its parts stand in session.rb (the protocol), main.rb (who runs and reads when), output.rb
  # (what user code prints) and warden.rb.
  class Node
    class << self
      attr_accessor :current
    end

    Row = Struct.new(:id, :it, :type, :count)
    Types = Struct.new(:kind, :words)

    attr_reader :peer, :told, :most, :commands, :logs

    # What a frame of each kind may have: flags, payload, and fields that need not be 0: mlen, call, aux, object, chain.
    RULES = [
      nil, [0, 65536, 0, 0, 0, 0, 0], [63, 0, 1, 1, 1, 1, 1], [7, 0, 0, 1, 0, 0, 0], [7, 0, 0, 1, 0, 0, 0],
      [0, 0, 0, 1, 0, 0, 0], [0, 65536, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1, 0],
      [0, 65536, 0, 0, 0, 1, 0], [0, 65536, 0, 0, 1, 0, 0], [0, 262144, 0, 1, 1, 0, 0], [0, 65536, 0, 0, 0, 0, 0]
    ].freeze

    # A chunked message on its way: the fields of its header, and its payload as far as it is there.
    Incoming = Struct.new(:kind, :flags, :mlen, :call, :aux, :object, :chain, :size, :payload)

    def set_up_session
      @buf = "".b
      @at = 0
      @rest = 0  # bytes still to come of the chunk that is being received, into:
      @into = nil
      @incoming = {}  # [kind, call] -> Incoming
      @blocked = {}  # object -> its calls, from the first that is still incoming on
      @deferred = []  # releases that wait for incoming messages
      @exports = {}  # id -> Row
      @rows = {}.compare_by_identity  # object -> Row
      @next_id = 0
      @types = {}  # class, or class and words -> number
      @imports = {}  # id -> Import
      @proxies = ObjectSpace::WeakMap.new  # Import -> proxy
      @classes = {}  # number of a type of the other side -> class of its proxies
      @dropped = []  # Imports to release
      @pending = {}  # call -> Future
      @cancelled = {}
      @owing = {}  # call -> the future whose result is its answer
      @out = "".b  # frames to write
      @sent = 0
      @write_lock = Mutex.new
      @tables = Mutex.new
      @credit = 1 << 62
      @spent = 0
      @thirsty = []  # futures of those who wait for credit
      @owed = 0  # credit to give back
      @most = 256 << 20
      @calls = 0
      @fresh = Random.rand(1 << 20) << 32
      @peer = "the near side"
    end

    # -- in

    # The next call among the bytes that are there, or nil. Everything else is dealt with on the way.
    def parse
      while true
        left = @buf.bytesize - @at
        return nil if left < 32
        size, kind, flags, mlen, call, aux, id, chain = (@at == 0 ? @buf : @buf.byteslice(@at, 32)).unpack(HEAD)
        if kind == CALL && flags & 0xC6 == 0 && call != 0 && mlen <= size && size + 32 <= left
          start = @at + 32
          @at = start + size
          row = @exports[id]
          item = [call, flags, id, chain, aux == 0 ? nil : Remora.clock + aux / 1000.0,
                  @buf.byteslice(start, mlen), @buf.byteslice(start + mlen, size - mlen), NONE, NONE, 32 + size,
                  row ? row.it : ABSENT]
          return item unless @blocked[id]
          @blocked[id] << item
        else
          return nil unless frame(size, kind, flags, mlen, call, aux, id, chain)
        end
      end
    end

    # Deals with a frame that is not simply a small call. False if more bytes are needed.
    def frame(size, kind, flags, mlen, call, aux, id, chain)
      check(size, kind, flags, mlen, call, aux, id, chain)
      if flags & CHUNKED != 0
        @at += 32
        open_chunked(size, kind, flags, mlen, call, aux, id, chain)
        return true
      end
      if kind == CHUNK
        @at += 32
        chunk(size, call, aux)
        return true
      end
      return false if @buf.bytesize - @at - 32 < size
      payload = @buf.byteslice(@at + 32, size)
      @at += 32 + size
      if kind >= CALL && kind <= ERROR
        message(kind, flags, mlen, call, aux, id, chain, payload)
      else
        other(kind, call, aux, id, payload)
      end
      true
    end

    def check(size, kind, flags, mlen, call, aux, id, chain)
      rule = RULES[kind]
      raise Fault, "unknown kind of frame #{kind}" unless rule
      raise Fault, "unknown flags #{flags} in a frame of kind #{kind}" if flags & ~rule[0] != 0
      if rule[2] == 0 && mlen != 0 || rule[3] == 0 && call != 0 || rule[4] == 0 && aux != 0 || rule[5] == 0 && id != 0 ||
         rule[6] == 0 && chain != 0
        raise Fault, "a field that must be 0 is not, in a frame of kind #{kind}"
      end
      raise Fault, "call id 0" if rule[3] == 1 && call == 0
      message = kind >= CALL && kind <= ERROR
      if size > (flags & CHUNKED != 0 ? @most : message ? PIECE : rule[1]) || size > @most
        raise Fault, "a frame of kind #{kind} with #{size} bytes is too large"
      end
      raise Fault, "HELLO must come first and once" if @told ? kind == HELLO : kind != HELLO
      return unless message
      raise Fault, "method longer than its message" if mlen > size || flags & TABLES != 0 && size - mlen < 8
    end

    def open_chunked(size, kind, flags, mlen, call, aux, id, chain)
      key = [kind, call]
      raise Fault, "two unfinished messages with the same id" if @incoming.key?(key)
      raise Fault, "too many unfinished messages" if @incoming.size >= 1024
      incoming = Incoming.new(kind, flags, mlen, call, aux, id, chain, size,
                              String.new(capacity: [size, 2 * PIECE].min))  # grown bit by bit it is up to twice as large
      @incoming[key] = incoming
      (@blocked[id] ||= []) << incoming if kind == CALL
      complete(incoming) if size == 0
    end

    def chunk(size, call, kind)
      into = @incoming[[kind, call]]
      if into.nil? || size > into.size - into.payload.bytesize
        raise Fault, "a chunk of no message, or more than was announced"
      end
      @rest = size
      @into = into
      here = [size, @buf.bytesize - @at].min
      pour(@buf.byteslice(@at, here))
      @at += here
    end

    # More bytes of a chunk have arrived.
    def pour(data)
      into = @into
      into.payload << data
      @rest -= data.bytesize
      @into = nil if @rest == 0
      complete(into) if into.payload.bytesize == into.size && (@rest == 0)
    end

    # The parts of a message: rows of references, attachments, body.
    def split(payload)
      nrefs, nraw = payload.unpack("VV")
      at = 8 + 16 * nrefs + 4 * nraw
      if nrefs > 1_000_000 || nraw > 1_000_000 || at > payload.bytesize
        raise Fault, "tables that do not fit in their message"
      end
      lengths = payload.byteslice(8 + 16 * nrefs, 4 * nraw).unpack("V*")
      start = payload.bytesize - lengths.sum
      raise Fault, "attachments that do not fit in their message" if start < at
      body = payload.byteslice(at, start - at)
      raws = lengths.map do |n|
        start += n
        payload.byteslice(start - n, n)
      end
      [payload.byteslice(8, 16 * nrefs), raws, body]
    end

    def message(kind, flags, mlen, call, aux, id, chain, payload)
      size = payload.bytesize
      name = payload.byteslice(0, mlen)
      body = mlen == 0 ? payload : payload.byteslice(mlen, size - mlen)
      refs = raws = NONE
      if flags & TABLES != 0
        rows, raws, body = split(body)
        refs = take(rows) unless rows.empty?
      end
      if kind != CALL
        future = @pending.delete(call)
        future.settle([kind, flags, body, refs, raws]) if future
        return
      end
      row = @exports[id]
      item = [call, flags, id, chain, aux == 0 ? nil : Remora.clock + aux / 1000.0, name, body, refs, raws, 32 + size,
              row ? row.it : ABSENT]
      line = @blocked[id]
      return route(item) unless line
      at = line.index { |other| Incoming === other && other.call == call }
      at ? line[at] = item : line << item
    end

    # The last byte of a chunked message is there.
    def complete(incoming)
      kind, call, id = incoming.kind, incoming.call, incoming.object
      @incoming.delete([kind, call])
      message(kind, incoming.flags, incoming.mlen, call, incoming.aux, id, incoming.chain, incoming.payload)
      if kind == CALL
        line = @blocked.delete(id)
        route(line.shift) while Array === line[0]
        @blocked[id] = line unless line.empty?
      end
      @deferred.reject! do |waiting, payload|
        waiting.delete([kind, call])
        release(payload) if waiting.empty?
        waiting.empty?
      end
    end

    def other(kind, call, aux, id, payload)
      case kind
      when RELEASE
        raise Fault, "RELEASE of a broken size" if payload.bytesize % 16 != 0
        @incoming.empty? ? release(payload) : @deferred << [@incoming.keys, payload]
      when CANCEL then cancel(call)
      when CREDIT
        thirsty = NONE
        @tables.synchronize do
          @spent = [0, @spent - id].max
          thirsty, @thirsty = @thirsty, []
        end
        thirsty.each(&:settle)
      when TYPE
        @classes[id] = Traits.proxy_class(payload.force_encoding(UTF8).scrub, @ruby)
      when OUTPUT then raise Fault, "OUTPUT from the near side"
      when BYE then @farewell = payload
      end
    end

    # A call that has not started gets its answer at once; the result of one that runs is dropped.
    def cancel(call)
      item = @routing.synchronize do
        found = nil
        line = ([@queue] + @waits.values.flatten.map(&:calls) + @blocked.values).find { |calls| found = calls.find { |it| Array === it && it[0] == call } }
        line && line.delete(found)  # nil when a waiting thread has taken it meanwhile
      end
      if item
        @owed += item[9] if item[2] != 0
        fail_call(call, Cancelled.new("cancelled before it started")) if item[1] & ONEWAY == 0
        return
      end
      command = @routing.synchronize do
        @cancelled.clear if @cancelled.size > 1000  # mostly calls that had been answered when this came
        @cancelled[call] = true unless @commands[call]
        @commands[call]
      end
      return command.stop(Cancelled.new("cancelled")) if command
      @owing[call]&.cancel
    end

    # From here on a CANCEL stops this command; one may have come while it was begun.
    def enlist(call, command)
      late = @routing.synchronize do
        @commands[call] = command
        @cancelled.delete(call)
      end
      command.stop(Cancelled.new("cancelled")) if late
    end

    # -- references

    # The row for the table of references of a message that mentions this object.
    def row(it)
      it = it.it if Lend === it
      return [0, 1, it.__remora_id].pack(ROW) if Proxy === it
      row = @rows[it]
      unless row
        type = type_of(it)
        @tables.synchronize do
          row = @rows[it] ||= @exports[@next_id += 1] = Row.new(@next_id, it, type, 0)
        end
      end
      @tables.synchronize { row.count += 1 }
      [row.type, 0, row.id].pack(ROW)
    end

    # The number of the type. Objects of one class with methods of their own may be able to do different things.
    def type_of(it)
      kind = Proxy === it ? it.class : KIND.bind(it).call
      own = Module === it || Object === it && !it.singleton_methods(false).empty?
      words = Words.of(it) if own
      key = own ? Types.new(kind, words) : kind
      known = @types[key]
      return known if known
      text = "#{Errors.name_of(kind)}\n#{(words || Words.of(it)).join(" ")}"
      @tables.synchronize do
        @types[key] ||= begin
          @out << Remora.frame(TYPE, text, 0, 0, 0, @types.size + 1)
          @types.size + 1
        end
      end
    end
    KIND = Kernel.instance_method(:class)

    def release(payload)
      payload.unpack("Q<*").each_slice(2) do |id, n|
        @tables.synchronize do
          row = @exports[id]
          raise Fault, "release of what was not lent: id #{id}, #{n} times" if row.nil? || n == 0 || n > row.count
          row.count -= n
          if row.count == 0
            @exports.delete(id)
            @rows.delete(row.it)
            row.it.released if Remora.const_defined?(:Files, false) && Files::File === row.it
          end
        end
      end
    end

    def take_back(rows)
      rows.each do |row|
        _, owner, id = row.unpack(ROW)
        release([id, 1].pack("Q<Q<")) if owner == 0
      end
    end

    # The objects of a table of references; an exception if that is faulty.
    def take(rows)
      fault = nil
      refs = rows.unpack(ROW * (rows.bytesize / 16)).each_slice(3).map do |number, owner, id|
        if owner != 0
          row = owner == 1 ? @exports[id] : nil
          fault = Value.new("reference to an object #{id} that is not lent") unless row
          next row && row.it
        end
        kind = @classes[number]
        fault = Value.new("reference of an unknown type #{number}") unless kind
        known = @imports[id]
        proxy = known && @proxies[known]
        if proxy.nil?
          known = Import.new(self, id)
          proxy = (kind || Traits.proxy_class("object", @ruby)).new(self, id)
          @imports[id] = known
          @proxies[known] = proxy
          ObjectSpace.define_finalizer(proxy, known)
        end
        known.count += 1
        proxy
      end
      fault || refs
    end

    # From the finaliser of a proxy.
    def drop(import)
      @dropped << import
      nudge if @parked
    end

    def release_dropped
      rows = []
      while rows.size < 4096 && (import = @dropped.shift)
        @imports.delete(import.id) if import.equal?(@imports[import.id])
        rows << import.id << import.count
      end
      @out << Remora.frame(RELEASE, rows.pack("Q<*")) unless rows.empty?
    end

    # -- out

    def decode(body, flags, refs, raws)
      raise refs if Value === refs
      Values.parse(body, flags, refs, raws)
    end

    # Flags, rows, attachments, body.
    def encode(value)
      return [TABLES, [row(value)], NONE, '{"~r":0}'] if Lend === value
      return [PLAIN, NONE, NONE, JSON.generate(value, Values::OUT)] if Values.plain?(value)
      walk = Walk.new(self)
      begin
        body = JSON.generate(walk.value(value), Values::OUT)
      rescue Exception
        take_back(walk.rows)
        raise
      end
      [walk.rows.empty? && walk.raws.empty? ? 0 : TABLES, walk.rows, walk.raws, body]
    end

    # Puts a message into what is to be written; a large one is written now.
    def send_message(kind, flags, call, value, name = "", aux = 0, id = 0, chain = 0)
      more, rows, raws, body = encode(value)
      flags |= more
      parts = [name]
      parts << [rows.size, raws.size].pack("VV") << rows.join << raws.map(&:bytesize).pack("V*") if more == TABLES
      parts << body
      parts.concat(raws)
      size = parts.sum(&:bytesize)
      if size > @most
        take_back(rows)
        raise Limit, "a message of #{size} bytes, the limit is #{@most}"
      end
      spend(size + 32) if kind == CALL && id != 0
      if size <= SMALL
        whole = [size, kind, flags, name.bytesize, call, aux, id, chain].pack(HEAD)
        parts.each { |part| whole << (part.encoding == BINARY ? part : part.b) }
        @out << whole
      else
        send_large(size, kind, flags, name.bytesize, call, aux, id, chain, parts)
      end
    end

    def send_large(size, kind, flags, mlen, call, aux, id, chain, parts)
      flush
      widen unless @wide
      piece = [size, kind, flags | CHUNKED, mlen, call, aux, id, chain].pack(HEAD)
      at = 0
      while size > 0
        n = [size, PIECE].min
        size -= n
        piece << [n, CHUNK, 0, 0, call, kind, 0, 0].pack(HEAD)
        while n > 0
          part = parts[0].byteslice(at, n)
          n -= part.bytesize
          at += part.bytesize
          piece << part.force_encoding(BINARY)
          if at == parts[0].bytesize
            parts.shift
            at = 0
          end
        end
        @write_lock.synchronize { write(piece) }
        piece.clear  # its memory is free at once, and not when the collector comes
        Thread.pass  # a scheduler's slice is some ms: small calls of others on this core come between the chunks
      end
    end

    # Larger pipes for large values, where they are pipes.
    def widen
      @wide = true
      [@w, @r].each { |io| io.fcntl(1031, 1 << 20) }  # F_SETPIPE_SZ of Linux
    rescue SystemCallError
      nil
    end

    # Writes all of it; under the lock.
    def write(data)
      return if @ending
      @sent += 1
      @w.write(data)
    rescue SystemCallError, IOError
      finish
    end

    NOTHING = "".b.freeze

    # Everything that waits to be written, in order; releases behind what may mention them.
    def take_out
      release_dropped unless @dropped.empty?
      return NOTHING if @out.empty?
      out = @out
      @out = "".b
      out
    end

    # Takes n bytes of credit, waits for them if need be.
    def spend(n)
      while true
        future = nil
        @tables.synchronize do
          if @spent <= @credit / 4 || @spent + n <= @credit
            @spent += n
          else
            @thirsty << (future = Future.new(self, 0, 0))
          end
        end
        return unless future
        flush
        wait(future)
      end
    end

    # -- calls from here

    # A method of an object of the other side. A block travels as the keyword "&" to Ruby, as the last argument to others.
    # There name=(value) is a method; elsewhere it sets an attribute.
    def begin_call(id, name, args, kwargs = nil, block = nil, timeout: nil, oneway: false, by_ref: false)
      if block
        if @ruby
          kwargs = (kwargs || {}).merge("&" => block)
        else
          args += [block]
        end
      end
      if !@ruby && name.end_with?("=") && name =~ /\A[a-zA-Z_]\w*=\z/
        name = name.chop
        args = [name] + args
        name = ":set"
      end
      Thread.handle_interrupt(Object => :never) { send_call(id, name, args, kwargs, timeout, (oneway ? ONEWAY : 0) | (by_ref ? BYREF : 0)) }
    end

    def send_call(id, name, args, kwargs, timeout, flags)
      raise ConnectionLost, "the connection has ended" if @ending
      raise ConnectionLost, "this process is a fork of the node" if forked?
      oneway = flags & ONEWAY != 0
      if kwargs && !kwargs.empty?
        args += [kwargs]
        flags |= KW
      end
      mine = Thread.current
      chain, due = mine.equal?(MAIN) ? [@chain, @due] : [@chains[mine], nil]
      chain = @fresh += 1 if chain.nil? || chain == 0
      left = timeout
      left = timeout ? [timeout, due - Remora.clock].min : due - Remora.clock if due
      call = (@calls += 1) & 0xFFFFFFFF
      call = (@calls += 1) & 0xFFFFFFFF if call == 0
      future = Future.new(self, call, chain)
      oneway ? future.settle : @pending[call] = future
      begin
        send_message(CALL, flags, call, args, name.b, left ? [1, (left * 1000).to_i].max : 0, id, chain)
      rescue Exception
        @pending.delete(call)
        raise
      end
      flush
      future
    end

    # The same, and waits for the result.
    def ask(id, name, args, kwargs = nil, block = nil)
      finished(begin_call(id, name, args, kwargs, block))
    end

    # The result of a call that nobody else can ask for: if it is not waited for to the end, it is not wanted.
    def finished(future, timeout = nil)
      future.value!(timeout)
    ensure
      give_up(future) unless future.settled || @ending
    end

    # Nobody wants the result any more.
    def give_up(future)
      return false unless @pending.delete(future.call)
      @out << Remora.frame(CANCEL, "", 0, future.call)
      future.settle(nil, Cancelled.new("cancelled here"))
      flush
      true
    end
  end
end
