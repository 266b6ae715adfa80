"""The user's name and password for a site, from where people keep them. They are never printed."""

import netrc
import os
import sys
from dataclasses import dataclass, field
from getpass import getpass
from pathlib import Path

from paumer.errors import PaumerError, summary
from paumer.files import read_json


@dataclass(frozen=True)
class Login:
    """A name and a password; neither is shown where the object is.

    Attributes:
        username: the name.
        password: the password.
        origin: where they were found, for error messages.
    """

    username: str = field(repr=False)
    password: str = field(repr=False)
    origin: str


def find_login(host: str, prefix: str, stored: Path | None) -> Login | None:
    """Look for a login in the environment, in a netrc file, in a file of credentials, and ask on a terminal at last.

    Args:
        host: the site's, as netrc names it.
        prefix: of the environment variables `<prefix>_USERNAME` and `<prefix>_PASSWORD`.
        stored: a JSON file with `username` and `password`, if there is a place for one.

    Returns:
        The first that is found; None where there is none and nobody to ask.

    Raises:
        PaumerError: one of these places holds half a login, or cannot be read.
    """
    return _from_environment(prefix) or _from_netrc(host) or _from_file(stored) or _from_terminal(host)


def _from_environment(prefix: str) -> Login | None:
    names = f"{prefix}_USERNAME", f"{prefix}_PASSWORD"
    username, password = (os.environ.get(name, "") for name in names)
    if bool(username) != bool(password):
        raise PaumerError(f"{names[not password]}: is empty or not set; set both {' and '.join(names)}, or neither")
    return Login(username, password, f"the environment variables {' and '.join(names)}") if username else None


def _from_netrc(host: str) -> Login | None:
    """The entry of just this host; the entry `default` would hand any site's login to this one."""
    named = os.environ.get("NETRC")
    try:
        entry = netrc.netrc(named).hosts.get(host)
    except FileNotFoundError:
        return None
    except netrc.NetrcParseError as error:
        # What it says of the line may be the password.
        place = f"{error.filename}: line {error.lineno}" if error.lineno else f"{error.filename}"
        raise PaumerError(f"{place}: no valid netrc file, or others may read it; mend it, or chmod 600") from None
    except (OSError, UnicodeDecodeError):
        raise PaumerError(f"{named or '~/.netrc'}: cannot be read; mend that, or remove it") from None
    if entry is None or not (entry[0] and entry[2]):
        return None
    return Login(entry[0], entry[2], named or "~/.netrc")


def _from_file(path: Path | None) -> Login | None:
    if path is None or not path.exists():
        return None
    content = read_json(path)
    username, password = (content.get(name) if isinstance(content, dict) else None for name in ("username", "password"))
    if not (isinstance(username, str) and isinstance(password, str)):
        raise PaumerError(f"{path}: holds no username and password; mend or remove it")
    return Login(username, password, str(path))


def _from_terminal(host: str) -> Login | None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    try:
        print(f"Login at {host}; it is not stored.", file=sys.stderr)
        print("User name or e-mail address: ", end="", file=sys.stderr, flush=True)
        username = sys.stdin.readline().strip()
        password = getpass("Password: ") if username else ""
    except (OSError, EOFError) as error:
        raise PaumerError(f"{host}: the terminal cannot be asked for a login ({summary(error)})") from None
    return Login(username, password, "the terminal") if username and password else None
