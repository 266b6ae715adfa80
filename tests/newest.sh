#!/usr/bin/env bash
# The tests with the newest timm and snakemake instead of the pinned ones: for a scheduled run, say every week.
# Arguments go to pytest: `tests/newest.sh tests/models tests/workflow`.
set -euo pipefail
cd "$(dirname "$0")/.."
environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT
python3 -m venv "$environment"
. "$environment/bin/activate"
pip install --quiet --require-hashes -r envs/test.lock
pip install --quiet --no-deps -e .
pip install --quiet --upgrade timm snakemake
pip list | grep -i -E '^(timm|snakemake|torch) '
pytest "$@"
