"""Parameters of a module as flat arrays by dotted name, and back."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import PyTree

from shardsim.storage import run_folder


def flatten_params(module: nnx.Module | PyTree) -> dict[str, np.ndarray]:
    """Parameters by dotted name, for people without JAX."""
    flat: dict[str, np.ndarray] = {}

    def walk(tree: Any, name: str) -> None:
        if isinstance(tree, dict):
            for key, inner in tree.items():
                walk(inner, f"{name}.{key}" if name else str(key))
        else:
            flat[name] = np.asarray(tree)

    walk(nnx.to_pure_dict(nnx.state(module)), "")
    return flat


def restore_params(
    module: Any, arrays: Mapping[str, np.ndarray], name: str = ""
) -> Any:
    """The inverse of `dotted`: the module with the parameters of a file.

    Args:
      module: says types and names; its own parameters are not looked at.
      arrays: by dotted name; leading axes beyond the module's are kept.
      name: where the module stands in what was written; "" is all of it.

    Raises:
      RunError: a parameter that is not there.
    """
    graph, state = nnx.split(module)
    flat = []
    for path, variable in nnx.to_flat_state(state):
        dotted_name = ".".join([*([name] if name else []), *map(str, path)])
        if dotted_name not in arrays:
            raise run_folder.RunError(f"weights: {dotted_name} is missing")
        flat.append((path, variable.replace(jnp.asarray(arrays[dotted_name]))))
    return nnx.merge(graph, nnx.from_flat_state(flat))
