"""Prints README's table of speed from bench/results/cpu.json, or writes it into README.md.

python bench/table.py            prints it
python bench/table.py --write    puts it between the marks in README.md
python bench/table.py --check    exits with 1 if README.md does not hold it
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- speed: bench/table.py -->\n", "<!-- end of speed -->\n"


def table() -> str:
    results = json.loads((ROOT / "bench/results/cpu.json").read_text())
    about = results["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items() if k != "gpuopt")
    lines = [
        "| case | measured | aim |",
        "|---|---|---|",
        *[f"| {row['case']} | {measured(row)} | {aim(row)} |" for row in results["rows"]],
        "",
        f"{about['processor']}, {about['cores']} cores; Python {about['python']}, {versions}; "
        f"{about['date']}, commit {about['commit']}.",
    ]
    return "\n".join(lines) + "\n"


def measured(row: dict) -> str:
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


def readable(seconds: float) -> str:
    for factor, unit in ((1e6, "us"), (1e3, "ms")):
        if seconds * factor < 1000:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def aim(row: dict) -> str:
    at_most = row["against"] == "at most"
    reached = row["ratio"] <= row["reach"] if at_most else row["ratio"] >= row["reach"]
    return goal(row) + ("" if reached else ", missed")


def goal(row: dict) -> str:
    if row["against"] == "at most":
        return f"<= {readable(row['reach'])}"
    return f">= {row['reach']:.0%}" if row["against"] == "limit" else f">= {row['reach']}"


def main() -> int:
    readme = ROOT / "README.md"
    text = readme.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    current = before + BEGIN + table() + END + after
    if "--write" in sys.argv:
        readme.write_text(current)
    elif "--check" in sys.argv:
        if current != text:
            print("README.md's table of speed is not that of bench/results; run with --write")
            return 1
    else:
        print(table(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
