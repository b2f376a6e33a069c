"""The papers that recipes come from."""

from jensen.recipes.recipe import Paper

__all__ = [
    "AEVB",
    "BIRKHOFF",
    "CONTINUOUS_BERNOULLI",
    "FASHION",
    "FEEDFORWARD",
    "IWAE",
    "RAO_BLACKWELL",
    "REBAR",
    "WITHOUT_REPLACEMENT",
]

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
WITHOUT_REPLACEMENT = Paper(
    "Estimating Gradients for Discrete Random Variables by Sampling without Replacement",
    "Kool, van Hoof & Welling",
    2020,
    "https://arxiv.org/abs/2002.06043",
)
FEEDFORWARD = Paper(
    "Techniques for Learning Binary Stochastic Feedforward Neural Networks",
    "Raiko, Berglund, Alain & Dinh",
    2015,
    "https://arxiv.org/abs/1406.2989",
)
BIRKHOFF = Paper(
    "Reparameterizing the Birkhoff Polytope for Variational Permutation Inference",
    "Linderman, Mena, Cooper, Paninski & Cunningham",
    2018,
    "https://arxiv.org/abs/1710.09508v1",
)
RAO_BLACKWELL = Paper(
    "Rao-Blackwellized Stochastic Gradients for Discrete Distributions",
    "Liu, Regier, Tripuraneni, Jordan & McAuliffe",
    2019,
    "https://arxiv.org/abs/1810.04777v3",
)
REBAR = Paper(
    "REBAR: Low-variance, unbiased gradient estimates for discrete latent variable models",
    "Tucker, Mnih, Maddison, Lawson & Sohl-Dickstein",
    2017,
    "https://arxiv.org/abs/1703.07370v4",
)
