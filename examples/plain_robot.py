"""Hears everything with nothing but pyzmq and msgpack: `python examples/plain_robot.py [port]`."""

import sys

import msgpack
import zmq

socket = zmq.Context().socket(zmq.SUB)
socket.connect(f"tcp://127.0.0.1:{sys.argv[1] if len(sys.argv) > 1 else 5551}")
socket.subscribe("")  # or only "action/"
while True:
    topic, header, *array = socket.recv_multipart()
    print(topic.decode(), msgpack.unpackb(header), *(f"and {len(values)} bytes" for values in array))
