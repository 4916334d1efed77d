"""Sends one event per line of standard input through the published client's worker: arguments are address and key."""

import datetime
import json
import sys

from master_log_client import MasterLogClient

client = MasterLogClient(endpoint=sys.argv[1], api_key=sys.argv[2], async_mode=True)
for line in sys.stdin:
    event = json.loads(line)
    # Given a moment, not its text, so that the text is the client's.
    for name in ("created_at", "expires_at"):
        if name in event:
            event[name] = datetime.datetime.fromisoformat(event[name].replace("Z", "+00:00"))
    result = client.log(event.pop("text"), **event)
    assert result.ok, result
# A flush may answer before the worker has seen the last events; two that sent nothing are the end.
idle = 0
while idle < 2:
    result = client.flush()
    assert result.ok, result
    idle = 0 if result.accepted else idle + 1
client.shutdown()
