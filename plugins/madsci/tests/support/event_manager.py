"""A published event manager with its store in memory. Says its port on standard output once it listens."""

import socket

import uvicorn
from madsci.event_manager.event_server import EventManager

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
port = listener.getsockname()[1]
try:
    from madsci.common.db_handlers.document_storage_handler import InMemoryDocumentStorageHandler

    manager = EventManager(document_handler=InMemoryDocumentStorageHandler())
except ImportError:
    # 0.5.2 speaks to MongoDB; its stand-in lacks one method of the cursors.
    import mongomock

    mongomock.collection.Cursor.to_list = lambda cursor: list(cursor)
    manager = EventManager(db_connection=mongomock.MongoClient()["events"])
app = manager.create_server()
print(f"port {port}", flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
