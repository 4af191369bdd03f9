# Log records for the near side: use Remora::Log; log_info { "$n rows" }; or Remora::Log->info("text"). The block runs only when somebody wants it, with
# the arguments behind it. What selections go by is the package.
#
# They are kept until the node has nothing else to write: at most `budget` bytes a second. What does not fit is counted.
package Remora::Log;
use strict;

our @LEVELS = qw(trace debug verbose info warn error fatal);
my $told = ref $Remora::Node::told->{log} eq 'HASH' ? $Remora::Node::told->{log} : undef;
my $FULL = 16384;
my (@rows, %known);
my ($size, $dropped) = (0, 0);
my ($allowance, $counted, $looked) = ($FULL, Remora::Node::clock(), Remora::Node::clock());
my @words = $told ? map { my $on = !s/\A-//; [$_ eq '*' ? '' : $_, $on] } split ' ', $told->{selections} : ();
my %number = map { $LEVELS[$_] => $_ + 1 } 0 .. $#LEVELS;

sub import {
    my ($class, @names) = @_;
    my $to = caller;
    no strict 'refs';
    for my $name (@names ? @names : map { "log_$_" } @LEVELS) {
        die "Remora::Log does not export $name\n" if !defined &$name || $name !~ /\Alog_/;
        *{"${to}::$name"} = \&$name;
    }
}

sub selects {
    my ($name) = @_;
    return $known{$name} if exists $known{$name};
    my ($longest, $found) = (-1, 0);
    for (@words) {
        my ($word, $on) = @$_;
        next if length $word < $longest || substr($name, 0, length $word) ne $word;
        next if length $word && length $name > length $word && substr($name, length $word, 1) !~ m{[.:/]};
        ($longest, $found) = (length $word, $on);
    }
    %known = () if keys %known > 1000;
    return $known{$name} = $found;
}

# Whether anybody would get such a record.
sub wants {
    my ($class, $level, $name) = @_;
    my $number = $number{$level} or die "$level is no level of log records\n";
    return wanted($number, defined $name ? $name : scalar caller) ? 1 : 0;
}

sub wanted { $told && $_[0] >= $told->{level} && selects($_[1]) }

sub emit {
    my ($level, $make, @arguments) = @_;
    my ($package, $file, $line) = caller 1;
    return if !wanted($level, $package);
    return if $size > $FULL && ++$dropped % 32;
    my $now = Remora::Node::clock();
    if ($size <= $FULL) {
        my $function = (caller 2)[3];
        my $message = ref $make eq 'CODE' ? $make->(@arguments) : $make;
        $message = '' if !defined $message;
        my $row = eval {
            join ',', $level, sprintf('%.6f', Time::HiRes::time()), (map { defined && !/\(eval\)/ ? text($_) : 'null' } $package,
                substr($message, 0, 8000), $function), text($file), $line;
        };
        if (defined $row && length $row < 60000) {
            push @rows, "[$row]";
            $size += length($row) + 3;
        }
        else { $dropped++ }
    }
    return if $now - $looked < 0.1;  # what gets no answer for long is told all the same
    $looked = $now;
    Remora::Node::in_node(\&Remora::Node::flush);
    Remora::Node::in_node(\&send);
    return;
}

# JSON text of what is text: bytes that are no UTF-8 are read as Latin-1.
sub text {
    my $text = "$_[0]";
    utf8::decode($text) if !utf8::is_utf8($text);
    $text =~ s/[\x{d800}-\x{dfff}]/?/g;
    $text =~ s/(["\\\x00-\x1f])/sprintf '\\u%04x', ord $1/ge;
    utf8::encode($text);
    return $text = "\"$text\"";
}

# By the node, when nothing else waits to be written: whether something is left.
sub send {
    return 0 if !@rows && !$dropped;
    my $ready = '';
    vec($ready, fileno $Remora::Node::W, 1) = 1;
    return 1 if select(undef, $ready, undef, 0) < 1;
    my $now = Remora::Node::clock();
    $allowance += ($now - $counted) * $told->{budget};
    $allowance = $FULL if $allowance > $FULL;
    $counted = $now;
    return 1 if $allowance <= 0;
    my $text = @rows ? '[' . join(',', @rows) . ']' : '';
    $allowance -= 1000 + length $text;  # so that single ones wait for more
    my $frame = pack(Remora::Node::HEAD(), length $text, 13, 0, 0, 0, 0, $dropped, 0) . $text;
    @rows = ();
    $size = $dropped = 0;
    Remora::Node::write_all($frame);
    return 0;
}

for my $level (@LEVELS) {
    my $number = $number{$level};
    no strict 'refs';
    *{"log_$level"} = sub (&@) { emit($number, @_) };
    *$level = sub { my ($class, $message) = @_; emit($number, $message) };
}
$Remora::Node::send_logs = \&send if $told;

1;
