# frozen_string_literal: true

module Remora
  # Log records: those of far sides (Remora.connect(log_forward: true)), of remora itself (names that begin with "remora."), and one's own.
  #
  #     Remora::Log.add_sink(level: :warn, selections: "* -noisy") { |record| ... }  # a Hash with Symbols
  #     Remora::Log.to_logger(Logger.new($stderr))
  #     Remora::Log.to_stderr(:debug, format: "%t [%l %r] %p: %s")
  #
  # A record has :level, :name, :message, :time, :function, :file, :line, :pid, :host, :exporter, :connection, :connection_id (both nil for records of
  # this process), and where they apply :hops and :dropped.
  module Log
    LEVELS = %w[trace debug verbose info warn error fatal].freeze
    SEVERITIES = { "trace" => 0, "debug" => 0, "verbose" => 0, "info" => 1, "warn" => 2, "error" => 3, "fatal" => 4 }.freeze # of Logger
    private_constant :SEVERITIES

    # Where records go.
    class Sink
      # @private
      def initialize(number)
        @number = number
      end

      # No record that comes from now on gets there. More than once is harmless.
      def remove
        Log.sinks.delete(@number) && Capi.remora_log_remove_sink(@number)
        nil
      end

      # How many records it was too slow for.
      def dropped
        Capi.remora_log_dropped(@number)
      end
    end

    @sinks = {}

    class << self
      # @private
      attr_reader :sinks

      # Calls the block with every record from now on, on the dispatcher thread. level: the least that it gets; selections: names between blanks,
      # each for itself and all below it, or "*" for all, with "-" in front not these (the longest that fits decides), or a callable that gets the record.
      def add_sink(level: :trace, selections: "*", &block)
        raise Internal.invalid("add_sink needs a block") unless block
        number = number_of(level)
        selects = String === selections ? nil : selections
        Dispatch.start
        sink = Capi.log_sink(number, selects ? "*" : selections)
        @sinks[sink] = selects ? ->(record) { block.call(record) if selects.call(record) } : block
        Sink.new(sink)
      end

      # Hands records to a Logger (anything with add(severity, message, progname)): the program's name is the record's name, and its connection.
      def to_logger(logger, level: :trace, selections: "*")
        add_sink(level: level, selections: selections) do |record|
          where = [record[:name], record[:connection] && "@#{[record[:connection], *record[:hops]&.reverse].join(">")}"].compact.join
          logger.add(SEVERITIES.fetch(record[:level]), record[:message], where)
        end
      end

      # Prints records on standard error; with nil not any more. Replaces what REMORA_LOG_LEVEL, REMORA_LOG_SELECTIONS and REMORA_LOG_FORMAT said.
      def to_stderr(level = :info, selections: "*", format: nil)
        Capi.remora_log_print(level ? number_of(level) : 0, selections, format)
        nil
      end

      # The record as text: %l level, %s message, %t local time, %r "local" or "remote #3 web1", %c exporter, %p name, %m function, %f file, %i line, %h host,
      # %P process id, %%, %n newline.
      def format(record, format = "[%l %r] %s")
        Capi.remora_log_format(format, record.transform_keys(&:to_s))
      end

      # Whether anybody would get such a record.
      def wants?(level, name = "")
        Capi.remora_log_wants(number_of(level), name) == 1
      end

      # Logs text, or what the block gives, which is run only when somebody wants it.
      def log(level, message = nil, name: "ruby", &block)
        emit(number_of(level), message, name, block)
      end

      LEVELS.each.with_index(1) do |level, number|
        define_method(level) { |message = nil, name: "ruby", &block| emit(number, message, name, block) }
      end

      # @private
      def run(number, records)
        records.each do |record|
          block = @sinks[number] or return
          Internal.quietly { block.call(record.transform_keys(&:to_sym)) }
        end
      end

      private

      def emit(number, message, name, block)
        return if Capi.remora_log_wants(number, name) != 1
        place = caller_locations(2, 1)&.first
        text = block ? block.call : message
        Capi.remora_log(number, name, text.to_s, place&.label, place&.path, place ? place.lineno : 0)
        nil
      end

      def number_of(level)
        number = Capi.remora_log_level_of(level.to_s)
        return number if number.positive?
        raise Internal.invalid("#{level.inspect} is no level of log records; those are #{LEVELS.join(", ")}")
      end
    end
  end
end
