"""A method is charged for everything that it rests on, whoever made it."""

import pytest

from jensen.evidence.accounts import Accounts


def test_shared_work_is_done_once_and_charged_to_all_who_use_it():
    accounts = Accounts()
    made = []

    def shared():
        made.append("shared")
        accounts.count(100)
        return 1

    def method(own):
        accounts.count(own)
        return accounts.take("shared", shared)

    assert accounts.take("a", lambda: method(5)) == accounts.take("b", lambda: method(7)) == 1
    assert made == ["shared"]
    assert accounts.cost("a").evaluations == 105
    assert accounts.cost("b").evaluations == 107
    assert accounts.evaluations == 112
    assert accounts.used("b") == {"b", "shared"}


def test_what_is_used_by_what_is_used_is_charged_once():
    accounts = Accounts()

    def leaf():
        accounts.count(1)

    def branch():
        accounts.take("leaf", leaf)
        accounts.count(10)

    def root():
        accounts.take("leaf", leaf)
        accounts.take("branch", branch)
        accounts.count(100)

    accounts.take("root", root)
    assert accounts.cost("root").evaluations == 111
    assert accounts.cost("branch").evaluations == 11
    assert accounts.cost("leaf").evaluations == 1


def test_what_fails_is_tried_again():
    accounts = Accounts()
    with pytest.raises(ValueError, match="no"):
        accounts.take("a", lambda: (_ for _ in ()).throw(ValueError("no")))
    assert accounts.take("a", lambda: 3) == 3
