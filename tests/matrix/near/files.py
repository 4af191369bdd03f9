"""files.py FAR FOLDER: commands and files against a far side in that language. Prints "ok" last."""
import os
import sys

import remora

far, folder = sys.argv[1:]
data = bytes(range(256)) * 4000
source, there, back = (os.path.join(folder, name) for name in ("source", "there", "back"))
with open(source, "wb") as f:
    f.write(data)

with remora.connect("-", node=far) as conn:
    result = conn.run(["sh", "-c", 'cat; echo "$A" >&2; exit 3'], input="in", env={"A": "err"})
    assert (result.status, result.signal, result.stdout, result.stderr) == (3, None, b"in", b"err\n"), result
    assert conn.run(["sh", "-c", "kill -9 $$"]).signal == 9
    seen = []
    assert conn.run(["seq", "20000"], on_output=lambda stream, piece: seen.append(piece)).ok
    assert b"".join(seen).split() == [b"%d" % i for i in range(1, 20001)]
    try:
        conn.run(["no-such-program"])
        assert False
    except remora.NotFound as error:
        assert "no-such-program" in str(error)
    try:
        conn.run(["sleep", "1000"], timeout=0.2)
        assert False
    except remora.Timeout:
        pass

    assert conn.put(source, there) == conn.get(there, back) == len(data)
    with open(back, "rb") as f:
        assert f.read() == data
    try:
        conn.get("/no/such", back)
        assert False
    except (OSError, remora.RemoteError) as error:
        assert error.errno == 2

    with conn.open(there, "w", atomic=True) as f:
        f.write("one\ntwo\n")
    with conn.open(there) as f:
        assert list(f) == ["one\n", "two\n"]
        f.seek(4)
        assert f.read() == "two\n"
    assert sorted(os.listdir(folder)) == ["back", "source", "there"], os.listdir(folder)
print("ok")
