"""Writes events through the published MADSci client while others write too; the argument is the URL.

Prints the events that it made itself, as the client holds them, and how many there are with those the client made.
"""

import json
import logging
import sys
import time
import warnings

from madsci.client.event_client import EventClient
from madsci.common.types.event_types import Event, EventLogLevel, EventManagerDefinition, EventType

url = sys.argv[1]
# Arguments of this program would be taken for settings.
sys.argv = sys.argv[:1]
warnings.simplefilter("ignore")
logging.getLogger().setLevel(logging.CRITICAL)
client = EventClient(name="test", event_server_url=url, log_level=logging.DEBUG)
NODE = "01ARZ3NDEKTSV4RRFFQ69G5FAW"
TEXTS = ["", "t\u00e4xt \u65e5\U0001f980 \x00\x7f\u2028", "line\nline\r\n", "\u65e5x" * 100_000, "{}", "NaN"]
DATA = [None, True, -2.5, 2 ** 63 - 1, [1, [2, {"a": None}]], {}, {"message": "first", "n": {"deep": [1, {"x": "\u00fc"}]}},
        {"n": 1, "message": "second"}, {"id": "x", "via": "y", "type": "z", "metlog": {"type": "x"}}]
mine = []


def send(**keywords):
    event = Event(**keywords)
    mine.append(event)
    client.log(event)


for kind in EventType:
    send(event_type=kind, event_data={"kind": kind.value})
for level in list(EventLogLevel)[1:]:
    send(event_type="test", log_level=level, alert=True, source={"node_id": NODE}, event_data=level.name)
for data in TEXTS + DATA:
    send(event_type="log_info", event_data=data)
for number in range(150):
    send(event_type="log_error", log_level=40, event_data={"message": f"burst {number}", "service": "checkout"})
for method in (client.debug, client.info, client.warning, client.error, client.critical):
    method("by name \u00fc")
try:
    raise ValueError("broken \u00fcnit")
except ValueError as error:
    client.log(error)

# Nothing tells when an event has arrived, so the server is asked, for what is ours.
by_name = 6
for _ in range(400):
    found = client.get_events(number=5000, level=0)
    texts = [str(event.event_data) for event in found.values()]
    if all(event.event_id in found for event in mine) and sum("by name" in text or "broken" in text for text in texts) >= by_name:
        break
    time.sleep(0.05)
for event in mine:
    assert found[event.event_id].model_dump() == event.model_dump(), (found.get(event.event_id), event)

try:
    import requests as http
except ImportError:
    import httpx as http
home = http.get(url).json()
assert home["status"] == "ok", home
assert EventManagerDefinition.model_validate(home).manager_type.value == "event_manager", home
print(json.dumps({"events": [event.model_dump(mode="json") for event in mine], "more": by_name}))
