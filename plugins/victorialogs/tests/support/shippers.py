"""Sends by the client that the first argument names, to the URL in the second."""

import logging
import sys

kind, url = sys.argv[1:]

if kind == "loki":
    import logging_loki

    handler = logging_loki.LokiHandler(url=url + "/insert/loki/api/v1/push", tags={"app": "shop"}, version="1")
    logger = logging.getLogger("pay")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    for number in range(20):
        logger.error("order %d 🦀", number, extra={"tags": {"number": str(number)}})
else:
    from elasticsearch import Elasticsearch, helpers

    client = Elasticsearch(url + "/insert/elasticsearch", http_compress=True)
    print(client.info()["version"]["number"], client.ping(), client.cluster.health()["status"])
    documents = [
        {"_index": "shop", "_id": f"o{number}", "_source": {
            "@timestamp": f"2026-09-21T14:13:20.{number:03}Z", "message": f"order {number} 🦀", "number": number,
            "log": {"level": "error"},
        }}
        for number in range(50)
    ]
    print(*helpers.bulk(client, documents, chunk_size=20))
    print(*helpers.bulk(client, [{"_op_type": "create", "_index": "shop", "message": "created"}]))
    done, failed = helpers.bulk(
        client, [{"_index": "shop", "message": "good"}, {"_index": "shop", "@timestamp": "soon"}],
        raise_on_error=False, stats_only=True,
    )
    print(done, failed)
    try:
        client.bulk(body="no JSON\n")
    except Exception as error:
        print(type(error).__name__, error.status_code)
