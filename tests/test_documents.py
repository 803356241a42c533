"""What documents name is there: verbs with their options, modules, paths, goals of make, links."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from pipelines import cli

ROOT = Path(__file__).parent.parent
PAGES = [
    *sorted(ROOT.glob("docs/*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md")),
    *sorted(ROOT.glob("data/*.yaml")),
    *sorted(ROOT.glob("pipelines/*.yaml")),
    *sorted(ROOT.glob("deploy/*/*.yaml")),
]
PROGRAM = typer.main.get_command(cli.app)
MADE_UP = "hangar"
"""Of the examples on how to add one of a kind: they are not there yet."""
BUILT = "data/store/"
"""The store is built of the bundled files when it is first read."""
COMMAND = re.compile(r"\bcloudarb ((?:[a-z]+[a-z-]* ?)+)([^`\n#&;]*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
MODULE = re.compile(r"python -m (benchmarks(?:\.\w+)+)")
FOLDERS = "docs|tests|data|pipelines|cloudarb_lib|benchmarks|notebooks|deploy"
PATH = re.compile(rf"`((?:{FOLDERS})/[\w./*-]+)`")
GOAL = re.compile(r"`make ([a-z-]+)`")
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def options_of(command: object) -> set[str]:
    parameters = getattr(command, "params", [])
    named = {name for p in parameters for name in (*p.opts, *p.secondary_opts)}
    return named | {"--help"}


def wrong_commands(text: str) -> Iterator[str]:
    """Yield commands whose verb, or one of whose options, there is not."""
    for words, further in COMMAND.findall(text):
        found = PROGRAM
        named = words.split()
        while named and named[0] in getattr(found, "commands", {}):
            found = found.commands[named.pop(0)]
        said = f"cloudarb {words}{further}"
        is_unknown = hasattr(found, "commands") and named
        if is_unknown or not set(OPTION.findall(said)) <= options_of(found):
            yield said


def missing(text: str, folder: Path) -> Iterator[str]:
    """Yield modules, paths, goals and links that lead nowhere."""
    for module in MODULE.findall(text):
        if not (ROOT / f"{module.replace('.', '/')}.py").exists():
            yield module
    for path in PATH.findall(text):
        is_there = any(ROOT.glob(path.rstrip("/"))) or (ROOT / f"{path}.py").exists()
        if not is_there and MADE_UP not in path and not path.startswith(BUILT):
            yield path
    goals = (ROOT / "Makefile").read_text(encoding="utf-8")
    yield from (goal for goal in GOAL.findall(text) if f"\n{goal}:" not in goals)
    for target in LINK.findall(text):
        if "://" not in target and not (folder / target).exists():
            yield target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_names_is_there(page):
    text = page.read_text(encoding="utf-8")
    assert list(wrong_commands(text)) == []
    assert list(missing(text, page.parent)) == []


@pytest.mark.parametrize(
    "text",
    [
        "`cloudarb rum weekly.yaml`",
        "`cloudarb run weekly.yaml --sett a=b`",
        "`cloudarb schedule instal weekly.yaml`",
        "`cloudarb events tail --ded`",
        "`python -m benchmarks.stores`",
        "`docs/alocation.md`",
        "`make reports`",
        "[more](nowhere.md#part)",
    ],
)
def test_what_is_not_there_is_seen(text):
    assert len([*wrong_commands(text), *missing(text, ROOT)]) == 1
