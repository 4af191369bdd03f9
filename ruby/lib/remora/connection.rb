# frozen_string_literal: true

module Remora
  # A connection to a far process; made by Remora.connect. Any thread may use it. Without a block it ends when neither it nor anything
  # that came from it is in use any more, or with close.
  class Connection
    HEARTBEAT, DEAD_AFTER = 5.0, 30.0
    CLOSE_SECONDS = 5.0 # how long the end of a block waits for the far process; it is killed before

    def initialize(handle)
      @handle = handle
    end

    # Fails every waiting call with ConnectionLost and ends the far process. Returns at once; one-way calls that were made before are still sent for at
    # most a second. More than once is harmless.
    def close
      Capi.remora_conn_close(@handle)
    end

    # Waits until the far process of a closed connection is gone; whether it is.
    def wait_closed(timeout = nil)
      Capi.wait_closed(@handle, Internal.milliseconds(timeout)).zero?
    end

    # Whether calls can be made.
    def valid?
      Capi.remora_conn_is_valid(@handle) == 1
    end

    # Of the far process, on its host.
    def pid
      Capi.remora_conn_pid(@handle)
    end

    # What it was connected to, for messages.
    def name
      Capi.remora_conn_name(@handle)
    end

    # What the far side said of itself: language, pid, host, user, ...
    def hello
      Capi.remora_conn_hello(@handle) || {}
    end

    # Counters: calls_out, calls_in, bytes_out, bytes_in, exports, imports, pending, queued (bytes), log_records, log_dropped.
    def stats
      Capi.remora_conn_stats(@handle)
    end

    # A future that fails with ConnectionLost (the reason) when the connection is lost, and yields nil when it is closed from here. The block, if
    # there is one, gets the reason or nil.
    def on_close(&block)
      future = Capi.remora_conn_on_close(@handle)
      block ? future.on_resolution { |_, _, reason| block.call(reason) } : future
    end

    # The block takes what far code prints: (stream, data), stream "stdout" or "stderr", data bytes. Without a block $stdout and $stderr do again.
    def on_output(&block)
      Output.set(@handle, block)
      self
    end

    # Makes the far side connect; gives the Proxy of its connection, which new_on and can_on take like one of ours.
    def connect(spec = "-", **options)
      far = root.can("remora.connect")
      raise NotFound, "#{name}: a far side in #{hello["node"]} makes no connections; connect([..., ...]) from here makes a chain of hops" unless far
      far.call(Connecting.plain_spec(spec), **options)
    end

    # Remora.run(self, argv, ...)
    def run(argv, **options, &block)
      Remora.run(self, argv, **options, &block)
    end

    # Remora.put(self, local, remote, ...)
    def put(local, remote, **options)
      Remora.put(self, local, remote, **options)
    end

    # Remora.get(self, remote, local, ...)
    def get(remote, local, **options)
      Remora.get(self, remote, local, **options)
    end

    # Remora.open(self, path, mode, ...)
    def open(path, mode = "r", **options, &block)
      Remora.open(self, path, mode, **options, &block)
    end

    def inspect
      "#<Remora::Connection to #{name} (pid #{pid})#{", closed" unless valid?}>"
    end
    alias to_s inspect

    # @private
    attr_reader :handle

    # @private
    def root
      Capi.remora_conn_root(@handle)
    end
  end

  # What the arguments of connect mean to the C library.
  module Connecting
    TEXTS = %i[command ssh ssh_options sudo].freeze

    class << self
      def begin(spec, node: :ruby, timeout: 10.0, heartbeat: Connection::HEARTBEAT, dead_after: Connection::DEAD_AFTER, interpreter: nil, env: nil,
                cwd: nil, modules: nil, deny: nil, max_message: nil, limits: nil, nice: 0, watchdog: 0, onward: false, on_prompt: nil, roots: nil,
                log_forward: nil, log_level: nil, log_selections: nil, log_budget: nil, **argvs)
        unknown = argvs.keys - TEXTS
        raise Internal.invalid("connect has no option #{unknown.first}") unless unknown.empty?
        given = {
          node: node.to_s, timeout: ms(timeout),
          # Where only one of the two is given the other follows it.
          heartbeat: heartbeat == Connection::HEARTBEAT ? nil : ms(heartbeat),
          dead_after: dead_after == Connection::DEAD_AFTER ? nil : ms(dead_after),
          interpreter: interpreter && text_or_list(interpreter, "option interpreter"), env: env && environment(env), cwd: cwd && text(cwd, "option cwd"),
          modules: modules && module_list(modules), deny: deny && module_names(deny), max_message: max_message,
          limits: limits && map(limits, "option limits").to_h { |key, value| [key.to_s, value] }, nice: nice == 0 ? nil : nice, watchdog: watchdog == 0 ? nil : ms(watchdog),
          onward: onward ? true : false, on_prompt: on_prompt,
          log_forward: log_forward.nil? ? nil : log_forward ? true : false, log_level: log_level&.to_s, log_selections: log_selections, log_budget: log_budget,
          roots: module_roots(node.to_s, roots),
          language: "ruby #{RUBY_VERSION}", **argvs.compact.to_h { |name, words| [name, texts(words, "option #{name}")] }
        }
        where = given[:command] ? nil : plain_spec(spec)
        given[:hops], where = where, nil if Array === where
        Dispatch.start
        Capi.remora_connect_start(where, options(given))
      end

      # Folders by language: what is given (an array is for the far side's language), and Ruby's own.
      def module_roots(node, given)
        folders = given.nil? ? {} : given.respond_to?(:to_h) && !(Array === given) ? given.to_h : { node => given }
        folders = folders.to_h { |language, list| [language.to_s, texts(list, "option roots").map { |folder| File.expand_path(folder) }] }
        folders.merge("ruby" => folders.fetch("ruby", []) + Names.roots)
      end

      # Text, or a list of hops: text or the argv of a command.
      def plain_spec(spec)
        return text(spec) unless Array === spec
        raise Internal.invalid("a list of no hops") if spec.empty?
        spec.map { |hop| Array === hop ? texts(hop) : text(hop) }
      end

      private

      def options(given)
        handle = Capi.remora_options_new
        given.compact.each { |name, value| Capi.remora_options_set(handle, name.to_s, value) }
        Capi.use_queue(handle)
        handle
      end

      def ms(seconds)
        return (seconds * 1000).round if seconds.is_a?(Numeric) && seconds >= 0 && seconds < 1e12
        raise Internal.invalid("#{seconds.inspect} is not a time in seconds")
      end

      def text(value, what = nil)
        return value.to_s if String === value || Symbol === value
        return value.to_path.to_s if value.respond_to?(:to_path)
        raise Internal.invalid("#{value.inspect} is no spec: text, a path, or a list of hops") unless what
        raise Internal.invalid("#{what}: text is wanted, not #{value.inspect}")
      end

      def texts(words, what = nil)
        Array(words).map { |word| text(word, what) }
      end

      def text_or_list(value, what)
        Array === value ? texts(value, what) : text(value, what)
      end

      def map(value, what)
        Hash === value ? value : raise(Internal.invalid("#{what}: a Hash is wanted, not #{value.inspect}"))
      end

      def environment(env)
        map(env, "option env").to_h do |name, value|
          raise Internal.invalid("option env: #{name} is nil: connect adds variables, and takes none away") if value.nil?
          [name.to_s, value.to_s]
        end
      end

      def module_list(modules)
        return "all" if %w[all].include?(modules.to_s)
        module_names(modules)
      end

      def module_names(modules)
        Array(modules).map { |mod| Module === mod ? mod.name : mod.to_s }
      end
    end
  end

  class << self
    # Connects and waits until the far side is there. With a block the connection is closed at its end, and the block's value given.
    #
    # spec: "-" a child process; "host", "user@host", "ssh://user@host:port" by ssh; "user@" by sudo; a list: a chain of hops.
    #
    # node         the far side's language (:ruby)
    # timeout      seconds until the connection must stand (10.0)
    # heartbeat    seconds after which a silent side must give a sign of life (5.0); 0 turns it off
    # dead_after   seconds of silence after which the far side is given up (30.0)
    # interpreter  path, or whole argv, of the far interpreter (%w[nice ruby])
    # env, cwd     of the far process; env is added to what it has
    # command      argv of any program that carries stdin and stdout; the interpreter's argv is appended
    # ssh, sudo    argv of these programs;  ssh_options: further options for ssh
    # modules      further files or packages that the far side may fetch from here, or "all"; roots: directories to look in, before $LOAD_PATH
    # deny         files and packages that are never served, whatever else allows them, with all below them
    # max_message  bytes of the longest message (256 MiB)
    # limits       what the far process may use: { memory: bytes, cpu: seconds, files: n, processes: n, file_size: bytes, core: bytes }
    # nice         added to the far process's niceness (0)
    # watchdog     seconds; the far process ends itself when it has heard nothing from here for so long (0: never)
    # onward       whether the far side may have connections made from here, behind the hops of its own (false)
    # on_prompt    callable(question): answers what ssh and sudo ask (docs/ruby.md); false: nobody does; without it the user's terminal, if there is one
    # log_forward  whether the far side's log records come here, to the sinks of Remora::Log (REMORA_LOG_FORWARDING=1); log_level, log_selections: which
    #              (REMORA_LOG_LEVEL or :info, "*"); log_budget: bytes a second (262144)
    # on_output    callable(stream, data): gets what far code prints, stream "stdout" or "stderr", data bytes; without it that goes to $stdout and $stderr
    #
    # Raises ConnectError, whose #stage tells how far it came; Ctrl-C ends the wait.
    def connect(spec = "-", on_output: nil, **options)
      raise Internal.invalid("option on_output: something with call is wanted, not #{on_output.inspect}") unless on_output.nil? || on_output.respond_to?(:call)
      future = Connecting.begin(spec, **options)
      begin
        future.value!
      ensure
        future.cancel # does nothing when it is there
      end
      handle = Capi.remora_future_conn(future)
      Output.set(handle, on_output)
      conn = Connection.new(handle)
      return conn unless block_given?
      begin
        yield conn
      ensure
        conn.close
        conn.wait_closed(Connection::CLOSE_SECONDS)
      end
    end
  end
end
