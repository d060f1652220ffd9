"""Control tasks: does a probe read the features, or does it memorise?

Symbols: n samples, d features, c classes, K types (cells, mazes), G groups, R control
tasks.
"""

from typing import Annotated, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from shardsim.inspection import validation
from shardsim.inspection.concepts import concept, probes
from shardsim.inspection.validation import Integer, Numbers


class ProbeSelectivity(NamedTuple):
    """Held-out accuracy on the concept, on control tasks, and of the majority class."""

    accuracy: Float[Array, ""]
    """On the concept."""
    control: Float[Array, " R"]
    """On R control tasks: a random class for each type, with the class shares of the
    concept."""
    majority: Float[Array, ""]
    """Of predicting the largest class of the training samples."""
    train_accuracy: Float[Array, ""]
    """On the concept, for the training samples."""
    converged: Bool[Array, ""]
    """Whether the probes of the concept and of all control tasks converged."""
    decay: Float[Array, ""]
    """Of all probes: given, or chosen for the concept."""

    @property
    def selectivity(self) -> Float[Array, ""]:
        """Accuracy minus the mean accuracy on the control tasks."""
        return self.accuracy - self.control.mean()

    def summary(self) -> str:
        """Accuracy on the concept and on control tasks, and their difference."""
        return (
            f"accuracy {float(self.accuracy):.3f}, control "
            f"{float(self.control.mean()):.3f}, selectivity "
            f"{float(self.selectivity):.3f} (majority {float(self.majority):.3f})"
            + ("" if bool(self.converged) else "; NOT CONVERGED")
        )


def by_group(
    groups: Annotated[Numbers, "n"], *, share: float = 0.3, seed: Integer = 0
) -> Bool[np.ndarray, " n"]:
    """Hold out whole groups: True for the samples of randomly chosen groups.

    States of one maze are similar, so with a split by state a probe can recognise the
    maze.

    Args:
      groups: [n] the maze or level of each sample; at least 2 different ones.
      share: of the groups, in (0, 1); at least one group is held out and one is not.
      seed: of the choice.

    Raises:
      ValueError: fewer than two groups, or `share` is out of range.
    """
    labels = validation.labels("groups", groups, least=2)
    seed = validation.integer("seed", seed, 0)
    if not 0 < share < 1:
        raise ValueError(f"share: got {share}; allowed: between 0 and 1")
    count = min(max(round(share * labels.count), 1), labels.count - 1)
    chosen = np.random.default_rng(seed).permutation(labels.count)[:count]
    return np.isin(labels.index, chosen)


def control_labels(
    types: Annotated[Numbers, "n"], z: Annotated[Numbers, "n"], *, seed: Integer = 0
) -> Shaped[np.ndarray, " n"]:
    """A random class for each type, drawn with the class shares of the concept.

    Every sample of a type gets its class, whatever the sample contains. Classes that no
    type drew are missing: with few types the shares hold only on average.

    Args:
      types: [n] labels, what the control class depends on.
      z: [n] labels of the concept.
      seed: of the draw.
    """
    type_labels = validation.labels("types", types)
    index = type_labels.index
    labels = validation.labels("z", z, len(index), least=1)
    rng = np.random.default_rng(validation.integer("seed", seed, 0))
    shares = np.bincount(labels.index) / len(labels.index)
    drawn = rng.choice(labels.count, type_labels.count, p=shares)
    return labels.names[drawn][index]


def fit(
    x: Annotated[Numbers, "n d"],
    z: Annotated[Numbers, "n"],
    types: Annotated[Numbers, "n"],
    held_out: Annotated[Numbers, "n"],
    *,
    controls: int = 5,
    groups: Annotated[Numbers, "n"] | None = None,
    decay: float | None = None,
    seed: Integer = 0,
) -> ProbeSelectivity:
    """Held-out accuracy of a logistic probe on the concept and on control tasks.

    A probe that can memorise a class for each type does equally well on the control
    tasks: its selectivity is about 0. A probe that reads the features does not.

    Types should occur on both sides of the split, else the control accuracy is at
    chance by construction: split by maze and take cells as types. Vary `decay` to see
    how the result depends on the capacity of the probe.

    Args:
      x: [n, d] activations.
      z: [n] labels.
      types: [n] what the control class depends on, such as the cell.
      held_out: [n] bool, see `by_group`.
      controls: R, at least 1.
      groups: [n] labels, such as the maze; where a decay is chosen, the samples of a
        group are held out together.
      decay: of the probes. None chooses it for the concept, see `probes.logistic`, and
        control tasks have the same: the capacity of one probe is what is tested.
      seed: of the control tasks.

    Raises:
      ValueError: a shape does not fit, a number is not finite, the training samples
        have one class, or no type is on both sides.

    Reference: Hewitt and Liang, arXiv 1909.03368.
    """
    x = concept.as_samples(x)
    validation.integer("controls", controls, 1)
    validation.integer("seed", seed, 0)
    if not concept.is_labels(z):
        raise ValueError("z: got no labels; allowed: integers or texts [n]")
    columns = concept.as_one_hot(x, z)
    concept.check_two_classes(columns)
    type_index = np.asarray(validation.labels("types", types, len(x)).index)
    train, test = concept.split_indices(held_out, len(x))
    train_counts = columns[train].sum(axis=0)
    validation.at_least("classes of z to train on", int((train_counts > 0).sum()), 2)
    _check_types(type_index, np.asarray(train), np.asarray(test))

    train_groups = None
    if groups is not None:
        train_groups = validation.labels("groups", groups, len(x)).index[train]

    def accuracies(labels: Any, decay: float | None) -> tuple[Array, probes.Probe]:
        task_columns = concept.as_one_hot(x, labels)
        # a class that no type drew gets an empty column, so there is one compilation
        task_columns = jnp.pad(
            task_columns, ((0, 0), (0, columns.shape[1] - task_columns.shape[1]))
        )
        probe = probes.logistic(
            x[train], task_columns[train], decay=decay, groups=train_groups
        )
        return probe.accuracy(x[test], task_columns[test]), probe

    accuracy, of_concept = accuracies(z, decay)
    converged = [of_concept.converged]
    control_tasks = [
        control_labels(types, z, seed=seed + number) for number in range(controls)
    ]
    on_control = []
    for labels in control_tasks:
        control_accuracy, probe = accuracies(labels, float(of_concept.decay))
        on_control.append(control_accuracy)
        converged.append(probe.converged)
    return ProbeSelectivity(
        accuracy,
        jnp.stack(on_control),
        columns[test][:, jnp.argmax(train_counts)].mean(),
        of_concept.accuracy(x[train], columns[train]),
        jnp.stack(converged).all(),
        of_concept.decay,
    )


def _check_types(types: np.ndarray, train: np.ndarray, test: np.ndarray) -> None:
    """Refuse types of which none occurs on both sides of the split."""
    if not np.isin(types[test], types[train]).any():
        raise ValueError(
            "types: got none on both sides of the split; allowed: types of training "
            "samples that also occur among held-out ones"
        )
