"""Which messages there are, and how any process sends and receives them.

This folder alone is what `pip install actionstream` installs, as `actionstream`:

    from actionstream import listen
    for action in listen("action"):
        print(action.event, action.label)
"""

from .client import Listener, listen, send_command
from .errors import BadMessage, BusError
from .messages import Action, Command, Frame, Header, Keypoints, Prediction, Recording, Status, Window

__version__ = "0.1.0"
__all__ = [
    "Action",
    "BadMessage",
    "BusError",
    "Command",
    "Frame",
    "Header",
    "Keypoints",
    "Listener",
    "Prediction",
    "Recording",
    "Status",
    "Window",
    "listen",
    "send_command",
]
