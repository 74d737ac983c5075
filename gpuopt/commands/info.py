"""`gpuopt info`: what gpuopt finds on this machine, for people and for bug reports."""

from pathlib import Path
from typing import Annotated, Any

from typer import Option

from gpuopt.commands.output import check_writable, write_json


def info(
    json: Annotated[Path | None, Option(metavar="FILE", help="Write the same as JSON.")] = None,
) -> None:
    """Show versions, devices and backends, and where gpuopt runs."""
    from gpuopt.info import collect

    check_writable("--json", json)
    found = collect()
    for name in ("versions", "cpu", "memory", "gpus", "backends"):
        print(name)
        for key, value in rows(name, found[name]):
            print(f"  {key:<14} {value}")
    print(found["verdict"])
    write_json(json, {"command": "info", **found})


def rows(name: str, section: Any) -> list[tuple[str, Any]]:
    """A section as pairs of words and values."""
    if isinstance(section, list):
        return [
            (x["device"], f"{x['name']}, compute {x['compute_capability']}, {gib(x['memory'])}")
            for x in section
        ] or [("none", "")]
    if list(section) == ["error"]:
        return [("none" if name == "gpus" else "unknown", section["error"])]
    if name == "memory":
        return [(key, gib(value)) for key, value in section.items()]
    if name == "backends":
        return [(key, f"does not run: {why}" if why else "runs") for key, why in section.items()]
    return [(key.replace("_", " "), words(value)) for key, value in section.items()]


def words(value: Any) -> Any:
    if isinstance(value, dict):
        return f"unknown: {value['error']}"
    return "not installed" if value is None else value


def gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
