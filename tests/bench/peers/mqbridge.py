"""mq-bridge (a Rust engine with Python bindings): a route from MQTT to Kafka, nothing validated.

`python mqbridge.py MQTT_PORT KAFKA TOPIC IDEMPOTENT`; it acknowledges after Kafka, as we do
(its `delayed_ack`, which would be earlier, is off for both ends by default).  Its build of
librdkafka has no zstd, which we and the usual parts use; its lz4 is of the quick kind.
"""

from __future__ import annotations

import sys

from mq_bridge import Route  # type: ignore[import-not-found]  # in its own environment

port, bootstrap, topic, idempotent = sys.argv[1:5]
options = [["acks", "all"], ["compression.type", "lz4"], ["enable.idempotence", idempotent]]
Route.from_config(
    {
        "input": {
            "mqtt": {
                "url": f"tcp://127.0.0.1:{port}",
                "topic": "vigil/v1/+/+/+/telemetry/+",
                "client_id": "mqbridge",
                "qos": 1,
                "max_inflight": 1000,
                "queue_capacity": 1000,
            }
        },
        "output": {"kafka": {"url": bootstrap, "topic": topic, "producer_options": options}},
        "batch_size": 512,
    }
).run()
