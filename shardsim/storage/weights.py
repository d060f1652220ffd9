"""Parameters of a module as arrays by dotted name, and back."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import PyTree

from shardsim.storage import run_files


def flatten_params(module: nnx.Module | PyTree) -> dict[str, np.ndarray]:
    """The parameters as NumPy arrays by dotted name, readable without JAX."""
    flat: dict[str, np.ndarray] = {}

    def walk(tree: Any, name: str) -> None:
        if isinstance(tree, dict):
            for key, inner in tree.items():
                walk(inner, f"{name}.{key}" if name else str(key))
        else:
            flat[name] = np.asarray(tree)

    walk(nnx.to_pure_dict(nnx.state(module)), "")
    return flat


def of_agent(agent: PyTree) -> dict[str, np.ndarray]:
    """E, D and V of an agent or a population, without the auxiliary decoders."""
    flat = flatten_params(agent)
    return {name: x for name, x in flat.items() if not name.startswith("auxiliary")}


def restore_params(
    module: Any, arrays: Mapping[str, np.ndarray], name: str = ""
) -> Any:
    """The inverse of `flatten_params`: a module with the parameters of a file.

    Args:
      module: gives the structure and the names; its parameters are not read.
      arrays: by dotted name; they may have more leading axes than the module.
      name: dotted name of the module within the file; "" is the whole file.

    Raises:
      RunError: a parameter is missing, or has another shape or no numbers, or they do
        not have the same leading axes.
    """
    graph, state = nnx.split(module)
    flat = []
    leading = set()
    for path, variable in nnx.to_flat_state(state):
        dotted_name = ".".join([*([name] if name else []), *map(str, path)])
        if dotted_name not in arrays:
            raise run_files.RunError(f"weights: {dotted_name} is missing")
        array, shape = arrays[dotted_name], variable.get_value().shape
        count = array.ndim - len(shape)
        if count < 0 or array.shape[count:] != shape or array.dtype.kind != "f":
            raise run_files.RunError(
                f"weights: {dotted_name}: got {array.dtype} of shape {array.shape}; "
                f"allowed: float of shape [..., {', '.join(map(str, shape))}]"
            )
        leading.add(array.shape[:count])
        flat.append((path, variable.replace(jnp.asarray(array))))
    if len(leading) > 1:
        raise run_files.RunError(
            f"weights: got parameters of {sorted(leading)} agents; allowed: as many of "
            "each"
        )
    return nnx.merge(graph, nnx.from_flat_state(flat))
