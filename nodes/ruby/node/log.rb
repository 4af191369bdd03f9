# Log records for the near side. Whoever logs only puts them into a buffer; the understudy sends them, when nothing else waits.

module Remora
  # Remora::Log.info("text"), Remora::Log.debug { "made only when it is wanted" }; `name` is what selections go by. See also Remora.logger.
  module Log
    LEVELS = %w[trace debug verbose info warn error fatal].freeze

    class << self
      def wants?(level, name = "ruby")
        logs = Node.current.logs
        !logs.nil? && logs.wants?(number(level), name)
      end

      def log(level, message = nil, name: "ruby", &block)
        emit(number(level), message, name, block)
      end

      LEVELS.each.with_index(1) do |level, at|
        define_method(level) { |message = nil, name: "ruby", &block| emit(at, message, name, block) }
      end

      private

      def number(level)
        (LEVELS.index(level.to_s) || raise(ArgumentError, "#{level.inspect} is no level of log records")) + 1
      end

      def emit(level, message, name, block)
        logs = Node.current.logs
        return unless logs && logs.wants?(level, name)
        return logs.drop if logs.full?
        logs.put(level, name, caller_locations(2, 1)[0], "Remora::Log") { block ? block.call : message }
        nil
      end
    end

    # At most `budget` bytes a second; what does not fit is counted. None of this may wait for anything.
    class Buffer
      FULL = 65536
      FRAME = 16384

      def initialize(node, told)
        @node = node
        @level = told["level"] || 1
        @budget = told["budget"] || 1 << 18
        @words = (told["selections"] || "*").split.map do |word|
          on = !word.start_with?("-")
          word = word[1..-1] unless on
          [word == "*" ? "" : word, on]
        end
        @known = {}
        @rows = []
        @size = @dropped = 0
        @lock = Mutex.new
        @allowance = FRAME
        @counted = Remora.clock
      end

      def wants?(level, name)
        return false if level < @level
        known = @known[name]
        return known unless known.nil?
        @known.clear if @known.size > 10000
        fits = @words.select { |word, _| word.empty? || name.start_with?(word) && [nil, ".", ":", "/"].include?(name[word.size]) }
        best = fits.each_with_index.max_by { |(word, _), at| [word.size, at] }
        @known[name.dup.freeze] = best ? best[0][1] : false
      end

      def full?
        @size > FULL
      end

      def any?
        !@rows.empty? || @dropped > 0
      end

      # The block gives the message.
      def put(level, name, place, exporter)
        return if @node.forked?
        row = [level, Process.clock_gettime(Process::CLOCK_REALTIME), Errors.text(name)[0, 500], Errors.text(yield)[0, 8000],
               place && place.label && place.label[0, 500], place && Errors.text(place.path)[0, 500], place && place.lineno]
        row << { "exporter" => exporter } if exporter != "Logger"
        text = JSON.generate(row)
        return drop if text.bytesize > 60000
        @lock.synchronize do
          @rows << text
          @size += text.bytesize + 1
        end
        @node.nudge_if_parked
      rescue ThreadError  # in a signal handler nothing can be locked
        @dropped += 1
      end

      def drop
        @lock.synchronize { @dropped += 1 }
        nil
      rescue ThreadError
        @dropped += 1
        nil
      end

      # What may go now.
      def frames
        now = Remora.clock
        @allowance = [[FRAME, @budget / 10].max, @allowance + (now - @counted) * @budget].min
        @counted = now
        out = "".b
        @lock.synchronize do
          while @allowance > 0 && any?
            part = []
            size = 0
            while !@rows.empty? && (part.empty? || size + @rows[0].bytesize < FRAME)
              size += @rows[0].bytesize + 1
              part << @rows.shift
            end
            @size -= size
            frame = Remora.frame(LOG, part.empty? ? "" : "[#{part.join(",")}]", 0, 0, 0, @dropped)
            @dropped = 0
            @allowance -= frame.bytesize
            out << frame
          end
        end
        out
      end
    end

    # A Logger whose records go to the near side.
    def self.logger(name)
      require "logger"
      @class ||= Class.new(::Logger) do
        def initialize(name)
          super(nil)
          self.progname = name
          self.level = 0
        end

        def add(severity, message = nil, progname = nil)
          severity ||= 5  # unknown
          logs = Node.current.logs
          return true if logs.nil? || severity < level
          if message.nil? && !block_given?
            message = progname
            progname = nil
          end
          progname ||= self.progname
          number = [2, 4, 5, 6, 7, 7][severity] || 7
          return true unless logs.wants?(number, progname.to_s)
          if logs.full?
            logs.drop
            return true
          end
          place = caller_locations(1, 2)
          place = place[0].path.end_with?("/logger.rb") ? place[1] : place[0]
          logs.put(number, progname.to_s, place, "Logger") do
            made = message.nil? && block_given? ? yield : message
            Exception === made ? "#{made.message} (#{made.class})\n#{Array(made.backtrace).join("\n")}" : String === made ? made : made.inspect
          end
          true
        end
        alias_method :log, :add

        def <<(message)
          add(1, message)
          self
        end
      end
      @class.new(name)
    end
  end
end
