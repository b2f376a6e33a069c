"""The importance-weighted autoencoder's own experiments, and the same on Fashion-MNIST."""

from dataclasses import replace

from jensen.recipes.architectures import Architecture
from jensen.recipes.measured import MNIST_IWAE
from jensen.recipes.objectives import Objective
from jensen.recipes.papers import FASHION, IWAE
from jensen.recipes.recipe import Budget, Data, Optimizer, Published, Recipe

__all__ = ["RECIPES"]

ONE_LAYER = Architecture("iwae", hidden=((200, 200),), latent=(50,))
TWO_LAYERS = Architecture("iwae", hidden=((200, 200), (100, 100)), latent=(100, 50))
FULL = Budget(epochs=3280, batch_size=20)
STAGE_FOUR = Budget(epochs=40, batch_size=20)

TABLE = "Burda et al. 2016, Table 1"
APPENDIX = "Burda et al. 2016, appendix (fixed binarisation)"
RERUN = "re-run by xqding: batch 1000, Adam, 5000 epochs, float64 (github.com/xqding/Importance_Weighted_Autoencoders)"

MEAN = "The authors' code sums gradients over a batch; here they are averaged, so Adam's eps weighs 20 times as much."
ADAM = "In the authors' code Adam's second moment starts at one and beta1 is 0.99; this is the Adam of the paper."
ORDER = "Images are shuffled anew in every epoch; the authors' code keeps their order."
CUT = "The schedule ends after its fourth stage, 40 of 3,280 epochs."


def _nll(k: int, value: float, active: str, source: str = TABLE) -> Published:
    return Published(f"NLL, k = {k}", value, source, active)


MNIST = (
    _nll(1, 86.76, "19"),
    _nll(5, 85.54, "22"),
    _nll(50, 84.78, "25"),
    _nll(1, 87.75, "", RERUN),
    _nll(5, 85.46, "", RERUN),
    _nll(50, 84.59, "", RERUN),
)
MNIST_TWO = (
    _nll(1, 85.33, "16+5"),
    _nll(5, 83.89, "21+5"),
    _nll(50, 82.90, "26+7"),
    _nll(1, 88.39, "", RERUN),
    _nll(5, 84.69, "", RERUN),
    _nll(50, 83.29, "", RERUN),
)
OMNIGLOT = (_nll(1, 108.11, "28"), _nll(5, 106.12, "34"), _nll(50, 104.67, "41"))
OMNIGLOT_TWO = (_nll(1, 107.56, "30+5"), _nll(5, 104.79, "38+6"), _nll(50, 103.38, "44+7"))
FIXED = (
    _nll(50, 87.10, "", APPENDIX),
    _nll(50, 86.82, "", "Pythae's re-run (github.com/clementchadebec/benchmark_VAE)"),
)

IWAE_MNIST = Recipe(
    name="iwae-mnist",
    title="IWAE, one stochastic layer",
    paper=IWAE,
    data=Data("mnist", split="burda"),
    model=ONE_LAYER,
    objective=Objective("iwae", samples=50),
    optimizer=Optimizer(learning_rate=1e-3, schedule="burda", eps=1e-4),
    budget=STAGE_FOUR,
    smoke=Budget(epochs=1, batch_size=20, evaluation_samples=20, images=60),
    differs=(CUT, MEAN, ADAM, ORDER),
    published=MNIST,
)
IWAE_MNIST_FULL = replace(
    IWAE_MNIST,
    name="iwae-mnist-full",
    title="IWAE, one layer, for a GPU",
    budget=FULL,
    compile=True,
    differs=(MEAN, ADAM, ORDER),
)

RECIPES = (
    replace(IWAE_MNIST, measured=MNIST_IWAE),
    IWAE_MNIST_FULL,
    replace(
        IWAE_MNIST,
        name="iwae2-mnist",
        title="IWAE, two stochastic layers",
        model=TWO_LAYERS,
        published=MNIST_TWO,
    ),
    replace(
        IWAE_MNIST_FULL,
        name="iwae2-mnist-full",
        title="IWAE, two layers, for a GPU",
        model=TWO_LAYERS,
        published=MNIST_TWO,
    ),
    replace(
        IWAE_MNIST,
        name="iwae-omniglot",
        title="IWAE, one stochastic layer",
        data=Data("omniglot"),
        published=OMNIGLOT,
    ),
    replace(
        IWAE_MNIST,
        name="iwae2-omniglot",
        title="IWAE, two stochastic layers",
        data=Data("omniglot"),
        model=TWO_LAYERS,
        published=OMNIGLOT_TWO,
    ),
    replace(
        IWAE_MNIST,
        name="iwae-fixed-mnist",
        title="IWAE, pixels binarised once",
        data=Data("binarized_mnist", binarization="fixed"),
        published=FIXED,
    ),
    replace(
        IWAE_MNIST,
        name="iwae-fashion",
        title="IWAE, one stochastic layer",
        paper=FASHION,
        data=Data("fashion_mnist", split="burda"),
        differs=("The data's paper trains classifiers; model and schedule are those of iwae-mnist.",),
        published=(),
    ),
)
