"""The bus over real sockets: messages arrive unchanged, malformed ones are dropped, slow subscribers delay no other."""

import contextlib
import threading
import time
from pathlib import Path

import msgpack
import msgspec
import numpy as np
import pytest
import zmq

from common.bus.client import listen
from common.bus.connection import Endpoints
from common.bus.connection import connect as connect_to
from common.bus.errors import BusError
from common.bus.messages import Action, Header, Keypoints, Message, Status, Window
from common.bus.pubsub import Publisher, Subscriber
from tests.common.sockets import VECTOR, collect, keypoints, subscriber, until
from tests.pace import patience


def publisher(endpoints: Endpoints, stack: contextlib.ExitStack) -> Publisher:
    made = Publisher(endpoints)
    stack.callback(made.close)
    return made


def connect(sender: Publisher, *readers: Subscriber) -> None:
    """Until a status message comes through: each of the readers reads that topic too."""
    for reader in readers:

        def receive(reader: Subscriber = reader) -> list[Message]:
            sender.send(Status(stream="probe.1", seq=0, captured_ns=0, ingested_ns=0))
            return reader.receive(20)

        until(receive)
    for reader in readers:
        until(lambda reader=reader: not reader.receive(50))


def test_headers_and_arrays_arrive_as_they_were_sent(endpoints: Endpoints, stack: contextlib.ExitStack) -> None:
    sender, reader = publisher(endpoints, stack), subscriber(endpoints, stack, "status", "keypoints", "action")
    connect(sender, reader)
    action = Action(stream="cam", seq=3, captured_ns=1, ingested_ns=2, event="ended", id=1, label="hello", end_s=2.5)
    sender.send(keypoints(0), VECTOR)
    sender.send(action)
    by_kind = {type(header): Message(header, array) for header, array in collect(reader, 2)}
    assert by_kind[Action] == (msgspec.structs.replace(action, number=1), None)
    assert by_kind[Keypoints].header == keypoints(0)
    np.testing.assert_array_equal(by_kind[Keypoints].array, VECTOR)


def test_a_subscriber_of_cam1_gets_nothing_of_cam10(endpoints: Endpoints, stack: contextlib.ExitStack) -> None:
    sender = publisher(endpoints, stack)
    everything = subscriber(endpoints, stack, "status", "keypoints")
    one = Subscriber(endpoints, ["keypoints"], "cam1")
    stack.callback(one.close)
    connect(sender, everything)
    for seq in range(3):
        sender.send(keypoints(seq, "cam10"), VECTOR)
    received: list[Message] = []
    until(lambda: sender.send(keypoints(0, "cam1"), VECTOR) or received.extend(one.receive(20)) or received)
    assert {message.header.stream for message in received} == {"cam1"}


def test_foreign_messages_are_dropped_and_counted_and_good_ones_still_come(
    endpoints: Endpoints, stack: contextlib.ExitStack
) -> None:
    sender, reader = publisher(endpoints, stack), subscriber(endpoints, stack, "status", "keypoints")
    connect(sender, reader)
    foreign = stack.enter_context(zmq.Context.instance().socket(zmq.PUB))
    foreign.linger = 0
    connect_to(foreign, endpoints.publish, endpoints.token())
    good = msgpack.packb({"stream": "cam", "seq": 0, "captured_ns": 0, "ingested_ns": 0})
    garbage: list[list[bytes]] = [
        [b"keypoints/cam/"],
        [b"keypoints/cam/", b"\xff\x00garbage", b"x"],
        [b"keypoints/cam/", good, VECTOR.tobytes()[:-4]],
        [b"keypoints/other/", good, VECTOR.tobytes()],
        [b"keypoints/cam/", b"\x81\xa6stream\xa1\xff", b""],  # not UTF-8
    ]

    def sent() -> bool:
        foreign.send_multipart(garbage[0])
        assert not reader.receive(20)
        return reader.malformed > 0

    until(sent)
    until(lambda: not reader.receive(100))
    before = reader.malformed
    for parts in garbage:
        foreign.send_multipart(parts)
    until(lambda: reader.receive(20) or reader.malformed == before + len(garbage))
    sender.send(keypoints(7), VECTOR)
    assert [m.header.seq for m in collect(reader, 1)] == [7]


def test_a_subscriber_that_does_not_read_delays_no_other(endpoints: Endpoints, stack: contextlib.ExitStack) -> None:
    sender = publisher(endpoints, stack)
    idle, busy = (subscriber(endpoints, stack, "status", "keypoints") for _ in range(2))
    connect(sender, idle, busy)
    seqs: list[int] = []
    longest_s, count = 0.0, 4000  # 27 MB: more than all queues and buffers on the way to the idle one
    for seq in range(count):
        begun = time.perf_counter()
        sender.send(keypoints(seq), VECTOR)
        longest_s = max(longest_s, time.perf_counter() - begun)
        if seq % 50 == 49:  # as fast as the busy one reads, but no faster
            until(lambda seq=seq: seqs.extend(m.header.seq for m in busy.receive(20)) or len(seqs) > seq)
    assert seqs == list(range(count))
    assert not busy.missed
    assert longest_s < 1.0


def test_missed_frames_are_counted_for_each_stream(endpoints: Endpoints, stack: contextlib.ExitStack) -> None:
    sender, reader = publisher(endpoints, stack), subscriber(endpoints, stack, "status", "keypoints")
    connect(sender, reader)
    for stream, seqs in (("left", [0, 1, 4, 5]), ("right", [10, 12]), ("left", [0, 1])):  # left began again
        for seq in seqs:
            sender.send(keypoints(seq, stream), VECTOR)
    assert len(collect(reader, 8)) == 8
    assert reader.missed == {"keypoints": 2 + 1}


def test_of_live_windows_only_the_newest_that_wait_are_read_and_of_a_file_every_one(
    endpoints: Endpoints, stack: contextlib.ExitStack
) -> None:
    def window(stream: str, seq: int, end_of_stream: bool = False) -> Window:
        return Window(
            stream=stream,
            seq=seq,
            captured_ns=0,
            ingested_ns=0,
            live=stream == "cam",
            end_of_stream=end_of_stream,
            length=1,
        )

    sender = publisher(endpoints, stack)
    reader, witness = (subscriber(endpoints, stack, "status", "windows") for _ in range(2))
    connect(sender, reader, witness)
    for seq in range(20):
        sender.send(window("cam", seq), VECTOR[None])
        sender.send(window("clip", seq), VECTOR[None])
    sender.send(window("clip", 20, end_of_stream=True))
    until(
        lambda: any(m.header.end_of_stream for m in witness.receive(20))
    )  # meanwhile the reader is at work on something
    received: list[Header] = []
    until(lambda: received.extend(m.header for m in reader.receive(20)) or (received and received[-1].end_of_stream))
    seqs = {name: [h.seq for h in received if h.stream == name] for name in ("cam", "clip")}
    assert seqs["clip"] == list(range(21))
    assert seqs["cam"][-1] == 19 and len(seqs["cam"]) < 20
    assert len(seqs["cam"]) + reader.conflated == 20
    assert not reader.missed  # it has superseded them; they were not lost on the way


def test_listen_yields_headers_and_with_an_array_both(endpoints: Endpoints, stack: contextlib.ExitStack) -> None:
    sender = publisher(endpoints, stack)
    probe = subscriber(endpoints, stack, "status")
    connect(sender, probe)
    messages = listen("action", "keypoints", host=endpoints.host, port=endpoints.port)
    stack.callback(messages.close)
    done = threading.Event()

    def send() -> None:
        while not done.wait(0.02):
            sender.send(Action(stream="cam", seq=0, captured_ns=0, ingested_ns=0, label="hello"))
            sender.send(keypoints(0), VECTOR)

    sending = threading.Thread(target=send)
    sending.start()
    try:
        kinds = {type(next(messages)) for _ in range(10)}
    finally:
        done.set()
        sending.join()
    assert kinds == {Action, tuple}


@pytest.mark.parametrize("topics", [(), ("actions",)])
def test_listen_to_an_unknown_topic_says_which_there_are(topics: tuple[str, ...]) -> None:
    with pytest.raises(BusError, match="keypoints"):
        next(listen(*topics))


def action(seq: int = 0, end_of_stream: bool = False) -> Action:
    return Action(stream="cam", seq=seq, captured_ns=0, ingested_ns=0, label="hello", end_of_stream=end_of_stream)


def test_actions_that_are_lost_on_the_way_are_counted(endpoints: Endpoints, stack: contextlib.ExitStack) -> None:
    sender, received = publisher(endpoints, stack), list[Action]()
    actions = listen("action", **endpoints._asdict())
    stack.callback(actions.close)

    def receives(end_of_stream: bool) -> bool:
        sender.send(action(end_of_stream=end_of_stream))
        received.extend(actions.receive(0.05))
        return bool(received) and received[-1].end_of_stream == end_of_stream

    until(lambda: receives(end_of_stream=False))
    assert not actions.missed
    for _ in range(40_000):  # more than all queues and buffers on the way hold
        sender.send(action())
    until(lambda: receives(end_of_stream=True))
    assert actions.missed["action"] > 1000
    assert len(received) + actions.missed["action"] == received[-1].number - received[0].number + 1


def test_a_publisher_that_starts_again_is_no_loss(endpoints: Endpoints, stack: contextlib.ExitStack) -> None:
    reader = subscriber(endpoints, stack, "status", "action")
    for numbers in ([1, 2, 3], [1, 2]):
        with contextlib.closing(Publisher(endpoints)) as sender:
            connect(sender, reader)
            for _ in numbers:
                sender.send(action())
            assert [m.header.number for m in collect(reader, len(numbers))] == numbers  # type: ignore[attr-defined]
    assert not reader.missed


def test_a_publisher_waits_for_who_subscribes_to_the_topic_or_to_a_stream_of_it(
    endpoints: Endpoints, stack: contextlib.ExitStack
) -> None:
    sender = publisher(endpoints, stack)
    assert not sender.wait_for_subscriber("action", timeout_s=0.1)
    reader = subscriber(endpoints, stack, "action", stream="left")
    assert sender.wait_for_subscriber("action", timeout_s=patience(5))
    assert sender.wait_for_subscriber("action", "left", timeout_s=0)
    assert not sender.wait_for_subscriber("action", "right", timeout_s=0.1)
    assert not sender.wait_for_subscriber("keypoints", timeout_s=0)
    sender.send(msgspec.structs.replace(action(), stream="left"))
    assert [m.header.stream for m in collect(reader, 1)] == ["left"]
    reader.close()
    until(lambda: not sender.wait_for_subscriber("action", timeout_s=0))


def test_a_publisher_that_is_refused_raises(endpoints: Endpoints, stack: contextlib.ExitStack, tmp_path: Path) -> None:
    sender = publisher(endpoints._replace(token_file=str(tmp_path / "token")), stack)
    with pytest.raises(BusError, match="refuses the token"):
        sender.wait_for_subscriber("action", timeout_s=patience(5))


def test_what_has_no_topic_is_not_sent(endpoints: Endpoints, stack: contextlib.ExitStack) -> None:
    with pytest.raises(BusError, match=r"Header has no topic: .*add_topic"):
        publisher(endpoints, stack).send(Header(stream="cam", seq=0, captured_ns=0, ingested_ns=0))


def test_a_listener_can_be_iterated_over_and_polled(endpoints: Endpoints, stack: contextlib.ExitStack) -> None:
    sender = publisher(endpoints, stack)
    listener = listen("action", "keypoints", **endpoints._asdict())
    stack.callback(listener.close)
    for topic in ("action", "keypoints"):
        assert sender.wait_for_subscriber(topic, timeout_s=patience(5))
    for seq in range(3):
        sender.send(action(seq))
    sender.send(msgspec.structs.replace(keypoints(3), end_of_stream=True))
    found = [next(listener)]
    until(lambda: found.extend(listener.receive(0.05)) or len(found) >= 4)
    assert [header.seq for header in found if isinstance(header, Action)] == [0, 1, 2]
    ((header, array),) = [pair for pair in found if isinstance(pair, tuple)]
    assert header.end_of_stream and array is None  # a pair, so that `for header, array in listen(...)` goes through
