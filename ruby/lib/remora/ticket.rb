# frozen_string_literal: true

module Remora
  # A number for a Connection, a Proxy or a Future, which another language in this process redeems, once. Until then it keeps the thing alive.
  def self.ticket(thing)
    case thing
    when Connection then Capi.remora_ticket_conn(thing.handle)
    when Future then Capi.remora_ticket_future(thing)
    when Proxy then Capi.remora_ticket_proxy(thing)
    else raise TypeError, "a ticket is for a connection, a proxy or a future, not for a #{thing.class}"
    end
  end

  # The Connection, Proxy or Future that another language wrote the ticket for; InvalidArgument if there is none (any more).
  def self.redeem(number)
    kind = Capi.remora_ticket_is_for(number)
    if kind == Capi::REMORA_TICKET_PROXY
      Capi.remora_redeem_proxy(number)
    elsif kind == Capi::REMORA_TICKET_FUTURE
      Capi.remora_redeem_future(number)
    else
      Connection.new(Capi.remora_redeem_conn(number))
    end
  end
end
