"""Count how exercises were done: for "push up/wrong", an action has the label "push up" and the verdict "wrong"."""

from collections import Counter

from actionstream import listen

counts = Counter()
for action in listen("action"):
    if action.event == "ended" and action.verdict:  # when it starts, the verdict is preliminary
        counts[action.label, action.verdict] += 1
        print(f"{action.label}: {action.verdict}, {counts[action.label, action.verdict]} so far")
