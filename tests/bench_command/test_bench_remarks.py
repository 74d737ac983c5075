"""What the tables of `gpuopt bench` do not say."""

from gpuopt.bench.remarks import remarks
from tests.bench_command.bench_handmade import results, row


def test_what_was_skipped_is_said_once_for_each_reason():
    skipped = [{"what": name, "why": "it is not installed"} for name in ("a", "b", "a")]
    assert list(remarks(results(skipped=skipped))) == ["NOT MEASURED: a, b: it is not installed"]


def test_what_is_to_be_known_of_a_peer_is_said_once():
    rows = [row(1000), row(2000)]
    for r in rows:
        r["remarks"] = {"optax": "works in arrays of its own"}
    assert list(remarks(results(*rows))) == ["optax: works in arrays of its own"]


def test_what_holds_for_several_is_said_once_for_all_and_piece_by_piece():
    rows = [row(1000), row(2000)]
    rows[0]["remarks"] = {"Thinc": "copies; adds eps early", "gpuopt.thinc": "copies"}
    rows[1]["remarks"] = {"Thinc": "copies; decays late"}
    assert list(remarks(results(*rows))) == [
        "Thinc, gpuopt.thinc: copies",
        "Thinc: adds eps early",
        "Thinc: decays late",
    ]


def test_what_in_l2_means_is_said_where_it_stands():
    found = results({**row(device="cuda:0"), "in_l2": True})
    found["machine"]["l2_bytes"] = 50 * 2**20
    (said,) = remarks(found)
    assert said.startswith("in L2: the step's arrays fit in the GPU's cache of 50.0 MiB, so")
    del found["machine"]["l2_bytes"]
    assert "in the GPU's cache, so" in next(remarks(found))
    assert list(remarks(results({**row(device="cuda:0"), "in_l2": False}))) == []


def test_the_crossover_and_an_interruption_are_said():
    cross = {"rule": "Adam", "dtype": "float32", "device": "cuda:0", "copies": False}
    found = results(
        crossover=[{**cross, "from": 100_000}, {**cross, "copies": True, "from": None}],
        interrupted=True,
    )
    wins, never, stopped = remarks(found)
    assert wins.endswith("one tensor: cuda:0 is faster than the CPU from 100,000 parameters on")
    assert never.endswith("with copies to and from the host: cuda:0 never wins")
    assert stopped.startswith("INTERRUPTED")
