"""Checkpoints of the training state, by orbax: restored bit for bit.

Every checkpoint holds two digests: one of the run and the update it belongs to, and one
of its own arrays. They detect files of other runs and damaged files.
"""

import contextlib
import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from shardsim.storage import checkpoint_files, file_list
from shardsim.storage.run_files import RunError

RUN_DIGEST, CONTENT_DIGEST = "owner", "seal"
"""Names of the two digests among the arrays of a checkpoint."""
PLAIN = re.compile(r"[A-Za-z0-9_./+=, -]{1,2000}")
"""Paths that mean the same to everybody."""
MAX_TO_KEEP = 2
"""Checkpoints on disk for each arm. If the newest is damaged, the older one is used."""


def _not_from_orbax(record: logging.LogRecord) -> bool:
    """Whether a log record does not come from orbax or tensorstore.

    This module reports every error in one line. Orbax logs the same error itself, and
    once more with a traceback when its leftover tasks are garbage-collected.
    """
    text = record.pathname + record.getMessage()
    return not any(name in text for name in ("orbax", "tensorstore"))


for _name in ("absl", "asyncio"):
    logging.getLogger(_name).addFilter(_not_from_orbax)


def save(folder: Path, update: int, state: PyTree, run: str) -> None:
    """Save the training state; an existing checkpoint of the update is not replaced.

    Older checkpoints of the run are removed, but for the newest `MAX_TO_KEEP`. A file
    in their folders that is not orbax's stays.

    Args:
      folder: holds the checkpoints of one arm.
      update: number of updates so far.
      state: any pytree of arrays.
      run: digest of everything that the state depends on.

    Raises:
      OSError: it could not be written completely; older checkpoints are not affected.
    """
    named = _named(state)
    arrays = {
        **named,
        RUN_DIGEST: _run_digest(run, update),
        CONTENT_DIGEST: _content_digest(named),
    }
    file_list.add(folder / str(update))
    try:
        with _alias(folder) as alias, _manager(alias) as manager:
            manager.save(update, args=ocp.args.StandardSave(arrays))
            manager.wait_until_finished()
    except BaseException as error:
        _delete_partial(folder)
        if not isinstance(error, Exception):
            raise
        line = " ".join(str(error).split())[:150]
        raise OSError(f"{folder}/{update}: could not be written ({line})") from None
    steps = [each for each in folder.iterdir() if each.name.isdigit()]
    complete = filter(checkpoint_files.is_checkpoint, steps)
    newest_last = sorted(complete, key=lambda step: int(step.name))
    for step in newest_last[:-MAX_TO_KEEP]:
        if file_list.owns(step):
            checkpoint_files.remove(step)


def latest(folder: Path) -> int | None:
    """The number of updates at the newest checkpoint; None if there is none."""
    if not folder.is_dir():
        return None
    with _alias(folder) as alias, _manager(alias) as manager:
        return manager.latest_step()


class Restored(NamedTuple):
    """The newest valid checkpoint."""

    update: int
    """Number of updates at the checkpoint."""
    state: PyTree
    """The training state."""
    refused: tuple[str, ...]
    """For each newer checkpoint, why it is not valid."""


def newest(folder: Path, like: PyTree, run: str) -> Restored | None:
    """Restore the newest valid checkpoint; None if there is no checkpoint.

    A checkpoint that is damaged, or of another run or update, is moved aside (to a
    folder whose name ends in `refused`), and the one before it is tried.

    Args:
      like: a state of the same structure; gives shapes, types and devices.
      run: digest that was passed to `save`.

    Raises:
      RunError: there are checkpoints, but none is valid.
    """
    refused: list[str] = []
    while (update := latest(folder)) is not None:
        try:
            return Restored(update, restore(folder, update, like, run), tuple(refused))
        except RunError as error:
            refused.append(str(error))
            _move_aside(folder, update)
    if refused:
        raise RunError(
            f"{'; '.join(refused)}; none is left; resuming again starts from update 0"
        )
    return None


def _move_aside(folder: Path, update: int) -> None:
    """Rename a checkpoint to a new name that ends in `refused`, or in a number too."""
    checkpoint, number = folder / str(update), 1
    aside = base = folder.with_name(f"{folder.name}.{update}.refused")
    while os.path.lexists(aside):
        number += 1
        aside = base.with_name(f"{base.name}.{number}")
    if file_list.owns(checkpoint):
        file_list.add(aside)
    checkpoint.rename(aside)


def restore(folder: Path, update: int, like: PyTree, run: str) -> PyTree:
    """Restore the training state from the checkpoint of an update.

    Args:
      like: a state of the same structure; gives shapes, types and devices.
      run: digest that was passed to `save`.

    Raises:
      RunError: the checkpoint is damaged, or belongs to another config, run or update.
    """
    named, digest = _named(like), _run_digest(run, update)
    expected = {**named, RUN_DIGEST: digest, CONTENT_DIGEST: digest}
    target = jax.tree.map(ocp.utils.to_shape_dtype_struct, expected)
    try:
        with _alias(folder) as alias, _manager(alias) as manager:
            _check_shapes(folder / str(update), manager.item_metadata(update), expected)
            arrays = manager.restore(update, args=ocp.args.StandardRestore(target))
    except RunError:
        raise
    except Exception as error:
        line = " ".join(str(error).split())[:300]
        raise RunError(f"{folder}/{update}: damaged ({line})") from error
    if not np.array_equal(arrays.pop(RUN_DIGEST), digest):
        raise RunError(f"{folder}/{update}: of another run or another update")
    if not np.array_equal(arrays.pop(CONTENT_DIGEST), _content_digest(arrays)):
        raise RunError(
            f"{folder}/{update}: damaged (arrays are not those that were saved)"
        )
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[n] for n in named])


def _check_shapes(path: Path, saved: Any, expected: Mapping[str, Any]) -> None:
    """Refuse a checkpoint whose arrays have other names or shapes than expected."""
    saved_shapes = {name: tuple(leaf.shape) for name, leaf in saved.items()}
    shapes = {name: _raw(leaf).shape for name, leaf in expected.items()}
    for name in sorted(saved_shapes | shapes):
        if saved_shapes.get(name) != shapes.get(name):
            raise RunError(
                f"{path}: of another config (shape of {name}: got "
                f"{saved_shapes.get(name)}; allowed: {shapes.get(name)})"
            )


def _run_digest(run: str, update: int) -> np.ndarray:
    """[32] SHA-256 of the run and the update that a checkpoint belongs to."""
    text = f"{run} {update}"
    return np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)


def _content_digest(named: dict[str, jax.Array]) -> np.ndarray:
    """[32] SHA-256 of all arrays and their names."""
    digest = hashlib.sha256()
    for name in sorted(named):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(_raw(named[name])).tobytes())
    return np.frombuffer(digest.digest(), np.uint8)


def _raw(leaf: Any) -> Any:
    """A leaf as it is stored: random keys become arrays of integers."""
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


@contextlib.contextmanager
def _alias(folder: Path) -> Iterator[Path]:
    """A path of letters and digits for a folder: orbax takes paths for patterns.

    It is a link in a temporary folder, unless the path is plain.
    """
    if PLAIN.fullmatch(str(folder.absolute())):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="shardsim-") as place:
        link = Path(place) / "link"
        folder.mkdir(parents=True, exist_ok=True)
        link.symlink_to(folder.absolute(), target_is_directory=True)
        yield link


def _delete_partial(folder: Path) -> None:
    """Delete what a checkpoint that was not completed left behind."""
    for path in list(folder.glob(f"*{checkpoint_files.TORN}*")):
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):
                checkpoint_files.remove(path)


def _manager(folder: Path) -> ocp.CheckpointManager:
    # orbax would delete the folders of old checkpoints with all that is in them
    options = ocp.CheckpointManagerOptions(
        max_to_keep=None, enable_async_checkpointing=False
    )
    handler = ocp.StandardCheckpointHandler()
    return ocp.CheckpointManager(
        folder.absolute(), options=options, item_handlers=handler
    )


def _named(state: PyTree) -> dict[str, jax.Array]:
    """Leaves by their path in the tree: the files contain no type of this project."""
    paths = jax.tree_util.tree_flatten_with_path(state)[0]
    return {f"{i:04d}{jax.tree_util.keystr(p)}": x for i, (p, x) in enumerate(paths)}
