# Part of the node's one program. The process: its descriptors, signals, the loop, signs of life, the end; the start.

# ---- user code's surroundings -----------------------------------------------------------------------------------------

our (%spill, $bits, $guardian, $guard, $quiet, $loud);
our $yield;  # the number of sched_yield, 0 where it is not known

our ($collected, $armed, $rung, @rings, $flushed, $once, $tick) = (0, 0, 0);
our ($watchdog, $reads, $reads_seen, $heard, $looked, $next_watch) = (0, 0, -1, 0, 0, 0);
# The numbers of timer_create, timer_settime, rt_sigaction.
our %numbers = (x86_64 => [222, 223, 13], aarch64 => [107, 110, 134], riscv64 => [107, 110, 134], powerpc64le => [240, 241, 173], s390x => [254, 255, 174]);

our $machine;
sub machine {  # later
  require Config;
  return $machine if defined $machine;
  ($machine) = $^O eq 'linux' && $Config::Config{archname} =~ /\A(\w+?)(?:-|_thread|\z)/;
  return $machine ||= '';
}

sub find_yield {  # later
  my $machine = machine();
  my %numbers = (x86_64 => 24, aarch64 => 124, riscv64 => 124, arm => 158, powerpc64le => 158, ppc64le => 158, s390x => 158,
    map { $_ => 158 } qw(i386 i486 i586 i686));
  return $yield = $numbers{$machine} || 0;
}

# `exit` in a call is an error of that call; in a fork of the node it is what it always is.
*CORE::GLOBAL::exit = sub (;$) {
  my $code = @_ ? $_[0] + 0 : 0;
  CORE::exit($code) if $$ != $pid || $ending;
  die Remora::Exit->new(message => "exit($code)", code => $code);
};

# A fork of the node must not keep the wire open, nor use it.
*CORE::GLOBAL::fork = sub () {
  my $child = CORE::fork();
  if (defined $child && !$child) {
    $closed = 'this process is a fork of the node';
    close $_ for grep { defined } $R, $W, $ERR, $guardian, $guard, keys %spill ? map { $_->[0] } values %spill : ();
    @SIG{qw(IO URG PROF)} = ('DEFAULT') x 3;
  }
  return $child;
};

# Signals of ours do not end a sleep; the user's do.
sub sleep_for {  # later
  my ($seconds) = @_;
  my $start = clock();
  while ((my $left = $start + $seconds - clock()) > 0) {
    my $before = $signals;
    my $found = select undef, undef, undef, $left;
    last if $found < 0 && $signals == $before;
  }
  return clock() - $start;
}
*CORE::GLOBAL::sleep = sub (;$) { @_ ? int(0.5 + sleep_for(int $_[0])) : CORE::sleep() };
*Time::HiRes::sleep = sub (;@) { sleep_for(@_ ? $_[0] : 9**9) };

# Nor do they end what else waits. A bareword is a name in the caller's package, but for those that are perl's own.
sub handle_of {
  my ($handle, $package) = @_;
  return $handle if !defined $handle || ref $handle || ref \$handle eq 'GLOB' || $handle =~ /::|'/;
  return ($handle =~ /\A(?:STDIN|STDOUT|STDERR|ARGV)\z/ ? 'main' : $package) . "::$handle";
}
sub ours { return $! == 4 && !$busy && $signals != $_[0] && $$ == $pid }
{
  no strict 'refs';
  *CORE::GLOBAL::sysread = sub (*$$;$) {
    my $handle = handle_of($_[0], scalar caller);
    while (1) {
      my $before = $signals;
      my $n = @_ > 3 ? CORE::sysread($handle, $_[1], $_[2], $_[3]) : CORE::sysread($handle, $_[1], $_[2]);
      return $n if defined $n || !ours($before);
    }
  };
  *CORE::GLOBAL::recv = sub (*$$$) {
    my $handle = handle_of($_[0], scalar caller);
    while (1) {
      my $before = $signals;
      my $from = CORE::recv($handle, $_[1], $_[2], $_[3]);
      return $from if defined $from || !ours($before);
    }
  };
  *CORE::GLOBAL::accept = sub (**) {
    my $from = handle_of($_[1], scalar caller);
    my $new = defined $_[0] ? handle_of($_[0], scalar caller) : undef;
    while (1) {
      my $before = $signals;
      my $address = defined $new ? CORE::accept($new, $from) : CORE::accept($_[0], $from);
      return $address if $address || !ours($before);
    }
  };
  *CORE::GLOBAL::flock = sub (*$) {
    my $handle = handle_of($_[0], scalar caller);
    while (1) {
      my $before = $signals;
      my $done = CORE::flock($handle, $_[1]);
      return $done if $done || !ours($before);
    }
  };
  *CORE::GLOBAL::connect = sub (*$) {
    my $handle = handle_of($_[0], scalar caller);
    my $before = $signals;
    my $done = CORE::connect($handle, $_[1]);
    return $done if $done || !ours($before);
    vec(my $bits = '', fileno $handle, 1) = 1;  # it goes on meanwhile
    1 while select(undef, my $ready = $bits, undef, undef) < 0 && ours($before);
    return 1 if getpeername $handle;
    $! = unpack 'i', getsockopt($handle, 1, 4) || pack 'i', 111;  # SOL_SOCKET, SO_ERROR; where they are others: refused
    return;
  };
}

# SIGIO: a timer of ours, or, where the numbers of system calls are not known, something came.
sub on_signal {
  $signals++;
  $armed = 0;
  watch_on() if $watchdog && @rings > 3;
  if ($busy || $$ != $pid) { $noted = 1; return }
  local ($@, $!, $?);  # no assignment: the status would be lost in it
  my $before = $collected + $reads;
  do { attend() } while $noted;
  keep_looking($collected + $reads != $before);
}

# SIGURG: something came. One tells of all that comes until we look: perl dies of 120 that come while it is at one operation.
sub on_event {
  syscall $numbers{$machine}[2], 23, $once, 0, 8;
  goto &on_signal;
}

sub on_profile {
  Time::HiRes::setitimer(2, $tick);
  goto &on_signal;
}

# A signal that comes just before user code waits (for a child, say), or while the handler of the one before it runs, is not
# seen by perl before the next one, and a writer whose pipe is full sends no next one. So a timer of our own does: soon, and
# again, after something came, and after a fork; at long last in any call.
sub keep_looking {  # later
  my $now = clock();
  $armed = 1;
  if ($_[0]) {
    return if $now - $rung < 0.005;
    $rung = $now;
    ring(0, 0.01);
    ring(1, 0.1);
    ring(2, 0.9);
  }
  elsif ($now - $rung > 0.8) {
    $rung = $now;
    ring(2, 10);
    if (select(my $ready = $bits, undef, undef, 0) > 0) {  # it came while signals were blocked
      $rung = 0;
      on_signal();
    }
  }
}

# SIGIO once, in so many seconds. There are four such timers.
sub ring {  # later
  my ($which, $seconds) = @_;
  my $numbers = $numbers{machine()} or return;
  if (!defined $rings[$which]) {
    my ($id, $event) = ("\0" x 8, pack 'Q i i x48', 0, 29, 0);
    return if syscall $numbers->[0], 1, $event, $id;  # CLOCK_MONOTONIC
    $rings[$which] = unpack 'i', $id;
  }
  my $times = pack 'q4', 0, 0, int $seconds, int 1e9 * ($seconds - int $seconds);
  syscall $numbers->[1], $rings[$which] + 0, 0, $times, 0;
}

# Perl flushes all its handles before every fork, those of `system` and of pipes too: one with a layer of ours tells of it.
# Where that layer is missing (perl-base alone), a child's first output can lie there until something else comes.
sub prepare {  # later
  $flushed = eval {
    require PerlIO::via;
    *Remora::Node::Flushed::PUSHED = sub { bless [], $_[0] };
    *Remora::Node::Flushed::FLUSH = sub {
      return 0 if $busy || $$ != $pid;
      local ($@, $!, $?);
      keep_looking(1);
      0;
    };
    open my $handle, '>', '/dev/null' or die;
    binmode $handle, ':via(Remora::Node::Flushed)' or die;
    $handle;
  } || 0;
  my $numbers = $numbers{machine()} or return;
  $SIG{URG} = \&on_event;
  $once = "\0" x 64;
  if (syscall $numbers->[2], 23, 0, $once, 8) { $SIG{URG} = 'DEFAULT'; return }
  substr $once, 8, 8, pack 'Q', 0x80000000 | unpack 'x8 Q', $once;  # SA_RESETHAND: ignored, as is SIGURG's default, until we want it again
  syscall $numbers->[2], 23, $once, 0, 8;
  fcntl $_, 10, 23 for $R, $guardian ? $guardian : (), map { $_->[0] } values %spill;  # F_SETSIG
}

# From a signal, while user code runs: reads what came, writes what it printed and a beat.
sub attend {
  local ($busy, $@, $!, $?, $_) = 1;
  my $ready = $bits;
  if (select($ready, undef, undef, 0) > 0) {
    end() if $guardian && vec $ready, fileno $guardian, 1;
    read_wire() if vec $ready, fileno $R, 1;
    $noted = 1;
  }
  do { flush() } while $noted;
  $send_logs->() if $send_logs && $out eq '';
  beat();
  watch_near() if $watchdog;
}

# The watchdog: ends the process when nothing has come for so long.
sub watch_near {  # later
  my $now = clock();
  vec(my $ready = '', fileno $R, 1) = 1;
  # At last: whoever was stopped, or could not run, has not listened.
  if ($reads != $reads_seen || select($ready, undef, undef, 0) > 0 || $now - $looked > $watchdog / 2 + 1) { $heard = $now }
  elsif ($now - $heard >= $watchdog) {
    fatal(bless {message => sprintf 'ended by its watchdog: nothing heard for %.0f ms', $watchdog * 1000}, 'Remora::Node::Fault');
  }
  ($reads_seen, $looked) = ($reads, $now);
}

# While user code sleeps, a timer wakes us to look; where its system call is not known, only what computes is woken.
sub watch_on {  # later
  my $now = clock();
  return if $now < $next_watch;
  $next_watch = $now + $watchdog / 4;
  ring(3, $watchdog / 4);
}

# While user code runs, what arrives (and the end) is told by SIGURG, or by SIGIO.
sub watch {
  if ($_[0]) {
    prepare() if !defined $flushed;
    if (!$armed) { $rung = clock(); ring(2, 10); $armed = 1 }
    $watching = 1;
    fcntl $R, 4, $loud;  # F_SETFL
    my $ready = $bits;
    attend() if select($ready, undef, undef, 0) > 0;
  }
  else {
    $watching = 0;
    fcntl $R, 4, $quiet;
  }
}

# What was written to the descriptors 1 and 2, at most a MiB at a time.
sub collect {
  $noted = 0;
  for (1 .. 16) {
    my $ready = $bits;
    vec($ready, fileno $R, 1) = 0;
    select($ready, undef, undef, 0) > 0 or return;
    my $got = 0;
    for my $fd (keys %spill) {
      next if !vec $ready, $fd, 1;
      my $n = sysread $spill{$fd}[0], my $data, 65536;
      if ($n) { $collected++; push @printed, [$spill{$fd}[1], $data]; $got = 1 }
    }
    return if !$got;
  }
  $noted = 1;
}

# ---- the loop ---------------------------------------------------------------------------------------------------------

# Runs calls: for ever, or until a future is settled or it is late.
sub serve {
  my ($until, $end) = @_;
  my $was = $watching;
  watch(0) if $was;
  while (1) {
    my $item;
    if (!$until) {
      if (@queue) { $item = shift @queue }
      elsif (($item = parse()) && @queue) { # parsing met a call with tables before this one
        push @queue, $item;
        $item = shift @queue;
      }
    }
    elsif ($until->{settled}) { last }
    elsif (@{$until->{calls}}) { $item = shift @{$until->{calls}} }
    else {
      $item = parse();
      if ($item && ($item->[3] != $until->{chain} || @{$until->{calls}})) { route($item); next }
    }
    if (!$item) {
      if (!$until) { next if @queue }
      elsif ($until->{settled} || @{$until->{calls}}) { next }
      elsif (defined $end && clock() >= $end) { last }
      receive($end);
      next;
    }
    my $key = "$item->[2] $item->[5]";
    flush() if $out ne '' && !$fast{$key};
    ($chain, $due) = @$item[3, 4];
    run($item);
    ($chain, $due) = (0, 0) if !$until;
    if ($at < length $buf) {
      # More is here already: answers are collected as long as calls are known to be quick.
      my $now = clock();
      if ($now - $last < 0.0002 && keys %fast < 1000) {
        $fast{$key} = 1;
        flush() if length $out > 4096;
      }
      else {
        delete $fast{$key};
        flush();
      }
      $last = $now;
    }
  }
  watch(1) if $was;
}

# Waits for more to do, first with the processor in hand.
sub receive {
  my ($end) = @_;
  $| = 1 if !$|;
  flush() if $out ne '' || $noted || @dropped || @printed;
  my ($ready, $found);
  if ($misses < 4 && (defined $yield ? $yield : find_yield())) {
    my $late;
    while (1) {
      syscall $yield;
      $found = select $ready = $bits, undef, undef, 0;
      if ($found > 0) { $misses = 0; last }
      my $now = clock();
      if (!$late) { $late = $now + 5e-5 }
      elsif ($now > $late) { $misses++; last }
    }
  }
  if ($found <= 0) {
    my $later = $send_logs && $send_logs->();
    my $then = clock();
    my $left = beat_in();
    $left = 0.1 if $later && (!defined $left || $left > 0.1);
    $left = $end - $then if defined $end && (!defined $left || $end - $then < $left);
    $left = $watchdog / 4 if $watchdog && (!defined $left || $left > $watchdog / 4);
    $left = 0 if defined $left && $left < 0;
    $found = select $ready = $bits, undef, undef, $left;
    my $now = clock();
    $misses = 0 if $now - $then < 1e-4;  # a spin would have found it
    if ($found <= 0) {
      beat();
      watch_near() if $watchdog;
      return;
    }
  }
  if (vec $ready, fileno $R, 1) { read_wire() }
  elsif ($guardian && vec $ready, fileno $guardian, 1) { end() }
  else { collect() }
}

sub read_wire {
  my $n;
  if ($rest && $at >= length $buf) {
    $n = sysread $R, $into->{data}, $rest, length $into->{data};
    if ($n) { poured($n); syscall $yield if $yield }
  }
  else {
    if ($at) {
      $buf = $at < length $buf ? substr $buf, $at : '';
      $at = 0;
    }
    $n = sysread $R, $buf, 65536, length $buf;
  }
  $reads++;
  end() if !$n && (defined $n || $! != 4 && $! != 11);
}

# ---- signs of life, and the end ---------------------------------------------------------------------------------------

sub beat_in {
  return undef if !$heartbeat;
  my $now = clock();
  ($mark, $beat_at) = ($sent, $now + $heartbeat) if $mark != $sent;
  return $beat_at > $now ? $beat_at - $now : 0;
}

sub beat { write_all(pack HEAD, 0, BEAT, 0, 0, 0, 0, 0, 0) if $heartbeat && $greeted && !beat_in() }

# The process goes with its connection. User code gets a second for its exit handlers.
sub end {  # later
  my ($code) = (@_, 0);
  CORE::exit($code) if $ending++;
  $closed = 'the connection has ended';
  $SIG{ALRM} = sub { require POSIX; POSIX::_exit($code) };
  alarm 1;
  $busy = 1;
  $SIG{IO} = $SIG{URG} = $SIG{PROF} = 'IGNORE';
  Remora::Files::end_all() if defined &Remora::Files::end_all;
  %objects = ();  # files that user code left to us are written out
  CORE::exit($code);
}

# The node itself cannot go on: says why on all ways that there are, and ends.
sub fatal {  # later
  my ($error) = @_;
  my $text = error_text($error);
  utf8::encode($text) if utf8::is_utf8($text);
  $text = substr ref $error eq 'Remora::Node::Fault' ? $error->{message} : $text, 0, 60000;
  syswrite $ERR, "$text\n" if ref $error ne 'Remora::Node::Fault';
  local $SIG{ALRM} = sub { end(1) };
  alarm 1;
  syswrite $W, pack(HEAD, length $text, BYE, 0, 0, 0, 0, 0, 0) . $text;
  end(1);
}

# Forks. The child goes on as the node and gets a pipe that ends with the parent, the warden.
sub stand_under_warden {  # later
  pipe $guardian, $guard or fault("no pipe: $!");
  pipe my $life, my $alive or fault("no pipe: $!");
  my $child = CORE::fork();
  defined $child or fault("no fork: $!");
  if (!$child) {
    $pid = $$;
    setpgrp 0, 0;
    close $guard;
    close $life;
    $guard = $alive;
    return;
  }
  my $status = 1;
  eval {
    close $_ for $R, $W, $guardian, $alive, \*STDIN, \*STDOUT;
    $status = guard_worker($child, $life);
    1;
  } or print STDERR $@;
  require POSIX;
  POSIX::_exit($status);
}

sub guard_worker {  # later
  my ($child, $life) = @_;
  require POSIX;
  require IO::Poll;
  my $beat = $heartbeat || 5;
  my $say = sub { syswrite $ERR, "\0remora $_[0]\n" };
  $SIG{CHLD} = $SIG{INT} = $SIG{PIPE} = sub { };
  my ($state, $listening, $soon, $status) = ('alive', 1, 0);
  my $continued = eval { POSIX::WCONTINUED() } || ($^O eq 'linux' ? 8 : 0);
  while (1) {
    my $got = waitpid $child, POSIX::WNOHANG() | POSIX::WUNTRACED() | $continued;
    $status = $?;
    if ($got > 0) {
      last if $status || !kill 0, $child;
      # Perl's status of a process that was stopped or goes on is 0 too, but then it is still there.
      my $was = $state;
      $state = $was eq 'alive' ? 'stopped' : 'alive';
      if (open my $stat, '<', "/proc/$child/stat") { $state = <$stat> =~ /\) [Tt] / ? 'stopped' : 'alive' }
      $say->($state);
      next;
    }
    my @polled = ($listening ? (fileno $ERR, 0) : (), $life ? (fileno $life, 0) : ());
    my $found = IO::Poll::_poll($soon ? 10 : $beat * 1000, @polled);
    if (!$found && $soon) { $soon--; next }
    if (!$found) { kill KILL => $child if !$listening; $say->($state) if $listening }
    while ($found > 0 && (my ($fd, $events) = splice @polled, 0, 2)) {
      next if !$events;
      if ($life && $fd == fileno $life) { close $life; undef $life; $soon = 20; next }  # it ends: SIGCHLD follows, perhaps before we sleep again
      $listening = 0;  # nobody listens any more: the worker ought to notice the same
      $beat = 2 if $beat > 2;
    }
  }
  kill KILL => -$child;
  if ($status & 127) {
    $say->('signal ' . ($status & 127));
    return 128 + ($status & 127);
  }
  $say->('exit ' . ($status >> 8));
  return $status >> 8;
}

# ---- the start --------------------------------------------------------------------------------------------------------

sub hello {
  my ($hello) = @_;
  fault('HELLO is no map') if ref $hello ne 'HASH';
  $told = $hello;
  fault("protocol 1 here, $told->{protocol} there") if !defined $told->{protocol} || $told->{protocol} != 1;
  $credit = $told->{credit} if defined $told->{credit};
  $heartbeat = ($told->{heartbeat} || 0) / 1000;
  $watchdog = ($told->{watchdog} || 0) / 1000;
  $most = $told->{max_message} if $told->{max_message};
}

sub host {  # later
  open my $from, '<', '/proc/sys/kernel/hostname' or return do { require POSIX; (POSIX::uname())[1] };
  chomp(my $name = <$from>);
  return $name;
}

sub begin {
  fault('this perl has no 64-bit integers') if !eval { pack 'Q', 1 };
  while (!$greeted) {
    my $item = parse();
    fault('HELLO must come first') if $item;
    last if $greeted;
    my $n = sysread $R, $buf, 65536, length $buf;
    CORE::exit(0) if !$n && !(!defined $n && $! == 4);
  }
  stand_under_warden() if $told->{warden};
  my $host = host();
  $here = ($told->{name} || $host) . " pid $$";
  my %self = (version => $VERSION, language => sprintf('perl %vd', $^V), host => $host, node => 'perl', user => $ENV{USER} || $ENV{LOGNAME} || "$<");
  my $text = sprintf '{"protocol":1,"credit":%d,"pid":%d,%s}', GRANT, $$, join ',', map { "\"$_\":" . json_text($self{$_} =~ /[\x80-\xff]/ ? '?' : $self{$_}) } keys %self;
  write_all("\0REMORA\n" . pack(HEAD, length $text, HELLO, 0, 0, 0, 0, 0, 0) . $text);
  open STDIN, '<', '/dev/null';
  $bits = '';
  # The numbers are those of Linux; elsewhere Fcntl knows.
  my ($own, $async, $nonblock) = $^O eq 'linux' ? (8, 020000, 04000) : do { require Fcntl; (eval { Fcntl::F_SETOWN() } || 6, eval { Fcntl::O_ASYNC() } || 0x40, Fcntl::O_NONBLOCK()) };
  $SIG{IO} = \&on_signal;
  for ([1, \*STDOUT], [2, \*STDERR]) {
    my ($n, $handle) = @$_;
    pipe my $from, my $to or fault("no pipe: $!");
    open $handle, '>&', $to or fault("cannot move descriptor $n: $!");
    $spill{fileno $from} = [$from, $n];
    fcntl $from, $own, $$;
    fcntl $from, 4, $async | $nonblock;
    vec($bits, fileno $from, 1) = 1;
    my $before = select $handle;
    $| = 1;
    select $before;
  }
  vec($bits, fileno $R, 1) = 1;
  if ($guardian) {
    vec($bits, fileno $guardian, 1) = 1;
    fcntl $guardian, $own, $$;
    fcntl $guardian, 4, $async;
  }
  fcntl $R, $own, $$;
  $quiet = fcntl($R, 3, 0) + 0;
  $loud = $quiet | $async;
  # Ctrl-C at the near side's terminal is not for the node. Handlers, as its children get the defaults again.
  $SIG{INT} = $SIG{PIPE} = sub { $signals++ };
  $SIG{__DIE__} = \&on_die;
  if ($heartbeat) {
    $tick = $heartbeat / 4 < 0.5 ? $heartbeat / 4 : 0.5;
    $SIG{PROF} = \&on_profile;
    Time::HiRes::setitimer(2, $tick);  # ITIMER_PROF
  }
  watch_on() if $watchdog;
  unshift @INC, sub { $_[1] =~ m{\ARemora(?:/Files|/Log)?\.pm\z} ? &serve_module : () };
  push @INC, \&serve_module;
}

sub start {
  open $R, '<&', \*STDIN or die;
  open $W, '>&', \*STDOUT or die;
  open $ERR, '>&', \*STDERR or die;
  binmode $_ for $R, $W;
  $0 = '-e';
  eval { begin(); serve(); 1 } or fatal($@);
}
start();
