# Lines that somebody types elsewhere are evaluated here: what `repl` of the root gives.
package Remora::Repl;

# It sees no variable of this file, so it stands before all of them; what a line declares with `my`, a new one of these captures (see `eval`).
our $scope = do { package main; no strict; no warnings; sub { eval $_[0] } };

use strict;
use warnings;

our $mark = \'what stands behind can be compiled';
our $now;      # the call that the node runs
our $evaluating;  # the one that evaluates
my %declared;  # with `my`
my $open = qr/at EOF$|Missing right|anywhere before EOF|not terminated/m;

sub new {
    my ($class) = @_;
    watch_calls();
    return bless {}, $class;
}

# The node's functions that run a call and hear of the wire while it runs: CANCEL of the call that evaluates interrupts it.
my $watching;
sub watch_calls {
    return if $watching++;
    no warnings 'redefine';
    my ($run, $attend) = (\&Remora::Node::run, \&Remora::Node::attend);
    *Remora::Node::run = sub { local $now = $_[0][0]; $run->(@_) };
    *Remora::Node::attend = sub {
        $attend->(@_);
        if (defined $evaluating && cancelled($evaluating)) {
            undef $evaluating;
            die Remora::Cancelled->new(message => 'cancelled');
        }
    };
}

# Whether a CANCEL of that call has been received, which the node looks at when the call has ended.
sub cancelled {
    my ($call) = @_;
    my $at = $Remora::Node::at;
    while ($at + 32 <= length $Remora::Node::buf) {
        my ($size, $kind, undef, undef, $id) = unpack 'VCCvV', substr $Remora::Node::buf, $at, 12;
        return 1 if $kind == Remora::Node::CANCEL() && $id == $call;
        $at += 32 + $size;
    }
    return 0;
}

sub eval {
    my ($self, $text) = @_;
    my %names = (%declared, map { $_ => 1 } map { /[\$\@%]\w+/g } $text =~ /\bmy\b\s*(?:[\w:]+\s+)?([\$\@%]\w+|\([^()]*\))/g);
    my $tail = keys %names > keys %declared
        ? '; $Remora::Repl::scope = sub { 0 && (' . join(', ', sort keys %names) . '); eval $_[0] }; ()' : '';
    my $error = do {
        local $@;
        $scope->("die \$Remora::Repl::mark;\n#line 1 \"<input>\"\n$text\n");
        $@;
    };
    if (!ref $error || $error != $mark) {
        die $error if $error !~ $open;
        return {more => $Remora::Node::true, value => undef};
    }
    my @values = do {
        local $evaluating = $now;
        my @got = $scope->("#line 1 \"<input>\"\n$text\n$tail");
        if (my $failed = $@) { undef $evaluating; die $failed }
        @got;
    };
    %declared = %names if $tail;
    return {more => $Remora::Node::false, value => @values && (@values > 1 || defined $values[0]) ? shown(@values) : undef};
}

sub shown {
    require Data::Dumper;
    my @texts = map { Data::Dumper->new([$_])->Terse(1)->Indent(1)->Useqq(1)->Sortkeys(1)->Dump } @_;
    chomp @texts;
    return join ', ', @texts;
}

# What the last word of the text may become.
sub complete {
    my ($self, $text) = @_;
    no strict 'refs';
    my @found;
    if ($text =~ /(\$?[\w:]+)->(\w*)\z/) {
        my ($what, $start) = ($1, $2);
        my $it = $what =~ /\A\$/ ? do { local $@; scalar $scope->($what) } : $what;
        my $class = Scalar::Util::blessed($it) || (ref $it ? undef : $it);
        return [] if !defined $class;
        require mro;
        for my $package (@{mro::get_linear_isa($class)}, 'UNIVERSAL') {
            push @found, map { "$what->$_" } grep { /\A\Q$start\E\w*\z/ && defined &{"${package}::$_"} } keys %{"${package}::"};
        }
    }
    else {
        my ($sigil, $package, $start) = $text =~ /([\$\@%&]?)((?:\w+::)*)(\w*)\z/;
        my $stash = \%{$package eq '' ? 'main::' : $package};
        for my $name (grep { /\A\Q$start\E\w*(?:::)?\z/ && !/\A(?:_<|__ANON__|BEGIN)/ } keys %$stash) {
            my $full = ($package eq '' ? 'main::' : $package) . $name;
            my $there = $name =~ /::\z/ ? $sigil eq '' || $sigil eq '&' || $package eq ''
                : $sigil eq '$' ? defined ${$full} || %{$full} || @{$full} : $sigil eq '@' ? @{$full} : $sigil eq '%' ? %{$full} : defined &{$full};
            push @found, "$sigil$package$name" if $there;
        }
        push @found, grep { index($_, "$sigil$start") == 0 } keys %declared if $package eq '' && $sigil ne '';
    }
    my %once;
    return [grep { !$once{$_}++ } sort @found];
}

1;
