#!/usr/bin/env bash
# Everything that needs a GPU, in one command that ends in under ten minutes:
#
#     bash ci/gpu.sh FOLDER [--quick]
#
# It takes what is installed (CuPy for CUDA 12 or 13; pytest, PyTorch, numba-cuda, compute-sanitizer
# and ncu where they are) and installs nothing. PYTHON names the interpreter. Into FOLDER it writes
#     summary.txt     each part: passed or failed, seconds; what failed, what was not tested and why
#     facts.json      what the tests measured: ulps by rule and dtype, memory, waiting, ...
#     gpu.json        the table's rows and more, for bench/results; table.md is README's table of it
#     bench.json      what `gpuopt bench --quick` says there, CPU and GPU; charts/ are its pictures
#     sweep.json      the same kernels in other shapes of launch
#     logs.tar.gz     each part's log, in a file of its own, and the tests' results as XML
# Parts are tests first, side by side, then timings, one by one. A part that fails or takes too long
# does not keep the others from running. The exit status is 1 if one failed.
set -uo pipefail

out="${1:-}"
quick="${2:-}"
if [[ -z "$out" || -n "$quick" && "$quick" != --quick ]]; then
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
    exit 2
fi
mkdir -p "$out" && out="$(cd "$out" && pwd)" || exit 2
cd "$(dirname "$0")/.." || exit 2
python="${PYTHON:-python3}"
deadline=555 # seconds since the start after which nothing may run
logs="$out/logs"
scratch="$(mktemp -d)"
mkdir -p "$logs"
rm -f "$out"/{summary.txt,facts.jsonl,facts.json,gpu.json,bench.json,sweep.json,table.md,logs.tar.gz} "$logs"/*
export GPUOPT_GPU=1 GPUOPT_OUT="$out" GPUOPT_CACHE_DIR="$scratch/gpuopt" CUPY_CACHE_DIR="$scratch/cupy"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PIP_NO_INDEX=1

say() { echo "$*" | tee -a "$out/summary.txt"; }

# What is in logs goes into one file, however this ends.
finish() {
    jobs -p | xargs -r kill 2>/dev/null
    tar -C "$out" -czf "$out/logs.tar.gz" logs && rm -rf "$logs"
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 1' INT TERM

# part NAME SECONDS COMMAND...: run it for at most so long, its output in logs/NAME.txt.
part() {
    local name="$1" limit="$2" start=$SECONDS status outcome
    shift 2
    ((limit > deadline - SECONDS)) && limit=$((deadline - SECONDS))
    if ((limit < 5)); then
        echo "not run: no time was left" >"$logs/$name.txt"
        status=125
    else
        timeout -k 10 "$limit" "$@" >"$logs/$name.txt" 2>&1
        status=$?
    fi
    outcome=passed
    ((status)) && outcome=FAILED
    ((status == 124 || status == 137)) && echo "stopped after $limit s" >>"$logs/$name.txt"
    echo "$outcome" >"$scratch/$name.outcome"
    say "$(printf '%-7s %4d s  %-28s %s' "$outcome" $((SECONDS - start)) "$name" \
        "$(grep -v '^[[:space:]]*$' "$logs/$name.txt" | tail -n 1 | cut -c 1-150)")"
}

missing() {
    echo "$2" >"$logs/$1.txt"
    echo "${3:-FAILED}" >"$scratch/$1.outcome"
    say "$(printf '%-7s %4d s  %-28s %s' "${3:-FAILED}" 0 "$1" "$2")"
}

has() { "$python" -c "import $1" >/dev/null 2>&1; }

tool() {
    command -v "$1" || { compgen -G "/usr/local/cuda*/bin/$1"; compgen -G "/opt/nvidia/*/*/$1"; } | tail -n 1
}

say "gpuopt on a GPU, $(date -u '+%Y-%m-%d %H:%M') UTC, commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
part machine 60 "$python" -m bench.gpu_found
if [[ "$(cat "$scratch/machine.outcome")" == FAILED ]]; then
    say "NO GPU that CuPy can use, so nothing was tested or measured:"
    tail -n 5 "$logs/machine.txt" | tee -a "$out/summary.txt"
    for name in tests sanitizer timings sweep bench ncu; do missing "$name" "no GPU"; done
    exit 1
fi
sed 's/^/    /' "$logs/machine.txt" | tee -a "$out/summary.txt"

# ---- tests, each file in a process of its own: one that breaks CUDA breaks no other ----

tests=(-q -p no:cacheprovider -W default -o faulthandler_timeout=100)

# pytest_part NAME FILE CHOICE
pytest_part() {
    part "$1" 210 "$python" -m pytest "${tests[@]}" --junitxml="$logs/$1.xml" "$2" -k "$3" &
}

if has pytest; then
    for file in tests/gpu/test_[!_]*.py; do
        name="$(basename "$file" .py)"
        pytest_part "$name" "$file" "not numba-cuda"
        if grep -q "gpu_backend" "$file"; then # its cases are compiled once more for numba-cuda
            pytest_part "$name-numba-cuda" "$file" "numba-cuda"
        fi
    done
else
    missing tests "pytest is NOT INSTALLED, so nothing in tests/gpu has run"
fi
part selftest 210 "$python" -m gpuopt selftest --json "$logs/selftest.json" &
sanitizer="$(tool compute-sanitizer)"
for check in memcheck racecheck synccheck initcheck; do
    if [[ -n "$sanitizer" ]]; then
        options=(--tool "$check" --error-exitcode 9)
        [[ "$check" == memcheck ]] && options+=(--padding 512)
        part "$check" 200 "$sanitizer" "${options[@]}" "$python" -m tests.gpu.sanitize &
    else
        missing "$check" "NOT TESTED: there is no compute-sanitizer" skipped
    fi
done
wait

# ---- timings, with the GPU to themselves ----

if has torch; then
    # shellcheck disable=SC2086  # $quick is one word or none
    part timings 165 "$python" bench/gpu.py --out "$out" --seconds 145 $quick
else
    missing timings "PyTorch is NOT INSTALLED, so there is nobody to compare with"
fi
# shellcheck disable=SC2086
part sweep 90 "$python" bench/gpu.py --out "$out" --sweep --seconds 75 $quick
part bench 75 "$python" -m gpuopt bench --quick --json "$out/bench.json" --plot "$out/charts"
profiler="$(tool ncu)"
if [[ -n "$profiler" ]]; then
    metrics=gpu__time_duration.sum,dram__throughput.avg.pct_of_peak_sustained_elapsed
    metrics+=,dram__bytes_read.sum,dram__bytes_write.sum,launch__registers_per_thread
    metrics+=,sm__warps_active.avg.pct_of_peak_sustained_active,launch__occupancy_limit_registers
    metrics+=,launch__grid_size,launch__block_size,lts__t_sector_hit_rate.pct
    metrics+=,smsp__average_warps_issue_stalled_long_scoreboard_per_issue_active.ratio
    part ncu 60 "$profiler" --clock-control none --metrics "$metrics" \
        --kernel-name 'regex:^(sweep|square_sums|control)' --launch-skip 2 --launch-count 6 \
        "$python" bench/gpu_profile.py
else
    missing ncu "NOT MEASURED: there is no ncu" skipped
fi

# ---- what it all came to ----

if [[ -f "$out/facts.jsonl" ]]; then
    "$python" -c 'import json, sys; json.dump([json.loads(x) for x in sys.stdin], sys.stdout, indent=0)' \
        <"$out/facts.jsonl" >"$out/facts.json" && rm "$out/facts.jsonl"
fi
if [[ -f "$out/gpu.json" ]]; then
    "$python" bench/table.py --gpu "$out/gpu.json" >"$out/table.md" && cat "$out/table.md"
fi
say ""
grep -hE '^(FAILED|ERROR|SKIPPED)|ERROR SUMMARY: [1-9]|ERRORS? *=|NOT (TESTED|MEASURED|INSTALLED)' "$logs"/*.txt |
    sort | uniq -c | cut -c 1-240 | tee -a "$out/summary.txt"
failed="$(grep -lx FAILED "$scratch"/*.outcome | xargs -r -n 1 basename -s .outcome | tr '\n' ' ')"
say "$(cat "$scratch"/*.outcome | grep -cx passed) parts passed in $SECONDS s; failed: ${failed:-none}"
[[ -z "$failed" ]]
