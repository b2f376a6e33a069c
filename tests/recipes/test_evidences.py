"""Recipes of evidences: what they name is there, and what they say was published is true of the target."""

import os

import pytest

from jensen.evidence import Settings, methods
from jensen.evidence.settings import change_settings
from jensen.recipes import evidences
from jensen.recipes.estimating import find_target

NEEDS_DATA = pytest.mark.skipif("JENSEN_DATA" not in os.environ, reason="the Pima data are downloaded; set JENSEN_DATA")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=NEEDS_DATA if name.startswith("pima") else ()) for name in evidences.names()]
)
def test_a_recipe_is_consistent(name):
    recipe = evidences.get(name)
    target = find_target(recipe.target)
    assert target.exact is not None
    assert recipe.exact == pytest.approx(target.exact, abs=1e-7)
    assert methods.choose_methods(target, recipe.methods) == recipe.methods
    change_settings(Settings(), recipe.settings)
    for entry in recipe.published:
        assert entry.value == pytest.approx(target.exact, abs=0.01)
