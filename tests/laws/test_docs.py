"""The samples in README and docs run, the command lines in them are understood, every public name has its page."""

import contextlib
import dataclasses
import doctest
import importlib
import io
import re
import shlex
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from package_source import ROOT, sources

FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
COMMAND = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?jensen( .*)?$")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ROOMS = [source.module for source in sources() if source.is_package and len(source.parts) == 2]


def samples(text: str, *languages: str) -> Iterator[tuple[int, str]]:
    """Line number and code of each fenced sample in one of the languages."""
    for fence in FENCE.finditer(text):
        if fence["language"] in languages:
            indent = len(fence["indent"])
            yield (
                text[: fence.start()].count("\n") + 2,
                "".join(each[indent:] + "\n" for each in fence["code"].splitlines()),
            )


def run_samples(text: str, name: str) -> None:
    """Run the Python samples of a page one after the other, in one namespace.

    A `python` sample must not raise; a `pycon` sample must also print what it says.
    """
    module = types.ModuleType("page")
    for line, code in samples(text, "python", "py", "pycon"):
        if ">>>" not in code:
            exec(compile("\n" * (line - 1) + code, name, "exec"), module.__dict__)
            continue
        parsed = doctest.DocTestParser().get_doctest(code, module.__dict__, name, name, line - 1)
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
        said: list[str] = []
        runner.run(parsed, out=said.append, clear_globs=False)
        module.__dict__.update(parsed.globs)
        if said:
            raise AssertionError("".join(said))


def command_lines(text: str) -> Iterator[list[str]]:
    """The arguments of each `jensen ...` line in a shell sample."""
    for _, code in samples(text, "bash", "sh", "console", "shell"):
        for line in code.replace("\\\n", " ").splitlines():
            if found := COMMAND.match(line.partition("  #")[0].strip()):
                yield shlex.split(found[1] or "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_samples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng(), contextlib.redirect_stdout(io.StringIO()):
        torch.manual_seed(0)
        run_samples(page.read_text("utf-8"), str(page))


def shown(page: str) -> set[str]:
    """What the `:::` lines of a reference page name."""
    return set(re.findall(r"^::: (\S+)$", page, re.MULTILINE))


def missing_from_the_reference(room: str, page: str) -> list[str]:
    """Public names of a room that its page does not show.

    A function in a file of its own name is hidden behind that file, so it needs a `:::` line with its whole
    address; so does a module.
    """
    package = importlib.import_module(room)
    files = {source.parts[-1] for source in sources() if source.parts[:-1] == tuple(room.split("."))}
    lines = shown(page)
    missing = [] if room in lines else [room]
    for name in package.__all__:
        is_module = isinstance(getattr(package, name), types.ModuleType)
        address = f"{room}.{name}" if is_module else f"{room}.{name}.{name}"
        if (is_module or name in files) and address not in lines:
            missing.append(address)
    return missing


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_has_a_place_in_the_reference(room):
    page = ROOT / "docs" / "api" / f"{room.partition('.')[2]}.md"
    assert page.exists(), f"{page} is missing"
    assert missing_from_the_reference(room, page.read_text("utf-8")) == []


def test_a_missing_name_is_caught():
    assert missing_from_the_reference("jensen.bounds", "::: jensen.bounds\n") != []
    assert "jensen.models" in missing_from_the_reference("jensen.models", "no directive")


@pytest.mark.parametrize(
    "text",
    [
        "```python\n1 / 0\n```\n",
        "- a list\n\n    ```python\n    1 / 0\n    ```\n",
        "```pycon\n>>> 1 + 1\n3\n```\n",
        "```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n",
    ],
)
def test_a_wrong_sample_is_caught(text):
    with pytest.raises((ZeroDivisionError, AssertionError)):
        run_samples(text, "page")


def test_samples_share_a_page_and_only_that():
    run_samples(
        "```python\nx = 1\n```\n\n```pycon\n>>> x + 1\n2\n>>> y = 3\n```\n\n```python\nassert y == 3\n```\n", "one"
    )
    with pytest.raises(NameError):
        run_samples("```python\nx\n```\n", "two")


def test_command_lines_are_found():
    text = "```bash\njensen list\n.venv/bin/jensen fit iwae-digits \\\n  --out 'a b'  # note\nmake demo\n```\n"
    assert list(command_lines(text)) == [["list"], ["fit", "iwae-digits", "--out", "a b"]]


def misunderstood(text: str) -> list[str]:
    """Command lines that `jensen` would refuse, and why."""
    parsing = importlib.import_module("jensen.cli.parse")
    recipes = importlib.import_module("jensen.recipes")
    found = []
    for words in command_lines(text):
        try:
            options = parsing.parse(words)
            if words[0] == "fit":
                recipes.get(options.recipe)
            if words[0] == "run":
                recipes.studies.get(options.study)
        except (parsing.UsageError, ValueError) as error:
            found.append(f"jensen {' '.join(words)}: {error}")
        except SystemExit as stop:
            found += [f"jensen {' '.join(words)}"] if stop.code else []
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_command_lines_are_understood(page):
    with contextlib.redirect_stdout(io.StringIO()):
        assert misunderstood(page.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "jensen fti",
        "jensen fit iwae-digits --sample 5",
        "jensen fit iwae-mnits",
        "jensen fit --epochs x",
        "jensen run toy",
    ],
)
def test_a_wrong_command_line_is_caught(line):
    assert len(misunderstood(f"```bash\n{line}\n```\n")) == 1


def test_the_page_of_reproductions_is_that_of_the_recipes():
    from jensen.recipes.reproductions import markdown

    assert (ROOT / "docs" / "reproductions.md").read_text("utf-8") == markdown(), "run `make reproductions`"


def test_a_stale_page_of_reproductions_is_caught(monkeypatch):
    from jensen.recipes import catalogue, reproductions

    before = reproductions.markdown()
    first = catalogue.get()
    budget = dataclasses.replace(first.budget, epochs=first.budget.epochs + 1)
    monkeypatch.setitem(catalogue.CATALOGUE, first.name, dataclasses.replace(first, budget=budget))
    assert reproductions.markdown() != before


def links(page: Path) -> Iterator[str]:
    yield from re.findall(r"\]\(((?!https?:|#|mailto:)[^)#\s]+)", FENCE.sub("", page.read_text("utf-8")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    assert [link for link in links(page) if not (page.parent / link).exists()] == []
