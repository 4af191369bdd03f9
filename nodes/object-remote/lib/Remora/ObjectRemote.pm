package Remora::ObjectRemote;

# What a Perl of Object::Remote is sent over Object::Remote's own way of sending modules: it makes the wire exact. Nothing of it is needed for calls to work.

use strict;
use warnings;
use Scalar::Util qw(blessed refaddr reftype);

my %sent;  # id of an object here => how often it was sent

# Called once, with an object of the near side, which leads to the connection.
sub begin {
  my ($class, $near) = @_;
  my $connection = $near->{remote}->connection;
  no strict 'refs';
  no warnings 'redefine';
  my $package = 'Object::Remote::Connection';
  my ($lend, $borrow, $free) = map { \&{"${package}::$_"} } qw(_local_object_to_id _id_to_remote_object receive_free);
  # A line says nothing of its coding: written in ASCII it needs none.
  $connection->_json->ascii(1);
  # What is sent again while it is being freed stays: the other side tells how often it got it.
  *{"${package}::_local_object_to_id"} = sub {
    my ($self, $object) = @_;
    if ($self == $connection) {
      delete $sent{refaddr $object} unless $self->local_objects_by_id->{refaddr $object};  # another had this number
      $sent{refaddr $object}++;
    }
    return $lend->(@_);
  };
  *{"${package}::receive_free"} = sub {
    my ($self, $id, $count) = @_;
    return $free->(@_) if $self != $connection;
    return if defined $count && ($sent{$id} -= $count) > 0;
    delete $sent{$id};
    $free->($self, $id);
  };
  # What the near side lends is given back when the last proxy of it goes.
  *{"${package}::_id_to_remote_object"} = sub {
    my ($self, $id) = @_;
    my $known = $self->remote_objects_by_id->{$id};
    my $proxy = $borrow->(@_);
    $proxy->{remote}->_set_disarmed_free(0) if !$known && $self == $connection && ref $proxy eq 'Object::Remote::Proxy';
    return $proxy;
  };
  require Sys::Hostname;
  return [$$, sprintf('%vd', $^V), Sys::Hostname::hostname(), scalar getpwuid($>) // $>];
}

sub text { my ($class, $it) = @_; return "$it" }

# What was thrown: the class and its bases, its words, what of it is simple.
sub about {
  my ($class, $it) = @_;
  my %fields;
  if (reftype $it eq 'HASH') {
    for my $name (grep { /\A\w+\z/ } keys %$it) { $fields{$name} = $it->{$name} if defined $it->{$name} && !ref $it->{$name} }
  }
  require overload;
  my $text = overload::Method($it, '""') ? "$it" : eval { $it->can('message') && $it->message } // $fields{message};
  require mro;
  return [mro::get_linear_isa(blessed $it), defined $text && !ref $text ? $text : 'an object of the class ' . blessed($it), \%fields];
}

1;
