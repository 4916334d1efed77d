"""What each published client does with a key. Arguments: the client, the URL, a key, the URL with a key in it.

Sends one event with the payload `with a key`, and one `without` by a key that is wrong. Prints what the client says of it.
"""

import logging
import os
import signal
import sys
import time
import warnings

which, url, key, inside = sys.argv[1:]
sys.argv = sys.argv[:1]
warnings.simplefilter("ignore")
signal.alarm(60)
WRONG = "metlog_" + "0" * 40

if which == "masterlog":
    from master_log_client import MasterLogClient

    for mode in (False, True):
        client = MasterLogClient(endpoint=url, api_key=key, async_mode=mode)
        assert client.info("with a key").ok
        assert client.flush().ok or not mode
        client.shutdown()
    result = MasterLogClient(endpoint=url, api_key=WRONG, async_mode=False).info("without")
    print(result.ok, result.error)
elif which == "logcollector":
    from log_collector import AsyncLogClient

    for base in (inside, inside.replace(key, WRONG), url):
        client = AsyncLogClient(server_url=base, max_retries=0, flush_interval=600)
        client.info("with a key" if base == inside else "without")
        client.flush()
elif which == "victorialogs":
    from vlogs_handler import VictoriaLogsHandler

    handler = VictoriaLogsHandler(url=url)
    logging.getLogger("keys").addHandler(handler)
    logging.getLogger("keys").error("with a key")
    handler.close()
else:
    from madsci.client.event_client import EventClient

    logging.getLogger().setLevel(logging.CRITICAL)
    for base in (inside + "/", inside.replace(key, WRONG) + "/", url + "/"):
        EventClient(name="keys", event_server_url=base).info("with a key" if base.startswith(inside) else "without")
    time.sleep(2)
sys.stdout.flush()
os._exit(0)
