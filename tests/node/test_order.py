"""Calls on one object start in the order in which they came, whatever they carry; for every node."""
import os
import shutil

import pytest

from near import Near

FAR = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "matrix", "far")
NODES = {"python": (None, ".py"), "ruby": (["ruby", "--disable=gems", "-e"], ".rb"), "perl": (["perl", "-e"], ".pm"),
         "lua": (["lua5.4", "-e"], ".lua")}


@pytest.fixture(params=sorted(NODES))
def near(request):
    argv, ending = NODES[request.param]
    if argv and not shutil.which(argv[0]):
        pytest.skip("no " + argv[0])
    with open(os.path.join(FAR, "smoke" + ending)) as f:
        module = {"kind": "module", "path": "smoke", "source": f.read()}
    near = Near("/usr/bin/python3", node=request.param, argv=argv, modules={"smoke": module})
    yield near
    near.process.kill()
    near.process.wait()


def in_one_go(near, *calls):
    """Starts the calls with a single write; their ids."""
    frames, write = [], near.write
    near.write = lambda data: frames.append(bytes(data))
    ids = [near.start(*call) for call in calls]
    near.write = write
    near.write(b"".join(frames))
    return ids


def test_a_plain_call_does_not_overtake_one_with_a_reference(near):
    account = near.new("smoke:Account", "a", 1)
    seen = []
    first, second = in_one_go(near, (account.id, "each_call", lambda i: seen.append(near.call(account.id, "balance")), 1),
                              (account.id, "deposit", 5))
    near.result(first)
    assert seen == [1] and near.result(second) == 6


def test_calls_of_the_chain_keep_their_order_in_a_nested_wait(near):
    """What came earlier runs first, also when the wait that it came in has been nested since."""
    account = near.new("smoke:Account", "a", 1)
    seen = []

    def callback(i):
        first, second = in_one_go(near, (account.id, "each_call", lambda i: seen.append(near.call(account.id, "balance")), 1),
                                  (account.id, "deposit", 5))
        near.result(first)
        near.result(second)

    near.call(account.id, "each_call", callback, 1)
    assert seen == [6] and near.call(account.id, "balance") == 6
