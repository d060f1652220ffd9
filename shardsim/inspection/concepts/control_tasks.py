"""Control tasks: is it the features that know, or the probe that learns by heart?

Symbols: n samples, d features, c classes, K types (cells, mazes), G groups.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from shardsim.inspection import validation
from shardsim.inspection.concepts import concept, direction_scores, probes


class ProbeSelectivity(NamedTuple):
    """Accuracy on the concept, on labels that mean nothing, and of a guess."""

    accuracy: Float[Array, ""]
    control: Float[Array, " R"]
    """On R control tasks: a class drawn for each type, with the concept's shares."""
    majority: Float[Array, ""]
    train_accuracy: Float[Array, ""]

    @property
    def selectivity(self) -> Float[Array, ""]:
        """Accuracy less the mean of the controls."""
        return self.accuracy - self.control.mean()

    def summary(self) -> str:
        return (
            f"accuracy {float(self.accuracy):.3f}, control "
            f"{float(self.control.mean()):.3f}, selectivity "
            f"{float(self.selectivity):.3f} (majority {float(self.majority):.3f})"
        )


def by_group(
    groups: Int[Any, " n"], share: float = 0.3, seed: int = 0
) -> Bool[np.ndarray, " n"]:
    """Hold out whole groups: true for the samples of a share of the groups, drawn.

    States of one maze are alike, and a split by state lets a probe recognise the maze.

    Args:
      groups: which maze or level each sample is from; at least 2 different ones.
      share: of the groups, in (0, 1); at least one is held out and one kept.
    """
    validation.shaped("groups", groups, None)
    names = np.unique(np.asarray(groups))
    validation.at_least("number of groups", len(names), 2)
    if not 0 < share < 1:
        raise ValueError(f"share: got {share}; allowed: between 0 and 1")
    count = min(max(round(share * len(names)), 1), len(names) - 1)
    chosen = np.random.default_rng(seed).permutation(names)[:count]
    return np.isin(np.asarray(groups), chosen)


def control_labels(
    types: Int[Any, " n"], z: Int[Any, " n"], seed: int = 0
) -> Int[np.ndarray, " n"]:
    """A class for each type, drawn once with the shares that the classes have.

    Every sample of a type gets its class, whatever the sample shows. Classes that no
    type drew are missing: with few types the shares are kept only on average.
    """
    validation.shaped("types", types, None)
    validation.shaped("z", z, len(np.asarray(types)))
    names, counts = np.unique(np.asarray(z), return_counts=True)
    _, place = np.unique(np.asarray(types), return_inverse=True)
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(names), place.max() + 1, p=counts / counts.sum())
    return names[drawn][place]


def fit(
    x: Float[Array, "n d"],
    z: Int[Any, " n"],
    types: Int[Any, " n"],
    held_out: Bool[Any, " n"],
    *,
    controls: int = 5,
    decay: float = 1e-3,
    seed: int = 0,
) -> ProbeSelectivity:
    """Held-out accuracy of a logistic probe on the concept and on control tasks.

    A probe that can learn any class of any type by heart is as good on the controls:
    selectivity near 0. One that reads what the features say is not.

    Types should occur on both sides of the split, else the control is chance by
    construction: split by maze and take cells as types. Go over `decay` to see how the
    answer depends on what the probe can learn.

    Args:
      x, z: activations and labels.
      types: what a control class is tied to, such as the cell.
      held_out: see `by_group`.
      controls: R, at least 1.

    Raises:
      ValueError: a wrong shape, NaN, one class to train on, or no type on both sides.

    Reference: Hewitt and Liang, arXiv 1909.03368.
    """
    x = concept.samples(x)
    validation.at_least("controls", controls, 1)
    if not concept.is_labels(z):
        raise ValueError("z: got no labels; allowed: whole numbers [n]")
    columns = concept.classes(x, z)
    concept.several(columns)
    validation.shaped("types", types, len(x))
    train, test = direction_scores.sides(held_out, len(x))
    learnt = columns[train].sum(axis=0)
    validation.at_least("classes of z to train on", int((learnt > 0).sum()), 2)
    _met_again(np.asarray(types), np.asarray(train), np.asarray(test))

    def accuracies(labels: Any) -> tuple[Array, Array]:
        own = concept.classes(x, labels)
        # a class that no type drew gets an empty column, so that one shape is compiled
        own = jnp.pad(own, ((0, 0), (0, columns.shape[1] - own.shape[1])))
        probe = probes.logistic(x[train], own[train], decay=decay)
        return (
            probe.accuracy(x[test], own[test]),
            probe.accuracy(x[train], own[train]),
        )

    real, fitted = accuracies(z)
    drawn = [control_labels(types, z, seed + number) for number in range(controls)]
    return ProbeSelectivity(
        real,
        jnp.stack([accuracies(labels)[0] for labels in drawn]),
        columns[test][:, jnp.argmax(learnt)].mean(),
        fitted,
    )


def _met_again(types: np.ndarray, train: np.ndarray, test: np.ndarray) -> None:
    """Refuse types of which none is on both sides of the split."""
    if not np.isin(types[test], types[train]).any():
        raise ValueError(
            "types: got none on both sides of the split; allowed: types that a probe "
            "can meet again"
        )
