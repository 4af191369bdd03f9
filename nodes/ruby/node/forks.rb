# Forks of user code.

module Remora
  class Node
    # A child of user code must not keep the wire open, nor use it.
    def close_in_fork
      [@r, @w, @error, @alarm, @waker, @poke, @doze, @guardian, *@spilled, *@commands.values.flat_map(&:descriptors)].compact.each { |io| io.close unless io.closed? }
      nil
    end

    # Before Ruby 3.1 there is no one place that all forks pass through.
    def watch_forks
      node = self
      if Process.respond_to?(:_fork)
        Process.singleton_class.prepend(Module.new do
          define_method(:_fork) do
            pid = super()
            node.close_in_fork if pid == 0
            pid
          end
        end)
        return
      end
      original = Process.method(:fork)
      forking = lambda do |&block|
        next original.call { node.close_in_fork || block.call } if block
        pid = original.call
        node.close_in_fork if pid.nil?
        pid
      end
      Process.define_singleton_method(:fork, &forking)
      Kernel.define_singleton_method(:fork, &forking)
      Kernel.send(:define_method, :fork, &forking)
      Kernel.send(:private, :fork)
    end
  end
end
