"""A command in; the service it is for hears it. `python -m services.control recorder pause`."""

import argparse

from common import config
from common.bus import pubsub
from common.errors import command


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m services.control", description=__doc__)
    parser.add_argument("service", help="such as recorder")
    parser.add_argument("command", help="recorder: pause (and go on), retake, skip, stop")
    parser.add_argument("value", nargs="?", default="", help="where the command takes one")
    config.add_arguments(parser)
    arguments = parser.parse_args()
    with command():
        hub = config.load(arguments.config, arguments.set).bus
        whom, what = (arguments.service, arguments.command, arguments.value), hub.endpoints._asdict()
        pubsub.tell(*whom, **what)


if __name__ == "__main__":
    main()
