# frozen_string_literal: true

require "shipped/prices"

module Shipped
  class Shelf
    def price(what)
      PRICES.fetch(what)
    end
  end
end
