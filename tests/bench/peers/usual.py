"""A bridge of the usual parts: aiomqtt, pydantic, aiokafka's `send` for each message.

`python usual.py MQTT_PORT KAFKA TOPIC` with the settings of our own producer.  aiomqtt has
acknowledged a message before this code sees it.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import aiomqtt
from aiokafka import AIOKafkaProducer
from models import events  # type: ignore[import-not-found]  # beside this script, in its own environment


async def main(port: int, bootstrap: str, topic: str) -> None:
    """Carry for ever."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=IDEMPOTENT, compression_type="zstd"
    )
    await producer.start()
    client: Any
    async with aiomqtt.Client("127.0.0.1", port, identifier="usual", clean_session=False) as client:
        await client.subscribe("vigil/v1/+/+/+/telemetry/+", qos=1)
        async for message in client.messages:
            event = events.validate_json(message.payload)
            node = str(message.topic).split("/")[4]
            if event.source.endswith(f"/{node}"):
                await producer.send(topic, message.payload, node.encode())


IDEMPOTENT = sys.argv[4] == "true"
asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
