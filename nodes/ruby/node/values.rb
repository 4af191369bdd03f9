# Values: how they stand in a message, and back.

module Remora
  # Makes any object cross as a reference.
  Lend = Struct.new(:it)

  module Values
    OUT = { max_nesting: 0 }.freeze
    FLAT = { max_nesting: DEEP }.freeze
    TAGGED = { max_nesting: 3 * DEEP + 1 }.freeze  # a map sent as ~m takes three brackets
    SURROGATE = /\xED[\xA0-\xBF][\x80-\xBF]/n
    SPECIAL = /["\\\x00-\x1f]/

    module_function

    def text?(value)
      code = value.encoding
      (code == UTF8 || code == ASCII) && value.valid_encoding?
    end

    # Whether these values need no tag anywhere: then they are JSON as they stand.
    def plain?(value, depth = 1)
      case value
      when String then value.instance_of?(String) && value.bytesize < LONG && text?(value)
      when Integer then value < BIG && value >= -BIG
      when Float then value.finite?
      when nil, true, false then true
      when Array then value.instance_of?(Array) && depth <= DEEP && plain_list?(value, depth + 1)
      when Hash then value.instance_of?(Hash) && depth <= DEEP && plain_map?(value, depth + 1)
      else false
      end
    end

    def plain_list?(list, depth)
      if Integer === list[0] && list.size > 8 && list.all?(Integer)
        low, high = list.minmax
        return high < BIG && low >= -BIG
      end
      list.all? { |item| plain?(item, depth) }
    end

    def plain_map?(map, depth)
      return false if map.compare_by_identity?
      keys = nil
      map.each do |key, value|
        case key
        when String then return false unless key.instance_of?(String) && text?(key)
        when Symbol then return false unless key.encoding == ASCII
        else return false
        end
        return false unless keys.nil? || keys == key.class  # :a beside "a"
        keys = key.class
        return false unless plain?(value, depth)
      end
      true
    end

    # What the text of a message stands for.
    def parse(body, flags, refs, raws)
      raise Value, "not a value: no UTF-8" unless body.force_encoding(UTF8).valid_encoding?
      return JSON.parse(body, FLAT) if flags & PLAIN != 0
      if body.include?('"~') || body.include?("\\u")
        untag(JSON.parse(body, TAGGED), 1, refs, raws)
      else
        JSON.parse(body, FLAT)
      end
    rescue JSON::NestingError
      raise Value, "nested more than #{DEEP} deep"
    rescue JSON::ParserError => error
      raise Value, "not a value: #{error.message[0, 200]}"
    end

    def untag(value, depth, refs, raws)
      if Array === value
        raise Value, "nested more than #{DEEP} deep" if depth > DEEP
        value.map! { |item| Array === item || Hash === item ? untag(item, depth + 1, refs, raws) : item }
      elsif Hash === value
        if value.size == 1
          tag = value.first[0]
          return tagged(tag, value[tag], depth, refs, raws) if tag.start_with?("~")
        end
        raise Value, "nested more than #{DEEP} deep" if depth > DEEP
        value.each do |key, item|
          value[key] = untag(item, depth + 1, refs, raws) if Array === item || Hash === item
        end
      else
        value
      end
    end

    def tagged(tag, value, depth, refs, raws)
      case tag
      when "~b" then at(raws, value, tag)
      when "~s" then at(raws, value, tag).dup.force_encoding(UTF8)
      when "~r" then at(refs, value, tag)
      when "~t"
        bad(tag) unless Array === value
        untag(value, depth, refs, raws)
      when "~i"
        bad(tag) unless String === value && value =~ /\A-?\d+\z/
        value.to_i
      when "~f"
        { "nan" => Float::NAN, "inf" => Float::INFINITY, "-inf" => -Float::INFINITY }.fetch(value) { bad(tag) }
      when "~m" then pairs(value, depth, refs, raws)
      else raise Value, "not a value: unknown tag #{tag[0, 40].inspect}"
      end
    end

    def pairs(value, depth, refs, raws)
      bad("~m") unless Array === value
      raise Value, "nested more than #{DEEP} deep" if depth > DEEP
      made = {}
      value.each do |pair|
        bad("~m") unless Array === pair && pair.size == 2
        made[untag(pair[0], depth + 1, refs, raws)] = untag(pair[1], depth + 1, refs, raws)
      end
      raise Value, "a map with keys that are equal in Ruby" if made.size != value.size
      made
    end

    def at(row, index, tag)
      bad(tag) unless Integer === index && index >= 0 && index < row.size
      row[index]
    end

    def bad(tag)
      raise Value, "not a value: a bad #{tag}"
    end
  end

  # The slow way to encode: finds what needs a tag, collects references and attachments.
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
