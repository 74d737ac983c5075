#!/usr/bin/env bash
# Format, lint, types, import contracts, the README's test command in a fresh virtual environment,
# and the wheel. People run it before a commit; .ci/run runs it on a clean checkout.
set -euo pipefail
cd "$(dirname "$0")/.."
export CI="${CI:-true}" PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
venv="$(mktemp -d)"
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$venv"' EXIT

say() { printf '\n== %s (%ss)\n' "$1" "$SECONDS"; }

say "a fresh virtual environment"
"${PYTHON:-python3}" -m venv "$venv"
export PATH="$venv/bin:$PATH" GPUOPT_CACHE_DIR="$venv/cache"
pip install -q --upgrade pip
pip install -q torch==2.13.0 # first and alone: the CPU build, which the later lines then keep
pip install -q ruff pyright import-linter build

say "format and lint"
ruff format --check .
ruff check .

say "the tests of memory, aside"
pip install -q ".[test]"
pytest -q tests/memory >"$venv/memory.log" 2>&1 & # in a process whose heap is new: they count bytes
memory=$!

say "README's tables of speed, docs/speed.md and its charts are those of bench/results"
python bench/table.py --check

say "no more instructions, bytecodes and launches than in bench/results/counts.json"
python bench/counts.py --check

say "types"
pyright

say "import contracts"
lint-imports

say "the wheel, and kernels compiled from it"
python -m build --wheel --outdir "$venv/dist" . >"$venv/build.log" 2>&1 || { cat "$venv/build.log"; exit 1; }
rm -rf build gpuopt.egg-info
python ci/check_wheel.py "$venv"/dist/*.whl

say "the README's test command, but for the tests of memory"
wait "$memory" || { cat "$venv/memory.log"; exit 1; }
tail -n 1 "$venv/memory.log"
pytest -q -n 2 --dist loadfile --ignore=tests/memory
say "all green"
