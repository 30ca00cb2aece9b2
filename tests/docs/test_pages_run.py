"""What a page shows is what happens: its suites are run by its commands, and print its output."""

from pathlib import Path

import pytest

from tests.docs.pages import ROOT, commands, missing, run, sections, write_files

RUN = ("README.md", "docs/standin.md")
"""Pages whose commands are run. The others take too long, or need more than this machine."""

TRIES = 3
"""How often a section is run where this machine was too slow for it, which is no fault of the page."""


def _wrong(page: Path, heading: str, folder: Path) -> str:
    """What the first command of a section that does not do as the page says did instead."""
    folder.mkdir()
    write_files(page, heading, folder)
    for command in commands(sections(page)[heading]):
        code, printed = run(command, folder)
        lost = [f"not printed: {line}" for line in missing(command.printed, printed)]
        told = {command.exit_code, 3} if "verdict: client-bound" in printed else {command.exit_code}
        if lost or code not in told:
            return "\n".join((f"$ {command.line}", f"exit {code}, not {command.exit_code}", *lost, printed))
    return ""


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("page", "heading"), [(page, heading) for page in RUN for heading in sections(ROOT / page)]
)
def test_a_page_shows_what_happens(page: str, heading: str, tmp_path: Path) -> None:
    for at in range(TRIES):
        wrong = _wrong(ROOT / page, heading, tmp_path / str(at))
        if "client-bound" not in wrong:
            break
    assert not wrong, wrong


def test_a_line_that_was_not_printed_is_found_whatever_its_figures() -> None:
    said = ["passed  12 of 24", "...", "failed  refund [new] ... '30 days'", "gate: pass"]
    printed = "passed   7 of 9\nmore\nfailed  refund [new] x3: has no '14 days'\n"
    assert missing(said, printed + "gate: pass  for now\n") == ["gate: pass"]
    assert missing(said, "gate: pass\n" + printed) == ["gate: pass"]
    assert missing(said, printed + "gate: pass\n") == []


def test_a_section_has_its_commands_their_output_and_what_they_end_with(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert list(sections(page)) == ["Runs"]
    first, second = commands(sections(page)["Runs"])
    assert (first.line, first.printed, first.exit_code) == ("cat a.yaml", ("x: 1",), 0)
    assert (second.line, second.printed, second.exit_code) == ('false; echo "exit $?"', (), 1)
    write_files(page, "Runs", tmp_path)
    assert run(first, tmp_path) == (0, "# a.yaml\nx: 1\n")
    assert run(second, tmp_path)[0] == 1
    assert not (tmp_path / "later.yaml").exists()


PAGE = """
# Page
```yaml
# a.yaml
x: 1
```
## Runs
```sh
$ cat a.yaml
```
```text
x: 1
```
```console
$ false; echo "exit $?"
exit 1
```
## Later
```yaml
# later.yaml
x: 2
```
```sh
harness run for-people.yaml
```
"""
