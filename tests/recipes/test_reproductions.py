"""The page of reproductions shows published numbers beside ours, and says where ours are missing."""

from dataclasses import replace

import pytest

from jensen import recipes
from jensen.recipes import Measured, catalogue
from jensen.recipes.reproductions import markdown, rows

OURS = Measured(
    what="NLL, k = 5",
    value=87.654,
    error=0.321,
    data="MNIST, 10,000 test images",
    budget="40 epochs",
    hardware="2 cores",
    seed=0,
    date="2025-01-31",
    active="21",
)


def test_a_missing_number_is_said_to_be_missing():
    published = [row for row in rows(recipes.get("iwae2-omniglot")) if row[0]]
    assert [row[0] for row in published] == ["NLL, k = 1", "NLL, k = 5", "NLL, k = 50"]
    assert {row[3] for row in published} == {"not measured yet"}


def test_our_number_stands_beside_the_published_one():
    recipe = replace(recipes.get("iwae2-omniglot"), measured=(OURS,))
    ours = next(row for row in rows(recipe) if row[0] == "NLL, k = 5")
    assert ours[1] == "104.79 (38+6)"
    assert ours[3] == "87.65 ± 0.32 (21)"
    assert all(
        word in ours[4] for word in ("MNIST, 10,000 test images", "40 epochs", "2 cores", "seed 0", "2025-01-31")
    )


def test_a_number_that_nobody_published_has_a_row_of_its_own():
    recipe = replace(recipes.get(), measured=(replace(OURS, what="ELBO"), replace(OURS, what="ELBO", seed=1)))
    assert [row[:4] for row in rows(recipe)] == [
        ("ELBO", "", "", "87.65 ± 0.32 (21)"),
        ("", "", "", "87.65 ± 0.32 (21)"),
    ]


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_has_a_section(name):
    assert f"\n## `{name}`\n" in markdown()


def test_every_table_is_rectangular():
    tables = [line for line in markdown().splitlines() if line.startswith("|")]
    assert len(tables) > 20
    assert {line.count("|") for line in tables} == {6}


def test_the_page_follows_the_recipes(monkeypatch):
    before = markdown()
    monkeypatch.setitem(catalogue.CATALOGUE, "iwae-digits", replace(recipes.get(), measured=(OURS,)))
    assert "87.65 ± 0.32" in markdown()
    assert "87.65 ± 0.32" not in before
