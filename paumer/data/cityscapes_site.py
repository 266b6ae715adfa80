"""The site of Cityscapes: finding the user's login, logging in, and the archives with their checksums.

Addresses and form are those of the dataset's own downloader, cityscapesscripts.download. Its login is not used: it
stops for a prompt, and removes stored credentials when they fail once. Names and passwords are never printed.
"""

import json
import netrc
import os
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from getpass import getpass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, OpenerDirector, Request, build_opener

from paumer.data.archives import Origin
from paumer.data.download import SILENCE_SECONDS
from paumer.system.errors import PaumerError, summary

HOST = "www.cityscapes-dataset.com"
SITE = f"https://{HOST}"
VARIABLES = ("CITYSCAPES_USERNAME", "CITYSCAPES_PASSWORD")
OTHERWISE = "or name a folder that holds Cityscapes in data.folder or PAUMER_DATA"
LARGEST_ANSWER = 2**20
UNITS = {"KB": 2**10, "MB": 2**20, "GB": 2**30}


@dataclass(frozen=True)
class Login:
    """A user name and a password, hidden in the representation, and the place where they were found."""

    username: str = field(repr=False)
    password: str = field(repr=False)
    origin: str


def find_login() -> Login | None:
    """Find a login: in the environment, in netrc, or else from the terminal; None where there is no terminal.

    Raises:
        PaumerError: one of these places is incomplete or cannot be read.
    """
    return _from_environment() or _from_netrc() or _from_terminal()


def _from_environment() -> Login | None:
    username, password = (os.environ.get(name, "") for name in VARIABLES)
    if bool(username) != bool(password):
        raise PaumerError(
            f"{VARIABLES[not password]}: is empty or not set; set both {' and '.join(VARIABLES)}, or neither"
        )
    return Login(username, password, f"the environment variables {' and '.join(VARIABLES)}") if username else None


def _from_netrc() -> Login | None:
    """The entry of this host; not `default`, which may be of another site."""
    named = os.environ.get("NETRC")
    try:
        entry = netrc.netrc(named).hosts.get(HOST)
    except FileNotFoundError:
        return None
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError) as error:  # whose message may quote the password
        line = f"line {error.lineno}: " if isinstance(error, netrc.NetrcParseError) and error.lineno else ""
        raise PaumerError(
            f"{named or '~/.netrc'}: {line}no valid netrc file, or others may read it; mend it, or chmod 600"
        ) from None
    if entry is None or not (entry[0] and entry[2]):
        return None
    return Login(entry[0], entry[2], named or "~/.netrc")


def _from_terminal() -> Login | None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    try:
        print(f"Login at {HOST}; it is not stored.", file=sys.stderr)
        print("User name or e-mail address: ", end="", file=sys.stderr, flush=True)
        username = sys.stdin.readline().strip()
        password = getpass("Password: ") if username else ""
    except (OSError, EOFError) as error:
        raise PaumerError(f"{HOST}: the terminal cannot be asked for a login ({summary(error)})") from None
    return Login(username, password, "the terminal") if username and password else None


def log_in(names: Collection[str]) -> dict[str, Origin]:
    """Log in, and find archives.

    Args:
        names: archive names, as the site lists them.

    Returns:
        Name -> origin, which uses the session's cookies.

    Raises:
        PaumerError: there is no login, the site refuses it, or an archive is not offered.
    """
    opener = _session()
    offered = _offered(opener)
    for name in names:
        if name not in offered:
            raise PaumerError(f"{SITE}/downloads: offers no {name} to this account; ask there for access, {OTHERWISE}")
    return {name: _origin(opener, offered[name]) for name in names}


class _Stay(HTTPRedirectHandler):
    """Follows no redirection, so that login and session are sent to the site only."""

    def redirect_request(self, *_: Any) -> None:
        """No further request: the redirection itself is the response."""


def _session() -> OpenerDirector:
    """Log in; the returned opener sends the session's cookies."""
    login = find_login()
    if login is None:
        raise PaumerError(
            f"{SITE}: a login is needed; register at {SITE}/register, then set {' and '.join(VARIABLES)}, or write "
            f"`machine {HOST} login NAME password PASSWORD` to ~/.netrc, or run `paumer data cityscapes --output "
            f"FOLDER` in a terminal; {OTHERWISE}"
        )
    opener = build_opener(_Stay, HTTPCookieProcessor())
    address = f"{SITE}/login"
    _ask(opener, address)  # gives the session's cookie
    form = {"username": login.username, "password": login.password, "submit": "Login"}
    status, _ = _ask(opener, address, urlencode(form).encode())
    if status != 302:  # the site redirects after a successful login
        raise PaumerError(f"{address}: refuses the login from {login.origin}; mend that and run again, {OTHERWISE}")
    return opener


def _offered(opener: OpenerDirector) -> dict[str, Mapping[str, str]]:
    """The archives that the site offers, by name."""
    address = f"{SITE}/downloads/?list"
    answer = _ask(opener, address)[1]
    try:
        return {str(archive["name"]): archive for archive in json.loads(answer)}
    except (ValueError, TypeError, KeyError):
        raise PaumerError(f"{address}: answers with no list of archives; run again later, {OTHERWISE}") from None


def _origin(opener: OpenerDirector, archive: Mapping[str, str]) -> Origin:
    """Address, size and checksum of an archive."""
    number = quote(str(archive.get("packageID", "")), safe="")
    address = f"{SITE}/md5-sum/?packageID={number}"
    found = re.match(r"\s*([0-9a-fA-F]{32})\b", _ask(opener, address)[1])
    if found is None:
        raise PaumerError(f"{address}: answers with no checksum; run again later, {OTHERWISE}")
    return Origin(
        f"{SITE}/file-handling/?packageID={number}",
        size=_bytes(str(archive.get("size", ""))),
        checksums={"md5": found[1].lower()},
        opener=opener,
    )


def _bytes(size: str) -> int:
    """A size such as `11GB` in bytes; 0 where it is written otherwise."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(KB|MB|GB)", size.strip().upper())
    return int(float(found[1]) * UNITS[found[2]]) if found else 0


def _ask(opener: OpenerDirector, address: str, form: bytes | None = None) -> tuple[int, str]:
    """Status and text of a response; redirections are returned, too."""
    try:
        with opener.open(Request(address, form), timeout=SILENCE_SECONDS) as answer:
            return answer.status, answer.read(LARGEST_ANSWER).decode(errors="replace")
    except HTTPError as error:
        if error.code < 400:
            return error.code, ""
        raise PaumerError(f"{address}: the server refuses it (status {error.code}); run again, {OTHERWISE}") from None
    except (OSError, HTTPException) as error:
        raise PaumerError(f"{address}: cannot be reached ({summary(error)}); run again, {OTHERWISE}") from None
