"""The variational autoencoder's own experiments, and grey MNIST under the likelihood that fits it."""

from jensen.recipes.architectures import Architecture
from jensen.recipes.measured import FREY_VAE, MNIST_VAE
from jensen.recipes.objectives import Objective
from jensen.recipes.papers import AEVB, CONTINUOUS_BERNOULLI
from jensen.recipes.recipe import Budget, Data, Optimizer, Published, Recipe

__all__ = ["RECIPES"]

ADAM = "Adam with learning rate 1e-3 replaces Adagrad; no weight decay; weights start Glorot-uniform."
SMOKE = Budget(epochs=1, batch_size=20, evaluation_samples=20, images=60)

RECIPES = (
    Recipe(
        name="vae-mnist",
        title="VAE, analytic KL",
        paper=AEVB,
        data=Data("mnist"),
        model=Architecture("vae", hidden=((500,),), latent=(20,)),
        objective=Objective("sgvb_b", samples=1),
        optimizer=Optimizer(),
        budget=Budget(epochs=100, batch_size=100),
        smoke=SMOKE,
        differs=(ADAM, "Grey levels are binarised on every use; the paper puts them into a Bernoulli as they are."),
        published=(Published("ELBO", -100.0, "Kingma & Welling 2014, about, read off Figure 2 (latent size 20)"),),
        measured=MNIST_VAE,
    ),
    Recipe(
        name="vae-frey",
        title="VAE, Gaussian pixels, free scale",
        paper=AEVB,
        data=Data("frey", binarization="grey"),
        model=Architecture("vae", hidden=((200,),), latent=(10,), likelihood="gaussian", scale="learned"),
        objective=Objective("sgvb_b", samples=1),
        optimizer=Optimizer(),
        budget=Budget(epochs=1000, batch_size=100),
        smoke=SMOKE,
        differs=(
            ADAM,
            "The scale is one learned number for each pixel, the same for all faces; the paper's decoder predicts it.",
            "200 of the 1,965 faces are held out for validation and 200 for the test.",
        ),
        measured=FREY_VAE,
    ),
    Recipe(
        name="vae-mnist-grey",
        title="VAE, continuous-Bernoulli pixels",
        paper=CONTINUOUS_BERNOULLI,
        data=Data("mnist", binarization="grey"),
        model=Architecture("vae", hidden=((500,),), latent=(20,), likelihood="continuous_bernoulli"),
        objective=Objective("sgvb_b", samples=1),
        optimizer=Optimizer(),
        budget=Budget(epochs=100, batch_size=100),
        smoke=SMOKE,
        differs=("The networks are those of vae-mnist.",),
    ),
)
