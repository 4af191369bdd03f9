# What a far process can do so that it does not end by itself: brood, computing natively, stopping.
def spawn_brood(script) = IO.popen(["sh", script], &:readlines).map(&:to_i)

def compute = hold(600)

def hold(seconds)
  require "fiddle"
  Fiddle::Function.new(Fiddle.dlopen(nil)["sleep"], [Fiddle::TYPE_INT], Fiddle::TYPE_INT, need_gvl: true).call(seconds) # keeps the interpreter's lock
end

def stop = Process.kill(:STOP, Process.pid)
