import subprocess
import sys

import pytest

from jensen import datasets


def test_the_default_needs_no_download(monkeypatch, no_network):
    monkeypatch.delenv("JENSEN_DATA", raising=False)
    assert datasets.load().name == "digits"
    assert no_network == []


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("mnits", "mnist"),
        ("MNIST", "mnist"),
        ("fashion-mnist", "fashion_mnist"),
        ("omniglots", "omniglot"),
        ("freyfaces", "frey"),
    ],
)
def test_an_unknown_name_gets_the_nearest_one(wrong, right):
    with pytest.raises(ValueError, match=f"unknown data set '{wrong}'; did you mean '{right}'") as caught:
        datasets.load(wrong)
    for name in datasets.names():
        assert name in str(caught.value)


def test_a_name_like_no_other_gets_the_list():
    with pytest.raises(ValueError, match="unknown data set 'imagenet64x64'; choose one of: digits, mnist, "):
        datasets.load("imagenet64x64")


@pytest.mark.parametrize("name", datasets.names())
def test_every_set_refuses_an_unknown_split_before_it_reads_a_file(name, folder, no_network):
    with pytest.raises(ValueError, match=f"unknown split of {name} 'nosuch'"):
        datasets.load(name, split="nosuch")
    assert no_network == []


def test_heavy_libraries_are_imported_only_when_needed():
    code = (
        "import sys, jensen.datasets; print([m for m in ('sklearn', 'scipy', 'pooch', 'requests') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
