"""DRAW's recipes: what they build, what they say, and that the small one trains."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from jensen import recipes
from jensen.evaluation import evaluate
from jensen.models import DRAW
from jensen.recipes import DrawArchitecture
from jensen.recipes.build import make_model
from jensen.recipes.config import Config
from jensen.recipes.machine import make_folder
from jensen.recipes.running import build, load_model, train

SMALL = {"glimpses": 3, "hidden": 6, "latent": 2}


def test_the_paper_is_there_with_its_sizes_and_numbers():
    for name, read, write, value in (("draw-mnist", None, None, -87.40), ("draw-mnist-attention", 2, 5, -80.97)):
        recipe = recipes.get(name)
        assert recipe.model == DrawArchitecture(64, 256, 100, read=read, write=write, cell="lstm")
        assert recipe.data.name == "binarized_mnist"
        assert [entry.value for entry in recipe.published] == [value]


def test_twins_differ_from_the_small_recipe_where_they_say():
    small, single = recipes.get("draw-mnist-small"), recipes.get("draw-mnist-small-t1")
    assert (single.model.hidden, single.model.latent) == (small.model.hidden, small.model.latent)
    assert (single.model.glimpses, small.model.glimpses) == (1, 8)
    assert (single.optimizer, single.budget, single.data) == (small.optimizer, small.budget, small.data)
    vae = recipes.get("draw-mnist-small-vae")
    assert (vae.data, vae.objective, vae.budget.batch_size) == (small.data, small.objective, small.budget.batch_size)
    assert vae.budget.epochs >= small.budget.epochs


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "gaussian"])
@pytest.mark.parametrize("scale", ["learned", "conditional", 0.1])
@pytest.mark.parametrize("shape", [(5, 4), (4, 5, 3)])
def test_the_first_canvas_is_the_pixel_means(likelihood, scale, shape):
    mean = torch.linspace(0.1, 0.9, torch.Size(shape).numel())
    model = make_model(DrawArchitecture(**SMALL, likelihood=likelihood, scale=scale), shape, mean=mean)
    for parameter in model.writer.parameters():
        torch.nn.init.zeros_(parameter)
    pixels = model.likelihood(model.zero)
    location = {"continuous_bernoulli": lambda: torch.sigmoid(pixels.logits)}.get(likelihood, lambda: pixels.mean)()
    assert_close(location, mean, atol=1e-5, rtol=0)
    x = mean.expand(2, -1).round() if likelihood == "bernoulli" else mean.expand(2, -1)
    model.log_weights(x, 2).total.sum().backward()
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None for parameter in learned)


def test_attention_and_cell_are_as_asked():
    sizes = DrawArchitecture(**SMALL, read=2, write=3, cell="gru")
    model = make_model(sizes, (5, 4))
    assert isinstance(model, DRAW)
    assert (model.glimpses, model.latent, model.read, model.write) == (3, 2, 2, 3)
    assert type(model.encoder).__name__ == type(model.decoder).__name__ == "GRU"


@pytest.mark.parametrize("options", [{}, {"read": 5, "write": 5}])
def test_a_few_epochs_on_digits_raise_the_bound_and_a_checkpoint_keeps_it(options, tmp_path):
    recipe = recipes.adapt(recipes.get("draw-digits"), epochs=16)
    recipe = replace(recipe, model=DrawArchitecture(4, 32, 4, **options))
    config = Config(recipe, 0, (8, 8), device="cpu")
    make_folder(tmp_path / "run", config)
    history = train(tmp_path / "run", config, build(recipe), device="cpu", progress=False)
    bounds = [epoch.validation for epoch in history.epochs]
    assert bounds[-1] > bounds[0] + 1
    _, model = load_model(tmp_path / "run")
    found = evaluate(model, build(recipe).test[:40], samples=20, ks=(1, 20))
    assert found.rows[0].value < found.rows[1].value
    assert found.rows[0].value == pytest.approx(bounds[-1], abs=3)
    assert len(found.layers) == 4
