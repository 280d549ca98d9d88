"""Listen to one camera of several until its stream ends: `python examples/one_stream.py left`."""

import sys

from actionstream import listen

stream = sys.argv[1] if len(sys.argv) > 1 else "cam"  # a camera's setting camera.stream
for action in listen("action", stream=stream):
    if action.end_of_stream:  # a message without an action: the other fields say nothing
        break
    print(action.event, action.label)
