"""Files of this side, used by far code in the ways of its own language: text and bytes, lines, moving, closing."""
import os

import pytest

import remora

ROOTS = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "far")]


@pytest.mark.parametrize("mode, content", [("", "one\ntw\u00f6\n"), ("b", b"\0\xff\ntwo\n")], ids=["text", "bytes"])
@pytest.mark.parametrize("far", ["ruby", "lua", "perl"])
def test_a_lent_file(far, mode, content, tmp_path):
    encoding = None if mode else "utf-8"
    with remora.connect("-", node=far, roots=ROOTS) as conn:
        file = open(tmp_path / "file", "w" + mode, encoding=encoding)
        assert remora.can_on(conn, "lent:write")(file, content) == os.path.getsize(tmp_path / "file")
        assert file.closed
        file = open(tmp_path / "file", "r" + mode, encoding=encoding)
        assert remora.can_on(conn, "lent:read")(file) == [content.splitlines(True), content]
        assert file.closed


def test_containers_as_perl_has_them():
    numbers, table = [1, 2, 3], {"a": 1, "b": 2}
    with remora.connect("-", node="perl", roots=ROOTS) as conn:
        change = remora.can_on(conn, "lent:change")
        wanted = [3, 1, 3, 1, "y", 3, "a b", 0, 0, 2]
        assert change(remora.by_ref(numbers), remora.by_ref(table)) == wanted
        assert (numbers, table) == ([2, 3, "x"], {"b": 3})
        table = dict.fromkeys("abc", 1)
        change(remora.by_ref(numbers), remora.by_ref(table))
        assert table == {}
