"""The real hub, camera's and extractor's ends, on real sockets: what is passed on, refused and given up."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import numpy as np
import pytest

from common import config
from common.bus.connection import Endpoints
from common.bus.messages import Frame, Keypoints, Message, derive_header
from common.frames.dispatcher import MAX_TRIES
from common.frames.reliable_sender import ReliableSender
from common.frames.sockets import FrameProducer, FrameWorker, Refused
from common.keypoints.landmarks import SIZE
from services.hub import Hub
from tests.pace import patience
from tests.pipeline import free_ports

PICTURE = np.zeros((4, 6, 3), np.uint8)


def frame(seq: int, start: int = 1, live: bool = False, end_of_stream: bool = False) -> Frame:
    return Frame(
        stream="cam", seq=seq, captured_ns=seq * 40_000_000, ingested_ns=seq, start=start, live=live,
        end_of_stream=end_of_stream, width=6, height=4,
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

    def camera(self) -> FrameProducer:
        return self._stack.enter_context(closing(FrameProducer(self.endpoints)))

    def extractor(self) -> FrameWorker:
        return self._stack.enter_context(closing(FrameWorker(self.endpoints)))

    def until(self, found: Callable[[], object]) -> None:
        deadline = time.monotonic() + patience(10)
        while not found():
            assert time.monotonic() < deadline
            self.published += self.hub.step([])

    def take(self, taker: FrameWorker) -> Any:
        """The next message for an extractor that asks until it gets one."""
        got: list[Any] = []

        def came() -> bool:
            taker.request()
            message = taker.receive(10)
            if message:
                got.append(message)
            return bool(got)

        self.until(came)
        return got[0]

    def seqs(self) -> list[int]:
        return [message.header.seq for message in self.published if not message.header.end_of_stream]


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(stack)


def answer(taker: FrameWorker, header: Frame, value: float = 0.5) -> None:
    keypoints = derive_header(header, Keypoints, width=6, height=4)
    assert taker.reply(keypoints, np.full(SIZE, value, np.float32), timeout_ms=5000)


def give(bench: Bench, giver: FrameProducer, *headers: Frame) -> None:
    for header in headers:
        bench.until(lambda h=header: giver.send(h, None if h.end_of_stream else PICTURE, timeout_ms=10))


def test_a_frame_is_kept_until_its_keypoints_are_published(bench: Bench) -> None:
    giver, taker = bench.camera(), bench.extractor()
    handover = ReliableSender(giver)
    handover.send(frame(0), PICTURE)
    handover.send(frame(1, end_of_stream=True), None)
    got = bench.take(taker)
    assert not handover.all_acked()
    assert not bench.published
    answer(taker, got[0])
    bench.until(handover.all_acked)
    assert [message.header.end_of_stream for message in bench.published] == [False, True]


def test_an_end_that_is_sent_again_is_answered_again_and_published_once(bench: Bench) -> None:
    giver = bench.camera()
    answers = []
    for _ in range(2):
        give(bench, giver, frame(0, end_of_stream=True))
        bench.until(lambda: answers.extend(giver.acked(10)) or answers)
    assert [message.header.end_of_stream for message in bench.published] == [True]


def test_a_result_with_nan_is_tried_again_and_then_a_picture_of_nobody(bench: Bench, caplog) -> None:
    giver, taker = bench.camera(), bench.extractor()
    give(bench, giver, frame(0), frame(1))
    for _ in range(MAX_TRIES):
        got = bench.take(taker)
        assert got[0].seq == 0
        answer(taker, got[0], value=np.nan)
    answer(taker, bench.take(taker)[0])
    bench.until(lambda: len(bench.published) == 2)
    assert bench.seqs() == [0, 1]
    assert not bench.published[0].array.any()
    assert "frame 0 made 2 extractors fail" in caplog.text
    assert bench.hub.health.missed == 1


def test_an_extractor_that_comes_after_the_end_hears_of_it(bench: Bench) -> None:
    give(bench, bench.camera(), frame(0, end_of_stream=True))
    bench.until(lambda: bench.published)
    message = bench.take(bench.extractor())
    assert message[0].end_of_stream
    assert message[0].stream == "cam"


def test_a_second_camera_of_a_name_is_refused_while_the_first_lives(bench: Bench) -> None:
    first, second = bench.camera(), bench.camera()
    give(bench, first, frame(0, live=True))
    bench.until(lambda: "cam" in bench.hub._dispatcher.streams)  # each came by a connection of its own
    give(bench, second, frame(0, start=2, live=True))
    refused = []

    def is_refused() -> bool:
        try:
            second.acked(10)
        except Refused:
            refused.append(True)
        return bool(refused)

    bench.until(is_refused)
    taker = bench.extractor()
    got = bench.take(taker)
    assert got[0].start == 1
    answer(taker, got[0])
    first.close()  # it is killed; who comes in its place is no second one

    def is_taken() -> bool:
        second.send(frame(1, start=2, live=True), PICTURE, timeout_ms=10)
        taker.request()
        message = taker.receive(10)
        return message is not None and message[0].start == 2

    bench.until(is_taken)
