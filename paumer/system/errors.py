"""The one exception that users see, and text that is safe to show."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# What precedes the text of an error that another process passes on, such as one that loads images.
HANDED_OVER = f"\n{__name__}.PaumerError: "


class PaumerError(ValueError):
    """A mistake the user can mend; pydantic, as for every ValueError, adds the key of the value that it is about.

    Its text is one line that names the file, key or value at fault and says what to do. The command line prints it
    without a traceback and exits with code 1. Names of files may hold anything: what is not printable is escaped, so
    that no name breaks the line or speaks to the terminal.
    """

    def __init__(self, text: str) -> None:
        super().__init__(printable(str(text).strip().rsplit(HANDED_OVER, 1)[-1]))


def printable(text: str) -> str:
    """A text whose control characters, line ends and undecodable bytes are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """End the program with one line on standard error and exit code 1 where the block raises PaumerError."""
    try:
        yield
    except PaumerError as error:
        print(f"paumer: error: {error}", file=sys.stderr)
        sys.exit(1)


def summary(error: BaseException) -> str:
    """An exception in a few words of one line."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


# Markdown's special characters, but not `_` within words and brackets that are no link.
SPECIAL = re.compile(r"[\\|*$`<~]|(?<![^\W_])_|_(?![^\W_])|\[(?=[^\]]*\]\()|&(?=#?\w+;)")


def as_text(cell: str) -> str:
    """Markdown that shows just these characters, in a table or outside."""
    return SPECIAL.sub(r"\\\g<0>", cell)
