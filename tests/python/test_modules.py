"""Modules travel."""
import sys

import pytest
import remora


def test_a_package_with_relative_imports(conn):
    assert remora.can_on(conn, "far_package.name")() == "far_package deep in far_package"
    assert remora.can_on(conn, "far_package.inner.deep.name")() == "deep in far_package"


def test_a_namespace_package(conn):
    assert remora.can_on(conn, "far_namespace.part.name")() == "far_namespace.part"


def test_package_data(conn):
    assert remora.can_on(conn, "far_package.data")("numbers.txt") == b"one\ntwo\n"


def test_a_dependency_that_is_missing_everywhere(conn):
    with pytest.raises(ImportError, match="a_module_that_is_nowhere"):
        remora.new_on(conn, "far_missing.Never")


def test_only_what_was_named_is_served(far, tmp_path, monkeypatch):
    (tmp_path / "secret_module.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importer = "importlib.import_module"
    with remora.connect("-") as conn:
        with pytest.raises(ImportError):
            remora.can_on(conn, importer)("secret_module")
    for modules in (["secret_module"], "secret_module", "all"):
        with remora.connect("-", modules=modules) as conn:
            assert remora.getattr(remora.can_on(conn, importer)("secret_module"), "VALUE") == 1


def test_what_a_served_module_imports_is_served(tmp_path, monkeypatch):
    (tmp_path / "first_module.py").write_text("import second_module\n\ndef value():\n    return second_module.VALUE\n")
    (tmp_path / "second_module.py").write_text("VALUE = 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with remora.connect("-") as conn:
        assert remora.can_on(conn, "first_module.value")() == 2


def test_the_standard_library_does_not_travel(conn):
    # It is the far side's own, of the far side's version.
    path = remora.getattr(remora.can_on(conn, "importlib.import_module")("fractions"), "__file__")
    assert path.endswith("fractions.py") and not path.startswith("<")


def test_roots_are_without_the_standard_library():
    import os

    from remora._source import module_roots

    roots = module_roots()
    assert os.path.dirname(os.__file__) not in roots
    assert any("farmods" in root for root in roots)
    assert all(os.path.isdir(root) for root in roots)


def test_traceback_lines_of_travelled_modules(far):
    with pytest.raises(ValueError) as caught:
        far("fail")("ValueError", "x")
    assert "raise getattr(builtins, kind)(*args)" in caught.value.traceback


SCRIPT = """
    import remora, sys, os

    LIMIT = 10

    class Thing:
        def __init__(self, n):
            self.n = n
        def over(self):
            return self.n > LIMIT, os.getpid(), __name__

    def double(n):
        return 2 * n

    if __name__ == "__main__":
        with remora.connect("-") as conn:
            over, pid, name = remora.new_on(conn, Thing, 11).over()
            assert over and pid == conn.pid
            print(remora.can_on(conn, double)(21))
"""


def test_the_classes_and_functions_of_a_script(script):
    done = script(SCRIPT)
    assert done.stdout == "42\n" and done.returncode == 0, done.stderr


def test_a_script_without_a_guard(script):
    done = script("""
        import remora
        def f():
            return 1
        with remora.connect("-") as conn:
            try:
                remora.can_on(conn, f)
            except remora.InvalidArgument as error:
                print(error)
    """)
    assert 'has no `if __name__ == "__main__":`' in done.stdout, done.stderr


def test_what_is_defined_by_python_c():
    import subprocess

    from conftest import environment

    code = "import remora\ndef f(): pass\ntry: remora.can_on(remora.connect('-'), f)\nexcept remora.InvalidArgument as e: print(e)"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20)
    assert "cannot travel" in done.stdout, done.stderr


def test_python_m(tmp_path):
    import subprocess

    from conftest import environment

    package = tmp_path / "runnable"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "prog.py").write_text(
        "import remora\ndef f():\n    return __name__\nif __name__ == '__main__':\n    with remora.connect('-') as c:\n        print(remora.can_on(c, f)())\n"
    )
    done = subprocess.run([sys.executable, "-m", "runnable.prog"], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20)
    assert done.stdout == "runnable.prog\n", done.stderr


def test_script_functions_as_callbacks_need_no_guard(script):
    done = script("""
        import remora
        def callback(n):
            return n + 1
        with remora.connect("-") as conn:
            print(remora.can_on(conn, "far_things.call")(callback, 1))
    """)
    assert done.stdout == "2\n", done.stderr


def test_folders_of_package_data(tmp_path, monkeypatch):
    package = tmp_path / "data_package"
    (package / "data" / "deeper").mkdir(parents=True)
    (package / "data" / "x.txt").write_text("x there\n")
    (package / "__init__.py").write_text(
        "def look():\n"
        "    import importlib.resources\n"
        "    data = importlib.resources.files(__name__) / 'data'\n"
        "    return [(data / 'x.txt').read_text(), (data / 'x.txt').is_file(), (data / 'deeper').is_dir(),\n"
        "            sorted(it.name for it in data.iterdir())]\n"
        "def escape(path):\n"
        "    import pkgutil\n"
        "    return pkgutil.get_data(__name__, path)\n")
    (tmp_path / "outside.txt").write_text("not for you\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with remora.connect("-", cwd="/") as conn:
        assert remora.can_on(conn, "data_package.look")() == ["x there\n", True, True, ["deeper", "x.txt"]]
        for path in ("../outside.txt", "data/../../outside.txt", "/etc/passwd"):
            with pytest.raises(Exception):
                remora.can_on(conn, "data_package.escape")(path)


def test_a_compiled_extension_is_refused_by_name(tmp_path, monkeypatch):
    (tmp_path / "compiled_module.cpython-311-x86_64-linux-gnu.so").write_bytes(b"\x7fELF")
    (tmp_path / "wants_it.py").write_text("import compiled_module\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with remora.connect("-", cwd="/") as conn:
        with pytest.raises(ImportError, match="compiled_module.*extension"):
            remora.can_on(conn, "wants_it.anything")


def test_newer_syntax_than_the_far_side_understands_is_told_in_words(tmp_path, monkeypatch):
    (tmp_path / "from_the_future.py").write_text("match = 1\nwhenever match:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with remora.connect("-", cwd="/") as conn:
        with pytest.raises(ImportError, match=r"from_the_future.*near side \(python [\d.]+\).* in Python [\d.]+ here.*line 2"):
            remora.can_on(conn, "from_the_future.anything")


def test_an_error_class_of_the_script_is_that_class_again(script):
    done = script("""
        import remora

        class Mine(Exception):
            pass

        def fail():
            raise Mine("of my own")

        if __name__ == "__main__":
            with remora.connect("-") as conn:
                try:
                    remora.can_on(conn, fail)()
                except Mine as error:
                    print("caught", error)
    """)
    assert done.stdout == "caught of my own\n", done.stderr


# ---- what is served, and what is not

@pytest.fixture
def app(tmp_path, monkeypatch):
    """A package `app`, with a part that nobody over there may have."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("")
    (tmp_path / "app" / "part.py").write_text("def name():\n    return __name__\n")
    (tmp_path / "app" / "secret").mkdir()
    (tmp_path / "app" / "secret" / "__init__.py").write_text("")
    (tmp_path / "app" / "secret" / "keys.py").write_text("KEY = 1\n")
    (tmp_path / "app" / "secret" / "keys.txt").write_text("1")
    (tmp_path / "app" / "secretary.py").write_text("import app.secret.keys\n\ndef f():\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("deny", ["app.secret", ["other", "app.secret"]])
def test_what_is_denied_is_never_served(app, deny):
    with remora.connect("-", modules="all", deny=deny) as conn:
        assert remora.can_on(conn, "app.part.name")() == "app.part"
        for name in "app.secret.keys.f", "app.secret.f":
            with pytest.raises(remora.NotFound, match='option deny forbids "app.secret"'):
                remora.can_on(conn, name)
        with pytest.raises(ModuleNotFoundError, match='app.secret.*option deny forbids "app.secret"'):
            remora.can_on(conn, "app.secretary.f")  # its own name only begins like what is denied; what it imports is denied
        assert remora.can_on(conn, "pkgutil.get_data") is not None


def test_denied_are_sources_from_memory_too(app):
    remora.add_module("memory_denied", "def f():\n    return 1\n")
    with remora.connect("-", deny=["memory_denied"]) as conn, pytest.raises(remora.NotFound, match="option deny"):
        remora.can_on(conn, "memory_denied.f")
    with remora.connect("-") as conn:
        assert remora.can_on(conn, "memory_denied.f")() == 1


def test_sources_from_memory():
    remora.add_module("memory_package", "VALUE = 3\n", package=True)
    remora.add_module("memory_package.inner", b"from . import VALUE\n\ndef value():\n    return VALUE\n")
    remora.add_module("memory/tool", "def memory_tool; 4; end\n", language="ruby")
    with remora.connect("-") as conn:
        assert remora.can_on(conn, "memory_package.inner.value")() == 3
    with remora.connect("-", node="ruby") as conn:
        assert remora.can_on(conn, "memory/tool:memory_tool")() == 4
    remora.add_module("memory_package", "VALUE = 5\n", package=True)  # replaces it
    with remora.connect("-") as conn:
        assert remora.can_on(conn, "memory_package.inner.value")() == 5
    with pytest.raises(remora.InvalidArgument, match='no far language "cobol"'):
        remora.add_module("memory", "", language="cobol")


def test_what_is_nowhere_is_told_with_the_places(app):
    with remora.connect("-", roots=[app]) as conn:
        with pytest.raises(remora.NotFound, match="no class app.nothing.Class; the near side looked in %s$" % app):
            remora.new_on(conn, "app.nothing.Class")
        (app / "app" / "needy.py").write_text("import absent_module\n")
        with pytest.raises(ModuleNotFoundError, match="No module named 'absent_module'; the near side looked in %s$" % app):
            remora.can_on(conn, "app.needy.f")
        assert remora.can_on(conn, "app.nothing.f") is None
        # Who only asks whether it is there gets the usual answer.
        assert remora.can_on(conn, "importlib.util.find_spec")("absent_module") is None


@pytest.mark.parametrize("node, name", [("ruby", "NotThere"), ("lua", "not_there.Class"), ("perl", "Not::There"), ("c", "nothing:Thing")])
def test_in_every_language(node, name, tmp_path):
    with remora.connect("-", node=node, roots=[tmp_path]) as conn:
        with pytest.raises(remora.NotFound, match="the near side looked in %s$" % tmp_path) as caught:
            remora.new_on(conn, name)
        assert name in str(caught.value)
        assert remora.can_on(conn, name) is None


def test_a_dependency_that_is_nowhere_in_every_language(tmp_path):
    for node, file, source in (("ruby", "needy.rb", "require 'absent_file'\n"), ("lua", "needy.lua", "return require 'absent_file'\n"),
                               ("perl", "needy.pm", "package needy;\nuse absent_file;\n1;\n")):
        (tmp_path / file).write_text(source)
        with remora.connect("-", node=node, roots=[tmp_path]) as conn:
            with pytest.raises(remora.RemoteError, match="(?s)absent_file.*the near side looked in %s" % tmp_path):
                remora.can_on(conn, "needy:f" if node != "perl" else "needy::f")


# ---- over several links

def test_a_module_goes_over_a_link_once(app):
    filler = "#" * 300_000 + "\n"
    (app / "app" / "large.py").write_text(filler + "def f():\n    return 1\n")
    with remora.connect("-") as conn:
        def sent_by(call):
            before = conn.stats["bytes_out"]
            return call(), conn.stats["bytes_out"] - before
        second, _ = sent_by(lambda: conn.connect("-"))
        value, sent = sent_by(lambda: remora.can_on(second, "app.large.f")())
        assert value == 1 and sent > 300_000
        third = conn.connect("-")
        for there in third, conn, conn.connect("-"):
            value, sent = sent_by(lambda: remora.can_on(there, "app.large.f")())
            assert value == 1 and (sent < 20_000 or there is conn), there
        (app / "app" / "large.py").write_text(filler + "def f():\n    return 2\n")  # new contents are another module
        fourth = conn.connect("-")
        value, sent = sent_by(lambda: remora.can_on(fourth, "app.large.f")())
        assert value == 2 and sent > 300_000


def test_the_root_serves_hops_of_any_depth(app):
    with remora.connect("-") as conn:
        there = conn
        for _ in range(3):
            there = there.connect("-") if there is conn else remora.can_on(there, "remora.connect")("-")
        assert remora.can_on(there, "app.part.name")() == "app.part"
