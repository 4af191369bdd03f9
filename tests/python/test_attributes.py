"""remora.getattr and remora.setattr."""
import pytest
import remora


def test_get_and_set(far):
    counter = far.new("Counter", 5)
    assert remora.getattr(counter, "counter") == 5
    remora.setattr(counter, "counter", 10)
    assert counter.increment() == 11


def test_a_missing_attribute(far):
    with pytest.raises(AttributeError) as caught:
        remora.getattr(far.new("Plain"), "nothing")
    assert isinstance(caught.value, remora.RemoteError)
    assert remora.getattr(far.new("Plain"), "nothing", None) is None
    assert remora.getattr(far.new("Plain"), "nothing", 5) == 5


def test_attributes_that_are_objects(far):
    outer = far.new("Plain")
    inner = far.new("Counter")
    remora.setattr(outer, "inner", inner)
    assert remora.getattr(outer, "inner") is inner
    method = remora.getattr(inner, "increment")
    assert method() == 1
    thing = object()
    remora.setattr(outer, "ours", thing)
    assert remora.getattr(outer, "ours") is thing


def test_private_attributes_of_the_far_side(far):
    # The near side is trusted over there.
    plain = far.new("Plain")
    remora.setattr(plain, "_x", 1)
    assert remora.getattr(plain, "_x") == 1
    assert remora.getattr(plain, "__class__") is not None


def test_special_attribute_names_stay_here(far):
    with pytest.raises(AttributeError):
        far.new("Plain").__nothing__
