"""`gpuopt bench compare`: did it get slower? Two files of results as a table of verdicts."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Exit, Option

from gpuopt.commands.output import check_files, show_files, write_json
from gpuopt.errors import InputError

if TYPE_CHECKING:
    from gpuopt.bench.compare import Comparison

COLORS = {"slower": "bold red", "faster": "green", "cannot tell": "yellow", "the same": ""}
EXPLANATION = (
    "Times are relative to the limit or the peer that was timed beside them, so that two runs can "
    "be compared; in brackets is the 95 % interval, wider where these did not all change alike. Up "
    "to {margin:g} % is the same, and what lies on both sides of that cannot be told."
)


def compare(
    before: Annotated[Path, Argument(metavar="BEFORE.json", help="Of gpuopt bench --json.")],
    after: Annotated[Path, Argument(metavar="AFTER.json", help="The same, later.")],
    json: Annotated[Path | None, Option(metavar="FILE", help="Write the verdicts as JSON.")] = None,
) -> None:
    """Say what became faster, slower, stayed the same, or cannot be told.

    Exit code 1 if something is slower beyond the noise, 0 if not, 2 if a file cannot be used.
    """
    from rich.console import Console

    from gpuopt.bench.compare import compare as compared
    from gpuopt.bench.differing import notes
    from gpuopt.bench.intervals import MARGIN
    from gpuopt.bench.results import load

    check_files(read=before, json=json)
    check_files(read=after, json=json)
    files = load(before), load(after)
    found, said = compared(*files), notes(*files)
    console = Console(highlight=False, markup=False)
    for note in said:
        console.print(note, style="bold yellow" if note.startswith("OTHER") else "dim")
    if not found:
        raise InputError(f"{before} and {after} have no row in common, so nothing can be compared")
    console.print(table(found))
    console.print(EXPLANATION.format(margin=100 * MARGIN), style="dim")
    verdicts = [x.verdict for x in found]
    counts = {verdict: verdicts.count(verdict) for verdict in COLORS}
    console.print(", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
    rows = [asdict(x) for x in found]
    write_json(json, {"command": "bench compare", "comparisons": rows, "notes": said})
    show_files(console, verdicts=json)
    raise Exit(1 if counts["slower"] else 0)


def table(found: "list[Comparison]") -> Any:
    """One line for each figure: what became of it, by how much, and relative to what."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(header_style="bold", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in ("case", "of", "verdict", "change", "relative to"):
        made.add_column(heading)
    for x in found:
        verdict = f"{x.verdict} ({x.why})" if x.why else x.verdict
        made.add_row(x.case, x.what, verdict, change(x), x.against, style=COLORS[x.verdict])
    return made


def change(found: "Comparison") -> str:
    """In percent of the time, or of the count: "+12 % (+8 to +15 %)"."""
    if found.low is not None and found.high is not None and found.change is not None:
        middle, low, high = (100 * (x - 1) for x in (found.change, found.low, found.high))
        return f"{middle:+.0f} % ({low:+.0f} to {high:+.0f} %)"
    if found.before is None or found.after is None:
        return ""
    return f"{found.before:g} to {found.after:g}" if found.before != found.after else ""
