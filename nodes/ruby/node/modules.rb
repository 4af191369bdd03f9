# Finding what a name stands for; loading from gems and from the near side; the start.

require "monitor"

module Remora
  # `require` of what is not there. In this order: what this Ruby finds, gems (RubyGems is loaded when one of them seems
  # to have it), the near side, and at last RubyGems all the same.
  module Modules
    @answers = {}  # what the near side has said about a module, kept for ever
    @loaded = {}  # name -> true; false while it is being loaded
    @paths = {}  # path of what came from there -> its name
    @lock = Monitor.new

    class << self
      attr_reader :paths

      # Puts us in front of whatever `require` there is, RubyGems' own included.
      def hook
        Kernel.module_eval do
          private
          alias_method :remora_require, :require
          def require(name)
            Remora::Modules.load(name) { |path| remora_require(path) }
          end

          def require_relative(name)
            Remora::Modules.load_relative(name, caller_locations(1, 1)[0]) { |path| remora_require(path) }
          end

          def gem(*args)
            Remora::Modules.rubygems ? gem(*args) : raise(Gem::LoadError)
          end
        end
        own = method(:load)
        Kernel.define_singleton_method(:require) { |name| own.call(name) { |path| remora_require(path) } }
        Object.autoload(:Gem, "rubygems") unless defined?(Gem)
      end

      def load(name)
        path = name.respond_to?(:to_path) ? name.to_path : name
        return later(path) if String === path && path.start_with?("remora") && (path == "remora" || LATER.key?(path[7..-1]))
        return rubygems if path == "rubygems" && !@gems
        return serve(path) if @loaded.key?(path)  # waits if another thread is at it
        begin
          return yield(name)
        rescue LoadError => error
          raise unless error.path == path && String === path && !path.start_with?("/", "./", "../")
          missing = error
        end
        return yield(name) if !@gems && in_gem?(path) && rubygems
        found = serve(path.sub(/\.rb\z/, ""))
        return found unless found.nil?
        if !@gems && rubygems
          begin
            return yield(name)
          rescue LoadError => error
            raise unless error.path == path
          end
        end
        raise missing if nowhere(path).empty?
        told = LoadError.new(missing.message + nowhere(path))
        told.instance_variable_set(:@path, path)
        told.set_backtrace(missing.backtrace)
        raise told
      end

      # The node's own: it is here whatever else is installed.
      def later(path)
        source = LATER[path[7..-1].to_s]
        return false unless source
        LATER[path[7..-1]] = nil
        $LOADED_FEATURES << "#{path}.rb"  # else the constant to load is taken for one that is there already
        eval(source, TOPLEVEL_BINDING, "<remora>")
        true
      end

      def load_relative(name, place, &block)
        name = name.respond_to?(:to_path) ? name.to_path : name
        owner = @paths[place.path]
        return load(File.expand_path(name, File.dirname(place.absolute_path || place.path)), &block) unless owner
        path = File.expand_path(name, "/" + File.dirname(owner))[1..-1]
        load(path, &block)
      end

      # Whether an installed gem has such a file. A look into the usual folders, as RubyGems itself takes long to load.
      def in_gem?(path)
        @folders ||= begin
          require "rbconfig"
          version = RbConfig::CONFIG["ruby_version"]
          home = ENV["HOME"]
          folders = [ENV["GEM_HOME"], *ENV["GEM_PATH"].to_s.split(":"), "#{RbConfig::CONFIG["rubylibprefix"]}/gems/#{version}",
                     "/var/lib/gems/#{version}"]
          folders += ["#{home}/.gem/ruby/#{version}", "#{home}/.local/share/gem/ruby/#{version}"] if home
          folders.compact.uniq.reject(&:empty?).select { |folder| File.directory?("#{folder}/gems") }
        end
        ending = path.end_with?(".rb", ".so") ? "" : "{.rb,.so}"
        @folders.any? { |folder| !Dir.glob("#{folder}/gems/*/lib/#{path}#{ending}").empty? }
      rescue StandardError
        false
      end

      # Loads RubyGems behind us. True if it was not there before.
      def rubygems
        return false if @gems
        @gems = true
        Kernel.module_eval do
          alias_method :require, :remora_require
          private :require
          remove_method :gem
        end
        Object.send(:remove_const, :Gem) if Object.autoload?(:Gem)
        begin
          Kernel.instance_method(:require).bind(Object).call("rubygems")
        rescue LoadError
          false
        ensure
          rubygems_require = Kernel.instance_method(:require)
          Kernel.module_eval do
            define_method(:remora_require, rubygems_require)
            define_method(:require) { |name| Remora::Modules.load(name) { |path| remora_require(path) } }
            private :remora_require, :require
          end
        end
      end

      # Loads what the near side has: true, false if that was done before, nil if it has nothing.
      def serve(name)
        @lock.synchronize do
          return false if @loaded.key?(name)
          found = answer(name)
          kind = found && found["kind"]
          return nil if !found || kind == "missing"
          denied(name, found) if kind == "denied" || kind == "extension"
          @loaded[name] = false
          $LOADED_FEATURES << "#{name}.rb"  # for autoload: else the constant is taken for one that is there already
          begin
            run(name, found) if found["source"]
            @loaded[name] = true
          ensure
            unless @loaded[name]
              @loaded.delete(name)
              $LOADED_FEATURES.delete("#{name}.rb")
            end
          end
        end
      end

      def answer(name)
        @answers[name] = Node.current.ask(0, "module", ["ruby", name]) unless @answers.key?(name)
        @answers[name]
      end

      # Where the near side has looked for it, in words; "" if it was not asked.
      def nowhere(name)
        found = @answers[name.sub(/\.rb\z/, "")]
        found && found["kind"] == "missing" ? "; #{found["reason"]}" : ""
      end

      def denied(name, found)
        reason = found["reason"] || "the near side has only a compiled extension #{found["path"]}"
        error = LoadError.new("cannot load such file -- #{name}, and from the near side: #{reason}")
        error.instance_variable_set(:@path, name)
        error.instance_variable_set(:@reason, reason)
        raise error
      end

      # As the top level of a file: what it defines there is private.
      def run(name, found)
        path = found["path"] || "<near side>/#{name}.rb"
        source = found["source"].dup.force_encoding(UTF8)
        @paths[path] = name
        begin
          code = defined?(RubyVM::InstructionSequence) && RubyVM::InstructionSequence.compile(source, path, path)
        rescue SyntaxError => error
          raise LoadError, "cannot load #{name}, which comes from the near side (#{Node.current.told["language"]}), " \
                           "in Ruby #{RUBY_VERSION} here: #{error.message}"
        end
        code ? code.eval : eval(source, TOPLEVEL_BINDING.dup, path)
      end
    end
  end

  # What a name of section 5.2 stands for.
  module Names
    module_function

    # nil if there is no such thing; an error if its module fails.
    def find(name)
      raise TypeError, "a name is text" unless String === name
      name = name.sub(/\Aremora\./, "Remora.")  # what every near side calls connect, new_on, can_on
      file, colon, path = name.partition(/(?<!:):(?!:)/)
      return look_up(name) || search(name) if colon.empty?
      return nil unless file == "__main__" ? Modules.serve(file) != nil : load(file)
      inside = camel(file)
      found = inside && look_up(path, inside) || look_up(path)
      found unless Method === found && found.owner.equal?(Kernel)  # puts is nothing of that file
    end

    # Loads a file by its name; false if there is none.
    def load(file)
      require file
      true
    rescue LoadError => error
      raise unless error.path == file
      reason = error.instance_variable_get(:@reason)
      raise NotFound, "#{file}: #{reason}" if reason
      false
    end

    # The same of what this Ruby has by itself.
    def load_own(file)
      remora_require(file)
      true
    rescue LoadError => error
      raise unless error.path == file
      false
    end

    # Where its files were looked for.
    def nowhere(name)
      file, colon, = name.partition(/(?<!:):(?!:)/)
      (colon.empty? ? files(name) : [file]).map { |each| Modules.nowhere(each) }.find { |words| !words.empty? } || ""
    end

    # Without the name of a file: Net::HTTP is looked for in net/http and in net, and StringIO in string_io and stringio.
    def search(name)
      files(name).each { |file| load_own(file) && (found = look_up(name)) && (return found) }
      files(name).each { |file| load(file) && (found = look_up(name)) && (return found) }
      nil
    end

    def files(name)
      parts = constants(name)
      names = parts.size.downto(1).flat_map do |n|
        words = parts.first(n)
        [words.map { |word| word.gsub(/([a-z\d])([A-Z])|([A-Z])(?=[A-Z][a-z])/, '\1\3_\2').downcase }, words.map(&:downcase)]
      end
      names.map { |words| words.join("/") }.uniq
    end

    def constants(name)
      name[/\A[^.]*/].split("::").take_while { |part| part =~ /\A[A-Z]\w*\z/ }
    end

    # "Foo::Bar", "Foo::Bar.method", "method"
    def look_up(name, scope = Object)
      path, dot, method = name.rpartition(".")
      path = name if dot.empty?
      *outer, last = path.split("::")
      outer.each { |part| return nil unless (scope = constant(scope, part)) }
      if dot.empty?
        return constant(scope, last) if last =~ /\A[A-Z]/
        method = last
      else
        return nil unless (scope = constant(scope, last))
      end
      method(scope, method)
    end

    def constant(scope, name)
      return nil unless Module === scope && name =~ /\A[A-Z]\w*\z/
      own = scope.equal?(Object)
      return scope.const_get(name, own) if scope.const_defined?(name, own)
      scope.const_missing(name.to_sym) if scope.method(:const_missing).owner != Module  # that is how Digest loads its parts
    rescue NameError => error
      raise unless error.name.to_s == name
    end

    # A function: public in its module, or defined at the top level of a file, or everybody's, as puts is.
    def method(scope, name)
      return nil if name.nil? || name.empty?
      # eval would see our constants and variables.
      return TOPLEVEL_BINDING.method(:eval) if name == "eval" && (scope.equal?(Kernel) || scope.equal?(Object))
      if scope.equal?(Object)
        main = TOPLEVEL_BINDING.receiver
        return main.method(name) if main.respond_to?(name, true)
      elsif scope.respond_to?(name)
        scope.public_method(name)
      end
    end

    # The module that a file is named for, if there is one: net/http has Net::HTTP only by chance, foo/bar mostly Foo::Bar.
    def camel(file)
      file.split("/").inject(Object) do |scope, part|
        wanted = part.delete("_").downcase
        name = scope.constants(false).find { |known| known.to_s.downcase == wanted }
        return nil unless name && !scope.autoload?(name)
        found = constant(scope, name.to_s)
        return nil unless Module === found
        found
      end
    end
  end

  Encoding.default_external = UTF8 if Encoding.default_external == ASCII
  Node.current = Node.new
  Modules.hook
  Node.current.main
end
