#!/usr/bin/env bash
# Snakemake runs this inside the new environment, from the folder in which it was started.
set -euo pipefail
if [ -f envs/paumer.lock ]; then # in a clone
    python -m pip install -r envs/paumer.lock
    python -m pip install --no-deps .
else # another workflow uses this one as a module
    python -m pip install "${PAUMER_PACKAGE:-paumer @ git+https://github.com/OWNER/REPOSITORY}"
fi
