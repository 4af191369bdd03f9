"""What every node has to show of its log records. `say(near, n)`: logs n lines, level info, name "app.db"; `mixed(near)`: one record of each of the levels
debug (2) to fatal (7) for each of the names app, app.noisy and other."""
import time

from near import BEAT, LOG, REPLY

ASK = {"level": 1, "selections": "*", "budget": 262144}


def settles(n, emitted):
    """The node says of all that was emitted what became of it, without being asked again."""
    n.until(lambda: len(n.logs) + n.logs_dropped >= emitted)
    assert len(n.logs) + n.logs_dropped == emitted


def is_now(seconds):
    return abs(seconds - time.time()) < 60


def filters(make, mixed, names=("app", "app.noisy", "other")):
    app, noisy, other = names
    n = make(log=dict(ASK, level=5, selections="%s -%s" % (app, noisy)))
    mixed(n)
    n.until(lambda: len(n.logs) >= 3)
    assert [(row[0], row[2]) for row in n.logs] == [(level, app) for level in (5, 6, 7)]
    assert n.close() == 0
    n = make(log=dict(ASK, selections="* -%s" % other))
    mixed(n)
    n.until(lambda: len(n.logs) >= 12)
    assert {row[2] for row in n.logs} == {app, noisy} and {row[0] for row in n.logs} == {2, 3, 4, 5, 6, 7}


def is_quiet_unless_asked(make, say):
    n = make()
    say(n, 3)
    assert LOG not in [kind for kind, _ in n.frames] and not n.logs


def counts_exactly(make, say, many):
    n = make(log=ASK)
    say(n, many)
    settles(n, many)
    assert n.logs and n.logs_dropped
    say(n, 3)
    settles(n, many + 3)


def stays_within_its_budget(make, say, many):
    n = make(log=dict(ASK, budget=1000))
    start = time.monotonic()
    say(n, many)
    say(n, many)
    n.until(lambda: len(n.logs) + n.logs_dropped > many)  # at least one of the two has been told
    spent = sum(len(str(row)) for row in n.logs)
    assert spent < 100000 + 1000 * (time.monotonic() - start)


def beats_while_it_logs(make, flood):
    """flood(n) starts a call that does nothing but log, for longer than several heartbeats; a second one waits behind it."""
    n = make(log=dict(ASK, budget=1), heartbeat=100)
    call = flood(n)
    n.until(lambda: call in n.replies)
    assert n.replies[call][0] == REPLY
    kinds = [kind for kind, _ in n.frames]
    assert kinds[:kinds.index(REPLY, kinds.index(LOG) if LOG in kinds else 0)].count(BEAT) > 1
