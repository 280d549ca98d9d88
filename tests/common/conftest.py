"""A hub's sockets."""

import contextlib

import pytest

from common.bus.connection import Endpoints
from common.frames.sockets import BrokerSockets
from tests.common.sockets import open_hub


@pytest.fixture
def hub(stack: contextlib.ExitStack) -> BrokerSockets:
    sockets, endpoints = open_hub()
    stack.callback(sockets.close)
    sockets.endpoints = endpoints  # type: ignore[attr-defined]
    return sockets


@pytest.fixture
def endpoints(hub: BrokerSockets) -> Endpoints:
    return hub.endpoints  # type: ignore[attr-defined,no-any-return]
