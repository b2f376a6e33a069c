"""The papers that recipes come from."""

from jensen.recipes.recipe import Paper

__all__ = ["AEVB", "CONTINUOUS_BERNOULLI", "FASHION", "IWAE"]

AEVB = Paper("Auto-Encoding Variational Bayes", "Kingma & Welling", 2014, "https://arxiv.org/abs/1312.6114v11")
IWAE = Paper(
    "Importance Weighted Autoencoders", "Burda, Grosse & Salakhutdinov", 2016, "https://arxiv.org/abs/1509.00519v4"
)
CONTINUOUS_BERNOULLI = Paper(
    "The continuous Bernoulli: fixing a pervasive error in variational autoencoders",
    "Loaiza-Ganem & Cunningham",
    2019,
    "https://arxiv.org/abs/1907.06845v5",
)
FASHION = Paper(
    "Fashion-MNIST: a Novel Image Dataset for Benchmarking",
    "Xiao, Rasul & Vollgraf",
    2017,
    "https://arxiv.org/abs/1708.07747",
)
