"""How long Snakemake takes to find out that nothing is to be done, for every experiment file.

python benchmarks/planning.py
"""

import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Plan every experiment without running it."""
    for path in [ROOT / "config.yaml", *sorted((ROOT / "workflow" / "experiments").glob("*.yaml"))]:
        start = time.perf_counter()
        subprocess.run(
            ["snakemake", "-n", "--quiet", "all", "--configfile", str(path), "--", "all"],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        print(f"{path.name}: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
