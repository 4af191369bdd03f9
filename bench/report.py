"""From raw lines to tables, a picture, and the list of what Remora promises beside what was measured."""
import statistics
from xml.sax.saxutils import escape

OURS = "Remora"
# Peers that our other languages are held against: neither is driven from Python, nor starts a far side by itself.
BESIDE_OTHERS = ("sd-bus (C)", "DRb")

# One table: workload, title, main column (metric, label, unit), further columns, floor, whether more is better.
TABLES = [
    ("call", "Blocking call, back to back", ("p50_us", "median µs"), [("p99_us", "p99 µs"), ("calls_s", "calls/s")],
     "Python, os.read/write", False),
    ("call-pinned", "Blocking call, both sides on one core", ("p50_us", "median µs"), [("p99_us", "p99 µs")],
     "Python, JSON lines", False),
    ("call-1ms", "Blocking call, 1 ms of thought between", ("p50_us", "median µs"), [("p99_us", "p99 µs")],
     "Python, os.read/write", False),
    ("call-50ms", "Blocking call, 50 ms of thought between", ("p50_us", "median µs"), [("p99_us", "p99 µs")],
     "Python, os.read/write", False),
    ("call-busy", "Blocking call beside a thread that computes", ("p50_us", "median µs"), [("p99_us", "p99 µs"), ("calls_s", "calls/s")],
     "Python, os.read/write", False),
    ("outstanding", "1,000 calls outstanding", ("calls_s", "calls/s"), [("in_flight", "in flight"), ("stream_s", "stream, messages/s")],
     "Python, JSON lines", True),
    ("bytes", "64 MiB of bytes there and back", ("mb_s", "MB/s"),
     [("s", "s"), ("near_peak_kb", "extra peak near, MiB"), ("far_peak_kb", "extra peak far, MiB")], "C, pipes", True),
    ("records", "100,000 small records there and back", ("s", "s"), [], "Python, JSON lines", False),
    ("spawn", "Start to first result", ("ms", "ms"), [], "bare process", False),
    ("spawn-ssh", "Start to first result over ssh", ("ms", "ms"), [], "bare process", False),
    ("wire", "Bytes on the wire before the first result", ("shipped_there_bytes", "there, own class"),
     [("shipped_back_bytes", "back, own class"), ("stdlib_there_bytes", "there, standard library"),
      ("stdlib_back_bytes", "back, standard library")], None, False),
    ("fifty", "50 far processes at once", ("ms", "ms"), [], "bare process", False),
    ("mixed", "Small calls while 64 MiB go out on another connection", ("p99_us", "p99 µs"),
     [("p50_us", "median µs"), ("max_us", "max µs"), ("idle_p99_us", "p99 µs without"), ("bulk_mb_s", "bulk MB/s")], "C, pipes", False),
    ("mixed-back", "Small calls while 64 MiB go out and come back", ("p99_us", "p99 µs"),
     [("p50_us", "median µs"), ("max_us", "max µs"), ("idle_p99_us", "p99 µs without"), ("bulk_mb_s", "bulk MB/s")], "C, pipes", False),
    ("hold", "Memory and CPU of one idle connection", ("far_pss_kb", "far PSS MiB"),
     [("near_pss_kb", "near PSS MiB"), ("far_processes", "far processes"), ("far_cpu_us_s", "far CPU µs/s"),
      ("near_cpu_us_s", "near CPU µs/s")], "bare process", False),
]
PANELS = [("call", "Blocking call"), ("call-pinned", "Blocking call on one core"), ("call-busy", "Call beside a computing thread"),
          ("outstanding", "1,000 calls outstanding"), ("bytes", "64 MiB there and back"), ("records", "100,000 records there and back"),
          ("spawn", "Start to first result"), ("fifty", "50 far processes at once"), ("mixed", "Call while 64 MiB cross beside it"),
          ("hold", "Memory of a far side")]
KINDS = {"floor": 0, "ours": 1, "compiled": 2, "python": 3, "perl": 4, "ruby": 5}
NOT_BY_ITSELF = {"managers": "8 threads: it has no calls without waiting", "DRb": "8 threads: it has no calls without waiting",
                 "RPyC": "100 at a time: some hundreds jam it",
                 "Pyro4 (pickle)": "a thread and a connection a call", "Pyro4 (serpent)": "a thread and a connection a call"}


class Results:
    def __init__(self, lines):
        self.about = lines[0]["run"]
        self.lines = lines[1:]
        self.kinds = {}
        for line in self.lines:
            self.kinds[line["system"]] = line["kind"]

    def all(self, workload, system, metric):
        return [line[metric] for line in self.lines
                if line["workload"] == workload and line["system"] == system and metric in line and "error" not in line]

    def get(self, workload, system, metric):
        """The median of the rounds, or None."""
        values = self.all(workload, system, metric)
        return statistics.median(values) if values else None

    def systems(self, workload):
        """Those that took part, in order."""
        seen = []
        for line in self.lines:
            if line["workload"] == workload and line["system"] not in seen:
                seen.append(line["system"])
        return seen

    def best(self, workload, metric, more, kinds=("compiled", "python", "perl", "ruby"), without=()):
        """(value, system) of the best peer, or (None, None)."""
        found = [(self.get(workload, s, metric), s) for s in self.systems(workload) if self.kinds[s] in kinds and s not in without]
        found = [pair for pair in found if pair[0] is not None]
        return (max if more else min)(found) if found else (None, None)

    def why_not(self, workload, system):
        for line in self.lines:
            if line["workload"] == workload and line["system"] == system:
                why = line.get("error") or line.get("unsupported")
                if why:
                    return ("failed: " if "error" in line else "not there: ") + why
        return ""


def number(x):
    if x is None:
        return "–"
    if abs(x) >= 1e5:
        return "{:,.0f}".format(round(x, -2))
    if abs(x) >= 100:
        return "{:,.0f}".format(x)
    return "%.3g" % x if x else "0"


def shown(metric, x):
    return number(x / 1024 if x is not None and metric.endswith("_kb") else x)


def spread(metric, values):
    if len(values) < 2:
        return shown(metric, values[0]) if values else "–"
    return "%s (%s–%s)" % tuple(shown(metric, v) for v in (statistics.median(values), min(values), max(values)))


def ratio(a, b):
    if a is None or not b:
        return "–"
    return ("%.2f" if a / b >= 0.1 else "%.4f") % (a / b)


def rows(results, table):
    """Header and rows of one table, as text."""
    workload, _, (metric, label), others, floor, more = table
    names = results.systems(workload)
    others = [c for c in others if any(results.all(workload, s, c[0]) for s in names)]
    ground = results.get(workload, floor, metric) if floor else None
    best, _ = results.best(workload, metric, more)
    best_python, _ = results.best(workload, metric, more, ("python",))
    if best_python == best:
        best_python = None
    head = ["", label] + [c[1] for c in others] + (["× floor"] if ground else []) + (
        ["× best peer"] if best else []) + (["× best Python peer"] if best_python else [])
    body = []

    def key(s):
        value = results.get(workload, s, metric)
        return KINDS[results.kinds[s]], value is None, (-value if more else value) if value is not None else 0

    for s in sorted(names, key=key):
        values = results.all(workload, s, metric)
        if not values:
            body.append([s, results.why_not(workload, s)] + [""] * (len(head) - 2))
            continue
        value = statistics.median(values)
        line = [s, spread(metric, values)] + [shown(c[0], results.get(workload, s, c[0])) for c in others]
        if ground:
            line.append(ratio(value, ground))
        if best:
            line.append(ratio(value, best))
        if best_python:
            line.append(ratio(value, best_python))
        body.append(line)
    return head, body


def progress(line):
    """What the driver prints when a program is done."""
    main = next((t[2] for t in TABLES if t[0] == line["workload"]), None)
    text = line.get("error") or line.get("unsupported")
    if not text and main and main[0] in line:
        text = "%s %s" % (shown(main[0], line[main[0]]), main[1])
    if "error" in line:
        text = "FAILED " + text + " " + line.get("stderr", "")[-300:].replace("\n", " | ")
    if line.get("busy_before", 0) > 0.1:
        text = "%s   (other work took %d%% of the machine)" % (text, line["busy_before"] * 100)
    return "%d  %-12s %-24s %s" % (line["round"] + 1, line["workload"], line["system"], text)


# What Remora promises. Each check: (text, function of Results that gives (whether it is met, the numbers)), None: not measured.

def claims():
    out = []

    def claim(text):
        def register(function):
            out.append((text, function))
            return function
        return register

    def at_most(x, limit, text):
        return None if x is None or limit is None else (x <= limit, text % (number(x), number(limit)))

    @claim("blocking call: at most 0.35 × the plain-Python ping-pong")
    def _(r):
        x, f = r.get("call", OURS, "p50_us"), r.get("call", "Python, os.read/write", "p50_us")
        return f and at_most(x, 0.35 * f, "%s µs, limit %s" + " (0.35 × %s)" % number(f))

    def below_best(workload, metric="p50_us", strictly=False, factor=1.0, without=()):
        def check(r):
            x = r.get(workload, OURS, metric)
            best, who = r.best(workload, metric, False, without=without)
            if x is None or best is None:
                return None
            return (x < best if strictly else x <= best * factor), "%s µs, best peer %s (%s)" % (number(x), number(best), who)
        return check

    out.append(("blocking call: below every peer, the compiled ones included", below_best("call", strictly=True)))

    @claim("blocking call on one core: at most 1.2 × JSON lines in plain Python")
    def _(r):
        x, f = r.get("call-pinned", OURS, "p50_us"), r.get("call-pinned", "Python, JSON lines", "p50_us")
        return f and at_most(x, 1.2 * f, "%s µs, limit %s" + " (1.2 × %s)" % number(f))

    out.append(("with 1 ms of thought between: no slower than the best peer", below_best("call-1ms", without=BESIDE_OTHERS)))
    out.append(("with 50 ms of thought between: no slower than the best peer", below_best("call-50ms", without=BESIDE_OTHERS)))

    @claim("beside a computing thread: no slower than the best peer")
    def _(r):
        found = below_best("call-busy", without=BESIDE_OTHERS)(r)
        rate, best = r.get("call-busy", OURS, "calls_s"), r.best("call-busy", "calls_s", True, ("python",))
        return found and best[0] and (found[0], found[1] + "; %s calls/s, best Python peer %s (%s)" % ((number(rate), number(best[0]), best[1]))) or found

    @claim("an idle connection uses no CPU (below 1 ms a second, both sides together)")
    def _(r):
        near, far = r.get("hold", OURS, "near_cpu_us_s"), r.get("hold", OURS, "far_cpu_us_s")
        return near is not None and far is not None and (near + far < 1000, "near %s, far %s µs/s" % (number(near), number(far))) or None

    @claim("1,000 calls outstanding: more a second than Cap'n Proto and gRPC in C++")
    def _(r):
        x = r.get("outstanding", OURS, "calls_s")
        found = [(r.get("outstanding", s, m), s) for s in ("Cap'n Proto (C++)", "gRPC (C++)") for m in ("calls_s", "stream_s")]
        found = [pair for pair in found if pair[0] is not None]
        return x and found and (x > max(found)[0], "%s, best %s (%s)" % (number(x), number(max(found)[0]), max(found)[1])) or None

    @claim("1,000 calls outstanding: more a second than every Python peer that sends each call by itself")
    def _(r):
        x = r.get("outstanding", OURS, "calls_s")
        best, who = r.best("outstanding", "calls_s", True, ("python",))
        return x and best and (x > best, "%s, best %s (%s)" % (number(x), number(best), who)) or None

    @claim("64 MiB of bytes: at least 2 × the best Python peer")
    def _(r):
        x = r.get("bytes", OURS, "mb_s")
        best, who = r.best("bytes", "mb_s", True, ("python",))
        return x and best and (x >= 2 * best, "%s MB/s, best peer %s (%s): %s ×" % (number(x), number(best), who, ratio(x, best))) or None

    @claim("64 MiB of bytes: extra peak memory at most 2 × the value on each side")
    def _(r):
        near, far = r.get("bytes", OURS, "near_peak_kb"), r.get("bytes", OURS, "far_peak_kb")
        if near is None or far is None:
            return None
        return max(near, far) <= 2 * 65536, "near %s, far %s MiB, limit 128" % (number(near / 1024), number(far / 1024))

    @claim("records: at most 1.3 × the time of managers")
    def _(r):
        x, f = r.get("records", OURS, "s"), r.get("records", "managers", "s")
        return f and at_most(x, 1.3 * f, "%s s, limit %s" + " (1.3 × %s)" % number(f))

    @claim("start to first result: at most the bare interpreter + 12 ms")
    def _(r):
        x, f = r.get("spawn", OURS, "ms"), r.get("spawn", "bare process", "ms")
        return f and at_most(x, f + 12, "%s ms, limit %s" + " (%s + 12)" % number(f))

    @claim("start to first result: below execnet's")
    def _(r):
        x, f = r.get("spawn", OURS, "ms"), r.get("spawn", "execnet", "ms")
        return x and f and (x < f, "%s ms, execnet %s" % (number(x), number(f))) or None

    @claim("over ssh: at most `ssh HOST true` + 25 ms")
    def _(r):
        x, f = r.get("spawn-ssh", OURS, "ms"), r.get("spawn-ssh", "bare process", "ms")
        return f and at_most(x, f + 25, "%s ms, limit %s" + " (%s + 25)" % number(f))

    @claim("at most 20 KB on the wire before the first result (both ways, a class of one's own shipped)")
    def _(r):
        there, back = r.get("wire", OURS, "shipped_there_bytes"), r.get("wire", OURS, "shipped_back_bytes")
        return there and (there + back <= 20000, "%d there + %d back" % (there, back)) or None

    @claim("50 far processes at once: at most 0.7 × execnet's time")
    def _(r):
        x, f = r.get("fifty", OURS, "ms"), r.get("fifty", "execnet", "ms")
        return f and at_most(x, 0.7 * f, "%s ms, limit %s" + " (0.7 × %s)" % number(f))

    @claim("a far side no larger than execnet's (PSS, every process counted)")
    def _(r):
        x, f = r.get("hold", OURS, "far_pss_kb"), r.get("hold", "execnet", "far_pss_kb")
        return f and x and at_most(x / 1024, f / 1024, "%s MiB, execnet %s")

    for workload, text in (("mixed", "go out"), ("mixed-back", "go out and come back")):
        def check(r, workload=workload):
            return at_most(r.get(workload, OURS, "p99_us"), 1000, "%s µs, limit %s")
        out.append(("small calls while 64 MiB %s on another connection: p99 at most 1 ms" % text, check))

    for system, limit, beside, whose in (("Ruby to Ruby", 0.25, "DRb", "DRb's"), ("C to C", 0.3, "C, pipes", "the ping-pong in C"),
                                         ("LuaJIT to LuaJIT", 0.3, "C, pipes", "the ping-pong in C"),
                                         ("Lua to Lua", 0.5, "C, pipes", "the ping-pong in C")):
        def check(r, system="Remora, " + system, limit=limit, beside=beside):
            x, f = r.get("call", system, "p50_us"), r.get("call", beside, "p50_us")
            return f and x and (x <= limit * f, "%s µs, %s %s: %s ×" % (number(x), beside, number(f), ratio(x, f)))
        out.append(("%s, blocking call: at most %g × %s" % (system, limit, whose), check))

    @claim("C to C, 1,000 calls outstanding: at least 300,000 a second")
    def _(r):
        x = r.get("outstanding", "Remora, C to C", "calls_s")
        found = ["%s %s (%s ×)" % (s, number(p), ratio(x, p)) for s, p in
                 ((s, r.get("outstanding", s, "calls_s")) for s in ("Cap'n Proto (C++)", "sd-bus (C)")) if x and p]
        return x and (x >= 300000, "; ".join([number(x)] + found))
    return out


def checked(results):
    """[(text, "met" | "not met" | "not measured", numbers)]"""
    out = []
    for text, function in claims():
        found = function(results)
        if not found:
            out.append((text, "not measured", ""))
        else:
            out.append((text, "met" if found[0] else "not met", found[1]))
    return out


def notes(results, workload):
    said = []
    if workload == "outstanding":
        said += ["%s: %s." % (s, NOT_BY_ITSELF[s]) for s in results.systems(workload) if s in NOT_BY_ITSELF]
    return said


def noise(results):
    busy = [line["busy_before"] for line in results.lines if "busy_before" in line]
    steal = [line["steal"] for line in results.lines if "steal" in line]
    if not busy:
        return ""
    return "Other work on the machine before a measurement: median %.1f %%, at most %.1f %%; taken by the host: at most %.1f %%." % (
        100 * statistics.median(busy), 100 * max(busy), 100 * max(steal))


def table_text(head, body, markdown):
    if markdown:
        lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
        for row in body:
            mark = "**" if row[0].startswith(OURS) else ""
            lines.append("| " + " | ".join(mark + cell + mark if cell else "" for cell in row) + " |")
        return "\n".join(lines)
    widths = [max(len(row[i]) for row in [head] + [b for b in body if i == 0 or b[-1]]) for i in range(len(head))]
    def line(row):
        if not row[-1] and len(row) > 2:
            return row[0].ljust(widths[0]) + "  " + row[1]
        return row[0].ljust(widths[0]) + "  " + "  ".join(c.rjust(w) for c, w in zip(row[1:], widths[1:]))
    return "\n".join([line(head)] + [line(row) for row in body])


def plain(lines, workloads):
    results, out = Results(lines), []
    for table in TABLES:
        if results.systems(table[0]):
            head, body = rows(results, table)
            out += ["%s (%s)" % (table[1], table[0]), table_text(head, body, False)] + notes(results, table[0]) + [""]
    out.append("What Remora promises")
    for text, verdict, numbers in checked(results):
        out.append("  %-13s %s%s" % (verdict, text, ": " + numbers if numbers else ""))
    return "\n".join(out + ["", noise(results)])


def markdown(lines, workloads):
    results = Results(lines)
    about = results.about
    out = ["# Measurements", "",
           "Written by `bench/run.py`; `bench/README.md` says what each workload is and how to read this.", "",
           "%s. %s. %d round%s, systems interleaved; a figure is the median of the rounds, with (lowest–highest)." % (
               about["machine"], about["when"], about["rounds"], "" if about["rounds"] == 1 else "s")]
    if about["quick"]:
        out += ["", "**This was a quick run: short measurements. Not for comparison with other runs.**"]
    out += ["", noise(results), "", "; ".join("%s %s" % pair for pair in about["versions"].items()) + ".", "",
            "Ratios are value / floor and value / best peer in the unit of the main column: for times and sizes less is better, for calls/s and "
            "MB/s more.", "", "![bars](bench.svg)", ""]
    for table in TABLES:
        workload = table[0]
        if not results.systems(workload):
            continue
        head, body = rows(results, table)
        text = workloads[workload].text
        out += ["## %s" % table[1], "", "`%s`: %s.%s" % (workload, text, " Floor: %s." % table[4] if table[4] else ""), "",
                table_text(head, body, True), ""]
        for note in notes(results, workload):
            out += [note, ""]
    if about["left_out"]:
        out += ["## Left out", ""] + ["- %s: %s" % pair for pair in about["left_out"].items()] + [""]
    out += ["## What Remora promises", "", "| promise | | measured |", "|---|---|---|"]
    for text, verdict, numbers in checked(results):
        out.append("| %s | %s | %s |" % (text, "**not met**" if verdict == "not met" else verdict, numbers))
    return "\n".join(out) + "\n"


STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 13px }
.small { font-size: 11px; fill: #59636e }
.ours { fill: #0969da } .ours-text { font-weight: 600 }
.peer { fill: #9198a1 }
.floor { fill: none; stroke: #9198a1; stroke-dasharray: 3 2 }
.cut { stroke: #ffffff; stroke-width: 3 }
.back { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .small { fill: #9198a1 }
  .ours { fill: #4493f8 } .peer { fill: #656c76 } .floor { stroke: #656c76 }
  .cut { stroke: #0d1117 } .back { fill: #0d1117 }
}
"""


def svg(lines):
    """Small panels of bars, linear; a bar that would be many times the best one is cut."""
    results = Results(lines)
    width, column, gap, bar, pitch, label, value = 1000, 480, 20, 12, 18, 165, 90
    room = column - label - value
    columns, heights = [[], []], [gap + 24, gap + 24]
    for workload, title in PANELS:
        table = next(t for t in TABLES if t[0] == workload)
        metric, unit = table[2]
        more = table[5]
        found = [(results.get(workload, s, metric), s) for s in results.systems(workload)]
        found = sorted([f for f in found if f[0]], reverse=more)
        if not found:
            continue
        if metric.endswith("_kb"):
            found = [(v / 1024, s) for v, s in found]
        values = [v for v, _ in found]
        ours = next((v for v, s in found if s == OURS), statistics.median(values))
        limit = min(max(values), 6 * ours if not more else max(values))
        side = 0 if heights[0] <= heights[1] else 1
        x, y = gap / 2 + side * (column + gap), heights[side]
        out = columns[side]
        out.append('<text class="title" x="%g" y="%g">%s</text>' % (x, y + 10, escape(title)))
        out.append('<text class="small" x="%g" y="%g" text-anchor="end">%s, %s is better</text>' % (
            x + column, y + 10, escape(unit), "more" if more else "less"))
        y += 20
        for v, s in found:
            kind = results.kinds[s]
            style = "ours" if kind == "ours" else "floor" if kind == "floor" else "peer"
            length = max(1.5, room * min(1, v / limit))
            out.append('<text x="%g" y="%g" text-anchor="end"%s>%s</text>' % (
                x + label - 6, y + 10, ' class="ours-text"' if kind == "ours" else "", escape(s)))
            out.append('<rect class="%s" x="%g" y="%g" width="%.1f" height="%d" rx="2"/>' % (style, x + label, y, length, bar))
            if v > limit * 1.001:
                at = x + label + room - 14
                out.append('<path class="cut" d="M%g %gl6 %d"/>' % (at, y + bar + 1, -bar - 2))
            out.append('<text class="small" x="%.1f" y="%g">%s</text>' % (x + label + length + 5, y + 10, number(v)))
            y += pitch
        heights[side] = y + gap
    height = max(heights) + 4
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %g" role="img" aria-label="Remora beside floors and peers">' % (width, height)
    legend = ('<g transform="translate(%g 8)"><rect class="ours" width="14" height="12" rx="2"/><text x="20" y="10">Remora</text>'
              '<rect class="peer" x="90" width="14" height="12" rx="2"/><text x="110" y="10">peers</text>'
              '<rect class="floor" x="170" width="14" height="12" rx="2"/><text x="190" y="10">floors (nothing between)</text></g>' % (gap / 2))
    body = "\n".join(columns[0] + columns[1])
    return "%s\n<style>%s</style>\n<rect class=\"back\" width=\"100%%\" height=\"100%%\"/>\n%s\n%s\n</svg>\n" % (
        head, STYLE, legend, body)
