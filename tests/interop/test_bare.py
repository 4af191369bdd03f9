"""Without the module that makes the wire exact: a Perl that will not have it still works as Object::Remote does."""
import pytest
import remora

from conftest import eventually


def test_calls_callbacks_errors(bare):
    far = remora.new_on(bare, "Interop", name="bare")
    assert far.name() == "bare" and far.several() == [1, 2, 3]
    assert far.call_twice(lambda x: x * 10) == [10, 20]
    with pytest.raises(remora.RemoteError, match="on purpose"):
        far.fail()
    with pytest.raises(remora.RemoteError) as caught:
        far.fail_object()
    assert caught.value.type == "perl object"


def test_text_is_read_by_what_it_looks_like(bare):
    far = remora.new_on(bare, "Interop")
    assert far.ordinals("é☺") == [0xe9, 0x263a]
    assert far.latin() == "café" and far.astral() == "\U0001f600"
    assert far.octets() == "\xc3\xa9\xff\x00\n"
    assert far.echo("é") == "é" and far.echo("☺") == "☺"


def test_objects_are_freed_when_nothing_is_waited_for(bare):
    far, alive = remora.new_on(bare, "Interop"), remora.can_on(bare, "Interop->alive")
    for _ in range(100):
        futures = [remora.start(far).child() for _ in range(3)]
        assert [f.result().count() for f in futures] == [0, 0, 0]
        del futures
    eventually(lambda: alive() == 1)
