"""Prints README's tables of speed from bench/results, or writes them into README.md.

python bench/table.py            prints them
python bench/table.py --write    puts them between the marks in README.md; docs/speed.md, its charts
python bench/table.py --check    exits with 1 if README.md or docs/speed.md are not up to date
python bench/table.py --gpu FILE prints the table of another gpu.json
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from bench import page  # noqa: E402
from gpuopt.bench.report import readable  # noqa: E402

CPU, GPU = ROOT / "bench/results/cpu.json", ROOT / "bench/results/gpu.json"
BEGIN, END = "<!-- speed: bench/table.py -->\n", "<!-- end of speed -->\n"
GPU_BEGIN, GPU_END = "<!-- gpu speed: bench/table.py -->\n", "<!-- end of gpu speed -->\n"


def table() -> str:
    results = json.loads(CPU.read_text())
    about = results["machine"]
    where = f"{about['processor']}, {about['cores']} cores"
    return "\n".join([*rows(results), "", footnote(where, about)]) + "\n"


def gpu_table(path: Path = GPU) -> str:
    if not path.exists():
        return "Not yet measured on a GPU.\n"
    results = json.loads(path.read_text())
    about = results["machine"]
    driver = about.get("clocks", {}).get("driver_version", about["cuda_driver"])
    where = f"{about['gpu']}, driver {driver}, CUDA {about['cuda_runtime'] // 1000}"
    said = [f"Not measured, for an error: {x['case']}." for x in results["failures"]]
    wins = results["extras"].get("crossover", {}).get("wins_from", {})
    for way, how in (("gpu", "with arrays that stay there"), ("gpu, with copies", "copied over")):
        if wins.get(way):
            said.append(f"Faster than the CPU beside it from {wins[way]:,} elements, {how}.")
    return "\n".join([*rows(results), "", *said, footnote(where, about)]) + "\n"


def rows(results: dict) -> list[str]:
    lines = [f"| {row['case']} | {measured(row)} | {aim(row)} |" for row in results["rows"]]
    return ["| case | measured | aim |", "|---|---|---|", *lines]


def footnote(where: str, about: dict) -> str:
    found = about["versions"].items()
    versions = ", ".join(f"{k} {v}" for k, v in found if k != "gpuopt" and v)
    source = f"commit {about['commit']}" if "commit" in about else f"sources {about['sources']}"
    what = f"{where}; Python {about['python']}, {versions}"
    return f"{what}; {about['date']}, {source}."


def measured(row: dict) -> str:
    if row["against"] == "launches":
        others = [f"{name} {x['kernels']:g}" for name, x in row["counts"].items()]
        return ", ".join(others)
    noise = max(t["noise"] for t in row["times"].values())
    shaky = f"; noise {noise:.0%}" if noise > 0.05 else ""
    took = readable(row["times"]["gpuopt"]["median"])
    if row["against"] == "at most":
        return f"{took}{shaky}"
    if "gb_per_s" in row:
        took += f", {row['gb_per_s']:.0f} GB/s"
    if row["against"] != "limit":
        return f"{row['ratio']:.3g} times as fast as {row['against']} ({took}{shaky})"
    if row["ratio"] > 1:
        return f"cannot tell: above the limit measured beside it ({took}{shaky})"
    return f"{row['ratio']:.0%} of the measured read-write limit ({took}{shaky})"


def aim(row: dict) -> str:
    at_most = row["against"] in ("at most", "launches")
    reached = row["ratio"] <= row["reach"] if at_most else row["ratio"] >= row["reach"]
    return goal(row) + ("" if reached else ", missed")


def goal(row: dict) -> str:
    if row["against"] == "launches":
        return f"<= {row['reach']}"
    if row["against"] == "at most":
        return f"<= {readable(row['reach'])}"
    return f">= {row['reach']:.0%}" if row["against"] == "limit" else f">= {row['reach']}"


def main() -> int:
    if "--gpu" in sys.argv:
        print(gpu_table(Path(sys.argv[sys.argv.index("--gpu") + 1])), end="")
        return 0
    if "--write" in sys.argv:
        page.draw()
        page.PAGE.write_text(page.page())
    readme = ROOT / "README.md"
    text = current = readme.read_text()
    for begin, end, made in ((BEGIN, END, table()), (GPU_BEGIN, GPU_END, gpu_table())):
        before, rest = current.split(begin)
        _, after = rest.split(end)
        current = before + begin + made + end + after
    if "--write" in sys.argv:
        readme.write_text(current)
    elif "--check" in sys.argv:
        stale = ["README.md"] * (current != text)
        stale += ["docs/speed.md"] * (page.page() != page.PAGE.read_text())
        if stale:
            print(f"{' and '.join(stale)}: not what bench/results has; run with --write")
            return 1
    else:
        print(table(), gpu_table(), sep="\n", end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
