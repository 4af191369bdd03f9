"""Lists and dicts by reference, both ways; files that are lent."""
import concurrent.futures
import io

import pytest
import remora


@pytest.fixture
def far(conn):
    return lambda name: remora.can_on(conn, "far_containers." + name)


# ------------------------------------------------------------------------------------------------------ ours, used over there


def test_a_list_of_ours(far):
    mine = [1, 2, 3]
    assert far("use_list")(remora.by_ref(mine)) == (3, ["first", 3, "last"], True, "last")
    assert mine == ["first", 3, "last"]
    with pytest.raises(IndexError):
        far("use_list")(remora.by_ref([]))
    far("clear")(remora.by_ref(mine))
    assert mine == []


def test_a_dict_of_ours(far):
    mine = {"old": 1, "kept": 2}
    assert far("use_dict")(remora.by_ref(mine)) == (2, ["kept", "new"], True, 2, {"kept": 2, "new": 2})
    assert mine == {"kept": 2, "new": 2}
    with pytest.raises(KeyError):
        far("use_dict")(remora.by_ref({}))


def test_it_goes_home_as_itself(far):
    mine = {"old": 1}
    assert far("give_back")(remora.by_ref(mine)) is mine
    assert far("same")(remora.by_ref(mine), remora.by_ref(mine))
    assert far("give_back")([remora.by_ref(mine), mine]) == [mine, mine]
    assert far("give_back")([remora.by_ref(mine), mine])[1] is not mine  # beside it the copy


def test_by_ref_of_what_is_a_reference_already(far):
    proxy = far("numbers")()
    assert remora.by_ref(proxy) is proxy
    once = remora.by_ref([1])
    assert remora.by_ref(once) is once


def test_only_the_operations_and_public_methods(far):
    with pytest.raises(remora.Denied):
        far("attribute")(remora.by_ref([]), "__class__")


def test_it_is_given_back(conn, far):
    mine = [1]
    before = conn.stats["exports"]
    far("read_all")(io.StringIO("x"))
    for _ in range(10):
        far("clear")(remora.by_ref(mine))
    assert conn.stats["exports"] <= before + 2  # releases come with later messages


# ------------------------------------------------------------------------------------------------------- theirs, used here


def test_far_code_lends(far):
    numbers = far("numbers")()
    assert isinstance(numbers, remora.Proxy)
    assert (len(numbers), numbers[-1], list(numbers), 2 in numbers) == (3, 3, [1, 2, 3], True)
    numbers.append(4)
    assert remora.copy(numbers) == [1, 2, 3, 4] and type(remora.copy(numbers)) is list
    assert numbers[1:3] == [2, 3]
    del numbers[3]
    one, inner = far("pair")()
    assert one == 1 and inner["inner"] == 1
    mine = [7]
    both = far("both")(mine)
    assert both["self"] == [7] and remora.copy(both["list"]) == [7]


def test_a_call_wants_a_reference(far):
    table = remora.options(far("table"), by_ref=True)()
    table["b"] = 2
    assert far("table")() == {"a": [1], "b": 2} and remora.copy(table) == {"a": [1], "b": 2}
    assert remora.start(remora.options(far("table"), by_ref=True))().result(10) is table
    assert sorted(table) == ["a", "b"] and "b" in table and len(table) == 2
    del table["b"]
    assert far("table")() == {"a": [1]}
    assert remora.options(remora.can_on("-", "builtins.len"), by_ref=True)([1, 2]) == 2  # no container: by value


def test_copies(conn):
    for made, wanted in ((("collections.Counter", "aab"), {"a": 2, "b": 1}), (("collections.deque", [1, 2]), [1, 2]),
                         (("builtins.bytearray", b"xy"), b"xy"), (("builtins.frozenset", [5]), [5])):
        copy = remora.copy(remora.new_on(conn, *made))
        assert copy == wanted and type(copy) is type(wanted)
    with pytest.raises(TypeError):
        remora.copy(remora.new_on(conn, "builtins.object"))


def test_far_code_wants_a_reference(far):
    mine = {"x": 1}
    assert far("ask_by_ref")(lambda: mine) == ("dict", {"x": 1, "seen": True})
    assert mine == {"x": 1, "seen": True}
    assert far("ask")(lambda: mine) == "dict"
    assert far("ask")(lambda: remora.by_ref(mine)) != "str"
    proxy = far("ask_by_ref")

    async def later():
        return mine

    assert proxy(later)[1] == mine


def test_from_one_far_side_to_another(far):
    mine = {"old": 1}
    numbers = far("numbers")()
    with remora.connect("-") as other:
        assert remora.can_on(other, "far_containers.give_back")(numbers) is numbers
        assert remora.can_on(other, "far_containers.use_dict")(remora.by_ref(mine))[0] == 1
        table = remora.options(far("table"), by_ref=True)()
        assert remora.can_on(other, "far_containers.ask_by_ref")(far("table"))[1]["seen"] is True
        assert table["seen"] is True
        del table["seen"]


def test_lent_functions_may_return_futures(far):
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pid = far("logged")
    assert far("composed")(lambda *x: pool.submit(lambda: (x or (0,))[0] + 1), 1) == [3]
    assert far("of_started")(lambda: remora.start(pid)().then(len)) == 0
    pool.shutdown()


# ----------------------------------------------------------------------------------------------------------------- files


def test_a_text_file_of_ours(far, tmp_path):
    path = tmp_path / "text"
    path.write_text("one\ntwo\nthr\u00e9e\n", encoding="utf-8")
    with open(path, encoding="utf-8") as file:
        assert far("lines")(file) == ["one\n", "two\n", "thr\u00e9e\n"]
        assert far("seek_and_read")(file, 4, 3) == "two"
        file.seek(0)
        assert far("read_all")(file) == "one\ntwo\nthr\u00e9e\n"
    assert far("is_closed")(file)


def test_a_binary_file_of_ours(far, tmp_path):
    path = tmp_path / "bytes"
    with open(path, "w+b") as file:
        assert far("write")(file, b"\0\xff", b"x" * 100000) == 100002
        assert path.stat().st_size == 100002  # it was flushed over there
        assert far("seek_and_read")(file, 1, 2) == b"\xffx"
        with pytest.raises(TypeError):
            far("write")(file, "text")
    with open(path, "rb") as file:
        assert far("read_all")(file) == b"\0\xff" + b"x" * 100000
        with pytest.raises(OSError):
            far("write")(file, b"read only")


def test_a_block_over_there_closes_ours(far, tmp_path):
    file = open(tmp_path / "block", "w")
    far("with_block")(file)
    assert file.closed and (tmp_path / "block").read_text() == "in the block"


def test_a_far_text_file(far, tmp_path):
    path = str(tmp_path / "far")
    with far("opened")(path, "w") as file:
        assert file.write("one\ntwo\n") == 8
        file.flush()
        assert far("size")(path) == 8 and file.tell() == 8
    with pytest.raises(ValueError):
        file.write("closed")
    assert remora.getattr(file, "closed") is True
    file = far("opened")(path, "r")
    assert [line for line in file] == ["one\n", "two\n"]
    assert file.seek(4) == 4 and file.readline() == "two\n" and file.read() == ""
    file.close()
    with pytest.raises(FileNotFoundError) as e:
        far("opened")(path + "x", "r")
    assert e.value.errno == 2


def test_a_far_binary_file(far, tmp_path):
    path = str(tmp_path / "far")
    with far("opened")(path, "wb") as file:
        file.write(b"\0\xff" * 50000)
    with far("opened")(path, "r+b") as file:
        assert file.read(3) == b"\0\xff\0" and file.seek(-1, 2) == 99999 and file.read() == b"\xff"
        file.truncate(2)
    assert far("size")(path) == 2


def test_nil_takes_an_item_away_in_far_lua():
    numbers, words = [1, 2, 3], {1: "a", 2: "b"}
    with remora.connect("-", node="lua") as conn:
        remora.can_on(conn, "load")("local list, map = ...; list[0] = nil; map[2] = nil; list[0] = require 'remora'.null")(
            remora.by_ref(numbers), remora.by_ref(words))
        with pytest.raises(remora.RemoteError, match="remora.setattr"):
            remora.can_on(conn, "load")("local map = ...; map.x = 1")(remora.by_ref(words))
    assert numbers == [None, 3] and words == {1: "a"}
