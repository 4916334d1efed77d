"""Sends through one published client until a file is there, and then waits until the client has nothing left, as far as
that can be told. Each event is a mark with the client's name and a number, `<masterlog:5>`.

Arguments: the client, the URL, the file. Prints how many were sent.
"""

import logging
import os
import signal
import sys
import time
import warnings

which, url, stop = sys.argv[1:]
sys.argv = sys.argv[:1]
warnings.simplefilter("ignore")
signal.alarm(90)
finish = lambda: None
pause = 0.005

if which == "masterlog":
    from master_log_client import MasterLogClient

    client = MasterLogClient(endpoint=url, api_key="k", async_mode=True, batch_size=20, flush_interval_seconds=0.05,
                             initial_send_seconds_per_log=0, backpressure=False)
    send = lambda text: client.info(text)

    def finish():
        idle = 0
        while idle < 2:
            result = client.flush(timeout_seconds=20)
            assert result.ok, result
            idle = 0 if result.accepted else idle + 1
        # Its process would outlive this one.
        client.shutdown()
elif which == "victorialogs":
    from vlogs_handler import VictoriaLogsHandler

    handler = VictoriaLogsHandler(url=url, batch_size=20, chunk_size=20, flush_interval=0.1)
    logger = logging.getLogger("steady")
    logger.setLevel(logging.DEBUG)
    logger.handlers = [handler]
    send = logger.info

    def finish():
        while handler._buffer.qsize():
            time.sleep(0.05)
        # The last chunk may be under way.
        handler._worker_shutdown.set()
        handler._worker_run.set()
        handler._worker_thread.join(10)
        while handler._buffer.qsize():
            handler.flush()
elif which == "logcollector":
    from log_collector import AsyncLogClient

    # From 100 entries on a batch is compressed.
    client = AsyncLogClient(server_url=url, service="steady", batch_size=150, flush_interval=0.05)
    send = client.info

    def finish():
        client._stop_event.set()
        client._worker_thread.join()
        client.flush()
else:
    from madsci.client.event_client import EventClient

    logging.getLogger().setLevel(logging.CRITICAL)
    client = EventClient(name="steady", event_server_url=url)
    send, pause = client.info, 0.04
    # Neither release can be asked: what is under way is given some time.
    finish = lambda: time.sleep(3)

sent = 0
while not os.path.exists(stop):
    send(f"<{which}:{sent}>")
    sent += 1
    time.sleep(pause)
finish()
print(sent, flush=True)
# Exit hooks would wait, or send again what there is.
os._exit(0)
