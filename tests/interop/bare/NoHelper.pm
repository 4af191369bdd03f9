package NoHelper;

# Loaded before the node: it will not get what makes its wire exact.

use strict;
use warnings;

$INC{'Remora/ObjectRemote.pm'} = __FILE__;

1;
