# Part of the node's one program. Running what the other side calls.

# Runs a call and puts the answer into $out. User code is called in list context: nothing is null, one value is itself, more
# are a list.
sub run {
  my ($call, $flags, $id, undef, undef, $name, $body, $refs, $raws, $cost, $target) = @{$_[0]};
  my @result;
  undef $died;
  my $done = eval {
    my $args = eval { decode($flags, $body, $refs, $raws) } || die $@;
    bad('the arguments are no list') if ref $args ne 'ARRAY';
    if ($id && ($owed += $cost) > GRANT / 4) {
      $out .= pack HEAD, 0, CREDIT, 0, 0, 0, 0, $owed, 0;
      $owed = 0;
    }
    Remora::Timeout->throw('no time was left to start the call') if $due && clock() > $due;
    Remora::NotFound->throw("no object $id") if !$target;
    push @$args, %{pop @$args} if $flags & KW;
    if (ord $name == 58 || !$id) { @result = $id ? operation($name, $target, $id, $args) : root_call($name, $args, $_[0]) }
    else {
      utf8::decode($name);
      # From here on signals tell of the wire; what came before them is looked for.
      local $busy = 0;
      watch(1);
      @result = $name eq '' ? $target->(@$args) : $name eq 'read' && is_handle($target, $args) ? read_handle($target, @$args)
        : blessed($target) ? $target->$name(@$args) : plain_method($target, $name, $args);
    }
    1;
  };
  my $error = $done ? undef : $@;
  watch(0) if $watching;
  CORE::exit(0) if $$ != $pid;  # a fork of user code that came back here
  return if $flags & ONEWAY;
  return owe($call, $flags, $result[0]) if $done && @result == 1 && ref $result[0] eq 'Remora::Future';
  @result = as_wanted(@result == 1 ? $result[0] : \@result) if $done && $flags & BYREF && @result;
  if ($done && !(%cancelled && $cancelled{$call})) {
    my $text = @result == 1 && !ref $result[0] ? do {
      local ($tags, @raws) = (0);
      my $text = encode_scalar($result[0]);
      $tags ? undef : $text;
    } : undef;
    if (defined $text) {
      $out .= pack('VCCvVx20', length $text, REPLY, PLAIN, 0, $call) . $text;
      return;
    }
    return if eval { send_message(REPLY, 0, $call, @result == 1 ? $result[0] : @result ? \@result : undef); 1 };
    $error = $@;
  }
  die $error if ref $error eq 'Remora::Node::Fault';
  $error = Remora::Cancelled->new(message => 'cancelled') if delete $cancelled{$call};
  eval { send_message(ERROR, 0, $call, describe($error)); 1 }
    or send_message(ERROR, 0, $call, {type => ['die'], language => 'perl', hops => [$here], message => 'an error that cannot be told'});
}

# What the caller wants to have by reference, as far as it would be copied.
sub as_wanted {  # later
  my ($value) = @_;
  return ref $value eq 'ARRAY' || ref $value eq 'HASH' ? bless(\$value, 'Remora::Reference') : $value;
}

# The call's method has returned this future; meanwhile other calls run.
our %owing;  # call -> the future whose result is its answer
sub owe {  # later
  my ($call, $flags, $future) = @_;
  $future->{owed} = [$call, $flags];
  $owing{$call} = $future;
  pay($future) if $future->{settled};
}

sub pay {  # later
  my ($future) = @_;
  my ($call, $flags) = @{delete $future->{owed}};
  delete $owing{$call};
  my $value;
  my $error = eval { $value = result($future); $value = as_wanted($value) if $flags & BYREF; 1 } ? undef : $@;
  $error = Remora::Cancelled->new(message => 'cancelled') if delete $cancelled{$call};
  return if !$error && eval { send_message(REPLY, 0, $call, $value); 1 };
  send_message(ERROR, 0, $call, describe($error || $@));
}

sub root_repl { require Remora::Repl; bless \(my $made = Remora::Repl->new), 'Remora::Reference' }  # later

sub root_call {
  my ($method, $args, $item) = @_;
  return perform($method, $args, $item) if $method =~ /\A(?:run|open|stat)\z/;
  my ($name, @args) = @$args;
  return root_repl() if $method eq 'repl';
  Remora::NotFound->throw("the root has no method $method") if $method ne 'new' && $method ne 'can';
  bad('a name that is no text') if !defined $name || ref $name;
  local $busy = 0;
  watch(1);
  my $found = find($name, $method eq 'new');
  if ($method eq 'can') { return defined $found ? bless \$found, 'Remora::Reference' : undef }
  defined $found or Remora::NotFound->throw("no class $name" . nowhere($name));
  my $made = ref $found eq 'CODE' ? $found->(@args) : $$found->new(@args);
  ref $made or Remora::NotFound->throw("$name made no object");
  return bless \$made, 'Remora::Reference';
}

# Perl's own `read` fills a variable of its caller, who is far away: with a number, or nothing, it gives the bytes.
sub is_handle {  # later
  my ($target, $args) = @_;
  my $class = blessed($target);
  return @$args < 2 && reftype($target) =~ /\A(?:GLOB|IO)\z/ && (!$class || $target->isa('IO::Handle'));
}

sub read_handle {  # later
  my ($handle, $n) = @_;
  my $data = '';
  if (defined $n) { defined read $handle, $data, $n or die "cannot read: $!\n" }
  else { local $/; $data = <$handle> }
  $data = '' if !defined $data;
  return utf8::is_utf8($data) ? $data : bless \$data, 'Remora::Bytes';
}

# Files and commands: lib/Remora/Files.pm.
sub perform {  # later
  require Remora::Files;
  return Remora::Files::perform(@_);
}

# Methods of what has no class: those that perl gives file handles; a hash's and an array's are operations.
sub plain_method {  # later
  my ($target, $name, $args) = @_;
  if (reftype($target) eq 'GLOB' || reftype($target) eq 'IO') {
    require IO::File;
    return $target->$name(@$args);
  }
  Remora::NotFound->throw("a reference to " . reftype($target) . " has no method $name");
}

# ---- kinds of objects -------------------------------------------------------------------------------------------------

{
  package Remora::Class;  # a class, lent
  our $AUTOLOAD;
  Remora::Node::overloads(__PACKAGE__, '""' => sub { ${$_[0]} }, '&{}' => sub { my $class = ${$_[0]}; sub { $class->new(@_) } }, bool => sub { 1 });
  sub AUTOLOAD {
    my ($self, @args) = @_;
    (my $name = $AUTOLOAD) =~ s/.*:://;
    return $$self->$name(@args);
  }
  sub DESTROY { }
  sub can { my ($self, $name) = @_; ref $self ? $$self->can($name) : UNIVERSAL::can($self, $name) }
  package Remora::Iterator;  # what `:iter` gives: a closure that returns an empty list at the end
  sub next { my ($item) = $_[0]->(); $item }
}
our %made_classes;
sub class_object { my ($name) = @_; $made_classes{$name} ||= bless \(my $class = $name), 'Remora::Class' }

sub kind_of {
  my ($v) = @_;
  my $class = blessed($v);
  return $class eq 'Remora::Class' ? "class $$v" : $class if $class;
  return reftype($v);
}

sub words_of {
  my ($v) = @_;
  my $class = blessed($v);
  my $type = reftype($v);
  if (!$class) {
    return $type eq 'CODE' ? 'call' : $type eq 'ARRAY' ? qw(iter len item setitem delitem contains)
      : $type eq 'HASH' ? qw(iter len item setitem delitem contains keys) : $type eq 'GLOB' || $type eq 'IO' ? qw(iter next) : ();
  }
  return 'call' if $class eq 'Remora::Class';
  return qw(iter next) if $class eq 'Remora::Iterator';
  my @words;
  push @words, 'call' if $type eq 'CODE' || operator($class, '&{}');
  push @words, qw(iter next) if $v->can('next') || operator($class, '<>') || $v->isa('IO::Handle');
  if (operator($class, '@{}') || operator($class, '%{}')) {
    push @words, 'iter' if !@words || $words[-1] ne 'next';
    push @words, qw(len item setitem delitem contains);
  }
  push @words, 'order' if operator($class, '<=>') || operator($class, 'cmp') || operator($class, '<');
  push @words, 'exception' if $v->can('throw');
  return @words;
}

# ---- operations -------------------------------------------------------------------------------------------------------

# The array or hash that an object is, or shows itself as.
sub container {  # later
  my ($target) = @_;
  my $class = blessed($target) or return reftype($target) =~ /\A(?:ARRAY|HASH)\z/ ? $target : no_operation($target);
  return \@$target if operator($class, '@{}');
  return \%$target if operator($class, '%{}');
  no_operation($target);
}
sub no_operation { Remora::NotFound->throw('an object of ' . kind_of($_[0]) . ' is no container') }  # later

our %compare = (':lt' => sub { $_[0] < $_[1] }, ':le' => sub { $_[0] <= $_[1] }, ':gt' => sub { $_[0] > $_[1] }, ':ge' => sub { $_[0] >= $_[1] });
our %compare_text = (':lt' => sub { $_[0] lt $_[1] }, ':le' => sub { $_[0] le $_[1] }, ':gt' => sub { $_[0] gt $_[1] }, ':ge' => sub { $_[0] ge $_[1] });

sub operation {  # later
  my ($name, $target, $id, $args) = @_;
  my ($key, $value) = @$args;
  local $busy = 0;
  watch(1);
  return advance($id, $target, $key) if $name eq ':next';
  if ($name eq ':get' || $name eq ':set') { return attribute($name, $target, @$args) }
  if ($name eq ':str' || $name eq ':repr') { return "$target" }
  if ($name eq ':iter') {
    my $made = iterator($target);
    return bless \$made, 'Remora::Reference';
  }
  if (my $compare = $compare{$name}) {
    my $class = blessed($target);
    my $texts = $class && !operator($class, '<=>') && !operator($class, '<') && operator($class, 'cmp');
    return ($texts ? $compare_text{$name} : $compare)->($target, $key) ? $true : $false;
  }
  Remora::NotFound->throw("no operation $name") if $name !~ /\A:(?:len|item|setitem|delitem|contains|keys|copy)\z/;
  my $it = container($target);
  if ($name eq ':copy') { return reftype($it) eq 'ARRAY' ? [@$it] : {%$it} }
  if ($name eq ':keys') { return [keys %$it] }
  if (reftype($it) eq 'ARRAY') {
    return scalar @$it if $name eq ':len';
    if ($name eq ':contains') { for (@$it) { return $true if same($_, $key) } return $false }
    die "index $key is outside of the array\n" if $name ne ':setitem' && ($key >= @$it || $key < -@$it);
    return $it->[$key] if $name eq ':item';
    if ($name eq ':setitem') { $it->[$key] = $value }
    else { splice @$it, $key, 1 }
    return undef;
  }
  return scalar keys %$it if $name eq ':len';
  return exists $it->{$key} ? $true : $false if $name eq ':contains';
  if ($name eq ':setitem') { $it->{$key} = $value; return undef }
  die "there is no key $key\n" if !exists $it->{$key};
  return $it->{$key} if $name eq ':item';
  delete $it->{$key};
  return undef;
}

# `:get` is the accessor method where there is one, else the slot of the hash that the object is.
sub attribute {  # later
  my ($how, $target, $name, @value) = @_;
  if (is_proxy($target)) { return call_out($target, $how, [$name, @value]) }
  my $class = blessed($target);
  my $method = $class && $target->can($name);
  if ($method) {
    my $got = $class eq 'Remora::Class' ? $$target->$name(@value) : $target->$name(@value);
    return $how eq ':get' ? $got : undef;
  }
  if (reftype($target) eq 'HASH') {
    if ($how eq ':set') { $target->{$name} = $value[0]; return undef }
    return $target->{$name} if exists $target->{$name};
  }
  if ($class && $class eq 'Remora::Class') {
    no strict 'refs';
    if ($how eq ':set') { ${"${$target}::$name"} = $value[0]; return undef }
    return ${"${$target}::$name"} if defined ${"${$target}::$name"};
  }
  die "an object of " . kind_of($target) . " has no attribute $name\n";
}

sub iterator {  # later
  my ($target) = @_;
  my $class = blessed($target);
  return $target if $class ? $target->can('next') || operator($class, '<>') || $target->isa('IO::Handle') : reftype($target) =~ /\A(?:GLOB|IO)\z/;
  my $it = container($target);
  my $at = 0;
  return bless sub { $at < @$it ? $it->[$at++] : () }, 'Remora::Iterator' if reftype($it) eq 'ARRAY';
  my @keys = keys %$it;
  return bless sub { @keys ? shift @keys : () }, 'Remora::Iterator';
}

# `:next`: as many items as are made in about 5 ms; an error behind some items waits for its turn. An object's `next` ends
# with undef.
sub advance {  # later
  my ($id, $target, $most) = @_;
  if (my $kept = delete $kept{$id}) { die $kept->[0] }
  my $class = blessed($target);
  my $step = $class && $class eq 'Remora::Iterator' ? $target
    : $class && $target->can('next') ? sub { my $item = $target->next; defined $item ? $item : () }
    : reftype($target) eq 'GLOB' || reftype($target) eq 'IO' || $class && operator($class, '<>') ? sub { my $line = <$target>; defined $line ? $line : () }
    : Remora::NotFound->throw('an object of ' . kind_of($target) . ' is no iterator');
  my ($end, @items) = (clock() + 0.005);
  while (@items < $most) {
    my ($more) = my @got = eval { $step->() };
    if (my $error = !@got && $@) {
      die $error if !@items;
      $kept{$id} = [$error];
      last;
    }
    return [$true, \@items] if !@got;
    push @items, $more;
    last if clock() > $end;
  }
  return [$false, \@items];
}

# ---- names ------------------------------------------------------------------------------------------------------------

# Loads a module; false if it does not exist, an error if it fails.
sub load_module {
  my ($module) = @_;
  return 0 if $module !~ /\A[^\W\d]\w*(?:::\w+)*\z/;
  (my $file = "$module.pm") =~ s{::}{/}g;
  return 1 if $INC{$file};
  return 1 if eval { require $file; 1 };
  my $error = $@;
  if (ref $error eq 'Remora::Node::Absent' && $error->{module} eq $module) {
    return 0 if $error->{missing};
    Remora::NotFound->throw($error->{message});
  }
  die $error if ref $error || index($error, "Can't locate $file in \@INC");
  return 0;
}

# What a name stands for: a code reference, a class object, or nothing.
sub find {
  my ($name, $class_first) = @_;
  $name =~ s/\Aremora\./Remora::/;  # what every near side calls connect, new_on, can_on
  my ($module, $path) = $name =~ /\A((?:[^:]|::)+):(?!:)(.+)\z/s ? ($1, $2) : (undef, $name);
  my ($owner, $method) = $path =~ /\A(.+)->(\w+)\z/s ? ($1, $2) : ($path, undef);
  no strict 'refs';
  if (defined $module) {
    load_module($module) or return;
    for my $full ("${module}::$owner", $owner) {
      my $found = named($full, $method, $class_first);
      return $found if $found;
    }
    return;
  }
  # What is there; then the module of that name, or the one before the last part: of a name in small letters first.
  my ($before, $last) = $owner =~ /\A(.+)::(\w+)\z/;
  my @modules = !defined $before ? $owner : defined $method || $class_first || $last =~ /\A[A-Z]/ ? ($owner, $before) : ($before, $owner);
  for my $load (undef, @modules) {
    next if defined $load && !load_module($load);
    my $found = named($owner, $method, $class_first);
    return $found if $found;
  }
  return;
}

sub named {
  my ($full, $method, $class_first) = @_;
  return if $full !~ /\A\w+(?:::\w+)*\z/;
  no strict 'refs';
  my $code = defined &$full ? \&$full : undef;
  return $code if $code && !$class_first && !defined $method;
  if (exists_package($full)) {
    return class_object($full) if !defined $method;
    my $found = $full->can($method) or return;
    return sub { $full->$method(@_) };
  }
  return defined $method ? undef : $code;
}

sub module_source {  # later
  my ($name) = @_;
  $sources{$name} = call_out(0, 'module', ['perl', $name]) if !exists $sources{$name};
  return $sources{$name};
}

# Where the near side has looked for the module in a name, in words; '' if it was not asked.
sub nowhere {  # later
  my ($name) = @_;
  $name =~ s/(?<!:):(?!:).*//;
  for (; length $name; $name =~ s/(?:\A|::)\w+\z// or last) {
    my $found = $sources{$name};
    return "; $found->{reason}" if ref $found eq 'HASH' && $found->{kind} eq 'missing';
  }
  return '';
}

# At the end of @INC: what is not here comes from the near side; its reason, where it refuses, is the error.
sub serve_module {
  my (undef, $file) = @_;
  (my $module = $file) =~ s{/}{::}g;
  $module =~ s/\.pm\z// or return;
  return if $$ != $pid || $closed;
  my $found = module_source($module);
  return if ref $found ne 'HASH' || $found->{kind} eq 'namespace';
  if ($found->{kind} eq 'missing') {
    die bless {module => $module, missing => 1, message => "Can't locate $file in \@INC; $found->{reason}"}, 'Remora::Node::Absent';
  }
  if ($found->{kind} eq 'denied' || $found->{kind} eq 'extension') {
    my $reason = defined $found->{reason} ? $found->{reason} : "the near side has only a compiled extension module $found->{path}";
    die bless {module => $module, message => "Can't locate $file here, and from the near side: $reason"}, 'Remora::Node::Absent';
  }
  my $path = defined $found->{path} ? $found->{path} : "<near side>/$file";
  my $source = "$found->{source}";
  utf8::encode($source) if utf8::is_utf8($source);
  $path =~ tr/"\n//d;
  $source = qq(#line 1 "$path"\n$source);
  open my $from, '<', \$source or return;
  $INC{$file} = $path;
  return $from;
}
@Remora::Node::Absent::ISA = 'Remora::Error';
