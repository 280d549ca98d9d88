"""Follow a recording session, and stop it after so many sequences: `python examples/control_recording.py 10`."""

import sys

from actionstream import listen, send_command

enough = int(sys.argv[1]) if len(sys.argv) > 1 else 10
for session in listen("recording"):
    print(f"{session.label}, {session.number} of {session.target}: {session.state} {session.detail}")
    if sum(session.progress.values()) >= enough:
        send_command("recorder", "stop")  # or pause, which resumes too, retake, skip
        break
