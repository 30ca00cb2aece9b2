"""Every link of every page leads somewhere, and what is named is there."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import ROOT
from tests.docs.written import PAGES, anchors, inline, links, named

_PATH = re.compile(r"(?:docs|harness|results|suites|tests|\.ci)/[\w./-]+\.(?:json|md|py|toml|txt|ya?ml)")
_MADE = re.compile(r"results/(?!README)")
"""What a run leaves is in no repository."""


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_relative_link_leads_to_a_file_and_a_heading_that_there_are(page: Path) -> None:
    broken = []
    for link in links(page):
        split = urlsplit(link)
        if split.scheme or split.netloc:
            continue
        target = (page.parent / unquote(split.path)).resolve() if split.path else page
        if not target.exists() or (split.fragment and split.fragment not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=named)
def test_every_file_of_ours_that_is_named_is_there(page: Path) -> None:
    told = {word for code in inline(page) for word in _PATH.findall(code) if not _MADE.match(word)}
    assert {path for path in told if not (ROOT / path).exists()} == set()


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    told = {(index.parent / urlsplit(link).path).resolve() for link in links(index)}
    assert {named(page) for page in set(PAGES) - told - {index}} == set()
