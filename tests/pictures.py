"""The picture in the README, anew: ``python -m tests.pictures``, best on an idle machine.

The page is that of `suites/nightly.yaml --gate`, as Chromium shows it: nothing of it is drawn by hand.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.browser.looking import browser

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "report.png"
SIZE = {"width": 1180, "height": 1050}


def main() -> None:
    """Run the suite, and leave a picture of the first screen of its report."""
    with TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        command = ["run", "suites/nightly.yaml", "--gate", "--results", folder, "--html", str(page)]
        subprocess.run([sys.executable, "-m", "harness", *command], cwd=ROOT, check=True)
        with browser() as chromium:
            shown = chromium.new_page(viewport=SIZE)  # type: ignore[arg-type]  # theirs is a TypedDict
            shown.goto(page.as_uri())
            PICTURE.parent.mkdir(exist_ok=True)
            shown.screenshot(path=PICTURE)
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
