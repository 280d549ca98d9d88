"""Hears everything with nothing but pyzmq and msgpack: `python examples/plain_robot.py [bus.port]`."""

import contextlib
import os
import sys
from pathlib import Path

import msgpack
import zmq

port = int(sys.argv[1]) if len(sys.argv) > 1 else 5550
state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
token = Path(os.environ.get("ACTIONSTREAM__BUS__TOKEN_FILE") or Path(state) / "actionstream/token")
socket = zmq.Context().socket(zmq.SUB)
socket.plain_username, socket.plain_password = (
    b"actionstream",
    token.read_bytes().strip(),
)  # the hub lets nobody else in
socket.connect(f"tcp://127.0.0.1:{port + 1}")  # the second of the hub's four ports
socket.subscribe("")  # or only "action/"
with contextlib.suppress(KeyboardInterrupt):
    while True:
        topic, packed, *array = socket.recv_multipart()
        header = msgpack.unpackb(
            packed
        )  # where header["end_of_stream"], the stream has ended, and the rest says nothing
        print(topic.decode(), header, *(f"and {len(values)} bytes" for values in array))
