"""What lies in a run folder: the names of its files, and the number of the format.

shardsim_run.json  the mark of a run: number of the format, and who wrote it
run_files.jsonl    names of the files that the run wrote; no other is ever removed
config.yaml        the resolved config, from which the run can be repeated
provenance.json    versions, devices, flags, source revision
preregistration.json  the questions when training started, with time and revision
metrics.jsonl      one line for each chunk and arm, written during training
metrics.npz        the same as arrays, written at the end
parts/             while it is trained in parts: their run folders, and the plan
cells/, trained/   of a study: the run folders of its cells, and, until it is finished,
                   those of what they share
table.csv          of a study: a row for each cell and prediction
checkpoints/ARM/   training state (orbax), the newest two; until the run is finished
snapshots/ARM/     UPDATE.npz: log-spaced updates before the end. E, D and V by dotted
                   name, or V, D and the shards in the states that the page shows
weights/ARM.npz    E, D and V at the end, by dotted name
trained.json       the arms that are trained to the end, and what they depend on
results.json       every number of the report
maps.npz, .json    V, policy, gates and shard values on the boards that the report draws
report.html, figures/
trackers/          what TensorBoard and Weights & Biases show, if `log` asks for them
timing.json        wall time; in a file of its own, because all else is reproducible
"""

FORMAT = 3
"""Version of the format of run folders: the names and fields of their files."""
FORMAT_FILE = "shardsim_run.json"
"""The mark of a run: the format of the folder and the version that wrote it."""
LIST_FILE = "run_files.jsonl"
"""One line for each file that the run wrote: `file`, and of a text its `sha256`. A
checkpoint is one line, for its folder."""
CONFIG_FILE = "config.yaml"
"""The resolved config."""
TRACKERS = "trackers"
"""Folder that trackers write to."""
PARTS = "parts"
"""Folder of the run folders of parts of a run, while it is trained in parts."""
CELLS, POOLS = "cells", "trained"
"""Folders of the runs of a study: of its cells, and of what they share."""
COMMIT_FILE = "commit.json"
"""The mark, in the folder of parts, that files of a longer run are being moved."""

RESERVED_NAMES = (
    *(
        PARTS,
        CELLS,
        POOLS,
        "table.csv",
        "checkpoints",
        CONFIG_FILE,
        "figures",
        "maps.json",
        "maps.npz",
    ),
    *("metrics.jsonl", "metrics.npz", "preregistration.json", "provenance.json"),
    *("report.html", "results.json", LIST_FILE, FORMAT_FILE, "snapshots"),
    *("timing.json", TRACKERS, "trained.json", "weights"),
)
"""Names of files and folders of a run, which other outputs must not overwrite."""
REWRITTEN = (
    *("maps.json", "maps.npz", "metrics.npz", "report.html", "results.json"),
    *("table.csv", "timing.json", "trained.json", "figures/*.svg", "weights/*.npz"),
)
"""Patterns of the files that a run writes when its training is over."""
CHECKPOINTS = ("checkpoints/*/*", "checkpoints/*.refused*")
"""Patterns of checkpoints, which are folders that come and go."""
