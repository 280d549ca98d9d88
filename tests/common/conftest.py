"""A hub's sockets."""

import contextlib

import pytest

from common.bus.connection import Endpoints
from common.errors import UserError
from common.frames.sockets import BrokerSockets
from tests.common.sockets import free_ports


@pytest.fixture
def hub(stack: contextlib.ExitStack) -> BrokerSockets:
    while True:
        with contextlib.suppress(UserError):  # somebody took a port in between
            endpoints = free_ports()
            sockets = BrokerSockets(endpoints)
            break
    stack.callback(sockets.close)
    sockets.endpoints = endpoints  # type: ignore[attr-defined]
    return sockets


@pytest.fixture
def endpoints(hub: BrokerSockets) -> Endpoints:
    return hub.endpoints  # type: ignore[attr-defined,no-any-return]
