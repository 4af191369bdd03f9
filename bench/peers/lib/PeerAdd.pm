package PeerAdd;
use strict;
use warnings;

sub new { bless {}, shift }
sub add { $_[1] + $_[2] }
sub echo { $_[1] }

1;
