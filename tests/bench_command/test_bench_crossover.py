"""From which size on a GPU wins."""

from gpuopt.bench.crossover import crossovers
from tests.bench_command.bench_handmade import row, times

CPU = {10**3: 1e-6, 10**4: 1e-5, 10**5: 1e-4, 10**6: 1e-3}


def rows(device, seconds, **more):
    name = "gpuopt numba" if device == "cpu" else "gpuopt cupy"
    return [
        row(n, device=device, **{name.replace(" ", "_"): t}, **more) for n, t in seconds.items()
    ]


def test_it_wins_from_the_size_on_which_it_never_loses_again():
    gpu = {10**3: 5e-7, 10**4: 2e-5, 10**5: 2e-5, 10**6: 2e-5}
    (found,) = crossovers(rows("cpu", CPU) + rows("cuda:0", gpu))
    assert found["from"] == 10**5
    assert found["sizes"] == list(CPU)
    assert (found["rule"], found["device"], found["copies"]) == ("Adam", "cuda:0", False)


def test_with_copies_it_is_another_size_and_it_may_never_win():
    always = rows("cuda:0", dict.fromkeys(CPU, 5e-7))
    never = rows("cuda:0", dict.fromkeys(CPU, 1.0), copies=True)
    found = crossovers(rows("cpu", CPU) + always + never)
    assert [(x["copies"], x["from"]) for x in found] == [(False, 1000), (True, None)]


def test_the_wall_clock_decides_and_not_the_events():
    gpu = rows("cuda:0", dict.fromkeys(CPU, 1e-7))
    for r in gpu:
        r["wall"] = {"gpuopt cupy": times(5e-5)}
    (found,) = crossovers(rows("cpu", CPU) + gpu)
    assert found["from"] == 10**5


def test_nothing_without_both_devices_or_two_sizes_in_common():
    assert crossovers(rows("cpu", CPU)) == []
    assert crossovers(rows("cpu", CPU) + rows("cuda:0", {77: 1.0, 10**3: 1.0})) == []
    lists = [row(10**6, 10), row(10**6, 10, device="cuda:0")]
    assert crossovers(lists) == []
