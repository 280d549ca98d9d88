"""React as soon as an action is recognised, once for each: its end is ignored."""

from actionstream import listen

for action in listen("action"):
    if action.event == "started" and not action.end_of_stream:
        print(f"{action.label} ({action.confidence:.0%})")
