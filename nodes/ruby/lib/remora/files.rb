# Files and commands for the near side: `run`, `open` and `stat` of the root (protocol.md, sections 5.2 to 5.4). Fetched when one of
# them is first called.

module Remora
  module Files
    module_function

    def perform(node, name, args, item)
      case name
      when "run" then Command.start(node, item, *args)
      when "open" then Lend.new(File.open(node, *args))
      else stat(*args)
      end
    end

    def path(it)
      raise Value, "a path is text or bytes, and not a #{it.class}" unless String === it
      raise Value, "a path with a NUL: #{it.inspect[0, 200]}" if it.include?("\0".b)
      it
    end

    # nil if there is nothing of that name.
    def stat(path)
      describe(::File.stat(Files.path(path)))
    rescue Errno::ENOENT, Errno::ENOTDIR
      begin
        describe(::File.lstat(path))  # a link that leads nowhere
      rescue Errno::ENOENT, Errno::ENOTDIR
        nil
      end
    end

    def describe(stat)
      kind = stat.file? ? "file" : stat.directory? ? "directory" : stat.symlink? ? "link" : "other"
      { "size" => stat.size, "mode" => stat.mode & 0o7777, "mtime" => stat.mtime.to_f, "atime" => stat.atime.to_f, "kind" => kind }
    end

    def options(given)
      raise Value, "the options are a map, and not a #{given.class}" unless given.nil? || Hash === given
      (given || {}).map { |name, value| [name.to_s, value] }.to_h
    end

    # So many bytes were moved. Else the collector comes only when some 50 MB of dead strings are there.
    def moved(size)
      @moved = (@moved || 0) + size
      return if @moved < (@enough ||= 4 << 20)
      @moved = 0
      started = Remora.clock
      GC.start  # all of it: a quick one takes some of these strings for old
      @enough = [4 << 20, ((Remora.clock - started) * (1 << 30)).to_i].max  # in a large process it takes longer than the moving
    end

    # A file of this host, as the near side has it in its hands.
    class File
      FLAGS = { "r" => ::File::RDONLY, "w" => ::File::WRONLY | ::File::CREAT | ::File::TRUNC,
                "a" => ::File::WRONLY | ::File::CREAT | ::File::APPEND, "x" => ::File::WRONLY | ::File::CREAT | ::File::EXCL,
                "r+" => ::File::RDWR }.freeze
      TEMPORARY = {}  # path of a file that is to be removed unless its name is changed -> the process that made it

      def self.open(node, path, mode = "r", options = nil)
        path = Files.path(path)
        flags = FLAGS[mode || "r"] or raise Value, "no mode #{mode.inspect}: there are #{FLAGS.keys.join(", ")}"
        new(node.most - 1024, path, flags, Files.options(options))
      end

      def self.remover(temporary)
        proc { remove(temporary) }
      end

      def self.remove(temporary)
        ::File.unlink(temporary) if TEMPORARY.delete(temporary) == Process.pid
      rescue SystemCallError
        nil
      end

      def self.remove_all
        TEMPORARY.keys.each { |temporary| remove(temporary) }
      end

      def initialize(most, path, flags, options)
        @most = most
        @path = path
        @mode, @times, @sync = options.values_at("mode", "times", "sync")
        if options["atomic"] && flags & ::File::TRUNC != 0 && (!::File.exist?(path) || ::File.file?(path))
          open_beside(flags)
        else
          @io = ::File.new(path, flags)
        end
        @io.binmode.sync = true
        @stat = @io.stat
        raise Errno::EISDIR, path if @stat.directory?
        @times = nil unless @stat.file?  # a device keeps its own
        @io.chmod(@mode) if @mode && @stat.file? && !@temporary && flags != ::File::RDONLY
      end

      # At most n bytes, none at the end; all that are left without n.
      def read(n = nil)
        n = nil if n && n < 0
        Files.moved(n || 0)
        return first_bytes(n) unless @stat.file? || n.nil?
        return @io.read(n) || "".b if n && n <= @most
        data = "".b
        while (n.nil? || data.bytesize < n) && (piece = @io.read([1 << 20, n ? n - data.bytesize : 1 << 20].min))
          data << piece
          next if data.bytesize <= @most
          @io.seek(-data.bytesize, IO::SEEK_CUR) if @stat.file?
          raise Limit, "#{@path}: more than the #{@most} bytes that one message can carry"
        end
        data
      end

      def write(data)
        raise Value, "bytes are written, and not a #{data.class}" unless String === data && data.encoding == BINARY
        @io.write(data)
        Files.moved(data.bytesize)
        nil
      end

      def seek(offset, whence = 0)
        @io.seek(offset, whence || 0)
        @io.pos
      end

      def tell
        @io.pos
      end

      def truncate(n = nil)
        @io.truncate(n || @io.pos)
        nil
      end

      def flush
        @io.flush
        nil
      end

      # Permissions and times are set, an atomic file gets its name.
      def close(times = nil)
        return nil if @io.closed?
        @times = times || @times if @stat.file?
        @temporary ? replace : finish(@path)
        nil
      rescue SystemCallError, IOError
        discard
        raise
      end

      # The near side has let go of it.
      def released
        discard
      end

      # An atomic file leaves no trace.
      def discard
        @io.close
        File.remove(@temporary) if @temporary
        nil
      end

      def stat
        Files.describe(@io.stat)
      end

      private

      def first_bytes(n)
        @io.readpartial([n, @most].min)
      rescue EOFError
        "".b
      end

      def open_beside(flags)
        @path = ::File.realpath(@path) if ::File.exist?(@path)
        40.times do
          break unless ::File.symlink?(@path)  # leads nowhere
          to = ::File.readlink(@path).b
          @path = to.start_with?("/") ? to : ::File.join(::File.dirname(@path).b, to)
        end
        folder, name = ::File.split(@path)
        begin
          @temporary = ::File.join(folder, ".#{name.byteslice(0, 200)}.#{"%08x" % Random.rand(1 << 32)}.part")
          @io = ::File.new(@temporary, flags | ::File::EXCL, 0o600)
        rescue Errno::EEXIST
          retry
        rescue SystemCallError => error
          raise error.class, @path
        end
        TEMPORARY[@temporary] = Process.pid
        ObjectSpace.define_finalizer(self, File.remover(@temporary))
      end

      def replace
        before = ::File.stat(@path) rescue nil
        begin
          @io.chown(before.uid, before.gid) if before
        rescue SystemCallError
          nil
        end
        @io.chmod(@mode || (before ? before.mode & 0o7777 : 0o666 & ~::File.umask))
        finish(@temporary)
        begin
          ::File.rename(@temporary, @path)
        rescue SystemCallError => error
          raise error.class, @path
        end
        TEMPORARY.delete(@temporary)
      end

      def finish(path)
        @io.fsync if @sync
        @io.close
        ::File.utime(*@times.map { |time| Time.at(time) }, path) if @times
      end
    end

    # A command that runs, with a thread of its own; calls go on meanwhile.
    class Command
      GRACE = 2.0  # seconds from SIGTERM to SIGKILL
      PIECE = 262144

      # Ends the command; carries the error that is the answer.
      class Stop < Exception
        attr_reader :error

        def initialize(error)
          @error = error
          super(error.message)
        end
      end

      # The answer comes later, from the command's thread.
      def self.start(node, item, argv, options = nil)
        command = new(node, item, argv, Files.options(options))
        command.spawn
        node.enlist(item[0], command)
        thread = Thread.new { Thread.handle_interrupt(Stop => :never) { command.serve } }
        thread.report_on_exception = false
        Deferred
      end

      def initialize(node, item, argv, options)
        @node, @item = node, item
        @argv = words(argv)
        @input, @output, @cwd, @timeout = options.values_at("input", "output", "cwd", "timeout")
        @cwd = Files.path(@cwd) if @cwd
        raise Value, "the output is a function of the near side" unless @output.nil? || Proxy === @output
        raise Value, "the input is bytes, or an object with read" unless @input.nil? || Proxy === @input || String === @input
        @env = environment(options["env"] || {})
        @due = [item[4], @timeout && Remora.clock + @timeout / 1000.0].compact.min
        @lock = Mutex.new
        @threads = []
      end

      def spawn
        ::File.stat(@cwd).directory? || raise(Errno::ENOTDIR, @cwd) if @cwd
        theirs = []
        @streams = {}
        if @input.nil?
          theirs[0] = ::File.open(::File::NULL)
        else
          theirs[0], @in = IO.pipe
          @in.binmode.sync = true
        end
        [1, 2].each do |number|
          mine, theirs[number] = IO.pipe
          mine.binmode
          widen(mine)
          @streams[mine] = number
        end
        where = { pgroup: true, in: theirs[0], out: theirs[1], err: theirs[2], close_others: true }
        where[:chdir] = @cwd if @cwd
        Children.add(self) { @pid = Process.spawn(@env, [@argv[0], @argv[0]], *@argv.drop(1), where) }
      rescue SystemCallError => error
        descriptors.each(&:close)
        raise if @cwd && !::File.directory?(@cwd)
        raise NotFound, "no program #{@argv[0]}" if Errno::ENOENT === error || Errno::ENOTDIR === error
        raise error.class, @argv[0]
      ensure
        theirs.to_a.compact.each(&:close)
      end

      # Ours: closed in a fork.
      def descriptors
        [@in, *@streams.to_h.keys].compact
      end

      # The thread of the command. It can be stopped while it waits, and nowhere else.
      def serve
        result = error = nil
        @node.work_for(@item[3])
        begin
          @lock.synchronize { @thread = Thread.current }
          raise @stopped if @stopped
          result = converse
        rescue Stop => stop
          error = stop.error
        rescue Exception => other
          error = other
        end
        @lock.synchronize { @thread = nil }
        finish if error
        clean_up
      ensure
        @node.commands.delete(@item[0])
        @node.work_for(nil)
        error ? @node.fail_later(@item, error) : @node.reply_later(@item, result)
      end

      # From another thread: the command is not wanted any more.
      def stop(error)
        @lock.synchronize do
          @stopped = Stop.new(error)
          @thread.raise(@stopped) if @thread
        end
      end

      def signal(name)
        Process.kill(name, -@pid)
      rescue SystemCallError
        nil
      end

      def ended?
        !@status.nil?
      end

      def took(status)
        @status = status
      end

      private

      def words(argv)
        unless Array === argv && !argv.empty? && argv.all? { |word| String === word }
          raise Value, "a command is a list of text, at least the name of a program"
        end
        argv.each { |word| raise Value, "an argument with a NUL: #{word.inspect[0, 200]}" if word.b.include?("\0") }
      end

      def environment(env)
        raise Value, "env is a map" unless Hash === env
        env.map do |name, value|
          name = name.to_s
          raise Value, "env: no name of a variable: #{name.inspect[0, 200]}" if name.empty? || name.b =~ /[=\0]/n
          raise Value, "env: #{name} is text, or null" unless value.nil? || String === value
          raise Value, "env: #{name} has a NUL" if value && value.b.include?("\0")
          [name, value]
        end.to_h
      end

      def widen(io)
        io.fcntl(1031, 1 << 20)  # F_SETPIPE_SZ of Linux
      rescue SystemCallError
        nil
      end

      def pausing
        Thread.handle_interrupt(Stop => :immediate) { yield }
      end

      def run_out
        sleep([0, @due - Remora.clock].max)
        stop(Timeout.new("the command #{@argv[0]} has not ended within #{@timeout ? "#{@timeout} ms" : "the time of its call"}"))
      end

      def beside
        thread = Thread.new { yield }
        thread.report_on_exception = false
        @threads << thread
        thread
      end

      def converse
        beside { feed } if @in
        beside { run_out } if @due
        @waiter = Thread.new { reap }
        kept = @output ? nil : { 1 => [], 2 => [] }
        size = 0
        open = @streams.keys
        piece = [PIECE, @node.most - 4096].min
        until open.empty?
          pausing { IO.select(open) }[0].each do |io|
            data = io.read_nonblock(piece, exception: false)
            next if data == :wait_readable
            next open.delete(io) if data.nil?
            next hand_out(@streams[io], data) if @output
            kept[@streams[io]] << data
            size += data.bytesize
            most = @node.most - 1024
            raise Limit, "the command wrote more than #{most} bytes: take its output with on_output" if size > most
          end
        end
        pausing { @waiter.join }
        raise Error, "the status of the command #{@argv[0]} was taken by other code" unless @status
        { "pid" => @pid, "status" => @status.exitstatus, "signal" => @status.termsig,
          "stdout" => kept && kept[1].join.b, "stderr" => kept && kept[2].join.b }
      end

      def hand_out(number, data)
        @node.ask(@output.__remora_id, "", [number, data])
        Files.moved(data.bytesize)
      end

      # A command need not read what it is given.
      def feed
        @node.work_for(@item[3])
        if String === @input
          @in.write(@input)
        else
          until (data = @node.ask(@input.__remora_id, "read", [[65536, @node.most - 4096].min])).nil? || data.empty?
            raise Value, "the input gave a #{data.class}, and not bytes" unless String === data
            @in.write(data)
          end
        end
      rescue Errno::EPIPE, IOError
        nil
      rescue StandardError => error
        stop(error)
      ensure
        @node.work_for(nil)
        @in.close
      end

      # Process.wait of other code may have been quicker: see Children.
      def reap
        status = begin
          Process.wait2(@pid)[1]
        rescue Errno::ECHILD
          200.times { sleep 0.01 unless ended? }
          @status
        end
        @status = status
        Children.forget(@pid)
      end

      # SIGTERM, and SIGKILL for what is there two seconds later. What it still writes is dropped.
      def finish
        signal(:TERM)
        @waiter ||= Thread.new { reap }
        late = Remora.clock + GRACE
        open = @streams.keys.reject(&:closed?)
        until open.empty? || (left = late - Remora.clock) <= 0
          ready = IO.select(open, nil, nil, left) or break
          ready[0].each { |io| open.delete(io) if io.read_nonblock(PIECE, exception: false).nil? }
        end
        @waiter.join([late - Remora.clock, 0].max) if open.empty?
        signal(:KILL) unless open.empty? && ended?
        @waiter.join
      end

      def clean_up
        @threads.each(&:kill).each(&:join)
        descriptors.each(&:close)
      end
    end

    # The processes of commands are none of user code's: what waits for any child does not get them.
    module Children
      COMMANDS = {}  # pid -> command
      LOCK = Mutex.new

      def self.add(command)
        Process.singleton_class.prepend(self) unless Process.singleton_class.include?(self)
        LOCK.synchronize { COMMANDS[yield] = command }
      end

      def self.forget(pid)
        LOCK.synchronize { COMMANDS.delete(pid) }
      end

      # Whether that was a command's; it learns its status then.
      def self.ours?(pid, status)
        command = LOCK.synchronize { COMMANDS[pid] } if pid
        command.took(status) if command
      end

      %i[wait wait2 waitpid waitpid2].each do |name|
        define_method(name) do |pid = -1, *flags|
          loop do
            got = super(pid, *flags)
            return got unless pid == -1 && Children.ours?(Array(got)[0], $?)
          end
        end
      end

      def waitall
        super.reject { |pid, status| Children.ours?(pid, status) }
      end
    end
  end
end
