# The slow way to encode: what needs a tag, references and attachments.

module Remora
  # Makes values of what is to be sent, and collects rows of references and attachments on the way.
  class Walk
    attr_reader :rows, :raws

    def initialize(node)
      @node = node
      @rows = []
      @raws = []
      @path = []
    end

    def value(value, depth = 1)
      case value
      when String then value.instance_of?(String) ? string(value) : row(value)
      when Symbol then string(value.to_s)
      when Integer then value < BIG && value >= -BIG ? value : { "~i" => value.to_s }
      when Float
        return value if value.finite?
        { "~f" => value.nan? ? "nan" : value > 0 ? "inf" : "-inf" }
      when nil, true, false then value
      when Array then value.instance_of?(Array) ? list(value, depth) : row(value)
      when Hash then value.instance_of?(Hash) && !value.compare_by_identity? ? map(value, depth) : row(value)
      else row(value)
      end
    end

    private

    def row(value)
      @rows << @node.row(value)
      { "~r" => @rows.size - 1 }
    end

    def raw(tag, data)
      @raws << data
      { tag => @raws.size - 1 }
    end

    # Text in the encoding BINARY is bytes. What claims to be text and is none is neither.
    def text(value)
      return value if Values.text?(value)
      if value.encoding == UTF8
        return value if value.b.gsub(Values::SURROGATE, "?").force_encoding(UTF8).valid_encoding?
      elsif value.encoding != ASCII
        return value.encode(UTF8)
      end
      raise Value, "text that is not valid #{value.encoding}#{place} (bytes are strings in the encoding BINARY: String#b)"
    rescue EncodingError => error
      raise Value, "text that cannot become UTF-8#{place}: #{error.message}"
    end

    def string(value)
      return raw("~b", value) if value.encoding == BINARY
      value = text(value)
      value.bytesize < LONG && value.valid_encoding? ? value : raw("~s", value)
    end

    def list(list, depth)
      deeper(depth)
      list.each_with_index.map do |item, at|
        @path.push(at)
        made = value(item, depth + 1)
        @path.pop
        made
      end
    end

    def map(map, depth)
      deeper(depth)
      simple = map.each_key.all? { |key| Symbol === key || String === key && key.instance_of?(String) && key.encoding != BINARY }
      if simple
        names = map.each_key.map { |key| text(key.to_s) }
        raise Value, "a map with keys that are equal as text#{place}" if names.uniq.size != names.size
        simple = names.all?(&:valid_encoding?) && !(names.size == 1 && names[0].start_with?("~"))
      end
      made = map.each_with_index.map do |(key, item), at|
        @path.push(key)
        pair = [simple ? names[at] : value(key, depth + 1), value(item, depth + 1)]
        @path.pop
        pair
      end
      simple ? made.to_h : { "~m" => made }
    end

    def deeper(depth)
      raise Value, "nested more than #{DEEP} deep, or in itself,#{place}" if depth > DEEP
    end

    def place
      return "" if @path.empty?
      keys = @path.first(8).map do |key|
        case key
        when String, Symbol, Integer then "[#{key.inspect[0, 40]}]"
        else "[...]"
        end
      end
      " at value#{keys.join}#{"..." if @path.size > 8}"
    end
  end
end
