"""`jensen evaluate --ais`: the table, the file, what it refuses."""

import pytest

from jensen.cli import main
from jensen.evaluation import AnnealedEvaluation
from jensen.recipes import annealing
from jensen.report.ais import annealed_section

AIS = ["--ais", "--ais-temperatures", "4", "--ais-chains", "3", "--ais-simulated", "5", "--limit", "7"]


def test_both_sides_are_shown_and_written(run, capsys):
    assert main(["evaluate", str(run), "--samples", "20", "--limit", "7", "--no-progress"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(run), *AIS, "--no-progress"]) == 0
    out = capsys.readouterr().out
    for words in ("4 temperatures", "AIS, from below", "AIS, from above", "IWAE, k = 20", "5 simulated", "both sides"):
        assert words in out
    assert out.splitlines()[-1] == f"written: {run / 'annealed.json'}"
    found = AnnealedEvaluation.from_json((run / "annealed.json").read_text())
    assert (found.temperatures, found.chains, found.simulated, found.data) == (4, 3, 5, 7)
    assert annealing.load_annealed(run) == found


def test_it_is_on_the_page_and_gone_with_the_run(run, capsys):
    assert main(["evaluate", str(run), *AIS, "--no-progress"]) == 0
    assert main(["report", str(run), "--device", "cpu"]) == 0
    page = (run / "report.html").read_text()
    assert "Annealed importance sampling" in page
    assert "AIS, from above" in page
    words = ["fit", "vae-digits", "--smoke", "--device", "cpu", "--no-progress", "--overwrite", "--out", str(run)]
    assert main(words) == 0
    assert annealing.load_annealed(run) is None
    assert list(annealed_section(run, None)) == []


def test_a_damaged_file_says_how_to_write_it_anew(run):
    (run / "annealed.json").write_text("{}")
    with pytest.raises(ValueError, match=r"annealed\.json is damaged: .*`jensen evaluate .* --ais` writes it anew"):
        annealing.load_annealed(run)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ais-chains", "3"], "--ais-chains is a setting of annealed importance sampling; add --ais"),
        (["--ais", "--samples", "5"], "--samples are draws from the encoder"),
        (["--ais", "--ais-temperatures", "2"], "three temperatures or more"),
        (["--ais", "--limit", "0"], "limit must be at least 1"),
    ],
)
def test_settings_that_do_not_fit(run, words, message, capsys):
    assert main(["evaluate", str(run), *words, "--no-progress"]) == 1
    assert message in " ".join(capsys.readouterr().err.split())


def test_what_is_no_autoencoder_of_real_latents(tmp_path, capsys):
    for recipe, message in (
        ("bbb-digits", "this takes runs of an autoencoder"),
        ("discrete-vae-digits", "are discrete"),
    ):
        run = tmp_path / recipe
        assert main(["fit", recipe, "--smoke", "--device", "cpu", "--no-progress", "--out", str(run)]) == 0
        assert main(["evaluate", str(run), "--ais", "--no-progress"]) == 1
        assert message in " ".join(capsys.readouterr().err.split())
