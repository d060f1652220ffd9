"""Draw the pictures of docs/concepts.md, once for light pages and once for dark ones.

Command:  python docs/figures/concepts.py --overwrite

Writes docs/figures/concepts/NAME-light.svg and NAME-dark.svg. Text stays text, and a
picture depends on nothing but this file and drawing.py, so that a test can compare
both.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

# beside this file
from drawing import BLUE, GREEN, ORANGE, PURPLE, RED, THEMES, THINGS, Drawing, svg

from shardsim.core import files

LEVELS = (
    THINGS,
    ((1, 1), (3, 4), (4, 2)),
    ((2, 0), (4, 4), (0, 1)),
    ((0, 4), (3, 0), (3, 3)),
)


def encoder(d: Drawing) -> int:
    d.text(90, 24, "observation", "soft", 12)
    d.board(35, 34, 22)
    d.text(90, 164, "planes of a 5 x 5 board", "soft", 12)
    d.arrow((160, 89), (250, 89))
    d.box(254, 54, 130, 70, "E", BLUE, "encoder")
    d.arrow((388, 89), (470, 89))
    d.features(478, 44)
    d.text(485, 164, "features z, [D]", "soft", 12)
    d.arrow((500, 70), (590, 50))
    d.text(600, 55, "D reads z", anchor="start")
    d.arrow((500, 106), (590, 126))
    d.text(600, 131, "V reads z", anchor="start")
    return 184


def decoder(d: Drawing) -> int:
    d.features(60, 40)
    d.text(67, 158, "features z", "soft", 12)
    d.arrow((86, 84), (180, 84))
    d.box(184, 49, 130, 70, "D", PURPLE, "action decoder")
    d.arrow((318, 84), (400, 84))
    for i, (name, share) in enumerate(
        (("up", 0.12), ("right", 0.58), ("down", 0.08), ("left", 0.22))
    ):
        y = 34 + 28 * i
        d.text(462, y + 14, name, "soft", 13, "end")
        d.rect(472, y, 220 * share, 19, PURPLE, PURPLE, 0.55, 3)
        d.text(480 + 220 * share, y + 14, f"{share:.2f}", "ink", 13, "start")
    d.text(560, 160, "D(a | s): which actions usually work here", "soft", 12)
    return 178


def value_head(d: Drawing) -> int:
    d.features(60, 40)
    d.text(67, 158, "features z", "soft", 12)
    d.arrow((86, 84), (180, 84))
    d.box(184, 49, 130, 70, "V", ORANGE, "value head")
    d.arrow((318, 84), (400, 84))
    d.text(360, 74, "V(s)", "soft", 13, italic=True)
    cell = 26
    (goal, *_) = THINGS
    for i in range(5):
        for j in range(5):
            steps = abs(i - goal[0]) + abs(j - goal[1])
            value = 0.8**steps
            x, y = 430 + i * cell, 20 + j * cell
            d.rect(x, y, cell, cell, ORANGE, "line", 0.85 * value, 0)
    d.circle(430 + 4.5 * cell, 20 + 0.5 * cell, 7, RED)
    d.text(495, 170, "V at every cell of one level", "soft", 12)
    d.text(580, 60, "strong: close to reward", "soft", 12, "start")
    d.text(580, 80, "V(s) estimates the", "soft", 12, "start")
    d.text(580, 98, "discounted return", "soft", 12, "start")
    return 190


def shards(d: Drawing) -> int:
    colours = (BLUE, GREEN, PURPLE, RED)
    for column, (floor, title, gates) in enumerate(
        (
            ("floor_a", "blue floor: red fruit pays", (0.88, 0.06, 0.04, 0.02)),
            ("floor_b", "orange floor: green fruit pays", (0.05, 0.9, 0.02, 0.03)),
        )
    ):
        x = 20 + 380 * column
        d.text(x + 165, 22, title, "soft", 13)
        d.board(x, 62, 17, floor)
        for k, (gate, colour) in enumerate(zip(gates, colours, strict=True)):
            y = 40 + 36 * k
            d.arrow((x + 90, 104), (x + 128, y + 13))
            d.rect(x + 132, y, 52, 26, colour, colour, 0.08 + 0.85 * gate)
            d.text(x + 158, y + 18, f"v{k + 1}", "ink", 13)
            d.text(x + 214, y + 18, f"x {gate:.2f}", "soft", 13)
            d.arrow((x + 240, y + 13), (x + 282, 104))
        d.box(x + 286, 84, 44, 42, "V", ORANGE)
    d.text(380, 212, "V(s) = g1 v1 + g2 v2 + g3 v3 + g4 v4", "ink", 14)
    d.text(
        380,
        232,
        "what shard theory expects: each context opens the gate of its own shard",
        "soft",
        12,
    )
    return 248


def arms(d: Drawing) -> int:
    d.rect(20, 20, 720, 52, BLUE, BLUE, 0.12)
    d.text(380, 42, "the same in every arm", bold=True)
    d.text(
        380,
        61,
        "levels, random keys, training loop, starting E and D, parameter count of V",
        "soft",
        12,
    )
    names = (
        ("mlp", "one network", "baseline", ORANGE),
        ("sharded", "K gated shards", "the question", GREEN),
        ("film", "modulated network", "no shards, but context", ORANGE),
        ("oracle_gated", "true context gates", "positive control", PURPLE),
        ("untrained", "V never trained", "negative control", "soft"),
    )
    for i, (name, what, role, colour) in enumerate(names):
        x = 20 + 146 * i
        d.line((x + 68, 72), (x + 68, 92))
        d.box(x, 92, 136, 62, name, colour, what)
        d.text(x + 68, 174, role, "soft", 12)
    return 192


def phases(d: Drawing) -> int:
    lengths = (
        (150, "self-supervised", "no reward, random walker", (1, 1, 0)),
        (330, "acquisition", "reward in all contexts, the agent acts", (1, 1, 1)),
        (200, "extinction", "one context pays no more", (1, 1, 1)),
    )
    rows = (("E", BLUE), ("D", PURPLE), ("V", ORANGE))
    for j, (part, _) in enumerate(rows):
        d.text(34, 78 + 30 * j, part, bold=True)
    x = 60.0
    for length, name, note, learns in lengths:
        d.text(x + length / 2, 24, name, bold=True, size=13)
        d.text(x + length / 2, 42, note, "soft", 11)
        for j, (_, colour) in enumerate(rows):
            filled = bool(learns[j])
            d.rect(
                x + 2, 60 + 30 * j, length - 4, 24, colour, colour, 0.5 if filled else 0
            )
            word = "learns" if filled else "frozen"
            d.text(x + length / 2, 77 + 30 * j, word, "ink" if filled else "soft", 12)
        x += length
        d.line((x, 52), (x, 158), dashed=True)
    d.arrow((60, 168), (744, 168))
    d.text(
        400, 190, "updates; V is read and stored at the end of every phase", "soft", 12
    )
    return 204


def battery(d: Drawing) -> int:
    rows = (
        ("in_distribution", ("floor_a", "floor_b", "floor_a", "floor_b")),
        ("only_0", ("floor_a",) * 4),
        ("only_1", ("floor_b",) * 4),
    )
    for j, (name, floors) in enumerate(rows):
        y = 34 + 58 * j
        d.text(126, y + 27, name, "ink", 13, "end")
        for i, (floor, things) in enumerate(zip(floors, LEVELS, strict=True)):
            d.board(140 + 56 * i, y, 9, floor, things)
    d.text(75, 22, "condition", "soft", 12)
    d.text(245, 22, "levels (32 of them)", "soft", 12)
    d.arrow((370, 110), (430, 110))
    d.rect(438, 34, 300, 160)
    for i, words in enumerate(
        (
            "for every seed, arm and state:",
            "V(s), gates, shard values, D(a | s)",
            "",
            "for every state:",
            "V*(s), the exact optimal value",
        )
    ):
        d.text(456, 66 + 25 * i, words, "soft" if i % 3 == 0 else "ink", 13, "start")
    return 212


def verdicts(d: Drawing) -> int:
    zero, unit = 400.0, 420.0
    margin = 0.2
    left, right = zero - unit * margin, zero + unit * margin
    d.rect(left, 34, right - left, 168, GREEN, "box", 0.12, 0)
    d.line((zero, 34), (zero, 202), "line", 1)
    for x, words in ((left, "-margin"), (zero, "0"), (right, "+margin")):
        d.line((x, 34), (x, 202), "line", 1, dashed=x != zero)
        d.text(x, 24, words, "soft", 12)
    for i, (name, low, high, colour) in enumerate(
        (
            ("shard", 0.28, 0.5, GREEN),
            ("network", -0.52, -0.3, ORANGE),
            ("no difference", -0.09, 0.07, BLUE),
            ("undecided", -0.05, 0.34, "soft"),
        )
    ):
        y = 58 + 38 * i
        d.text(20, y + 5, name, bold=True, anchor="start")
        d.line((zero + unit * low, y), (zero + unit * high, y), colour, 3)
        d.circle(zero + unit * (low + high) / 2, y, 6, colour)
    d.text(
        400,
        224,
        "effect: sharded - mlp, mean over seeds with a 95 % interval",
        "soft",
        12,
    )
    return 238


def agent(d: Drawing) -> int:
    d.board(20, 52, 18)
    d.text(65, 166, "state s", "soft", 12)
    d.arrow((116, 97), (166, 97))
    d.box(170, 62, 90, 70, "E", BLUE, "encoder")
    d.arrow((264, 84), (336, 50))
    d.arrow((264, 110), (336, 144))
    d.box(340, 20, 120, 60, "D", PURPLE, "action decoder")
    d.box(340, 114, 120, 60, "V", ORANGE, "value head")
    d.arrow((464, 50), (536, 84))
    d.arrow((464, 144), (536, 110))
    d.box(
        540,
        62,
        200,
        70,
        "D(a|s) exp(Q(s,a) / tau)",
        GREEN,
        "policy: D proposes, V corrects",
    )
    d.text(640, 152, "Q(s,a) = r + gamma V(s')", "soft", 12)
    return 190


FIGURES: dict[str, Callable[[Drawing], int]] = {
    figure.__name__.replace("_", "-"): figure
    for figure in (
        agent,
        encoder,
        decoder,
        value_head,
        shards,
        arms,
        phases,
        battery,
        verdicts,
    )
}


def draw(name: str, theme: str) -> str:
    """One picture as an SVG file."""
    return svg(theme, FIGURES[name])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(""))
    parser.add_argument("--overwrite", action="store_true", help="replace pictures")
    options = parser.parse_args(arguments)
    paths = {
        (name, theme): options.out / f"{name}-{theme}.svg"
        for name in FIGURES
        for theme in THEMES
    }
    try:
        for path in paths.values():
            files.check_new(path, options.overwrite)
    except files.PathError as error:
        parser.error(str(error))
    for (name, theme), path in paths.items():
        files.write_text(path, draw(name, theme))


if __name__ == "__main__":
    main()
