# Served to the Perl node as the module App::Thing.
package App::Thing;
use strict;
use warnings;
use Remora qw(start await_all);

sub new { bless {x => 1, hidden => 2}, shift }
sub x { my $self = shift; $self->{x} = shift if @_; $self->{x} }
sub boom { my $self = shift; $self->deeper }
sub deeper { die "broken" }
sub caused { die App::Error->new(text => 'outer', code => 7, cause => App::Error->new(text => 'inner')) }
sub back { my ($self, $f, $n) = @_; $f->($n) }
sub caught {
    my ($self, $f) = @_;
    eval { $f->(); 1 } and return 'nothing';
    my $e = $@;
    return [ref $e, $e->isa('Remora::RemoteError') ? 1 : 0, "$e", $e->type];
}
sub started { my ($self, $adder) = @_; [await_all([map { start($adder)->add($_, 1) } 0 .. 4], 30)] }
sub await_late {
    my ($self, $f) = @_;
    return eval { Remora::options($f, timeout => 0.05)->(); 1 } ? 'in time' : ref $@;
}
sub items { my ($self, $it) = @_; my @all; while (defined(my $x = <$it>)) { push @all, $x } \@all }
sub all { my ($self, $it) = @_; [@$it] }
sub second { my ($self, $it) = @_; [$it->[1], scalar @$it] }
sub key { my ($self, $it, $key) = @_; [$it->{$key}, exists $it->{$key} ? 1 : 0, exists $it->{nothing} ? 1 : 0] }
sub identity { my ($self, $p) = @_; $p == $p && $p && "$p" =~ /proxy/ && !$p->can('anything') ? 1 : 0 }
sub other { my $self = shift; $self->{kept} = App::Thing->new }
sub is_other { my ($self, $it) = @_; $it == $self->{kept} ? 1 : 0 }
sub same { $_[1] }
sub prints { print "one "; print "two\n"; system 'echo three'; print 'four'; return }
sub printed { my ($self, $n) = @_; print 'x' x $n; return }
sub child { my ($self, @command) = @_; my $status = system @command; $status >> 8 }
sub reads {
    my ($self, @command) = @_;
    open PIPE, '-|', @command or die;
    my $text = '';
    while (my $n = sysread PIPE, $text, 2, length $text) { }
    close PIPE;
    return "$text $?";
}
sub sorts {
    my ($self, $fifo) = @_;
    my @list = map { rand } 1 .. 200000;
    print "sorting\n";
    system '(i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); done) &';
    open my $begun, '>', $fifo or die;
    close $begun;
    @list = sort @list;  # numbers as strings: one operation that takes seconds
    return scalar @list;
}
sub accepts {
    my ($self) = @_;
    require IO::Socket::INET;
    my $server = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "$!\n";
    my $port = $server->sockport;
    system "echo $port";
    my $client = $server->accept or die "accept: $!\n";
    return scalar <$client>;
}
sub receives {
    my ($self, $port) = @_;
    require IO::Socket::INET;
    system 'echo out';
    my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) or die "connect: $!\n";
    system 'echo there';
    defined $server->recv(my $text, 100) or die "recv: $!\n";
    return $text;
}
sub locks {
    my ($self, $path) = @_;
    open my $file, '>', $path or die;
    system 'echo out';
    flock $file, 2 or die "flock: $!\n";
    return 'locked';
}
sub compute { 1 while 1 }
sub nap { my ($self, $n) = @_; sleep $n }
sub nap_beside { my ($self, $n) = @_; system '(sleep 0.3; echo early) & '; my $t = time; sleep $n; time - $t >= $n - 1 ? 1 : 0 }
sub leave { exit $_[1] }
sub forked {
    my $child = fork;
    if (!$child) { print "in the child\n"; exit 7 }
    waitpid $child, 0;
    return $? >> 8;
}
sub many { return map { $_ * 2 } 1 .. $_[1] }
sub none { return }
sub joined { my ($self, $bytes, $more) = @_; $bytes . $more }
sub upper { uc $_[1] }
sub raw { "\xff\x00\x01" }
sub numbers { my $n = 5; my $t = "$n"; my $u = "7"; my $sum = $u + 1; [$n, $t, $u, $sum, 10 / 4, 4 / 2, 1e3, 2**53, int(7 / 2) + 0] }
sub truth { [1 == 1, 1 == 2, !!1, Remora::true(), Remora::false()] }
sub inside { my $self = shift; my @list = (1, 2, 3); Remora::by_ref(\@list) }
sub itself { my $list = []; push @$list, $list; $list }
sub hash { Remora::by_ref({a => 1}) }
sub keyed { my ($self, %how) = @_; join ',', map { "$_=$how{$_}" } sort keys %how }
sub call_keyed { my ($self, $f) = @_; $f->(1, Remora::keywords(b => 2)) }
sub counter { my ($self, $n) = @_; my $i = 0; bless {step => sub { $i < $n ? $i++ : $i++ == $n ? die "behind the items\n" : undef }}, 'App::Counter' }
sub twice { my %map = %{$_[1]}; \%map }
sub dies_in_sort { my @x = sort { die "in sort\n" } 2, 1; return }
sub signals { my $n = 0; local $SIG{ALRM} = sub { $n++ }; alarm 1; sleep 5; $n }
sub read_stdin { my $line = <STDIN>; $line }
sub group { my $pid = fork; if (!$pid) { exec 'sleep', '1000' } $pid }
sub lines { open my $fh, '<', '/proc/self/status' or die; $fh }

package App::Counter;
sub next { $_[0]{step}->() }

package App::Error;
use overload '""' => sub { $_[0]{text} }, fallback => 1;
our @ISA = 'App::Base';
sub new { my ($class, %is) = @_; bless {%is}, $class }

package App::Base;
sub base { 1 }

1;
