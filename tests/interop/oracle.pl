#!/usr/bin/perl
# oracle.pl LIB: what Object::Remote's own near side gets from the same calls, one line of JSON each.
use strict;
use warnings;
use lib $ARGV[0];
use Object::Remote;
use JSON::PP;

my $json = JSON::PP->new->canonical->allow_nonref->ascii;
my $far = Object::Remote->new(connection => Object::Remote->connect('-'), class => 'Interop', args => [name => 'far']);
sub show { my ($name, @values) = @_; print "$name ", $json->encode(\@values), "\n" }
show name => $far->name;
show increment => $far->increment(5);
show several => $far->several;
show nothing => $far->nothing;
show numbers => $far->numbers;
show given => $far->given(1, 'b', [2, {c => undef}]);
show ordinals => $far->ordinals("caf\xe9");
show lengths => $far->lengths("caf\xe9", 'x' x 5000);
show context => $far->context;
show scalar => scalar $far->context;
show call => $far->call(sub { $_[0] * 2 }, 21);
show twice => $far->call_twice(sub { $_[0] + 0.5 });
show adder => $far->make_adder(3)->(4);
show code => $far->kind_of(sub { 1 });
show fail => eval { $far->fail; 1 } ? 'none' : $@;
show caught => $far->call_caught(sub { die "from here\n" });
my $later = $far->start::later;
$far->resolve('ready', 'twice');
show later => $later->get;
show hash => sort keys %{$far->tied_hash};
show array => @{$far->tied_array};
