"""Where output is no terminal, every phase and every minute has a line."""

import io
import logging
import re
import sys
import threading
import time

import jax
import pytest
import yaml

from shardsim import cli
from shardsim.commands import config, progress
from shardsim.training import metric_records

LOG = logging.getLogger("shardsim.somewhere.below")


def written(capsys):
    return capsys.readouterr().err.splitlines()


def test_what_begins_is_a_line_with_the_time(capsys):
    with progress.lines():
        LOG.info("phase %r", "a")
        LOG.debug("update 1")
    assert written(capsys) == ["shardsim: 0:00 phase 'a'"]
    LOG.info("nobody listens")
    assert written(capsys) == []
    assert logging.getLogger("shardsim").handlers == []


def test_a_minute_without_a_line_is_told_how_far_the_work_is(capsys):
    with progress.lines(seconds=0.1):
        LOG.info("phase a")
        LOG.debug("update 7 of 9")
        time.sleep(0.45)
    first, *more = written(capsys)
    assert first.endswith("phase a")
    assert 2 <= len(more) <= 4
    assert all(line == "shardsim: 0:00 phase a; update 7 of 9" for line in more)


def test_lines_that_come_by_themselves_delay_the_next(capsys):
    with progress.lines(seconds=0.3):
        for number in range(6):
            LOG.info("phase %d", number)
            time.sleep(0.1)
    assert len(written(capsys)) == 6


def test_nothing_is_left_running(capsys):
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), progress.lines():
        raise KeyboardInterrupt
    assert threading.active_count() == before


def chunk(arm, update):
    return metric_records.ChunkMetrics(
        arm=arm,
        phase="earn",
        update=update,
        reward=(0.5, 1.5),
        episodes=(0.1, 0.1),
        truncated=(0.0, 0.0),
        rewards=((0.5,), (1.5,)),
        reward_per_episode=(0.5, None),
        loss=(0.1, 0.1),
        gradient_norm=(0.1, 0.1),
        terms={},
    )


def test_after_a_chunk_the_line_says_how_much_is_done(training_yaml, capsys):
    training = config.read_training(training_yaml(), [])
    with progress.training(training, seconds=0.1) as advance:
        advance(chunk("mlp", 4), 1234.5)
        advance(chunk("sharded", 2), 1234.5)
        time.sleep(0.15)
    (line,) = written(capsys)
    assert line == (
        "shardsim: 0:00 sharded: phase 'earn', update 2 of 4 (75% of all training)  "
        "1,234 steps/s  return 0.50"
    )


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_and_no_lines(training_yaml, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    training = config.read_training(training_yaml(), [])
    with progress.training(training) as advance:
        LOG.info("phase a [b]")
        advance(chunk("mlp", 4), 1234.5)
    text = sys.stderr.getvalue()
    assert "1,234 steps/s" in text
    assert "shardsim:" not in text
    monkeypatch.setenv("TERM", "dumb")  # it cannot move its cursor
    assert not progress.is_terminal()


def test_colours_that_are_forced_make_no_terminal(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not progress.is_terminal()


def test_a_closed_terminal_ends_no_training(monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "stderr", Closed())
    with progress.lines():
        LOG.info("phase a")


def test_every_phase_of_every_arm_has_a_line(training_yaml, tmp_path, capsys):
    earn = {"updates": 2, "losses": {"value": {"value": 1}}}
    path = training_yaml(phases=[{"name": name, **earn} for name in ("one", "two")])
    assert cli.main(["train", str(path), "--out", str(tmp_path / "run")]) == 0
    lines = [line.split(" ", 2)[2] for line in written(capsys)]
    assert lines == [
        "mlp: phase 'one', update 0 of 4 (compiling)",
        "mlp: phase 'two', update 2 of 4",
        "sharded: phase 'one', update 0 of 4 (compiling)",
        "sharded: phase 'two', update 2 of 4",
    ]


@pytest.mark.slow
def test_one_seed_is_told_before_training_and_prints_no_interval(
    tiny, tmp_path, capsys
):
    path = tmp_path / "one.yaml"
    path.write_text(
        yaml.safe_dump({**tiny, "train": {**tiny["train"], "num_seeds": 1}})
    )
    assert cli.main(["run", str(path), "--out", str(tmp_path / "run")]) == 0
    told = capsys.readouterr()
    assert told.err.startswith("shardsim: train.num_seeds 1: shows that the training ")
    assert "It cannot show an effect: intervals need 2 seeds" in told.err
    assert "(no interval)" in told.out
    assert not re.search(r"\[-, -\]|- to -", told.out)


def test_devices_that_a_started_process_cannot_have_are_not_offered(
    training_yaml, tmp_path, capsys, monkeypatch
):
    jax.devices()  # now the process has started, whatever ran before this test
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    words = ["train", str(training_yaml()), "--out", str(tmp_path / "run")]
    assert cli.main([*words, "--train.devices", "2"]) == 2
    (line,) = written(capsys)
    assert line == (
        "shardsim: train.devices: got 2; allowed: 1, because this process has started "
        "JAX with 1 (up to 2 in a new process)"
    )
