"""Files of results, and what may be published of them."""

import json
from pathlib import Path

import pytest

from gpuopt.bench import results
from gpuopt.errors import InputError


def times(median: float, noise: float = 0.01) -> dict[str, float]:
    spread = median * noise / 2
    return {"median": median, "q1": median - spread, "q3": median + spread, "noise": noise}


def row(ours: float, limit: float | None = None, noise: float = 0.01, **others) -> results.Row:
    found = {"gpuopt numba": times(ours, noise)}
    if limit:
        found |= {"limit, copy": times(limit * 2), "limit, 2 reads 1 writes": times(limit)}
    return {"case": "SGD float32, ResNet-50", "bytes": 12e9, "times": found | others}


def test_percent_of_the_best_limit():
    assert results.percent_of_limit(row(2.0, 1.5), "gpuopt numba") == 75
    assert results.said_of_limit(row(2.0, 1.5), "gpuopt numba") == "75 %"


def test_bytes_of_the_step_over_time():
    assert results.gb_per_s(row(2.0, 1.5), "gpuopt numba") == 6


@pytest.mark.parametrize("candidate", ["gpuopt numba", "torch fused"])
def test_no_limit_or_no_candidate(candidate):
    measured = row(2.0) if candidate == "gpuopt numba" else row(2.0, 1.5)
    assert results.percent_of_limit(measured, candidate) is None
    assert results.said_of_limit(measured, candidate) == ""


@pytest.mark.parametrize(("share", "noise"), [(1.04, 0.0), (1.3, 0.31)])
def test_above_the_limit_within_the_noise_cannot_be_told(share, noise):
    measured = row(1.0, share, noise)
    assert results.percent_of_limit(measured, "gpuopt numba") is None
    assert results.said_of_limit(measured, "gpuopt numba") == "cannot tell"


def test_the_limits_own_noise_counts_too():
    measured = row(1.0, 1.3)
    measured["times"]["limit, 2 reads 1 writes"]["noise"] = 0.31
    assert results.percent_of_limit(measured, "gpuopt numba") is None


@pytest.mark.parametrize(("share", "noise"), [(1.06, 0.0), (1.3, 0.29)])
def test_beyond_the_noise_is_refused(share, noise):
    with pytest.raises(results.AboveLimit, match=r"gpuopt numba ran at 1\d\d% of the limit"):
        results.percent_of_limit(row(1.0, share, noise), "gpuopt numba")


def test_a_row_above_the_limit_is_not_saved(tmp_path):
    good, bad = row(1.0, 0.9), {**row(1.0, 2.0), "case": "too fast"}
    failed = {"case": "x", "error": "y"}
    given = {"machine": {}, "rows": [good, bad], "failures": [failed]}
    results.save(tmp_path / "r.json", given)
    read = results.load(tmp_path / "r.json")
    assert read["rows"] == [good]
    assert read["failures"][0] == failed
    assert read["failures"][1]["case"] == "too fast"
    assert read["failures"][1]["error"].startswith("not published: too fast: gpuopt numba ran at")
    assert given["rows"] == [good, bad], "what was given is not changed"
    assert given["failures"] == [failed], "what was given is not changed"


def test_a_peer_that_moves_fewer_bytes_may_be_faster_than_the_limit():
    measured = row(1.0, 0.9, **{"bitsandbytes 8-bit": times(0.3)})
    assert results.refused({"rows": [measured]})["rows"] == [measured]
    assert results.said_of_limit(measured, "bitsandbytes 8-bit") == ""


def test_a_drop_in_that_is_given_copies_has_no_share_of_the_rows_limit():
    measured = row(1.0, 0.9, **{"gpuopt.torch": times(1.2), "gpuopt.thinc": times(1.2)})
    said = [results.said_of_limit(measured, f"gpuopt.{name}") for name in ("torch", "thinc")]
    assert said == ["75 %", ""]


def test_a_peer_above_the_limit_shows_a_wrong_clock_as_well():
    measured = row(1.0, 0.9, **{"torch fused": times(0.3)})
    assert results.refused({"rows": [measured]})["rows"] == []


def test_published_results_can_be_read():
    folder = Path(__file__).parents[2] / "bench" / "results"
    assert results.load(folder / "cpu.json")["rows"]


WRONG = {
    "{": "is no JSON",
    "[]": 'has no list of "rows"',
    '{"rows": {}}': 'has no list of "rows"',
    '{"rows": []}': 'does not say its "machine"',
    '{"machine": {}, "rows": [{}]}': r'has a row without "case": rows\[0\]',
    '{"machine": {}, "rows": [{"case": "a"}]}': r'without "times": rows\[0\], a',
    json.dumps({"machine": {}, "rows": [row(1.0, x={})]}): r"without median, q1, q3, noise: .*, x",
    json.dumps({"machine": {}, "rows": [row(0.0)]}): "without median",
    json.dumps({"machine": {}, "rows": [row(float("nan"))]}): "without median",
    json.dumps({"machine": {}, "rows": [row(1.0, x=times(1.0, -1.0))]}): "without median",
}


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_a_file_that_is_no_result(text, tmp_path):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"r\.json .*{WRONG[text]}.*; expected a file"):
        results.load(path)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"none\.json cannot be read: No such file"):
        results.load(tmp_path / "none.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match="is no JSON"):
        results.load(tmp_path / "bytes.json")
