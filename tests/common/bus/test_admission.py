"""Clients without the token at each of the hub's ports, web pages and programs: none sends or receives anything."""

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

from common.bus.client import listen, send_command
from common.bus.connection import Endpoints
from common.bus.errors import BusError
from common.bus.messages import Frame, Message, Status
from common.bus.pubsub import Publisher, Subscriber
from common.bus.token import read_token
from common.frames.sockets import FRAME, BrokerSockets, FrameWorker
from tests.common.sockets import subscriber, until

BASE: dict[str, Any] = {"seq": 0, "captured_ns": 0, "ingested_ns": 0}
ACTION = [b"action/cam/", msgpack.packb(BASE | {"stream": "cam", "label": "forged"})]
STOP = [b"command/recorder/", msgpack.packb(BASE | {"stream": "recorder", "command": "stop"})]
FORGED = {  # by port, what an intruder would send there, and from which kind of socket
    0: (zmq.PUB, [ACTION, STOP]),
    1: (zmq.SUB, [[b"\x01"]]),  # a subscription to everything
    2: (zmq.DEALER, [[FRAME, msgpack.packb(BASE | {"stream": "cam", "end_of_stream": True}), b""]]),
    3: (zmq.SUB, [[b"\x01"]]),
}
HEAD = (
    "POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: keep-alive\r\nContent-Length: {length}\r\n"
    'sec-ch-ua-platform: "Linux"\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) '
    "Chrome/130.0.0.0 Safari/537.36\r\nContent-Type: text/plain;charset=UTF-8\r\nAccept: */*\r\n"
    "Origin: http://page.example\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: empty\r\n"
    "Referer: http://page.example/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en\r\n\r\n"
)

Attempt = Callable[[], bytes]  # sends it (once more) and returns what has come back so far


def posted(port: int, messages: list[list[bytes]]) -> bytes:
    """What a browser sends for fetch(address, {method: "POST", mode: "no-cors", body}), with a body of a page's choice.

    ZMTP 1.0 reads the head as messages too (length, whether more follows, content); padding makes the last of them
    end where the forged ones begin.
    """
    forged = b"".join(
        bytes([len(part) + 1, index + 1 < len(parts)]) + part for parts in messages for index, part in enumerate(parts)
    )
    for padding in range(4096):
        head = HEAD.format(port=port, length=padding + len(forged)).encode() + b"a" * padding
        position = 0
        while position < len(head):
            position += 1 + head[position]
        if position == len(head):
            return head + forged
    raise AssertionError("no padding fits")


def page(endpoints: Endpoints, offset: int, stack: contextlib.ExitStack) -> Attempt:
    browser = stack.enter_context(socket.create_connection((endpoints.host, endpoints.port + offset)))
    browser.sendall(posted(endpoints.port + offset, FORGED[offset][1]))
    browser.setblocking(False)
    answer = bytearray()

    def received() -> bytes:
        with contextlib.suppress(OSError):
            answer.extend(browser.recv(1 << 16))
        return bytes(answer)

    return received


def program(endpoints: Endpoints, offset: int, stack: contextlib.ExitStack, token: bytes | None = None) -> Attempt:
    kind, messages = FORGED[offset]
    peer = stack.enter_context(zmq.Context.instance().socket(kind))
    peer.linger = 0
    if token:
        peer.plain_username, peer.plain_password = b"actionstream", token
    peer.connect(endpoints.tcp(offset))

    def received() -> bytes:
        if kind == zmq.SUB:
            peer.subscribe(b"")
            return b"".join(peer.recv_multipart()) if peer.poll(0) else b""
        for parts in messages:
            with contextlib.suppress(zmq.Again):
                peer.send_multipart(parts, zmq.NOBLOCK)
        return b""

    return received


def with_another_token(endpoints: Endpoints, offset: int, stack: contextlib.ExitStack) -> Attempt:
    return program(endpoints, offset, stack, b"another-token-of-the-bus")


@pytest.mark.parametrize("offset", range(4))
@pytest.mark.parametrize("intruder", [page, program, with_another_token])
def test_a_client_without_the_token_neither_sends_nor_receives_but_is_counted(
    hub: BrokerSockets, endpoints: Endpoints, stack: contextlib.ExitStack, intruder: Callable[..., Attempt], offset: int
) -> None:
    sender = Publisher(endpoints)
    stack.callback(sender.close)
    reader = subscriber(endpoints, stack, "action", "command", "status", "frames")
    received: list[Message] = []
    requests: list[object] = []
    answer = b""

    def others_are_received() -> bool:
        sender.send(Status(stream="monitor.1", seq=0, captured_ns=0, ingested_ns=0))
        hub.publish_frame(Frame(stream="watched", seq=0, captured_ns=0, ingested_ns=0, width=1, height=1), bytes(3))
        requests.extend(hub.receive(0))
        received.extend(reader.receive(20))
        return {m.header.stream for m in received} >= {"monitor.1", "watched"}

    until(others_are_received)
    received.clear()
    attempt = intruder(endpoints, offset, stack)

    def over() -> bool:
        nonlocal answer
        answer += attempt()
        return others_are_received() and hub.refused > 0

    until(over)
    assert {m.header.stream for m in received} == {"monitor.1", "watched"}
    assert not requests and not hub.malformed
    assert b"monitor" not in answer and b"watched" not in answer


def test_a_client_with_the_token_that_disconnects_is_not_counted(
    hub: BrokerSockets, endpoints: Endpoints, stack: contextlib.ExitStack
) -> None:
    for _ in range(5):
        with contextlib.closing(Subscriber(endpoints, ["status"])) as reader:
            until(lambda reader=reader: reader.receive(20) or reader.connected)
    page(endpoints, 1, stack)
    until(lambda: hub.refused)
    assert hub.refused == 1


@pytest.fixture
def refused(endpoints: Endpoints, tmp_path: Path) -> Endpoints:
    """As another user, or another host without the hub's file, would have it."""
    read_token(tmp_path / "token")
    return endpoints._replace(token_file=str(tmp_path / "token"))


def test_the_error_of_a_refused_client_names_the_file_to_copy(refused: Endpoints, tmp_path: Path) -> None:
    sentence = rf"{refused.port} refuses the token in {tmp_path}/token: copy .*bus\.token_file"
    with pytest.raises(BusError, match=sentence):
        next(listen("action", **refused._asdict()))
    with pytest.raises(BusError, match=sentence):
        send_command("recorder", "stop", **refused._asdict())
    with contextlib.closing(FrameWorker(refused)) as worker, pytest.raises(BusError, match=sentence):
        until(lambda: worker.request() or worker.receive(20))
