"""Links from the report to the files that it is made of."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

ENDINGS = (".csv", ".tex", ".pdf", ".svg", ".png")


@dataclass(frozen=True)
class Link:
    """A file, as the page names and finds it."""

    text: str
    href: str


def links(page: Path, tables: Path, figures: Path, measured: Sequence[Path]) -> list[tuple[str, list[Link]]]:
    """What was measured, the tables, and the figures for a paper with what they show, each under a title.

    Args:
        page: the report; links are relative to it.
        tables: folder of the tables.
        figures: folder of the figures.
        measured: further files; those that are missing are left out.
    """
    groups = {
        "Measured": [path for path in measured if path.exists()],
        "Tables": _files(tables.iterdir()),
        "Figures, and what they show": _files(figures.iterdir()),
        "Figures for a paper": _files(figures.glob("paper/*")),
    }
    return [(title, [_link(path, page) for path in paths]) for title, paths in groups.items() if paths]


def _files(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.suffix in ENDINGS)


def _link(path: Path, page: Path) -> Link:
    relative = Path(os.path.relpath(path, page.parent)).as_posix()
    return Link(relative, quote(relative))
