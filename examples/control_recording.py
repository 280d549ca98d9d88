"""Follow a recording session, and stop it after so many more sequences: `python examples/control_recording.py 10`."""

import sys

from actionstream import listen, send_command

more = int(sys.argv[1]) if len(sys.argv) > 1 else 10
before = None  # sequences that the data set holds already
for session in listen("recording"):
    print(f"{session.label}, {session.number} of {session.target}: {session.state} {session.detail}")
    recorded = sum(session.progress.values())
    before = recorded if before is None else before
    if recorded - before >= more:
        send_command("recorder", "stop")  # or pause, which resumes too, retake, skip
        break
