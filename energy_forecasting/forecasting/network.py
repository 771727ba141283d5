"""The network: an ensemble of small quantile networks computed as one, as a Keras model.

All members run side by side along a leading axis, so that one matrix product serves them all.
The model takes raw features, [batch, features], and returns mean quantiles, [batch, 9], sorted,
as departures from ``base`` in units of ``scale``; calibration comes after. Import this module
before ``keras.models.load_model`` so that its layers are known.
"""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.forecasting import expectation
from energy_forecasting.forecasting.features import SURPRISE_FEATURES, TEMPERATURE_FEATURES
from energy_forecasting.forecasting.imputation import HOURS_PER_DAY
from energy_forecasting.forecasting.recipe import FEATURE_CLIP, HIDDEN_UNITS, Member

Weights = Mapping[str, npt.NDArray[np.float32]]

_PACKAGE = "energy_forecasting"


@keras.saving.register_keras_serializable(package=_PACKAGE)
class Standardise(layers.Layer):
    """Bring each feature to mean 0 and deviation 1, clipped; the numbers are stored weights."""

    def __init__(self, *, clip: float = FEATURE_CLIP, **options: object) -> None:
        super().__init__(**options)
        self.clip = clip

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the weights for the number of features."""
        shape = (input_shape[-1],)
        self.mean = self.add_weight(name="mean", shape=shape, initializer="zeros", trainable=False)
        self.deviation = self.add_weight(
            name="deviation", shape=shape, initializer="ones", trainable=False
        )

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Return [batch, features]."""
        return ops.clip((inputs - self.mean) / self.deviation, -self.clip, self.clip)

    def get_config(self) -> dict[str, object]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "clip": self.clip}


@keras.saving.register_keras_serializable(package=_PACKAGE)
class CarriedRegression(layers.Layer):
    """Carry the regression that made some of the features (``expectation.py``), in the same file.

    The features pass through unchanged: they are made before the network is asked.
    """

    def __init__(self, inputs: int, **options: object) -> None:
        super().__init__(**options)
        self.inputs = inputs

    def build(self, _: tuple[int | None, ...]) -> None:
        """Create the weights for the regression's number of inputs."""
        shapes = {
            "mean": (self.inputs,),
            "deviation": (self.inputs,),
            "coefficients": (HOURS_PER_DAY, self.inputs + 1),
        }
        for name, shape in shapes.items():
            self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False)

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Return what came in."""
        return inputs

    def get_config(self) -> dict[str, object]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "inputs": self.inputs}


@keras.saving.register_keras_serializable(package=_PACKAGE)
class MemberInputs(layers.Layer):
    """Give each member the features that it may see: [batch, f] becomes [members, batch, f]."""

    def __init__(self, *, members: int, **options: object) -> None:
        super().__init__(**options)
        self.members = members

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the mask, 1 where a member sees a feature."""
        self.mask = self.add_weight(
            name="mask",
            shape=(self.members, 1, input_shape[-1]),
            initializer="ones",
            trainable=False,
        )

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Return [members, batch, features]."""
        return ops.expand_dims(inputs, 0) * self.mask

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Put the member axis first."""
        return (self.members, *input_shape)

    def get_config(self) -> dict[str, object]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "members": self.members}


@keras.saving.register_keras_serializable(package=_PACKAGE)
class MemberDense(layers.Layer):
    """A dense layer per member: [members, batch, in] becomes [members, batch, units]."""

    def __init__(self, units: int, *, activation: str = "linear", **options: object) -> None:
        super().__init__(**options)
        self.units = units
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create zero weights; the training loop draws them from its own seed."""
        members, _, inputs = input_shape
        self.kernel = self.add_weight(
            name="kernel", shape=(members, inputs, self.units), initializer="zeros"
        )
        self.bias = self.add_weight(
            name="bias", shape=(members, 1, self.units), initializer="zeros"
        )

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Return [members, batch, units]."""
        return self.activation(ops.matmul(inputs, self.kernel) + self.bias)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Change the last axis."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, object]:
        """Return what rebuilds the layer."""
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "units": self.units, "activation": activation}


@keras.saving.register_keras_serializable(package=_PACKAGE)
class MeanOfMembers(layers.Layer):
    """Sort and average some members' quantiles: [members, batch, q] becomes [batch, q]."""

    def __init__(self, *, first: int, count: int, **options: object) -> None:
        super().__init__(**options)
        self.first = first
        self.count = count

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Return [batch, quantiles], ascending."""
        chosen = inputs[self.first : self.first + self.count]
        return ops.mean(ops.sort(chosen, axis=-1), axis=0)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Drop the member axis."""
        return input_shape[1:]

    def get_config(self) -> dict[str, object]:
        """Return what rebuilds the layer."""
        return {**super().get_config(), "first": self.first, "count": self.count}


def build_network(
    feature_count: int, members: Sequence[Member], *, has_expectation: bool = False
) -> keras.Model:
    """Build the untrained model of raw features [batch, f].

    With an expectation its file carries the regressions whose surprises are among the features.
    Its outputs are the quantiles [batch, 9] of the members blind to temperature and, where some
    see it, of those that do.
    """
    features = keras.Input((feature_count,), name="features")
    sighted = sum(member.sees_temperature for member in members)
    complete = _with_expectation(features, sighted=bool(sighted)) if has_expectation else features
    seen = MemberInputs(members=len(members), name="member_inputs")(
        Standardise(name="standardise")(complete)
    )
    hidden = seen
    for number, units in enumerate(HIDDEN_UNITS, start=1):
        hidden = MemberDense(units, activation="relu", name=f"hidden_{number}")(hidden)
    quantiles = layers.Add(name="member_quantiles")(
        [
            MemberDense(len(QUANTILE_LEVELS), name="quantiles")(hidden),
            # The linear path carries what is proportional, so the deep one learns the rest.
            MemberDense(1, name="linear")(seen),
        ]
    )
    blind = len(members) - sighted
    outputs = [MeanOfMembers(first=0, count=blind, name="without_temperature")(quantiles)]
    if sighted:
        outputs.append(
            MeanOfMembers(first=blind, count=sighted, name="with_temperature")(quantiles)
        )
    return keras.Model(features, outputs, name="quantile_network")


def _with_expectation(features: keras.KerasTensor, *, sighted: bool) -> keras.KerasTensor:
    """Let the features pass through layers that carry the regressions."""
    inputs = features.shape[-1] - len(SURPRISE_FEATURES) * (2 if sighted else 1)
    blind_inputs = inputs - (len(TEMPERATURE_FEATURES) if sighted else 0)
    carried = CarriedRegression(blind_inputs, name=expectation.BLIND)(features)
    return CarriedRegression(inputs, name=expectation.SIGHTED)(carried) if sighted else carried


def member_core(network: keras.Model) -> keras.Model:
    """Return the trainable middle: masked inputs [k, batch, f] to quantiles [k, batch, 9]."""
    return keras.Model(
        network.get_layer("member_inputs").output, network.get_layer("member_quantiles").output
    )


def weights_of(network: keras.Model) -> dict[str, npt.NDArray[np.float32]]:
    """Return all weights as ``layer/weight``, the names under which the ``.h5`` stores them."""
    return {
        f"{layer.name}/{weight.name}": np.asarray(weight)
        for layer in network.layers
        for weight in layer.weights
    }


def assign_weights(network: keras.Model, weights: Weights) -> None:
    """Set every weight that ``weights`` names."""
    for layer in network.layers:
        for weight in layer.weights:
            weight.assign(weights[f"{layer.name}/{weight.name}"])
