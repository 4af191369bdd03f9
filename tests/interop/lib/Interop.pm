package Interop;

# What the tests drive: objects, functions, errors, futures. Nothing in here knows of Remora.

use strict;
use warnings;
use utf8;
use Future;
use Time::HiRes qw(time);
use Interop::Part;

our $alive = 0;

sub new { my ($class, %given) = @_; $alive++; return bless {count => 0, %given}, $class }
sub DESTROY { $alive-- }

sub alive { $alive }
sub pid { $$ }
sub count { $_[0]{count} }
sub increment { my ($self, $by) = @_; return $self->{count} += $by // 1 }
sub myself { $_[0] }
sub child { my ($self, @given) = @_; return (ref $self || $self)->new(@given) }
sub part { Interop::Part->new }
sub name { my $self = shift; $self->{name} = shift if @_; return $self->{name} }
sub given { my ($class, @args) = @_; return [@args] }

sub env { $ENV{$_[1]} }
sub load { my (undef, $file) = @_; require $file; return 'loaded' }

# Values.
sub echo { my (undef, @args) = @_; return $args[0] }
sub nothing { return }
sub several { return (1, 2, 3) }
sub context { return wantarray ? 'list' : defined wantarray ? 'scalar' : 'void' }
sub lengths { my (undef, @args) = @_; return [map { length } @args] }
sub ordinals { my (undef, $text) = @_; return [map { ord } split //, $text] }
sub wide { return "\x{263a} and \x{e9}" }
sub latin { return "caf\x{e9}" }
sub octets { return "\x{c3}\x{a9}\x{ff}\x{00}\x{0a}" }
sub astral { return "\x{1f600}" }
sub scalar_ref { my $value = 'inside'; return \$value }
sub infinity { return 9**9**9 }
sub big { return 18446744073709551615 }
sub is_same { my (undef, $x, $y) = @_; return Scalar::Util::refaddr($x) == Scalar::Util::refaddr($y) }
sub kind_of { my (undef, $x) = @_; return ref $x }
sub strange { return \\1 }
sub numbers { return [1, 2.5, "3", 4 == 4, 4 == 5, undef] }

# Functions.
sub add { my ($x, $y) = @_; return $x + $y }
sub make_adder { my (undef, $n) = @_; return sub { $_[0] + $n } }
sub call { my (undef, $code, @args) = @_; return $code->(@args) }
sub call_twice { my (undef, $code) = @_; return [$code->(1), $code->(2)] }
sub call_caught { my (undef, $code) = @_; return eval { $code->(); 1 } ? 'no error' : $@ }
sub ask { my (undef, $object, $method, @args) = @_; return $object->$method(@args) }
sub keep { my ($self, $it) = @_; $self->{kept} = $it; return }
sub kept { $_[0]{kept} }
sub drop { my ($self) = @_; delete $self->{kept}; return }
sub call_kept { my ($self, @args) = @_; return $self->{kept}->(@args) }
sub deep { my ($self, $code, $n) = @_; return $n ? $code->($n - 1) : 'bottom' }

# Errors.
sub fail { die "on purpose\n" }
sub fail_here { die 'somewhere' }
sub fail_object { die Interop::Error->new(code => 7, message => 'broken in two') }
sub fail_hash { die {reason => 'because'} }
sub leave { exit 3 }
sub compute { my (undef, $seconds) = @_; my $end = time + $seconds; 1 while time < $end; return q(computed) }

# Futures.
sub later { my ($self) = @_; return $self->{later} = Future->new }
sub resolve { my ($self, @values) = @_; $self->{later}->done(@values); return }
sub break { my ($self, $why) = @_; $self->{later}->fail($why); return }

# Output.
sub speak { my (undef, $out, $err) = @_; print $out; print STDERR $err; return 'said' }

# Files, ties.
sub open_file { my (undef, $path, $mode) = @_; open my $file, $mode, $path or die "$path: $!\n"; $file->autoflush(1); return $file }
sub read_lines { my (undef, $file) = @_; return [<$file>] }
sub tied_hash { tie my %hash, 'Interop::Hash'; %hash = (a => 1, b => 2, c => 3); return \%hash }
sub tied_array { tie my @array, 'Interop::Array'; @array = (10, 20, 30); return \@array }

package Interop::Hash;
require Tie::Hash;
our @ISA = 'Tie::StdHash';

package Interop::Array;
require Tie::Array;
our @ISA = 'Tie::StdArray';

package Interop::Base;
sub new { my ($class, %fields) = @_; return bless {%fields}, $class }
sub message { $_[0]{message} }

package Interop::Error;
our @ISA = 'Interop::Base';

1;
