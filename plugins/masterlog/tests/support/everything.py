"""Sends everything the published client can say, through its worker and one at a time; the argument is the address.

Prints what must come of it: messages as the router writes them, without what is the same in all of them.
"""

import datetime
import json
import os
import socket
import sys
import uuid

from master_log_client import MasterLogClient

BURST = 250
ZONE = datetime.timezone(datetime.timedelta(hours=2))
ID = uuid.UUID("f81d4fae-7dec-11d0-a765-00a0c91e6bf6")
DEEP = {"a": {"b": {"c": [{"d": [1, [2, [3]]]}]}}}
LARGE = "x\u00e9\u65e5\U0001f980\"\\\n" * 10000


def case(arguments, keywords, number, text, /, **fields):
    timestamp = fields.pop("timestamp", None)
    fields.setdefault("title", text.strip().splitlines()[0][:120] if text.strip() else "Python log event")
    expected = {"severity": number, "payload": text, "fields": fields}
    if timestamp:
        expected["timestamp"] = timestamp
    return arguments, keywords, expected


MOMENT = datetime.datetime(2026, 1, 1, 2, 0, 0, 500000, ZONE)
MOMENT_TEXT = "2026-01-01T00:00:00.500000Z"

cases = [
    case(("trace",), {"severity": "trace"}, 7, "trace", level="trace"),
    case(("debug",), {"severity": "debug"}, 7, "debug"),
    case(("info",), {"severity": "info"}, 6, "info"),
    case(("warn",), {"severity": " WARN "}, 4, "warn"),
    case(("error",), {"severity": "error"}, 3, "error"),
    case(("fatal",), {"severity": "fatal"}, 2, "fatal"),
    case(("a", 1, None, 2.5, [3]), {"sep": "|", "end": "!"}, 6, "a|1|None|2.5|[3]!"),
    case((), {}, 6, ""),
    case(("first \nsecond",), {}, 6, "first \nsecond"),
    case(("b",), {"title": "  t\t", "body": "other"}, 6, "other", title="t"),
    case(("\u00e9\u65e5\U0001f980\x00\x7f\u2028\"\\\t",), {}, 6, "\u00e9\u65e5\U0001f980\x00\x7f\u2028\"\\\t",
         title="\u00e9\u65e5\U0001f980\x00\x7f"),
    case(("half \ud800 of \udc00 it",), {}, 6, "half \ufffd of \ufffd it"),
    case(("large",), {"body": LARGE}, 6, LARGE),
    case(("tags",), {"tags": "b, a,,a ,B,\u00e9"}, 6, "tags", tags=["B", "a", "b", "\u00e9"]),
    case(("tags",), {"tags": ["b,c", 5, "  "]}, 6, "tags", tags=["5", "b", "c"]),
    case(("life",), {"ttl_seconds": 60, "expires_at": MOMENT}, 6, "life", ttl_seconds=60, expires_at=MOMENT_TEXT),
    case(("life",), {"ttl_seconds": "soon", "expires_at": "whenever"}, 6, "life",
         ttl_seconds="soon", expires_at="whenever"),
    case(("life",), {"ttl_seconds": float("nan")}, 6, "life", ttl_seconds="NaN"),
    case(("life",), {"ttl_seconds": {"days": [1]}}, 6, "life", ttl_seconds={"days": [1]}),
    case(("then",), {"created_at": MOMENT}, 6, "then", timestamp=MOMENT_TEXT),
    case(("then",), {"created_at": datetime.datetime(2026, 1, 1)}, 6, "then",
         timestamp="2026-01-01T00:00:00.000000Z", created_at="2026-01-01T00:00:00Z"),
    case(("then",), {"created_at": "yesterday"}, 6, "then", created_at="yesterday"),
    case(("metadata",), {"metadata": DEEP}, 6, "metadata", **DEEP),
    case(("odd",), {"metadata": {
        "nan": float("nan"), "inf": [float("inf"), -float("inf")], "big": 2 ** 200, "neg": -(2 ** 63),
        "lone": "\ud83e", "nul": "\x00", "\udfff": 1, "when": MOMENT, "id": ID, "set": {1}, "bytes": b"\xff", "e": {}, "l": [],
        "none": None, "t": True, "f": 1e-300, "error": ValueError("bad"), "1": "one", 2: "two", None: 0,
    }}, 6, "odd", nan="NaN", inf=["Infinity", "-Infinity"], big=2 ** 200, neg=-(2 ** 63), lone="\ufffd", nul="\x00",
         when=MOMENT_TEXT, _id=str(ID), set="{1}", bytes="b'\\xff'", e={}, l=[], none=None, t=True, f=1e-300, error="bad",
         **{"\ufffd": 1, "1": "one", "2": "two", "null": 0}),
    case(("taken",), {"metadata": {"python_client": "mine", "title": 1, "tags": 2, "body": 3, "severity": 4},
                      "tags": "x"}, 6, "taken", tags=["x"], python_client="mine", _title=1, _tags=2, body=3, severity=4),
]
ids = []


def send(way, client, results):
    for number, (arguments, keywords, _) in enumerate(cases):
        keywords = dict(keywords)
        keywords["metadata"] = {**keywords.get("metadata", {}), "n": number, "way": way}
        results.append(client.log(*arguments, **keywords))
    for number in range(BURST):
        results.append(client.info("burst", metadata={"n": len(cases) + number, "way": way}))


url = sys.argv[1]
worker = MasterLogClient(endpoint=url, api_key="k", async_mode=True, initial_send_seconds_per_log=0)
results = []
send("worker", worker, results)
assert all(result.ok for result in results), results
accepted, idle = 0, 0
while idle < 2:
    result = worker.flush()
    assert result.ok, result
    accepted += result.accepted
    idle = 0 if result.accepted else idle + 1
assert accepted <= len(results), accepted
worker.shutdown()

for way, address in (("one", url + "/api/v1/logs/"), ("odd address", url + "/api/v1/logs/batch")):
    results = []
    send(way, MasterLogClient(endpoint=address, api_key="k", async_mode=False), results)
    assert all(result.ok and result.accepted == 1 and result.event_id for result in results), results
    if way == "one":
        ids = [result.event_id for result in results]

json.dump({
    "expected": [expected for _, _, expected in cases], "ways": ["worker", "one", "odd address"], "burst": BURST,
    "ids": ids, "pid": os.getpid(), "hostname": socket.gethostname(),
}, sys.stdout)
