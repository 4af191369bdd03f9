# The Perl node: the far side of a Remora connection, for a stock Perl from 5.14 on with 64-bit integers.
#
# The near side starts `perl -e STUB` and sends this program, stripped, through standard input; the stub evaluates it.
# docs/protocol.md says what goes over the wire. The parts in this folder are one program and share one package.
#
# There is one thread. While user code runs ($busy is 0), signals stand in for a second one: SIGIO says that something came
# over the wire or was printed, SIGPROF (a timer of CPU time, which cuts no sleep short) that user code computes. Perl runs
# their handlers between two operations, or where a system call was cut short; while $busy they only leave a note.
package Remora::Node;
use strict;
no warnings;

BEGIN {
  require XSLoader;
  require Time::HiRes;
  if (defined &builtin::is_bool) {
    *NEW = sub () { 1 };
    *weaken = \&builtin::weaken;
    *blessed = \&builtin::blessed;
    *reftype = \&builtin::reftype;
    *refaddr = \&builtin::refaddr;
  }
  else {
    *NEW = sub () { 0 };
    require Scalar::Util;
    *weaken = \&Scalar::Util::weaken;
    *blessed = \&Scalar::Util::blessed;
    *reftype = \&Scalar::Util::reftype;
    *refaddr = \&Scalar::Util::refaddr;
  }
}

our $VERSION = '0.1.0';
sub HELLO () { 1 }
sub CALL () { 2 }
sub REPLY () { 3 }
sub ERROR () { 4 }
sub CANCEL () { 5 }
sub RELEASE () { 6 }
sub BEAT () { 7 }
sub CREDIT () { 8 }
sub TYPE () { 9 }
sub OUTPUT () { 10 }
sub CHUNK () { 11 }
sub BYE () { 12 }
sub PLAIN () { 1 }
sub TABLES () { 2 }
sub CHUNKED () { 4 }
sub KW () { 8 }
sub ONEWAY () { 16 }
sub BYREF () { 32 }
sub HEAD () { 'VCCvVVQ<Q<' }
sub GRANT () { 16 << 20 }     # bytes of calls that we let the other side have outstanding
sub LONG () { 4096 }          # text from here on goes as an attachment
sub SMALL () { 65536 }        # messages up to here go in one frame
sub DEEP () { 128 }

our $pid = $$;
our $busy = 1;                # node code runs, no user code
our ($R, $W, $ERR);           # the wire, and where the warden and fatal errors speak
our ($buf, $at) = ('', 0);    # received, and how much of it is done
our ($rest, $into) = (0);     # bytes still to come of the chunk that is being received, into this message
our %incoming;                # "kind call" -> message
our %blocked;                 # object -> its calls, from the first that is still incoming on
our @deferred;                # releases that wait for incoming messages
our $root = bless {}, 'Remora::Node::Root';
our %objects = (0 => $root);  # what we have lent
our %lent;                    # id -> how often
our %ids;                     # address -> id
our $next_id = 0;
our %types;                   # kind of object -> number
our $next_type = 0;
our %kept;                    # id of an iterator -> [error to raise next]
our %imports;                 # id -> [weak proxy, how often]
our %classes;                 # number of a type of the other side -> package of its proxies
our @dropped;                 # id, count, ... to release
our %pending;                 # call -> future
our %cancelled;
our @queue;                   # calls that nobody waits for
our @waits;                   # futures that are waited for, the innermost last
our $out = '';                # frames to write
our $sent = 0;
our ($credit, $spent) = (1 << 62, 0);
our $owed = 0;                # credit to give back
our ($heartbeat, $mark, $beat_at) = (0, -1, 0);
our $most = 256 << 20;
our ($greeted, $closed, $told) = (0, undef, {});
our ($chain, $due) = (0, 0);  # of the call that runs
our $fresh = (($$ * 2654435761 + int(Time::HiRes::time() * 1e6)) & 0xFFFFF) << 32;
our $next_call = 0;
our (@printed, $noted);       # [1 or 2, bytes]; a signal came while we were busy
our ($ending, $watching) = (0, 0);  # SIGIO tells of the wire
our $send_logs;               # of lib/Remora/Log.pm, once that is there
our $signals = 0;             # how many handlers have run: did one of ours cut a sleep short?
our $misses = 4;              # spins in a row that found nothing
our %fast;                    # "object method" that have been fast
our $last = 0;
our $here = "pid $$";
our %sources;                 # what the near side has answered to `module`

# What is marked `later` travels as text, compiled when it is first called: start-up is mostly compiling.
our (%later, $AUTOLOAD);
our $text = $main::b;
undef $main::b;
sub AUTOLOAD {
  my $name = $AUTOLOAD;
  my $was = $busy;
  $busy = 1;  # a signal here may want the same function
  # Behind the program's end; a test runs the parts as they are.
  %later = $text =~ /^~~~(\w+)\n(.*?\n)(?=~~~)/gms if !%later;
  my $source = delete $later{substr $name, rindex($name, ':') + 1} or die "there is no function $name\n";
  {
    local ($@, $SIG{__DIE__});
    eval "package Remora::Node; no warnings; $source; 1" or die "in $name: $@";
  }
  $busy = $was;
  no strict 'refs';
  goto &$name;
}

sub clock () { Time::HiRes::clock_gettime(1) }

# What `use overload` does, without loading it (a quarter of the start-up): with fallback.
sub nil { }
sub overloads {
  my ($package, %operators) = @_;
  no strict 'refs';
  *{"${package}::(("} = *{"${package}::()"} = \&nil;
  ${"${package}::()"} = 1;
  ${"${package}::OVERLOAD"}{dummy}++;  # perl before 5.18 looks there for what has changed
  *{"${package}::($_"} = $operators{$_} for keys %operators;
}

# The code of a class's operator. Who has one has loaded `overload`.
sub operator { $INC{'overload.pm'} && overload::Method(@_) }

# ---- errors -----------------------------------------------------------------------------------------------------------

{
  package Remora::Error;
  Remora::Node::overloads(__PACKAGE__, '""' => sub { $_[0]{message} . $_[0]{at} }, bool => sub { 1 });
  sub new { my ($class, %is) = @_; bless {%is}, $class }
  sub throw { my ($class, $message) = @_; die $class->new(message => $message) }
  sub message { $_[0]{message} }
  sub type { my $type = $_[0]{type} || []; $type->[0] }
  sub traceback { $_[0]{traceback} }
  sub info { $_[0]{info} }
}
@Remora::RemoteError::ISA = 'Remora::Error';
for my $name (qw(ConnectionLost Timeout Cancelled ProtocolError Overloaded NotFound Denied Value Limit Exit)) {
  no strict 'refs';
  @{"Remora::${name}::ISA"} = 'Remora::Error';
}

sub fault { die bless {message => $_[0]}, 'Remora::Node::Fault' }  # the other side broke the protocol: the connection ends

# Where an error was made: the frames of user code, newest first. Runs for every die, so it does little.
our ($died, @trail);
sub on_die {
  my $error = $_[0];
  return if $busy && !ref $error && !@trail;
  my $known = defined $died && (ref $error ? ref $died && refaddr($died) == refaddr($error) : !ref $died && $died eq $error);
  return if $known;
  my @frames;
  for (my $i = 1; @frames < 100; $i++) {
    my ($package, $file, $line, $sub) = caller $i - 1;
    defined $package or last;
    last if $sub eq 'Remora::Node::run';
    next if $package =~ /\ARemora(?:::Node|::Proxy|::Repl)?\z/ || $sub eq '(eval)';
    push @frames, $file, $line, (caller $i)[3];
  }
  ($died, @trail) = ($error, @frames);
}

sub backtrace {  # later
  my ($error, $text) = @_;
  my $known = defined $died && (ref $error ? ref $died && refaddr($died) == refaddr($error) : !ref $died && $died eq $error);
  my @lines;
  for (my $i = 0; $known && $i < @trail; $i += 3) {
    my ($file, $line, $sub) = @trail[$i .. $i + 2];
    push @lines, "    at $file line $line" . (defined $sub && $sub !~ /\A(?:\(eval\)|Remora::Node::)/ ? " in $sub" : '') . "\n";
  }
  return join '', "$text\n", @lines;
}

sub error_text {  # later
  my ($error) = @_;
  my $text = eval {
    !ref $error || blessed($error) && ($error->isa('Remora::Error') || operator($error, '""')) ? "$error"
      : blessed($error) && $error->can('message') ? '' . $error->message
      : 'error ' . (ref $error);
  };
  return defined $text ? $text : '(an error whose text cannot be made)';
}

# The linear order of a class and its bases.
sub ancestry {  # later
  my ($class, $seen) = (@_, {});
  no strict 'refs';
  return $seen->{$class}++ ? () : ($class, map { ancestry($_, $seen) } @{"${class}::ISA"});
}

sub class_name { my ($name) = @_; $name =~ s/\ARemora::(?=\w+\z)/remora./; return $name }  # later

# The value of an ERROR frame.
sub describe {  # later
  my ($error, $depth) = (@_, 0);
  my $class = blessed($error);
  my $info;
  if ($class && $error->isa('Remora::Error') && $error->{info}) {
    return {%{$error->{info}}, hops => [@{$error->{info}{hops} || []}, $here]};
  }
  my $text = error_text($error);
  my %info = (language => 'perl', hops => [$here]);
  if ($class) {
    $info{type} = [map { class_name($_) } grep { !/\ARemora::(?:Node::|Failed::)/ } ancestry($class)];
    $info{message} = $text;
  }
  else {
    $info{type} = ['die'];
    ($info{message} = $text) =~ s/\A(.*) at \S[^\n]*? line \d+(?:, <[^>]*> (?:line|chunk) \d+)?\.?\n?\z/$1/s;
    $info{message} =~ s/\n\z//;
  }
  if (!$class || !$error->isa('Remora::Error')) {
    (my $first = $text) =~ s/\n\z//;
    $info{traceback} = substr backtrace($error, $first), 0, 100000;
  }
  if ($class && reftype($error) eq 'HASH') {
    my %more;
    for my $name (keys %$error) {
      my $value = $error->{$name};
      $more{$name} = $value if defined $value && !ref $value && $name =~ /\A[a-z]\w*\z/i && length $value < 1000;
    }
    delete @more{qw(message traceback at)};
    $info{attributes} = \%more if %more;
    for my $cause (grep { defined && (blessed($_) || !ref) } @$error{qw(cause previous)}) {
      $info{cause} = describe($cause, $depth + 1) if $depth < 8;
      last;
    }
  }
  # Text of whatever bytes it is made: a message crosses in any case.
  for (@info{qw(message traceback)}) { utf8::decode($_) or utf8::upgrade($_) if defined && !utf8::is_utf8($_) && /[\x80-\xff]/ }
  return \%info;
}

# The exception to raise for an ERROR: of the class it had, as far as that is loaded already.
sub revive {  # later
  my ($info) = @_;
  $info = {message => "$info"} if ref $info ne 'HASH';
  my @type = ref $info->{type} eq 'ARRAY' ? grep { defined && !ref } @{$info->{type}} : ();
  my $class = 'Remora::RemoteError';
  no strict 'refs';
  if (@type && $type[0] =~ /\Aremora\.(\w+)\z/ && @{"Remora::${1}::ISA"}) {
    $class = "Remora::$1";
  }
  elsif ($info->{language} =~ /\Aperl/) {
    for my $name (grep { /\A\w+(?:::\w+)*\z/ } @type) {
      next if !exists_package($name);
      $class = "Remora::Failed::$name";
      @{"${class}::ISA"} = ('Remora::RemoteError', $name);
      last;
    }
  }
  my $attributes = ref $info->{attributes} eq 'HASH' ? $info->{attributes} : {};
  return $class->new(%$attributes, message => $info->{message}, at => '', type => \@type, traceback => $info->{traceback}, info => $info);
}

# A package that has something in it, not only packages below it.
sub exists_package {
  my ($name) = @_;
  my $stash = \%main::;
  for my $part (split /::/, $name) {
    return 0 if !exists $stash->{"${part}::"};
    no strict 'refs';
    $stash = \%{*{$stash->{"${part}::"}}{HASH}};
  }
  for (keys %$stash) { return 1 if !/::\z/ && $_ ne '__ANON__' }
  return 0;
}
