"""Publish a topic of your own: the color of a lamp, green during an action.

Another program imports Lamp from here and reads it with `listen("lamp")`, or reads it with pyzmq as plain_zmq.py does.
"""

from actionstream import Header, Publisher, add_topic, derive_header, listen


class Lamp(Header, kw_only=True, frozen=True):
    """The fields of each message, besides those of every header; they are checked where it is read."""

    color: str = "white"


add_topic("lamp", Lamp)  # in each program that publishes it or listens to it

if __name__ == "__main__":
    publisher = Publisher()
    publisher.wait_for_subscriber("lamp", timeout_s=2)  # what is sent before there is one is lost
    for action in listen("action"):
        color = "green" if action.event == "started" and not action.end_of_stream else "white"
        publisher.send(derive_header(action, Lamp, color=color))  # about the same frame of the same stream
