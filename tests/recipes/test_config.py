"""A run folder's memory: `config.json` is written, read back, and refused when it is damaged."""

import json

import pytest

from jensen import recipes
from jensen.recipes.config import Config, check_new, read_config, run_name

CONFIG = Config(recipes.get("iwae2-mnist"), seed=3, shape=(28, 28), device="cpu", devices=2, tensorboard=True)


@pytest.fixture
def run(tmp_path):
    (tmp_path / "config.json").write_text(CONFIG.to_json())
    return tmp_path


def test_a_configuration_comes_back(run):
    assert read_config(run) == CONFIG


def test_a_missing_folder_is_said_to_be_missing(tmp_path):
    with pytest.raises(ValueError, match=r"there is no run folder .*absent; `jensen fit` makes one"):
        read_config(tmp_path / "absent")


def test_a_folder_without_configuration_is_no_run(tmp_path):
    with pytest.raises(ValueError, match=r"is no run folder: it holds no config\.json"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is no JSON"),
        (CONFIG.to_json()[:200], "it is no JSON: line"),
        ("[]", 'it must be an object with "format"'),
        ('{"format": "jensen-run-0"}', 'it must be an object with "format": "jensen-run-1"'),
        (json.dumps({**json.loads(CONFIG.to_json()), "seed": "zero"}), "seed must be int, got 'zero'"),
        (json.dumps({**json.loads(CONFIG.to_json()), "recipe": None}), "recipe must be an object, got None"),
    ],
)
def test_a_damaged_configuration_is_refused(run, text, message):
    (run / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config.json is damaged: ") as caught:
        read_config(run)
    assert message in str(caught.value)


def test_a_new_run_takes_an_absent_or_empty_folder(tmp_path):
    check_new(tmp_path / "absent", overwrite=False)
    check_new(tmp_path, overwrite=False)


def test_a_run_that_never_began_may_be_replaced(run):
    check_new(run, overwrite=False)


def test_a_run_is_not_written_over_unless_told(run):
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "epoch-0001.safetensors").touch()
    with pytest.raises(
        ValueError, match=r"already holds a run; `jensen resume .*` goes on with it, --overwrite replaces"
    ):
        check_new(run, overwrite=False)
    check_new(run, overwrite=True)


def test_what_is_no_run_is_never_written_over(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="holds something that is no run"):
        check_new(tmp_path, overwrite=True)
    with pytest.raises(ValueError, match="is a file"):
        check_new(tmp_path / "thesis.tex", overwrite=True)


@pytest.mark.parametrize("form", ["jensen-study-1", "jensen-evidence-1"])
def test_a_study_is_never_written_over(tmp_path, form):
    (tmp_path / "config.json").write_text(json.dumps({"format": form}))
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="is the folder of a study or of an evidence"):
            check_new(tmp_path, overwrite=overwrite)
    (tmp_path / "config.json").write_bytes(b"{\xff damaged")
    check_new(tmp_path, overwrite=True)


def test_a_folder_is_named_after_what_was_changed():
    assert run_name("iwae-mnist", {"samples": None, "smoke": False}) == "iwae-mnist"
    assert run_name("iwae-mnist", {"samples": 5, "seed": 0}) == "iwae-mnist-samples5-seed0"


@pytest.mark.parametrize(("form", "command"), [("study", "jensen run STUDY"), ("evidence", "jensen evidence NAME")])
def test_the_folder_of_something_else_is_no_run_and_says_how_to_go_on(tmp_path, form, command):
    (tmp_path / "config.json").write_text(f'{{"format": "jensen-{form}-1"}}')
    with pytest.raises(ValueError, match=f"is the folder of a {form}; `{command}"):
        read_config(tmp_path)
