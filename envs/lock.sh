#!/usr/bin/env bash
# Write the locks anew, with the checksums that PyPI states; needs `pip install uv`.
# Versions stay as they are where pyproject.toml allows them; `envs/lock.sh --upgrade` takes the newest.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
    local lock=$1
    shift
    uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
        --no-config --default-index https://pypi.org/simple --custom-compile-command "envs/lock.sh" --output-file "$lock" "$@"
}
compile envs/paumer.lock "$@"
compile envs/test.lock --extra test --constraint envs/paumer.lock "$@"
