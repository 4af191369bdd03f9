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

  # What a far iterator of an object of ours reads from.
  class Cursor
    SECONDS = 0.005 # a batch is not made to wait longer for its items
    MAX_BATCH = 4096

    def initialize(source)
      @list = list_of(source)
      @at = 0
      @items = Kernel.instance_method(:to_enum).bind_call(source, :each) unless @list
    end

    # [done, [item, ...]] of at most n items. An error after some items is kept for the next batch.
    def batch(count)
      count = [count, MAX_BATCH].min
      return slice(count) if @list
      late, @late = @late, nil
      raise late if late
      pull(count)
    end

    private

    def list_of(source)
      case source
      when Array then source
      when Hash, Struct then source.to_a
      end
    end

    def slice(count)
      items = @list[@at, count] || []
      @at += items.size
      [@at >= @list.size, items]
    end

    def pull(count)
      items = []
      till = Internal.now + SECONDS
      count.times do
        items << @items.next
        break if Internal.now > till
      end
      [false, items]
    rescue StopIteration
      [true, items]
    rescue StandardError => e
      raise if items.empty?
      @late = e
      [false, items]
    end
  end
end
