# frozen_string_literal: true

require "stringio"

module Remora
  # Files of the far side: copied whole, or opened.
  module Files
    class << self
      def connection(where)
        raise Internal.invalid("commands and files need a connection of this process, not one of a far side") if Capi.proxy?(where)
        Connection === where ? where : Remora.connect(where)
      end

      def put(where, local, remote, **options)
        Capi.upload(connection(where).handle, path(local), path(remote), copying(**options))
      end

      def get(where, remote, local, **options)
        Capi.download(connection(where).handle, path(remote), path(local), copying(**options))
      end

      def path(path)
        path.respond_to?(:to_path) ? path.to_path : path.to_s
      end

      # The number of bytes.
      def finish(future)
        future.value!["bytes"]
      ensure
        future.cancel # does nothing when it is there
      end

      private

      def copying(atomic: true, mode: true, times: true, sync: false)
        { "atomic" => atomic ? true : false, "mode" => mode, "times" => times ? true : false, "sync" => sync ? true : false }
      end
    end
  end

  # start(conn): the functions of a connection that can be started. Each gives a future of what the function gives.
  class Starting
    def initialize(conn)
      @conn = conn
    end

    def run(argv, **options, &block)
      future, finish, = Commands.begin(@conn, argv, **options, &block)
      future.then { |found| finish.call(found) }
    end

    def put(local, remote, **options)
      Files.put(@conn, local, remote, **options).then { |found| found["bytes"] }
    end

    def get(remote, local, **options)
      Files.get(@conn, remote, local, **options).then { |found| found["bytes"] }
    end
  end

  # An open far file, used like an IO. What is read in a row is asked for ahead, what is written is not waited for; both have a bound. An error in writing
  # is raised by a later write, by flush or by close. What was not flushed when it is dropped without close is lost. For one thread at a time.
  class FarFile
    include Enumerable

    PIECE = 256 * 1024
    WINDOW = 8 # pieces on the way, at most
    MODES = %w[r w a x r+].freeze

    attr_reader :path, :mode, :lineno

    def initialize(proxy, path, mode, binary, encoding) # :nodoc:
      @proxy, @start, @path, @mode = proxy, Remora.start(proxy), path, mode
      @encoding = binary ? Encoding::BINARY : Encoding.find(encoding || "UTF-8")
      @encodes = !encoding.nil? && !binary # as those of IO: what is written without a word about it stays as it is
      @buffer, @out = String.new(encoding: Encoding::BINARY), String.new(encoding: Encoding::BINARY)
      @ahead, @behind, @wanted, @ended, @lineno, @closed = [], [], 1, false, 0, false
      @at = mode == "a" ? proxy.seek(0, 2) : 0 # of what has been given or taken here
    end

    # n bytes, fewer or nil at the end; without n all that is left, as text.
    def read(n = nil)
      reading
      if n.nil?
        nil while fill
        return text(take(@buffer.bytesize))
      end
      return String.new(encoding: Encoding::BINARY) if n.zero?
      nil while @buffer.bytesize < n && fill
      @buffer.empty? ? nil : take(n)
    end

    # The next line, or nil.
    def gets(separator = "\n", chomp: false)
      reading
      return paragraph(chomp) if separator == ""
      found, from = nil, 0
      until separator && (found = @buffer.index(separator.b, from))
        from = [@buffer.bytesize - separator.to_s.bytesize + 1, 0].max
        break unless fill
      end
      return if @buffer.empty?
      line = text(take(found ? found + separator.bytesize : @buffer.bytesize))
      @lineno += 1
      chomp && separator ? line.chomp(separator) : line
    end

    def readline(separator = "\n", chomp: false)
      gets(separator, chomp: chomp) || raise(EOFError, "end of file reached")
    end

    def each_line(separator = "\n", chomp: false)
      return to_enum(:each_line, separator, chomp: chomp) unless block_given?
      while (line = gets(separator, chomp: chomp))
        yield line
      end
      self
    end
    alias each each_line

    def readlines(separator = "\n", chomp: false)
      each_line(separator, chomp: chomp).to_a
    end

    def eof?
      reading
      @buffer.empty? && !fill
    end
    alias eof eof?

    # The number of bytes.
    def write(*things)
      writing
      things.sum do |thing|
        data = thing.to_s
        data = (@encodes ? data.encode(@encoding) : data).b
        @out << data
        @at += data.bytesize
        send_out(PIECE)
        data.bytesize
      end
    end

    def <<(thing)
      write(thing)
      self
    end

    def print(*things)
      write(*things)
      nil
    end

    def puts(*things)
      made = StringIO.new(String.new(encoding: @encodes ? Encoding::UTF_8 : Encoding::BINARY))
      made.puts(*things)
      write(made.string)
      nil
    end

    def printf(format, *args)
      write(format(format, *args))
      nil
    end

    # Waits until what was written has been written over there.
    def flush
      open_here
      send_out(1)
      settle(0)
      self
    end

    def seek(offset, whence = IO::SEEK_SET)
      flush
      whence = { SET: 0, CUR: 1, END: 2 }.fetch(whence, whence)
      offset, whence = offset + @at, 0 if whence == 1
      @at = @proxy.seek(offset, whence)
      forget_ahead # not before: a seek that fails leaves what was read ahead
      0
    end

    def pos
      open_here
      @at
    end
    alias tell pos

    def pos=(offset)
      seek(offset)
      offset
    end

    def rewind
      @lineno = 0
      seek(0)
    end

    def truncate(size)
      flush
      @proxy.truncate(size)
      0
    end

    # What stat says of the far file: size, mode, mtime, atime, kind.
    def stat
      flush
      @proxy.stat
    end

    def close
      return if @closed
      begin
        flush
      rescue StandardError
        discard
        raise
      end
      @closed = true
      @incomplete ? @proxy.discard : @proxy.close # what could not be written was told, and replaces nothing
      nil
    end

    # Closes the file without writing out; one opened with atomic: true is not replaced.
    def discard
      return if @closed
      @closed = true
      @ahead.clear
      @behind.clear
      @proxy.discard
      nil
    end

    def closed?
      @closed
    end

    def binmode
      @encoding, @encodes = Encoding::BINARY, false
      self
    end

    def external_encoding
      @encoding
    end

    def inspect
      "#<Remora::FarFile #{@path}#{" (closed)" if @closed}>"
    end

    private

    def open_here
      raise IOError, "closed stream" if @closed
    end

    def reading
      open_here
      raise IOError, "not opened for reading" unless @mode.start_with?("r")
      flush unless @out.empty? && @behind.empty?
    end

    def writing
      open_here
      raise IOError, "not opened for writing" if @mode == "r"
      return if @ahead.empty? && @buffer.empty?
      at = @at
      forget_ahead
      @proxy.seek(at)
    end

    def forget_ahead
      @ahead.clear
      @buffer.clear
      @wanted, @ended = 1, false
    end

    # One piece more; false at the end. Who reads on gets more ahead each time.
    def fill
      @ahead << @start.read(PIECE) while @ahead.size < @wanted
      piece = @ahead.shift.value!
      @wanted = piece.empty? ? 1 : [2 * @wanted, WINDOW].min
      @buffer << piece
      !piece.empty?
    end

    # What stands between empty lines, of which any number is one.
    def paragraph(chomp)
      pass_empty_lines
      line = gets("\n\n")
      pass_empty_lines
      chomp && line ? line.chomp("") : line
    end

    def pass_empty_lines
      take(1) while !eof? && @buffer.start_with?("\n")
    end

    def take(n)
      data = @buffer.slice!(0, n)
      @at += data.bytesize
      data
    end

    def text(data)
      data.force_encoding(@encoding)
    end

    def send_out(least)
      while @out.bytesize >= least
        settle(WINDOW - 1)
        @behind << @start.write(@out.slice!(0, PIECE))
      end
    end

    def settle(most)
      while @behind.size > most
        begin
          @behind.shift.value!
        rescue StandardError
          @incomplete = true
          raise
        end
      end
    end
  end

  class << self
    # Copies a file of this side to the far side; gives the number of bytes. Any size in constant memory.
    #
    # atomic  the new file stands beside the old one until it is complete, then replaces it; an error leaves the old one as it was (true)
    # mode    whether it gets the permissions of what it was copied from (true), or which (0o644)
    # times   whether it gets its times (true)
    # sync    whether it has to be on disk before this returns (false)
    #
    # What fails here is a FileError, what fails there the far side's error (Errno::ENOENT, ...). start(conn).put(...) gives a future.
    def put(where, local, remote, **options)
      Files.finish(Files.put(where, local, remote, **options))
    end

    # Copies a file of the far side to this one; gives the number of bytes. Options as in put.
    def get(where, remote, local, **options)
      Files.finish(Files.get(where, remote, local, **options))
    end

    # Opens a far file: open(conn, "/etc/hosts") is used like File.open("/etc/hosts"). With a block it is closed at its end, and the block's value given.
    #
    # mode         r, w, a, x or r+, with b for bytes; else it is text (encoding: UTF-8 unless given)
    # atomic       for w: what is written replaces the file when it is closed; an exception in the block leaves the old one (false)
    # permissions  that the file gets (0o600), whatever the umask over there
    # sync         whether close waits until it is on disk (false)
    def open(where, path, mode = "r", encoding: nil, atomic: false, permissions: nil, sync: false)
      plain = mode.delete_suffix("b").sub("b+", "+")
      raise Internal.invalid("the mode of a far file is r, w, a, x or r+, with b or without, not #{mode.inspect}") unless FarFile::MODES.include?(plain)
      options = { "atomic" => atomic ? true : false, "sync" => sync ? true : false, "mode" => permissions }.compact
      name = Files.path(path)
      file = FarFile.new(Files.connection(where).root.open(name, plain, options), name, plain, plain != mode, encoding)
      return file unless block_given?
      begin
        yield file
      rescue Exception # rubocop:disable Lint/RescueException
        atomic ? file.discard : file.close
        raise
      ensure
        atomic && Thread.current.status == "aborting" ? file.discard : file.close # a thread that is killed has no exception
      end
    end
  end
end
