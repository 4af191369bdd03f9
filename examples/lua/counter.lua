-- Counter: objects that live over there, their attributes, and the operators that work on a proxy.
local remora = require "remora"

local here = arg[0]:match("^(.*)/[^/]*$") or "."
local spec = arg[1] or "-"
local options = { node = "python", roots = { here .. "/far" } } -- far/things.py travels

local conn = remora.connect(spec, options)
local counter = remora.new_on(conn, "things:Counter", 5)
print("increment:", counter:increment(), counter:increment(remora.kw { by = 10 }))

-- A colon is a method. Attributes are read and set by functions, so that each round trip can be seen.
print("value:", remora.getattr(counter, "value"))
remora.setattr(counter, "value", 100)
print("after setattr:", counter:increment())

-- A proxy that goes home arrives as the object itself; the same object is always the same proxy.
print("same object:", counter:same_as(counter), counter:same_as(remora.new_on(conn, "things:Counter")))
print("in order:", remora.new_on(conn, "things:Counter", 1) < counter)

-- new_on always gives a proxy, also for a type that otherwise crosses by value. Keys that are strings go through functions: a name is a method.
local list = remora.new_on(conn, "builtins.list", { "a", "b" })
list[1] = "c"
print("far list:", #list, list[0], list[1], remora.contains(list, "b"))
local table_there = remora.new_on(conn, "builtins.dict", { a = 1 })
remora.setitem(table_there, "b", 2)
print("far dict:", remora.len(table_there), remora.item(table_there, "b"))
conn:close()
