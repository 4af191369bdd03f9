# frozen_string_literal: true

require "rbconfig"

module Remora
  # How the far side gets at our code: names of local classes and functions, and the places of modules.
  module Names
    STANDARD = %w[rubylibdir rubyarchdir archdir].map { |key| RbConfig::CONFIG[key] }.compact.map { |dir| File.join(dir, "") }.uniq.freeze

    class << self
      # The name under which the far side finds it. InvalidArgument says why something has none.
      def of(target)
        case target
        when String, Symbol
          raise Internal.invalid("the name of a class or function is empty") if target.empty?
          target.to_s
        when Module then of_module(target)
        when Method then of_method(target)
        when Proc then raise Internal.invalid("a Proc has no name by which the far side could find it; as an argument it is called back")
        else raise Internal.invalid("#{target.inspect} is neither a name nor a class or method")
        end
      end

      # The directories where code for the far side is looked for: the load path without the standard library, which the far side has its own of.
      def roots
        $LOAD_PATH.map { |dir| File.expand_path(dir.to_s) }.uniq
                  .select { |dir| File.directory?(dir) && !STANDARD.include?(File.join(dir, "")) }
      end

      private

      def of_module(mod)
        name = mod.name or raise Internal.invalid("#{mod.inspect} has no name by which the far side could find it")
        feature = feature_of(file_of(mod, name), name)
        feature ? "#{feature}:#{name}" : name
      end

      def file_of(mod, name)
        file = Object.const_source_location(name)&.first
        return file unless file == false
        # What has an autoload and was required by name: Ruby 3.1 has lost the constant's place.
        methods = mod.instance_methods(false).map { |own| mod.instance_method(own) } + mod.singleton_methods(false).map { |own| mod.method(own) }
        methods.map(&:source_location).compact.first&.first
      end

      def of_method(method)
        receiver = method.receiver
        return "#{of_module(receiver)}.#{method.name}" if Module === receiver
        if method.owner == Object # written outside of any class
          feature = feature_of(method.source_location&.first, method.name)
          return feature ? "#{feature}:#{method.name}" : method.name.to_s
        end
        raise Internal.invalid("#{method.inspect} is bound to an object of this process; pass it as an argument and it works by reference")
      end

      # How the far side would require that file; nil where it has it anyway.
      def feature_of(file, name)
        return if file.nil? || file.empty? || file.start_with?("<") || STANDARD.any? { |dir| file.start_with?(dir) } # "<main>": in C
        raise Internal.invalid("#{name} is in no file, but in #{file}; put it into one") unless File.file?(file)
        path = File.expand_path(file)
        return main_script(path) if path == File.expand_path($PROGRAM_NAME)
        root = $LOAD_PATH.map { |dir| File.join(File.expand_path(dir.to_s), "") }.select { |dir| path.start_with?(dir) }.max_by(&:size)
        raise Internal.invalid("#{name} is defined in #{file}, which is not below any directory of $LOAD_PATH") unless root
        path.delete_prefix(root).delete_suffix(".rb")
      end

      # The far side runs the script to get at its classes, so what it does has to stand behind a guard.
      def main_script(path)
        source = File.read(path)
        unless source.match?(/\b(__FILE__\s*==\s*(\$0|\$PROGRAM_NAME)|(\$0|\$PROGRAM_NAME)\s*==\s*__FILE__)/)
          raise Internal.invalid("#{path} has no `if __FILE__ == $PROGRAM_NAME` around what it does, so the far side would run the whole script again " \
                                 "in order to get at its classes and methods; add it, or move them to a file of their own")
        end
        Capi.remora_module_add("ruby", "__main__", 0, path, source) unless @main == source
        @main = source
        "__main__"
      end
    end
  end
end
