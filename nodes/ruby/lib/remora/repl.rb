# Lines that somebody types elsewhere are evaluated here: what `repl` of the root gives.

module Remora
  # One session: what a line defines is there for the next.
  class Repl
    OPEN = /unexpected end-of-input|unexpected \$end|meets end of file|unterminated|anywhere before EOF|expected an? [`'"]end[`'"] to close/
    WORDS = %w[BEGIN END alias and begin break case class def defined? do else elsif end ensure false for if in module next nil not or
               redo rescue retry return self super then true undef unless until when while yield].freeze

    # What a cancelled evaluation gets.
    class Stop < Interrupt
    end

    # Knows which call the node runs, and hears of what is cancelled.
    module Watch
      attr_accessor :evaluator
      attr_reader :call_now

      def run(item)
        before, @call_now = @call_now, item[0]
        super
      ensure
        @call_now = before
      end

      def cancel(call)
        super
        @evaluator.stop(call) if @evaluator
      end
    end

    def initialize
      main = TOPLEVEL_BINDING.receiver
      # A method's binding: without the node's own variables.
      TOPLEVEL_BINDING.eval("def __remora_binding; binding; end")
      @binding = main.__send__(:__remora_binding)
      Object.__send__(:remove_method, :__remora_binding)
      @lock = Mutex.new
      @node = Node.current
      @node.extend(Watch) unless Watch === @node
    end

    def eval(text)
      return { "more" => true, "value" => nil } if open?(text)
      shown = interruptible do
        value = @binding.eval(text, "<input>")
        value.nil? ? nil : Errors.text(value.inspect)
      end
      { "more" => false, "value" => shown }
    rescue Exception => error
      lines = error.backtrace.reject { |line| line.start_with?("remora/repl:") }
      error.set_backtrace(lines.map { |line| line.sub("__remora_binding", "<main>") })
      raise
    end

    # What the last word of the text may become.
    def complete(text)
      word = text[/(?:::|[\w@$.?!])*\z/]
      head, mark, last = word.rpartition(/::|\./)
      found =
        if mark.empty?
          @binding.local_variables + @binding.receiver.instance_variables + global_variables + Object.constants + WORDS +
            @binding.receiver.methods + @binding.receiver.private_methods
        elsif head =~ /\A[@$]*[A-Za-z_]\w*(?:(?:::|\.)[A-Za-z_]\w*)*\z/
          it = @binding.eval(head)
          mark == "::" && Module === it ? it.constants : it.methods
        else
          []
        end
      found.map(&:to_s).uniq.select { |name| name.start_with?(last) && name =~ /\A[\w@$]/ }.sort.map { |name| head + mark + name }
    rescue StandardError, ScriptError
      []
    end

    # In the thread that reads the wire.
    def stop(call)
      @lock.synchronize { @thread.raise(Stop, "cancelled") if @thread && @call == call }
    end

    private

    def open?(text)
      before, $VERBOSE = $VERBOSE, nil
      # BEGIN runs when all of it could be read, and before anything of it runs.
      catch(:whole) { @binding.dup.eval("BEGIN { throw :whole }\n#{text}", "<input>", 0) }
      false
    rescue SyntaxError => error
      raise unless OPEN.match?(error.message)
      true
    ensure
      $VERBOSE = before
    end

    # Stop comes inside the block or not at all: what is on its way when the block ends is raised before this returns.
    def interruptible
      @node.evaluator = self
      Thread.handle_interrupt(Stop => :never) do
        @lock.synchronize { @thread, @call = Thread.current, @node.call_now }
        begin
          Thread.handle_interrupt(Stop => :immediate) { yield }
        ensure
          @lock.synchronize { @thread = nil }
        end
      end
    end
  end
end
