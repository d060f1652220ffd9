"""A run as one .zip file, to be handed on; and back into a folder.

An archive may come from a stranger. It is unpacked only if every name in it stays
inside the folder, and only plain files are.
"""

import shutil
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from shardsim.core import files
from shardsim.storage import file_list, run_files, run_folder
from shardsim.storage.run_layout import FORMAT_FILE, LIST_FILE

LARGEST = 10**6
"""Most files of an archive."""


def pack(folder: Path, out: Path, overwrite: bool = False) -> int:
    """Write a run into a .zip file, in a folder of its name.

    Files that the run did not write stay outside. Equal runs give equal bytes.

    Args:
      folder: a run folder.
      out: the file.
      overwrite: replace an existing file.

    Returns:
      Number of files.

    Raises:
      RunError: it is no run, or `out` does not end in .zip.
      PathError: the file exists or cannot be written.
    """
    run_folder.open_run(folder)
    if out.suffix.lower() != ".zip":
        raise run_files.RunError(f"out: got {out}; allowed: a name that ends in .zip")
    files.check_new(out, overwrite)
    root = folder.resolve().name
    paths = list(_own(folder))
    with (
        files.replacing(out) as file,
        zipfile.ZipFile(file, "w") as archive,
    ):
        for path in paths:
            name = f"{root}/{path.relative_to(folder).as_posix()}"
            # the time of a file is nothing that a run says
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            is_packed = path.suffix == ".npz"
            entry.compress_type = (
                zipfile.ZIP_STORED if is_packed else zipfile.ZIP_DEFLATED
            )
            with path.open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target)
    return len(paths)


def _own(folder: Path) -> Iterator[Path]:
    """The files that the run wrote and that are there, those of checkpoints too."""
    for name in sorted({*file_list.written(folder), LIST_FILE, FORMAT_FILE}):
        path = folder / name
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (each for each in inside if _is_plain(each, folder))


def _is_plain(path: Path, folder: Path) -> bool:
    """Whether it is a file, and no link on its way leads out of the folder."""
    return path.is_file() and path.resolve() == folder.resolve() / path.relative_to(
        folder
    )


def unpack(path: Path, into: Path) -> Path:
    """Unpack an archive into an empty folder.

    Returns:
      The run folder.

    Raises:
      RunError: no archive, a damaged one, one that holds no run or several, one with a
        name that would lie outside of the folder, or one larger than the disk.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check(path, entries, into)
            for entry in entries:
                target = into.joinpath(*PurePosixPath(entry.filename).parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("xb") as file:
                    shutil.copyfileobj(source, file)
    except run_files.RunError:
        raise
    except OSError as error:
        raise run_files.RunError(f"{path}: {error.strerror or error}") from None
    except Exception as error:  # a damaged archive may raise anything
        text = " ".join(str(error).split())
        raise run_files.RunError(
            f"{path}: no archive ({text}); allowed: a file of shardsim export"
        ) from None
    marks = [into, *sorted(each for each in into.iterdir() if each.is_dir())]
    runs = [folder for folder in marks if (folder / FORMAT_FILE).is_file()]
    if len(runs) != 1:
        raise run_files.RunError(
            f"{path}: got {len(runs)} runs; allowed: one, as shardsim export writes it"
        )
    return runs[0]


def _check(path: Path, entries: list[zipfile.ZipInfo], into: Path) -> None:
    """Refuse names that lead outside, links, two files of one name, and floods."""
    names = set()
    for entry in entries:
        name = PurePosixPath(entry.filename)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        is_inside = not name.is_absolute() and ".." not in name.parts and name.parts
        is_plain = not set(entry.filename) & {"\\", ":", "\0"}
        if not (is_inside and is_plain and kind in (0, stat.S_IFREG)):
            raise run_files.RunError(
                f"{path}: got the entry {entry.filename!r}; allowed: plain files in "
                "the folder of the run"
            )
        if str(name).casefold() in names:
            raise run_files.RunError(
                f"{path}: got the entry {entry.filename!r} twice; allowed: once"
            )
        names.add(str(name).casefold())
    size, free = sum(entry.file_size for entry in entries), shutil.disk_usage(into).free
    if len(entries) > LARGEST or size > free:
        raise run_files.RunError(
            f"{path}: got {len(entries)} files of {size:,} bytes; allowed here: "
            f"{LARGEST:,} files of {free:,} bytes"
        )
