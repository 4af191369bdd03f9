# frozen_string_literal: true

module Remora
  # The dispatcher: the thread that runs what no waiting thread has to run: callbacks, what far code prints, blocks of on_resolution. It
  # starts with the first connection.
  module Dispatch
    @lock = Mutex.new

    class << self
      # Makes sure that the dispatcher runs; after a fork too, where the parent's threads are gone.
      def start
        return if @thread&.alive?
        @lock.synchronize do
          return if @thread&.alive?
          Capi.use_dispatcher
          @thread = Thread.new { run }
          @thread.name = "remora"
        end
      end

      private

      def run
        Thread.current.report_on_exception = false
        while true # loop would end with a StopIteration
          begin
            Capi.serve_one
          rescue StandardError, ScriptError, SystemExit, SignalException => e
            Internal.report(e)
          end
        end
      end
    end
  end

  module Internal
    class << self
      # An exception that has nobody to go to.
      def report(error)
        warn("remora: ignored in a callback: #{error.full_message(highlight: false, order: :top)}")
      end

      def quietly
        yield
      rescue StandardError => e
        report(e)
      end
    end
  end
end
