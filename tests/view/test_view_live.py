"""A run while it goes on, and one that was killed."""

import os
import re
import signal
from pathlib import Path

import pytest

from tests.view.viewing import SLOW, begun, until, viewing

pytestmark = pytest.mark.slow


def read(text: str) -> int:
    """How many results a page tells of."""
    found = re.search(r"<strong>([\d,]+)</strong> of 120 trials have a result", text)
    return int(found[1]) if found else 0


def test_a_run_is_shown_while_it_goes_on_and_after_it_was_killed(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    process = begun(SLOW, tmp_path, results)
    try:
        with viewing(results, cwd=tmp_path) as view:
            until(lambda: len(list(results.glob("slow/*/journal-0.jsonl"))) > 0)
            folder = next(path for path in (results / "slow").iterdir() if not path.is_symlink())
            page = f"/run/slow/{folder.name}"
            until(lambda: read(view.get(page).text) > 3)
            first = view.get(page).text
            assert "going on" in first
            assert 'data-refresh="2000"' in first
            until(lambda: read(view.get(page).text) > read(first))
            text = view.get(f"{page}?state=ungraded").text
            assert "not graded yet: file://checks.py:fine" in text or "not graded yet: fine" in text
            assert not (tmp_path / "ran").exists(), "code of the suite was run"
            passed = view.get(f"{page}?state=passed").text
            trial = re.findall(r"/trial/([0-9a-f]{16})", passed)[0]
            assert '<svg class="time wide"' in view.get(f"{page}/trial/{trial}").text

            process.send_signal(signal.SIGKILL)
            process.wait()
            written = folder.stat().st_mtime - 120
            for path in folder.iterdir():
                os.utime(path, (written, written))
            killed = view.get(page).text
            assert "it was killed" in killed
            assert f"harness grade {folder.name}" in killed
            assert "data-refresh" not in killed
            assert read(killed) >= read(first)
            assert "killed, or silent" in view.get("/").text
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
