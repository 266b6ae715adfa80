"""The one exception that users see."""


class PaumerError(Exception):
    """A mistake the user can mend.

    Its text is one line that names the file, key or value at fault and says what to do. The command line prints it
    without a traceback and exits with code 1.
    """


def summary(error: BaseException) -> str:
    """An exception in a few words of one line."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
