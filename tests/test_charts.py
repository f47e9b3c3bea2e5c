"""Charts tell settings apart, draw what is there, and cut no name."""

import io
import itertools
from unittest import mock

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.patches import StepPatch
from matplotlib.quiver import Quiver
from matplotlib.text import Text
from PIL import Image
from scipy import stats

from initlab import figures
from initlab.report import charts
from initlab.report.charts.activations import hidden_shares
from initlab.report.charts.curves import MeanCurve, half_interval
from initlab.report.charts.depth_profile import draw_depth_profile
from initlab.report.charts.heat_map import MOST_COLUMNS, color_scale
from initlab.report.charts.layout import DPI
from initlab.report.charts.styles import DASHES, GREY, PALETTE, legend_entries
from initlab.report.charts.words import text_width, wrap
from initlab.report.comparison import Comparison
from initlab.report.score import Score
from initlab.tracking.runs import Curve, Run


def run(name, loss=None, accuracy=None, outcome="finished", metric="train/loss", **options):
    """Return a run of the params in its name; its accuracy, or a list of them, every ten steps."""
    params = dict(pair.split("=") for pair in name.split())
    curves, metrics = {}, {}
    if loss is not None:
        curves[metric] = Curve(np.arange(len(loss)), np.asarray(loss, np.float64))
    if accuracy is not None:
        shares = np.atleast_1d(np.asarray(accuracy, np.float64))
        curves["test/accuracy"] = Curve(10 * np.arange(len(shares)), shares)
        metrics["test/accuracy"] = float(shares[-1])
    return Run(
        f"id of {name}", name, outcome, params=params, metrics=metrics, curves=curves, **options
    )


def drawn(*runs):
    return {chart.name: chart for chart in charts.drawn(Comparison(runs))}


def crossed(rows, columns):
    return Comparison(
        [run(f"lr={r} optimizer={c}", [r, r]) for r in range(1, rows + 1) for c in columns]
    )


def lines(chart):
    """Return the curves of a chart by colour, less crosses, the thinnest last."""
    (panel,) = chart.figure.axes
    found = sorted(panel.lines, key=lambda line: -line.get_linewidth())
    return {to_hex(line.get_color()): line for line in reversed(found) if line.get_marker() != "x"}


def words(chart):
    """Return the lines of text of a chart, less those of its axes: title, legend, then panels."""
    figure = chart.figure
    texts = [text.get_text() for text in figure.texts]
    texts += [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    for panel in figure.axes:
        texts.append(panel.get_title("left").replace("\n", " "))
        texts += [line for text in panel.texts for line in text.get_text().split("\n")]
    return [text for text in texts if text]


def assert_readable(chart):
    """Draw a chart, and assert that its text is large enough, inside it and on no other text."""
    found, draw = [], Text.draw

    def record(text, renderer, *arguments, **options):
        if text.get_visible() and text.get_text().strip():
            found.append((text, text.get_window_extent(renderer).padded(-1)))
        draw(text, renderer, *arguments, **options)

    with mock.patch.object(Text, "draw", record):
        assert len(charts.png(chart.figure)) < 150_000
    width, height = chart.figure.get_size_inches() * DPI
    assert len(found) > 3
    for text, box in found:
        assert text.get_fontsize() >= 7.5
        assert 0 <= box.x0 < box.x1 <= width, text
        assert 0 <= box.y0 < box.y1 <= height, text
    for (text, box), (other, place) in itertools.combinations(found, 2):
        assert not box.overlaps(place), f"{text} lies on {other}"


def test_up_to_seven_settings_have_a_colour_each_in_their_order():
    compared = Comparison([run(f"lr={lr}", [8 - lr]) for lr in range(1, 8)])
    styles = charts.colors(compared)
    assert [style.color for style in styles] == [*PALETTE]
    assert all(style.own and not style.dashes for style in styles)


def test_of_more_settings_by_two_keys_one_is_told_by_colours_and_one_by_dashes():
    compared = crossed(5, ["adam", "momentum", "sgd"])
    styles = charts.colors(compared)
    for setting, style in zip(compared.settings, styles, strict=True):
        assert style.color == PALETTE[int(setting.values["lr"]) - 1]
        place = ["adam", "momentum", "sgd"].index(setting.values["optimizer"])
        assert style.dashes == DASHES[place]
    assert len({*styles}) == 15
    names = [name for name, _ in legend_entries(compared, compared.settings)]
    assert names[:6] == ["lr=1", "lr=2", "lr=3", "lr=4", "lr=5", "optimizer=adam"]


@pytest.mark.parametrize("compared", [crossed(8, ["adam"]), crossed(5, "abcde")])
def test_of_others_the_best_seven_have_colours_and_the_rest_is_grey(compared):
    styles = charts.colors(compared)
    best = [styles[setting.number] for setting in compared.ranked]
    assert [style.color for style in best[:7]] == [*PALETTE]
    assert {(style.color, style.own) for style in best[7:]} == {(GREY, False)}
    name, style = legend_entries(compared, compared.settings)[-1]
    assert (name, style.own) == (f"{len(styles) - 7} others", False)


def test_a_legend_names_only_what_has_a_line():
    compared = crossed(2, ["adam"])
    first, _ = compared.settings
    assert [name for name, _ in legend_entries(compared, [first])] == [first.name]


# Machado, Oliveira & Fernandes 2009: linear RGB as a dichromat sees it.
SEEN = {
    "everybody": np.eye(3),
    "protanope": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.052]],
    "deuteranope": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    "tritanope": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}


def lab(color, seen):
    """Return a colour in CIELAB, whose unit is about the least difference that an eye sees."""
    rgb = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    white = np.array([0.9505, 1, 1.089])
    x, y, z = np.cbrt(to_xyz @ np.clip(np.array(seen) @ linear, 1e-3, 1) / white)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eye", SEEN)
def test_the_colour_blind_tell_the_colours_from_each_other_and_from_paper(eye):
    seen = [lab(color, SEEN[eye]) for color in (*PALETTE, "#ffffff")]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 12


def test_a_setting_has_the_same_colour_in_all_charts():
    names = ["init=he", "init=std001", "init=xavier"]
    ends = {name: place for place, name in enumerate(names, 1)}
    found = drawn(*(run(name, [9, ends[name]], [0.1, 0.1 * ends[name]]) for name in names))
    for chart, scale in (("loss", 1), ("accuracy", 0.1)):
        by_color = {color: line.get_ydata()[-1] for color, line in lines(found[chart]).items()}
        expected = {PALETTE[end - 1].lower(): end * scale for end in ends.values()}
        assert by_color == pytest.approx(expected)


def test_the_loss_is_logarithmic_only_where_it_falls_far_and_accuracy_never_is():
    far = drawn(run("init=he", np.geomspace(2, 1e-3, 40), [0.1, 0.9]))
    near = drawn(run("init=he", np.geomspace(2, 1, 40)))
    assert far["loss"].figure.axes[0].get_yscale() == "log"
    assert near["loss"].figure.axes[0].get_yscale() == "linear"
    assert far["accuracy"].figure.axes[0].get_yscale() == "linear"
    assert far["accuracy"].figure.axes[0].get_ylim() == pytest.approx((0, 1), abs=0.03)


def test_a_noisy_loss_is_a_running_mean_which_is_told():
    noise = np.random.default_rng(0).standard_normal(1000)
    chart = drawn(run("init=he", 5 + noise))["loss"]
    (line,) = lines(chart).values()
    x, y = line.get_data()
    assert (x[0], x[-1]) == pytest.approx((9.5, 989.5))
    assert y[0] == pytest.approx(5 + noise[:20].mean())
    assert "20 steps" in chart.caption
    assert "Running mean" not in drawn(run("init=he", noise[:60]))["loss"].caption


def test_the_seeds_of_a_setting_are_thin_lines_behind_their_mean_and_its_interval():
    ends = [[4, 1], [6, 3], [5, 5]]
    chart = drawn(*(run(f"init=he seed={seed}", end) for seed, end in enumerate(ends)))["loss"]
    (panel,) = chart.figure.axes
    *singles, mean = sorted(panel.lines, key=lambda line: line.get_linewidth())
    assert [list(line.get_ydata()) for line in singles] == ends
    assert list(mean.get_ydata()) == [5, 3]
    (band,) = panel.collections
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices.round(6)}
    lows, highs = stats.ttest_1samp(ends, 0).confidence_interval(0.95)
    for step, (low, high) in enumerate(zip(lows, highs)):
        assert (step, round(high, 6)) in corners
        assert any(each[0] == step and each[1] <= max(low, 0) + 1 for each in corners)
    assert "95 % interval of that mean (Student's t). Thin lines: single runs." in chart.caption


def test_the_interval_of_a_mean_is_that_of_scipy():
    values = np.random.default_rng(1).normal(size=(5, 3))
    values[3:, 1] = np.nan
    values[1:, 2] = np.nan
    half = half_interval(values)
    for step, count in ((0, 5), (1, 3)):
        interval = stats.ttest_1samp(values[:count, step], 0).confidence_interval(0.95)
        assert half[step] == pytest.approx((interval.high - interval.low) / 2)
    assert half[2] == 0


def test_runs_of_one_setting_may_have_steps_of_their_own():
    short, long = run("init=he seed=0", [4, 2]), run("init=he seed=1", [8, 6, 5])
    course = MeanCurve.of(Comparison([short, long]).settings[0], "train/loss")
    assert list(course.steps) == [0, 1, 2]
    assert list(course.mean) == [6, 4, 5]


def test_a_run_that_diverged_is_a_thin_line_up_to_a_cross_and_in_no_mean():
    chart = drawn(
        run("init=he seed=0", [4, 3, 2]),
        run("init=he seed=1", [4, 9], outcome="diverged"),
    )["loss"]
    mean, broken, cross = sorted(
        chart.figure.axes[0].lines, key=lambda line: -len(line.get_xdata())
    )
    assert list(mean.get_ydata()) == [4, 3, 2]
    assert broken.get_linewidth() < mean.get_linewidth()
    assert (cross.get_marker(), *cross.get_data()) == ("x", [1], [9])
    assert "×" in chart.caption


def test_a_run_that_is_running_has_no_cross():
    chart = drawn(run("init=he", [4, 3], outcome="running"))["loss"]
    assert len(chart.figure.axes[0].lines) == 1
    assert "×" not in chart.caption


@pytest.mark.parametrize("outcome", ["finished", "diverged"])
def test_what_explodes_does_not_flatten_the_others(outcome):
    spike = [2.0, 1e30, 1e60, 2.0]
    chart = drawn(run("init=he", [2.0, 1.0, 0.5, 0.4]), run("init=std1", spike, outcome=outcome))
    low, high = chart["loss"].figure.axes[0].get_ylim()
    assert high < 30
    assert low == pytest.approx(0.4, rel=0.2)
    assert "cut" in chart["loss"].caption


def test_a_loss_that_falls_to_nothing_is_shown_down_to_twelve_decades():
    chart = drawn(run("optimizer=sgd", [4.0, 1e-40, 0.0], metric="f"))["f"]
    low, high = chart.figure.axes[0].get_ylim()
    assert 1e11 < high / low < 1e13


@pytest.mark.parametrize("losses", [[0.0, 0.0], [3.0], [1e300, 1e308], [-2.0, -5.0], [1e-320, 1.0]])
def test_any_numbers_can_be_drawn(losses):
    chart = drawn(run("init=he", losses))["loss"]
    assert charts.png(chart.figure)


def test_a_setting_that_lies_behind_another_is_told():
    flat, same, other = np.full(9, 2.0), np.full(9, 2.001), np.linspace(2, 1, 9)
    runs = run("init=he", flat), run("init=xavier", same), run("init=zeros", other)
    assert "init=xavier lies behind init=he." in drawn(*runs)["loss"].caption
    assert "behind init=zeros" not in drawn(*runs)["loss"].caption


def test_a_descent_has_neither_accuracy_nor_activations():
    chart = drawn(
        run("optimizer=sgd", [4, 1], metric="f"), run("optimizer=adam", [4, 2], metric="f")
    )
    assert [*chart] == ["f"]
    assert "optimizer=adam ended highest at 2, optimizer=sgd lowest at 1" in chart["f"].alt


def test_charts_of_a_comparison_share_the_axis_of_steps():
    found = drawn(run("init=he", np.ones(100), np.linspace(0, 1, 11)))
    assert found["loss"].figure.axes[0].get_xlim() == found["accuracy"].figure.axes[0].get_xlim()


GRID = [
    run("init=he lr=1 seed=0", accuracy=0.9),
    run("init=he lr=1 seed=1", accuracy=0.8),
    run("init=he lr=1 seed=2", outcome="failed"),
    run("init=he lr=10", outcome="diverged"),
    run("init=xavier lr=1", accuracy=0.5),
]


def test_a_heat_map_has_a_number_or_a_reason_in_each_cell():
    chart = drawn(*GRID)["heat_map"]
    assert chart.title == "test accuracy by init and lr"
    assert words(chart)[2:] == ["85.0", "1 failed", "diverged", "50.0", "not run"]
    (panel,) = chart.figure.axes
    assert [label.get_text() for label in panel.get_xticklabels()] == ["1", "10"]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["he", "xavier"]
    assert (
        "he, 1: 85.0 1 failed; he, 10: diverged; xavier, 1: 50.0; xavier, 10: not run" in chart.alt
    )


@pytest.mark.parametrize(
    ("values", "score"),
    [
        ([0.1, 0.5, 0.9], Score("test/accuracy", higher=True)),
        ([1.0, 0.1, 1e-3], Score("train/loss", higher=False)),
        ([3, 2, 1], Score("train/loss", higher=False)),
        ([1, 2, 3], Score("unit_std/layer_1", higher=True)),
    ],
)
def test_the_lighter_a_cell_the_better_it_is(values, score):
    colormap, norm = color_scale(values, score)
    light = [sum(colormap(norm(value))[:3]) for value in values]
    assert light == sorted(light)
    assert light[0] < 1 < light[-1]


def test_the_only_number_of_a_heat_map_is_light():
    for score in (Score("test/accuracy", higher=True), Score("train/loss", higher=False)):
        colormap, norm = color_scale([0.5], score)
        assert sum(colormap(norm(0.5))[:3]) > 1.5


def test_a_heat_map_is_of_two_keys_that_fit_a_page():
    assert "heat_map" not in drawn(run("init=he", [1, 2]), run("init=xavier", [1, 2]))
    three = [run(f"a={a} b={b} c={c}", [1]) for a in "xy" for b in "xy" for c in "xy"]
    assert "heat_map" not in drawn(*three)
    many = MOST_COLUMNS + 1
    assert "heat_map" not in drawn(
        *(run(f"a={a} b={b}", [1]) for a in range(many) for b in range(many))
    )


def profiled(name, measured, theory=None, gradient=None, **options):
    """Return a run that measured some signals, (S, L), with what theory predicts for the start."""
    arrays = {"steps": np.arange(len(measured)), "unit_std/measured": np.array(measured, float)}
    if theory is not None:
        arrays["unit_std/theory"] = np.array([[1], [0.5], [2]]) * theory
    if gradient is not None:
        arrays["unit_gradient_std/measured"] = np.array(gradient, float)
    return run(name, histograms=arrays, **{"loss": [2.0, 1.0]} | options)


def profile_lines(panel):
    """Return the lines of a depth profile: lines, open points and filled points, by color."""
    found = {"line": {}, "open": {}, "filled": {}}
    for line in panel.lines:
        points = line.get_marker() == "o"
        kind = "line" if not points else "open" if line.get_mfc() == "white" else "filled"
        color = line.get_mec() if points else line.get_color()
        found[kind][to_hex(color).upper()] = line.get_ydata().round(9).tolist()
    return found


def test_a_depth_profile_has_lines_predicted_and_points_measured_and_follows_the_loss():
    measured = [[1.0, 0.5, 0.3], [2.0, 3.0, 4.0]]
    gradient = [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]]
    found = drawn(
        profiled("init=he", measured, [1.1, 0.6, 0.4], gradient, accuracy=[0.5, 0.9]),
        profiled("init=lsuv", [[3.0, 1.0]]),
    )
    assert [*found] == ["loss", "depth_profile", "accuracy"]
    chart = found["depth_profile"]
    signal, sizes = chart.figure.axes
    he, lsuv = (color.upper() for color in PALETTE[:2])
    assert profile_lines(signal) == {
        "line": {he: [1.1, 0.6, 0.4], lsuv: [3.0, 1.0]},
        "open": {he: measured[0], lsuv: [3.0, 1.0]},
        "filled": {he: measured[1]},
    }
    assert profile_lines(sizes)["open"] == {he: gradient[0]}
    (band,) = signal.collections
    assert {*band.get_paths()[0].vertices[:, 1]} == {0.55, 0.3, 0.2, 2.2, 1.2, 0.8}
    assert not sizes.collections
    assert [panel.get_yscale() for panel in (signal, sizes)] == ["log", "log"]
    assert "open at the start and filled at the last step" in chart.caption
    assert "dotted lines join" in chart.caption
    assert "init=he: signal 1 to 0.3, gradient 0.1 to 0.3" in chart.alt


def test_the_points_of_a_setting_are_geometric_means_over_the_runs_that_finished():
    runs = [
        profiled("init=he seed=0", [[1.0, 4.0]]),
        profiled("init=he seed=1", [[4.0, 1.0]]),
        profiled("init=he seed=2", [[1e9, 1e9]], outcome="diverged"),
    ]
    chart = drawn(*runs)["depth_profile"]
    (points,) = profile_lines(chart.figure.axes[0])["open"].values()
    assert points == pytest.approx([2.0, 2.0])
    assert "geometric means" in chart.caption


def test_a_depth_profile_needs_more_than_one_layer_and_says_that_nothing_was_trained():
    assert "depth_profile" not in drawn(run("init=he", [2.0, 1.0]))
    assert "depth_profile" not in drawn(profiled("init=he", [[1.0]], [1.0]))
    found = drawn(profiled("init=he", [[1.0, 2.0]], loss=None), profiled("init=zeros", [[0.0]]))
    assert [*found][-1] == "depth_profile"
    assert "nothing was trained" in found["depth_profile"].caption


@pytest.mark.parametrize(
    "measured", [[0.0, 0.0], [1.0, np.inf], [np.nan, 1.0], [1e-300, 1e300], [-1.0, 1.0]]
)
def test_a_depth_profile_of_any_numbers_is_drawn(measured):
    theories = {"init=he": None, "init=xavier": [0.0, 1e300], "init=zeros": [np.nan, 1.0]}
    compared = Comparison([profiled(name, [measured], theory) for name, theory in theories.items()])
    assert_readable(draw_depth_profile(compared))


def test_what_has_no_place_in_a_depth_profile_lies_on_its_edge():
    chart = drawn(profiled("init=he", [[1.0, 0.0, np.inf]]))["depth_profile"]
    (panel,) = chart.figure.axes
    (points,) = profile_lines(panel)["open"].values()
    low, high = panel.get_ylim()
    assert points == pytest.approx([1.0, low, high])
    assert "zero, infinite or beyond" in chart.caption


def test_many_settings_of_several_activations_have_panels_for_each():
    names = [f"init={i} activation={a}" for i in ("he", "xavier", "std1") for a in "xyz"]
    runs = [profiled(name, [[1.0, 2.0]], [1.0, 2.0], [[1.0, 2.0]]) for name in names]
    chart = drawn(*runs)["depth_profile"]
    assert [panel.get_title("left") for panel in chart.figure.axes] == [
        f"{activation}: {name}" for activation in "xyz" for name in ("signal", "gradient")
    ]
    for panel in chart.figure.axes[::2]:
        assert {*profile_lines(panel)["open"]} == {color.upper() for color in PALETTE[:3]}
    assert words(chart)[1:4] == ["init=he", "init=std1", "init=xavier"]
    assert_readable(chart)


def test_of_many_settings_the_best_have_points_and_the_others_grey_lines():
    runs = [
        profiled(f"a={k} b={k % 4} c={k % 3}", [[1.0, 0.5], [1.0, 1e9 * (k == 0)]], accuracy=k / 60)
        for k in range(60)
    ]
    chart = drawn(*runs)["depth_profile"]
    (panel,) = chart.figure.axes
    found = profile_lines(panel)
    assert {*found["open"]} == {color.upper() for color in PALETTE}
    assert {*found["line"]} == {color.upper() for color in (*PALETTE, GREY)}
    assert panel.get_ylim()[1] < 100
    assert "only the lines" in chart.caption
    assert_readable(chart)


def phase_diagram(scales, depths=(10, 20, 40)):
    """Return the heat map of networks of some depths and, by value of init.scale, ξ_c."""
    return drawn(
        *(
            run(f"init.scale={value} model.depth={depth}", accuracy=0.5, depth_scale=scale)
            for value, scale in scales.items()
            for depth in depths
        )
    )["heat_map"]


def test_a_heat_map_by_depth_has_a_line_at_six_depth_scales():
    chart = phase_diagram({"1.0": 10 / 6, "1.5": 15 / 6, "1.75": float("inf"), "2.0": 5.0})
    (panel,) = chart.figure.axes
    assert [label.get_text() for label in panel.get_yticklabels()] == ["10", "20", "40"]
    (line,) = panel.lines
    assert line.get_color() == "white"
    assert line.get_xdata().tolist() == [0.5, 1.5, 2.5, 3.5]
    *near, far, last = line.get_ydata()
    assert near == pytest.approx([0.5, 1.0])  # at 10, and midway between 10 and 20
    assert far > 100
    assert last == pytest.approx(2.0)  # at 30, midway between 20 and 40
    assert panel.get_ylim() == (3, 0)
    assert "The white line is 6 ξ_c" in chart.caption
    assert "6 ξ_c, the depth that theory expects networks to train to, is at 1.0: 10, " in chart.alt
    assert "1.75: inf" in chart.alt
    assert_readable(chart)


def test_beyond_its_depths_the_line_leaves_a_heat_map():
    chart = phase_diagram({"1.0": 0.0, "2.0": 100 / 6})
    (line,) = chart.figure.axes[0].lines
    assert line.get_ydata() == pytest.approx([-0.5, 5.5])


def test_the_line_has_a_step_for_each_value_that_is_no_number():
    runs = [
        run(f"activation={name} model.depth={depth}", accuracy=0.5, depth_scale=scale)
        for name, scale in {"relu": 5.0, "tanh": 2.5}.items()
        for depth in (10, 20, 40)
    ]
    (line,) = drawn(*runs)["heat_map"].figure.axes[0].lines
    x, y = line.get_xdata(), line.get_ydata()
    np.testing.assert_array_equal(x, [0, 1, np.nan, 1, 2, np.nan])
    np.testing.assert_allclose(y[[0, 1, 3, 4]], [2, 2, 1, 1])


def test_a_heat_map_without_predictions_or_depths_has_no_line():
    plain = phase_diagram({"1.0": None, "2.0": None})
    assert not plain.figure.axes[0].lines
    assert "line" not in plain.caption
    assert not drawn(*GRID)["heat_map"].figure.axes[0].lines


@pytest.mark.parametrize("scale", [float("inf"), 41 / 6, 9 / 6])
def test_a_line_that_lies_beyond_all_depths_is_not_told(scale):
    chart = phase_diagram({"1.0": scale, "2.0": scale})
    assert not chart.figure.axes[0].lines
    assert "line" not in chart.caption + chart.alt


def test_a_value_without_a_prediction_leaves_a_gap_in_the_line():
    (line,) = phase_diagram({"1.0": 2.5, "1.5": None, "2.0": 2.5}).figure.axes[0].lines
    assert np.isnan(line.get_ydata()).tolist() == [False, True, False]


def histograms(layers=2, snapshots=2, seed=0, low=-1.0):
    counts = np.random.default_rng(seed).integers(1, 90, (snapshots, layers, 22))
    return {
        "steps": np.arange(snapshots),
        "activations/edges": np.linspace(low, 1, 21),
        "activations/counts": counts,
    }


def bars(chart, filled=True):
    """Return the heights and the edges of each histogram, or of each outline."""
    (panel,) = chart.figure.axes
    steps = [each for each in panel.patches if isinstance(each, StepPatch)]
    data = [each.get_data() for each in steps if each.get_fill() == filled]
    return [(values - (0 if base is None else base), edges) for values, edges, base in data]


def test_a_contact_sheet_has_a_row_a_setting_best_first_and_a_column_a_layer():
    worse = run("init=he", accuracy=[0.1, 0.5], histograms=histograms())
    better = run("init=xavier", accuracy=[0.1, 0.7], histograms=histograms(seed=1))
    chart = drawn(worse, better, run("init=zeros"))["activations"]
    assert [text for text in words(chart) if "init=" in text] == ["init=xavier", "init=he"]
    assert words(chart).count("layer 1") == words(chart).count("layer 2") == 1
    found = bars(chart)
    assert len(found) == 4
    assert len(bars(chart, filled=False)) == 4  # where it started
    heights, edges = found[0]
    shares = better.histograms["activations/counts"][-1, 0] / 1000
    assert list(heights[[1, -2]]) == [0, 0]  # between the axis and what lies beyond it
    inside = np.delete(heights * np.diff(edges), [1, -2])
    np.testing.assert_allclose(inside / inside.sum(), shares / shares.sum())
    assert {edges[0] for _, edges in found[:2]} == {edges[0] for _, edges in found[2:]}


def test_a_run_of_one_snapshot_has_no_line_of_its_start():
    chart = drawn(run("init=he", histograms=histograms(snapshots=1)))["activations"]
    assert (len(bars(chart)), len(bars(chart, filled=False))) == (2, 0)
    assert "start" not in chart.caption


def test_settings_of_different_activations_have_axes_of_their_own():
    tanh, relu = (
        run(f"activation={a}", histograms=histograms(low=low))
        for a, low in (("tanh", -1), ("relu", 0))
    )
    assert words(drawn(tanh, relu)["activations"]).count("0.5") == 2
    assert words(drawn(tanh)["activations"]).count("1") == 2


def test_a_deep_network_shows_a_few_layers_and_says_so():
    chart = drawn(run("init=he", histograms=histograms(layers=30)))["activations"]
    layers = [text for text in words(chart) if text.startswith("layer")]
    assert len(layers) == figures.MOST_LAYERS
    assert {"layer 1", "layer 30"} <= {*layers}
    assert "6 layers" in chart.caption


def test_of_many_settings_the_best_are_shown_in_pictures_of_a_few():
    runs = [run(f"lr={lr}", accuracy=[0, lr / 100], histograms=histograms()) for lr in range(40)]
    found = drawn(*runs)
    sheets = [found[name] for name in ("activations", "activations_2", "activations_3")]
    named = [text for sheet in sheets for text in words(sheet) if text.startswith("lr=")]
    assert named == [f"lr={lr}" for lr in range(39, 15, -1)]
    assert "best 24 of 40" in sheets[0].caption
    assert "activations_4" not in found


def test_what_a_histogram_hides_is_told():
    edges = np.linspace(0, 4, 5)
    assert hidden_shares(np.array([0, 60, 20, 10, 5, 5]), edges) == ["60% at 0", "5% beyond"]
    assert hidden_shares(np.zeros(6, int), edges) == ["not finite"]


@pytest.mark.parametrize(
    "damage",
    [
        {"activations/counts": np.zeros((2, 0, 22))},
        {"activations/counts": np.ones((2, 2, 20))},
        {"activations/edges": np.float64(3)},
        {"steps": np.arange(3)},
    ],
)
def test_histograms_of_another_shape_are_left_out(damage):
    assert not drawn(run("init=he", histograms=histograms() | damage))


HOSTILE = [
    "model.hidden=[200,200,200,200,200,200] optimizer=momentum optimizer.momentum=0.99",
    r"name=$\frac{a}{b$",
    f"init={'very_long_name_' * 20}",
    "init=_x",
    "init=日本語",
]


LONG = [run(f"{'long_' * 20}={a} {'key_' * 30}={b}", [1]) for a in "xyz" for b in "xy"]


def test_no_name_reaches_beyond_the_picture_or_is_read_as_mathematics():
    runs = [run(name, [4, 1], [0.1, 0.5], histograms=histograms()) for name in HOSTILE]
    for chart in [*drawn(*LONG).values(), *drawn(*runs).values()]:
        assert_readable(chart)  # and the font would warn of letters that it lacks
    assert any("very_long_name" in text for text in words(chart))
    assert any(r"$\frac{a}{b$" in text for text in words(chart))


def test_no_legend_covers_a_curve():
    chart = drawn(*(run(f"init={'x' * 30}{i}", [4, 1]) for i in range(6)))["loss"]
    assert_readable(chart)
    renderer = FigureCanvasAgg(chart.figure).get_renderer()
    panel = chart.figure.axes[0].get_tightbbox(renderer)
    (legend,) = chart.figure.legends
    assert len(legend.get_texts()) == 6
    assert legend.get_window_extent(renderer).y1 < panel.y0


def test_a_name_is_broken_between_words_and_cut_after_three_lines():
    room = text_width("one two")
    assert wrap("one two three", room) == "one two\nthree"
    cut = wrap("one two " * 9, room).split("\n")
    assert len(cut) == 3
    assert cut[2].endswith("…")
    assert all(text_width(text) <= room for text in cut)
    assert wrap("abcdefghijklmnop", room).replace("\n", "") == "abcdefghijklmnop"
    assert wrap("lr=1e-5", text_width("lr=1e-5") - 0.01, lines=1) == "lr=1…"


@pytest.mark.parametrize("width", [-3.0, -0.01, 0.0, 0.01])
def test_a_name_has_two_letters_a_line_where_there_is_no_room(width):
    assert wrap("W" * 100, width) == "WW\nWW\nW…"


def test_a_word_of_any_length_fits_into_the_cell_of_a_heat_map():
    words = [run(f"lr={lr} init={init}", verdict="W" * 5000) for lr in (1, 2) for init in "ab"]
    chart = drawn(*words)["heat_map"]
    assert chart.figure.get_figwidth() < 5
    assert charts.png(chart.figure)


def test_a_picture_is_small_and_its_paper_white():
    runs = [
        run(f"init={init} seed={seed}", 3 * np.random.default_rng(seed).random(1000), [0.1, 0.5])
        for init in "abcdef"
        for seed in range(3)
    ]
    for chart in drawn(*runs).values():
        content = charts.png(chart.figure)
        assert len(content) < 150_000
        image = Image.open(io.BytesIO(content))
        assert image.width == round(charts.WIDTH * DPI)
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_the_alternative_text_of_runs_that_never_finished_says_so():
    chart = drawn(run("init=he", [4, 9], outcome="diverged"))["loss"]
    assert chart.alt == "training loss over the steps of 1 setting; none finished."


def test_the_best_setting_is_drawn_over_the_others():
    chart = drawn(run("init=he", [4, 1]), run("init=std1", [4, 3]), run("init=xavier", [4, 2]))
    ends = [line.get_ydata()[-1] for line in chart["loss"].figure.axes[0].lines]
    assert ends == [3, 2, 1]


def test_keys_in_letters_that_the_font_lacks_are_drawn():
    chart = drawn(*(run(f"初期化={a} 学習率={b}", [1]) for a in "xy" for b in "xy"))["heat_map"]
    assert charts.png(chart.figure)


def descent(name, path, outcome="finished", **options):
    """Return a run of the params in its name which went along a path."""
    steps, points = np.arange(len(path)), np.asarray(path, np.float64)
    x, y = points.T
    values = {"f": x**2 / 20 + y**2, "x": x, "y": y}
    params = dict(pair.split("=") for pair in name.split())
    curves = {metric: Curve(steps, each) for metric, each in values.items()}
    return Run(f"id of {name}", name, outcome, params=params, curves=curves, **options)


def paths_in(panel):
    """Return the path in a panel: the line that is neither a start, an end nor the minimum."""
    (path,) = [line for line in panel.lines if line.get_linestyle() != "None"]
    return path


ZIGZAG = descent("optimizer=sgd", [(-7, 2), (-6, -1), (-3.5, 0.5)])
STRAIGHT = descent("optimizer=adam", [(-7, 2), (-3, 1), (0, 0.25)])


def test_each_path_has_a_panel_best_first_with_its_end_in_words():
    chart = drawn(ZIGZAG, STRAIGHT)["paths"]
    assert words(chart)[1:] == [
        "optimizer=adam", "(0, 0.25) after 2 steps", "optimizer=sgd", "(-3.5, 0.5) after 2 steps"
    ]  # fmt: skip
    first, second = chart.figure.axes
    assert paths_in(first).get_xydata().tolist() == [[-7, 2], [-3, 1], [0, 0.25]]
    assert paths_in(second).get_xydata().tolist() == [[-7, 2], [-6, -1], [-3.5, 0.5]]
    styles = charts.colors(Comparison([ZIGZAG, STRAIGHT]))
    assert [to_hex(paths_in(panel).get_color()) for panel in (first, second)] == [
        style.color.lower() for style in styles
    ]
    starts = [line.get_xydata()[0].tolist() for line in second.lines if len(line.get_xdata()) == 1]
    assert starts == [[0, 0], [-3.5, 0.5], [-7, 2]]  # the minimum, the end and the start
    assert "optimizer=adam: (0, 0.25) after 2 steps" in chart.alt


def test_paths_share_axes_that_hold_all_starts_and_do_not_grow_with_what_leaves_them():
    far = descent("optimizer=lion", [(-7, 2), (50, -1e9), (1e30, 1e40)])
    chart = drawn(STRAIGHT, far, descent("optimizer=nadam", [(1, -3)]))["paths"]
    assert {panel.get_xlim() for panel in chart.figure.axes} == {(-10, 10)}
    assert {panel.get_ylim() for panel in chart.figure.axes} == {(-6, 6)}
    assert words(chart)[-1] == "2 points outside"
    assert "cut" in chart.caption
    shown = paths_in(chart.figure.axes[-1]).get_xydata()
    assert np.abs(shown).max() <= 1000
    np.testing.assert_allclose(shown[1] / shown[1, 1], [50 / -1e9, 1])
    assert "cut" not in drawn(STRAIGHT)["paths"].caption


def test_a_path_that_diverged_says_where():
    lost = descent("a=1", [(-7, 2), (1e99, 9)], "diverged", ended_step=2)
    killed = descent("a=2", [(-7, 2), (-6, 1)], "killed")
    assert {"diverged at step 2", "killed at step 1"} <= {*words(drawn(lost, killed)["paths"])}


def test_of_many_paths_the_best_twelve_are_shown():
    runs = [descent(f"optimizer.lr={lr}", [(-7, 2), (lr, 0)]) for lr in range(14)]
    chart = drawn(*runs)["paths"]
    assert len(chart.figure.axes) == 12
    assert "best 12 of 14" in chart.caption
    assert "optimizer.lr=13" not in words(chart)


def test_arrows_of_the_valley_point_down_the_steepest_slope():
    _, field = drawn(ZIGZAG)["valley"].figure.axes
    (arrows,) = [each for each in field.collections if isinstance(each, Quiver)]
    x, y = arrows.XY.T
    np.testing.assert_allclose(arrows.U * 2 * y, arrows.V * x / 10, atol=1e-9)
    assert (arrows.U * x + arrows.V * y <= 0).all()
    (ring,) = [line for line in field.lines if line.get_marker() == "o"]
    assert ring.get_xydata().tolist() == [[-7, 2]]


def test_networks_have_neither_paths_nor_a_valley():
    assert not {"paths", "valley"} & {*drawn(run("init=he", [2, 1], [0.1, 0.9]))}


STDS = [10**-exponent for exponent in np.linspace(4, 0, 16)]


def scales(values, others=("false", "true"), train=None):
    """Return a run for each value with each of the others, better with every value."""
    found = []
    for place, value in enumerate(values):
        for other in others:
            made = run(f"init.std={value} bn={other}", accuracy=[0.1, 0.2, place / 100])
            if train:
                made.curves["train/accuracy"] = Curve(np.arange(3), np.full(3, train))
            found.append(made)
    return found


def test_many_values_by_a_few_are_a_panel_each_in_their_order():
    chart = drawn(*scales(STDS[::-1]))["accuracy_panels"]
    titles = words(chart)[3:]
    assert len(titles) == 16
    assert (titles[0], titles[5], titles[-1]) == ("0.0001", "0.002154", "1.0")
    assert sorted(titles, key=float) == titles
    assert len(chart.figure.axes) == 16
    corners = {round(panel.get_position().x0, 3) for panel in chart.figure.axes}
    assert len(corners) == 4
    assert {panel.get_ylim() for panel in chart.figure.axes} == {(0, 1.02)}
    for place, panel in enumerate(chart.figure.axes):
        assert [line.get_ydata()[-1] for line in panel.lines] == [(15 - place) / 100] * 2
        assert [to_hex(line.get_color()) for line in panel.lines] == [
            color.lower() for color in PALETTE[:2]
        ]
    assert "init.std" in chart.caption
    assert words(chart)[1:3] == ["bn=false", "bn=true"]


def test_panels_show_the_accuracy_in_training_where_it_is_known():
    known = drawn(*scales(STDS, train=0.75))["accuracy_panels"]
    assert known.title == "training accuracy by init.std"
    assert known.figure.axes[0].lines[0].get_ydata().tolist() == [0.75] * 3
    assert drawn(*scales(STDS))["accuracy_panels"].title == "test accuracy by init.std"


def test_panels_are_for_what_colours_cannot_tell():
    assert "accuracy_panels" not in drawn(*scales(STDS[:7]))
    assert "accuracy_panels" not in drawn(*scales(STDS, others=["a"]))
    assert "accuracy_panels" not in drawn(*scales(STDS, others="abcde"))
    once = [run(f"a={a} b={b}", accuracy=0.5) for a in range(9) for b in "xy"]
    assert "accuracy_panels" not in drawn(*once)


def test_a_panel_without_a_line_says_why():
    lost = [run(f"init.std=2 bn={other}", outcome="failed") for other in ("false", "true")]
    chart = drawn(*scales(STDS), *lost)["accuracy_panels"]
    assert words(chart)[-2:] == ["2", "2 failed"]
    assert words(chart).count("2 failed") == 1


def test_of_too_many_values_some_are_shown_evenly_spaced():
    chart = drawn(*scales(range(1, 48)))["accuracy_panels"]
    assert words(chart)[3:7] == ["1", "3", "5", "7"]
    assert "24 of 47" in chart.caption


def fitted(name, train, test, metric="test/accuracy", outcome="finished"):
    """Return a run that ended with these accuracies."""
    ends = {"train/accuracy": train, metric: test}
    curves = {key: Curve(np.arange(3), np.array([0.1, 0.3, end])) for key, end in ends.items()}
    params = dict(pair.split("=") for pair in name.split())
    return Run(name, name, outcome, params=params, metrics=ends, curves=curves)


def test_a_gap_between_training_and_test_is_drawn_and_told():
    runs = [fitted("wd=0 seed=0", 1.0, 0.7), fitted("wd=0 seed=1", 0.9, 0.7),
            fitted("wd=1 seed=0", 0.8, 0.79)]  # fmt: skip
    chart = drawn(*runs)["gaps"]
    assert chart.title == "training against test accuracy"
    assert words(chart)[1:3] == ["training", "test"]
    assert words(chart)[3:] == ["wd=1", "gap 1 point", "wd=0", "gap 25 points"]
    train, test = chart.figure.axes[1].lines
    assert (train.get_ydata()[-1], test.get_ydata()[-1]) == (0.95, 0.7)
    assert train.is_dashed()
    assert not test.is_dashed()
    assert len(chart.figure.axes[1].collections) == 2  # bands


@pytest.mark.parametrize(("train", "outcome"), [(0.74, "finished"), (1.0, "diverged")])
def test_where_no_gap_is_telling_there_is_no_picture_of_it(train, outcome):
    assert "gaps" not in drawn(fitted("wd=0", train, 0.7, outcome=outcome))


def test_held_out_examples_are_those_for_validation_where_there_are_any():
    both = fitted("wd=0", 0.9, 0.6, "validation/accuracy")
    both.metrics["test/accuracy"] = 0.89
    both.curves["test/accuracy"] = both.curves["train/accuracy"]
    chart = drawn(both)["gaps"]
    assert chart.title == "training against validation accuracy"
    assert "gap 30 points" in words(chart)


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (4, 2), (9, 3), (20, 5), (30, 5)])
def test_gaps_stand_in_columns_of_twenty_settings_at_the_most(count, columns):
    chart = drawn(*(fitted(f"wd={each}", 0.9, each / 100) for each in range(count)))["gaps"]
    assert len(chart.figure.axes) == min(20, count)
    assert len({round(panel.get_position().x0, 3) for panel in chart.figure.axes}) == columns
    assert ("best 20 of" in chart.caption) == (count > 20)


def search(count=20, **outcomes):
    """Return runs of lr and wd at random; the larger lr, the better, and the first are lost."""
    rng = np.random.default_rng(0)
    lost = [word for word, number in outcomes.items() for _ in range(number)]
    drawn_at = 10 ** rng.uniform((-6, -8), (-2, -4), (count, 2))
    return [
        run(
            f"lr={lr} wd={wd}",
            accuracy=None if place < len(lost) else [0.1, lr * 50],
            outcome=lost[place] if place < len(lost) else "finished",
        )
        for place, (lr, wd) in enumerate(drawn_at)
    ]


def test_a_random_search_is_a_scatter_and_no_heat_map():
    runs = search(pruned=3, killed=1, diverged=2, failed=1)
    found = drawn(*runs)
    assert "heat_map" not in found
    chart = found["scatter"]
    panel, bar = chart.figure.axes
    assert (panel.get_xscale(), panel.get_yscale()) == ("log", "log")
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("lr", "wd")
    at = {each.outcome: [] for each in runs}
    for each in runs:
        at[each.outcome].append([float(each.params["lr"]), float(each.params["wd"])])
    ring, hollow, crosses = panel.lines
    assert sorted(hollow.get_xydata().tolist()) == sorted(at["pruned"] + at["killed"])
    assert hollow.get_markerfacecolor() == "none"
    assert crosses.get_marker() == "x"
    assert sorted(crosses.get_xydata().tolist()) == sorted(at["diverged"] + at["failed"])
    assert ring.get_xydata().tolist() == [max(at["finished"])]
    (points,) = panel.collections
    assert sorted(points.get_offsets().tolist()) == sorted(at["finished"])
    order = np.argsort([lr for lr, _ in points.get_offsets()])
    charts.png(chart.figure)
    light = points.get_facecolors()[order] @ [0.2126, 0.7152, 0.0722, 0]
    assert (np.diff(light) > -0.01).all()
    assert light[-1] > 0.7 > 0.2 > light[0]
    assert [label.get_text() for label in bar.get_xticklabels()][-1].endswith("%")
    best, lr = max(50 * x for x, _ in at["finished"]), max(at["finished"])[0]
    assert f"best: {best:.1%} at lr {lr:.3g}" in chart.alt
    assert {"3 pruned, 1 killed", "2 diverged, 1 failed"} <= {*words(chart)}


def test_a_search_is_coloured_by_what_it_is_ranked_by():
    runs = search()
    for place, each in enumerate(runs):
        each.metrics["validation/accuracy"] = place / 100
    chart = drawn(*runs)["scatter"]
    assert chart.title == "validation accuracy by wd and lr"
    (ring,) = chart.figure.axes[0].lines
    assert ring.get_xdata().tolist() == [float(runs[-1].params["lr"])]
    assert "best: 19.0%" in chart.alt


def test_a_search_over_a_narrow_range_or_zero_has_even_axes():
    runs = [run(f"lr={1 + each / 9} wd={each**2}", [2, each]) for each in range(12)]
    chart = drawn(*runs)["scatter"]
    panel, _ = chart.figure.axes
    assert (panel.get_xscale(), panel.get_yscale()) == ("linear", "linear")
    assert panel.get_ylim()[0] < 0
    assert chart.title == "final loss by wd and lr"


@pytest.mark.parametrize(
    "names",
    [
        [f"lr={a} wd={b}" for a in range(5) for b in range(5)],
        [f"lr={a} wd={b}" for a in range(6) for b in range(6) if (a + b) % 2],  # half of a grid
    ],
)
def test_a_grid_of_which_half_was_run_is_a_heat_map_and_no_scatter(names):
    found = drawn(*(run(name, accuracy=[0.1, 0.5]) for name in names))
    assert "scatter" not in found
    assert "heat_map" in found


def test_a_grid_of_which_less_than_half_was_run_is_no_heat_map():
    stairs = [f"lr={a} wd={b}" for a in range(4) for b in range(4) if b - a in (0, 1)]
    runs = [run(name, accuracy=[0.1, 0.5]) for name in (*stairs, "lr=1 wd=0")]
    assert "heat_map" not in drawn(*runs[:7])
    assert "heat_map" in drawn(*runs)  # 8 of 16


@pytest.mark.parametrize(
    "names",
    [
        [f"lr={a} wd={a}" for a in range(4)],
        [f"lr={a} wd={'abcdefgh'[a]}" for a in range(8)],
        ["init=xavier activation=tanh", "init=he activation=relu"],  # half of a grid
    ],
)
def test_keys_that_were_walked_together_are_neither_a_heat_map_nor_a_random_search(names):
    found = drawn(*(run(name, accuracy=[0.1, 0.5]) for name in names))
    assert not {"scatter", "heat_map"} & {*found}
    assert "accuracy" in found


def test_a_search_in_which_nothing_finished_is_drawn():
    chart = drawn(*search(failed=20))["scatter"]
    assert len(chart.figure.axes) == 1  # there is no bar of colors
    assert "20 failed" in words(chart)


def forward(names, **statistics):
    """Return runs that recorded activations and were not trained."""
    found = []
    for name in names:
        made = run(name, verdict="healthy", histograms=histograms(snapshots=1))
        made.metrics.update(statistics)
        found.append(made)
    return found


def test_each_of_several_activations_has_a_sheet_of_its_own():
    names = [f"init={init} activation={a}" for a in ("tanh", "relu") for init in ("xavier", "he")]
    found = drawn(*forward(names))
    sheets = [found[name] for name in ("activations", "activations_2")]
    assert "activations_3" not in found
    for sheet, activation in zip(sheets, ("relu", "tanh")):
        assert words(sheet)[0] == f"activations of {activation}"
        assert [text for text in words(sheet) if "=" in text] == ["init=he", "init=xavier"]
        assert words(sheet).count("0") == 2  # one axis for the sheet, in two columns
        assert f"init=he activation={activation}" in sheet.alt


def test_where_nothing_was_trained_rows_follow_the_keys_that_vary():
    dead, healthy = forward(["init=a", "init=b"])
    dead = Run("", "", "finished", "dead", params=dead.params, histograms=dead.histograms)
    chart = drawn(dead, healthy)["activations"]
    assert [text for text in words(chart) if "=" in text] == ["init=a", "init=b"]


def test_a_layer_has_its_deviation_averaged_over_the_runs():
    first, second = (
        forward([f"init=he seed={seed}"], **{"unit_std/layer_1": std, "unit_std/layer_2": 6e-7})[0]
        for seed, std in ((0, 0.4), (1, 0.2))
    )
    chart = drawn(first, second)["activations"]
    assert {"std 0.3", "std 6e-7"} <= {*words(chart)}
    assert "mean over all" in chart.caption
    unknown = drawn(*forward(["init=he"]))["activations"]
    assert not [text for text in words(unknown) if "std" in text]


def test_what_lies_beyond_an_axis_is_a_bar_beside_it():
    inside, beyond = histograms(layers=1, snapshots=1), histograms(layers=1, snapshots=1)
    inside["activations/counts"] = np.array([[[0, *[5] * 20, 0]]])
    beyond["activations/counts"] = np.array([[[0, *[5] * 20, 900]]])
    made = [Run(n, n, "finished", params={"init": n}, histograms=h)
            for n, h in (("a", inside), ("b", beyond))]  # fmt: skip
    chart = drawn(*made)["activations"]
    (first, edges), (second, same) = bars(chart)
    assert first[-1] == 0
    assert second[-1] == second.max() > second[1:-2].max()
    assert (edges == same).all()
    assert "beside an axis" in chart.caption
    assert "beside an axis" not in drawn(made[0])["activations"].caption


def grid(rows, columns):
    """Return runs of many settings, of which a few did not finish."""
    names = [f"init=init_{row} model.hidden={value.replace(' ', '')}"
             for row in range(rows) for value in columns]  # fmt: skip
    outcomes = ["finished"] * (len(names) - 2) + ["diverged", "failed"]
    return [
        run(f"{name} seed={seed}", [4, 2, seed + 1], [0.1, 0.5], outcome, histograms=histograms(6))
        for name, outcome in zip(names, outcomes)
        for seed in range(2)
    ]


KINDS = {
    "descents": lambda: (
        descent(f"o={each} {'k' * 40}={each}", [(-7, 2), (1e9, -1e9)]) for each in range(9)
    ),
    "panels": lambda: scales(STDS, train=0.9),
    "gaps": lambda: (fitted(f"{'key_' * 12}={each}", 0.9, each / 100) for each in range(20)),
    "search": lambda: search(pruned=3, diverged=2),
    "grid": lambda: grid(8, ["adam", "momentum", "sgd"]),
    "depths": lambda: grid(8, [f"[{', '.join(['200'] * depth)}]" for depth in (1, 4, 6)]),
    "activations": lambda: forward([f"init={i * 60} activation={a}" for i in "xyz" for a in "pq"]),
}


@pytest.mark.parametrize("made", KINDS.values(), ids=KINDS)
def test_every_chart_can_be_read_on_a_phone(made):
    for chart in drawn(*made()).values():
        assert_readable(chart)
        assert len(chart.alt) > 30
