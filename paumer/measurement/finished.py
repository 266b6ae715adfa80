"""Groups of timings that are finished: a measurement that was killed goes on with the others."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from paumer.errors import PaumerError
from paumer.files import read_json, write_json
from paumer.measurement.timing import Condition, Timing


class Finished:
    """The timings of finished groups, in a file until the tables are written.

    What is compared is timed within a group, so that an interruption between two groups changes no ratio. A file of
    other code, settings, weights or images, or of another machine, counts for nothing.
    """

    def __init__(self, path: Path, made_by: dict[str, Any]) -> None:
        self.path, self.made_by = path, made_by
        self.groups: dict[str, dict[str, Any]] = {}
        try:
            content = read_json(path, made_by=dict, groups=dict)
        except PaumerError:
            return
        if content["made_by"] == made_by:
            self.groups = content["groups"]
            print(f"{path}: {len(self.groups)} groups were timed before, and are kept")

    def take(self, condition: Condition) -> Timing | None:
        """What was timed under a condition; None where nothing was."""
        found = self.groups.get(condition.title())
        return None if found is None else Timing(**found)

    def keep(self, condition: Condition, timing: Timing) -> Timing:
        """Store what was timed under a condition; give it back."""
        self.groups[condition.title()] = asdict(timing)
        write_json(self.path, {"made_by": self.made_by, "groups": self.groups})
        return timing

    def remove(self) -> None:
        """Once all is written elsewhere."""
        self.path.unlink(missing_ok=True)
