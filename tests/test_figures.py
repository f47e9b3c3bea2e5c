"""Pictures are square, comparable between runs, and drawn whatever the numbers are."""

import dataclasses
import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from initlab import figures
from initlab.activations import HardTanh, Identity, Relu, Tanh
from initlab.diagnostics import Probe
from initlab.initializers import Constant, Normal, VarianceScaling
from initlab.models import MLP
from initlab.training import Evaluation, Step


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
    assert figures.pixels(figures.distributions(quantity, snapshot(HE))).shape == (480, 480, 3)


@pytest.mark.parametrize("quantity", ["activations", "gradients", "weights"])
def test_runs_of_different_inits_share_the_axis(quantity):
    limits = {
        figures.distributions(quantity, snapshot(init)).axes[0].get_xlim()
        for init in (HE, TINY, HUGE, Constant(0.0))
    }
    assert len(limits) == 1


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_what_lies_beyond_the_axis_is_told():
    assert all("beyond" in text for text in texts(figures.distributions("weights", snapshot(HUGE))))
    assert not any("beyond" in t for t in texts(figures.distributions("weights", snapshot(TINY))))


def test_zero_gradients_are_told():
    text = texts(figures.distributions("gradients", snapshot(HE)))[0]
    assert "43% below" in text
    tanh = figures.distributions("gradients", snapshot(VarianceScaling(1.0), Tanh()))
    assert not any("below" in text for text in texts(tanh))


def test_layers_stand_from_top_to_bottom_with_their_std():
    shot = snapshot(HE)
    figure = figures.distributions("weights", shot)
    words = sorted(figure.axes[0].texts, key=lambda text: -text.get_position()[1])
    names = [text.get_text().partition(":")[0] for text in words]
    assert names == ["layer 1", "layer 2", "layer 3", "output"]
    for text, std in zip(words, shot.statistics["weight_std"], strict=True):
        assert f"std {std:.2g}" in text.get_text()


def test_a_deep_network_shows_its_first_and_last_layer_among_few():
    figure = figures.distributions("activations", snapshot(HE, hidden=[20] * 30))
    names = [text.partition(":")[0] for text in texts(figure)]
    assert len(names) == 6
    assert {"layer 1", "layer 30"} <= set(names)


def test_the_start_is_drawn_over_the_end():
    alone = figures.distributions("activations", snapshot(HE, step=9))
    both = figures.distributions("activations", snapshot(HE, step=9), snapshot(TINY))
    assert len(both.axes[0].patches) == 2 * len(alone.axes[0].patches)
    assert both.axes[0].get_title() == "activations at step 9 (line: step 0)"


def test_bars_of_a_layer_stay_in_its_room():
    figure = figures.distributions("activations", snapshot(HE))
    for place, bars in enumerate(figure.axes[0].patches):
        heights = bars.get_data().values
        assert place <= heights.min()
        assert heights.max() == pytest.approx(place + figures.ROOM)


def test_a_network_that_has_overflown_is_still_drawn():
    shot = snapshot(Normal(1e30))
    assert not np.isfinite(shot.statistics["unit_std"]).all()
    for quantity in shot.histograms:
        assert figures.pixels(figures.distributions(quantity, shot)).shape[0] == 480


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
        figure = figures.distributions("weights", snapshot(HE), name=name)
        assert [text.get_text() for text in figure.texts] == [shown]


def test_a_run_without_steps_is_drawn():
    only = dataclasses.replace(steps([None])[0])
    figure = figures.loss_curves([only])
    assert Image.open(io.BytesIO(figures.png(figure))).size == (480, 480)


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
    assert figures.pixels(figures.descent(points)).shape == (480, 480, 3)


def test_gradients_that_exploded_are_not_told_as_small():
    now = snapshot(Normal(1000.0), Identity())
    counts = now.histograms["gradients"].counts
    assert counts[0, -1] > counts[0, 0]
    share = counts[0, -1] / counts[0].sum()
    assert f"{share:.0%} above" in texts(figures.distributions("gradients", now))[-1]


def test_values_at_the_end_of_the_axis_are_told_there():
    now = snapshot(Normal(30.0), HardTanh())
    (text,) = [
        text for text in texts(figures.distributions("activations", now)) if "layer 1" in text
    ]
    assert " at 1" in text or " at -1" in text


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
