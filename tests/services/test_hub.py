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

IMAGE = np.zeros((4, 6, 3), np.uint8)


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

    def receive(self, worker: FrameWorker) -> Any:
        """The next message for an extractor, which requests until it receives one."""
        got: list[Any] = []

        def came() -> bool:
            worker.request()
            message = worker.receive(10)
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


def reply(worker: FrameWorker, header: Frame, value: float = 0.5) -> None:
    keypoints = derive_header(header, Keypoints, width=6, height=4)
    assert worker.reply(keypoints, np.full(SIZE, value, np.float32), timeout_ms=5000)


def send(bench: Bench, producer: FrameProducer, *headers: Frame) -> None:
    for header in headers:
        bench.until(lambda h=header: producer.send(h, None if h.end_of_stream else IMAGE, timeout_ms=10))


def test_a_frame_is_kept_until_its_keypoints_are_published(bench: Bench) -> None:
    producer, worker = bench.camera(), bench.extractor()
    sender = ReliableSender(producer)
    sender.send(frame(0), IMAGE)
    sender.send(frame(1, end_of_stream=True), None)
    got = bench.receive(worker)
    assert not sender.all_acked()
    assert not bench.published
    reply(worker, got[0])
    bench.until(sender.all_acked)
    assert [message.header.end_of_stream for message in bench.published] == [False, True]


def test_an_end_that_is_sent_again_is_acknowledged_again_and_published_once(bench: Bench) -> None:
    producer = bench.camera()
    answers = []
    for _ in range(2):
        send(bench, producer, frame(0, end_of_stream=True))
        bench.until(lambda: answers.extend(producer.acked(10)) or answers)
    assert [message.header.end_of_stream for message in bench.published] == [True]


def test_a_result_with_nan_is_tried_again_and_then_a_frame_without_a_person(bench: Bench, caplog) -> None:
    producer, worker = bench.camera(), bench.extractor()
    send(bench, producer, frame(0), frame(1))
    for _ in range(MAX_TRIES):
        got = bench.receive(worker)
        assert got[0].seq == 0
        reply(worker, got[0], value=np.nan)
    reply(worker, bench.receive(worker)[0])
    bench.until(lambda: len(bench.published) == 2)
    assert bench.seqs() == [0, 1]
    assert not bench.published[0].array.any()
    assert "frame 0 made 2 extractors fail" in caplog.text
    assert bench.hub.health.missed == 1


def test_an_extractor_that_comes_after_the_end_receives_it(bench: Bench) -> None:
    send(bench, bench.camera(), frame(0, end_of_stream=True))
    bench.until(lambda: bench.published)
    message = bench.receive(bench.extractor())
    assert message[0].end_of_stream
    assert message[0].stream == "cam"


def test_a_second_camera_of_a_name_is_refused_while_the_first_lives(bench: Bench) -> None:
    first, second = bench.camera(), bench.camera()
    send(bench, first, frame(0, live=True))
    bench.until(lambda: "cam" in bench.hub._dispatcher.streams)  # each came by a connection of its own
    send(bench, second, frame(0, start=2, live=True))
    refused = []

    def is_refused() -> bool:
        try:
            second.acked(10)
        except Refused:
            refused.append(True)
        return bool(refused)

    bench.until(is_refused)
    worker = bench.extractor()
    got = bench.receive(worker)
    assert got[0].start == 1
    reply(worker, got[0])
    first.close()  # it is killed; who comes in its place is no second one

    def is_received() -> bool:
        second.send(frame(1, start=2, live=True), IMAGE, timeout_ms=10)
        worker.request()
        message = worker.receive(10)
        return message is not None and message[0].start == 2

    bench.until(is_received)
