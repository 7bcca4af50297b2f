"""What `docs/conventions_3d.md` states is tested: every section is cited by a test."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
CITATION = re.compile(r"[Ss]ections? (\d(?:(?:, | and )\d)*)\b")


def cited_by_tests() -> dict[int, list[str]]:
    """Section -> test files that cite it and name the page."""
    cited: dict[int, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if path == Path(__file__) or "conventions_3d.md" not in text:
            continue
        for numbers in CITATION.findall(text):
            for number in re.findall(r"\d", numbers):
                cited.setdefault(int(number), []).append(path.name)
    return cited


def test_every_section_of_the_conventions_is_cited_by_a_test_and_every_citation_exists() -> None:
    page = (ROOT / "docs" / "conventions_3d.md").read_text(encoding="utf-8")
    sections = {int(number) for number in re.findall(r"^## (\d+)\.", page, flags=re.MULTILINE)}
    assert sections == set(range(1, 10))
    assert sections == set(cited_by_tests())


def test_pictures_of_the_conventions_exist_and_are_small() -> None:
    page = (ROOT / "docs" / "conventions_3d.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", page)
    assert pictures
    for picture in pictures:
        assert (ROOT / "docs" / picture).stat().st_size < 200_000
