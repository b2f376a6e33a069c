"""`log_evidence` of the Pima women, model 1, by the bridge with its default settings: the error, and the time it took.

The data are downloaded; `JENSEN_DATA` names the folder that holds them or is to.
"""

from collections.abc import Iterator

from jensen.datasets import DownloadError
from jensen.datasets.targets.regressions import pima
from jensen.evidence import log_evidence
from measured import Row, row, timed

__all__ = ["missing", "rows"]

GOAL = 1e-3


def missing() -> str:
    """Why the data are not there; there is no peer, for the exact value is known."""
    try:
        pima(1)
    except DownloadError as error:
        return str(error)
    return ""


def rows(repeats: int) -> Iterator[Row]:
    """Seconds, and the distance to the exact value; nothing without the data."""
    if missing():
        return
    target = pima(1)
    runs = [timed(lambda seed=seed: log_evidence(target, method="bridge", seed=seed)) for seed in range(repeats)]
    apart = [abs(run.result.log_z - target.exact) for run in runs]
    near = sum(each < GOAL for each in apart)
    case = "Pima M1, log_evidence"
    yield row(case, "s, sampling included", [run.wall for run in runs], [], note=f"max {max(r.wall for r in runs):.2f}")
    note = f"below {GOAL:g} in {near} of {repeats}, max {max(apart):.2g}"
    yield row(case, "nat, error", apart, [], note=note)
    yield row(case, "nat, std_error", [run.result.std_error for run in runs], [])
