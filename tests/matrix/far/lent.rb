# Uses files that were lent to it.

def read(file)
  lines = file.each.to_a
  file.seek(0)
  all = file.read
  file.close
  [lines, all]
end

def write(file, what)
  file.write(what)
  file.flush
  at = file.tell
  file.close
  at
end
