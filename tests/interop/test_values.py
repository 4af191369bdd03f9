"""What crosses to Object::Remote and back, and what is refused."""
import math

import pytest
import remora


@pytest.mark.parametrize("value", [
    None, 0, 1, -1, 2**53, 2**63 - 1, -2**63, 2.5, -1e300, 5e-324, 0.1, "", "text", "é", "☺ and é", "\U0001f600", "\x00\x01\x7f\n\r\"\\",
    "\u2028", "\xff", "[\"free\",1]", [], {}, [1, [2, [3]]], {"a": {"b": [None, "☺"]}}, {"é": "☺", "x": 1}, {"": 0}, list(range(1000)), "x" * 300000,
], ids=lambda value: repr(value)[:30])
def test_it_comes_back_as_it_was(far, value):
    assert far.echo(value) == value


def test_what_perl_has_no_kind_for_becomes_what_it_has(far):
    assert far.echo(True) == 1 and far.echo(False) == ""
    assert far.echo((1, 2)) == [1, 2]
    assert far.echo(3.0) == 3 and type(far.echo(3.0)) is int
    assert far.echo(2**70) == str(2**70)
    assert far.echo(b"caf\xc3\xa9\xff\x00") == "caf\xc3\xa9\xff\x00"


def test_text_is_characters_and_bytes_are_octets_over_there(far):
    assert far.ordinals("é☺\U0001f600") == [0xe9, 0x263a, 0x1f600]
    assert far.lengths("☺☺", b"\xe2\x98\xba", "\U0001f600") == [2, 3, 1]


def test_perls_own_strings_arrive_character_for_character(far):
    assert far.wide() == "☺ and é" and far.latin() == "café" and far.astral() == "\U0001f600"
    assert far.octets() == "\xc3\xa9\xff\x00\n"


def test_numbers_of_perl(far):
    assert far.numbers() == [1, 2.5, "3", 1, "", None]


def test_several_values_are_a_list_one_is_itself_none_is_null(far):
    assert far.several() == [1, 2, 3] and far.nothing() is None and far.echo([1]) == [1]


def test_the_context_is_list_unless_scalar_is_asked_for(far):
    assert far.context() == "list"
    assert getattr(far, "scalar::context")() == "scalar"
    assert getattr(far, "scalar::several")() == 3


def test_a_reference_to_a_scalar_is_its_value(far):
    assert far.scalar_ref() == "inside"


@pytest.mark.parametrize("value, words", [
    (math.nan, "NaN"), (math.inf, "infinity"), ({1: 2}, "text as keys"), ({b"k": 2}, "text as keys"), ("\ud800", "surrogate"), ({"\ud800": 1, "b": 2}, "text as keys"),
    ({"__remote_object__": 5}, "__remote_object__"), ({"__local_object__": 5}, "taken for"), ({"__scalar_ref__": "x"}, "taken for"), ([{"a": {"__remote_code__": 1}}], "taken for"),
    ({"__glob_ref__": 1}, "taken for"), ({"__remote_tied_hash__": 1}, "taken for"), ({"__remote_tied_array__": 1}, "taken for"),
])
def test_what_object_remote_cannot_hold_is_refused(far, value, words):
    with pytest.raises(remora.ValueNotSendable, match=words):
        far.echo(value)
    with pytest.raises(remora.ValueNotSendable, match=words):
        far.echo(lambda: None, value)
    assert far.echo("and after it") == "and after it"


def test_two_keys_make_no_tag(far):
    value = {"__remote_object__": 5, "b": 1}
    assert far.echo(value) == value


@pytest.mark.parametrize("method", ["infinity", "big"])
def test_numbers_of_perl_that_cannot_cross_are_errors(far, method):
    with pytest.raises(remora.Error):
        getattr(far, method)()
    assert far.echo(1) == 1


def test_what_object_remote_itself_cannot_send_is_its_error(far):
    with pytest.raises(remora.RemoteError, match="collapse reftype REF"):
        far.strange()
    assert far.echo(1) == 1


def test_keywords_are_pairs_at_the_end(conn, far):
    assert far.given(1, b=2, c="☺") == [1, "b", 2, "c", "☺"]
    assert remora.new_on(conn, "Interop", count=5, name="n").increment() == 6


@pytest.mark.timeout(300)  # Perl reads and writes JSON in Perl: seconds of computing
def test_large_values(far):
    data = bytes(range(256)) * 8000
    assert far.echo(data).encode("latin-1") == data
    records = [{"id": i, "name": "item %d ☺" % i} for i in range(5000)]
    assert far.echo(records) == records
