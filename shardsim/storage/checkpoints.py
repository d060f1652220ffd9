"""Training state on disk, by orbax: saved between chunks, restored bit for bit.

Every checkpoint holds two digests: of the run and the update it belongs to, and of its
own arrays, for a file may come from elsewhere, and bits may flip.
"""

import hashlib
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from shardsim.storage.run_folder import RunError

RUN_DIGEST, CONTENT_DIGEST = "owner", "seal"
"""Names of the digests among the arrays."""
MAX_TO_KEEP = 2
"""Checkpoints kept for an arm: a torn newest one leaves the one before it."""


def _not_theirs(record: logging.LogRecord) -> bool:
    """What goes wrong is told in one line. Orbax tells it besides, and what it leaves
    behind tells it again, with a traceback, whenever that is collected."""
    said = record.pathname + record.getMessage()
    return not any(name in said for name in ("orbax", "tensorstore"))


for _name in ("absl", "asyncio"):
    logging.getLogger(_name).addFilter(_not_theirs)


def save(folder: Path, update: int, carry: PyTree, run: str) -> None:
    """Keep `carry` as it stands after `update` updates; one that is there stays.

    Args:
      run: digest of all that the carry depends on.

    Raises:
      OSError: it could not be written whole; those before it are untouched.
    """
    named = _named(carry)
    sealed = {
        **named,
        RUN_DIGEST: _run_digest(run, update),
        CONTENT_DIGEST: _content_digest(named),
    }
    try:
        with _manager(folder) as manager:
            manager.save(update, args=ocp.args.StandardSave(sealed))
            manager.wait_until_finished()
    except Exception as error:
        line = " ".join(str(error).split())[:150]
        raise OSError(f"{folder}/{update}: could not be written ({line})") from None


def latest(folder: Path) -> int | None:
    """The update of the newest checkpoint; None if there is none."""
    if not folder.is_dir():
        return None
    with _manager(folder) as manager:
        return manager.latest_step()


class Restored(NamedTuple):
    """The newest checkpoint that can be used."""

    update: int
    carry: PyTree
    refused: tuple[str, ...]
    """What was wrong with those that are newer."""


def newest(folder: Path, like: PyTree, run: str) -> Restored | None:
    """The newest checkpoint that can be used; None if there is none at all.

    One that is torn, or of another run or update, is put aside (its folder gets a name
    that ends in `refused`), and the one before it is taken.

    Raises:
      RunError: there were some, and none of them can be used.
    """
    refused: list[str] = []
    while (update := latest(folder)) is not None:
        try:
            return Restored(update, restore(folder, update, like, run), tuple(refused))
        except RunError as error:
            refused.append(str(error))
            aside = folder.with_name(f"{folder.name}.{update}.refused")
            shutil.rmtree(aside, ignore_errors=True)
            (folder / str(update)).rename(aside)
    if refused:
        raise RunError(
            f"{'; '.join(refused)}; none is left: to resume once more begins anew"
        )
    return None


def restore(folder: Path, update: int, like: PyTree, run: str) -> PyTree:
    """The carry of a checkpoint.

    Args:
      like: a carry of the same shapes; its leaves say type and place.
      run: as `save` was told.

    Raises:
      RunError: the checkpoint is torn, or belongs to another run or update.
    """
    named, owner = _named(like), _run_digest(run, update)
    sealed = {**named, RUN_DIGEST: owner, CONTENT_DIGEST: owner}
    target = jax.tree.map(ocp.utils.to_shape_dtype_struct, sealed)
    try:
        with _manager(folder) as manager:
            _check(folder / str(update), manager.item_metadata(update), sealed)
            found = manager.restore(update, args=ocp.args.StandardRestore(target))
    except RunError:
        raise
    except Exception as error:
        line = " ".join(str(error).split())[:300]
        raise RunError(f"{folder}/{update}: torn ({line})") from error
    if not np.array_equal(found.pop(RUN_DIGEST), owner):
        raise RunError(f"{folder}/{update}: of another run or another update")
    if not np.array_equal(found.pop(CONTENT_DIGEST), _content_digest(found)):
        raise RunError(f"{folder}/{update}: torn (arrays are not what was saved)")
    return jax.tree.unflatten(jax.tree.structure(like), [found[n] for n in named])


def _check(place: Path, saved: Any, named: Mapping[str, Any]) -> None:
    """Refuse a checkpoint whose arrays are not those that are wanted."""
    there = {name: tuple(leaf.shape) for name, leaf in saved.items()}
    wanted = {name: _raw(leaf).shape for name, leaf in named.items()}
    for name in sorted(there | wanted):
        if there.get(name) != wanted.get(name):
            raise RunError(
                f"{place}: of another config ({name} is {there.get(name)} there, "
                f"{wanted.get(name)} here)"
            )


def _run_digest(run: str, update: int) -> np.ndarray:
    """[32]: whose checkpoint it is."""
    text = f"{run} {update}"
    return np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)


def _content_digest(named: dict[str, jax.Array]) -> np.ndarray:
    """[32]: digest of all arrays, with their names."""
    digest = hashlib.sha256()
    for name in sorted(named):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(_raw(named[name])).tobytes())
    return np.frombuffer(digest.digest(), np.uint8)


def _raw(leaf: Any) -> Any:
    """A leaf as it lies in the file, where keys are numbers."""
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def _manager(folder: Path) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(
        max_to_keep=MAX_TO_KEEP, enable_async_checkpointing=False
    )
    handler = ocp.StandardCheckpointHandler()
    return ocp.CheckpointManager(
        folder.absolute(), options=options, item_handlers=handler
    )


def _named(carry: PyTree) -> dict[str, jax.Array]:
    """Leaves by their place in the tree: no type of ours gets into the file."""
    paths = jax.tree_util.tree_flatten_with_path(carry)[0]
    return {f"{i:04d}{jax.tree_util.keystr(p)}": x for i, (p, x) in enumerate(paths)}
