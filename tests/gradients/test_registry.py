"""The registry names what is there, as it is there."""

import inspect

import pytest

from jensen.gradients.registry import ESTIMATORS, Estimator, get


@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=lambda each: each.name)
def test_every_entry_is_a_driver_with_the_contract(estimator):
    parameters = inspect.signature(estimator.function).parameters
    assert estimator.function.__name__ == estimator.name
    assert list(parameters)[:2] == ["f", "q"]
    by_keyword = {name for name, each in parameters.items() if each.kind is inspect.Parameter.KEYWORD_ONLY}
    assert {"samples", "generator", *estimator.needs} <= by_keyword
    required = {name for name in by_keyword if parameters[name].default is inspect.Parameter.empty}
    assert required == set(estimator.needs)


@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=lambda each: each.name)
def test_every_docstring_says_its_order_of_derivative(estimator):
    said = " ".join(f"{inspect.getmodule(estimator.function).__doc__} {estimator.function.__doc__}".lower().split())
    assert estimator.higher_order == ("every order" in said)


def test_what_is_biased_is_declared():
    biased = {name for name, each in ESTIMATORS.items() if not each.unbiased}
    assert biased == {"gumbel_softmax", "straight_through", "straight_through_mean", "reinmax", "concrete"}


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="unknown estimator 'unorderd_set'; did you mean 'unordered_set'"):
        get("unorderd_set")


def test_a_name_like_no_other_is_answered_with_all():
    with pytest.raises(ValueError, match="choose one of: enumerate_exact, pathwise, score_function"):
        get("xyz")


def test_a_driver_that_is_not_there_is_caught():
    with pytest.raises(ModuleNotFoundError):
        _ = Estimator("sorcery", "").function
