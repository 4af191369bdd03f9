# frozen_string_literal: true

require "set" # which Ruby knows of itself only from 3.2 on: there is no class to ask without it

module Remora
  # `using Remora::On` lets classes and methods be asked themselves: Set.new_on(conn, [1, 2]), Process.method(:pid).can_on(conn).
  module On
    refine Class do
      ruby2_keywords def new_on(where, *args, &block)
        Remora.new_on(where, self, *args, &block)
      end
    end

    refine Method do
      def can_on(where)
        Remora.can_on(where, self)
      end
    end
  end
end
