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

sub write {
    my ($file, $what) = @_;
    $file->write($what);
    $file->flush;
    my $at = $file->tell;
    $file->close;
    return $at;
}

1;
