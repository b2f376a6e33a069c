"""The curves of a constrained run are those that it wrote down."""

import pytest

from jensen.recipes import Constraint
from jensen.report.constraint_section import constraint_curves, constraint_section
from jensen.report.theme import THEMES
from jensen.training import EpochRecord

CONSTRAINT = Constraint(2.0)


def record(epoch, **told):
    return EpochRecord(epoch, 10 * epoch, -90.0, None, 1e-3, 1.0, 1.0, 1.0, told)


RECORDS = [record(n, kl=9.0 + n, violation=0.5 / n, multiplier=4.0**n, constraint=2.0 / n) for n in (1, 2, 3)]


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_the_curves_are_what_was_told(theme):
    kl, violation, multiplier = constraint_curves(RECORDS, theme=theme).axes
    assert kl.lines[0].get_ydata().tolist() == [10.0, 11.0, 12.0]
    assert violation.lines[0].get_ydata().tolist() == [0.5, 0.25, 0.5 / 3]
    assert [line.get_ydata()[0] for line in violation.lines[1:]] == [-0.02, 0.02]
    assert multiplier.lines[0].get_ydata().tolist() == [4.0, 16.0, 64.0]
    assert multiplier.get_yscale() == "log"
    assert constraint_curves(RECORDS[:2]).axes[2].get_yscale() == "linear"
    assert kl.lines[0].get_xdata().tolist() == [1, 2, 3]


def test_the_section_says_where_they_ended(tmp_path):
    (page,) = constraint_section(tmp_path, CONSTRAINT, RECORDS)
    assert "<dd>reconstruction within kappa = 2</dd>" in page
    assert "<dd>12.000 nats</dd>" in page
    assert "<dd>+16.67% of the tolerance</dd>" in page
    assert "<dd>64, a weight of 0.01562 on the divergence</dd>" in page
    assert (tmp_path / "figures" / "constraint.png").is_file()


def test_without_a_constraint_or_an_epoch_there_is_no_section(tmp_path):
    assert list(constraint_section(tmp_path, None, RECORDS)) == []
    assert list(constraint_section(tmp_path, CONSTRAINT, [])) == []
    assert list(constraint_section(tmp_path, CONSTRAINT, [record(1)])) == []


@pytest.mark.parametrize("records", [[], [record(1, kl=1.0)]])
def test_epochs_that_do_not_tell_are_refused(records):
    with pytest.raises(ValueError, match="do not tell kl, violation, multiplier"):
        constraint_curves(records)
