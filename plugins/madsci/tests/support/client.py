"""Everything the published client can do, against the server at the first argument. Fails by exception."""

import asyncio
import importlib.metadata
import json
import logging
import sys
import time
import warnings

from madsci.client.event_client import EventClient
from madsci.common.types.event_types import Event, EventLogLevel, EventType

NEW = importlib.metadata.version("madsci_client") == "0.8.1"
url = sys.argv[1]
# Arguments of this program would be taken for settings.
sys.argv = sys.argv[:1]
warnings.simplefilter("ignore")
logging.getLogger().setLevel(logging.CRITICAL)
client = EventClient(name="test", event_server_url=url, log_level=logging.DEBUG)
ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
NODE = "01ARZ3NDEKTSV4RRFFQ69G5FAW"
sent = 0


def wait_for(count):
    """Nothing tells when an event has arrived, so the server is asked."""
    global sent
    sent += count
    for _ in range(200):
        events = client.get_events(number=1000, level=0)
        if len(events) >= sent:
            break
        time.sleep(0.05)
    assert len(events) == sent, (len(events), sent)
    assert all(isinstance(event, Event) and event.event_id == key for key, event in events.items())
    return events


# Every type there is, and levels, alerts, sources.
types = list(EventType)
for kind in types:
    client.log(Event(event_type=kind, event_data={"kind": kind.value}))
events = wait_for(len(types))
back = {event.event_data["kind"]: event for event in events.values()}
assert all(back[kind.value].event_type == kind for kind in types)
for level in EventLogLevel:
    client.log(Event(event_type="test", log_level=level, source={"node_id": NODE, "user_id": ULID}, alert=True, event_data=level.name))
# The client's own threshold holds back the one below DEBUG.
events = wait_for(len(EventLogLevel) - 1)
assert sum(event.source.node_id == NODE and event.alert for event in events.values()) == 5

# Texts, values, nesting.
texts = ["", "täxt 日本 🦀 \u202e", "line\nline\r\n\t", "\x00\x01\x1b[31m\x7f", '"quotes" \\', "\u2028\u2029\ufeff", "日x" * 15000, "{}", "%s ${HOME}"]
data = [None, True, 1.5, 2**63 - 1, -(2**63), [1, [2, {"a": None}]], {"message": "first", "n": {"deep": [1, {"x": "ü"}]}}, {"n": 1, "message": "second"}, {"metlog": {"type": "x"}}, {"_id": 1, "id": "x", "via": "y"}]
before = {}
for content in texts + data:
    event = Event(event_type="log_info", event_data=content)
    before[event.event_id] = event
    client.log(event)
events = wait_for(len(texts) + len(data))
for key, event in before.items():
    got = client.get_event(key)
    assert got.model_dump() == event.model_dump(), (got, event)
    assert events[key] == got

# Every method.
for text in ["hello", "täxt \"x\"\n"]:
    for method in [client.debug, client.info, client.warning, client.error, client.critical, client.log_debug, client.log_info, client.log_warning, client.log_error, client.log_critical, client.warn]:
        method(text)
    wait_for(11)
try:
    raise ValueError("broken ünit")
except ValueError as error:
    client.log(error)
    events = wait_for(1)
    assert any("broken ünit" in str(event.event_data) and event.log_level == 40 for event in events.values())
client.alert("fire")
# 0.8.1 sends two.
events = wait_for(2 if NEW else 1)
assert any(event.alert and "fire" in str(event.event_data) for event in events.values())
if NEW:
    bound = client.bind(experiment_id="e-1", nested={"a": [1, 2]})
    bound.info("bound", step=1)
    bound.unbind("nested").error("unbound", event_type="workflow_start")
    try:
        raise KeyError("k")
    except KeyError:
        client.exception("caught", tags=["a", "b"])
    events = wait_for(3)
    datas = [event.event_data for event in events.values() if isinstance(event.event_data, dict)]
    assert {"message": "bound", "experiment_id": "e-1", "nested": {"a": [1, 2]}, "step": 1} in datas
    assert {"message": "unbound", "experiment_id": "e-1", "event_type": "workflow_start"} in datas

# Many at a time.
for number in range(200):
    client.info(f"burst {number}")
wait_for(200)

# Reads.
assert len(client.get_events(number=3, level=0)) == 3
newest = list(client.get_events(number=10, level=0).values())
assert all(first.event_timestamp >= second.event_timestamp for first, second in zip(newest, newest[1:]))
errors = client.get_events(number=1000, level=40)
assert errors and all(event.log_level >= 40 for event in errors.values())
assert client.get_events(number=5)
try:
    client.get_event("01ARZ3NDEKTSV4RRFFQ69G5FA0")
    raise AssertionError("there is none")
except Exception as error:
    assert "404" in str(error), error
everything = client.get_events(number=0, level=0)
assert client.query_events({}).keys() == everything.keys()
if NEW:
    found = client.query_events({"log_level": {"$gte": 40}, "event_type": {"$in": ["log_error", "log_critical"]}})
    assert found and all(event.log_level >= 40 and event.event_type.value in ("log_error", "log_critical") for event in found.values())
    assert [event.event_data["kind"] for event in client.query_events({"event_type": EventType.EXPERIMENT_CANCELLED}).values()] == ["experiment_cancelled"]
    assert client.query_events({"source.node_id": NODE, "alert": True, "event_data": {"$ne": "it's"}}).keys() == client.query_events({"source": {"node_id": NODE, "user_id": ULID}}).keys()
    assert len(client.query_events({"source.node_id": NODE})) == 5
    one = next(iter(errors))
    assert list(client.query_events({"_id": one})) == list(client.query_events({"event_id": one})) == [one]


    async def the_same():
        assert list(await client.async_query_events({"_id": one})) == [one]
        assert (await client.async_get_event(one)).event_id == one
        assert len(await client.async_get_events(number=2, level=0)) == 2

    asyncio.run(the_same())
else:
    # It sends the selector's keys only.
    try:
        client.query_events({"log_level": 40})
        raise AssertionError("that was not what was asked for")
    except Exception as error:
        assert "400" in str(error), error

# Reports: workflows of two users and a session, all on one day.
def at(hour, minute=0):
    return f"2026-03-02T{hour:02}:{minute:02}:00+00:00"


story = [
    ("workcell_start", 8, {"workcell_id": ULID, "name": "Bench"}, {"workcell_id": ULID}),
    ("node_start", 8, {"node_name": "Arm"}, {"node_id": NODE}),
    ("experiment_start", 9, {"experiment_id": "e1", "name": "Dye"}, {}),
    ("workflow_start", 9, {"workflow_id": "w1", "name": "mix", "author": "Ann"}, {}),
    ("action_status_change", 9, {"action_id": "a1", "status": "running"}, {"node_id": NODE}),
    ("action_status_change", 10, {"action_id": "a1", "status": "succeeded"}, {"node_id": NODE}),
    ("workflow_complete", 11, {"workflow_id": "w1", "author": "Ann", "status": {"completed": True}, "duration_seconds": 7200}, {}),
    ("experiment_failed", 10, {"experiment_id": "e1"}, {}),
    ("workcell_stop", 12, {"workcell_id": ULID}, {"workcell_id": ULID}),
]
for kind, hour, content, source in story:
    client.log(Event(event_type=kind, event_timestamp=at(hour), event_data=content, source=source))
wait_for(len(story))
day = {"start_time": at(0), "end_time": at(23, 59)}
report = client.get_session_utilization(**day)
(session,) = report["session_details"]
assert (session["session_name"], session["duration_hours"], session["system_utilization_percent"]) == ("Bench", 4.0, 25.0), session
assert session["node_utilizations"][NODE]["utilization_percent"] == 25.0
report = client.get_user_utilization_report(**day)
assert report["user_utilization"]["Ann"]["total_runtime_hours"] == 2.0, report
for analysis in ["hourly", "daily", "weekly", "monthly"]:
    report = client.get_utilization_periods(**day, analysis_type=analysis, user_timezone="Europe/Berlin")
    assert report["key_metrics"]["total_experiments"] == 1, report
    assert report["user_utilization"]["top_users"][0]["author"] == "Ann"
    assert report["experiment_details"]["experiments"][0]["status"] == "failed"
for report in [client.get_session_utilization, client.get_user_utilization_report, client.get_utilization_periods]:
    assert isinstance(report(), dict) and "error" not in report()
    table = report(**day, csv_export=True)
    assert isinstance(table, str) and table.startswith("==="), table
    assert "error" in report(**day, csv_export=True, save_to_file=True, output_path="/tmp")

# Archive, purge, backup: 0.5.2 has no calls for them.
if NEW:
    assert client.archive_events(event_ids=[one, "nobody"])["archived_count"] == 1
    assert client.get_event(one).archived and client.get_event(one).archived_at
    assert one not in client.get_events(number=0, level=0)
    assert client.archive_events(before_date="2026-03-03T00:00:00")["archived_count"] == len(story)
    assert client.purge_events(older_than_days=1)["deleted_count"] == 0
    assert client.purge_events(older_than_days=0)["deleted_count"] == len(story) + 1
    assert client.get_backup_status()["available_backups"] == []
    assert client.create_backup()["status"] == "completed"
    (backup,) = client.get_backup_status()["available_backups"]
    assert backup["is_valid"] and backup["created_at"]
print(json.dumps({"sent": sent}))
