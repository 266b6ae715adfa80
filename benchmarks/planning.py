"""How long Snakemake takes to find out that nothing is to be done.

    python benchmarks/planning.py [EXPERIMENT.yaml ...]

Without names, for every experiment file.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main(experiments: Sequence[Path]) -> None:
    """Plan experiments without running them."""
    for path in experiments or [ROOT / "config.yaml", *sorted((ROOT / "workflow" / "experiments").glob("*.yaml"))]:
        start = time.perf_counter()
        subprocess.run(
            ["snakemake", "-n", "--quiet", "all", "--configfile", str(path.resolve()), "--", "all"],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        print(f"{path.name}: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
