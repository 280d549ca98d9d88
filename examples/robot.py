"""Actions in, a robot's movements out: copy this file, and put your own robot in place of the print."""

from common.bus.client import listen

for action in listen("action"):
    if action.end_of_stream:
        print("the stream has ended")
    elif action.event == "started":
        print(f"robot: begins to answer {action.label} of {action.stream}")
    else:
        print(f"robot: rests after {action.end_s - action.start_s:.1f} s of {action.label}")
