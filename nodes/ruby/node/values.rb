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
      # What is short cannot nest too deep; options cost a third of parsing it.
      return body.bytesize < 100 ? JSON.parse(body) : JSON.parse(body, FLAT) if flags & PLAIN != 0
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
end
