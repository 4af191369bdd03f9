#!/usr/bin/perl
# Object::Remote: perl on both sides, the code shipped over stdin. Workloads and output as in ../harness.py.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP ();
use List::Util qw(sum);
use Object::Remote;
use Object::Remote::Future;
use POSIX ();
use PeerAdd;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC sleep);

$| = 1;
my ($workload, $seconds) = @ARGV;
$seconds //= 2;
my $in_flight = 1000;
my $blob_size = 64 << 20;
my @keep;    # dropping a connection while the loop watches others dies with "Future is already done"

sub now { clock_gettime(CLOCK_MONOTONIC) }
sub emit { print JSON::PP->new->canonical->encode({@_}), "\n" }
sub pause { emit(pause => $_[0]); scalar <STDIN> }

sub percentile {
  my ($values, $share) = @_;
  my @s = sort { $a <=> $b } @$values;
  my $i = int(@s * $share);
  return 0 + sprintf '%.4f', $s[$i > $#s ? $#s : $i];
}

sub connect_to {
  my $conn = Object::Remote->connect($_[0] // '-');
  my $peer = PeerAdd->new::on($conn);
  push @keep, $conn, $peer;
  return $peer;
}

sub blob {
  open my $f, '<:raw', '/dev/urandom' or die $!;
  my $b = '';
  while (length $b < $blob_size) { read $f, $b, $blob_size - length $b, length $b }
  return $b;
}

sub calls {
  my ($think) = @_;
  my $peer = connect_to();
  my $warm = now();
  for (1 .. 2000) { $peer->add(2, 3); last if now() - $warm > ($seconds < 2 ? $seconds / 2 : 1) }
  my @times;
  my $start = my $last = now();
  while ($last - $start < $seconds || @times < 20) {
    if ($think) { sleep $think; $last = now() }
    $peer->add(2, 3) == 5 or die 'wrong result';
    my $t = now();
    push @times, ($t - $last) * 1e6;
    $last = $t;
  }
  emit(p50_us => percentile(\@times, 0.5), p99_us => percentile(\@times, 0.99), calls_s => @times * 1e6 / sum(@times), n => scalar @times);
}

sub spawns {
  my ($where) = @_;
  my @times;
  my $start = now();
  while (@times < 3 || (now() - $start < $seconds && @times < 40)) {
    my $t = now();
    connect_to($where)->add(2, 3) == 5 or die 'wrong result';
    push @times, (now() - $t) * 1e3;
  }
  emit(ms => percentile(\@times, 0.5), n => scalar @times);
}

my %work = (
  'call'      => sub { calls(0) },
  'call-1ms'  => sub { calls(0.001) },
  'call-50ms' => sub { calls(0.050) },

  'outstanding' => sub {
    my $peer = connect_to();
    my ($n, $start);
    my $burst = sub {
      my @results = await_all(map { $peer->start::add($_, 3) } 0 .. $in_flight - 1);
      $results[$_] == $_ + 3 or die 'wrong result' for 0 .. $in_flight - 1;
      $n += $in_flight;
    };
    $burst->();
    ($n, $start) = (0, now());
    $burst->() while now() - $start < $seconds;
    emit(calls_s => $n / (now() - $start), n => $n, in_flight => $in_flight);
  },

  'bytes' => sub {
    my ($peer, $data) = (connect_to(), blob());
    $peer->add(2, 3);
    pause('before');
    my $t = now();
    my $result = $peer->echo($data);
    my $s = now() - $t;
    pause('after');
    $result eq $data or die 'the bytes came back changed';
    emit(s => $s, mb_s => 2 * $blob_size / 1e6 / $s, n => 1);
  },

  'records' => sub {
    my $peer = connect_to();
    my $data = [map { { id => $_, name => "item $_", tags => ['a', 'b', 'c'], score => 1.5 } } 0 .. 99999];
    my $t = now();
    my $result = $peer->echo($data);
    my $s = now() - $t;
    @$result == 100000 && $result->[$_]{name} eq "item $_" && "@{$result->[$_]{tags}}" eq 'a b c' or die 'the records came back changed' for 0 .. 99999;
    emit(s => $s, n => 1);
  },

  'spawn'     => sub { spawns('-') },
  'spawn-ssh' => sub { spawns($ENV{BENCH_SSH_HOST} // 'localhost') },

  'fifty' => sub {
    my $t = now();
    my @conns = await_all(map { Object::Remote->start::connect('-') } 1 .. 50);
    my @peers = map { PeerAdd->new::on($_) } @conns;
    sum(await_all(map { $_->start::add(2, 3) } @peers)) == 250 or die 'wrong result';
    emit(ms => (now() - $t) * 1e3, n => 50);
    push @keep, @conns, @peers;
  },

  'hold' => sub { connect_to()->add(2, 3); pause('hold') },
);

if (my $do = $work{$workload // ''}) {
  eval { $do->(); 1 } or emit(error => substr "$@", 0, 300);
}
else { emit(unsupported => $workload) }
emit(end => JSON::PP::true());
POSIX::_exit(0);
