# frozen_string_literal: true

module Remora
  # Gives the far sides of all connections a module that is in no file: what `source` says, under the name by which it is loaded ("app/tool"). It stands
  # before files and an earlier one of that name, for far sides that have not asked for it yet. InvalidArgument for a language that there is not. New in 0.1.
  def self.add_module(name, source, language: :ruby, package: false)
    Capi.remora_module_add(language.to_s, name.to_s, package ? 1 : 0, "<#{name}>", source.to_s)
    nil
  end
end
