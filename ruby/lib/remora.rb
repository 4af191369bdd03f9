# frozen_string_literal: true

# Remora: REMote Objects, Run Anywhere.
#
#     require "remora"
#
#     Remora.connect("deploy@web1") do |conn|                   # nothing is installed there but Ruby
#       words = Remora.new_on(conn, "Set", %w[a b a])
#       puts words.size                                          # one round trip
#       pid = Remora.can_on(conn, "Process.pid")
#       future = Remora.start(pid).call                          # does not wait
#       puts future.value!(5.0)
#     end
#
# Values cross unchanged: nil, true, false, Integer, Float, String, Array, Hash. Everything else crosses as a reference and is a Proxy on the other
# side; a Proxy that goes home is the object itself. Any thread may call.
require "remora/capi"

module Remora
  abi = Capi.remora_abi
  unless abi == Capi::REMORA_ABI
    raise LoadError, "remora's Ruby package was built for version #{Capi::REMORA_ABI} of the C interface, " \
                     "but libremora #{Capi.remora_version} has version #{abi}"
  end
  VERSION = Capi.remora_version
end

require "remora/errors"
require "remora/future"
require "remora/dispatch"
require "remora/iteration"
require "remora/proxy"
require "remora/exports"
require "remora/names"
require "remora/add_module"
require "remora/connection"
require "remora/calls"
require "remora/commands"
require "remora/files"
require "remora/on"
require "remora/ticket"
require "remora/log"
