"""Read all topics but frames with pyzmq and msgpack only; any language with ZeroMQ and MessagePack can do the same."""

import contextlib
import os
from pathlib import Path

import msgpack
import zmq

port = int(os.environ.get("ACTIONSTREAM__BUS__PORT", "5550"))
state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
token = Path(os.environ.get("ACTIONSTREAM__BUS__TOKEN_FILE") or state / "actionstream/token").read_bytes().strip()

socket = zmq.Context().socket(zmq.SUB)
socket.plain_username, socket.plain_password = b"actionstream", token  # the hub accepts nobody else
socket.connect(f"tcp://127.0.0.1:{port + 1}")  # the second of its four ports
socket.subscribe("")  # or "action/", or "action/cam/"
with contextlib.suppress(KeyboardInterrupt):
    while True:
        topic, packed, *arrays = socket.recv_multipart()
        header = msgpack.unpackb(packed)
        if header["end_of_stream"]:  # then the other fields say nothing
            print(topic.decode(), "has ended")
        else:
            print(topic.decode(), header, *(f"and {len(array)} bytes" for array in arrays))
