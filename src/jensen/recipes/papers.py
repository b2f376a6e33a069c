"""The papers that recipes come from."""

from jensen.recipes.recipe import Paper

__all__ = [
    "AEVB",
    "BAYESIAN_COMPRESSION",
    "BAYES_BY_BACKPROP",
    "BETA_VAE",
    "BIRKHOFF",
    "BRIDGE",
    "CONTINUOUS_BERNOULLI",
    "DEBIASING",
    "DRAW",
    "DYNESTY",
    "EM",
    "FASHION",
    "FEEDFORWARD",
    "FRIEL",
    "GECO",
    "IAF",
    "IWAE",
    "LADDER",
    "LAPLACE_REDUX",
    "MATHIEU",
    "MULTINEST",
    "NEAL_SLICE",
    "NINETEEN",
    "PIXEL_CNN",
    "PROBABILISTIC_BACKPROPAGATION",
    "RAO_BLACKWELL",
    "REBAR",
    "ROSENBROCK",
    "SPARSE_VD",
    "TURTLES",
    "TUTORIAL",
    "VARIATIONAL_DROPOUT",
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
NINETEEN = Paper(
    "19 Dubious Ways to Compute the Marginal Likelihood of a Phylogenetic Tree Topology",
    "Fourment, Magee, Whidden, Bilge, Matsen & Minin",
    2020,
    "https://arxiv.org/abs/1811.11804",
)
FRIEL = Paper("Estimating the evidence: a review", "Friel & Wyse", 2012, "https://arxiv.org/abs/1111.1957")
TURTLES = Paper(
    "An Empirical Comparison of Methods for Computing Bayes Factors in Generalized Linear Mixed Models",
    "Sinharay & Stern",
    2005,
    "https://doi.org/10.1198/106186005X47471",
)
TUTORIAL = Paper(
    "A Tutorial on Bridge Sampling",
    "Gronau, Sarafoglou, Matzke, Ly, Boehm, Marsman, Leslie, Forster, Wagenmakers & Steingroever",
    2017,
    "https://arxiv.org/abs/1703.05984",
)
BRIDGE = Paper(
    "Simulating Ratios of Normalizing Constants via a Simple Identity",
    "Meng & Wong",
    1996,
    "https://www.jstor.org/stable/24306045",
)
MULTINEST = Paper(
    "MultiNest: an efficient and robust Bayesian inference tool for cosmology and particle physics",
    "Feroz, Hobson & Bridges",
    2009,
    "https://arxiv.org/abs/0809.3437",
)
DYNESTY = Paper(
    "dynesty: a dynamic nested sampling package for estimating Bayesian posteriors and evidences",
    "Speagle",
    2020,
    "https://arxiv.org/abs/1904.02180",
)
EM = Paper(
    "Maximum Likelihood from Incomplete Data via the EM Algorithm",
    "Dempster, Laird & Rubin",
    1977,
    "https://www.jstor.org/stable/2984875",
)
NEAL_SLICE = Paper("Slice Sampling", "Neal", 2003, "https://doi.org/10.1214/aos/1056562461")
ROSENBROCK = Paper(
    "An Automatic Method for Finding the Greatest or Least Value of a Function",
    "Rosenbrock",
    1960,
    "https://doi.org/10.1093/comjnl/3.3.175",
)
DEBIASING = Paper(
    "Debiasing Evidence Approximations: On Importance-weighted Autoencoders and Jackknife Variational Inference",
    "Nowozin",
    2018,
    "https://openreview.net/forum?id=HyZoi-WRb",
)
VARIATIONAL_DROPOUT = Paper(
    "Variational Dropout and the Local Reparameterization Trick",
    "Kingma, Salimans & Welling",
    2015,
    "https://arxiv.org/abs/1506.02557v2",
)
BAYES_BY_BACKPROP = Paper(
    "Weight Uncertainty in Neural Networks",
    "Blundell, Cornebise, Kavukcuoglu & Wierstra",
    2015,
    "https://arxiv.org/abs/1505.05424v2",
)
SPARSE_VD = Paper(
    "Variational Dropout Sparsifies Deep Neural Networks",
    "Molchanov, Ashukha & Vetrov",
    2017,
    "https://arxiv.org/abs/1701.05369v3",
)
BAYESIAN_COMPRESSION = Paper(
    "Bayesian Compression for Deep Learning", "Louizos, Ullrich & Welling", 2017, "https://arxiv.org/abs/1705.08665v4"
)
PROBABILISTIC_BACKPROPAGATION = Paper(
    "Probabilistic Backpropagation for Scalable Learning of Bayesian Neural Networks",
    "Hernandez-Lobato & Adams",
    2015,
    "https://arxiv.org/abs/1502.05336v2",
)
LAPLACE_REDUX = Paper(
    "Laplace Redux - Effortless Bayesian Deep Learning",
    "Daxberger, Kristiadi, Immer, Eschenhagen, Bauer & Hennig",
    2021,
    "https://arxiv.org/abs/2106.14806v3",
)
DRAW = Paper(
    "DRAW: A Recurrent Neural Network For Image Generation",
    "Gregor, Danihelka, Graves, Rezende & Wierstra",
    2015,
    "https://arxiv.org/abs/1502.04623v2",
)
MATHIEU = Paper(
    "Disentangling factors of variation in deep representations using adversarial training",
    "Mathieu, Zhao, Sprechmann, Ramesh & LeCun",
    2016,
    "https://arxiv.org/abs/1611.03383",
)
GECO = Paper("Taming VAEs", "Rezende & Viola", 2018, "https://arxiv.org/abs/1810.00597")
BETA_VAE = Paper(
    "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework",
    "Higgins, Matthey, Pal, Burgess, Glorot, Botvinick, Mohamed & Lerchner",
    2017,
    "https://openreview.net/forum?id=Sy2fzU9gl",
)
LADDER = Paper(
    "Ladder Variational Autoencoders",
    "Sønderby, Raiko, Maaløe, Sønderby & Winther",
    2016,
    "https://arxiv.org/abs/1602.02282",
)
IAF = Paper(
    "Improving Variational Inference with Inverse Autoregressive Flow",
    "Kingma, Salimans, Jozefowicz, Chen, Sutskever & Welling",
    2016,
    "https://arxiv.org/abs/1606.04934",
)
PIXEL_CNN = Paper(
    "PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other Modifications",
    "Salimans, Karpathy, Chen & Kingma",
    2017,
    "https://arxiv.org/abs/1701.05517",
)
