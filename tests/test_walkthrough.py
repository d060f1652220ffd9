"""Every command and every snippet of the how-to pages runs, on a small run."""

import dataclasses
import re
import shlex
import typing
from pathlib import Path

import pytest

from shardsim import cli
from shardsim.core import config_files
from shardsim.evaluation import measures, rules
from shardsim.evaluation.experiment import Experiment
from shardsim_envs import World

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "how-to").glob("*.md"))
WALKS = [page for page in PAGES if "```" in page.read_text()]
"""Pages to be followed from top to bottom."""
FILES = {
    "ask-a-question": ("runs/retained/report.html",),
    "contest": ("runs/contest/contest.json", "surprise.html", "runs/AB/config.yaml"),
    "many-machines": ("runs/blocks/results.json", "runs/parts/results.json"),
    "extend": (),
    "study": ("runs/num_shards/report.html", "runs/num_shards/table.csv"),
    "inspect": (
        *("page.html", "page.results.json", "small.html", "two.html"),
        "watch.gif",
    ),
    "python": (
        *("value.png", "runs/small/results.json", "runs/film.gif"),
        *("quickstart.zip", "figures"),
    ),
    "tools": ("values.svg",),
    "train": ("walks.npz", "runs/frozen/results.json", "runs/offline/results.json"),
}
"""Files that exist when all commands of a page have run."""
OUTPUT = {
    "ask-a-question": ("competing/gate_distance", "where_gates_separated"),
    "contest": ("habit", "nats above ORACLE", "<3 agents of 'mlp' after"),
    "many-machines": ("per episode in the last chunk",),
    "extend": (),
    "study": ("K-2 {'P6'", "effect"),
    "inspect": ("wants the cheese most", "add up to V"),
    "python": ("(2, 4, 7, 7)", "name: quickstart", "page.html"),
    "tools": ("D chooses as in the other run", "truth-like features on 4 pairs"),
    "train": ("per episode in the last chunk", "swap rewards ("),
}

LONG = ("contest", "inspect", "many-machines", "python", "study", "tools", "train")
"""Pages that take minutes."""

pytestmark = pytest.mark.skipif(not PAGES, reason="no docs beside the tests")


def blocks(page):
    return re.findall(r"```(\w+)\n(.*?)```", page.read_text(), re.DOTALL)


def of_phases(flags, config):
    """The flags without those of phases that a config does not have."""
    count = len(config_files.read_yaml(Path(config))["train"]["phases"])
    named = {flag: re.match(r"--train\.phases\.(\d+)", flag) for flag in flags}
    return [flag for flag, m in named.items() if m is None or int(m[1]) < count]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("no_extensions")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=[pytest.mark.long] * (page.stem in LONG))
        for page in WALKS
    ],
)
def test_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch, capsys, small):
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    fewer = {
        "run": small,
        "study": [
            *(flag.replace("--", "--settings.", 1) for flag in small),
            "--settings.agent.encoder.widths=[16]",
            "--settings.agent.value-params=2048",
        ],
        "train": [
            *(flag for flag in small if "evaluation" not in flag),
            "--train.phases.2.updates=2",
        ],
    }
    fewer["contest"] = [
        *("--train.num-seeds=3", "--train.phases.0.updates=2", "--budget.steps=2"),
        *("--train.phases.1.updates=2", "--pipelines.number=9"),
    ]
    names = {}
    for kind, text in blocks(page):
        if kind == "python":
            exec(compile(text, str(page), "exec"), names)
            if (name := re.match(r"# (\w+\.py)\n", text)) is not None:
                Path(name[1]).write_text(text)
        elif kind == "yaml":  # its first line is its name
            Path(text.partition("\n")[0].removeprefix("# ")).write_text(text)
        elif kind != "text":  # which is to be read: it needs a cluster
            assert kind == "sh"
            for line in text.strip().splitlines():
                program, *words = shlex.split(line)
                assert program == "shardsim"
                flags = fewer.get(words[0], [])
                if words[0] in ("train", "contest"):
                    flags = of_phases(flags, words[1])
                assert cli.main([*words, *flags]) == 0, line
    output = capsys.readouterr().out
    for words in OUTPUT[page.stem]:
        assert words in output
    for name in FILES[page.stem]:
        assert (tmp_path / name).exists()


def test_the_page_of_training_lists_what_a_phase_may_change():
    text = (ROOT / "docs" / "how-to" / "train.md").read_text()
    listed = {
        world: set(re.findall(r"`(\w+)`", fields))
        for worlds, fields in re.findall(r"^\| (`[^|]*) \| (`[^|]*) \|$", text, re.M)
        for world in re.findall(r"`(\w+)`", worlds)
    }
    for world in typing.get_args(World):
        assert listed[world().kind] == set(world.SCHEDULED)


def test_the_page_of_questions_lists_what_may_be_asked():
    text = (ROOT / "docs" / "how-to" / "ask-a-question.md").read_text()
    rows = re.findall(r"^\| (`[^|]*) \|", text, re.M)
    listed = set(re.findall(r"`(\w+)`", " ".join(rows)))
    kinds = {measure().kind for measure in typing.get_args(measures.Measure)}
    fields = {field.name for field in dataclasses.fields(rules.Rule)}
    beside = {"min_return", "min_return_phase", "max_value_error", "looks", "omnibus"}
    assert beside <= {field.name for field in dataclasses.fields(Experiment)}
    assert kinds | fields | beside == listed - {"rule"}
