"""Every message reads as docs/development/style.md says: rows of the diagnosis, and every place that makes an error."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tfgrid_compose.errors import GridError
from tfgrid_compose.observe.diagnosis import Failure, all_failures, diagnose

ROOT = Path(__file__).resolve().parents[2]

# Words that begin with a capital wherever they stand.
NAMES = {"Ansible", "Docker", "Terraform", "OpenTofu", "WireGuard", "Debian", "Linux", "Python", "Kubernetes"}

# Places that make an error without a reason or a next command, and why that is right. (module, what): why.
BARE = {
    ("cli/common.py", "nothing was changed"): "the user said no: there is nothing to explain and nothing to do",
    ("cli/main.py", "…"): "click's own words say what and why",
    ("cli/secrets.py", "--passphrase-file goes with --to passphrase"): "it is its own reason",
    ("cli/secrets.py", "the two passphrases differ"): "it is its own reason",
    ("cli/secrets.py", "the value of … is empty"): "it is its own reason",
    ("deploy/lookup.py", "the app in this folder is not deployed"): "it is its own reason",
    ("deploy/lookup.py", "nothing is deployed"): "it is its own reason",
    ("deploy/lookup.py", "the app in … is not deployed"): "it is its own reason",
    ("state/deployments.py", "there is no deployment …"): "it is its own reason",
    ("localgrid/deployments.py", "…"): "an AddressError's own words, in the provider's manner; the table knows them",
    ("localgrid/networks.py", "…"): "an AddressError's own words, in the provider's manner; the table knows them",
    ("localgrid/provider/deployment.py", "the local grid has no …"): "it is its own reason",
    ("localgrid/provider/server.py", "the local grid has no data source …"): "it is its own reason",
    ("localgrid/provider/server.py", "resource … doesn't support import"): "the real provider's words; only `terraform import` meets them",
    ("localgrid/snapshots.py", "there is no machine to take a snapshot of"): "TO MEND: it has no next command",
    ("localgrid/snapshots.py", "there is no snapshot `…`"): "TO MEND: it has no next command",
}  # fmt: skip


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "scripts" / "generate_docs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


GENERATOR = _generator()
TREES = GENERATOR.source_trees()
CLASSES = GENERATOR.error_classes(TREES)
SITES: list[Any] = GENERATOR.error_sites(TREES, CLASSES)


def faults(text: str) -> list[str]:
    """What the style does not allow in a part of a message; `…` stands for what is filled in."""
    found = []
    first = text.split(" ")[0]
    is_name = re.sub(r"('s)?[:,]?$", "", first) in NAMES or not first[1:].islower()
    if first[:1].isupper() and not is_name:
        found.append("a capital at its start")
    if re.search(r"(?<!\.)\.$", text):
        found.append("a full stop at its end")
    if "!" in re.sub(r"`[^`]*`", "", text):
        found.append("an exclamation mark")
    if re.search(r"\b(please|simply|sorry|oops)\b", text, re.IGNORECASE):
        found.append("a word too many")
    if text != text.strip() and not text.endswith(" "):
        found.append("a blank around it")
    return found


def commands_without_backticks(fix: str) -> bool:
    """A command within a sentence stands in backticks; one that is all of the fix can be copied as it is."""
    return bool(re.search(r"\b(run|with|again:|then|or) tfgrid-compose ", re.sub(r"`[^`]*`", "", fix)))


@pytest.mark.parametrize(
    ("text", "count"),
    [("a tidy one", 0), ("Terraform failed", 0), ("TFT are missing", 0), ("`x` failed", 0), ("Wrong one", 1), ("it broke.", 1),
     ("and so on ...", 0), ("no!", 1), ("`bash -c '!x'` failed", 0), ("please run it", 1), ("Simply run it.", 3)],
)  # fmt: skip
def test_the_style_is_told_from_its_opposite(text: str, count: int) -> None:
    assert len(faults(text)) == count


# Rows of the diagnosis


@pytest.mark.parametrize("row", all_failures(), ids=lambda row: row.code)
def test_rows_follow_the_style(row: Failure) -> None:
    for text in (row.reason, row.fix_for("my-app"), row.fix_for("")):
        assert text and faults(text) == [], text
    assert "\n" not in row.reason + row.fix
    assert len(row.reason) <= 100, "one sentence that a terminal shows in one line"
    assert ". " not in row.reason, "one sentence"
    assert not commands_without_backticks(row.fix)
    assert re.sub(r" \{name\}", "", row.fix).count("{name}") == 0, "a blank stands before {name}, so that it can be left out"
    assert row.fix.count("`") % 2 == 0 and row.about.count("`") % 2 == 0


@pytest.mark.parametrize("row", all_failures(), ids=lambda row: row.code)
def test_pages_of_rows_are_whole_sentences(row: Failure) -> None:
    assert row.about.endswith(".") and "  " not in row.about
    sentences = re.split(r"(?<=[.:]) (?=[A-Z`]|\d)", row.about)
    assert 1 <= len(sentences) <= 6
    assert not re.search(r"\b(please|simply|sorry|oops)\b|!", re.sub(r"`[^`]*`", "", row.about), re.IGNORECASE)
    assert row.about != row.reason and len(row.about) > len(row.reason) // 3


def test_commands_of_rows_exist() -> None:
    from tfgrid_compose.cli.main import COMMANDS

    for row in all_failures():
        text = f"{row.fix_for('')} {row.about}"
        for word in re.findall(r"(?:^|`)tfgrid-compose ([a-z][a-z-]+)", text):
            assert word in COMMANDS, (row.code, word)


# Errors


def test_the_sites_are_found() -> None:
    assert len(SITES) > 120
    assert {"hook-failed", "deployment-not-found", "node-full"} <= {site.code for site in SITES}


@pytest.mark.parametrize("site", SITES, ids=lambda site: f"{site.module}:{site.code}:{site.line}")
def test_errors_follow_the_style(site: Any) -> None:
    for part in ("what", "why", "fix"):
        for text in getattr(site, part).split(" / "):
            assert faults(text) == [], f"{site.module}:{site.line} {part}: {text}"


def is_known(site: Any) -> bool:
    """Whether reason and next command come from elsewhere.

    What the local grid says in the provider's words, the table of diagnoses explains. The texts of a `CommandError` are
    made from what its program printed.
    """
    if site.error == "CommandError":
        return True
    return site.module.startswith("localgrid/") and diagnose(GridError(site.what)) is not None


def test_every_error_has_a_reason_and_a_next_command() -> None:
    bare = {(site.module, site.what): site.line for site in SITES if not (site.why and site.fix) and not is_known(site)}
    missing = [f"{module}:{bare[module, what]} {what}" for module, what in sorted(bare) if (module, what) not in BARE]
    assert missing == [], "give them `why` and `fix`, a row in observe/diagnosis, or an entry in BARE with its reason"
    assert set(BARE) - set(bare) == set(), "these have both by now: take them out of BARE"


@pytest.mark.parametrize("error", CLASSES.values(), ids=lambda error: error.name)
def test_classes_say_in_one_sentence_what_they_are(error: Any) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", error.code)
    assert error.doc.endswith(".") and "!" not in error.doc


def test_codes_are_in_kebab_case() -> None:
    for site in SITES:
        assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", site.code), f"{site.module}:{site.line}"
