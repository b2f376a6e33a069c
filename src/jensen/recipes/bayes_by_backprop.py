"""Networks with Gaussian posteriors over their weights: Bayes by Backprop, variational dropout, and regressions."""

from dataclasses import replace

from jensen.recipes.network_recipe import Dropout, Network, NetworkOptimizer, NetworkRecipe, Noise, Prior, Task, Weights
from jensen.recipes.networks_measured import BBB_DIABETES, BBB_DIGITS, BBB_MNIST, BBB_UCI, VARIATIONAL_DROPOUT_DIGITS
from jensen.recipes.papers import BAYES_BY_BACKPROP, PROBABILISTIC_BACKPROPAGATION, VARIATIONAL_DROPOUT
from jensen.recipes.recipe import Budget, Published

__all__ = ["RECIPES"]

TABLE_1 = "Blundell et al. 2015, Table 1, from memory and not verified"
TABLE_2 = "Blundell et al. 2015, Table 2 (1200 units), from memory and not verified"
DROPOUT = "Gal & Ghahramani 2016, dropout, mean of {n} splits ± {error} (their result files)"

MIXTURE = Weights(
    "gaussian",
    estimator="sampled",
    prior=Prior("scale_mixture", mix=0.5, scale1=1.0, scale2=0.0025),
    initial_deviation=0.02,
)
SMOKE = Budget(epochs=2, batch_size=32, evaluation_samples=8, images=64)
ADAM = "Adam with a linear way down replaces stochastic gradient descent; the paper tunes learning rate and prior."
BURSTS = (
    "Adam scales a gradient by its recent size, so that the KL, nearly all of it in an epoch's first ten minibatches, "
    "is hardly felt; `--option kl_weights=uniform` gives every minibatch the same share."
)


def _errors(gaussian: float, mixture: float, plain: float, dropout: float) -> tuple[Published, ...]:
    values = {"": mixture, ", Gaussian prior": gaussian, ", plain": plain, ", dropout": dropout}
    return tuple(Published(f"error{what}", value, TABLE_1, unit="%") for what, value in values.items())


PRUNED = tuple(
    Published(f"error, {share} % of weights pruned", value, TABLE_2, unit="%")
    for share, value in ((0, 1.24), (50, 1.24), (75, 1.24), (95, 1.29), (98, 1.39))
)

MNIST = NetworkRecipe(
    name="bbb-mnist-400",
    title="Bayes by Backprop, 400-400",
    paper=BAYES_BY_BACKPROP,
    data=Task("mnist", scale=255 / 126),
    network=Network(hidden=(400, 400)),
    weights=MIXTURE,
    noise=Noise("categorical"),
    optimizer=NetworkOptimizer(learning_rate=1e-3, schedule="linear", flat=50.0, kl_weights="blundell"),
    budget=Budget(epochs=100, batch_size=128, evaluation_samples=100),
    smoke=SMOKE,
    outside="fashion_mnist",
    differs=("100 of about 600 epochs.", ADAM, BURSTS),
    published=_errors(1.82, 1.36, 1.83, 1.51),
    measured=BBB_MNIST,
)
UCI = {
    "yacht": (0.67, 0.05, -1.25, 0.02, 20),
    "boston": (2.90, 0.18, -2.40, 0.04, 20),
    "concrete": (4.83, 0.16, -2.94, 0.03, 20),
    "energy": (0.54, 0.01, -1.21, 0.01, 20),
    "kin8nm": (0.079, 0.001, 1.14, 0.01, 20),
    "naval": (0.0007, 0.0001, 4.45, 0.002, 20),
    "power-plant": (4.01, 0.04, -2.81, 0.01, 20),
    "protein": (4.27, 0.02, -2.87, 0.002, 5),
    "wine-red": (0.62, 0.01, -0.93, 0.01, 20),
}


def _regressions() -> tuple[Published, ...]:
    rows = []
    for name, (rmse, rmse_error, log_likelihood, error, splits) in UCI.items():
        rows.append(Published(f"RMSE, {name}", rmse, DROPOUT.format(n=splits, error=rmse_error), unit=""))
        rows.append(Published(f"log-likelihood, {name}", log_likelihood, DROPOUT.format(n=splits, error=error)))
    return tuple(rows)


DIABETES = NetworkRecipe(
    name="bbb-diabetes",
    title="Bayesian regression, diabetes",
    paper=PROBABILISTIC_BACKPROPAGATION,
    data=Task("diabetes"),
    network=Network(hidden=(50,)),
    weights=Weights("gaussian", estimator="local", prior=Prior("normal", scale=1.0), initial_deviation=0.05),
    noise=Noise("gaussian", scale="learned"),
    optimizer=NetworkOptimizer(learning_rate=1e-2, schedule="cosine"),
    budget=Budget(epochs=300, batch_size=62, evaluation_samples=500),
    smoke=Budget(epochs=2, batch_size=32, evaluation_samples=8, images=64),
    threads=1,
    differs=("A data set of its own, without a published number.", "A Gaussian posterior by gradients, learned noise."),
    measured=BBB_DIABETES,
)

DROPOUT_MNIST = NetworkRecipe(
    name="variational-dropout-mnist",
    title="Variational dropout, 400-400-400",
    paper=VARIATIONAL_DROPOUT,
    data=Task("mnist"),
    network=Network(hidden=(400, 400, 400)),
    weights=Weights("variational_dropout", dropout=Dropout(rate="neuron", noise="correlated")),
    noise=Noise("categorical"),
    optimizer=NetworkOptimizer(learning_rate=1e-3, schedule="linear", flat=50.0),
    budget=Budget(epochs=100, batch_size=128, evaluation_samples=100),
    smoke=SMOKE,
    outside="fashion_mnist",
    differs=(
        "The paper shows its errors in figures only, for layers of several widths.",
        "Rates below their limit by a sigmoid, Molchanov's approximation of the divergence, and all of its weight.",
    ),
)

RECIPES = (
    NetworkRecipe(
        name="bbb-digits",
        title="Bayes by Backprop on 8x8 digits",
        paper=BAYES_BY_BACKPROP,
        data=Task("digits"),
        network=Network(hidden=(50,)),
        weights=replace(MIXTURE, prior=Prior("scale_mixture", mix=0.5, scale1=1.0, scale2=0.1)),
        noise=Noise("categorical"),
        optimizer=NetworkOptimizer(learning_rate=3e-3, schedule="cosine", kl_end=75.0),
        budget=Budget(epochs=150, batch_size=64, evaluation_samples=100),
        smoke=SMOKE,
        threads=1,
        outside="noise",
        differs=(
            "The paper has MNIST and layers of 400 to 1200; these digits are 8x8, 1,297 to train on.",
            "Every minibatch has the same share of the KL, and its weight rises for 75 epochs; the whole of it "
            "from the start switches off a network with so few data.",
        ),
        measured=BBB_DIGITS,
    ),
    MNIST,
    *(
        replace(
            MNIST,
            name=f"bbb-mnist-{units}",
            title=f"Bayes by Backprop, {units}-{units}",
            network=Network(hidden=(units, units)),
            published=published,
            measured=(),
        )
        for units, published in (
            (800, _errors(1.99, 1.34, 1.84, 1.33)),
            (1200, (*_errors(2.04, 1.32, 1.88, 1.36), *PRUNED)),
        )
    ),
    replace(
        DROPOUT_MNIST,
        name="variational-dropout-digits",
        title="Variational dropout on 8x8 digits",
        data=Task("digits"),
        network=Network(hidden=(100, 100)),
        optimizer=NetworkOptimizer(learning_rate=3e-3, schedule="cosine", kl_end=50.0),
        budget=Budget(epochs=100, batch_size=64, evaluation_samples=100),
        threads=1,
        outside="noise",
        differs=("The paper has MNIST; these digits are 8x8, 1,297 to train on.", *DROPOUT_MNIST.differs),
        measured=VARIATIONAL_DROPOUT_DIGITS,
    ),
    DROPOUT_MNIST,
    DIABETES,
    replace(
        DIABETES,
        name="bbb-uci",
        title="Bayesian regression, UCI splits",
        data=Task("yacht", split="0"),
        optimizer=NetworkOptimizer(learning_rate=1e-2, schedule="cosine"),
        budget=Budget(epochs=1000, batch_size=100, evaluation_samples=500),
        differs=(
            "One split at a time: --data NAME --split 0 and on; a tenth of the training rows is kept for validation.",
            "A Gaussian posterior by gradients and learned noise; the published rows are of dropout, noise tuned.",
        ),
        published=_regressions(),
        measured=BBB_UCI,
    ),
)
