"""Settings of all property tests here (a shared processor may take its time over an example), and a hub's sockets."""

import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from common.bus import Endpoints
from common.errors import UserError
from common.frame_requests import HubSockets
from tests.common.sockets import free_ports

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    """Closes what a test opened, in reverse order."""
    with contextlib.ExitStack() as closing:
        yield closing


@pytest.fixture
def hub(stack: contextlib.ExitStack) -> HubSockets:
    while True:
        with contextlib.suppress(UserError):  # somebody took a port in between
            endpoints = free_ports()
            sockets = HubSockets(endpoints)
            break
    stack.callback(sockets.close)
    sockets.endpoints = endpoints  # type: ignore[attr-defined]
    return sockets


@pytest.fixture
def endpoints(hub: HubSockets) -> Endpoints:
    return hub.endpoints  # type: ignore[attr-defined,no-any-return]
