"""How a process lives and ends: tasks that die together, signals, and waiting for what is away."""

from __future__ import annotations

import asyncio
import gc
import random
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog
from prometheus_client import Histogram

from vigil.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
    from contextlib import AbstractAsyncContextManager

T = TypeVar("T")
lag = Histogram(
    "vigil_loop_lag_seconds",
    "How much later than it had asked for the event loop went on: what computes on it delays all else.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
LOOK_S: Final = 0.25
"""Between two looks at the loop's lag."""
LONGEST_WAIT_S: Final = 10.0
AGAIN_S: Final = 10.0
"""After this long a task that was to end is told again; whoever ends in order needs less."""
GARBAGE: Final = 50_000
"""Objects that are made and not let go of before the collector looks for cycles among them."""
_log = structlog.get_logger(__name__)


async def run_until_stopped(*work: Coroutine[Any, Any, None]) -> None:
    """Run coroutines together until SIGTERM or SIGINT, or until one of them fails.

    Raises:
        Exception: The first failure, after all others were cancelled.
    """
    _settle()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    tasks = [
        asyncio.create_task(coroutine, name=getattr(coroutine, "__qualname__", None)) for coroutine in work
    ]
    waiter = asyncio.create_task(stopped.wait(), name="signal")
    try:
        done, _ = await asyncio.wait([waiter, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _end(waiter, *tasks)


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until all have ended: one cancellation may get lost, see `vigil.store.pool`."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_S)
    await asyncio.gather(
        *tasks, return_exceptions=True
    )  # what failed at the end is not the failure to be told


def _settle() -> None:
    """Take what was loaded by now out of the garbage collector's sight: it lives as long as the process.

    A full collection would look at all of it again and again, 24 ms each time, with an alarm waiting.
    What a batch makes is let go of with it, so that looking for cycles is put off until well beyond one:
    with the default of 700 objects every window of 600 samples was looked through, a fifteenth of the work.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)


@asynccontextmanager
async def together(*managers: AbstractAsyncContextManager[T]) -> AsyncIterator[list[T]]:
    """Open several at once, and close them at once: whoever is slow to part costs its time, not the sum.

    Raises:
        Exception: The first failure to open; what had been opened is closed.
    """
    async with AsyncExitStack() as stack:
        entered = await asyncio.gather(*(one.__aenter__() for one in managers), return_exceptions=True)
        failed = [one for one in entered if isinstance(one, BaseException)]
        opened = [
            one for one, came in zip(managers, entered, strict=True) if not isinstance(came, BaseException)
        ]
        stack.push_async_callback(_close, opened)
        if failed:
            raise failed[0]
        yield [one for one in entered if not isinstance(one, BaseException)]


async def _close(opened: Iterable[AbstractAsyncContextManager[Any]]) -> None:
    await asyncio.gather(*(one.__aexit__(None, None, None) for one in opened))


async def retrying(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try until it succeeds, waiting longer each time, with jitter so that many do not knock at once."""
    wait = 0.2
    while True:
        try:
            return await attempt()
        except Unavailable as error:
            _log.warning("waiting", error=str(error))
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
            wait = min(wait * 2, LONGEST_WAIT_S)


async def watch_lag() -> None:
    """Measure for ever how late the event loop is (pitfall 15: heartbeats share it)."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LOOK_S
        await asyncio.sleep(LOOK_S)
        lag.observe(max(loop.time() - due, 0.0))
