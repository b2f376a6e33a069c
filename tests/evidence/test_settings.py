"""Budgets that make sense, and answers to those that do not."""

import pytest

from jensen.evidence.settings import Settings, change_settings


def test_changes_are_taken_over():
    changed = change_settings(Settings(), {"chains": 10, "metric": "dense"})
    assert (changed.chains, changed.metric, changed.draws_per_chain) == (10, "dense", Settings().draws_per_chain)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chain": 3}, "did you mean 'chains'"),
        ({"zzz": 3}, "there are: chains"),
        ({"chains": 0}, "at least 1"),
        ({"chains": 2.5}, "a whole number"),
        ({"chains": True}, "a whole number"),
        ({"metric": 3}, "a word"),
        ({"metric": "round"}, "diagonal, dense"),
        ({"engine": "stan"}, "hmc, nuts"),
        ({"start": "zero"}, "prior, laplace"),
    ],
)
def test_other_changes_are_answered(changes, message):
    with pytest.raises(ValueError, match=message):
        change_settings(Settings(), changes)
