# What a far process can do so that it does not end by itself: brood, computing natively, stopping.
def spawn_brood(script) = IO.popen(["sh", script], &:readlines).map(&:to_i)

def compute = ((3**200_000_000) % 7) # keeps the interpreter's lock for minutes

def stop = Process.kill(:STOP, Process.pid)
