"""Sends everything the published client can say, in each of its ways; the argument is the address.

Prints what must come of it: messages as the router writes them, without what is the same in all of them.
"""

import asyncio
import collections
import contextvars
import copy
import json
import sys
import threading
import uuid

from log_collector import AsyncLogClient

SEVERITIES = {"TRACE": 7, "DEBUG": 7, "INFO": 6, "WARN": 4, "ERROR": 3, "FATAL": 2}
LARGE = "x\u00e9\u65e5\U0001f980\"\\\n" * 10000

seen = []


class Recording(collections.deque):
    """The client's queue, which remembers."""

    def append(self, entry):
        entry["n"] = len(seen)
        seen.append(copy.deepcopy(entry))
        super().append(entry)


def client(**keywords):
    made = AsyncLogClient(server_url=sys.argv[1], **keywords)
    made.queue = Recording(maxlen=made.max_queue_size)
    return made


def clean(value):
    """What JSON cannot hold, as the router writes it."""
    if isinstance(value, dict):
        return {clean(name): clean(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [clean(inner) for inner in value]
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    return value


def message(entry):
    entry = clean(json.loads(json.dumps(entry)))
    level, text, at = entry.pop("level"), entry.pop("message"), entry.pop("created_at")
    if level == "TRACE":
        entry["level"] = level
    return {"severity": SEVERITIES[level], "payload": text, "timestamp": at, "logger": entry.get("service", ""),
            "fields": entry}


def everything(log):
    for level in ("trace", "debug", "info", "warn", "error", "fatal"):
        getattr(log, level)(level + " \u00e9\u65e5\U0001f980\x00\x7f\u2028\"\\\n")
    log.info("half \ud800 of \udc00 it", **{"\udfff": "\ud83e"})
    log.info("", auto_caller=False)
    log.info(LARGE, large=LARGE)
    log.info("moments", created_at=1795212050.25)
    log.info("moments", created_at=1795212050)
    log.info("odd", nan=float("nan"), inf=[float("inf"), -float("inf")], big=2 ** 200, neg=-(2 ** 63), small=1e-300,
             none=None, true=True, empty={}, list=[], nul="\x00", deep={"a": [{"b": [[1, [2]]]}], 1: "one", None: 0})
    log.info("columns", trace_id=str(uuid.uuid4()), user_id=7, session_id="s", path="/pay", method="CONNECT",
             action_type="click", service="other", environment="prod", service_version="v9", log_type="IOT",
             function_name="pay", file_path="shop/pay.py", metadata={"a": {"b": [1, None]}}, memory_mb=512, ip="::1")
    try:
        json.loads("{")
    except ValueError as error:
        log.error_with_trace("failed", exception=error, order=5)
    log.error_with_trace("without exception")
    started = log.start_timer()
    log.end_timer(started, "WARN", "timed by hand", rows=3)
    with log.timer("timed", level="DEBUG", rows=3):
        pass

    @log.measure("measured")
    def work():
        return 5

    assert work() == 5
    with AsyncLogClient.user_context(user_id="u", tenant_id="t"):
        log.info("outer")
        with AsyncLogClient.user_context(user_id="inner", trace_id="tr"):
            log.info("inner")
            context = contextvars.copy_context()
            thread = threading.Thread(target=lambda: context.run(log.info, "in a thread"))
            thread.start()
            thread.join()
        log.info("outer again")
    AsyncLogClient.set_request_context(path="/r", method="GET", user_id="r")
    AsyncLogClient.set_user_context(user_id="u", session_id="s")
    log.info("both contexts")
    AsyncLogClient.clear_request_context()
    AsyncLogClient.clear_user_context()
    log.info("no context")


# All at once, plain and compressed.
for compress in (False, True):
    log = client(flush_interval=600, service="checkout", environment="staging", service_version="v1", log_type="WORKER",
                 enable_compression=compress)
    everything(log)
    for number in range(150):
        log.info("burst", number=number)
    log.flush()
    assert not log.queue

# By the worker, batches of any size.
log = client(flush_interval=0.05, batch_size=100)
everything(log)
for number in range(1234):
    log.info("burst", number=number)
asyncio.run(log.close())

# At the end, more than usual in one request, and with the hook for what nobody caught.
log = client(flush_interval=600, service="last", enable_global_error_handler=True)
log._original_excepthook = None
for number in range(1800):
    log.info("burst", number=number)
try:
    raise KeyError("nobody catches this")
except KeyError:
    sys.excepthook(*sys.exc_info())
log.flush()

print(json.dumps([message(entry) for entry in seen]))
