"""Sends one record per line of standard input through the published handler, in one request; the argument is its URL."""

import json
import logging
import sys

from vlogs_handler import VictoriaLogsHandler

handler = VictoriaLogsHandler(url=sys.argv[1], start_worker=False)
handler.setLevel(logging.DEBUG)
for line in sys.stdin:
    record = json.loads(line)
    logger = logging.getLogger(record["logger"])
    logger.setLevel(logging.DEBUG)
    logger.handlers = [handler]
    level = logging.getLevelName(record["level"])
    made = logger.makeRecord(logger.name, level, "shop/pay.py", 7, record["message"], (), None, "pay", record["extra"])
    # The record's own would be the time of this call.
    made.created = record["created"]
    logger.handle(made)
handler.close()
