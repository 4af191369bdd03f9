# Part of the node's one program. The connection: bytes in and out, its tables of references.

# A call is an array: call, flags, object's id, chain, when its time is up, method, body, rows' objects, attachments, cost,
# object. The object is looked up on arrival: a release behind the call may take effect before it runs.

# The next call among the bytes that are there, or nothing. Everything else is dealt with on the way.
sub parse {
  while (1) {
    my $have = length($buf) - $at;
    if ($rest) {
      $have or return;
      my $n = $have < $rest ? $have : $rest;
      $into->{data} .= substr $buf, $at, $n;
      $at += $n;
      poured($n);
      next;
    }
    return if $have < 32;
    my ($size, $kind, $flags, $mlen, $call, $aux, $id, $chain) = unpack HEAD, $at ? substr($buf, $at, 32) : $buf;
    if ($kind == CALL && !($flags & 0xC6) && $call && $mlen <= $size && $size + 32 <= $have && $size <= 262144) {
      my $start = $at + 32;
      $at = $start + $size;
      my $item = [$call, $flags, $id, $chain, $aux && clock() + $aux / 1000, substr($buf, $start, $mlen),
        substr($buf, $start + $mlen, $size - $mlen), undef, undef, 32 + $size, $objects{$id}];
      if (%blocked && $blocked{$id}) { push @{$blocked{$id}}, $item; next }
      return $item;
    }
    frame($size, $kind, $flags, $mlen, $call, $aux, $id, $chain, $have) or return;
  }
}

# What a frame of each kind may have: flags, payload, and fields that need not be 0: mlen, call, aux, object, chain.
our @rules = (undef, [0, 65536, 0, 0, 0, 0, 0], [63, 0, 1, 1, 1, 1, 1], [7, 0, 0, 1, 0, 0, 0], [7, 0, 0, 1, 0, 0, 0],
  [0, 0, 0, 1, 0, 0, 0], [0, 65536, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1, 0],
  [0, 65536, 0, 0, 0, 1, 0], [0, 65536, 0, 0, 1, 0, 0], [0, 262144, 0, 1, 1, 0, 0], [0, 65536, 0, 0, 0, 0, 0]);

# Deals with a frame that is not simply a small call. False if more bytes are needed.
sub frame {
  my ($size, $kind, $flags, $mlen, $call, $aux, $id, $chain, $have) = @_;
  my $rule = $rules[$kind] or fault("unknown kind of frame $kind");
  fault(sprintf 'unknown flags %#x in a frame of kind %d', $flags, $kind) if $flags & ~$rule->[0];
  fault("a field that must be 0 is not, in a frame of kind $kind")
    if $mlen && !$rule->[2] || $call && !$rule->[3] || $aux && !$rule->[4] || $id && !$rule->[5] || $chain && !$rule->[6];
  fault('call id 0') if $rule->[3] && !$call;
  my $message = $kind >= CALL && $kind <= ERROR;
  fault("a frame of kind $kind with $size bytes is too large")
    if $size > $most || $size > ($flags & CHUNKED ? $most : $message ? 262144 : $rule->[1]);
  fault('HELLO must come first and once') if $greeted ? $kind == HELLO : $kind != HELLO;
  fault('method longer than its message') if $message && $mlen > $size;
  if ($flags & CHUNKED) {
    $at += 32;
    my $key = "$kind $call";
    fault('too many unfinished messages, or two with the same id') if $incoming{$key} || keys %incoming >= 1024;
    my $new = $incoming{$key} = {head => [$kind, $flags, $mlen, $call, $aux, $id, $chain, $size], left => $size, data => ''};
    push @{$blocked{$id}}, $new if $kind == CALL;
    complete($new) if !$size;
    return 1;
  }
  if ($kind == CHUNK) {
    $at += 32;
    my $message = $incoming{"$aux $call"};
    fault('a chunk of no message, or more than was announced') if !$message || $size > $message->{left};
    ($into, $rest) = ($message, $size) if $size;
    return 1;
  }
  return 0 if $have < 32 + $size;
  my $payload = substr $buf, $at + 32, $size;
  $at += 32 + $size;
  if ($message) { message($payload, $kind, $flags, $mlen, $call, $aux, $id, $chain, $size) }
  elsif ($kind == RELEASE) {
    fault('RELEASE of a broken size') if $size % 16;
    if (%incoming) { push @deferred, [{map { $_ => 1 } keys %incoming}, $payload] }
    else { release($payload) }
  }
  elsif ($kind == CANCEL) { cancel($call) }
  elsif ($kind == CREDIT) { $spent = $spent > $id ? $spent - $id : 0 }
  elsif ($kind == TYPE) {
    utf8::decode($payload) or fault('a type that is not UTF-8');
    proxy_class($id, $payload);
  }
  elsif ($kind == HELLO) {
    $greeted = 1;
    hello(eval { decode(PLAIN, $payload) } || fault("a HELLO that makes no sense: $@"));
  }
  elsif ($kind == BYE) { $closed = "the other side said: $payload" }
  elsif ($kind == OUTPUT) { fault('OUTPUT from the near side') }
  return 1;
}

# n bytes of a chunk have arrived.
sub poured {  # later
  my ($n) = @_;
  $rest -= $n;
  $into->{left} -= $n;
  complete($into) if !$into->{left};
  undef $into if !$rest;
}

# The last byte of a chunked message is there.
sub complete {  # later
  my ($done) = @_;
  my ($kind, $flags, $mlen, $call, $aux, $id, $chain, $size) = @{$done->{head}};
  delete $incoming{"$kind $call"};
  if ($kind != CALL) { message($done->{data}, $kind, $flags, $mlen, $call, $aux, $id, $chain, $size) }
  else {
    my $item = call_item($done->{data}, $flags, $mlen, $call, $aux, $id, $chain, $size);
    my $line = delete $blocked{$id};
    for (@$line) { $_ = $item if $_ == $done }
    route(shift @$line) while @$line && ref $line->[0] eq 'ARRAY';
    $blocked{$id} = $line if @$line;
  }
  for my $waiting (@deferred) {
    delete $waiting->[0]{"$kind $call"};
    release($waiting->[1]) if !%{$waiting->[0]};
  }
  @deferred = grep { %{$_->[0]} } @deferred;
}

sub call_item {  # later
  my (undef, $flags, $mlen, $call, $aux, $id, $chain, $size) = @_;
  my $name = substr $_[0], 0, $mlen;
  my ($rows, $raws, $body) = $flags & TABLES ? split_tables($mlen ? substr($_[0], $mlen) : $_[0]) : ('', undef, substr $_[0], $mlen);
  return [$call, $flags, $id, $chain, $aux && clock() + $aux / 1000, $name, $body, $rows ne '' ? take($rows) : undef, $raws,
    32 + $size, $objects{$id}];
}

sub message {  # later
  my (undef, $kind, $flags, $mlen, $call, $aux, $id, $chain, $size) = @_;
  if ($kind == CALL) {
    my $item = call_item(@_[0, 2 .. 8]);
    if ($blocked{$id}) { push @{$blocked{$id}}, $item }
    else { route($item) }
    return;
  }
  my ($rows, $raws, $body) = $flags & TABLES ? split_tables($_[0]) : ('', undef, $_[0]);
  my $refs = $rows ne '' ? take($rows) : undef;
  my $future = delete $pending{$call} or return;
  @$future{qw(settled answer)} = (1, [$kind, $flags, $body, $refs, $raws]);
  pay($future) if $future->{owed};
}

# A call goes to the wait of its chain, else into the line.
sub route {
  my ($item) = @_;
  for my $future (reverse @waits) { return push @{$future->{calls}}, $item if $future->{chain} == $item->[3] }
  push @queue, $item;
}

# A call that has not started gets its answer at once; the result of one that runs is dropped.
sub cancel {  # later
  my ($call) = @_;
  for my $line (\@queue, (map { $_->{calls} } @waits), values %blocked) {
    for my $i (0 .. $#$line) {
      next if ref $line->[$i] ne 'ARRAY' || $line->[$i][0] != $call;
      my ($item) = splice @$line, $i, 1;
      $owed += $item->[9] if $item->[2];
      send_message(ERROR, 0, $call, describe(Remora::Cancelled->new(message => 'cancelled before it started')))
        if !($item->[1] & ONEWAY);
      return;
    }
  }
  %cancelled = () if keys %cancelled > 1000;  # mostly calls that had been answered when this came
  $cancelled{$call} = 1;
  cancel_out($owing{$call}) if $owing{$call};
}

# ---- references -------------------------------------------------------------------------------------------------------

# The row for the table of references of a message that mentions this object.
sub row {
  my ($v) = @_;
  $v = $$v if ref $v eq 'Remora::Reference';
  return pack 'VVQ<', 0, 1, ${$v} if is_proxy($v);
  my $kind = kind_of($v);
  my $number = $types{$kind};
  if (!$number) {
    $number = $types{$kind} = ++$next_type;
    my $text = $kind;
    utf8::encode($text) if utf8::is_utf8($text);
    $text .= "\n" . join ' ', words_of($v);
    $out .= pack(HEAD, length $text, TYPE, 0, 0, 0, 0, $number, 0) . $text;
  }
  my $address = refaddr($v);
  my $id = $ids{$address};
  if (!$id) {
    $id = $ids{$address} = ++$next_id;
    $objects{$id} = $v;
  }
  $lent{$id}++;
  return pack 'VVQ<', $number, 0, $id;
}

sub release {  # later
  my @pairs = unpack '(Q<Q<)*', $_[0];
  while (my ($id, $n) = splice @pairs, 0, 2) {
    fault("release of what was not lent: id $id, $n times") if !$id || !$n || !$lent{$id} || $lent{$id} < $n;
    next if $lent{$id} -= $n;
    delete $lent{$id};
    delete $kept{$id};
    delete $ids{refaddr($objects{$id})};
    local ($busy, $@) = (0);  # its finaliser is user code
    delete $objects{$id};
  }
}

# Gives back what the rows of a message that is not sent have lent.
sub take_back {  # later
  my @rows = unpack '(VVQ<)*', $_[0];
  while (my ($number, $owner, $id) = splice @rows, 0, 3) { release(pack 'Q<Q<', $id, 1) if !$owner }
}

# The objects of a table of references; an error instead if that is faulty.
sub take {  # later
  my @rows = unpack '(VVQ<)*', $_[0];
  my (@refs, $fault);
  while (my ($number, $owner, $id) = splice @rows, 0, 3) {
    if ($owner) {
      $fault = "reference to an object $id that is not lent" if !$id || $owner != 1 || !$objects{$id};
      push @refs, $objects{$id};
      next;
    }
    my $known = $imports{$id};
    my $proxy = $known && $known->[0];
    if (!$proxy) {
      my $class = $classes{$number};
      if (!$class) { $fault = "reference of an unknown type $number"; $class = 'Remora::Proxy' }
      $proxy = bless \(my $at = $id), $class;
      $known = $imports{$id} = [$proxy, 0];
      weaken($known->[0]);
    }
    $known->[1]++;
    push @refs, $proxy;
  }
  return $fault ? Remora::Value->new(message => "not a value: $fault") : \@refs;
}

# ---- out --------------------------------------------------------------------------------------------------------------

# Puts a message into $out; a large one is written now.
sub send_message {
  my ($kind, $flags, $call, $value, $name, $aux, $id, $chain) = @_ > 4 ? @_ : (@_, '', 0, 0, 0);
  my @raws;
  my ($more, $table, $body) = encode($value, \@raws);
  $flags |= $more;
  my $size = length($name) + length($table) + length $body;
  $size += length for @raws;
  if ($size > $most) {
    take_back(substr $table, 8, 16 * unpack 'V', $table) if $table ne '';
    Remora::Limit->throw("a message of $size bytes, the limit is $most");
  }
  if ($kind == CALL && $id) {
    wait_for_credit($size + 32);
    $spent += $size + 32;
  }
  if ($size <= SMALL) {
    $out .= join '', pack(HEAD, $size, $kind, $flags, length $name, $call, $aux, $id, $chain), $name, $table, $body, @raws;
    return;
  }
  send_large(pack(HEAD, $size, $kind, $flags | CHUNKED, length $name, $call, $aux, $id, $chain), $size, $kind, $call, $name . $table . $body,
    \@raws);
}

sub send_large {  # later
  my ($head, $size, $kind, $call, $front, $raws) = @_;
  flush();
  my @parts = grep { length } $front, @$raws;
  my $from = 0;
  while ($size) {
    my $n = $size < 262144 ? $size : 262144;
    $size -= $n;
    write_all($head . pack HEAD, $n, CHUNK, 0, 0, $call, $kind, 0, 0);
    $head = '';
    while ($n) {
      my $length = length($parts[0]) - $from;
      my $some = $length < $n ? $length : $n;
      write_all($parts[0], $from, $some);
      $n -= $some;
      $from += $some;
      if ($some == $length) { shift @parts; $from = 0 }
    }
  }
}

# Writes all of it, with blocking writes: the other side never stops reading.
sub write_all {
  my (undef, $from, $length) = @_;
  $sent++;
  $from ||= 0;
  $length = length($_[0]) - $from if !defined $length;
  while ($length > 0) {
    my $n = syswrite $W, $_[0], $length, $from;
    if (!defined $n) {
      next if $! == 4;  # EINTR
      end();
    }
    $from += $n;
    $length -= $n;
  }
}

# Writes what waits: output before the replies behind it, releases behind what may mention them.
sub flush {
  collect() if $noted;
  send_output() if @printed;
  if (@dropped) {
    my @pairs = splice @dropped, 0, 8192;
    $out .= pack(HEAD, 8 * @pairs, RELEASE, 0, 0, 0, 0, 0, 0) . pack 'Q<*', @pairs;
  }
  if ($out ne '') {
    my $data = $out;
    $out = '';
    $sent++;
    my $n = syswrite $W, $data;
    write_all($data, $n || 0) if !defined $n || $n < length $data;
  }
  flush() if @dropped;
}

sub send_output {  # later
  while (@printed) {
    my ($n, $data) = @{shift @printed};
    while (@printed && $printed[0][0] == $n && length($data) + length $printed[0][1] <= 65536) { $data .= (shift @printed)->[1] }
    wait_for_credit(32 + length $data);
    $spent += 32 + length $data;
    write_all(pack(HEAD, length $data, OUTPUT, 0, 0, 0, $n, 0, 0) . $data);
  }
}

# Reads until that many bytes of calls or output may go.
sub wait_for_credit {  # later
  my ($n) = @_;
  while ($spent > $credit / 4 && $spent + $n > $credit) {
    my $item = parse();
    if ($item) { route($item); next }
    next if $spent <= $credit / 4 || $spent + $n <= $credit;
    if ($out ne '') {  # what is complete goes; output must not wait behind this
      my $data = $out;
      $out = '';
      write_all($data);
    }
    my $ready = '';
    vec($ready, fileno $R, 1) = 1;
    my $found = select $ready, undef, undef, beat_in();
    read_wire() if $found > 0;
    beat();
  }
}
