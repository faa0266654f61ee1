"""The pipe that ties a process to who started it."""

import asyncio
import fcntl
import os
import sys
import termios

from kecs.calls.process import follow


def test_the_end_of_the_control_pipe_is_told_once_and_what_comes_before_is_not() -> None:
    theirs, ours = os.pipe()
    told: list[str] = []

    async def scene() -> None:
        ended = asyncio.Event()

        def end() -> None:
            told.append("ended")
            ended.set()

        follow(theirs, end)
        os.write(ours, b"x" * 5000)
        while _waiting(theirs):  # noqa: ASYNC110 - a pipe tells what it holds to who asks
            await asyncio.sleep(0)
        assert told == []
        os.close(ours)
        await asyncio.wait_for(ended.wait(), 20)
        assert not asyncio.get_running_loop().remove_reader(theirs)

    asyncio.run(scene())
    assert told == ["ended"]
    os.close(theirs)


def _waiting(descriptor: int) -> int:
    """Return how many bytes a pipe holds."""
    raw = fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4))
    return int.from_bytes(raw, sys.byteorder)
