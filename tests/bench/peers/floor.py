"""The shortest way from a publish to a screen, without Kafka, validation or decisions.

`python -m tests.bench.peers.floor store MQTT_PORT DSN`: subscriber -> INSERT -> NOTIFY -> commit.
`python -m tests.bench.peers.floor show PORT DSN`: LISTEN -> server-sent events.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from typing import TYPE_CHECKING

import msgspec
import paho.mqtt.client as paho
import psycopg
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from paho.mqtt.enums import CallbackAPIVersion

from vigil.events import derived_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def store(port: int, dsn: str) -> None:
    """Write what arrives, a transaction for all that has come meanwhile."""
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[paho.MQTTMessage]()
    client = paho.Client(CallbackAPIVersion.VERSION2, "floor")
    client.on_connect = lambda *_: client.subscribe([("vigil/v1/#", 1)])
    client.on_message = lambda _c, _u, message: loop.call_soon_threadsafe(queue.put_nowait, message)
    client.connect("127.0.0.1", port)
    client.loop_start()
    connection = await psycopg.AsyncConnection.connect(dsn)
    while True:
        messages = [await queue.get()]
        while not queue.empty():
            messages.append(queue.get_nowait())
        async with connection.transaction(), connection.cursor() as cursor:
            rows = [(uuid.uuid4(), m.payload.decode()) for m in messages]
            await cursor.executemany("INSERT INTO floor (id, data) VALUES (%s, %s)", rows)
            for message in messages:
                if "/alarm/" in message.topic:
                    event = msgspec.json.decode(message.payload)["id"]
                    alert = derived_id("alert", derived_id("detection", "sos", event))
                    await cursor.execute("SELECT pg_notify('floor', %s)", [str(alert)])


def show(port: int, dsn: str) -> None:
    """Serve the stream."""
    app = FastAPI()

    async def heard() -> AsyncIterator[bytes]:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            await connection.execute("LISTEN floor")
            yield b": listening\n\n"
            async for notice in connection.notifies():
                yield b'event: raised\ndata: {"id":"%s"}\n\n' % notice.payload.encode()

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(heard(), media_type="text/event-stream")

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if sys.argv[1] == "store":
    asyncio.run(store(int(sys.argv[2]), sys.argv[3]))
else:
    show(int(sys.argv[2]), sys.argv[3])
