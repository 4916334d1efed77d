"""Sends everything the published VictoriaLogs handler can send, through its worker and by hand; the argument is the URL.

Prints what must come of it: messages as the router writes them, without what is the same in all of them.
"""

import datetime
import json
import logging
import os
import sys

from vlogs_handler import VictoriaLogsHandler

BURST = 1500
SEVERITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
LARGE = "x\u00e9\u65e5\U0001f980\"\\\n" * 20000

expected = []


def expect(record, extra):
    fields = {
        "stream": record.name.split(".")[0], "module": record.module, "function": record.funcName,
        "line_number": record.lineno, "process_name": record.processName, "thread": record.thread,
        "thread_name": record.threadName, **extra,
    }
    if record.exc_info:
        fields["exception_name"] = record.exc_info[0].__name__
        fields["exception"] = logging.Formatter().formatException(record.exc_info)
    if record.levelname not in SEVERITIES:
        fields["level"] = record.levelname
    logger = fields.pop("logger", record.name)
    expected.append({
        "severity": SEVERITIES.get(record.levelname, 6), "payload": record.getMessage(), "timestamp": record.created,
        "logger": logger, "metlog_pid": os.getpid(), "fields": fields,
    })


def log(logger, level, text, /, *args, come=None, error=None, **extra):
    """`come` is what must come of those extras that do not come as they are."""
    extra["n"] = len(expected)
    record = logger.makeRecord(logger.name, level, "shop/pay.py", 7, text, args, error, "pay", extra)
    expect(record, {**extra, **(come or {})})
    logger.handle(record)


def everything(logger):
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL, 25):
        log(logger, level, "t\u00e4st \u65e5\U0001f980 \x00\x7f\u2028 \"\\\n%s")
    log(logger, logging.INFO, "user %s paid %d", "Bj\u00f6rk", 5)
    log(logger, logging.INFO, "")
    log(logger, logging.ERROR, LARGE, large=LARGE)
    try:
        try:
            json.loads("{")
        except ValueError as inner:
            raise KeyError("no such shop \u00fc") from inner
    except KeyError:
        log(logger, logging.CRITICAL, "failed", error=sys.exc_info())
    moment = datetime.datetime(2026, 1, 1, 2, tzinfo=datetime.timezone.utc)
    log(logger, logging.INFO, "types", big=2 ** 63, neg=-(2 ** 63), f=1e-300, yes=True, none=None, empty={}, list=[],
        nan=float("nan"), inf=[float("inf")], day=moment.date(), moment=moment, deep={"a": [{"b": [[1, [2, None]]]}]},
        come={"nan": None, "inf": [None], "day": "2026-01-01", "moment": "2026-01-01T02:00:00+00:00"})
    log(logger, logging.INFO, "own", stream="mine", logger="mine", id="e1", trace_id="tr")


def logger(name, **settings):
    made = logging.getLogger(name)
    made.setLevel(logging.DEBUG)
    made.handlers = [VictoriaLogsHandler(url=sys.argv[1], **settings)]
    return made


logging.addLevelName(25, "SUCCESS")
for made in (logger("shop.pay", start_worker=False, chunk_size=5), logger("worker", batch_size=100, flush_interval=5)):
    everything(made)
    for number in range(BURST):
        log(made, logging.INFO, "burst", number=number)
    made.handlers[0].close()
print(json.dumps(expected))
