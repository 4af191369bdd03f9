# Remora as far code sees it: futures, options, errors, and how values cross. The node gives this for `use Remora` always.
package Remora;
use strict;

our $VERSION = $Remora::Node::VERSION;
our @EXPORT_OK = qw(connect new_on can_on start options await_future await_all getattr setattr items bytes text by_ref copy keywords true false);

sub import {
    my ($class, @names) = @_;
    my $to = caller;
    no strict 'refs';
    for my $name (@names) {
        die "Remora does not export $name\n" if !grep { $_ eq $name } @EXPORT_OK;
        *{"${to}::$name"} = \&$name;
    }
}

# start($proxy)->method(...), start($function)->(...): a future at once.
sub start { options($_[0], start => 1) }

# options($proxy, timeout => 2, oneway => 1, by_ref => 1)->method(...)
sub options {
    my ($proxy, %options) = @_;
    Remora::Node::is_proxy($proxy) or die "no object of another process\n";
    return bless sub { [$proxy, \%options] }, 'Remora::View';
}

sub await_future { my ($future, $timeout) = @_; $future->result($timeout) }

# The results of all, in order; the first error otherwise.
sub await_all {
    my ($timeout) = @_ && !ref $_[-1] ? pop @_ : ();
    my $end = defined $timeout ? Remora::Node::clock() + $timeout : undef;
    return map {
        my $left = defined $end ? $end - Remora::Node::clock() : undef;
        $_->result(defined $left && $left < 0 ? 0 : $left);
    } map { ref $_ eq 'ARRAY' ? @$_ : $_ } @_;
}

# A connection onwards, to another process there or on another host. The near side makes it, behind the hops of this one, if its option `onward` lets it.
sub connect {
    my ($spec, %options) = @_;
    for my $name (qw(timeout heartbeat dead_after)) { $options{$name} = int($options{$name} * 1000) if defined $options{$name} }
    return Remora::Node::call_out(0, 'connect', [defined $spec ? $spec : '-', \%options]);
}

sub new_on { my ($connection, @rest) = @_; Remora::Node::call_out($connection, 'new', \@rest) }
sub can_on { my ($connection, $name) = @_; Remora::Node::call_out($connection, 'can', [$name]) }

sub getattr { Remora::Node::attribute(':get', @_) }
sub setattr { Remora::Node::attribute(':set', @_) }
sub items { Remora::Node::items(@_) }  # all items of a proxy that can be iterated
sub true { $Remora::Node::true }
sub false { $Remora::Node::false }

# What a string is on its way out.
sub bytes { my $octets = "$_[0]"; utf8::encode($octets) if utf8::is_utf8($octets) && !utf8::downgrade($octets, 1); bless \$octets, 'Remora::Bytes' }
sub text { my $text = "$_[0]"; utf8::upgrade($text); $text }

# An array or a hash, as argument or result, that is lent instead of copied.
sub by_ref { my ($it) = @_; Remora::Node::is_proxy($it) || ref $it eq 'Remora::Reference' ? $it : bless \$it, 'Remora::Reference' }

# What is in a list, map or other container of the other side, by value.
sub copy { Remora::Node::call_out($_[0], ':copy', []) }

# As last argument of a call: the keyword arguments.
sub keywords { my %all = @_; bless \%all, 'Remora::Keywords' }

{
    package Remora::View;
    our $AUTOLOAD;
    use overload '&{}' => sub { my $view = $_[0]; sub { Remora::View::run($view, '', @_) } }, fallback => 1;

    sub run {
        my ($view, $name, @args) = @_;
        my $class = ref $view;
        bless $view, 'Remora::View::Plain';  # its own operator `&{}` off for a moment
        my ($proxy, $options) = @{$view->()};
        bless $view, $class;
        return Remora::Node::call_out($proxy, $name, \@args, @$options{qw(timeout by_ref)}) if !$options->{start} && !$options->{oneway};
        my $future = Remora::Node::in_node(\&Remora::Node::start_call, $$proxy, $name, \@args, @$options{qw(timeout oneway by_ref)});
        return $options->{start} ? $future : undef;
    }

    sub AUTOLOAD {
        my ($view, @args) = @_;
        (my $name = $AUTOLOAD) =~ s/.*:://;
        return run($view, $name, @args);
    }
    sub DESTROY { }
}

1;
