"""Pictures of the report and of the interactive page of a run.

Command:  python docs/figures/screenshots.py runs/quickstart --overwrite

Writes docs/figures/quickstart.png and inspection.png, drawn by a headless Chromium
from report.html of the run and from a page that `shardsim inspect` makes.
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from shardsim.core import files
from shardsim.reports.explorer import make
from shardsim.storage import run_files, run_folder

HERE = Path(__file__).parent
SIZES = {"quickstart.png": (1010, 1204, 1.4), "inspection.png": (1400, 1120, 1)}
"""Width and height of each page, and pixels of the picture for each of the page."""
VIEW = "#maze=2"
"""What the page shows: the first level on which all contexts hold at once."""


def shoot(browser: str, page: str, out: Path) -> None:
    """Write a picture of a page.

    Args:
      browser: the command of a Chromium.
      page: address of the page.
      out: the PNG; its name says the size.
    """
    width, height, scale = SIZES[out.name]
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        words = [browser, "--headless", "--no-sandbox", "--disable-gpu"]
        words += ["--hide-scrollbars", "--virtual-time-budget=20000"]
        words += [
            f"--user-data-dir={folder}/profile",
            f"--window-size={width},{height}",
        ]
        words += [f"--force-device-scale-factor={scale}"]
        words += [f"--screenshot={picture}", page]
        subprocess.run(words, check=True, stderr=subprocess.DEVNULL)
        with files.replacing(out) as file:
            file.write(picture.read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the pictures")
    parser.add_argument("--overwrite", action="store_true", help="replace pictures")
    options = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        parser.error("chromium: not found; allowed: a machine that has it")
    try:
        for name in SIZES:
            files.check_new(options.out / name, options.overwrite)
        report = run_folder.open_run(options.run) / "report.html"
    except (files.PathError, run_files.RunError) as error:
        parser.error(str(error))
    shoot(browser, report.resolve().as_uri(), options.out / "quickstart.png")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        make.inspect([options.run], page, quick=True)
        shoot(browser, page.as_uri() + VIEW, options.out / "inspection.png")


if __name__ == "__main__":
    main()
