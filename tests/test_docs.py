"""The reference pages say what the code has, no more and no less."""

import re
from pathlib import Path

from agents.runtime import settings as agents_settings
from backend import error_responses, errors
from backend.config.settings import env
from contract import names
from contract.engines import CATALOGUE
from speech import settings as speech_settings
from tools import local_settings

DOCS = Path(__file__).resolve().parents[1] / "docs"


def codes(page: str) -> set[str]:
    """What stands in backticks at the beginning of a table's rows."""
    rows = re.findall(r"^\| (`[^|]+) \|", (DOCS / page).read_text(), flags=re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def subclasses(kind: type) -> set[type]:
    return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))


def test_every_error_code_is_in_the_reference() -> None:
    ours = {kind.code for kind in subclasses(errors.AppError) - {errors.AppError}}
    frameworks = {code for code, _ in error_responses.FRAMEWORK_CODES.values()}

    assert codes("reference/errors.md") == ours | frameworks


def test_every_caption_attribute_is_in_the_reference() -> None:
    attributes = {value for name, value in vars(names).items() if name.startswith("ATTRIBUTE_")}

    assert codes("reference/segments.md") == attributes


def test_every_setting_is_in_the_reference() -> None:
    backend = set(env.scheme)
    agents = {setting.name for setting in agents_settings.SETTINGS}
    speech = {setting.name for setting in speech_settings.SETTINGS}

    assert codes("reference/settings.md") == backend | agents | speech | set(local_settings.VARIABLES)


def test_no_setting_of_the_backend_is_read_past_the_table() -> None:
    source = (DOCS.parent / "src/backend/config/settings.py").read_text()
    read = set(re.findall(r"(?:env(?:\.\w+)?|secret)\(\s*\"([A-Z_]+)\"", source))

    assert read == set(env.scheme)


def test_every_engine_has_a_page_that_says_the_same_things_as_the_others() -> None:
    index = (DOCS / "how-to/engines.md").read_text()
    pages = dict(re.findall(r"^\| `(\w+)` \| \[[^]]+\]\(([^)]+)\)", index, flags=re.MULTILINE))

    assert set(pages) == set(CATALOGUE)
    for page in pages.values():
        headings = re.findall(r"^## (.+)$", (DOCS / "how-to" / page).read_text(), flags=re.MULTILINE)
        assert headings == [
            "What you need",
            "Set it up",
            "What it can do",
            "What it costs",
            "When it fails",
            "What was tested how",
        ], page


def test_every_link_between_pages_leads_somewhere() -> None:
    pages = [DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md", *DOCS.rglob("*.md")]
    broken = [
        f"{page.relative_to(DOCS.parent)} -> {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]

    assert broken == []
