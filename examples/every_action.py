"""Print when each action starts and ends: put what your robot, lamp or game does in place of `print`."""

from actionstream import listen

for action in listen("action"):
    if action.end_of_stream:
        print(f"{action.stream} has ended")
    elif action.event == "started":
        print(f"{action.stream}: {action.label} started")
    else:
        print(f"{action.stream}: {action.label} ended after {action.end_s - action.start_s:.1f} s")
