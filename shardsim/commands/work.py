"""`shardsim work`: train parts of a run, on this machine or another with its folder."""

import argparse
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from shardsim.commands import devices, progress
from shardsim.core import config_files, field_errors
from shardsim.evaluation import load
from shardsim.execution import scheduler, training
from shardsim.storage import provenance, records, run_files, run_folder, run_layout
from shardsim.training import divergence, loop, parts

LOCK_SECONDS = 120.0
"""Time in which a worker before this one has to save what it has, and end."""
LOOK_SECONDS = 2.0
"""Time between two looks for parts that are free."""


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Train the named parts, or whatever is free until all parts are finished."""
    del flags
    if options.cores:
        _pin(options.cores)
    if options.attached:
        threading.Thread(target=_end_with_input, daemon=True).start()
    run, plan = options.run, parts.read_plan(options.run)
    if plan is None:
        raise run_files.RunError(
            f"{run}: got a folder without {run_layout.PARTS}/{parts.PLAN_FILE}; "
            "allowed: a run that is trained in parts, on a disk that all machines share"
        )
    data = config_files.read_yaml(run / run_layout.PARTS / run_layout.CONFIG_FILE)
    devices.offer_devices(data)
    _check_versions(run)
    job = training.whole_job(load.read(data), run, lambda *_: None)
    known = {part.place: part for part in parts.parts_of(plan, job.arms, job.train)}
    for place in options.parts:
        if place not in known:
            allowed = field_errors.one_of(known, place)
            raise run_files.RunError(f"parts: got {place!r}; allowed: {allowed}")
    try:
        for place in options.parts:
            training.train_part(run, job, known[place], LOCK_SECONDS)
        if not options.parts:
            take_free(run, job, tuple(known.values()))
    except divergence.Diverged as error:
        progress.say(str(error))
        return scheduler.Code.DIVERGED
    except run_folder.BusyError as error:  # the worker before this one still ends
        progress.say(str(error))
        return scheduler.Code.FAILED
    return scheduler.Code.DONE


def take_free(
    run: Path, job: loop.TrainingJob, unfinished: Sequence[parts.Part]
) -> None:
    """Train parts that no other process is at work on, until all are finished.

    They are also finished where the process that began them has joined them meanwhile.
    """
    while True:
        left = [
            p for p in unfinished if not loop.is_finished(parts.job_of(job, run, p))
        ]
        if not left or parts.read_plan(run) is None:
            return
        waiting = {p.block for p in left if not p.needs_shared}
        for part in left:
            if part.needs_shared and part.block in waiting:
                continue
            try:
                training.train_part(run, job, part)
                break
            except run_folder.BusyError:
                continue
            except FileNotFoundError:
                if parts.read_plan(run) is not None:
                    raise
        else:
            time.sleep(LOOK_SECONDS)


def _check_versions(run: Path) -> None:
    """Refuse a machine whose seeds would differ from those of the others."""
    path = run / "provenance.json"
    lines = provenance.differences(records.read(path, provenance.Provenance))
    if lines:
        raise run_files.RunError(f"{path}: {lines[0]}, as where the run was started")


def _pin(text: str) -> None:
    """Keep this process to some cores, before JAX counts them."""
    cores = {int(number) for number in text.split(",")}
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def _end_with_input() -> None:
    """Stop as by SIGTERM when standard input is closed: who started this has gone."""
    # not by sys.stdin, whose lock would abort the process when it ends before
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
