"""Send a command to a service, such as `python -m services.control recorder pause`."""

import argparse

from common import config
from common.bus import send_command
from common.errors import command


def main() -> None:
    """Send the command of the command line."""
    parser = argparse.ArgumentParser(prog="python -m services.control", description=__doc__)
    parser.add_argument("service", help="such as recorder")
    parser.add_argument("command", help="recorder: pause (and resume), retake, skip, stop")
    parser.add_argument("value", nargs="?", default="", help="for commands that take one")
    config.add_arguments(parser)
    arguments = parser.parse_args()
    with command():
        endpoints = config.load(arguments.config, arguments.set).bus.endpoints
        send_command(arguments.service, arguments.command, arguments.value, **endpoints._asdict())


if __name__ == "__main__":
    main()
