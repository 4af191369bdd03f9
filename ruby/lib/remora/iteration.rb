# frozen_string_literal: true

module Remora
  # Items of a far iterator that have come and were not taken. They belong to the iterator, so that leaving a loop and going on later loses nothing.
  class Items
    MAX_BATCH = 64 # that one round trip asks for, in the end

    def self.each(iterator, &block)
      items = Capi.items(iterator) || Capi.set_items(iterator, new)
      items.each(iterator, &block)
    end

    def initialize
      @ready, @size, @done, @lock = [], 1, false, Mutex.new
    end

    def each(iterator)
      loop do
        found = false
        item = @lock.synchronize do
          fetch(iterator) while @ready.empty? && !@done
          found = !@ready.empty?
          @ready.shift
        end
        return unless found
        yield item
      end
    end

    private

    # The first items come soon, many items come cheaply.
    def fetch(iterator)
      @done, items = Capi.invoke(iterator, ":next", @size)
      @size = [2 * @size, MAX_BATCH].min
      @ready.concat(items)
    end
  end

  # The items of anything with each, in pieces, on a thread of their own: an Enumerator is a fiber, and a fiber belongs to one thread, while who
  # serves the far side is now a thread that waits and now the dispatcher.
  class Pull
    SECONDS = 0.005 # a batch is not made to wait longer for its items

    def initialize(source)
      @requests = self.class.start(source)
      ObjectSpace.define_finalizer(self, self.class.ending(@requests)) # the far side may never read to the end
    end

    # [done, [item, ...]] of at most n items. An error after some items is kept for the next batch.
    def batch(count)
      @requests << [count, Capi.remora_chain, answer = Queue.new]
      done, items, error = answer.pop
      @requests.close if done
      raise error if error
      [done, items]
    rescue ClosedQueueError
      [true, []]
    end

    class << self
      # Neither of these two may know the Pull itself, which could never be collected then.
      def start(source)
        requests = Queue.new
        Thread.new { serve(requests, source) }.name = "remora items"
        requests
      end

      def ending(requests)
        proc { requests.close }
      end

      private

      def serve(requests, source)
        Thread.current.report_on_exception = false
        items = Kernel.instance_method(:to_enum).bind_call(source, :each)
        late = nil
        while (count, chain, answer = requests.pop)
          Capi.remora_chain_enter(chain) # the far side waits for these items: it serves what is called for them
          found, error, done = late ? [[], late, false] : take(items, count)
          late = found.empty? ? nil : error
          answer << [done, found, (error if found.empty?)]
          break if done
        end
      end

      # [items, error, done]
      def take(items, count)
        found = []
        till = Internal.now + SECONDS
        count.times do
          found << items.next
          break if Internal.now > till
        end
        [found, nil, false]
      rescue StopIteration
        [found, nil, true]
      rescue Exception => e # rubocop:disable Lint/RescueException
        [found, e, false] # it is raised where the batch was asked for
      end
    end
  end

  # What a far iterator of an object of ours reads from.
  class Cursor
    MAX_BATCH = 4096

    def initialize(source)
      @list = list_of(source)
      @at = 0
      @pull = Pull.new(source) unless @list
    end

    # [done, [item, ...]] of at most n items.
    def batch(count)
      count = [count, MAX_BATCH].min
      @list ? slice(count) : @pull.batch(count)
    end

    private

    def list_of(source)
      case source
      when Array then source
      when Hash, Struct then source.to_a
      else source.to_a if defined?(Set) && Set === source # a loop that stops within it would keep others from adding to it
      end
    end

    def slice(count)
      items = @list[@at, count] || []
      @at += items.size
      [@at >= @list.size, items]
    end
  end
end
