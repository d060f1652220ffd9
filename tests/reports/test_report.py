"""The report: complete, escaped, offline, the same bytes, and drawn by a browser."""

import html.parser
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import yaml

from shardsim.core.statistics import aggregates
from shardsim.evaluation import results
from shardsim.reports import maps, numbers
from shardsim.reports.verdicts import report, sections
from shardsim.storage import run_files

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
SIZES = {"desktop": "1200,900", "phone": "400,800"}


def copied(tiny_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    return folder


def changed(folder, change):
    """Write the page anew after a change to results.json."""
    results = run_files.read_json(folder / "results.json")
    change(results)
    run_files.write_json(folder / "results.json", results)
    return report.write(folder).read_text()


class Page(html.parser.HTMLParser):
    """Tags that are open, and all text outside of style."""

    VOID = ("meta", "link", "img", "br", "source")

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.images = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.images.append(dict(attributes))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


def text_of(page):
    return " ".join(" ".join(Page(page).text).split())


def test_the_page_holds_what_the_results_hold(tiny_run):
    page = (tiny_run / "report.html").read_text()
    results = json.loads((tiny_run / "results.json").read_text())
    parsed = Page(page)
    assert parsed.open == []  # every tag was closed
    text = text_of(page)
    assert results["question"] in text
    assert results["answer"] in text
    levels = yaml.safe_load((tiny_run / "config.yaml").read_text())["evaluation"]
    assert f"{levels['levels']} levels in each condition" in text
    entry = results["predictions"]["VE"]
    assert entry["verdict"] in text
    assert f"{entry['metric']}, {entry['unit']}" in text
    for key in ("estimate", "low", "high"):
        assert f"{entry['effect'][key]:+.3f}" in text
    for control in entry["controls"]:
        assert control["sentence"] in text
    for name, arm in results["arms"].items():
        assert name in text
        assert f"{arm['value_params']:,}" in text
        assert f"{arm['mean_return_fraction']:.1%}" in text
        assert f"{arm['mean_value_error']:.3g}" in text
        middle = aggregates.interquartile_mean(arm["return_fraction"])
        ends = f"{middle.low:.1%}, {middle.high:.1%}"
        assert f"IQM {middle.estimate:.1%} [{ends}]" in text
    pair = entry["rule"]["contrast"]
    rows = [entry["values"][pair[side]] for side in ("arm", "baseline")]
    often = aggregates.probability_of_improvement(*rows)
    assert f"with probability {numbers.interval(often)}; 0.5 is no difference" in text
    assert "tau = 0.01, the mean action gap under V* is" in text
    assert results["digest"] in text
    drawn = {path.stem for path in (tiny_run / "figures").iterdir()}
    assert drawn == {
        "verdicts",
        "seeds",
        "curves",
        "effects",
        "values",
        "shards-sharded",
    }
    assert len(parsed.images) == len(drawn)
    assert all(image["alt"] for image in parsed.images)
    # each image takes the colours of the page, but those with pictures; phones have
    # their own
    assert page.count("<source") == len(drawn) - 1 + 3
    assert page.count("@media(prefers-color-scheme:dark)") == 2 * (len(drawn) - 1)


def test_a_legend_names_every_symbol_on_the_boards(tiny_run):
    text = text_of((tiny_run / "report.html").read_text())
    for symbol, name in (("F0", "fruit 0"), ("F1", "fruit 1"), ("S", "start")):
        assert f"{symbol}: {name}" in text


def test_it_is_offline_small_and_escaped(tiny_run):
    page = (tiny_run / "report.html").read_text()
    assert len(page) < 10_000_000
    assert not re.search(r"(?:src|srcset|href)=[\"'](?!data:)", page)
    assert "<script" not in page
    assert "@import" not in page
    assert "Does it &lt;run&gt; &amp; end?" in page
    assert "<run>" not in page
    for path in (tiny_run / "figures").iterdir():
        found = set(re.findall(r"https?://([\w.]+)", path.read_text()))
        assert found <= {"www.w3.org"}


def test_the_same_files_give_the_same_bytes(tiny_run, tmp_path):
    folder = copied(tiny_run, tmp_path)
    before = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    shutil.rmtree(folder / "figures")
    report.write(folder)
    assert (folder / "report.html").read_bytes() == before


def test_a_control_that_fell_takes_every_claim_with_it(tiny_run, tmp_path):
    def rise(results):
        entry = results["predictions"]["VE"]
        entry |= {"is_valid": True, "arms_below_min_return": []}
        results |= {"all_valid": True, "answer": ""}

    folder = copied(tiny_run, tmp_path)
    assert "No claim stands" not in changed(folder, rise)

    def fall(results):
        rise(results)
        entry = results["predictions"]["VE"]
        entry["is_valid"] = results["all_valid"] = False
        entry["controls"][0] |= {"passed": "failed", "sentence": "exact is off."}

    page = changed(folder, fall)
    text = text_of(page)
    assert "No claim stands." in text

    def fall_in_one(results):
        fall(results)
        results["predictions"]["P"] = {**results["predictions"]["VE"], "is_valid": True}

    assert "No claim stands for VE." in text_of(changed(folder, fall_in_one))
    assert text.index("exact is off.") < text.index("Verdicts")
    assert re.search('class="failed"[^>]*>failed', page)


def test_what_was_not_learnt_takes_its_claims_with_it(tiny_run):
    """The small run's arms reach 93 and 92 %, of a goal of 95."""
    entry = run_files.read_json(tiny_run / "results.json")["predictions"]["VE"]
    assert entry["arms_below_min_return"] == ["mlp", "sharded"]
    assert not entry["is_valid"]
    page = (tiny_run / "report.html").read_text()
    assert "VE: no claim, because mlp and sharded did not reach the minimum" in page


def test_a_v_that_is_too_far_takes_its_claims_with_it(tiny_run, tmp_path):
    """It is said above the table, in the row, and beside the arm."""
    folder = copied(tiny_run, tmp_path)

    def drift(results):
        entry = results["predictions"]["VE"]
        entry |= {"arms_below_min_return": [], "is_valid": False}
        entry |= {"arms_above_max_value_error": ["mlp"]}
        results |= {"all_valid": False, "max_value_error": 0.25}
        results["arms"]["mlp"] |= {"reached_max_value_error": False}

    page = changed(folder, drift)
    text = text_of(page)
    assert "VE: no claim, because V of mlp is too far from V*." in text
    assert "no claim stands: V of mlp too far from V*" in text
    assert "above 0.25" in text
    assert re.search(r"V of mlp is \d+\.\d\d sd of V\* from V\*, more than 0\.25", text)


def test_effects_over_training_end_at_the_results(tiny_run):
    """The statistics of the last snapshot are those that were judged."""
    result = results.read_run(tiny_run)
    curve, entry = result.effect_curves["VE"], result.predictions["VE"]
    assert curve.update[-1] == max(result.phase_ends.values())
    assert len(curve.update) > 1
    estimates = [effect.estimate for effect in curve.effect]
    assert estimates[-1] == pytest.approx(entry.effect.estimate, abs=1e-6)
    errors = [result.arms[arm].mean_value_error for arm in ("sharded", "mlp")]
    assert curve.value_error[-1] == pytest.approx(max(errors), abs=1e-6)
    assert "Effects over training" in (tiny_run / "report.html").read_text()


@pytest.mark.slow
def test_an_arm_below_the_goal_is_flagged(tiny_run, tmp_path):
    folder = copied(tiny_run, tmp_path)

    def reach(results):
        for arm in results["arms"].values():
            arm["reached_min_return"] = True

    assert "below 95%" not in changed(folder, reach)

    def miss(results):
        results["arms"]["mlp"]["reached_min_return"] = False

    page = changed(folder, miss)
    assert "below 95%" in page
    assert "mlp reached" in page


def test_numbers_that_are_missing_are_dashes(tiny_run, tmp_path):
    """One seed has no interval; JSON holds null there."""

    def alone(results):
        entry = results["predictions"]["VE"]
        entry["effect"] |= {"low": None, "high": None}
        entry["values"]["mlp"] = [None, 0.5]
        entry["means"]["mlp"] |= {"low": None, "high": None}
        results["acting"] |= {"exact_action_gap": None, "temperature": None}
        for name in ("value", "policy"):
            results["omnibus"][name][0]["ratio"] = None

    page = changed(copied(tiny_run, tmp_path), alone)
    entry = run_files.read_json(tiny_run / "results.json")["predictions"]["VE"]
    assert f'interval]">{entry["effect"]["estimate"]:+.3f}<br>' in page
    text = text_of(page)
    assert numbers.DASH in text
    assert "V does not act." in text
    assert "nan" not in text.lower().split()


def test_acting_that_is_not_of_training_is_told(tiny_run, tmp_path):
    page = (tiny_run / "report.html").read_text()
    assert "Everything else is measured" not in text_of(page)

    def other(results):
        results["acting"] |= {
            "training": "D alone",
            "evaluation": "V alone at tau = 1",
        }
        for arm in results["arms"].values():
            arm["mean_evaluation_return_fraction"] = 0.123

    text = text_of(changed(copied(tiny_run, tmp_path), other))
    assert "of the acting rule of training: D alone. Everything else is" in text
    assert "V alone at tau = 1, which returns mlp 12.3" in text


def test_an_optimum_of_nothing_is_told_and_is_no_goal(tiny_run, tmp_path):
    """Where nothing pays a return is no share of the optimum: null in results.json."""

    def nothing_pays(results):
        for name, arm in results["arms"].items():
            arm |= {"return_fraction": [None, None], "mean_return_fraction": None}
            arm["reached_min_return"] = False
            curve = results["curves"][name]
            curve["return_fraction"] = [[None, None] for _ in curve["update"]]

    folder = copied(tiny_run, tmp_path)
    text = text_of(changed(folder, nothing_pays))
    assert "mlp has no return fraction, because the optimal return is not" in text
    assert "below 95%" not in text


def test_a_run_without_predictions_is_drawn(tiny_run, tmp_path):
    folder = copied(tiny_run, tmp_path)
    shutil.rmtree(folder / "figures")
    page = changed(folder, lambda results: results["predictions"].clear())
    assert not re.search("<h2>(Verdicts|Expectations)", page)
    names = {path.stem for path in (folder / "figures").iterdir()}
    assert names == {"curves", "values", "shards-sharded"}


def test_maps_show_both_contexts_and_only_where_the_agent_stands(tiny_run):
    levels = maps.read(tiny_run)
    assert {level.scene.context for level in levels} == {(0,), (1,)}
    for level in levels:
        arm = level.arms["sharded"]
        whole = (arm.gates * arm.shard_values).sum(axis=-1)
        np.testing.assert_allclose(whole, arm.value, atol=1e-5)
        assert not level.reachable[level.scene.glyphs["fruit 0"]]
        assert np.abs(level.arms["exact"].move).max() <= 1


@pytest.mark.parametrize(
    ("contexts", "levels"),
    [([0, 0, 0, 1], [0, 3]), ([1, 0, 1], [0, 1]), ([1, 1, 1], [0, 1]), ([0], [0])],
)
def test_a_level_of_each_context_is_shown_before_a_second_of_one(contexts, levels):
    assert maps._shown(np.eye(2)[contexts]) == levels


def test_maps_that_lack_an_array_or_a_level_are_one_line(tiny_run, tmp_path):
    folder = copied(tiny_run, tmp_path)
    arrays = run_files.read_arrays(folder / "maps.npz")
    (gone, *_) = (name for name in arrays if name.startswith("sharded/"))
    del arrays[gone]
    run_files.write_arrays(folder / "maps.npz", arrays)
    with pytest.raises(run_files.RunError, match=rf"maps\.npz: {gone} is missing"):
        maps.read(folder)
    scenes = run_files.read_json(folder / "maps.json")
    run_files.write_json(folder / "maps.json", {**scenes, "levels": []})
    with pytest.raises(run_files.RunError, match=r"maps\.json: levels: got none"):
        maps.read(folder)


def shown(page, tmp_path, size):
    """What chromium makes of a page: its DOM and what its console said."""
    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            "--v=0",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={size}",
            "--virtual-time-budget=5000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, said


CHECK = """<script>
onload = () => {
  for (const image of document.images)
    if (!image.complete || !image.naturalWidth) console.error("not drawn");
  if (document.documentElement.scrollWidth > innerWidth) console.error("too wide");
  for (const cell of document.querySelectorAll("td"))
    if (cell.getBoundingClientRect().right > innerWidth)
      console.error("off the screen: " + cell.textContent);
  for (const image of document.images)
    if (image.clientWidth < 0.7 * image.closest("figure").clientWidth)
      console.error("half empty: " + image.alt);
  document.title = "checked " + document.images.length;
};
</script></body>"""


@pytest.mark.skipif(BROWSER is None, reason="no chromium here")
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_browser_draws_it_without_complaint(tiny_run, tmp_path, size):
    page = tmp_path / "page.html"
    text = (tiny_run / "report.html").read_text()
    page.write_text(text.replace("</body>", CHECK))
    dom, said = shown(page, tmp_path, size)
    assert said == []
    assert "<title>checked 6</title>" in dom


@pytest.mark.skipif(BROWSER is None, reason="no chromium here")
def test_the_browser_test_can_fail(tiny_run, tmp_path):
    page = tmp_path / "page.html"
    text = (tiny_run / "report.html").read_text()
    start = 'src="data:image/svg+xml,'
    broken = text.replace(start, f"{start}!", 1)
    wide = '<div style="width: 3000px">-</div>'
    page.write_text(broken.replace("</body>", wide + CHECK))
    _, said = shown(page, tmp_path, SIZES["desktop"])
    assert any("not drawn" in line for line in said)
    assert any("too wide" in line for line in said)


def test_predictions_that_miss_for_the_same_arms_share_a_line():
    arms = {
        "P6": ("film", "mlp"),
        "P11": (),
        "P19": ("film", "mlp"),
        "VE": ("a", "b", "c"),
    }
    assert sections._missed(arms, "V of {} is off") == [
        "P6, P19: no claim, because V of film and mlp is off.",
        "VE: no claim, because V of a, b and c is off.",
    ]
    assert sections._missed({"P6": ("mlp",)}, "{} did not") == [
        "P6: no claim, because mlp did not."
    ]
