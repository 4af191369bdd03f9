# Part of the node's one program. Values: how they stand in a message, and back.
#
# Text and bytes: what comes as text is a plain string, what comes as bytes a Remora::Bytes, which acts as the string. On the
# way out a plain string is text if perl keeps it as characters (the utf8 flag) or if it is ASCII; else its octets are bytes.
# Numbers: what was made as a number is one. An integer that was kept as a float only (no IOK) goes as a float.

{
  package Remora::Bytes;
  Remora::Node::overloads(__PACKAGE__, '""' => sub { ${$_[0]} });
  package Remora::Boolean;
  Remora::Node::overloads(__PACKAGE__, '""' => sub { ${$_[0]} }, bool => sub { ${$_[0]} });
  package Remora::Map;
  # A map with keys that are no text: an array of pairs. As a hash it is a copy by the keys' texts.
  Remora::Node::overloads(__PACKAGE__, '%{}' => sub { $_[0]->hash }, bool => sub { 1 });
  sub new { my ($class, @pairs) = @_; bless [@pairs], $class }
  sub pairs { @{$_[0]} }
  sub keys { map { $_->[0] } @{$_[0]} }
  sub values { map { $_->[1] } @{$_[0]} }
  sub size { scalar @{$_[0]} }
  sub get { my ($self, $key) = @_; for (@$self) { return $_->[1] if Remora::Node::same($_->[0], $key) } return }
  sub set {
    my ($self, $key, $value) = @_;
    for (@$self) { return $_->[1] = $value if Remora::Node::same($_->[0], $key) }
    push @$self, [$key, $value];
    return $value;
  }
  sub hash {
    my %made;
    for (@{$_[0]}) {
      my $key = defined $_->[0] ? "$_->[0]" : '';
      Remora::Value->throw("two keys of a map are both \"$key\" as text") if exists $made{$key};
      $made{$key} = $_->[1];
    }
    return \%made;
  }
}

our ($true, $false) = NEW ? (!!1, !!0) : (bless(\(my $t = 1), 'Remora::Boolean'), bless(\(my $f = 0), 'Remora::Boolean'));
our ($J, $J_refs, $J_raws, $J_plain);  # what is being decoded
our (@rows, @raws, $tags);             # of what is being encoded
our %escape = ("\n" => '\n', "\t" => '\t', "\r" => '\r', '"' => '\"', '\\' => '\\\\', "\b" => '\b', "\f" => '\f');
our %unescape = (n => "\n", t => "\t", r => "\r", b => "\b", f => "\f", '"' => '"', '\\' => '\\', '/' => '/');
for (0 .. 31, 127) { $escape{chr $_} ||= sprintf '\u%04x', $_ }

sub bad { die bless {message => "not a value: $_[0]"}, 'Remora::Value' }  # later

# The flags of perl's own scalar: 0x100 integer, 0x200 float, 0x400 string. What is private (the text of a number that was
# shown, since 5.36) counts for numbers only.
sub flags_of {  # later
  defined &B::svref_2object or XSLoader::load('B');
  my $flags = B::SV::FLAGS(B::svref_2object(\$_[0]));
  return $flags & 0x700 | $flags >> 4 & 0x300;
}

# What a defined scalar was made as: 0 text, 1 number, 2 boolean.
sub made_as {  # later
  return builtin::is_bool($_[0]) ? 2 : builtin::created_as_number($_[0]) ? 1 : 0 if NEW;
  my $flags = flags_of($_[0]);
  return 0 if !($flags & 0x300);
  return 1 if !($flags & 0x400);
  return $flags == 0x700 && ($_[0] eq '' || $_[0] eq '1') ? 2 : 0;  # the results of perl's comparisons
}

sub same {  # later
  my ($one, $other) = @_;
  return !defined $one && !defined $other if !defined $one || !defined $other;
  return (ref $one || ref $other || made_as($one) == made_as($other)) && $one eq $other;
}

# ---- in ---------------------------------------------------------------------------------------------------------------

sub decode {
  my ($flags, $body, $refs, $raws) = @_;
  die $refs if ref $refs eq 'Remora::Value';
  local ($J, $J_refs, $J_raws, $J_plain) = ($body, $refs, $raws, $flags & PLAIN);
  if ($J =~ /\A\[((?:-?(?:0|[1-9]\d{0,17})(?:,(?=[-\d])|(?=\])))*+)\]\z/) {  # a list of integers
    return [map { $_ + 0 } split /,/, $1];
  }
  pos($J) = 0;
  $J =~ /\G[ \t\r\n]+/gc;
  my $value = decode_value(1);
  $J =~ /\G[ \t\r\n]*\z/gc or bad('more than one value, or rubbish behind it');
  return $value;
}

sub decode_text {  # later
  my ($text) = @_;
  if ($text =~ /[\x80-\xff]/) {
    bad('text that is not UTF-8') if $text =~ /\xed[\xa0-\xbf]/ || !utf8::decode($text);
  }
  if (index($text, '\\') >= 0) {
    $text =~ s{\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))}{
      defined $1 ? chr(0x10000 + (hex($1) - 0xD800 << 10) + hex($2) - 0xDC00) : defined $3 ? characters(hex $3)
        : defined $unescape{$4} ? $unescape{$4} : bad('an escape that JSON does not know') }gse;
  }
  return $text;
}

# Beyond ASCII perl has to be told that it is text.
sub characters { my $text = chr $_[0]; utf8::upgrade($text) if $_[0] > 127; return $text }  # later

sub decode_value {
  my ($depth) = @_;
  if ($J =~ /\G"((?:[^"\\\x00-\x1f]++|\\[^u\x00-\x1f]|\\u[0-9a-fA-F]{4})*+)"/gc) { return decode_text($1) }
  if ($J =~ /\G(-?(?:0|[1-9][0-9]*+))(\.[0-9]+)?+([eE][-+]?[0-9]+)?+/gc) {
    return unpack 'd', pack 'd', $1 . (defined $2 ? $2 : '') . (defined $3 ? $3 : '') if defined $2 || defined $3;
    return length $1 < 19 ? $1 + 0 : integer($1);
  }
  if ($J =~ /\G\[[ \t\r\n]*/gc) {
    bad('nested more than ' . DEEP . ' deep') if $depth > DEEP;
    my @list;
    return \@list if $J =~ /\G\]/gc;
    while (1) {
      if ($J =~ /\G(-?(?:0|[1-9]\d{0,17}))(?=[,\]])/gc) { push @list, $1 + 0 }
      elsif ($J =~ /\G"([^"\\\x00-\x1f\x80-\xff]*+)"/gc) { push @list, $1 }
      else { push @list, decode_value($depth + 1) }
      $J =~ /\G[ \t\r\n]*([,\]])[ \t\r\n]*/gc or bad('not JSON');
      return \@list if $1 eq ']';
    }
  }
  if ($J =~ /\G\{[ \t\r\n]*/gc) {
    bad('nested more than ' . DEEP . ' deep') if $depth > DEEP;
    my (%map, $n);
    return \%map if $J =~ /\G\}/gc;
    while (1) {
      $J =~ /\G"((?:[^"\\\x00-\x1f]++|\\[^u\x00-\x1f]|\\u[0-9a-fA-F]{4})*+)"[ \t\r\n]*:[ \t\r\n]*/gc or bad('not JSON');
      my $key = $1;
      $key = decode_text($key) if $key =~ /[\\\x80-\xff]/;
      if ($J =~ /\G(-?(?:0|[1-9]\d{0,17}))(?=[,\}])/gc) { $map{$key} = $1 + 0 }
      elsif ($J =~ /\G"([^"\\\x00-\x1f\x80-\xff]*+)"/gc) { $map{$key} = $1 }
      else { $map{$key} = decode_value($depth + (!$J_plain && !$n && $key =~ /\A~[mt]\z/ ? 0 : 1)) }
      $n++;
      $J =~ /\G[ \t\r\n]*([,\}])[ \t\r\n]*/gc or bad('not JSON');
      last if $1 eq '}';
      $J =~ /\G"/ or bad('not JSON');
    }
    bad('a map with two equal keys') if $n != keys %map;
    if ($n == 1 && !$J_plain) {
      my ($tag) = keys %map;
      return decode_tag($tag, $map{$tag}) if $tag =~ /\A~/;
    }
    return \%map;
  }
  return $true if $J =~ /\Gtrue/gc;
  return $false if $J =~ /\Gfalse/gc;
  return undef if $J =~ /\Gnull/gc;
  bad('not JSON');
}

sub decode_tag {  # later
  my ($tag, $value) = @_;
  if ($tag =~ /\A~[bsr]\z/) {
    bad("bad index in $tag") if !defined $value || ref $value || made_as($value) != 1 || $value !~ /\A\d+\z/;
    my $table = $tag eq '~r' ? $J_refs : $J_raws;
    bad("an index in $tag that is not in its table") if !$table || $value >= @$table;
    return $table->[$value] if $tag eq '~r';
    my $raw = $table->[$value];
    return bless \$raw, 'Remora::Bytes' if $tag eq '~b';
    $raw !~ /[\x80-\xff]/ || utf8::decode($raw) or bad('text that is not UTF-8');
    return $raw;
  }
  if ($tag eq '~t') { return $value if ref $value eq 'ARRAY' }
  elsif ($tag eq '~i') { return integer($value) if defined $value && !ref $value && $value =~ /\A-?\d+\z/ && !made_as($value) }
  elsif ($tag eq '~f') {
    return 9**9**9 - 9**9**9 if defined $value && $value eq 'nan';
    return $value eq 'inf' ? 9**9**9 : -9**9**9 if defined $value && $value =~ /\A-?inf\z/;
  }
  elsif ($tag eq '~m') {
    bad('a map that is no list of pairs') if ref $value ne 'ARRAY' || grep { ref $_ ne 'ARRAY' || @$_ != 2 } @$value;
    return bless $value, 'Remora::Map' if grep { !defined $_->[0] || ref $_->[0] || made_as($_->[0]) } @$value;
    my %map = map { @$_ } @$value;
    bad('a map with two equal keys') if @$value != keys %map;
    return \%map;
  }
  bad('a bad tag');
}

# An integer of any length from its decimal text.
sub integer {  # later
  my ($text) = @_;
  my $shown = my $number = $text + 0;  # showing a number makes it look like text to an older perl
  return $number if "$shown" eq $text && flags_of($number) & 0x100;
  (my $plain = $text) =~ s/\A(-?)0*(?=\d)/$1/;
  return $plain + 0 if length $plain < 19;
  $shown = $number = $plain + 0;
  return $number if "$shown" eq $plain;
  require Math::BigInt;
  return Math::BigInt->new($plain);
}

# Rows of references, attachments and body of a message with tables.
sub split_tables {  # later
  my ($payload) = @_;
  fault('message without its tables') if length $_[0] < 8;
  my ($nrefs, $nraw) = unpack 'VV', $_[0];
  my $start = 8 + 16 * $nrefs + 4 * $nraw;
  fault('tables that do not fit in their message') if $nrefs > 1000000 || $nraw > 1000000 || $start > length $_[0];
  my @lengths = unpack "V$nraw", substr $_[0], 8 + 16 * $nrefs, 4 * $nraw;
  my $end = length $_[0];
  $end -= $_ for @lengths;
  fault('attachments that do not fit in their message') if $end < $start;
  my ($from, @parts) = ($end);
  for (@lengths) { push @parts, substr $_[0], $from, $_; $from += $_ }
  return (substr($_[0], 8, 16 * $nrefs), \@parts, substr $_[0], $start, $end - $start);
}

# ---- out --------------------------------------------------------------------------------------------------------------

# Flags, tables and body of a message; the attachments are left in the array.
sub encode {
  my ($value, $raws) = @_;
  local (@rows, @raws);
  local $tags = 0;
  my $body;
  if (!eval { $body = ref $value ? encode_value($value, 1) : encode_scalar($value); 1 }) {
    my $error = $@;
    take_back(join '', @rows);
    die $error;
  }
  return ($tags ? 0 : PLAIN, '', $body) if !@rows && !@raws;
  my $table = pack('VV', scalar @rows, scalar @raws) . join('', @rows) . pack 'V*', map { length } @raws;
  @$raws = @raws;
  return (TABLES, $table, $body);
}

sub attach {  # later
  my $tag = shift;
  $tags++;
  push @raws, $_[0];
  return "{\"~$tag\":$#raws}";
}

sub encode_scalar {
  my ($v) = @_;
  return 'null' if !defined $v;
  if (NEW) {
    return encode_number($v) if builtin::created_as_number($v);
    return $v ? 'true' : 'false' if builtin::is_bool($v);
  }
  elsif (my $made = made_as($v)) {
    return $made == 1 ? encode_number($v) : $v ? 'true' : 'false';
  }
  return "\"$v\"" if length $v < LONG && $v !~ /[^\x20\x21\x23-\x5b\x5d-\x7e]/;
  if (!utf8::is_utf8($v)) {
    return attach('b', $v) if $v =~ /[\x80-\xff]/;
    return attach('s', $v) if length $v >= LONG;
  }
  else {
    my $text = json_text($v);
    return $text if defined $text && length $v < LONG;
    utf8::encode($v);
    return attach('s', $v);
  }
  $v =~ s/(["\\\x00-\x1f\x7f])/$escape{$1}/g;
  return "\"$v\"";
}

# A string that can stand in the JSON, or undef: bytes, or text with lone surrogates.
sub json_text {  # later
  my ($v) = @_;
  if (utf8::is_utf8($v)) {
    Remora::Value->throw('a character beyond U+10FFFF cannot cross') if $v =~ /[^\x{0}-\x{10ffff}]/;
    return undef if $v =~ /[\x{d800}-\x{dfff}]/;
    utf8::encode($v);
  }
  elsif ($v =~ /[\x80-\xff]/) { return undef }
  $v =~ s/(["\\\x00-\x1f\x7f])/$escape{$1}/g;
  return "\"$v\"";
}

sub encode_number {  # later
  my ($v) = @_;
  my $float = (my $s = $v) !~ /\A-?\d+\z/;
  if (!$float && (flags_of($v) & 0x300) != 0x200) {
    return $s if length $s < 19 || $v <= 9223372036854775807;
    $tags++;
    return "{\"~i\":\"$s\"}";
  }
  if ($v - $v != 0) {
    $tags++;
    return '{"~f":"' . ($v != $v ? 'nan' : $v > 0 ? 'inf' : '-inf') . '"}';
  }
  return sprintf '%.1f', $v if !$float;
  $s = sprintf '%.15g', $v;
  $s = sprintf '%.17g', $v if $s != $v;
  $s .= '.0' if $s !~ /[.e]/;
  return $s;
}

sub encode_value {
  my ($v, $depth) = @_;
  my $kind = ref $v;
  if ($kind eq 'ARRAY') {
    too_deep($v) if $depth++ > DEEP;
    return '[' . join(',', map { ref $_ ? encode_value($_, $depth) : encode_scalar($_) } @$v) . ']';
  }
  if ($kind eq 'HASH') {
    too_deep($v) if $depth++ > DEEP;
    my @keys = keys %$v;
    my @texts = map { /[^\x20\x21\x23-\x5b\x5d-\x7e]/ ? json_text($_) : "\"$_\"" } @keys;
    if (@keys != 1 || $keys[0] !~ /\A~/) {
      if (!grep { !defined } @texts) {
        my $at = 0;
        return '{' . join(',', map { my $e = $v->{$_}; $texts[$at++] . ':' . (ref $e ? encode_value($e, $depth) : encode_scalar($e)) } @keys) . '}';
      }
    }
    $tags++;
    return '{"~m":[' . join(',', map {
      my $e = $v->{$_};
      '[' . encode_scalar($_) . ',' . (ref $e ? encode_value($e, $depth) : encode_scalar($e)) . ']' } @keys) . ']}';
  }
  return attach('b', $$v) if $kind eq 'Remora::Bytes';
  return $$v ? 'true' : 'false' if $kind eq 'Remora::Boolean' || $kind eq 'JSON::PP::Boolean';
  if ($kind eq 'Remora::Map') {
    too_deep($v) if $depth++ > DEEP;
    $tags++;
    return '{"~m":[' . join(',', map {
      '[' . join(',', map { ref $_ ? encode_value($_, $depth) : encode_scalar($_) } @$_) . ']' } @$v) . ']}';
  }
  if ($kind eq 'Math::BigInt' && !$v->is_nan && !$v->is_inf) {
    my $s = $v->bstr;
    return $s if $v->bcmp('9223372036854775807') <= 0 && $v->bcmp('-9223372036854775808') >= 0;
    $tags++;
    return "{\"~i\":\"$s\"}";
  }
  $tags++;
  push @rows, row($v);
  return "{\"~r\":$#rows}";
}

# Says where: on the way down the first path that is too long.
sub too_deep {  # later
  Remora::Value->throw('nested more than ' . DEEP . ' deep, or in itself: ' . (ref $_[0]));
}
