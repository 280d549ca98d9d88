"""The real hub, camera's and extractor's ends, on real sockets: what is passed on, refused and given up."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import numpy as np
import pytest

from common import config
from common.bus.messages import Frame, Keypoints, Message, about
from common.bus.pubsub import Endpoints
from common.frames.dispatcher import MAX_TRIES
from common.frames.reliable_sender import Handover
from common.frames.sockets import FrameGiver, FrameTaker, Refused
from common.keypoints.landmarks import SIZE
from services.hub import Hub
from tests.pace import patience
from tests.pipeline import free_ports

PICTURE = np.zeros((4, 6, 3), np.uint8)


def frame(seq: int, start: int = 1, live: bool = False, end: bool = False) -> Frame:
    return Frame(
        stream="cam", seq=seq, captured_ns=seq * 40_000_000, entered_ns=seq, start=start, live=live, end=end,
        width=6, height=4,
    )  # fmt: skip


class Bench:
    """A hub, and what it has published."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        port = free_ports(4)
        self.endpoints = Endpoints(port=port)
        self.hub = Hub(config.load(sets=[f"bus.port={port}", "keypoints.smooth=false"]))
        stack.callback(self.hub.close)
        self.hub.setup()
        self.published: list[Message] = []

    def camera(self) -> FrameGiver:
        return self._stack.enter_context(closing(FrameGiver(self.endpoints)))

    def extractor(self) -> FrameTaker:
        return self._stack.enter_context(closing(FrameTaker(self.endpoints)))

    def until(self, found: Callable[[], object]) -> None:
        deadline = time.monotonic() + patience(10)
        while not found():
            assert time.monotonic() < deadline
            self.published += self.hub.step([])

    def take(self, taker: FrameTaker) -> Message:
        """The next message for an extractor that asks until it gets one."""
        got: list[Message] = []

        def came() -> bool:
            taker.ask()
            message = taker.take(10)
            if message:
                got.append(message)
            return bool(got)

        self.until(came)
        return got[0]

    def seqs(self) -> list[int]:
        return [message.header.seq for message in self.published if not message.header.end]


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(stack)


def answer(taker: FrameTaker, header: Frame, value: float = 0.5) -> None:
    keypoints = about(header, Keypoints, width=6, height=4)
    assert taker.answer(keypoints, np.full(SIZE, value, np.float32), timeout_ms=5000)


def give(bench: Bench, giver: FrameGiver, *headers: Frame) -> None:
    for header in headers:
        bench.until(lambda h=header: giver.give(h, None if h.end else PICTURE, timeout_ms=10))


def test_a_frame_is_kept_until_its_keypoints_are_published(bench: Bench) -> None:
    giver, taker = bench.camera(), bench.extractor()
    handover = Handover(giver)
    handover.add(frame(0), PICTURE)
    handover.add(frame(1, end=True), None)
    got = bench.take(taker)
    assert not handover.is_over()
    assert not bench.published
    answer(taker, got.header)
    bench.until(handover.is_over)
    assert [message.header.end for message in bench.published] == [False, True]


def test_an_end_that_is_sent_again_is_answered_again_and_published_once(bench: Bench) -> None:
    giver = bench.camera()
    answers = []
    for _ in range(2):
        give(bench, giver, frame(0, end=True))
        bench.until(lambda: answers.extend(giver.taken(10)) or answers)
    assert [message.header.end for message in bench.published] == [True]


def test_a_result_with_nan_is_tried_again_and_then_a_picture_of_nobody(bench: Bench, caplog) -> None:
    giver, taker = bench.camera(), bench.extractor()
    give(bench, giver, frame(0), frame(1))
    for _ in range(MAX_TRIES):
        got = bench.take(taker)
        assert got.header.seq == 0
        answer(taker, got.header, value=np.nan)
    answer(taker, bench.take(taker).header)
    bench.until(lambda: len(bench.published) == 2)
    assert bench.seqs() == [0, 1]
    assert not bench.published[0].array.any()
    assert "frame 0 made 2 extractors fail" in caplog.text
    assert bench.hub.health.missed == 1


def test_an_extractor_that_comes_after_the_end_hears_of_it(bench: Bench) -> None:
    give(bench, bench.camera(), frame(0, end=True))
    bench.until(lambda: bench.published)
    message = bench.take(bench.extractor())
    assert message.header.end
    assert message.header.stream == "cam"


def test_a_second_camera_of_a_name_is_refused_while_the_first_lives(bench: Bench) -> None:
    first, second = bench.camera(), bench.camera()
    give(bench, first, frame(0, live=True))
    bench.until(lambda: "cam" in bench.hub._dispatcher.streams)  # each came by a connection of its own
    give(bench, second, frame(0, start=2, live=True))
    refused = []

    def is_refused() -> bool:
        try:
            second.taken(10)
        except Refused:
            refused.append(True)
        return bool(refused)

    bench.until(is_refused)
    taker = bench.extractor()
    got = bench.take(taker)
    assert got.header.start == 1
    answer(taker, got.header)
    first.close()  # it is killed; who comes in its place is no second one

    def is_taken() -> bool:
        second.give(frame(1, start=2, live=True), PICTURE, timeout_ms=10)
        taker.ask()
        message = taker.take(10)
        return message is not None and message.header.start == 2

    bench.until(is_taken)
