# Files and commands for the near side: `run`, `open` and `stat` of the root (protocol.md, sections 5.2 to 5.4). The node loads this
# when one of them is first called. All of it is node code: signals of the node only leave a note meanwhile.
package Remora::Files;
use strict;
no warnings;
use Fcntl ();

our %running;  # pid of a command's group
our %mode = (
    r => Fcntl::O_RDONLY, 'r+' => Fcntl::O_RDWR, w => Fcntl::O_WRONLY | Fcntl::O_CREAT | Fcntl::O_TRUNC,
    a => Fcntl::O_WRONLY | Fcntl::O_CREAT | Fcntl::O_APPEND, x => Fcntl::O_WRONLY | Fcntl::O_CREAT | Fcntl::O_EXCL);

sub perform {
    my ($method, $args, $item) = @_;
    return run($item, @$args) if $method eq 'run';
    return stat_of(path($args->[0])) if $method eq 'stat';
    my $file = Remora::Files::File->open(@$args);
    return bless \$file, 'Remora::Reference';
}

# Perl has no exceptions of its own for what the system says: this is one with the attribute `errno`.
sub fail {
    my ($path, $errno) = (@_, $! + 0);
    local $! = $errno;
    my $text = "$path: $!";
    utf8::decode($text) if !utf8::is_utf8($text);
    die Remora::Error->new(message => $text, at => '', info => {type => ['OSError'], message => $text, language => 'perl', hops => [],
        attributes => {errno => $errno, filename => $path}});
}

sub is_bytes { ref $_[0] eq 'Remora::Bytes' }

# What the system takes: octets.
sub octets {
    my ($it) = @_;
    return $$it if is_bytes($it);
    my $text = $it;
    utf8::encode($text) if utf8::is_utf8($text);
    return $text;
}

sub is_text { defined $_[0] && (!ref $_[0] && !Remora::Node::made_as($_[0]) || is_bytes($_[0])) }

sub path {
    my ($it) = @_;
    is_text($it) or Remora::Value->throw('a path is text or bytes');
    my $path = octets($it);
    $path !~ /\0/ or Remora::Value->throw('a path with a NUL');
    return $path;
}

sub options {
    my ($given) = @_;
    !defined $given || ref $given eq 'HASH' or Remora::Value->throw('the options are a map');
    return $given || {};
}

sub true { my ($it) = @_; ref $it ? $$it : $it }

sub describe {
    my @stat = @_;
    my $format = $stat[2] & 0170000;
    return {size => $stat[7], mode => $stat[2] & 07777, mtime => float($stat[9]), atime => float($stat[8]),
        kind => {0100000, 'file', 0040000, 'directory', 0120000, 'link'}->{$format} || 'other'};
}

sub float { unpack 'd', pack 'd', $_[0] }

sub stat_now { defined &Time::HiRes::stat ? Time::HiRes::stat($_[0]) : CORE::stat($_[0]) }

# Nothing if there is nothing of that name; a link that leads nowhere is one.
sub stat_of {
    my ($path) = @_;
    my @stat = stat_now($path);
    @stat = CORE::lstat($path) if !@stat && ($! == 2 || $! == 20);
    return describe(@stat) if @stat;
    return undef if $! == 2 || $! == 20;
    fail($path);
}

# ---- commands ---------------------------------------------------------------------------------------------------------

sub words {
    my ($argv) = @_;
    ref $argv eq 'ARRAY' && @$argv && !grep { !is_text($_) } @$argv
        or Remora::Value->throw('a command is a list of text, at least the name of a program');
    my @argv = map { octets($_) } @$argv;
    /\0/ and Remora::Value->throw('an argument with a NUL') for @argv;
    return @argv;
}

sub environment {
    my ($env) = @_;
    $env = {} if !defined $env;
    ref $env eq 'HASH' or Remora::Value->throw('env is a map');
    my %env;
    for my $name (keys %$env) {
        my ($key, $value) = (octets($name), $env->{$name});
        $key ne '' && $key !~ /[=\0]/ or Remora::Value->throw("env: no name of a variable: $name");
        !defined $value || is_text($value) or Remora::Value->throw("env: $name is text, or null");
        $env{$key} = defined $value ? octets($value) : undef;
        $env{$key} !~ /\0/ or Remora::Value->throw("env: $name has a NUL");
    }
    return \%env;
}

sub run {
    my ($item, $argv, $options) = @_;
    require POSIX;
    $options = options($options);
    my @argv = words($argv);
    my $env = environment($options->{env});
    my $timeout = $options->{timeout};
    my $end = defined $timeout ? Remora::Node::clock() + $timeout / 1000 : undef;
    $end = $Remora::Node::due if $Remora::Node::due && (!defined $end || $Remora::Node::due < $end);
    my $late = "the command $argv[0] has not ended within " . (defined $timeout ? "$timeout ms" : 'the time of its call');
    my %self = (call => $item->[0], chain => $item->[3], name => $argv[0], output => $options->{output}, end => $end, late => $late,
        size => 0, kept => ['', '', ''], writing => '');
    !defined $self{output} || Remora::Node::is_proxy($self{output}) or Remora::Value->throw('the output is a function of the near side');
    my $input = $options->{input};
    if (Remora::Node::is_proxy($input)) { $self{source} = $input }
    elsif (defined $input) {
        is_text($input) or Remora::Value->throw('the input is bytes, or an object with read');
        $self{writing} = octets($input);
    }
    # Who has a handler for children, or ignores them, must not get ours.
    my $theirs = $SIG{CHLD};
    my ($result, $error);
    {
        local ($?, $SIG{CHLD}) = (0, 'DEFAULT');
        eval { start(\%self, \@argv, $env, $options->{cwd}, defined $input); $result = converse(\%self); 1 } or $error = $@ || 'died';
        finish(\%self, $error) if $self{pid};
        1 while defined $theirs && $theirs eq 'IGNORE' && waitpid(-1, 1) > 0;
    }
    kill CHLD => $$ if ref $theirs;  # what it may have missed
    die $error if $error;
    return $result;
}

sub start {
    my ($self, $argv, $env, $cwd, $fed) = @_;
    my (@ours, @theirs, $in);
    for my $n (1, 2) { pipe $ours[$n], $theirs[$n] or fail('pipe') }
    if ($fed) { pipe $theirs[0], $in or fail('pipe') }
    else { open $theirs[0], '<', '/dev/null' or fail('/dev/null') }
    pipe my $told, my $tell or fail('pipe');
    binmode $_ for grep { defined } @ours, @theirs, $in;
    $cwd = path($cwd) if defined $cwd;
    my $pid = CORE::fork();
    defined $pid or fail('fork');
    if (!$pid) {
        eval {
            setpgrp 0, 0;
            for (keys %SIG) { $SIG{$_} = 'DEFAULT' if defined $SIG{$_} && $SIG{$_} eq 'IGNORE' }
            my $failed = defined $cwd && !chdir $cwd ? 'c' : undef;
            if (!$failed) {
                defined $env->{$_} ? $ENV{$_} = $env->{$_} : delete $ENV{$_} for keys %$env;
                my @lifted = map { POSIX::dup(fileno $_) } @theirs;
                fcntl $tell, 2, 1;  # F_SETFD, close on exec
                POSIX::dup2($lifted[$_], $_) for 0 .. 2;
                POSIX::close($_) for @lifted;
                exec {$argv->[0]} @$argv;
                $failed = 'x';
            }
            syswrite $tell, $failed . ($! + 0);
        };
        POSIX::_exit(127);
    }
    close $_ for $tell, @theirs;
    my ($n, $why);
    1 while !defined($n = sysread $told, $why, 20) && $! == 4;
    if ($n) {
        1 while waitpid($pid, 0) < 0 && $! == 4;
        my ($what, $errno) = $why =~ /\A(.)(\d+)/;
        fail($cwd, $errno + 0) if $what eq 'c';
        my $name = $argv->[0];
        utf8::decode($name);
        Remora::NotFound->throw("no program $name") if $errno == 2 || $errno == 20;
        fail($argv->[0], $errno + 0);
    }
    $running{$pid} = 1;
    $self->{pid} = $pid;
    for my $stream (grep { defined } @ours[1, 2], $in) {
        fcntl $stream, 4, fcntl($stream, 3, 0) | Fcntl::O_NONBLOCK;
        fcntl $stream, 1031, 1 << 20;  # F_SETPIPE_SZ of Linux
    }
    $self->{streams} = {1 => $ours[1], 2 => $ours[2]};
    $self->{in} = $in;
}

# Moves everything until the command has ended and its output too.
sub converse {
    my ($self) = @_;
    my ($streams, $pause) = ($self->{streams}, 0.002);
    while (1) {
        Remora::Cancelled->throw('cancelled') if $Remora::Node::cancelled{$self->{call}};
        Remora::Node::result(delete $self->{sent}) if $self->{sent} && $self->{sent}{settled};
        feed($self) if $self->{in};
        if (!%$streams) {
            ended($self) and !$self->{sent} and last;
        }
        my $now = Remora::Node::clock();
        Remora::Timeout->throw($self->{late}) if defined $self->{end} && $now >= $self->{end};
        my ($read, $write) = ($Remora::Node::bits, '');
        vec($read, fileno $_, 1) = 1 for $self->{sent} ? () : values %$streams;
        vec($write, fileno $self->{in}, 1) = 1 if $self->{in} && $self->{writing} ne '';
        my $left = Remora::Node::beat_in();
        $left = $self->{end} - $now if defined $self->{end} && (!defined $left || $self->{end} - $now < $left);
        if (!%$streams && !defined $self->{status}) {  # nothing but its end can come, and that tells nobody
            $left = $pause if !defined $left || $pause < $left;
            $pause *= 2 if $pause < 0.05;
        }
        Remora::Node::flush();
        my $found = select $read, $write, undef, $left;
        Remora::Node::beat();
        next if $found <= 0;
        serve($self) if vec $read, fileno $Remora::Node::R, 1;
        Remora::Node::end() if $Remora::Node::guardian && vec $read, fileno $Remora::Node::guardian, 1;
        Remora::Node::collect();
        for my $n (1, 2) { take($self, $n) if $streams->{$n} && !$self->{sent} && vec $read, fileno $streams->{$n}, 1 }
        pour($self) if $self->{in} && vec $write, fileno $self->{in}, 1;
    }
    my ($status, $output) = @$self{qw(status output)};
    my @kept = map { my $data = $self->{kept}[$_]; defined $output ? undef : bless \$data, 'Remora::Bytes' } 1, 2;
    return {pid => $self->{pid}, status => $status & 127 ? undef : $status >> 8, signal => $status & 127 || undef,
        stdout => $kept[0], stderr => $kept[1]};
}

# What came over the wire: calls of our chain run at once, others wait.
sub serve {
    my ($self) = @_;
    Remora::Node::read_wire();
    while (my $item = Remora::Node::parse()) { push @Remora::Node::queue, $item }
    while (1) {
        my ($at) = grep { $Remora::Node::queue[$_][3] == $self->{chain} } 0 .. $#Remora::Node::queue;
        defined $at or last;
        my ($item) = splice @Remora::Node::queue, $at, 1;
        local ($Remora::Node::chain, $Remora::Node::due) = @$item[3, 4];
        Remora::Node::run($item);
    }
}

sub ended {
    my ($self) = @_;
    return 1 if defined $self->{status};
    my $got = waitpid $self->{pid}, 1;  # WNOHANG
    return 0 if $got == 0 || $got < 0 && $! == 4;
    $got > 0 or Remora::Error->throw("the status of the command $self->{name} was taken by other code");
    $self->{status} = $?;
    return 1;
}

# What fits into a message of the connection.
sub piece {
    my ($most) = @_;
    return $most < $Remora::Node::most - 4096 ? $most : $Remora::Node::most - 4096;
}

sub take {
    my ($self, $n) = @_;
    my $got = sysread $self->{streams}{$n}, my $data, piece(262144);
    return if !defined $got && ($! == 4 || $! == 11);
    if (!$got) {
        close delete $self->{streams}{$n};
        return;
    }
    if (defined $self->{output}) {
        $self->{sent} = Remora::Node::start_call(${$self->{output}}, '', [$n, bless \$data, 'Remora::Bytes']);
        return;
    }
    $self->{kept}[$n] .= $data;
    my $most = $Remora::Node::most - 1024;
    Remora::Limit->throw("the command wrote more than $most bytes: take its output with on_output") if ($self->{size} += $got) > $most;
}

# More input, as soon as what was there is written.
sub feed {
    my ($self) = @_;
    return if $self->{writing} ne '';
    if ($self->{source}) {
        my $asked = $self->{asked} ||= Remora::Node::start_call(${$self->{source}}, 'read', [piece(65536)]);
        return if !$asked->{settled};
        delete $self->{asked};
        my $data = Remora::Node::result($asked);
        !defined $data || is_text($data) or Remora::Value->throw('the input gave something else than bytes');
        $self->{writing} = defined $data ? octets($data) : '';
    }
    close delete $self->{in} if $self->{writing} eq '';
}

# A command need not read its input.
sub pour {
    my ($self) = @_;
    my $n = syswrite $self->{in}, $self->{writing}, 262144, $self->{written};
    if (!defined $n) {
        return if $! == 4 || $! == 11;
        close delete $self->{in};
        return;
    }
    $self->{written} += $n;  # cutting it each time would move it each time
    if ($self->{written} == length $self->{writing}) {
        $self->{written} = 0;
        $self->{writing} = '';
        close delete $self->{in} if !$self->{source};
    }
}

# Behind an error: SIGTERM, and SIGKILL for what is there two seconds later. What is still written is dropped.
sub finish {
    my ($self, $error) = @_;
    if ($error) {
        kill TERM => -$self->{pid};
        Remora::Node::cancel_out($_) for grep { $_ && !$_->{settled} } @$self{qw(sent asked)};
        my $end = Remora::Node::clock() + 2;
        my $streams = $self->{streams};
        while (%$streams || !eval { ended($self) }) {
            last if Remora::Node::clock() > $end;
            my $read = '';
            vec($read, fileno $_, 1) = 1 for values %$streams;
            next if select($read, undef, undef, 0.02) <= 0;
            for (1, 2) {
                next if !$streams->{$_} || !vec $read, fileno $streams->{$_}, 1;
                my $got = sysread $streams->{$_}, my $data, 65536;
                close delete $streams->{$_} if defined $got && !$got;
            }
        }
        if (%$streams || !defined $self->{status}) {
            kill KILL => -$self->{pid};
            1 while !defined $self->{status} && waitpid($self->{pid}, 0) < 0 && $! == 4;
        }
    }
    delete $running{$self->{pid}};
}

# The node ends.
sub end_all {
    kill TERM => -$_ for keys %running;
    for (1 .. 50) {
        delete $running{$_} for grep { waitpid($_, 1) } keys %running;
        last if !%running;
        select undef, undef, undef, 0.01;
    }
    kill KILL => -$_ for keys %running;
}

# ---- files ------------------------------------------------------------------------------------------------------------

package Remora::Files::File;

sub open {
    my ($class, $path, $how, $options) = @_;
    $path = Remora::Files::path($path);
    $how = 'r' if !defined $how;
    my $flags = ref $how || Remora::Node::made_as($how) ? undef : $Remora::Files::mode{$how};
    defined $flags or Remora::Value->throw("no mode $how: there are r, w, a, x and r+");
    $options = Remora::Files::options($options);
    my $self = bless {path => $path, mode => $options->{mode}, times => $options->{times},
        sync => Remora::Files::true($options->{sync}), pid => $$}, $class;
    if (Remora::Files::true($options->{atomic}) && $how eq 'w' && (!-e $path || -f _)) { $self->open_beside($flags) }
    else {
        sysopen $self->{handle}, $path, $flags or do { delete $self->{handle}; Remora::Files::fail($path) };
    }
    binmode $self->{handle};
    my @stat = CORE::stat $self->{handle};
    Remora::Files::fail($path, 21) if -d _;
    $self->{regular} = -f _;
    delete $self->{times} if !$self->{regular};  # a device keeps its own
    chmod $self->{mode}, $self->{handle} or Remora::Files::fail($path)
        if defined $self->{mode} && $self->{regular} && !$self->{temporary} && $how ne 'r';
    return $self;
}

# A new file with the rights of nobody else, in the folder of the one that it will replace.
sub open_beside {
    my ($self, $flags) = @_;
    for (1 .. 40) {
        my $to = readlink $self->{path};
        last if !defined $to;
        my ($folder) = $self->{path} =~ m{\A(.*/)}s;
        $self->{path} = $to =~ m{\A/} ? $to : (defined $folder ? $folder : '') . $to;
    }
    my ($folder, $name) = $self->{path} =~ m{\A(.*/)?([^/]*)\z}s;
    $folder = '' if !defined $folder;
    while (1) {
        my $temporary = sprintf '%s.%s.%08x.part', $folder, substr($name, 0, 200), int rand 0xFFFFFFFF;
        if (sysopen $self->{handle}, $temporary, $flags | Fcntl::O_EXCL, 0600) {
            $self->{temporary} = $temporary;
            return;
        }
        delete $self->{handle};
        Remora::Files::fail($self->{path}) if $! != 17;
    }
}

# At most n bytes, none at the end; all that are left without n.
sub read {
    my ($self, $n) = @_;
    $n = undef if defined $n && $n < 0;
    my ($most, $data, $size) = ($Remora::Node::most - 1024, '', 0);
    while (!defined $n || $size < $n) {
        my $wanted = defined $n && $n - $size <= 8 << 20 ? $n - $size : 1 << 20;
        my $got = sysread $self->{handle}, $data, $wanted, $size;
        if (!defined $got) {
            next if $! == 4;
            Remora::Files::fail($self->{path});
        }
        $got or last;
        $size += $got;
        if ($size > $most) {
            sysseek $self->{handle}, -$size, 1;
            Remora::Limit->throw("$self->{path}: more than the $most bytes that one message can carry");
        }
        last if !$self->{regular} && defined $n;
    }
    return bless \$data, 'Remora::Bytes';
}

sub write {
    my ($self, $data) = @_;
    Remora::Files::is_bytes($data) or Remora::Value->throw('bytes are written, and nothing else');
    my $at = 0;
    while ($at < length $$data) {
        my $n = syswrite $self->{handle}, $$data, length($$data) - $at, $at;
        if (!defined $n) {
            next if $! == 4;
            Remora::Files::fail($self->{path});
        }
        $at += $n;
    }
    return undef;
}

sub seek {
    my ($self, $offset, $whence) = @_;
    my $at = sysseek $self->{handle}, $offset, $whence || 0;
    $at or Remora::Files::fail($self->{path});
    return $at + 0;
}

sub tell { $_[0]->seek(0, 1) }

sub truncate {
    my ($self, $n) = @_;
    $n = $self->tell if !defined $n;
    CORE::truncate($self->{handle}, $n) or Remora::Files::fail($self->{path});
    return undef;
}

sub flush { undef }

sub stat {
    my ($self) = @_;
    my @stat = Remora::Files::stat_now($self->{handle});
    @stat or Remora::Files::fail($self->{path});
    return Remora::Files::describe(@stat);
}

# Permissions and times are set, an atomic file gets its name.
sub close {
    my ($self, $times) = @_;
    return undef if !$self->{handle} || !defined fileno $self->{handle};
    $self->{times} = $times if defined $times && $self->{regular};
    if (!eval { $self->{temporary} ? $self->replace : $self->finish; 1 }) {
        my $error = $@;
        $self->discard;
        die $error;
    }
    return undef;
}

sub finish {
    my ($self) = @_;
    my ($handle, $times) = @$self{qw(handle times)};
    if ($times) {
        my $set = defined &Time::HiRes::utime ? \&Time::HiRes::utime : sub { CORE::utime($_[0], $_[1], $_[2]) };
        $set->(@$times[0, 1], $handle) or Remora::Files::fail($self->{path});
    }
    if ($self->{sync}) {
        require IO::Handle;
        IO::Handle::sync($handle) or Remora::Files::fail($self->{path});
    }
    CORE::close($handle) or Remora::Files::fail($self->{path});
}

sub replace {
    my ($self) = @_;
    my ($handle, $path) = @$self{qw(handle path)};
    my @before = CORE::stat $path;
    chown @before[4, 5], $handle if @before;
    my $mode = defined $self->{mode} ? $self->{mode} : @before ? $before[2] & 07777 : 0666 & ~umask;
    chmod $mode, $handle or Remora::Files::fail($path);
    $self->finish;
    rename $self->{temporary}, $path or Remora::Files::fail($path);
    delete $self->{temporary};
}

# An atomic file leaves no trace.
sub discard {
    my ($self) = @_;
    CORE::close($self->{handle}) if $self->{handle};
    unlink delete $self->{temporary} if $self->{temporary} && $self->{pid} == $$;
    return undef;
}

sub DESTROY { local ($., $@, $!, $^E, $?); $_[0]->discard }

1;
