"""Define the exception whose text is meant for the user, and end commands with it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

EXIT_USER_ERROR = 2  # the supervisor does not restart such a process
EXIT_INTERRUPTED = 130  # by Ctrl-C, as shells have it


class UserError(Exception):
    """An error that the user can fix: one sentence that says what, where, and what to do."""


@contextmanager
def command(interrupted: str = "Interrupted.") -> Iterator[None]:
    """End the process with one sentence instead of a traceback if the body of a command fails."""
    try:
        yield
    except UserError as error:
        _end(str(error), EXIT_USER_ERROR)
    except OSError as error:
        _end(_sentence(error), EXIT_USER_ERROR)
    except KeyboardInterrupt:
        _end(interrupted, EXIT_INTERRUPTED)


def _sentence(error: OSError) -> str:
    if isinstance(error, ConnectionError) and error.errno is None:  # a BusError, not one of the operating system's
        return str(error)
    return f"{error.filename or 'A file'} cannot be read or written: {error.strerror or error}."


def _end(sentence: str, code: int) -> NoReturn:
    print(sentence, file=sys.stderr)
    sys.exit(code)
