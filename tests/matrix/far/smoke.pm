package smoke;  # what every far language has under the same names
use strict;
use warnings;

sub echo { $_[0] }
sub add { $_[0] + $_[1] }
sub say { my ($text) = @_; utf8::encode($text) if utf8::is_utf8($text); print "$text\n"; return }
sub apply { my ($f, $x) = @_; $f->($x) }
sub make { smoke::Account->new('made', 1) }
sub balance_of { $_[0]->balance }

sub kind {
    my ($v) = @_;
    return !defined $v ? 'undef' : ref $v || 'scalar';
}

sub size {
    my ($v) = @_;
    return ref $v eq 'ARRAY' ? scalar @$v : ref $v eq 'HASH' ? scalar keys %$v : ref $v eq 'Remora::Map' ? $v->size : length $v;
}

sub fill {
    my ($numbers, $table) = @_;
    my $sum = 0;
    $sum += $_ for @$numbers;
    $table->{k} = $sum;
    delete $table->{a};
    return [scalar @$numbers, scalar(keys %$table), $table->{k}];
}

our %table = (n => 1);
sub shared { \%table }
sub lend { require Remora; Remora::by_ref([1, 2, 3]) }
sub later { my ($function, $value) = @_; require Remora; Remora::start($function)->($value) }

package smoke::Account;

sub new { my ($class, $owner, $balance) = @_; bless {owner => $owner, balance => $balance}, $class }
sub deposit { my ($self, $n) = @_; $self->{balance} += $n }
sub balance { $_[0]{balance} }
sub owner { $_[0]{owner} }
sub fail { my ($self, $text) = @_; die "$text\n" }
sub each_call { my ($self, $f, $n) = @_; [map { $f->($_) } 1 .. $n] }
sub me { $_[0] }

1;
