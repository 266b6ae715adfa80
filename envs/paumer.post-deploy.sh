#!/usr/bin/env bash
# Snakemake runs this inside the new environment, from the repository's root.
set -euo pipefail
python -m pip install -r envs/paumer.lock
python -m pip install --no-deps .
