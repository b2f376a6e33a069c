"""The picture and the page of an audit show its numbers."""

from dataclasses import replace
from itertools import pairwise

import matplotlib as mpl
import pytest

from jensen.recipes.auditing import Audit, audit_recipe
from jensen.report.audits import variance_by_evaluations, write_audit
from jensen.report.pictures import png
from jensen.report.theme import DARK, LIGHT, THEMES


@pytest.fixture(scope="module")
def found():
    methods = ["score_function", "leave_one_out", "enumerate_exact", "gumbel_softmax", "arm"]
    return audit_recipe("toy-four", methods=methods, replicates=1000)


def marks(figure):
    """Position, marker and colour of each mark."""
    lines = [line for line in figure.axes[0].lines if line.get_marker() in {"o", "x", "v"}]
    return [(*line.get_xydata()[0], line.get_marker(), mpl.colors.to_hex(line.get_color())) for line in lines]


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_every_estimator_has_its_mark(found, theme):
    shown = marks(variance_by_evaluations(found, theme=theme))
    assert len(shown) == len(found.rows) == 4
    for row, (x, y, marker, colour) in zip(found.rows, shown, strict=True):
        assert x == row.evaluations
        assert y == row.variance or (row.variance == 0 and y < min(r.variance for r in found.rows if r.variance))
        assert marker == ("x" if not row.passed else "o" if row.variance else "v")
        assert colour == (theme.first if row.passed else theme.second)
    assert {row.name for row in found.rows if not row.passed} == {"gumbel_softmax"}


def test_names_do_not_touch(found):
    crowded = replace(found, rows=tuple(replace(found.rows[0], name=f"method {i}") for i in range(18)))
    for audit in (found, crowded):
        figure = variance_by_evaluations(audit)
        figure.draw_without_rendering()
        boxes = sorted(text.get_window_extent().y0 for text in figure.axes[0].texts)
        heights = [text.get_window_extent().height for text in figure.axes[0].texts]
        assert len(boxes) == len(audit.rows)
        assert min(b - a for a, b in pairwise(boxes)) > 0.8 * max(heights)
        assert boxes[-1] + max(heights) < figure.bbox.height + 1


def test_an_audit_without_any_variance_can_be_drawn(found):
    exact = tuple(row for row in found.rows if row.variance == 0)
    assert png(variance_by_evaluations(replace(found, rows=exact), theme=DARK))[:4] == b"\x89PNG"


def test_the_page_and_the_numbers_are_written(found, tmp_path):
    numbers, page = write_audit(found, tmp_path / "a" / "b", title="<four>")
    assert Audit.from_json(numbers.read_text()) == found
    text = page.read_text()
    assert "Audit of &lt;four&gt;" in text
    assert "Use enumerate_exact" in text
    assert "arm" in text.partition("Not applicable")[2]
    for row in found.rows:
        for cell in row.cells():
            assert f">{cell.replace('&', '&amp;')}<" in text
    assert (numbers.parent / "figures" / "variance.png").read_bytes()[:4] == b"\x89PNG"


def test_matplotlib_is_left_as_it_was(found):
    before = dict(mpl.rcParams)
    png(variance_by_evaluations(found, theme=LIGHT))
    assert dict(mpl.rcParams) == before
