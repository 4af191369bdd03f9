# @$proxy and %$proxy: the array or hash that is tied to a proxy.
package Remora::Items;
use strict;

sub TIEARRAY { my ($class, $proxy) = @_; no strict 'refs'; bless {proxy => $proxy, list => 1, from => ${ref($proxy) . '::NAME'} eq 'table' ? 1 : 0}, $class }  # Lua counts from 1
sub TIEHASH { my ($class, $proxy) = @_; bless {proxy => $proxy}, $class }
sub at { my ($self, $key) = @_; $self->{from} ? $key + $self->{from} : $key }
sub FETCH { $_[0]->quiet(':item', $_[1]) }
sub STORE { my ($self, $key, $value) = @_; Remora::Node::call_out($self->{proxy}, ':setitem', [$self->at($key), $value]) }
sub DELETE { my $value = $_[0]->FETCH($_[1]); $_[0]->quiet(':delitem', $_[1]); $value }
sub CLEAR { my ($self) = @_; Remora::Node::call_out($self->{proxy}, ':delitem', [$self->at($_)]) for $self->names }
# What is not there is undef in perl, whatever the container's own language says.
sub quiet {
  my ($self, $operation, $key) = @_;
  my $value;
  return $value if eval { $value = Remora::Node::call_out($self->{proxy}, $operation, [$self->at($key)]); 1 };
  my $error = $@;
  die $error if $self->there($key);
  return undef;
}
sub PUSH {
  my ($self, @more) = @_;
  my $n = $self->FETCHSIZE;
  for (@more) {  # Python's lists do not grow by being written to
    my $value = $_;
    eval { $self->STORE($n++, $value); 1 } or Remora::Node::call_out($self->{proxy}, 'append', [$value]);
  }
  return $n;
}
sub POP { my ($self) = @_; my $n = $self->FETCHSIZE; $n ? $self->DELETE($n - 1) : undef }
sub SHIFT { my ($self) = @_; $self->FETCHSIZE ? $self->DELETE(0) : undef }
sub there {
  my ($self, $key) = @_;
  return Remora::Node::call_out($self->{proxy}, ':contains', [$key]) if !$self->{list};
  return $key < $self->FETCHSIZE;
}
sub names {
  my ($self) = @_;
  no strict 'refs';
  return @{Remora::Node::call_out($self->{proxy}, ':keys', [])} if ${ref($self->{proxy}) . '::CAN'}{keys};
  return reverse 0 .. $self->FETCHSIZE - 1 if $self->{list};
  return Remora::Node::items($self->{proxy});
}
sub EXISTS { $_[0]->there($_[1]) }
sub FETCHSIZE { Remora::Node::call_out($_[0]{proxy}, ':len', []) }
sub SCALAR { Remora::Node::call_out($_[0]{proxy}, ':len', []) }
sub EXTEND { }
sub FIRSTKEY { my ($self) = @_; $self->{keys} = [$self->names]; shift @{$self->{keys}} }
sub NEXTKEY { shift @{$_[0]{keys}} }

1;
