"""A Perl process that runs Object::Remote. It gets no program: its Object::Remote is installed there. What it says is put into our protocol by the executable
that stands in front of it (CMakeLists.txt)."""
SUFFIX = ".pm"  # of what lies in lib
PACKAGE = None
SEPARATOR = "::"


def node():
    """No program, and what `perl -e` runs."""
    return b"", "use Object::Remote::Node; Object::Remote::Node->run"
