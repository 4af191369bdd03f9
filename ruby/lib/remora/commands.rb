# frozen_string_literal: true

require "shellwords"

module Remora
  # What became of a command. Exactly one of status and signal is nil; stdout and stderr are nil when a block took them.
  CommandResult = Struct.new(:args, :pid, :status, :signal, :stdout, :stderr) do
    # Whether it exited with status 0.
    def ok?
      status == 0
    end
  end

  # run(..., check: true): the command did not exit with status 0.
  class CommandFailed < Error
    attr_reader :result

    def initialize(result)
      last = result.stderr.to_s.dup.force_encoding("UTF-8").scrub.strip.lines.last
      ending = result.signal ? "signal #{result.signal}" : "exit status #{result.status}"
      words = result.args.map { |word| word.dup.force_encoding("UTF-8").scrub }
      super("#{Shellwords.join(words)}: #{ending}#{": #{last}" if last}")
      @result = result
    end
  end

  # What of ours the far side uses while a command runs.
  module Commands
    # An error that comes out of it is the one that the caller sees, as it is.
    class Guard
      attr_reader :error

      def call
        yield
      rescue Exception => e # rubocop:disable Lint/RescueException
        @error = e
        raise
      end
    end

    # Something to read from, as the far side reads it.
    class Input
      def initialize(guard, source)
        @guard, @source = guard, source
        @pieces = Cursor.new(source) unless source.respond_to?(:read)
      end

      def read(n)
        data = @guard.call { @pieces ? piece : @source.read(n) }
        data && String.new(data, encoding: Encoding::BINARY)
      end

      private

      def piece
        done = false
        until done
          done, (data,) = @pieces.batch(1)
          next if data.nil?
          raise Internal.invalid("input: Strings are wanted, not #{data.inspect}") unless String === data
          return data unless data.empty? # that would be the end
        end
      end
    end

    class << self
      # [future of what the far side says of it, what makes of that what the caller gets, what ran here meanwhile]
      def begin(where, argv, input: nil, on_output: nil, cwd: nil, env: nil, timeout: nil, check: false, &block)
        raise Internal.invalid("a command is a list of words; for a shell: [\"sh\", \"-c\", command]") unless Array === argv && !argv.empty?
        words = argv.map { |word| word.respond_to?(:to_path) ? word.to_path : word.to_s }
        guard = Guard.new
        told = on_output || block
        limit = Internal.milliseconds(timeout)
        raise Internal.invalid("on_output: something with call is wanted, not #{told.inspect}") unless told.nil? || told.respond_to?(:call)
        raise Internal.invalid("env: a Hash is wanted, not #{env.inspect}") unless env.nil? || env.respond_to?(:to_h)
        options = { "input" => input && input_of(guard, input), "cwd" => cwd && (cwd.respond_to?(:to_path) ? cwd.to_path : cwd.to_s),
                    "env" => env&.to_h { |name, value| [name.to_s, value&.to_s] }, "timeout" => (limit unless limit.negative?),
                    "output" => told && ->(stream, data) { guard.call { told.call(stream == 1 ? "stdout" : "stderr", data) } && nil } }
        future = Remora.start(Files.connection(where).root).run(words, options.compact)
        [future, ->(found) { finish(words, found, check) }, guard]
      end

      private

      def input_of(guard, input)
        unless String === input
          known = input.respond_to?(:read) || input.respond_to?(:each)
          return known ? Input.new(guard, input) : raise(Internal.invalid("input: a String or something with read or each is wanted, not #{input.inspect}"))
        end
        input.bytesize > 1 << 20 ? Input.new(guard, StringIO.new(input)) : input.b
      end

      def finish(words, found, check)
        result = CommandResult.new(words, *found.values_at("pid", "status", "signal", "stdout", "stderr"))
        raise CommandFailed, result if check && !result.ok?
        result
      end
    end
  end

  class << self
    # Runs a command on the far side and waits for its end: run(conn, %w[ls -l]).
    #
    # input      its standard input: text, something with read, or with each; else it is empty
    # on_output  callable(stream, data), or the block: gets what it writes as it comes, stream "stdout" or "stderr", data bytes; while it runs the
    #            command is held up when it writes more. Without it the result has both
    # cwd, env   its directory; variables that are added to the far process's, or with nil taken away
    # timeout    seconds, then it is ended and Timeout raised
    # check      whether CommandFailed is raised unless it exits with status 0 (false)
    #
    # `where` is a connection, or a spec. A program that does not exist is a NotFound. An exception in this thread ends the command, as do the end of the
    # connection and cancelling the future of start(conn).run(...). It is ended with its whole process group: SIGTERM, two seconds later SIGKILL.
    def run(where, argv, **options, &block)
      future, finish, guard = Commands.begin(where, argv, **options, &block)
      begin
        found = future.value!
      rescue Error
        raise guard.error || $!
      ensure
        future.cancel # does nothing when it is there
      end
      finish.call(found)
    end
  end
end
