"""What starts, is retried, fails and is said, of parts on workers of any kind."""

import argparse
import signal

import pytest

from shardsim.commands import executors
from shardsim.core.field_errors import ConfigError
from shardsim.execution import local, scheduler, training
from shardsim.storage import records, run_folder
from shardsim.training import loop, parts

BLOCKS = (parts.Block(0, 2), parts.Block(2, 2))
SHARED = tuple(parts.Part("shared", ("shared",), block, False) for block in BLOCKS)
ARMS = tuple(
    parts.Part(arm, (arm,), block, True) for block in BLOCKS for arm in ("mlp", "other")
)
DONE = (0, "")
FULL = (1, "No space left on device")
KILLED = (-signal.SIGKILL, "killed by SIGKILL")


class Told:
    """Workers that end as they are told: part -> how each try ends."""

    def __init__(self, ends, slots=None):
        self.ends = {place: list(each) for place, each in ends.items()}
        self.slots, self.running, self.started, self.most = slots, [], [], 0
        self.stopped = False

    def start(self, task):
        self.running.append(task)
        self.started.append(task.part.place)
        self.most = max(self.most, len(self.running))

    def ended(self, seconds):
        task = self.running.pop(0)
        ends = self.ends.get(task.part.place, [])
        code, cause = ends.pop(0) if ends else DONE
        return [scheduler.Ended(task, code, cause)]

    def stop(self):
        self.stopped = True


@pytest.fixture
def job(tiny, tmp_path):
    data = {name: tiny[name] for name in ("name", "env", "agent", "arms")}
    data["train"] = {**tiny["train"], "num_seeds": 4}
    config = training.load.read(data)
    return training.whole_job(config, tmp_path, lambda *_: None)


def tasks_of(job, *parts):
    return [scheduler.Task(job.folder, job, part) for part in parts]


def driven(job, workers, retries=3):
    shown = []
    scheduler.drive(
        job.folder,
        tasks_of(job, *SHARED, *ARMS),
        workers,
        retries=retries,
        show=lambda status, text: shown.append((status, text)),
    )
    return shown


def test_parts_wait_for_the_shared_phases_of_their_block(job):
    workers = Told({})
    shown = driven(job, workers)
    assert workers.started == [
        *("0-1/shared", "2-3/shared"),
        *("0-1/mlp", "0-1/other", "2-3/mlp", "2-3/other"),
    ]
    assert workers.stopped
    last = shown[-1][0]
    assert (last.done, last.running, last.failed, last.retried) == (6, 0, 0, 0)
    assert last.updates == last.total == 2 * 3 + 4 * 10
    assert str(last).startswith("6 of 6 parts done  ")


def test_no_more_parts_at_a_time_than_there_are_places(job):
    workers = Told({}, slots=2)
    driven(job, workers)
    assert workers.most == 2
    assert len(workers.started) == 6


def test_a_lost_worker_is_retried_and_its_host_named(job):
    folder = job.folder / "parts" / "0-1" / "mlp"
    run_folder.create(folder, "name: x", overwrite=False)
    records.write(folder / training.WORKER_FILE, training.Worker("node7", 12))
    workers = Told({"0-1/mlp": [KILLED, KILLED]})
    shown = driven(job, workers, retries=2)
    texts = [text for _, text in shown if "retry" in text]
    assert texts == [
        f"mlp of seeds 0-1, on node7: killed by SIGKILL; retry {n} of 2" for n in (1, 2)
    ]
    assert workers.started.count("0-1/mlp") == 3
    assert shown[-1][0].retried == 2


def test_one_bad_part_stops_only_those_that_need_it(job):
    """A loss that is not finite is not retried; a lost worker or a full disk is."""
    code = int(scheduler.Code.DIVERGED)
    diverged = (code, "loss not finite: arm other, seed 3, update 2")
    workers = Told({"0-1/shared": [FULL, *[KILLED] * 2], "2-3/other": [diverged]})
    with pytest.raises(scheduler.Failed) as error:
        driven(job, workers, retries=2)
    head, *lines, last = str(error.value).splitlines()
    assert head == "4 of 6 parts failed; the others are on disk"
    assert last == f"try them again with: {loop.resume_command(job.folder)}"
    assert lines == [
        "shared of seeds 0-1, on an unknown host: killed by SIGKILL",
        "other of seeds 2-3, on an unknown host: loss not finite: arm other, seed 3, "
        "update 2",
        "mlp of seeds 0-1: not started, it needs a part that failed",
        "other of seeds 0-1: not started, it needs a part that failed",
    ]
    assert workers.started.count("0-1/shared") == 3
    assert workers.started.count("2-3/other") == 1
    assert "2-3/mlp" in workers.started


def test_ctrl_c_stops_all_workers_and_says_how_to_go_on(job):
    class Interrupting(Told):
        def ended(self, seconds):
            signal.raise_signal(signal.SIGINT)
            return []

    workers = Interrupting({})
    with pytest.raises(loop.Interrupted, match=r"signal 2 after 0 parts; go on with: "):
        driven(job, workers)
    assert workers.stopped


def test_steps_per_second_come_from_the_metrics_of_parts(job, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(scheduler.time, "monotonic", lambda: now[0])
    part = ARMS[0]
    task, *others = tasks = tasks_of(job, *ARMS)
    state = scheduler._Tasks(others, running=[task])
    speed = scheduler._Speed(tasks)
    assert speed.status(state).seconds_left is None
    path = parts.folder_of(job.folder, part) / "metrics.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text('{"arm": "mlp", "update": 5}\n{"arm": "mlp", "upd')
    now[0] = 4.0
    status = speed.status(state)  # 2 of 10 updates, after 3 of the shared phases
    assert status.updates == 2
    assert status.steps_per_second == 2 * 2 * 4 * 4 / 4
    assert status.seconds_left == 2 * (40 - 2)
    path.write_text("")  # back to a checkpoint
    assert speed.status(state).steps_per_second >= 0


def test_cores_are_shared_evenly():
    assert local.shares((0, 1, 2, 3, 4), 2) == [(0, 1, 2), (3, 4)]
    assert local.shares((4, 6), 3) == [(4,), (6,), (4,)]
    assert local.shares((0, 1), 1) == [(0, 1)]


@pytest.mark.parametrize(
    ("code", "errors", "cause"),
    [
        (0, "warning", ""),
        (-9, "", "killed by SIGKILL"),
        (-6, "Fatal Python error\n", "killed by SIGABRT (Fatal Python error)"),
        (1, "shardsim: a: b\n\n", "a: b"),
        (3, "", "ended with code 3"),
    ],
)
def test_the_cause_is_one_line(code, errors, cause):
    assert local.cause(code, errors) == cause


def options(**given):
    names = ("executor", "block_seeds", *executors.OPTIONS)
    return argparse.Namespace(**{**dict.fromkeys(names), "begin": False, **given})


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"workers": 2}, "workers: got a value; allowed with --executor"),
        ({"executor": "local", "workers": 0}, "workers: got 0; allowed: 1 or more"),
        ({"executor": "local", "retries": -1}, "retries: got -1; allowed: 0 or more"),
        (
            {"executor": "local", "begin": True},
            "executor: got 'local'; allowed with --begin: none",
        ),
        ({"block_seeds": 0}, "block_seeds: got 0; allowed: 1 or more"),
        (
            {"executor": "local", "address": "a:1"},
            "address: got a value; allowed with --executor ray",
        ),
    ],
)
def test_options_without_effect_or_out_of_range_are_refused(given, text):
    with pytest.raises(ConfigError) as error:
        executors.chosen(options(**given))
    assert str(error.value) == text
    assert executors.chosen(options()) is None


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({"kind": "here"}, 16),
        ({"kind": "here", "block_seeds": 4}, 4),
        ({"kind": "local", "workers": 2}, 16),  # two arms keep them busy
        ({"kind": "local", "workers": 8}, 4),
        ({"kind": "local", "workers": 99}, 1),
        ({"kind": "ray", "workers": 8, "block_seeds": 3}, 3),
    ],
)
def test_blocks_keep_all_workers_busy(tiny, given, size):
    data = {name: tiny[name] for name in ("name", "env", "agent", "arms")}
    data["train"] = {**tiny["train"], "num_seeds": 16}
    config = training.load.read(data)
    _, got = executors.trainer(executors.Executor(**given), config, 16)
    assert got == size
