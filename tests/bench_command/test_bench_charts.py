"""The charts of `gpuopt bench`: which are drawn, and that they show the numbers given."""

from io import BytesIO

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from gpuopt.bench import charts
from gpuopt.bench.charts import limit, loss, scaling, speedup, throughput
from tests.bench_command.bench_handmade import results, row

SIZES = (10**3, 10**5, 10**7)


def figure_of(module, found):
    made = module.chart(found)
    assert made is not None
    fill, size = made
    figure = Figure(figsize=size, layout="constrained")
    fill(figure)
    figure.savefig(BytesIO(), dpi=30)
    return figure


def line(axes, label):
    (found,) = [x for x in axes.get_lines() if x.get_label() == label]
    return [*map(float, found.get_xdata())], [*map(float, found.get_ydata())]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def by_size(device="cpu", factor=1.0):
    return [
        row(n, device=device, gpuopt_numba=factor * (1e-6 + n * 1e-9), torch_fused=1e-4 + n * 1e-9)
        for n in SIZES
    ]


def test_throughput_is_bytes_over_the_median_with_a_band_and_the_limit():
    rows = by_size()
    rows[-1]["times"]["limit, copy"] = {**rows[-1]["times"]["gpuopt numba"], "median": 0.008}
    figure = figure_of(throughput, results(*rows))
    (axes,) = figure.axes
    sizes, speeds = line(axes, "gpuopt numba")
    assert sizes == list(SIZES)
    assert speeds[1] == pytest.approx(28 * 1e5 / (1e-6 + 1e-4) / 1e9)
    assert line(axes, "measured limit") == ([1e7], [pytest.approx(28e7 / 0.008 / 1e9)])
    assert len(axes.collections) == 2  # the bands
    assert legend(figure) == ["gpuopt numba", "torch fused", "measured limit"]


def test_sizes_that_fit_in_the_l2_are_shaded():
    rows = by_size("cuda:0")
    assert "L2" not in "".join(legend(figure_of(throughput, results(*rows))))
    for small in rows[:2]:
        small["in_l2"] = True
    figure = figure_of(throughput, results(*rows))
    (shade,) = figure.axes[0].patches
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == SIZES[:2]
    assert "arrays fit in the L2, cuda:0" in legend(figure)


def test_throughput_has_a_panel_for_each_rule_and_none_for_a_single_size():
    rows = by_size() + [row(n, rule="SGD") for n in SIZES] + [row(1000, rule="Lion")]
    figure = figure_of(throughput, results(*rows))
    assert [axes.get_title() for axes in figure.axes] == ["Adam, float32", "SGD, float32"]
    assert throughput.chart(results(row(1000))) is None


def test_speedup_is_the_peers_time_over_gpuopts_by_size_and_by_list():
    mlp = row(101_770, 4, name="MLP 784-128-10", gpuopt_numba=1e-4, torch_fused=4e-4)
    figure = figure_of(speedup, results(*by_size(), mlp))
    by_sizes, lists = figure.axes
    _, ratios = line(by_sizes, "against torch fused")
    assert ratios[0] == pytest.approx((1e-4 + 1e-6) / 2e-6)
    assert line(lists, "against torch fused")[1] == [pytest.approx(4)]
    assert [x.get_text() for x in lists.get_xticklabels()] == ["MLP\n784-128-10"]


def test_the_crossover_is_marked_where_both_devices_were_measured():
    found = results(*by_size(), *by_size("cuda:0", factor=0.5))
    assert not any("wins" in label for label in legend(figure_of(speedup, found)))
    cross = {"rule": "Adam", "dtype": "float32", "device": "cuda:0", "copies": False}
    found["crossover"] = [{**cross, "from": 10**5}]
    figure = figure_of(speedup, found)
    assert "cuda:0 wins from 100,000 parameters" in legend(figure)
    assert line(figure.axes[0], "gpuopt: GPU against CPU")[1] == [pytest.approx(2)] * 3


def test_no_line_of_gpu_against_cpu_without_a_gpu():
    figure = figure_of(speedup, results(*by_size()))
    assert legend(figure) == ["against torch fused"]


def test_percent_of_the_limit_of_each_rules_largest_list():
    rows = [
        row(n, rule=rule, gpuopt_numba=n * 1e-9, **{"limit,_copy": n * share * 1e-9})
        for n, rule, share in ((1000, "Adam", 0.1), (10**7, "Adam", 0.9), (10**7, "SGD", 0.75))
    ]
    figure = figure_of(limit, results(*rows))
    (axes,) = figure.axes
    assert [x.get_text() for x in axes.get_yticklabels()] == [
        "SGD, one tensor of 1e7",
        "Adam, one tensor of 1e7",
    ]
    assert [bar.get_width() for bar in axes.patches] == [pytest.approx(75), pytest.approx(90)]
    assert limit.chart(results(row())) is None


def test_a_candidate_that_moves_other_bytes_has_no_bar():
    both = {"gpuopt_numba": 0.01, "gpuopt.thinc": 0.02, "limit,_copy": 0.009}
    (axes,) = figure_of(limit, results(row(10**7, **both))).axes
    assert [bar.get_width() for bar in axes.patches] == [pytest.approx(90)]


def test_scaling_has_time_by_size_time_by_tensors_and_memory():
    seconds = {"gpuopt_numba": 0.01, "naive_NumPy": 0.1}
    rows = [
        row(n, k, **seconds)
        for n, k in [(n, 1) for n in SIZES] + [(10**7, 10), (10**7, 100), (10**5, 10)]
    ]
    figure = figure_of(scaling, results(*rows))
    times, tensors, memory = figure.axes
    assert line(times, "gpuopt numba")[0] == list(SIZES)
    assert line(tensors, "gpuopt numba")[0] == [1, 10, 100]
    assert tensors.get_title() == "1e7 parameters in all"
    assert line(memory, "gpuopt numba")[1] == [800] * 3
    assert line(memory, "naive NumPy")[1] == [12 * n for n in SIZES]
    assert line(memory, "one copy of the parameters")[1] == [4 * n for n in SIZES]
    assert scaling.chart(results(row())) is None


def test_a_step_that_takes_no_memory_is_said_to():
    rows = [row(n, gpuopt_cupy=0.01, torch_fused=0.1) for n in SIZES]
    for x in rows:
        x["temporary_bytes"] = {"gpuopt cupy": 0}
    figure = figure_of(scaling, results(*rows))
    assert "gpuopt cupy: no temporary memory" in legend(figure)
    assert "torch fused: no temporary memory" not in legend(figure)


def test_loss_is_drawn_over_milliseconds_for_each_way():
    ways = {
        "gpuopt numba": {"seconds": [0.001, 0.002, 0.003], "loss": [2.0, 1.0, 0.5]},
        "naive NumPy": {"seconds": [0.002, 0.004, 0.006], "loss": [2.0, 1.0, 0.5]},
    }
    found = results(row(), loss={"rule": "Adam", "network": "2-2", "data": "d", "ways": ways})
    figure = figure_of(loss, found)
    at, _ = line(figure.axes[0], "naive NumPy: 6 ms")
    assert at == [2, 4, 6]
    assert loss.chart(results(row())) is None


def test_charts_are_written_to_a_new_folder_or_it_is_said_why_not(tmp_path):
    folder = tmp_path / "charts"
    said = {path.name: why for path, why in charts.draw(results(*by_size()), folder)}
    assert [name for name, why in said.items() if not why] == [
        "throughput.png",
        "speedup.png",
        "scaling.png",
    ]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        name for name, why in said.items() if not why
    )
    assert said["loss.png"] == "no loss was measured"
    assert (folder / "throughput.png").read_bytes().startswith(b"\x89PNG")
    assert mpl.rcParams["font.size"] == mpl.rcParamsDefault["font.size"]


def test_nothing_measured_is_no_chart(tmp_path):
    assert all(why for _, why in charts.draw(results(), tmp_path / "charts"))
