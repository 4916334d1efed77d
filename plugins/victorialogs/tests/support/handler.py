"""Sends everything the published handler can send, in two requests; the argument is the server's URL."""

import datetime
import logging
import sys

from vlogs_handler import VictoriaLogsHandler

handler = VictoriaLogsHandler(url=sys.argv[1], start_worker=False, chunk_size=5)
handler.setLevel(logging.DEBUG)
logger = logging.getLogger("shop.pay")
logger.setLevel(logging.DEBUG)
logger.handlers = [handler]
logging.addLevelName(25, "SUCCESS")


def log(created, level, message, extra=None, error=None):
    made = logger.makeRecord("shop.pay", level, "shop/pay.py", 7, message, (), error, "pay", extra)
    # The record's own would be the time of this call.
    made.created = created
    logger.handle(made)


log(1790000000.1234567, logging.DEBUG, "first")
log(1790000000.5, logging.INFO, "täst 🦀 \0 \"\n%s")
log(1790000000, logging.WARNING, "")
log(1790000001, logging.ERROR, "x" * 300_000)
try:
    raise ValueError("no such shop")
except ValueError:
    log(1790000002, logging.CRITICAL, "failed", error=sys.exc_info())
log(1790000003, 25, "custom")
log(1790000004, logging.INFO, "types", {
    "n": -7, "big": 2**63, "f": 2.5, "nan": float("nan"), "yes": True, "none": None, "list": [1, "a", {"b": None}],
    "map": {"a": {"b": "c"}, "empty": {}}, "day": datetime.date(2026, 9, 21), "set": frozenset(),
})
log(1790000005, logging.INFO, "own", {"stream": "mine", "logger": "mine", "level": "error", "id": "e1"})
log(1790000006, logging.INFO, "clash", {"severity": 3, "type": 5, "hostname": "app01", "fields": {"a": 1}, "via": "x"})
handler.close()
