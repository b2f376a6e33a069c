"""Networks that lose weights or whole units: sparse variational dropout, Bayesian compression."""

from dataclasses import replace

from jensen.recipes.network_recipe import Network, NetworkOptimizer, NetworkRecipe, Noise, Task, Weights
from jensen.recipes.networks_measured import (
    COMPRESSION_DIGITS,
    GHS_LENET5,
    GHS_MNIST,
    GNJ_LENET5,
    GNJ_MNIST,
    SPARSE_VD_DIGITS,
    SPARSE_VD_LENET5,
    SPARSE_VD_MNIST,
)
from jensen.recipes.papers import BAYESIAN_COMPRESSION, SPARSE_VD
from jensen.recipes.recipe import Budget, Published

__all__ = ["RECIPES"]

README = "the authors' README (github.com/senya-ashukha/variational-dropout-sparsifies-dnn)"
LOUIZOS = "Louizos et al. 2017, Tables 1 and 2, from memory and not verified"
RATES = "Louizos et al. 2017, Table 2, as the authors' README has it"

SMOKE = Budget(epochs=2, batch_size=32, evaluation_samples=8, images=64)
CUTS = "Thresholds are not chosen by eye: they are the lowest that cost 0.01 nats on the first 10,000 training data."
TRAINED_ON = "59,600 of the 60,000 training images; 400 are kept for validation."

SPARSE = NetworkRecipe(
    name="sparse-vd-mnist",
    title="Sparse VD, LeNet-300-100",
    paper=SPARSE_VD,
    data=Task("mnist", split="burda"),
    network=Network(hidden=(300, 100), initial_scale=0.01),
    weights=Weights("sparse_dropout", initial_log_variance=-10.0, threshold=3.0),
    noise=Noise("categorical"),
    optimizer=NetworkOptimizer(learning_rate=1e-3, schedule="linear", flat=100.0, kl_start=5.0, kl_end=20.0),
    budget=Budget(epochs=200, batch_size=100, evaluation_samples=100),
    smoke=SMOKE,
    outside="fashion_mnist",
    differs=(TRAINED_ON,),
    published=(
        Published("error, shrunk", 1.92, README, "98.9-97.2-62.0 % of each layer dropped", "%"),
        Published("weights, all over kept", 68, README, unit="x"),
        Published("error, plain", 1.64, README, unit="%"),
    ),
    measured=SPARSE_VD_MNIST,
)
SPARSE_LENET5 = replace(
    SPARSE,
    name="sparse-vd-lenet5",
    title="Sparse VD, LeNet-5, for a GPU",
    network=Network("lenet5", hidden=(20, 50, 500), initial_scale=0.01),
    optimizer=replace(SPARSE.optimizer, flat=0.0),
    differs=(
        TRAINED_ON,
        "The KL warm-up of the authors' script is kept; its author says elsewhere that LeNet-5 needs none.",
    ),
    published=(
        Published("error, shrunk", 0.75, README, "67-98-99.8-95 % of each layer dropped", "%"),
        Published("weights, all over kept", 280, README, unit="x"),
        Published("error, plain", 0.80, README, unit="%"),
    ),
    measured=SPARSE_VD_LENET5,
)


def _published(
    error: float, left: str, rates: tuple[float, float, float], *, second_hand: str
) -> tuple[Published, ...]:
    what = ("pruning rate", "fast prediction rate", "maximum compression rate")
    return (
        Published("error, shrunk", error, second_hand, left, "%"),
        *(Published(name, rate, second_hand, unit="x") for name, rate in zip(what, rates, strict=True)),
    )


FOUND = {
    "gnj-mnist": _published(1.8, "278-98-13; 8-9-14 bits", (9, 36, 58), second_hand=LOUIZOS),
    "ghs-mnist": _published(1.8, "311-86-14; 13-11-10 bits", (9, 23, 59), second_hand=LOUIZOS),
    "gnj-lenet5": _published(1.0, "8-13-88-13; 18-10-7-9 bits", (108, 361, 573), second_hand=RATES),
    "ghs-lenet5": _published(1.0, "5-10-76-16; 10-10-14-13 bits", (156, 419, 771), second_hand=RATES),
}
MEASURED = {"gnj-mnist": GNJ_MNIST, "ghs-mnist": GHS_MNIST, "gnj-lenet5": GNJ_LENET5, "ghs-lenet5": GHS_LENET5}
NETWORKS = {
    "mnist": ("LeNet-300-100", Network(hidden=(300, 100))),
    "lenet5": ("LeNet-5, for a GPU", Network("lenet5", hidden=(20, 50, 500))),
}


def _compression(prior: str, size: str) -> NetworkRecipe:
    title, network = NETWORKS[size]
    return NetworkRecipe(
        name=f"compression-{prior}-{size}",
        title=f"BC-{prior.upper()}, {title}",
        paper=BAYESIAN_COMPRESSION,
        data=Task("mnist", split="burda"),
        network=network,
        weights=GROUPS[prior],
        noise=Noise("categorical"),
        optimizer=NetworkOptimizer(learning_rate=1e-3),
        budget=Budget(epochs=100, batch_size=128, evaluation_samples=100),
        smoke=SMOKE,
        outside="fashion_mnist",
        differs=(TRAINED_ON, CUTS),
        published=FOUND[f"{prior}-{size}"],
        measured=MEASURED.get(f"{prior}-{size}", ()),
    )


GROUPS = {
    "gnj": Weights("group_normal_jeffreys", initial_log_variance=-9.0, maximum_first_variance=0.04),
    "ghs": Weights("group_horseshoe", initial_log_variance=-9.0, maximum_first_variance=0.04),
}
SMALL = "The paper has MNIST; these digits are 8x8, 1,297 to train on."

RECIPES = (
    SPARSE,
    SPARSE_LENET5,
    replace(
        SPARSE,
        name="sparse-vd-digits",
        title="Sparse VD on 8x8 digits",
        data=Task("digits"),
        network=Network(hidden=(100, 50), initial_scale=0.1),
        optimizer=NetworkOptimizer(learning_rate=3e-3, schedule="linear", flat=150.0, kl_start=10.0, kl_end=100.0),
        budget=Budget(epochs=300, batch_size=64, evaluation_samples=100),
        threads=1,
        outside="noise",
        differs=(SMALL, "A slower warm-up: an epoch here has 21 steps."),
        published=(),
        measured=SPARSE_VD_DIGITS,
    ),
    _compression("gnj", "mnist"),
    _compression("ghs", "mnist"),
    _compression("gnj", "lenet5"),
    _compression("ghs", "lenet5"),
    replace(
        _compression("gnj", "mnist"),
        name="compression-digits",
        title="BC-GNJ on 8x8 digits",
        data=Task("digits"),
        network=Network(hidden=(100, 50)),
        optimizer=NetworkOptimizer(learning_rate=3e-3, schedule="linear", flat=150.0),
        budget=Budget(epochs=300, batch_size=64, evaluation_samples=100),
        threads=1,
        outside="noise",
        differs=(SMALL, CUTS),
        published=(),
        measured=COMPRESSION_DIGITS,
    ),
)
