"""Pictures are square, comparable between runs, and drawn whatever the numbers are."""

import dataclasses
import io
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, StepPatch
from matplotlib.text import Text
from PIL import Image

from initlab import figures
from initlab.nn.activations import HardTanh, Identity, Relu, Tanh
from initlab.nn.diagnostics import Probe
from initlab.nn.initializers import Constant, Normal, VarianceScaling
from initlab.nn.models import MLP
from initlab.nn.prediction import Band
from initlab.nn.training import Evaluation, Step


def snapshot(init, activation=None, hidden=(50, 50, 50), step=0):
    rng = np.random.default_rng(0)
    activation = activation or Relu()
    network = MLP(list(hidden)).build(20, 10, activation, 64, "float32")
    network.initialize(init, rng)
    x = rng.standard_normal((64, 20)).astype("float32")
    probe = Probe(network, x, rng.integers(10, size=64), 10)
    with np.errstate(over="ignore", invalid="ignore"):
        return probe.snapshot(step)


HE, TINY, HUGE = VarianceScaling(2.0), Normal(0.01), Normal(30.0)


@pytest.mark.parametrize("quantity", ["activations", "gradients", "weights"])
def test_a_picture_is_square(quantity):
    assert figures.distributions(quantity, snapshot(HE)).size == (480, 480)


@pytest.mark.parametrize("quantity", ["activations", "gradients", "weights"])
def test_runs_of_different_inits_share_the_axis(quantity):
    figures.stage_of.cache_clear()
    for init in (HE, TINY, HUGE, Constant(0.0)):
        figures.distributions(quantity, snapshot(init))
    assert figures.stage_of.cache_info().misses == 1


def drawn(kind, quantity, now, start=None):
    return [mark for mark in figures.marks(quantity, now, start) if isinstance(mark, kind)]


def texts(quantity, now):
    return [text.get_text() for text in drawn(Text, quantity, now)]


def test_a_picture_is_the_same_whatever_was_drawn_before():
    now, start = snapshot(HE, step=9), snapshot(TINY)
    figures.stage_of.cache_clear()
    first = figures.distributions("activations", now, start, "init=he")
    assert figures.distributions("activations", snapshot(HUGE), name="init=std1") != first
    assert figures.distributions("activations", now, start, "init=he") == first


def test_name_and_step_of_a_picture_are_drawn():
    now, start = snapshot(HE, step=9), snapshot(HE)
    pictures = [
        figures.distributions("activations", now, name="a"),
        figures.distributions("activations", now, name="b"),
        figures.distributions("activations", start, name="a"),
        figures.distributions("activations", now, start, name="a"),
    ]
    assert len({picture.tobytes() for picture in pictures}) == 4


def test_what_lies_beyond_the_axis_is_told():
    assert all("beyond" in text for text in texts("weights", snapshot(HUGE)))
    assert not any("beyond" in text for text in texts("weights", snapshot(TINY)))


def test_zero_gradients_are_told():
    assert "43% below" in texts("gradients", snapshot(HE))[0]
    tanh = snapshot(VarianceScaling(1.0), Tanh())
    assert not any("below" in text for text in texts("gradients", tanh))


def test_layers_stand_from_top_to_bottom_with_their_std():
    shot = snapshot(HE)
    words = sorted(drawn(Text, "weights", shot), key=lambda text: -text.get_position()[1])
    names = [text.get_text().partition(":")[0] for text in words]
    assert names == ["layer 1", "layer 2", "layer 3", "output"]
    for text, std in zip(words, shot.statistics["weight_std"], strict=True):
        assert f"std {std:.2g}" in text.get_text()


def test_a_deep_network_shows_its_first_and_last_layer_among_few():
    names = [
        text.partition(":")[0] for text in texts("activations", snapshot(HE, hidden=[20] * 30))
    ]
    assert len(names) == 6
    assert {"layer 1", "layer 30"} <= set(names)


def test_the_start_is_drawn_over_the_end():
    now, start = snapshot(HE, step=9), snapshot(TINY)
    bars, *_ = drawn(StepPatch, "activations", now)
    alone, outline, *_ = drawn(StepPatch, "activations", now, start)
    same, *_ = drawn(StepPatch, "activations", start)
    assert np.array_equal(bars.get_data().values, alone.get_data().values)
    assert np.array_equal(same.get_data().values, outline.get_data().values)
    assert (alone.get_fill(), outline.get_fill()) == (True, False)


def test_bars_of_a_layer_stay_in_its_room():
    for place, bars in enumerate(drawn(StepPatch, "activations", snapshot(HE))):
        heights = bars.get_data().values
        assert place <= heights.min()
        assert heights.max() == pytest.approx(place + figures.ROOM)


def test_a_network_that_has_overflown_is_still_drawn():
    shot = snapshot(Normal(1e30))
    assert not np.isfinite(shot.statistics["unit_std"]).all()
    for quantity in shot.histograms:
        assert figures.distributions(quantity, shot).size == (480, 480)


def steps(losses, **evaluation):
    found = {"train_accuracy": 0.5, "test_loss": 1.0, "test_accuracy": 0.5} | evaluation
    return [
        Step(number, loss, Evaluation(**found) if number % 10 == 0 else None)
        for number, loss in enumerate(losses)
    ]


def test_the_loss_is_on_a_logarithmic_axis_only_where_it_falls_far():
    assert figures.loss_curves(steps(np.geomspace(2, 1, 100))).axes[0].get_yscale() == "linear"
    assert figures.loss_curves(steps(np.geomspace(2, 1e-3, 100))).axes[0].get_yscale() == "log"


def test_the_loss_of_every_step_is_drawn_until_it_diverges():
    losses = [*np.linspace(2, 3, 20), np.inf]
    lines = figures.loss_curves(steps(losses)).axes[0].lines
    assert np.array_equal(lines[0].get_ydata(), losses[:20])


def test_the_name_of_the_run_stands_above_and_a_long_one_is_cut():
    for name, shown in {"init=he": "init=he", "x" * 60: "x" * figures.LONGEST + "…"}.items():
        figure = figures.loss_curves([], name)
        assert [text.get_text() for text in figure.texts] == [shown]


def test_a_run_without_steps_is_drawn():
    only = dataclasses.replace(steps([None])[0])
    figure = figures.loss_curves([only])
    assert Image.open(io.BytesIO(figures.png(figures.image(figure)))).size == (480, 480)


def halving(start, count=5):
    return [tuple(value / 2**k for value in start) for k in range(count)]


def test_a_descent_is_drawn_point_by_point_over_the_contours():
    points = halving((-7.0, 2.0))
    (panel,) = figures.descent(points, "model=quadratic").axes
    drawn = max((line.get_xydata() for line in panel.lines), key=len)
    np.testing.assert_allclose(drawn, points)
    (contours,) = panel.collections
    assert len(contours.get_paths()) > 8
    assert panel.get_title() == "4 steps on x²/20 + y², to (-0.44, 0.12)"


@pytest.mark.parametrize(
    ("start", "ends"), [((-7.0, 2.0), (10, 4)), ((0.0, 0.0), (1, 1)), ((3.5, -20), (5, 40))]
)
def test_paths_from_one_start_share_their_axes(start, ends):
    for points in (halving(start), [start, (1e3, 1e3)]):
        (panel,) = figures.descent(points).axes
        np.testing.assert_allclose(panel.get_xlim(), (-ends[0], ends[0]))
        np.testing.assert_allclose(panel.get_ylim(), (-ends[1], ends[1]))


def test_a_descent_that_left_all_numbers_is_still_drawn():
    points = [(-7.0, 2.0), (1e30, -1e300), (np.inf, np.nan)]
    assert figures.image(figures.descent(points)).size == (480, 480)


def test_gradients_that_exploded_are_not_told_as_small():
    now = snapshot(Normal(1000.0), Identity())
    counts = now.histograms["gradients"].counts
    assert counts[0, -1] > counts[0, 0]
    share = counts[0, -1] / counts[0].sum()
    assert f"{share:.0%} above" in texts("gradients", now)[-1]


def test_values_at_the_end_of_the_axis_are_told_there():
    now = snapshot(Normal(30.0), HardTanh())
    (text,) = [text for text in texts("activations", now) if "layer 1" in text]
    assert " at 1" in text or " at -1" in text


@pytest.mark.parametrize(
    ("highest", "place"), [(0, -1), (1, -0.5), (3, 0), (4, 0), (5, 0.25), (9, 1.5)]
)
def test_a_bin_is_told_by_what_is_next_to_zero_in_it(highest, place):
    shares = np.full(10, 0.05)
    shares[highest] = 0.5
    edges = np.linspace(-1, 1.5, 11)
    assert figures.place_of(shares, edges) == place
    assert str(figures.place_of(shares, edges)) != "-0.0"


def test_the_running_mean_of_the_loss_lies_over_the_steps_that_it_is_of():
    steps = [Step(number, float(number)) for number in range(200)]
    above, _ = figures.loss_curves(steps).axes
    (line,) = [line for line in above.lines if line.get_label() == "train"]
    np.testing.assert_allclose(line.get_xdata(), line.get_ydata())


@pytest.mark.parametrize(
    "name",
    [
        "train.steps=30 model=mlp_residual model.blocks=50 activation=gelu",
        "model=quadratic optimizer=momentum optimizer.momentum=0.99 train.steps=30",
        "init=truncated_normal optimizer=warmup_cosine model.batch_norm_momentum=0.1",
    ],
)
def test_no_name_is_cut_by_the_edge_of_the_picture(name):
    figure = figures.loss_curves([], name)
    (title,) = figure.texts
    box = title.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    assert box.x0 >= 0
    assert box.x1 <= 480


@pytest.mark.parametrize("name", ["a=$\\frac{$", "$x^{$", "x\x1b\n\ny", "学習", "\ud800", "\x00"])
def test_a_run_of_any_name_is_drawn(name):
    path = [(1.0, 2.0), (0.5, 0.5)]
    pictures = [figures.image(figures.descent(path, each)) for each in ("", name)]
    assert pictures[0].size == pictures[1].size
    assert pictures[0].tobytes() != pictures[1].tobytes()


class Shot(SimpleNamespace):
    """What a depth profile reads of a snapshot."""

    def __init__(self, signal, gradient=None, step=0):
        statistics = {"unit_std": signal} | ({"unit_gradient_std": gradient} if gradient else {})
        super().__init__(step=step, statistics=statistics)


def predicted(*signal):
    bands = [Band(value, value / 2, 2 * value) for value in signal]
    return SimpleNamespace(bands={"unit_std": bands, "unit_gradient_std": bands})


def profile(start, end=None, prediction=None):
    """Return what a depth profile is made of: its panels, and the marks of each."""
    panels = figures.profile_panels(start, end, prediction)
    return [(panel, [*panel.marks(of)]) for panel, of in panels]


def kept(kind, marks):
    return [mark for mark in marks if isinstance(mark, kind)]


def test_a_profile_has_open_points_at_the_start_filled_ones_at_the_end_and_the_theory():
    start, end = Shot([1.0, 0.1], [0.02, 0.3]), Shot([2.0, 0.5], [0.4, 0.03], 9)
    found = profile(start, end, predicted(1.2, 0.2))
    assert [panel.statistic for panel, _ in found] == ["unit_std", "unit_gradient_std"]
    for panel, marks in found:
        line, before, after = kept(Line2D, marks)
        name = panel.statistic
        for points, values in ((before, start.statistics[name]), (after, end.statistics[name])):
            np.testing.assert_allclose(points.get_ydata(), panel.y(values))
        np.testing.assert_allclose(line.get_ydata(), panel.y([1.2, 0.2]))
        assert (before.get_mfc(), after.get_mfc()) == ("none", figures.PROFILES[name][1])
        (band,) = kept(Polygon, marks)
        assert {*band.get_xy()[:, 1]} == {*panel.y([0.6, 0.1, 2.4, 0.4])}


def test_the_theory_of_a_single_layer_is_a_line_too():
    ((panel, marks),) = profile(Shot([1.0]), None, predicted(1.2))
    line, points = kept(Line2D, marks)
    left, right = line.get_xdata()
    assert left < points.get_xdata()[0] < right
    np.testing.assert_allclose(line.get_ydata(), panel.y(1.2))


def test_a_prediction_that_is_no_number_is_left_out():
    ((panel, marks),) = profile(Shot([1.0, 0.5, 0.2]), None, predicted(1.2, np.nan, np.inf))
    line, _ = kept(Line2D, marks)
    np.testing.assert_allclose(line.get_ydata(), panel.y([1.2, np.inf]))


def test_a_profile_without_prediction_labels_or_training_has_open_points_only():
    ((_, marks),) = profile(Shot([1.0, 0.5]))
    (points,) = marks
    assert points.get_mfc() == "none"


@pytest.mark.parametrize(
    ("measured", "predictions", "ends"),
    [
        ([0.5, 0.7], [0.6, 0.6], (-1, 1)),
        ([0.5, 0.7], [], (-1, 0)),
        ([1e-12, 1.5], [], (-12, 1)),
        ([0.0, np.nan, np.inf, 0.5], [], (-1, 0)),
        ([0.2, 0.5], [1e-200, 1e300, np.inf], (-3, 2)),
        ([0.0, 0.0], [0.2, 0.01], (-3, 0)),
        ([0.0, np.nan], [], (0, 1)),
        ([1.0, 1.0], [], (0, 1)),
    ],
)
def test_a_profile_spans_whole_decades_of_what_was_measured(measured, predictions, ends):
    bands = np.array(predictions) * np.array([[1], [0.5], [2]])
    assert figures.Profile(np.array([measured]), bands).decades == ends


def test_layers_that_lost_their_signal_lie_beside_the_panel_and_are_counted():
    ((panel, marks),) = profile(Shot([1.0, 0.0, np.inf, np.nan]))
    points, words = marks
    inside, below, above, nowhere = points.get_ydata()
    top = panel.bottom + panel.height
    assert below < panel.bottom <= inside <= top < above
    assert np.isnan(nowhere)
    assert words.get_text() == "zero in 1 of 4 layers, not finite in 2 of 4 layers"


@pytest.mark.parametrize(
    ("layers", "ticks"),
    [
        (1, [1]),
        (5, [1, 2, 3, 4, 5]),
        (12, [2, 4, 6, 8, 10, 12]),
        (30, [1, 5, 10, 15, 20, 25, 30]),
        (100, [1, 20, 40, 60, 80, 100]),
    ],
)
def test_a_profile_names_few_layers(layers, ticks):
    assert figures.layer_ticks(layers) == ticks


def test_the_ticks_of_a_profile_are_numbers_or_powers_of_ten():
    assert figures.decade_ticks(-1, 0) == {0.1: "0.1", 1.0: "1", 0.2: "0.2", 0.5: "0.5"}
    assert [*figures.decade_ticks(-5, -4).values()] == ["10⁻⁵", "10⁻⁴", "2·10⁻⁵", "5·10⁻⁵"]
    assert [*figures.decade_ticks(-38, 1).values()] == ["10⁻³⁸", "10⁻³⁰", "10⁻²²", "10⁻¹⁴", "10⁻⁶"]


@pytest.mark.parametrize("init", [HE, Constant(0.0), Normal(1e30)])
@pytest.mark.parametrize("layers", [1, 30])
def test_a_profile_of_any_network_is_drawn(init, layers):
    start = snapshot(init, hidden=[20] * layers)
    assert figures.depth_profile(start, name="init=he").size == (480, 480)


def test_profiles_of_one_range_share_their_axes():
    figures.profile_stage.cache_clear()
    pictures = [
        figures.depth_profile(Shot([1.0, value], [0.1, value])) for value in (0.2, 0.3, 0.2)
    ]
    assert figures.profile_stage.cache_info().misses == 1
    assert pictures[0] == pictures[2] != pictures[1]
