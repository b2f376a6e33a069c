import pytest
import torch

from jensen.training import derived_seed, epoch_order, fit, isolated

CPU = torch.device("cpu")


def test_the_order_is_a_permutation_that_depends_on_seed_and_epoch_alone():
    torch.manual_seed(0)
    first = epoch_order(1000, seed=3, epoch=5)
    torch.manual_seed(99)
    assert torch.equal(first, epoch_order(1000, seed=3, epoch=5))
    assert torch.equal(first.sort().values, torch.arange(1000))
    assert not torch.equal(first, epoch_order(1000, seed=3, epoch=6))
    assert not torch.equal(first, epoch_order(1000, seed=4, epoch=5))


def test_seeds_for_different_purposes_differ():
    paths = [(kind, part) for kind in range(4) for part in range(50)]
    assert len({derived_seed(seed, *path) for seed in range(5) for path in paths}) == 5 * len(paths)


def test_the_order_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    epoch_order(10, seed=0, epoch=0)
    assert torch.equal(before, torch.get_rng_state())


def test_isolation_hands_the_generator_back_also_after_an_error():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), isolated(CPU, seed=1):
        torch.rand(3).view(2)
    assert torch.equal(before, torch.get_rng_state())


def test_training_does_not_move_the_caller_s_generator(model, data):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    fit(model, lambda m, x: m.log_weights(x).total.mean(0), data, epochs=1, accelerator="cpu", validation=data)
    assert torch.equal(before, torch.get_rng_state())


def test_the_caller_s_generator_does_not_move_training(data):
    from training_worlds import linear_gaussian

    weights = []
    for start in (0, 1):
        model = linear_gaussian()
        torch.manual_seed(start)
        fit(model, lambda m, x: m.log_weights(x).total.mean(0), data, epochs=2, batch_size=8, accelerator="cpu")
        weights.append(model.decoder.weight.detach())
    assert torch.equal(*weights)


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        derived_seed(-1)
