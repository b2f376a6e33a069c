"""Models with discrete units, trained by an estimator of `gradients`: categorical autoencoders, structured prediction.

`jensen fit NAME --method ESTIMATOR --samples K` takes any other estimator.
"""

from jensen.recipes.architectures import Architecture
from jensen.recipes.measured import DISCRETE_DIGITS, DISCRETE_MNIST, STRUCTURED_DIGITS, STRUCTURED_MNIST
from jensen.recipes.objectives import Objective
from jensen.recipes.papers import FEEDFORWARD, WITHOUT_REPLACEMENT
from jensen.recipes.recipe import Budget, Data, Optimizer, Published, Recipe

__all__ = ["RECIPES"]

SMOKE = Budget(epochs=1, batch_size=50, evaluation_samples=20, images=60)
SMALL = "The paper has MNIST; these digits are 8x8, 1,297 to train on."
WARM_UP = "The divergence's weight rises over 100 epochs; without that 3 of the 10 units stay active, with it 9."
COSINE = "A cosine schedule replaces a constant learning rate."

ARM = "ARM (Yin & Zhou 2019), Table 3, second-hand"
JANG = "Jang et al. 2017, Table 1, second-hand and not verified"
LINDERMAN = "Linderman et al. 2018 (20 categoricals of 10), second-hand"

AUTOENCODERS = (
    Published("NLL, gumbel_softmax", 106.7, LINDERMAN),
    Published("NLL, gumbel_softmax", 101.5, JANG),
    Published("NLL, concrete", 111.5, LINDERMAN),
    Published("NLL, score_function", 110.6, JANG),
    Published("NLL, muprop", 107.0, JANG),
    Published("NLL, straight_through", 107.8, f"{JANG} (annealed, through the Gumbel-softmax)"),
)
PREDICTORS = (
    Published("NLL, score_function", 72.0, ARM),
    Published("NLL, muprop", 58.9, ARM),
    Published("NLL, straight_through", 59.3, f"{ARM} (through the Gumbel-softmax)"),
    Published("NLL, arm", 57.9, "Yin & Zhou 2019 (Adam, batch 100, 2,000 epochs), second-hand"),
    Published("NLL, gumbel_softmax", 58.5, JANG),
)

RECIPES = (
    Recipe(
        name="discrete-vae-digits",
        title="Categorical VAE on 8x8 digits",
        paper=WITHOUT_REPLACEMENT,
        data=Data("digits"),
        model=Architecture("discrete_vae", hidden=((100, 50),), latent=(10,), categories=5, activation="leaky_relu"),
        objective=Objective("estimated", samples=4, method="leave_one_out"),
        optimizer=Optimizer(learning_rate=3e-3, schedule="cosine", kl_warmup=100.0),
        budget=Budget(epochs=300, batch_size=50),
        smoke=SMOKE,
        threads=1,
        differs=(SMALL, "10 categoricals of 5; it has 20 of 10.", COSINE, WARM_UP),
        measured=DISCRETE_DIGITS,
    ),
    Recipe(
        name="structured-digits",
        title="Lower from upper half, 8x8 digits",
        paper=FEEDFORWARD,
        data=Data("digits"),
        model=Architecture("structured", hidden=((), ()), latent=(40, 40), categories=2),
        objective=Objective("estimated", samples=5, method="vimco"),
        optimizer=Optimizer(learning_rate=3e-3, schedule="cosine"),
        budget=Budget(epochs=300, batch_size=50, evaluation_samples=1000),
        smoke=SMOKE,
        threads=1,
        differs=(SMALL, "Two layers of 40 bits; it has 200.", COSINE),
        measured=STRUCTURED_DIGITS,
    ),
    Recipe(
        name="discrete-vae-mnist",
        title="Categorical VAE, 20 x 10",
        paper=WITHOUT_REPLACEMENT,
        data=Data("binarized_mnist", binarization="fixed"),
        model=Architecture("discrete_vae", hidden=((512, 256),), latent=(20,), categories=10, activation="leaky_relu"),
        objective=Objective("estimated", samples=4, method="unordered_set"),
        optimizer=Optimizer(learning_rate=1e-3),
        budget=Budget(epochs=20, batch_size=200),
        smoke=SMOKE,
        differs=(
            "20 of 1,000 epochs.",
            "The pixels of the paper's main experiment are cut at 0.5; these are drawn once, as in its appendix.",
        ),
        published=AUTOENCODERS,
        measured=DISCRETE_MNIST,
    ),
    Recipe(
        name="structured-mnist",
        title="Lower from upper half, two layers",
        paper=FEEDFORWARD,
        data=Data("binarized_mnist", binarization="fixed"),
        model=Architecture("structured", hidden=((), ()), latent=(200, 200), categories=2),
        objective=Objective("estimated", samples=5, method="vimco"),
        optimizer=Optimizer(learning_rate=1e-3),
        budget=Budget(epochs=20, batch_size=100, evaluation_samples=1000),
        smoke=SMOKE,
        differs=("20 epochs with Adam; the published numbers come from up to 2,000.",),
        published=PREDICTORS,
        measured=STRUCTURED_MNIST,
    ),
)
