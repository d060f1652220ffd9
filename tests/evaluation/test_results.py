"""results.json is a record: every key is a field, and every record comes back."""

import dataclasses
import json
import typing

import numpy as np
import pytest

from shardsim.agents import value
from shardsim.core import config
from shardsim.evaluation import measures, results
from shardsim.storage import records, run_files
from shardsim.training import metric_records
from shardsim.training.results import Timing, TrainedArm, TrainingResult
from tests.helpers import made_results

TRAINING = TrainingResult(
    name="a",
    digest="0" * 12,
    num_seeds=2,
    sweep=({"td_lambda": 0.5}, {"td_lambda": 0.9}),
    arms={
        "mlp": TrainedArm(
            reward_per_episode=(0.1, None, 0.3, 0.4),
            mean_reward_per_episode=0.8 / 3,
            point_mean_reward_per_episode=(0.1, 0.35),
            diverged=(None, 7, None, None),
        )
    },
)
CHUNK = metric_records.ChunkMetrics(
    arm="mlp",
    phase="earn",
    update=4,
    reward=(0.5, 0.25),
    episodes=(0.1, 0.0),
    truncated=(0.0, 0.0),
    rewards=((0.5, 0.0), (0.25, 0.0)),
    reward_per_episode=(5.0, None),
    loss=(1.0, None),
    gradient_norm=(0.1, 0.2),
    terms={"value_loss": (1.0, 2.0)},
    diverged=(None, 3),
)
SNAPSHOT = metric_records.SnapshotMetrics(
    arm="mlp",
    update=4,
    return_fraction=(0.9, None),
    value_error=(0.5, 0.25),
    shards_in_use=(1.0, 1.0),
)
WHOLE = made_results.run(
    predictions={
        "P1": made_results.prediction(
            controls=tuple(map(made_results.control, ("passed", "failed"))),
            sensitivity=made_results.sensitivity(),
            details=(
                measures.Detail("mlp", "drop", "share", 0.5, 0.25, 1.0),
                measures.Detail(None, "spread", "return", None),
            ),
            judged_seeds=(0, 2),
        ),
    },
    arms={
        "mlp": made_results.arm(value.MLP()),
        "sharded": made_results.arm(
            value.Sharded(td_error="per_shard", routing=value.Routing())
        ),
    },
)


@pytest.mark.parametrize(
    "record",
    [WHOLE, TRAINING, CHUNK, SNAPSHOT, Timing(1.5), Timing(1.5, 2.5)],
    ids=lambda record: type(record).__name__,
)
def test_every_record_comes_back(tmp_path, record):
    path = tmp_path / "record.json"
    records.write(path, record)
    assert records.read(path, type(record)) == record


def test_results_are_told_apart_by_their_kind(tmp_path):
    path = tmp_path / "results.json"
    for result in (WHOLE, TRAINING):
        records.write(path, result)
        assert results.read(tmp_path) == result
    with pytest.raises(run_files.RunError, match="trained but not judged"):
        results.read_run(tmp_path)
    for text in ("{}", "[]", '{"kind": "other"}'):
        path.write_text(text)
        with pytest.raises(run_files.RunError, match=r"results\.json: kind: got"):
            results.read(tmp_path)


def records_in(record):
    """All records of a tree."""
    yield record
    for field in dataclasses.fields(record):
        yield from _inside(getattr(record, field.name))


def _inside(item):
    if dataclasses.is_dataclass(item):
        yield from records_in(item)
    elif isinstance(item, dict):
        for inner in item.values():
            yield from _inside(inner)
    elif isinstance(item, tuple):
        for inner in item:
            yield from _inside(inner)


def test_every_key_of_a_run_is_a_field(tiny_run):
    """Read and written again, the files are the same bytes."""
    for name, cls in (
        ("results.json", results.RunResult),
        ("timing.json", Timing),
    ):
        record = records.read(tiny_run / name, cls)
        again = json.dumps(config.to_dict(record), indent=1) + "\n"
        assert again == (tiny_run / name).read_text()
    lines = [*metric_records.chunks(tiny_run), *metric_records.snapshots(tiny_run)]
    again = {json.dumps(config.to_dict(line)) for line in lines}
    assert again == set((tiny_run / "metrics.jsonl").read_text().splitlines())


def test_names_of_fields_are_snake_case():
    for record in (WHOLE, TRAINING, CHUNK, SNAPSHOT):
        for each in records_in(record):
            for field in dataclasses.fields(each):
                assert field.name.isidentifier()
                assert field.name == field.name.lower()


def test_every_measure_names_its_metric_and_its_unit():
    for measure in typing.get_args(measures.Measure):
        assert measure.METRIC
        assert measure.UNIT


def test_the_error_of_v_stands_beside_every_return(tiny_run):
    """In standard deviations of V*: the last row of the curve of the arm."""
    found = results.read_run(tiny_run)
    for name, arm in found.arms.items():
        assert arm.value_error == found.curves[name].value_error[-1]
        assert arm.return_fraction == found.curves[name].return_fraction[-1]
        assert arm.mean_value_error == pytest.approx(np.mean(arm.value_error))
    accuracy = found.predictions["VE"]
    assert accuracy.values["mlp"] == found.arms["mlp"].value_error
    assert accuracy.unit == "sd of V*"


def test_metrics_are_arrays_by_arm_kind_and_field(tmp_path):
    for line in (CHUNK, SNAPSHOT, dataclasses.replace(CHUNK, update=8, diverged=None)):
        records.append(tmp_path / metric_records.FILE, line)
    metric_records.write_arrays(tmp_path)
    found = run_files.read_arrays(tmp_path / metric_records.ARRAYS)
    assert found["mlp/chunk/update"].tolist() == [4, 8]
    assert found["mlp/chunk/terms/value_loss"].tolist() == [[1.0, 2.0]] * 2
    assert found["mlp/chunk/rewards"].shape == (2, 2, 2)
    np.testing.assert_array_equal(
        found["mlp/chunk/reward_per_episode"], [[5.0, np.nan]] * 2
    )
    np.testing.assert_array_equal(found["mlp/chunk/diverged"], [[np.nan, 3.0]])
    assert found["mlp/snapshot/value_error"].tolist() == [[0.5, 0.25]]
