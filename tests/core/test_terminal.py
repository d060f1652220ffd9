"""What a terminal cannot show is shown plainer."""

import io
import subprocess
import sys

import pytest

from shardsim.core import terminal

SIGNS = "V \N{MINUS SIGN} 1 \N{PLUS-MINUS SIGN} 2 \N{MULTIPLICATION SIGN} 3…"


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("─── │ ┼", "ascii", b"--- | +"),
        ("─── │ ┼", "cp1252", b"--- | +"),
        (SIGNS, "ascii", b"V - 1 +- 2 x 3..."),
        (SIGNS, "cp1252", SIGNS.replace("\N{MINUS SIGN}", "-").encode("cp1252")),
        ("naïve Ångström ﬁt ½", "ascii", b"naive Angstrom fit 1/2"),
        ("漢", "latin-1", b"?"),
        ("a\udcffb", "utf-8", b"a\\xffb"),
        ("a\udcffb", "ascii", b"a\\xffb"),
        ("\ud800", "utf-8", b"?"),
        ("plain", "utf-8", b"plain"),
        ("ä漢", "utf-8", "ä漢".encode()),
    ],
)
def test_characters_are_shown_as_the_terminal_can(monkeypatch, text, encoding, shown):
    for name in ("stdout", "stderr"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
        monkeypatch.setattr(sys, name, stream)
    terminal.plain_streams()
    for stream in (sys.stdout, sys.stderr):
        print(text, file=stream, flush=True)
        assert stream.buffer.getvalue() == shown + b"\n"


def test_a_program_without_a_terminal_has_no_streams(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    terminal.plain_streams()


def test_only_characters_are_shown_plainer():
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("utf-8", terminal.ERRORS)


def test_a_reader_that_goes_is_no_traceback(tmp_path):
    words = [sys.executable, "-m", "shardsim.cli", "config", "--schema"]
    with subprocess.Popen(words, stdout=-1, stderr=-1) as writer:
        writer.stdout.close()
        assert writer.stderr.read() == b""
        assert writer.wait() == 1
