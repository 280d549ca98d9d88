"""Which messages there are, and how any process sends and receives them.

This folder alone is what `pip install .` installs, as `actionstream`:

    from actionstream import listen
    for action in listen("action"):
        print(action.event, action.label)
"""

from .client import Listener, listen, send_command
from .connection import Endpoints
from .errors import BadMessage, BusError
from .messages import Action, Command, Frame, Header, Keypoints, Prediction, Recording, Status, Window, derive_header
from .pubsub import Publisher
from .topics import add_topic

__version__ = "0.1.0"
__all__ = [
    "Action",
    "BadMessage",
    "BusError",
    "Command",
    "Endpoints",
    "Frame",
    "Header",
    "Keypoints",
    "Listener",
    "Prediction",
    "Publisher",
    "Recording",
    "Status",
    "Window",
    "add_topic",
    "derive_header",
    "listen",
    "send_command",
]
