"""Studies: declared without torch, run part by part, taken up again, refused where a file is damaged."""

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from types import ModuleType

import pytest
import torch

from jensen.recipes import studies
from jensen.recipes.reproductions import markdown, rows
from jensen.recipes.results import Part, StudyConfig, read_results, write_results
from jensen.recipes.results import rows as table
from jensen.recipes.study import Study, change, require_positive
from jensen.recipes.studying import parts_of, run_study


@dataclass(frozen=True)
class Settings:
    repeats: int = 3
    rate: float = 0.1
    levels: tuple[float, ...] = (1.0, 2.0)
    method: str = "a"


@pytest.fixture
def calls():
    return []


@pytest.fixture
def study(monkeypatch, calls):
    """Three parts that draw from the global generator and write down that they were run."""

    def parts(settings, *, seed):
        def measure(name):
            calls.append(name)
            return {"mean": torch.randn(settings.repeats).tolist(), name: [float(seed)]}

        return {name: lambda name=name: measure(name) for name in ("one", "two", "three")}

    module = ModuleType("study_of_a_test")
    module.parts = parts
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return Study("test", "A study", (), "Numbers.", "study_of_a_test:parts", Settings(), Settings(repeats=1))


def config(study, **changes):
    return StudyConfig(study.name, changes.pop("seed", 0), replace(study.settings, **changes))


def stopped_in(calls, study, name):
    """The study with a part that is interrupted."""
    module = sys.modules["study_of_a_test"]
    whole = module.parts

    def parts(settings, *, seed):
        def stop():
            raise KeyboardInterrupt

        return {**whole(settings, seed=seed), name: stop}

    return module, whole, parts


def test_an_interrupted_study_goes_on_and_gives_the_same(study, calls, tmp_path, monkeypatch):
    module, whole, parts = stopped_in(calls, study, "two")
    module.parts = parts
    with pytest.raises(KeyboardInterrupt, match=r"1 of 3 parts are in .*; the same command goes on"):
        run_study(tmp_path / "a", study, config(study))
    assert list(read_results(tmp_path / "a")) == ["one"]
    module.parts = whole
    resumed = run_study(tmp_path / "a", study, config(study))
    assert calls == ["one", "two", "three"]
    at_a_stretch = run_study(tmp_path / "b", study, config(study))
    assert table(study, resumed) == table(study, at_a_stretch)
    assert list(resumed) == ["one", "two", "three"]
    other = run_study(tmp_path / "c", study, config(study, seed=1))
    assert table(study, other)[0].value != table(study, resumed)[0].value


def test_a_finished_study_is_not_run_again(study, calls, tmp_path):
    first = run_study(tmp_path, study, config(study))
    assert run_study(tmp_path, study, config(study)).keys() == first.keys()
    assert len(calls) == 3
    run_study(tmp_path, study, config(study, repeats=2), overwrite=True)
    assert len(calls) == 6


def test_a_part_that_is_missing_in_the_middle_is_put_in_its_place(study, tmp_path):
    whole = run_study(tmp_path, study, config(study))
    part = {name: whole[name] for name in ("one", "three")}
    (tmp_path / "results.json").write_text(write_results(part))
    assert list(run_study(tmp_path, study, config(study))) == ["one", "two", "three"]


def test_the_callers_random_numbers_are_left_alone(study, tmp_path):
    before = torch.get_rng_state()
    run_study(tmp_path, study, config(study))
    assert torch.equal(torch.get_rng_state(), before)


def test_other_settings_in_the_same_folder_are_refused(study, tmp_path):
    run_study(tmp_path, study, config(study))
    with pytest.raises(ValueError, match="holds this study with repeats=3 and not 5; choose another folder"):
        run_study(tmp_path, study, config(study, repeats=5))
    with pytest.raises(ValueError, match="seed=0 and not 1"):
        run_study(tmp_path, study, config(study, seed=1))
    with pytest.raises(ValueError, match="holds 'test', not 'other'"):
        run_study(tmp_path, replace(study, name="other"), config(study))


def test_a_folder_with_something_else_is_refused(study, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="holds something that is no study"):
        run_study(tmp_path, study, config(study))
    with pytest.raises(ValueError, match="is a file"):
        run_study(tmp_path / "thesis.tex", study, config(study))
    (tmp_path / "config.json").write_text('{"format": "jensen-run-1"}')
    with pytest.raises(ValueError, match='must be an object with "format": "jensen-study-1"'):
        run_study(tmp_path, study, config(study))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no JSON"),
        ('{"format": "jensen-results-1", "parts"', "is no JSON"),
        ("[]", 'must be an object with "format"'),
        ('{"format": "jensen-results-1"}', "parts must be an object, got None"),
        ('{"format": "jensen-results-1", "parts": {"one": 3}}', "one must be an object, got 3"),
        (
            '{"format": "jensen-results-1", "parts": {"one": {"seconds": 1, "values": {"x": ["a"]}}}}',
            r"one.values.x\[0\] must be a number, got 'a'",
        ),
        (
            '{"format": "jensen-results-1", "parts": {"ten": {"seconds": 1, "values": {}}}}',
            "this study has no part 'ten'",
        ),
    ],
)
def test_damaged_results_are_refused(study, calls, tmp_path, text, message):
    run_study(tmp_path, study, config(study))
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ValueError, match=message) as found:
        run_study(tmp_path, study, config(study))
    assert "results.json" in str(found.value)
    assert "--overwrite" in str(found.value)
    assert (tmp_path / "results.json").read_text() == text
    assert len(calls) == 3


def test_results_come_back_as_they_were(tmp_path):
    results = {"a": Part(1.5, {"x": (1.0, float("inf"))}), "b": Part(0.0, {})}
    (tmp_path / "results.json").write_text(write_results(results))
    assert read_results(tmp_path) == results
    assert json.loads(write_results(results))["parts"]["a"]["values"]["x"] == [1.0, "inf"]


def test_changes_are_read_by_their_type():
    changed = change(Settings(), ["repeats=5", "rate=1", "levels=0.5, 3", "method=5"])
    assert changed == Settings(repeats=5, rate=1.0, levels=(0.5, 3.0), method="5")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "repeat=3",
            "there is no setting 'repeat'; did you mean 'repeats'\\? There are: repeats, rate, levels, method",
        ),
        ("repeats", "written name=value, got 'repeats'"),
        ("repeats=many", "repeats must be int, got 'many'"),
        ("repeats=2.5", "repeats must be int, got 2.5"),
        ("levels=a", r"levels\[0\] must be float, got 'a'"),
    ],
)
def test_changes_that_make_no_sense(word, message):
    with pytest.raises(ValueError, match=message):
        change(Settings(), [word])


@pytest.mark.parametrize("changes", [{"repeats": 0}, {"rate": -1.0}, {"rate": float("nan")}, {"levels": ()}])
def test_numbers_that_make_no_experiment(changes):
    with pytest.raises(ValueError, match=f"{next(iter(changes))} must be positive"):
        require_positive(replace(Settings(), **changes))
    require_positive(replace(Settings(), **changes), zero=tuple(changes))


def test_settings_of_two_kinds_are_refused(study):
    with pytest.raises(ValueError, match="of one dataclass, got Settings and int"):
        replace(study, smoke=3)
    with pytest.raises(ValueError, match="'module:name'"):
        replace(study, function="module.name")


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'worm-identities'"):
        studies.get("worm-identity")


@pytest.mark.parametrize("name", studies.names())
def test_every_number_has_a_part_that_measures_it(name):
    """The names in published and measured numbers are those of the table, letter by letter."""
    study = studies.get(name)
    assert f"\n## `{name}`\n" in markdown()
    assert study.measured
    assert len(study.title) <= 56
    whats = {entry.what for entry in study.measured}
    assert {entry.what for entry in study.published} <= whats
    assert len(rows(study)) >= len(whats)


@pytest.mark.parametrize("name", ["toys-variance", "toys-descent"])
def test_toys_measure_what_is_declared(name):
    study = studies.get(name)
    assert list(parts_of(study, config(study))) == [entry.what for entry in study.measured]


def test_the_measured_variance_is_the_exact_one():
    study = studies.get("toys-variance")
    measured = {entry.what: entry for entry in study.measured}
    exact = [entry for entry in study.published if entry.source.startswith("exact")]
    assert len(exact) == 16
    for entry in exact:
        assert abs(measured[entry.what].value - entry.value) < 4.56 * measured[entry.what].error, entry.what


def test_nothing_imports_torch_to_declare():
    program = (
        "import sys; from jensen.recipes import studies; studies.get('toys-descent'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
