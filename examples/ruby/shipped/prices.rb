# frozen_string_literal: true

module Shipped
  PRICES = { "apple" => 3, "pear" => 4 }.freeze
end
