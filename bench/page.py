"""docs/speed.md and its charts: what `gpuopt bench` measured on one machine.

`python bench/table.py --write` draws the charts and writes the page, `--check` compares them.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from gpuopt.bench import charts, report
from gpuopt.bench.remarks import remarks

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench/results"
PAGE, CHARTS = ROOT / "docs/speed.md", ROOT / "docs/charts"
BENCH, SCALING = RESULTS / "bench.json", RESULTS / "scaling.json"
COMMAND = (
    "gpuopt bench --json bench/results/bench.json --plot docs/charts"  # measures the loss, too
)
SCALED = (
    "gpuopt bench --rules Adam --peers none, with --sizes 1e3,1e4,1e5,1e6,1e7,1e8,3e8 and with "
    "--sizes 1e6,1e7 --tensors 1,10,100,1000,10000"
)
CAPTIONS = {
    "throughput": "Throughput against size, with the measured limit and interquartile bands.",
    "speedup": "How many times as long the peers take.",
    "limit": "Percent of the measured limit, by rule.",
    "loss": "Loss against time: the same network, trained by each.",
    "scaling": f"How a step grows (`{SCALED}`).",
}


def load() -> dict[str, dict[str, Any]]:
    return {name: json.loads(path.read_text()) for name, path in files().items()}


def files() -> dict[str, Path]:
    return {"bench": BENCH, "scaling": SCALING}


def draw() -> None:
    """Draw the charts that the page shows. SystemExit if one was not measured: an older picture of
    it would stay beside newer numbers."""
    found = load()
    CHARTS.mkdir(exist_ok=True)
    for name in CAPTIONS:
        source = found["scaling" if name == "scaling" else "bench"]
        if not charts.draw_one(name, source, CHARTS / f"{name}.png"):
            raise SystemExit(f"no {name}.png: {charts.CHARTS[name].NEEDS}; measure with {COMMAND}")


def page() -> str:
    """The page, which names what its charts were drawn from."""
    found = load()["bench"]
    about = found["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items() if k != "gpuopt" and v)
    parts = [
        "# What a step takes, measured",
        f"{about['processor']}, {about['cores']} cores; Python {about['python']}, {versions}; "
        f"{about['date']}, commit {about['commit']}. `{COMMAND}`; this page is made from it by "
        "`python bench/table.py --write`.",
        report.EXPLANATION,
    ]
    for title, lines in report.groups(found["rows"]).items():
        parts += [f"## {title}", markdown(report.whole(lines))]
    parts += ["## Remarks", "\n".join(f"- {said}" for said in remarks(found))]
    parts += [f"![{caption}](charts/{name}.png)\n\n{caption}" for name, caption in CAPTIONS.items()]
    parts.append(f"<!-- charts: {digests()} -->")
    return "\n\n".join(parts) + "\n"


def markdown(lines: report.Lines) -> str:
    headings = list(lines[0])
    rows = [headings, ["---"] * len(headings), *([*line.values()] for line in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def digests() -> str:
    """Of the results and of the charts as they are: a chart of other results is not current."""
    paths = [*files().values(), *(CHARTS / f"{name}.png" for name in CAPTIONS)]
    return ", ".join(
        f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
        for path in paths
        if path.exists()
    )
