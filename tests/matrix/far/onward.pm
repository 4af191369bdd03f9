# Far code that has a connection made to a third process.
package onward;
use strict;
use warnings;
use Remora;

my $conn;

sub reach { my ($spec, $node) = @_; $conn = Remora::connect($spec, node => $node, timeout => 5); return }
sub with_option { my ($name, $value) = @_; Remora::connect('-', $name => $value) }
sub add { Remora::can_on($conn, 'smoke:add')->(@_) }
sub there { Remora::can_on($conn, $_[0]) }
sub nothing { Remora::can_on($conn, 'smoke:nothing_of_the_kind') }
sub account { Remora::new_on($conn, 'smoke:Account', 'anna', 100) }
sub lament { account()->fail('from the third') }
sub finish { $conn->close() }
sub called_back { my $got; Remora::can_on($conn, 'smoke:apply')->(sub { $got = $_[0] }, 7); return $got }

1;
