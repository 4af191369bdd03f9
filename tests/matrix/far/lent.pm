package lent;  # uses files that were lent to it
use strict;
use warnings;

sub read {
    my ($file) = @_;
    my @lines;
    while (defined(my $line = <$file>)) { push @lines, $line }
    $file->seek(0);
    my $all = $file->read;
    $file->close;
    return [\@lines, $all];
}

# As perl writes it: what is there, then pushed, shifted, popped, cleared.
sub change {
    my ($list, $map) = @_;
    my @seen = (scalar @$list, $$list[0], $list->[-1]);
    push @$list, 'x', 'y';
    push @seen, shift @$list, pop @$list, scalar @$list;
    my @keys = sort keys %$map;
    push @seen, "@keys", exists $map->{none} ? 1 : 0, defined $map->{none} ? 1 : 0;
    my $same = \%$map;  # each looks at one and the same hash
    while (my ($key, $value) = each %$same) { $map->{$key} = $value + 1 }
    push @seen, delete $map->{a};
    %$map = () if @keys > 2;
    return \@seen;
}

sub write {
    my ($file, $what) = @_;
    $file->write($what);
    $file->flush;
    my $at = $file->tell;
    $file->close;
    return $at;
}

1;
