# frozen_string_literal: true

# A class that is both autoloaded and required.
class FoundLate
  def pid
    Process.pid
  end
end
