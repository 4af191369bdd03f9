# frozen_string_literal: true

# What is done with far objects: making them, finding functions, starting calls, attributes.
module Remora
  class << self
    # Makes an object on the far side and gives its Proxy.
    #
    # where: a Connection, a spec (then the connection lives as long as anything that came from it), or the Proxy of a connection that the far side has
    # made. cls: "Foo::Bar", "file:Foo::Bar", or a class of a local file, whose source travels.
    ruby2_keywords def new_on(where, cls, *args, &block) # in Ruby 2.7 a Hash at the end is else taken for keywords
      name = Names.of(cls)
      return serve(where, name).new(name, *args, &block) if made_here?(where)
      return at(where, "new_on", name).call(where, name, *args, &block) if Capi.proxy?(where)
      serve(root_of(where), name).new(name, *args, &block)
    end

    # The Proxy of a function on the far side ("Process.pid", "file:name", or a Method), or nil if there is no such thing.
    def can_on(where, function)
      name = Names.of(function)
      return serve(where, name).can(name) if made_here?(where)
      return at(where, "can_on", name).call(where, name) if Capi.proxy?(where)
      serve(root_of(where), name).can(name)
    end

    # start(proxy).method(...), start(function).call(...): sends the call and gives a Future at once; so do start(conn).run(...), put(...) and get(...).
    def start(target)
      return Starting.new(target) if Connection === target
      Capi.bind(target, true, -1, false, false)
    end

    # options(proxy, timeout: 2.0).method(...): how the calls made through it are made; combines with start.
    #
    # timeout: seconds, then the call fails with Timeout here, and over there if it has not begun.
    # oneway: wants no answer: the call gives nil at once and nothing tells how it went.
    # by_ref: an Array or Hash that is the result is not copied: the call gives the Proxy of the far one.
    def options(target, timeout: nil, oneway: false, by_ref: false)
      Capi.bind(target, false, Internal.milliseconds(timeout), oneway, by_ref)
    end

    # Lends an Array or Hash instead of copying it: as an argument of a call, or as what a lent function returns. Far code uses it as a container of
    # its own; what it changes is changed here. Works for any other value too.
    def by_ref(container)
      Capi.proxy?(container) || ByRef === container ? container : ByRef.new(container)
    end

    # What is in a far container, by value: an Array, or a Hash of what is a map over there. One round trip.
    def copy(container)
      Capi.invoke(container, ":copy")
    end

    # The attribute of the far object.
    def getattr(proxy, name)
      Capi.invoke(proxy, ":get", name.to_s)
    end

    # Sets the attribute of the far object.
    def setattr(proxy, name, value)
      Capi.invoke(proxy, ":set", name.to_s, value)
    end

    private

    # The root of the far side that is meant; connects when `where` is a spec.
    def root_of(where)
      (Connection === where ? where : connect(where)).root
    end

    def serve(proxy, name)
      Capi.remora_conn_serve(Capi.remora_proxy_conn(proxy), name)
      proxy
    end

    # Of a connection that this side has made for the far one (`onward`) we have the root.
    def made_here?(where)
      Capi.proxy?(where) && Capi.remora_proxy_id(where).zero?
    end

    # A function of the remora over there.
    def at(where, function, name)
      serve(where, name)
      Capi.remora_conn_root(Capi.remora_proxy_conn(where)).can("remora.#{function}")
    end
  end
end
