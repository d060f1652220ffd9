"""Files are written whole or not at all, and never over another file."""

import ast
import contextlib
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shardsim.core import files

ROOT = Path(__file__).parents[2]
NAMES = [
    *("lr=[0.1]", "a\\b", "two words", 'it\'s "so"', "100%", "%5B", "äß漢", "*", "?"),
    *("{a,b}", "#x", "$HOME", "~", "a;b&c", "two\nlines", "-dash", "n" * 250, "\udcff"),
    *("[!a]", "a:b", " ", "tab\there"),
]
"""Names that file systems take and that something else may read as a pattern."""


@pytest.mark.parametrize("name", NAMES)
def test_any_name_can_be_written_and_read(tmp_path, name):
    path = tmp_path / name / name
    files.check_new(path)
    files.write_text(path, "ä")
    assert files.read_text(path) == "ä"
    assert os.listdir(path.parent) == [name]
    with pytest.raises(files.PathError, match="which exists; allowed: a new file"):
        files.check_new(path)
    files.check_new(path, overwrite=True)


def test_what_is_there_is_refused_unless_told(tmp_path):
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("mine")
    folder.mkdir()
    (tmp_path / "torn").symlink_to(tmp_path / "nowhere")
    for path in (file, tmp_path / "torn"):
        with pytest.raises(files.PathError, match=f"out: got {path}, which exists"):
            files.check_new(path)
    files.check_new(file, overwrite=True)
    files.check_new(tmp_path / "torn", overwrite=True)
    files.check_new(folder, overwrite=True, folder=True)
    with pytest.raises(files.PathError, match="which exists; allowed: a new folder"):
        files.check_new(folder, folder=True)
    for overwrite in (False, True):
        with pytest.raises(files.PathError, match="a folder; allowed: a file"):
            files.check_new(folder, overwrite)
    with pytest.raises(files.PathError, match="no folder; allowed: a folder"):
        files.check_new(file, overwrite=True, folder=True)
    if Path("/dev/null").exists():
        with pytest.raises(files.PathError, match="no file; allowed: a file"):
            files.check_new(Path("/dev/null"), overwrite=True)


def test_a_path_that_is_not_possible_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path, reason in (
        (tmp_path / ("n" * 300), "File name too long"),
        (tmp_path / "file" / "below", "Not a directory"),
        (tmp_path / "a\0b", "null"),
    ):
        with pytest.raises(files.PathError, match=reason):
            files.check_new(path)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *arguments: False)  # root may all
    for path in (tmp_path / "new", tmp_path / "deep" / "new"):
        with pytest.raises(files.PathError, match="in a folder that can be written to"):
            files.check_new(path)


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077, 0o027])
def test_permissions_are_those_of_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        files.write_text(tmp_path / "new" / "file", "a")
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "file").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o777 & ~umask


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    link, target = tmp_path / "link", tmp_path / "there" / "file"
    target.write_text("old")
    link.symlink_to(target)
    files.write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "full"), SystemExit])
def test_nothing_is_left_of_what_was_not_finished(tmp_path, error):
    (tmp_path / "file").write_text("old")
    with (
        contextlib.suppress(KeyboardInterrupt, OSError, SystemExit),
        files.replacing(tmp_path / "file") as file,
    ):
        file.write(b"new")
        raise error
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"file": "old"}


WRITES = """
import pathlib, sys, time
from shardsim.core import files, interrupts
with interrupts.sigterm_as_interrupt(), files.replacing(pathlib.Path(sys.argv[1])) as f:
    f.write(b"half")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_temporary_file(tmp_path, number):
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("this process and its children ignore the signal, as under nohup")
    words = [sys.executable, "-c", WRITES, tmp_path / "file"]
    with subprocess.Popen(words, stdout=-1, stderr=subprocess.DEVNULL) as writer:
        assert writer.stdout.readline() == b"ready\n"
        assert len(os.listdir(tmp_path)) == 1
        writer.send_signal(number)
        assert writer.wait() != 0
    assert os.listdir(tmp_path) == []


def test_a_file_system_that_cannot_sync_is_no_error(tmp_path, monkeypatch):
    def unable(number):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", unable)
    files.write_text(tmp_path / "file", "a")
    assert files.read_text(tmp_path / "file") == "a"


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "file").write_bytes(b"\xef\xbb\xbfname: \xc3\xa4")
    assert files.read_text(tmp_path / "file") == "name: ä"


SOURCES = sorted(
    path
    for folder in ("shardsim", "envs", "benchmarks", "docs", "experiments")
    for path in (ROOT / folder).rglob("*.py")
)


def unsaid(call):
    """Whether a call reads or writes text in the encoding of the machine."""
    function = call.func
    name = getattr(function, "attr", getattr(function, "id", ""))
    said = {word.arg: word.value for word in call.keywords}
    if "encoding" in said:
        return False
    owner = getattr(getattr(function, "value", None), "id", "")
    if name in ("read_text", "write_text"):
        is_ours = isinstance(function, ast.Name) or owner in ("files", "run_files")
        return not is_ours
    if name == "open" and owner not in ("os", "archive", "Image"):  # they have bytes
        modes = [*call.args, said.get("mode")]
        texts = [mode.value for mode in modes if isinstance(mode, ast.Constant)]
        return not any("b" in str(text) for text in texts)
    return owner == "subprocess" and bool({"text", "universal_newlines"} & set(said))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("p.read_text()", True),
        ("p.read_text(encoding='utf-8')", False),
        ("open(p)", True),
        ("p.open('r+')", True),
        ("p.open('rb')", False),
        ("files.write_text(p, 'a')", False),
        ("write_text(p, 'a')", False),
        ("chart.encode(text='a')", False),
        ("subprocess.run(w, text=True)", True),
        ("subprocess.run(w)", False),
    ],
)
def test_the_check_of_encodings_sees_what_it_should(code, expected):
    assert unsaid(ast.parse(code).body[0].value) == expected


def test_every_text_is_read_and_written_as_utf_8():
    assert len(SOURCES) > 150
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and unsaid(node)
    ]
    assert found == []
