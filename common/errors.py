"""The one exception whose text is meant for the person at the keyboard."""


class UserError(Exception):
    """Something its user can put right: one sentence that says what, where, and what to do.

    Programs print it without a traceback and end with exit code 2; the keeper does not restart those.
    """


EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # by Ctrl-C, as shells have it
