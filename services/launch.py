"""Check settings, source, model and ports, then start honcho with the Procfile; for `make run`, `record`, `replay`.

python -m services.launch --source clip.mp4 --out out/run
python -m services.launch --record "wave, clap" --out datasets/mine
python -m services.launch --replay run.mcap --stage keypoints --speed 0
"""

import argparse
import json
import logging
import os
import socket
import sys
from pathlib import Path

from common import clock, config
from common.config import PREFIX, Settings
from common.errors import UserError, command
from common.recognition.classifier import read_card
from common.recognition.decision import merge_parameters
from common.recording.mcap_file import BusReader
from common.recording.session import check_plan
from common.video import sources

ROOT = Path(__file__).parent.parent
PORTS = 4  # of the hub
RECORDING = ("keypoints", "overlay", "recorder")
REPLAYING = {  # the services that process a stage
    "frames": ("keypoints", "windows", "inference", "overlay", "logger"),
    "keypoints": ("windows", "inference", "logger"),
    "windows": ("inference", "logger"),
    "prediction": ("logger",),
    "action": ("logger",),
}


def overrides(options: argparse.Namespace) -> dict[str, object]:
    """Return the settings that the options stand for."""
    chosen: dict[str, object] = {}
    if options.source:
        chosen["camera.source"] = int(options.source) if options.source.isdigit() else options.source
    if options.seconds is not None:
        chosen["camera.seconds"] = options.seconds
    if options.model:
        chosen["inference.model"] = options.model
    if options.headless:
        chosen["overlay.window"] = False
    if options.record is not None:
        chosen["recorder.labels"] = [label.strip() for label in options.record.split(",") if label.strip()]
        chosen["camera.wait_for"] = list(RECORDING)
    if options.replay is not None:
        chosen |= {"replay.file": options.replay, "replay.stage": options.stage, "replay.speed": options.speed}
        chosen["camera.wait_for"] = list(REPLAYING[options.stage])
    if options.out and options.record is not None:
        chosen["recorder.out"] = options.out
    elif options.out:
        chosen["logger.out"] = options.out
        chosen["overlay.video"] = str(Path(options.out) / "overlay.mp4")
    return chosen


def check(settings: Settings, options: argparse.Namespace) -> str | int:
    """Check what would go wrong in a process later, and return the source, with `auto` resolved.

    Raises:
        UserError: Something would.
    """
    if options.record is not None:
        check_plan(settings.recorder)
    else:
        _check_run(settings)
    if options.keypoints < 1:
        raise UserError(f"{options.keypoints} is no number of extractors: choose KEYPOINTS=1 or more.")
    settings.bus.endpoints.token()
    for offset in range(PORTS):
        _check_port(settings.bus.host, settings.bus.port + offset, "bus.port")
    if settings.overlay.page:
        if 0 <= settings.overlay.page_port - settings.bus.port < PORTS:
            raise UserError(f"overlay.page_port {settings.overlay.page_port} is one of the hub's: choose another.")
        _check_port("127.0.0.1", settings.overlay.page_port, "overlay.page_port")
    if options.replay is not None:
        if not options.replay:
            raise UserError("No recording to play: name one, as in make replay RECORDING=run.mcap.")
        next(iter(BusReader(Path(options.replay))), None)
        return settings.camera.source
    return _check_source(settings)


def _check_run(settings: Settings) -> None:
    card = read_card(settings.model)
    length = settings.windows.length
    if length not in (None, card.window.length):
        raise UserError(
            f"The model {settings.model} takes windows of {card.window.length} frames, but windows.length "
            f"is {length}: leave that setting at null, or choose another model."
        )
    merge_parameters(card.decision, settings.decision)
    if settings.logger.out and Path(settings.logger.out).is_file():
        raise UserError(f"{settings.logger.out} is a file: name a folder with OUT=.")
    if settings.logger.out and (Path(settings.logger.out) / "run.json").exists():
        raise UserError(f"{settings.logger.out} already holds a run: name another folder with OUT=, or remove it.")


def _check_port(host: str, port: int, setting: str) -> None:
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        raise UserError(
            f"Port {port} on {host} is in use ({error.strerror}): is another pipeline running? Stop it, or choose "
            f"another with {PREFIX}{setting.upper().replace('.', '__')}=..."
        ) from error


def _check_source(settings: Settings) -> str | int:
    source = settings.camera.source
    if isinstance(source, str) and "://" in source:
        return source  # it may come up later
    chosen = sources.open_source(settings.camera)
    chosen.close()
    if source == "auto":
        return chosen.name if chosen.name == "testcard" else int(chosen.name.removeprefix("camera "))
    return source


def main() -> None:
    """Check, and replace this process by honcho."""
    parser = argparse.ArgumentParser(prog="python -m services.launch", description=__doc__.splitlines()[0])
    parser.add_argument("--source", help="camera number, video file, folder, address or testcard")
    parser.add_argument("--seconds", type=float, help="stop after so many seconds of the source")
    parser.add_argument("--out", help="folder for predictions.jsonl, actions.jsonl, overlay.mp4 and run.json")
    parser.add_argument("--model", help="model folder")
    parser.add_argument("--headless", action="store_true", help="no window")
    parser.add_argument("--record", metavar="LABELS", help="record these, such as 'wave, clap', instead of recognising")
    parser.add_argument("--replay", metavar="FILE.mcap", help="play a recording of the bus instead of a camera")
    parser.add_argument("--stage", choices=list(REPLAYING), default="keypoints", help="what of it (keypoints)")
    parser.add_argument(
        "--speed", type=float, default=1.0, help="speed relative to real time (1); 0: as fast as possible"
    )
    parser.add_argument("--keypoints", type=int, default=1, help="extractor processes (1)")
    config.add_arguments(parser)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    chosen = overrides(options)
    sets = [*(f"{key}={json.dumps(value)}" for key, value in chosen.items()), *options.set]
    with command():
        settings = config.load(options.config, sets)
        chosen["camera.source"] = check(settings, options)
        if options.keypoints > 1 and "keypoints" in settings.camera.wait_for:
            others = [service for service in settings.camera.wait_for if service != "keypoints"]
            chosen["camera.wait_for"] = ["keypoints"] * options.keypoints + others
    _hand_over(chosen, options)


def _hand_over(chosen: dict[str, object], options: argparse.Namespace) -> None:
    binaries = Path(sys.executable).parent
    environment = {
        **os.environ,
        **clock.child_environment(),
        "PYTHONUNBUFFERED": "1",
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
    }
    given = dict(text.partition("=")[::2] for text in options.set)
    for key, value in {**{key: json.dumps(value) for key, value in chosen.items()}, **given}.items():
        environment[PREFIX + key.strip().upper().replace(".", "__")] = str(value)
    if options.config:
        files = [name for name in environment.get(config.FILES_VARIABLE, "").split(os.pathsep) if name]
        environment[config.FILES_VARIABLE] = os.pathsep.join([*files, *options.config])
    counts, procfile = {"keypoints": options.keypoints}, "Procfile"
    if options.record is not None:
        procfile = "Procfile.record"
    elif options.replay is not None:
        absent = set(REPLAYING["frames"]) - set(REPLAYING[options.stage])
        counts, procfile = counts | dict.fromkeys(absent, 0), "Procfile.replay"
    concurrency = ",".join(f"{service}={count}" for service, count in counts.items())
    os.execve(  # noqa: S606
        binaries / "honcho", ["honcho", "-f", str(ROOT / procfile), "start", "-c", concurrency], environment
    )


if __name__ == "__main__":
    main()
