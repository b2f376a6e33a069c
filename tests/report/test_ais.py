"""The table of annealed importance sampling."""

import math

from jensen.evaluation import AnnealedBound, AnnealedEvaluation, BoundEstimate, Evaluation
from jensen.report.ais import annealed_rows, annealed_table

LOWER = AnnealedBound("lower", "test", -85.0, 0.5, 0.02, 12.0, 8.0, 0.65)
SANDWICH = (
    LOWER,
    AnnealedBound("lower", "simulated", -84.1, 0.6, 0.03, 11.0, 7.0, 0.66),
    AnnealedBound("upper", "simulated", -84.0, 0.6, math.nan, 10.0, 6.0, 0.64),
)


def test_both_sides_with_their_errors():
    found = AnnealedEvaluation(SANDWICH, data=100, simulated=50, chains=16, gap=0.1, gap_error=0.01)
    assert annealed_rows(found) == [
        ("AIS, from below", "100 test", "-85.000", "0.500", "0.0200", "12.0"),
        ("AIS, from below", "50 simulated", "-84.100", "0.600", "0.0300", "11.0"),
        ("AIS, from above", "50 simulated", "-84.000", "0.600", "–", "10.0"),
    ]
    assert annealed_table(found).caption == "between both sides 0.100 ± 0.010 nats"


def test_importance_sampling_stands_beside_it_where_the_images_are_the_same():
    found = AnnealedEvaluation((LOWER,), data=100, chains=16)
    assert annealed_table(found).caption is None
    rows = (BoundEstimate("elbo", 1, -90.0, 0.5, 0.01), BoundEstimate("iwae", 5000, -86.8, 0.25, 0.004))
    evaluation = Evaluation(rows, data=100, samples=5000, ess_mean=250.0)
    first = ("IWAE, k = 5,000", "100 test", "-86.800", "0.250", "0.0040", "250.0")
    assert annealed_rows(found, evaluation)[0] == first
    assert len(annealed_rows(found, Evaluation(rows, data=99))) == 1
