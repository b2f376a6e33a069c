"""Probes: how much of a label a simple classifier can read from a code that it cannot change."""

import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from jensen._contracts import Pairs
from jensen._names import check_choice
from jensen.evaluation._arrays import Array, column, real_numbers
from jensen.evaluation.scores import MeanScore, error_rate

__all__ = ["label_error", "label_probabilities"]

PROBES = ("linear", "mlp")
HIDDEN, PATIENT, ROUNDS, EARLY = (128,), 1000, 300, 5000
"""Hidden units; steps of the linear probe; passes of the perceptron, which stops early on more data than the last."""


def label_error(train: Pairs, test: Pairs, *, probe: Literal["linear", "mlp"] = "mlp", seed: int = 0) -> MeanScore:
    r"""The share of test labels that a classifier trained on other codes gets wrong.

    A code that holds the label has an error near that of the best classifier. An error at chance, one minus the
    frequency of the most frequent label, says that this probe finds nothing, not that there is nothing: report the
    strongest probe of several.

    Args:
        train: codes `(N, D)` and labels `(N,)` to fit the probe to.
        test: those to report on.
        probe: `linear` for multinomial logistic regression, `mlp` for a perceptron with 128 hidden units.
        seed: where the perceptron starts.

    Returns:
        The error rate, and its binomial standard error over the test data.

    Raises:
        ValueError: if codes are no finite numbers of one width, labels are no whole numbers or all the same, or the
            probe is unknown.

    Example:
        >>> codes, labels = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]), torch.tensor([0, 0, 1, 1])
        >>> label_error(Pairs(codes, labels), Pairs(codes, torch.tensor([0, 0, 1, 0])), probe="linear")
        MeanScore(value=0.25, std_error=0.25, data=4)

    References:
        | Understanding intermediate layers using linear classifier probes (Alain & Bengio, 2016)
        | https://arxiv.org/abs/1610.01644
    """
    probabilities, known = label_probabilities(train, test.inputs, probe=probe, seed=seed)
    labels = _labels("test labels", test.targets)
    places = np.searchsorted(known, labels).clip(max=len(known) - 1)
    unseen = known[places] != labels
    with_others = np.concatenate([probabilities, np.zeros((len(labels), 1))], axis=1)
    return error_rate(with_others, np.where(unseen, len(known), places))


def label_probabilities(
    train: Pairs, codes: Array, *, probe: Literal["linear", "mlp"] = "mlp", seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What a probe makes of codes: a probability for each label that it was trained on, and these labels in order.

    Every entry of a code is standardised by the training codes first.

    Args:
        train: codes `(N, D)` and labels `(N,)` to fit the probe to.
        codes: `(M, D)`.
        probe: `linear` or `mlp`.
        seed: where the perceptron starts.

    Returns:
        Probabilities `(M, C)` and labels `(C,)`.

    Raises:
        ValueError: as `label_error`.

    Example:
        >>> train = Pairs(torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]), torch.tensor([3, 3, 7, 7]))
        >>> probabilities, labels = label_probabilities(train, torch.tensor([[5.0]]), probe="linear")
        >>> labels[probabilities.argmax(1)]
        array([7])
    """
    check_choice("probe", probe, PROBES)
    seen, asked = _codes("training codes", train.inputs), _codes("codes", codes)
    labels = _labels("training labels", train.targets)
    if seen.shape[1] != asked.shape[1]:
        raise ValueError(f"training codes have shape {seen.shape}, codes {asked.shape}; give codes of one width")
    known = np.unique(labels)
    if len(known) < 2:
        raise ValueError(f"all training labels are {known[0]}; a probe needs two labels or more")
    mean, scale = seen.mean(0), seen.std(0)
    scale[scale == 0] = 1.0
    classifier = _classifier(probe, len(seen), seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(converge|iterations)", module="sklearn")
        classifier.fit(((seen - mean) / scale).astype(np.float32), labels)
    probabilities = np.asarray(classifier.predict_proba(((asked - mean) / scale).astype(np.float32)), dtype=np.float64)
    return probabilities / probabilities.sum(1, keepdims=True), known


def _classifier(probe: str, data: int, seed: int) -> Any:
    if probe == "linear":
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(max_iter=PATIENT)
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(HIDDEN, alpha=1e-3, max_iter=ROUNDS, early_stopping=data > EARLY, random_state=seed)


def _labels(name: str, values: Array) -> NDArray[np.int64]:
    """Whole numbers `(N,)`."""
    numbers = column(name, values)
    if not bool((numbers.isfinite() & (numbers == numbers.round())).all()):
        raise ValueError(f"{name} are no whole numbers; number the classes")
    found: NDArray[np.int64] = numbers.long().numpy()
    return found


def _codes(name: str, values: Array) -> NDArray[np.float64]:
    """Codes as an array `(N, D)`."""
    numbers = real_numbers(name, values)
    if numbers.ndim != 2 or not bool(numbers.isfinite().all()):
        raise ValueError(f"{name} have shape {tuple(numbers.shape)}; give finite numbers, (N, D)")
    found: NDArray[np.float64] = numbers.numpy()
    return found
