"""`python -m tests.load 10000`: play so many devices; the last line is JSON.

Without VIGIL_DATABASE_DSN on a platform of its own (embedded servers, ingest and processors), with
it on the installation that the environment names: its broker takes our messages under
VIGIL_MQTT_USERNAME, its register gets a community `c-load` whose boxes may send drills only, and
these are retired at the end.  Boxes share `--connections`: what is tried is what the platform
carries and stores, and not how many sockets a broker holds.  Nothing is sent again, as a real box
would after 60 s; what lacks its receipt is counted and makes the command fail.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import msgspec
import psycopg

from deploy.embedded.servers import EmbeddedStack
from tests.household import Household, migrate
from tests.load.boxes import COMMUNITY, ESTATE, Account, Boxes, rows, summary
from vigil import mqtt
from vigil.clock import utc_now
from vigil.errors import VigilError
from vigil.events import Receipt
from vigil.settings import DatabaseSettings, MqttSettings, load
from vigil.store.pool import open_pool
from vigil.store.seed import put_rows
from vigil.topics import Address, Kind, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import paho.mqtt.client as paho
    from pydantic import SecretStr

WINDOW: Final = 1000
"""Messages in flight on a connection."""
PIECE: Final = 1000
"""Devices that are registered at a time."""
SETTLE_S: Final = 8.0
"""After registering: processes look at the register every second, ingest trusts its own after 7 s."""
PATIENCE_S: Final = 120.0
"""For the last receipts: readings' may wait for newer ones."""


class LoadError(Exception):
    """The load cannot be played; the message says why."""


def say(text: str) -> None:
    """Print to people."""
    print(text, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__.split("\n")[0])
    parser.add_argument("devices", type=int, help="100 to 100,000")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between a device's messages")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long")
    parser.add_argument("--connections", type=int, default=8, help="MQTT connections that boxes share")
    given = parser.parse_args()
    if not 1 <= given.devices <= 100_000 or min(given.every, given.seconds, given.connections) <= 0:
        parser.error("1 to 100,000 devices; everything else above 0")
    return given


@contextmanager
def platform() -> Iterator[None]:
    """Run a platform of our own where none is named, and name it to the settings."""
    if os.environ.get("VIGIL_DATABASE_DSN"):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="vigil-load-") as folder, EmbeddedStack(Path(folder)) as stack:
        environment = {**os.environ, **stack.addresses.environment(), "VIGIL_LOG_LEVEL": "warning"}
        migrate(environment)
        with Household(environment, Path(folder)) as household:
            household.start("alarms", "processors", VIGIL_PROCESSOR_LANES="alarm,state,dead")
            household.start("bulk", "processors", VIGIL_PROCESSOR_LANES="bulk")
            household.start("ingest", "ingest")
            household.wait_ready()
            os.environ.update(stack.addresses.environment())
            yield


async def register(dsn: SecretStr, devices: int) -> None:
    """Put the boxes and their devices into the register.

    In pieces: a statement on which the database is silent for long is taken for a database that stands.
    """
    tables = rows(devices)
    device_rows = tables.pop("device")
    async with open_pool(dsn, "load", 1) as pool:
        async with pool.transaction() as connection:
            await put_rows(connection, tables)
        for start in range(0, len(device_rows), PIECE):
            async with pool.transaction() as connection:
                await put_rows(connection, {"device": device_rows[start : start + PIECE]})


def retire(dsn: SecretStr, *, retired: bool) -> None:
    """Take our boxes out of use, or into use again, so that nobody waits for them afterwards."""
    with psycopg.connect(dsn.get_secret_value()) as connection:
        connection.execute(
            "UPDATE node SET retired_at = CASE WHEN %s THEN now() END WHERE estate = %s AND id LIKE 'load-n%%'",
            [retired, ESTATE],
        )


@contextmanager
def connected(settings: MqttSettings, count: int) -> Iterator[list[paho.Client]]:
    """Connect; leave at the end.

    Raises:
        LoadError: The broker does not take us within 10 s.
    """
    clients = [
        mqtt.client(settings, f"load-{secrets.token_hex(4)}", window=WINDOW, clean=True) for _ in range(count)
    ]
    try:
        for client in clients:
            mqtt.connect(client, settings, window=WINDOW, clean=True)
            client.loop_start()
        deadline = time.monotonic() + 10
        while not all(client.is_connected() for client in clients):
            if time.monotonic() > deadline:
                raise LoadError(f"the broker at {settings.mqtt_host}:{settings.mqtt_port} does not take us")
            time.sleep(0.05)
        yield clients
    finally:
        for client in clients:
            client.disconnect()
            client.loop_stop()


def listen(client: paho.Client, account: Account) -> None:
    """Tell the account of every receipt from now on."""
    read = msgspec.json.Decoder(Receipt).decode

    def on_message(source: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        source.ack(message.mid, message.qos)
        account.stored(parse(message.topic).address.node, read(message.payload), time.monotonic())

    client.on_message = mqtt.guarded(on_message)
    client.subscribe(Address(COMMUNITY, ESTATE, "+").topic(Kind.RECEIPT), qos=1)


def play(
    clients: list[paho.Client], boxes: Boxes, account: Account, rate: float, seconds: float
) -> dict[str, Any]:
    """Publish at a rate.

    Returns:
        How many `events`, their `events_s`, and `late_s`: how far we fell behind at most.
    """
    began, late = time.monotonic(), 0.0
    count = max(1, int(rate * seconds))
    for number in range(count):
        wait = began + number / rate - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        late = max(late, -wait)
        message, lane, seq = boxes.next(utc_now())
        account.sent(message.node, lane, seq, time.monotonic())
        # A box's messages go over one connection, so that they stay in order.
        clients[crc32(message.node.encode()) % len(clients)].publish(message.topic, message.payload, qos=1)
    took = max(time.monotonic() - began, 1 / rate)
    return {"events": count, "events_s": round(count / took, 1), "late_s": round(late, 2)}


def wait_for_receipts(account: Account) -> int:
    """Return how many messages have no receipt after everybody had time enough."""
    deadline = time.monotonic() + PATIENCE_S
    while (left := account.outstanding()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def measure(given: argparse.Namespace) -> Mapping[str, Any]:
    """Register, play, wait, and return what the last line says."""
    dsn, settings = load(DatabaseSettings).database_dsn, load(MqttSettings)
    asyncio.run(register(dsn, given.devices))
    retire(dsn, retired=False)
    say(f"{given.devices:,} devices are registered; begins in {SETTLE_S:.0f} s")
    try:
        time.sleep(SETTLE_S)
        account = Account()
        boxes = Boxes(given.devices, f"1-{secrets.token_hex(4)}", seed=given.devices)
        with connected(settings, given.connections + 1) as (listener, *clients):
            listen(listener, account)
            played = play(clients, boxes, account, given.devices / given.every, given.seconds)
            left = wait_for_receipts(account)
    finally:
        retire(dsn, retired=True)
    return {"devices": given.devices, **played, **summary(account.waits), "unreceipted": left}


def main() -> int:
    """Return 0 if everything that was sent is stored."""
    given = arguments()
    try:
        with platform():
            found = measure(given)
    except (LoadError, VigilError) as error:
        say(str(error))
        return 1
    print(json.dumps(found))
    return int(found["unreceipted"] > 0)


if __name__ == "__main__":
    sys.exit(main())
