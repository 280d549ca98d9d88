"""Record an hour of keypoints, play it back as fast as it goes, and count what arrived: `python -m tests.bench.replay`.

The hour is a minute of the test card through Holistic, again and again with times that continue.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from common.bus import __version__
from common.bus.messages import Keypoints, Message
from common.keypoints.holistic import Holistic
from common.keypoints.smoothing import PoseSmoother
from common.recording.mcap_file import BusWriter
from common.video.testcard import TestCard
from tests.pipeline import ROOT, free_ports

FPS = 25
PERIOD_NS = 1_000_000_000 // FPS
SIZE = (640, 480)


def minute() -> list[Message]:
    """The keypoints of a minute of the test card."""
    card, holistic, smoother, messages = TestCard(3), Holistic(), PoseSmoother(), []
    for seq in range(60 * FPS):
        captured_ns = seq * PERIOD_NS
        vector, seen, scale_px = holistic(card.frame(captured_ns / 1e9), captured_ns)
        header = Keypoints(stream="cam", seq=seq, captured_ns=captured_ns, ingested_ns=captured_ns, detected_parts=seen)
        messages.append(Message(header, smoother(vector, captured_ns, scale_px, SIZE)))
    holistic.close()
    return messages


def record(path: Path, minutes: int) -> int:
    """Write as many minutes; the number of frames."""
    writer, base, frames = BusWriter(path, {"version": __version__, "made": "from the test card"}), minute(), 0
    for _ in range(minutes):
        for header, vector in base:
            captured_ns = frames * PERIOD_NS
            moved = msgspec.structs.replace(header, seq=frames, captured_ns=captured_ns, ingested_ns=captured_ns)
            writer.add(captured_ns, Message(moved, vector))
            frames += 1
    writer.close({"reason": "all of it"})
    return frames


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.replay", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, default=60, help="of recording (60)")
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        path, out, port = Path(folder) / "run.mcap", Path(folder) / "out", free_ports(5)
        print(f"recording {minutes} minutes ...", file=sys.stderr)
        frames = record(path, minutes)
        command = [sys.executable, "-m", "services.launch", "--replay", str(path), "--speed", "0", "--out", str(out)]
        command += ["--set", f"bus.port={port}", "--set", f"overlay.page_port={port + 4}"]
        begun_s = time.monotonic()
        code = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode
        took_s = time.monotonic() - begun_s
        seqs = [json.loads(line)["seq"] for line in (out / "predictions.jsonl").open()]
        print(f"exit code {code}; {frames} frames, {path.stat().st_size / 1e6:.0f} MB, played in {took_s:.0f} s")
        print(f"predictions {len(seqs)}, missing {frames - len(set(seqs))}, in order: {seqs == sorted(seqs)}")
        services = json.loads((out / "run.json").read_text())["services"]
        print("missed, dropped:", {s["service"]: (s["missed"], s["dropped"]) for s in services})
        print("first missing:", sorted(set(range(frames)) - set(seqs))[:5])


if __name__ == "__main__":
    main()
