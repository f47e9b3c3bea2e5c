"""The outlook of one setting: its inputs, its layers, what many such layers tend to."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from initlab.config import (
    Config,
    ConfigError,
    build,
    chosen_options,
    load_option,
    options,
    plain_values,
    remarks,
    run_name,
    typed_overrides,
)
from initlab.nn import theory
from initlab.nn.initializers import critical_gain
from initlab.nn.layers import Dense, Layer
from initlab.nn.models import NetworkModel
from initlab.nn.prediction import Inputs, Prediction, limited, predict
from initlab.nn.preparation import probe, streams
from initlab.run import refuse_large_batch

CRITICAL = ["init=xavier", "init.gain=critical"]  # its scale is 1, so that the gain is σw


class Place(NamedTuple):
    """σw² and σb², and the variance of the pre-activations of the first layer."""

    weight_variance: float
    bias_variance: float
    start: float


@dataclass(frozen=True)
class Outlook:
    """What theory says of a setting.

    name        what was typed
    typed       the same, as overrides
    experiment  the published experiment that was chosen, "" for none
    inputs      measured, or else of independent features of mean square 1
    source      where they are from, in words
    prediction  None where theory has none
    layers      of the network, which is not drawn
    notes       remarks for the user
    """

    name: str
    typed: list[str]
    experiment: str
    config: Config = field(repr=False)
    inputs: Inputs
    source: str
    prediction: Prediction | None
    layers: list[Layer] = field(repr=False)
    notes: list[str]

    @classmethod
    def of(cls, composed: Any, hydra: Any) -> Outlook:
        """Predict a composed config, given Hydra's node of it; raises a `UserError`."""
        choices = chosen_options(hydra)
        if not labelled(composed):
            composed.train.steps, composed.train.snapshots = 0, None  # or they would be refused
        config = build(composed)
        model = config.model
        if not isinstance(model, NetworkModel):
            networks = [
                name
                for name in options("model")
                if isinstance(load_option("model", name), NetworkModel)
            ]
            raise ConfigError(
                f"model={choices['model']} has no layers for theory to predict.\n"
                f"Choices: {', '.join(networks)}"
            )
        stream = streams(config.seed)
        data = config.data.at_hand(stream.data)
        if data:
            refuse_large_batch(config, choices, data)
            x = probe(config, data)
            inputs, examples = Inputs.of(x), len(x)
            features, classes = data.features, data.classes
            source = f"{examples:,} example{'s' * (examples != 1)} of data={choices['data']}"
        else:
            known, features, classes = config.data.outline
            inputs, examples = Inputs(), min(config.train.probe_size, known)
            source = f"of data={choices['data']}"
            if config.data.labelled:
                source = f"assumed: data={choices['data']} is not at hand"
        notes = remarks(config, choices, plain_values(composed))
        if not all(map(math.isfinite, inputs)):
            notes.append("no prediction: a correlation takes two examples that are not all zero")
        layers = model.layers(features, classes, config.activation, stream.dropout)
        prediction = predict(layers, config.init, config.layer_inits, inputs, features, examples)
        return cls(
            run_name(hydra) or f"init={choices['init']}",
            typed_overrides(hydra.overrides.task),
            str(hydra.runtime.choices.get("experiment") or ""),
            config,
            inputs,
            source,
            prediction,
            layers,
            notes,
        )

    @property
    def place(self) -> Place:
        """Where the last hidden layer is in the phase diagram."""
        assert self.prediction, "without a prediction there is no place"
        leaves = [leaf for layer in self.layers for leaf in layer.leaves]
        last = [leaf for leaf in leaves if isinstance(leaf, Dense)][-1]
        width, bias_variance = last.fan_in, limited(last.bias_std) ** 2
        weight_variance = width * limited(self.config.init.exact_std(width, width)) ** 2
        return Place(weight_variance, bias_variance, self.prediction.variances[0])

    @property
    def plain(self) -> bool:
        """Whether a layer is a map of the one before it, without batch norm or residual blocks."""
        model = self.config.model
        assert isinstance(model, NetworkModel)
        return not (model.residual or model.batch_norm)

    @property
    def advice(self) -> str:
        """How the edge of chaos is reached, or why it cannot be; "" for a network on it."""
        model = self.config.model
        assert isinstance(model, NetworkModel)
        if not self.plain:
            return "no critical init is known of networks with batch norm or residual blocks"
        if self.prediction and self.prediction.limit.phase == theory.Phase.CRITICAL:
            return ""
        try:
            critical_gain(self.config.activation, model.bias_std)
        except ValueError as error:
            return f"init.{error}"
        kept = [text for text in self.typed if not sets_init(text)]
        command = f"python src/train.py {shlex.join([*kept, *CRITICAL])}"
        return f"critical{' but for dropout' if model.dropout else ''}: {command}"

    def as_plain(self) -> dict[str, Any]:
        """Return the numbers for a program; null where there is none, or it is not finite."""
        found = self.prediction
        limit = found.limit if found else theory.Limit(*5 * [math.nan])
        rows = (
            zip(found.unit_std, found.correlation, found.unit_gradient_std, strict=True)
            if found
            else ()
        )
        return {
            "q_star": number(limit.q_star),
            "chi1": number(limit.chi1),
            "depth_scale_q": number(limit.depth_scale_q),
            "depth_scale_c": number(limit.depth_scale_c),
            "phase": str(limit.phase) if math.isfinite(limit.chi1) else None,
            "layers": [
                {
                    "layer": index,
                    "unit_std": number(std.value),
                    "correlation": number(correlation),
                    "gradient": number(gradient.value),
                }
                for index, (std, correlation, gradient) in enumerate(rows, 1)
            ],
        }


def labelled(composed: Any) -> bool:
    """Return whether the data have labels, or it cannot be told yet."""
    return bool(getattr(OmegaConf.get_type(composed, "data"), "labelled", True))


def number(value: float) -> float | None:
    """Return a number that JSON has, None for infinities and NaN."""
    return value if math.isfinite(value) else None


def sets_init(override: str) -> bool:
    """Return whether an override chooses the init, or a setting of it."""
    key = override.partition("=")[0].lstrip("+~").partition("@")[0]
    return key == "init" or key.startswith("init.")
