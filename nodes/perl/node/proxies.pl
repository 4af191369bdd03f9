# Part of the node's one program. What stands here for objects of the other side, and for results that will come.

# A proxy is a reference to the number of the object; each type of the other side has a package of its own below
# Remora::Proxy, with the operators that its words allow.
{
  package Remora::Proxy;
  our $AUTOLOAD;
  Remora::Node::overloads(__PACKAGE__,
    '""' => sub { Remora::Node::proxy_text($_[0]) }, bool => sub { 1 },
    '==' => sub { ref $_[1] && Remora::Node::refaddr($_[0]) == Remora::Node::refaddr($_[1]) },
    '!=' => sub { !ref $_[1] || Remora::Node::refaddr($_[0]) != Remora::Node::refaddr($_[1]) });
  sub AUTOLOAD {
    my $self = shift;
    my $name = substr $AUTOLOAD, rindex($AUTOLOAD, ':') + 1;
    ref $self or die "Can't locate class method \"$name\" via package \"$self\"\n";
    return Remora::Node::call_out($self, $name, \@_);
  }
  sub DESTROY {
    my $id = ${$_[0]};
    my $known = $Remora::Node::imports{$id} or return;
    return if defined $known->[0] && Remora::Node::refaddr($known->[0]) != Remora::Node::refaddr($_[0]);  # a newer one
    delete $Remora::Node::imports{$id};
    delete $Remora::Node::rounds{$id};
    push @Remora::Node::dropped, $id, $known->[1];
  }
}

sub is_proxy { my $class = blessed($_[0]); $class && $class->isa('Remora::Proxy') }
sub proxy_text { my ($proxy) = @_; no strict 'refs'; sprintf 'remora proxy of %s #%d', ${ref($proxy) . '::NAME'} || 'object', $$proxy }  # later

sub proxy_class {  # later
  my ($number, $text) = @_;
  my ($name, $words) = split /\n/, $text, 2;
  my %can = map { $_ => 1 } split ' ', defined $words ? $words : '';
  my $class = $classes{$number} = "Remora::Proxy::T$number";
  no strict 'refs';
  @{"${class}::ISA"} = 'Remora::Proxy';
  ${"${class}::NAME"} = $name;
  %{"${class}::CAN"} = %can;
  my @more;
  push @more, '&{}' => sub { my $self = $_[0]; sub { call_out($self, '', \@_) } } if $can{call};
  push @more, '<>' => sub { next_item($_[0]) } if $can{iter} || $can{next};
  push @more, '@{}' => sub { my $self = $_[0]; require Remora::Items; tie my @items, 'Remora::Items', $self; \@items } if $can{item} && $can{len};
  push @more, '@{}' => sub { [items($_[0])] } if ($can{iter} || $can{next}) && !$can{item};
  push @more, '%{}' => sub { my $self = $_[0]; require Remora::Items; tie my %items, 'Remora::Items', $self; \%items } if $can{item};
  if ($can{order}) {
    for (['<', ':lt', ':gt'], ['<=', ':le', ':ge'], ['>', ':gt', ':lt'], ['>=', ':ge', ':le']) {
      my ($sign, $name, $turned) = @$_;
      push @more, $sign => sub { call_out($_[0], $_[2] ? $turned : $name, [$_[1]]) };
    }
  }
  overloads($class, @more) if @more;
}

# Iteration fetches more with each round: one, two, four items and so on. State by the proxy's number, gone at the end.
our %rounds;
sub next_item {  # later
  my ($proxy) = @_;
  no strict 'refs';
  my $round = $rounds{$$proxy} ||= {
    source => ${ref($proxy) . '::CAN'}{next} ? undef : call_out($proxy, ':iter', []), items => [], size => 1};
  while (!@{$round->{items}}) {
    if ($round->{done}) { delete $rounds{$$proxy}; return undef }
    my $answer = call_out($round->{source} || $proxy, ':next', [$round->{size}]);
    @$round{qw(done items)} = @$answer;
    $round->{size} *= 2 if $round->{size} < 1024;
  }
  return shift @{$round->{items}};
}

sub items {  # later
  my ($proxy) = @_;
  no strict 'refs';
  my $source = ${ref($proxy) . '::CAN'}{next} ? $proxy : call_out($proxy, ':iter', []);
  my ($size, @all) = (1);
  while (1) {
    my ($done, $items) = @{call_out($source, ':next', [$size])};
    push @all, @$items;
    return @all if $done;
    $size *= 2 if $size < 1024;
  }
}

# ---- calls out --------------------------------------------------------------------------------------------------------

sub start_call {  # later
  my ($id, $name, $args, $timeout, $oneway, $by_ref) = @_;
  Remora::ConnectionLost->throw($closed) if $closed;
  Remora::ConnectionLost->throw('this process is a fork of the node') if $$ != $pid;
  my $flags = ($oneway ? ONEWAY : 0) | ($by_ref ? BYREF : 0);
  if (@$args && ref $args->[-1] eq 'Remora::Keywords') {
    $args = [@$args[0 .. $#$args - 1], {%{$args->[-1]}}];
    $flags |= KW;
  }
  my $left = $timeout;
  if ($due) {
    my $more = $due - clock();
    $left = $more if !defined $left || $more < $left;
  }
  $next_call = $next_call + 1 & 0xFFFFFFFF || 1;
  my $future = bless {id => $next_call, chain => $chain || ++$fresh, calls => [], settled => $oneway, value => undef}, 'Remora::Future';
  utf8::encode($name) if utf8::is_utf8($name);
  my $aux = !defined $left ? 0 : $left < 0.001 ? 1 : int $left * 1000;
  send_message(CALL, $flags, $next_call, $args, $name, $aux, $id, $future->{chain});
  $pending{$future->{id}} = $future if !$oneway;
  flush();
  return $future;
}

# Runs node code for user code. What a signal left undone meanwhile is done before user code goes on.
sub in_node {
  my ($code, @args) = @_;
  my $was = $busy;
  my ($value, $error);
  {
    local ($@, $SIG{__DIE__});
    $busy = 1;
    eval { $value = $code->(@args); 1 } or $error = $@;
    $busy = $was;
  }
  attend() while $noted && !$busy;
  die $error if $error;
  return $value;
}

sub call_out {
  my ($proxy, $name, $args, $timeout, $by_ref) = @_;
  return in_node(\&call_now, ref $proxy ? $$proxy : $proxy, $name, $args, $timeout, $by_ref);
}

sub call_now {
  my ($id, $name, $args, $timeout, $by_ref) = @_;
  my $future = start_call($id, $name, $args, $timeout, 0, $by_ref);
  my $value;
  if (!eval { $value = result($future, $timeout); 1 }) {
    my $error = $@;
    cancel_out($future) if !$future->{settled};
    die $error;
  }
  return $value;
}

sub cancel_out {  # later
  my ($future) = @_;
  delete $pending{$future->{id}} or return 0;
  $out .= pack HEAD, 0, CANCEL, 0, 0, $future->{id}, 0, 0, 0;
  flush();
  @$future{qw(settled error)} = (1, Remora::Cancelled->new(message => 'cancelled here'));
  pay($future) if $future->{owed};
  return 1;
}

# Waits for a future; runs calls of its chain meanwhile.
sub wait_for {  # later
  my ($future, $timeout) = @_;
  local ($chain, $due, $@) = ($chain, $due);
  for my $around (reverse @waits) { # what came for the wait around this one came first
    next if $around->{chain} != $future->{chain};
    push @{$future->{calls}}, splice @{$around->{calls}};
    last;
  }
  push @waits, $future;
  push @{$future->{calls}}, grep { $_->[3] == $future->{chain} } @queue;
  @queue = grep { $_->[3] != $future->{chain} } @queue if @{$future->{calls}};
  serve($future, defined $timeout ? clock() + $timeout : undef);
  @waits = grep { $_ != $future } @waits;
  route($_) for splice @{$future->{calls}};
}

sub result {  # later
  my ($future, $timeout) = @_;
  wait_for($future, $timeout) if !$future->{settled};
  Remora::Timeout->throw("no answer within $timeout seconds") if !$future->{settled};
  if (my $answer = delete $future->{answer}) {
    my ($kind, $flags, $body, $refs, $raws) = @$answer;
    my $value;
    if (!eval { $value = decode($flags, $body, $refs, $raws); 1 }) { $future->{error} = $@ }
    elsif ($kind == ERROR) { $future->{error} = revive($value) }
    else { $future->{value} = $value }
  }
  die $future->{error} if $future->{error};
  return $future->{value};
}

{
  package Remora::Future;
  sub result { Remora::Node::in_node(\&Remora::Node::result, @_) }
  sub cancel { Remora::Node::in_node(\&Remora::Node::cancel_out, @_) }
  sub done { $_[0]{settled} ? 1 : 0 }
}
