"""Listen beside other tasks of asyncio: a thread waits for messages, the event loop goes on."""

import asyncio
import contextlib

from actionstream import listen


async def react() -> None:
    """Print actions until the stream ends."""
    actions = listen("action")
    while True:
        for action in await asyncio.to_thread(actions.receive, timeout_s=1):
            if action.end_of_stream:
                return
            print(action.event, action.label)


async def main() -> None:
    """Do something else at the same time."""
    other = asyncio.create_task(asyncio.sleep(3600))
    await react()
    other.cancel()


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
