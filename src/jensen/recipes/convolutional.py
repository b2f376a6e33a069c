"""Convolutional, ladder and flow autoencoders, with likelihoods of bits, of grey levels and of colours."""

from dataclasses import replace

from jensen.recipes.architectures import ConvolutionalArchitecture, Flow, LadderArchitecture
from jensen.recipes.generative_measured import (
    CIFAR10_SUBSET,
    CONV_DIGITS,
    CONV_DIGITS_LEVELS,
    CONV_IWAE_MNIST,
    FLOW_DIGITS,
    LADDER_DIGITS,
    LADDER_DIGITS_FREE_BITS,
    LADDER_MNIST,
)
from jensen.recipes.objectives import Objective
from jensen.recipes.papers import AEVB, IAF, IWAE, LADDER, PIXEL_CNN
from jensen.recipes.recipe import Budget, Data, Optimizer, Published, Recipe

__all__ = ["RECIPES"]

SMOKE = Budget(epochs=2, batch_size=20, evaluation_samples=5, images=40)
COSINE = Optimizer(learning_rate=2e-3, schedule="cosine", clip_norm=50.0)
WARM = Optimizer(learning_rate=2e-3, schedule="cosine", kl_warmup=20.0)
NETWORKS = "Residual stages of stride two in place of perceptrons."
SMALL = "The paper has 28x28 images; these digits are 8x8, 1,297 to train on."

DIGITS = Recipe(
    name="conv-vae-digits",
    title="Convolutional VAE on 8x8 digits",
    paper=AEVB,
    data=Data("digits"),
    model=ConvolutionalArchitecture((16, 32), hidden=64, latent=16),
    objective=Objective("sgvb_b"),
    optimizer=COSINE,
    budget=Budget(epochs=80, batch_size=50),
    smoke=SMOKE,
    threads=1,
    differs=(NETWORKS, SMALL),
    measured=CONV_DIGITS,
)
LADDER_ON_DIGITS = replace(
    DIGITS,
    name="ladder-digits",
    title="Ladder on 8x8 digits",
    paper=LADDER,
    model=LadderArchitecture(hidden=((100, 100), (50, 50)), latent=(16, 8)),
    optimizer=WARM,
    budget=Budget(epochs=200, batch_size=50),
    differs=(
        "Two stochastic layers, the paper has five, of 28x28 images.",
        "No batch normalisation.",
        "The KL warms up for 20 epochs, 200 in the paper.",
    ),
    measured=LADDER_DIGITS,
)

RECIPES = (
    DIGITS,
    replace(
        DIGITS,
        name="conv-vae-digits-levels",
        title="Conv VAE, 17 grey levels of digits",
        data=Data("digits", binarization="levels"),
        model=ConvolutionalArchitecture((16, 32), hidden=64, latent=16, likelihood="discretized_logistic", levels=17),
        differs=(NETWORKS, SMALL, "Grey levels are probabilities, the mean negative bound a code length."),
        measured=CONV_DIGITS_LEVELS,
    ),
    replace(
        DIGITS,
        name="flow-vae-digits",
        title="Conv VAE, flow posterior, digits",
        paper=IAF,
        model=ConvolutionalArchitecture((16, 32), hidden=64, latent=16, flow=Flow("maf", transforms=2)),
        objective=Objective("elbo"),
        optimizer=WARM,
        differs=(
            SMALL,
            "The flow's context is the encoder's mean and log-scale, not another output of it.",
            "The KL warms up for 20 epochs: without, the flow falls silent in the first of them.",
        ),
        measured=FLOW_DIGITS,
    ),
    LADDER_ON_DIGITS,
    replace(
        LADDER_ON_DIGITS,
        name="ladder-digits-free-bits",
        title="Ladder on digits, free bits",
        paper=IAF,
        objective=Objective("free_bits", free_bits=0.25),
        optimizer=replace(WARM, kl_warmup=0.0),
        differs=(SMALL, "A ladder of perceptrons; a group of latents is a unit."),
        measured=LADDER_DIGITS_FREE_BITS,
    ),
    Recipe(
        name="conv-iwae-mnist",
        title="Convolutional IWAE, K = 5",
        paper=IWAE,
        data=Data("mnist"),
        model=ConvolutionalArchitecture((16, 32), hidden=128, latent=32),
        objective=Objective("iwae", samples=5),
        optimizer=COSINE,
        budget=Budget(epochs=10, batch_size=100, evaluation_samples=500),
        smoke=SMOKE,
        threads=1,
        differs=(NETWORKS, "10 epochs of a cosine schedule in place of 3,280."),
        published=(Published("NLL", 85.54, "Burda et al. 2016, Table 1: IWAE, one stochastic layer, k = 5"),),
        measured=CONV_IWAE_MNIST,
    ),
    Recipe(
        name="ladder-mnist",
        title="Ladder of five stochastic layers",
        paper=LADDER,
        data=Data("mnist"),
        model=LadderArchitecture(
            hidden=((512, 512), (256, 256), (128, 128), (64, 64), (32, 32)), latent=(64, 32, 16, 8, 4)
        ),
        objective=Objective("balanced"),
        optimizer=replace(WARM, learning_rate=1e-3, kl_warmup=10.0),
        budget=Budget(epochs=40, batch_size=256, evaluation_samples=500),
        smoke=SMOKE,
        threads=1,
        differs=(
            "No batch normalisation; KL terms are balanced between the layers while their weight rises.",
            "40 epochs of which 10 of warm-up; the paper has 2,000, 200 of them of warm-up.",
        ),
        published=(Published("NLL", 81.74, "Sønderby et al. 2016, Table 1: five layers, fine-tuned, 10 samples"),),
        measured=LADDER_MNIST,
    ),
    Recipe(
        name="conv-vae-cifar10",
        title="Conv VAE, logistic mixture, colour",
        paper=PIXEL_CNN,
        data=Data("cifar10", binarization="levels"),
        model=ConvolutionalArchitecture(
            (32, 64, 128), hidden=512, latent=128, likelihood="discretized_logistic_mixture", levels=256, mixtures=5
        ),
        objective=Objective("sgvb_b"),
        optimizer=replace(COSINE, learning_rate=1e-3, kl_warmup=2.0, clip_norm=500.0),
        budget=Budget(epochs=40, batch_size=64, evaluation_samples=50),
        smoke=SMOKE,
        differs=(
            "The likelihood is the paper's, for an autoencoder: pixels are independent given the latents, "
            "so the bound stays far from an autoregressive model's.",
        ),
        measured=CIFAR10_SUBSET,
    ),
)
