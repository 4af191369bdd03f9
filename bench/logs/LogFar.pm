# log_far.py in Perl.
package LogFar;
use strict;
use Remora::Log;

sub lines {
    my ($n) = @_;
    for my $i (1 .. $n) { log_info { "line $i of a program that has much to tell" } }
    return $n;
}

1;
