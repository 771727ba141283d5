"""The one compiled training loop: pinball loss, Adam, decoupled weight decay, a cosine.

A loop is traced once per process and number of features (one to two seconds); weights are
assigned anew for each fit and every setting is a tensor, so no meter and no trial traces again.
TensorFlow is pinned to one thread: a machine trains as many meters at once as it has cores.
A step that runs cannot be interrupted; the listener is called between chunks of steps.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from energy_forecasting.domain.errors import TrainingFailed
from energy_forecasting.domain.forecasts import QUANTILE_LEVELS
from energy_forecasting.forecasting.features import Rows
from energy_forecasting.forecasting.network import build_network, member_core
from energy_forecasting.forecasting.recipe import BATCH_ROWS, Member, Settings

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)

_ADAM_MEAN_DECAY = 0.9
_ADAM_SQUARE_DECAY = 0.99
_ADAM_EPSILON = 1e-7
_WARM_UP = 0.1  # share of the steps

#: About 50 ms of work, so that progress and cancelling stay lively on a slow machine too.
_STEPS_PER_CHUNK = 10

#: Deviations between the first outputs of the outer quantiles, in units of scale.
_INITIAL_SPREAD = 0.6

#: Size of the first weights relative to He's; outputs start near the initial spread.
_INITIAL_SIZE = {"quantiles": 0.1, "linear": 0.02}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FitData:
    """The rows that one fit learns from; k members, n rows, f features."""

    features: Rows  #: [n, f] standardised and clipped
    targets: npt.NDArray[np.float32]  #: [n] departures in units of scale; any number where unused
    row_weights: npt.NDArray[np.float32]  #: [k, n] 0 where a member must not look
    mask: npt.NDArray[np.float32]  #: [k, 1, f] 1 where a member sees a feature


class _RowTensors(NamedTuple):
    """FitData inside TensorFlow."""

    features: tf.Tensor
    targets: tf.Tensor
    row_weights: tf.Tensor
    mask: tf.Tensor


class _PaceTensors(NamedTuple):
    """Where a chunk stands in the fit, and how fast it goes; scalars."""

    first_step: tf.Tensor
    steps: tf.Tensor
    learning_rate: tf.Tensor
    weight_decay: tf.Tensor


class TrainingLoop:
    """Trains the middle of the network for one number of features; not for several threads."""

    def __init__(self, feature_count: int, members: tuple[Member, ...]) -> None:
        self._core = member_core(build_network(feature_count, members))
        self._variables = self._core.trainable_variables
        self._means = [tf.Variable(tf.zeros_like(variable)) for variable in self._variables]
        self._squares = [tf.Variable(tf.zeros_like(variable)) for variable in self._variables]
        scalar = tf.TensorSpec([], tf.float32)
        self._run_chunk = tf.function(
            self._chunk,
            input_signature=[
                _RowTensors(
                    features=tf.TensorSpec([None, feature_count], tf.float32),
                    targets=tf.TensorSpec([None], tf.float32),
                    row_weights=tf.TensorSpec([len(members), None], tf.float32),
                    mask=tf.TensorSpec([len(members), 1, feature_count], tf.float32),
                ),
                tf.TensorSpec([None, BATCH_ROWS], tf.int32),
                _PaceTensors(scalar, scalar, scalar, scalar),
            ],
        )

    def fit(
        self,
        data: FitData,
        settings: Settings,
        *,
        seed: int,
        on_progress: Callable[[float], None],
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Train from fresh weights and return them as ``layer/weight``.

        Args:
            data: what to learn from.
            settings: rates, decay and number of steps.
            seed: the same seed and data give the same weights.
            on_progress: called with the share of the steps done, several times a second.

        Raises:
            TrainingFailed: the loss is no longer a number.
        """
        generator = np.random.default_rng(seed)
        self._initialise(generator)
        batches = _draw_batches(data.row_weights, settings.steps, generator)
        rows = _RowTensors(
            features=tf.constant(data.features),
            targets=tf.constant(data.targets),
            row_weights=tf.constant(data.row_weights),
            mask=tf.constant(data.mask),
        )
        for first in range(0, settings.steps, _STEPS_PER_CHUNK):
            pace = _PaceTensors(
                first_step=tf.constant(float(first)),
                steps=tf.constant(float(settings.steps)),
                learning_rate=tf.constant(settings.learning_rate),
                weight_decay=tf.constant(settings.weight_decay),
            )
            chunk = tf.constant(batches[first : first + _STEPS_PER_CHUNK])
            loss = self._run_chunk(rows, chunk, pace)
            if not np.isfinite(float(loss)):
                raise TrainingFailed(
                    f"Training diverged at step {first} of {settings.steps}; "
                    "look at the meter's quality report for extreme readings.",
                    step=first,
                )
            on_progress(min(1.0, (first + _STEPS_PER_CHUNK) / settings.steps))
        return {
            f"{layer.name}/{weight.name}": weight.numpy()
            for layer in self._core.layers
            for weight in layer.weights
        }

    def _initialise(self, generator: np.random.Generator) -> None:
        for layer in self._core.layers:
            if not layer.weights:
                continue
            inputs = layer.kernel.shape[1]
            size = np.sqrt(2.0 / inputs) * _INITIAL_SIZE.get(layer.name, 1.0)
            layer.kernel.assign(generator.standard_normal(layer.kernel.shape) * size)
            layer.bias.assign(np.zeros(layer.bias.shape))
        spread = [NormalDist().inv_cdf(level) * _INITIAL_SPREAD for level in QUANTILE_LEVELS]
        bias = self._core.get_layer("quantiles").bias
        bias.assign(np.broadcast_to(spread, bias.shape))
        for moment in (*self._means, *self._squares):
            moment.assign(tf.zeros_like(moment))

    def _chunk(self, rows: _RowTensors, batches: tf.Tensor, pace: _PaceTensors) -> tf.Tensor:
        """Run the steps of one chunk; return the last loss."""
        loss = tf.constant(0.0)
        for index in tf.range(tf.shape(batches)[0]):
            batch = batches[index]
            step = pace.first_step + tf.cast(index, tf.float32)
            rate = pace.learning_rate * _schedule(step / pace.steps)
            inputs = tf.gather(rows.features, batch)[tf.newaxis] * rows.mask
            targets = tf.gather(rows.targets, batch)[tf.newaxis, :, tf.newaxis]
            with tf.GradientTape() as tape:
                errors = targets - self._core(inputs)
                loss = _weighted_pinball(errors, tf.gather(rows.row_weights, batch, axis=1))
            gradients = tape.gradient(loss, self._variables)
            self._adam_step(gradients, step + 1.0, rate, pace.weight_decay)
        return loss

    def _adam_step(
        self, gradients: list[tf.Tensor], count: tf.Tensor, rate: tf.Tensor, weight_decay: tf.Tensor
    ) -> None:
        mean_correction = 1.0 - _ADAM_MEAN_DECAY**count
        square_correction = 1.0 - _ADAM_SQUARE_DECAY**count
        for variable, gradient, mean, square in zip(
            self._variables, gradients, self._means, self._squares, strict=True
        ):
            mean.assign(_ADAM_MEAN_DECAY * mean + (1.0 - _ADAM_MEAN_DECAY) * gradient)
            square.assign(
                _ADAM_SQUARE_DECAY * square + (1.0 - _ADAM_SQUARE_DECAY) * gradient * gradient
            )
            direction = (mean / mean_correction) / (
                tf.sqrt(square / square_correction) + _ADAM_EPSILON
            )
            variable.assign_sub(rate * (direction + weight_decay * variable))


@cache
def training_loop(feature_count: int, members: tuple[Member, ...]) -> TrainingLoop:
    """Return this process's loop for a kind of network, traced on its first fit."""
    return TrainingLoop(feature_count, members)


def _schedule(done: tf.Tensor) -> tf.Tensor:
    """Factor of the learning rate: a short rise, then half a cosine down to 0."""
    cosine = 0.5 * (1.0 + tf.cos(np.pi * (done - _WARM_UP) / (1.0 - _WARM_UP)))
    return tf.where(done < _WARM_UP, done / _WARM_UP + 0.02, cosine)


def _weighted_pinball(errors: tf.Tensor, row_weights: tf.Tensor) -> tf.Tensor:
    """Pinball loss of [k, batch, 9] errors: weighted mean over rows, sum over members."""
    levels = tf.constant(QUANTILE_LEVELS, tf.float32)
    loss = tf.reduce_mean(tf.maximum(levels * errors, (levels - 1.0) * errors), axis=-1)
    total = tf.reduce_sum(loss * row_weights, axis=1)
    return tf.reduce_sum(total / (tf.reduce_sum(row_weights, axis=1) + 1e-6))


def _draw_batches(
    row_weights: npt.NDArray[np.float32], steps: int, generator: np.random.Generator
) -> npt.NDArray[np.int32]:
    """Shuffle the rows that any member may see, as often as needed, into [steps, batch]."""
    usable = np.flatnonzero(row_weights.max(axis=0) > 0)
    needed = steps * BATCH_ROWS
    rounds = -(-needed // len(usable))
    order = np.concatenate([generator.permutation(usable) for _ in range(rounds)])[:needed]
    return order.reshape(steps, BATCH_ROWS).astype(np.int32)
