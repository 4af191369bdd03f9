package brood;  # what a far process can do so that it does not end by itself: brood, computing natively, stopping
use strict;
use warnings;

sub spawn { my ($script) = @_; chomp(my @pids = `sh '$script'`); [map { $_ + 0 } @pids] }
sub compute { my $text = 'a' x 40; return $text =~ /\A(a+a?)+(a+a?)+(a+a?)+b\z/ ? 1 : 0 while 1 }
sub compute_long { my $n = 0; $n++ while 1 }
sub wait_long { sleep 600; return }
# One match: perl looks at its signals behind it.
sub hold {
    my ($seconds) = @_;
    my $late = time + $seconds;
    while (time < $late) { my $found = ('a' x 22) =~ /\A(a+)+(a+)+b\z/ }
    return;
}
sub stop { kill STOP => $$; return }

1;
