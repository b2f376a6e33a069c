import pytest
import torch
from torch import nn
from torch.distributions import Categorical
from torch.testing import assert_close

from jensen.gradients.baselines import MovingAverage
from jensen.gradients.score_function import kernel, score_function

DOUBLE = torch.float64


def filled(decay, *history):
    baseline = MovingAverage(decay=decay).double()
    for cost in history:
        baseline.update(torch.tensor([cost], dtype=DOUBLE))
    return baseline


def test_the_average_is_that_of_its_definition():
    costs, decay = [3.0, -1.0, 4.0, 1.5], 0.8
    baseline = MovingAverage(decay=decay).double()
    for t in range(1, len(costs) + 1):
        baseline.update(torch.tensor([costs[t - 1]], dtype=DOUBLE))
        weights = [decay ** (t - 1 - s) for s in range(t)]
        exact = sum(w * c for w, c in zip(weights, costs, strict=False)) / sum(weights)
        assert_close(baseline().item(), exact, atol=1e-14, rtol=0)


def test_before_the_first_cost_it_is_zero():
    assert MovingAverage()() == 0
    assert torch.equal(MovingAverage(batch_shape=(2, 3))(), torch.zeros(2, 3))


def test_a_constant_cost_is_its_average_from_the_first_step():
    assert_close(filled(0.99, 5.0)().item(), 5.0)
    assert_close(filled(0.99, 5.0, 5.0)().item(), 5.0)


def test_decay_zero_remembers_the_last_cost_alone():
    assert filled(0.0, 5.0, 7.0)() == 7


def test_it_keeps_one_average_for_everything_or_one_for_each_batch_element():
    cost = torch.tensor([[1.0, 2.0], [3.0, 8.0]])
    whole, each = MovingAverage(), MovingAverage(batch_shape=(2,))
    whole.update(cost)
    each.update(cost)
    assert_close(whole(), torch.tensor(3.5))
    assert_close(each(), torch.tensor([2.0, 5.0]))
    with pytest.raises(ValueError, match=r"shape \(1, 3\); this average expects \(K, \*\(2,\)\)"):
        each.update(torch.zeros(1, 3))


def test_read_before_the_update_it_leaves_the_gradient_unbiased(case, over_all_tuples, exact):
    baseline = filled(0.9, 3.0, 1.0)
    found = over_all_tuples(case, lambda cost, log_q: kernel(cost, log_q, baseline=baseline()), 1)
    value, gradient = exact(case)
    assert_close(found.value, value, atol=1e-12, rtol=0)
    assert_close(found.gradient, gradient, atol=1e-12, rtol=0)


@pytest.mark.parametrize("decay", [0.5, 0.95])
def test_one_that_holds_the_current_cost_shrinks_the_gradient_by_the_decay(case, over_all_tuples, exact, decay):
    past = 2.0

    def twin(cost, log_q):
        return kernel(cost, log_q, baseline=decay * past + (1 - decay) * cost)

    _, gradient = exact(case)
    assert_close(over_all_tuples(case, twin, 1).gradient, decay * gradient, atol=1e-12, rtol=0)


def test_the_value_is_what_a_learned_baseline_regresses_on(case, exact):
    """The gradient of (value - b)^2 / 2 over all single draws: b minus the mean cost."""
    b = torch.tensor(0.7, dtype=DOUBLE, requires_grad=True)
    log_q = case.q(case.logits).log_prob(case.states)
    values = kernel(case.f(case.states).unsqueeze(0), log_q.unsqueeze(0), baseline=b.detach())
    loss = (log_q.exp() * (values.detach() - b).square()).sum() / 2
    assert_close(torch.autograd.grad(loss, b)[0], b.detach() - exact(case)[0], atol=1e-12, rtol=0)


class Watched(nn.Module):
    def __init__(self):
        super().__init__()
        self.events = []

    def forward(self):
        self.events.append("read")
        return torch.zeros(())

    def update(self, cost):
        self.events.append(("update", tuple(cost.shape), cost.requires_grad))


def test_it_is_read_then_updated_with_the_costs():
    baseline = Watched()
    scale = torch.tensor(2.0, requires_grad=True)
    score_function(lambda z: scale * z.float(), Categorical(logits=torch.zeros(5, 3)), samples=4, baseline=baseline)
    assert baseline.events == ["read", ("update", (4, 5), False)]


def test_the_first_step_has_no_baseline_and_the_second_that_of_the_first():
    table = torch.tensor([4.0, 4.0, 4.0], dtype=DOUBLE)
    baseline = MovingAverage()
    logits = torch.zeros(3, dtype=DOUBLE, requires_grad=True)
    gradients = []
    for _ in range(2):
        value = score_function(lambda z: table[z], Categorical(logits=logits), baseline=baseline)
        gradients.append(torch.autograd.grad(value, logits)[0])
    assert gradients[0].abs().max() > 1
    assert_close(gradients[1], torch.zeros(3, dtype=DOUBLE), atol=1e-6, rtol=0)


def test_the_state_survives_saving():
    old, new = filled(0.9, 3.0, 1.0), MovingAverage(decay=0.9).double()
    new.load_state_dict(old.state_dict())
    assert torch.equal(new(), old())
    for each in (old, new):
        each.update(torch.tensor([7.0], dtype=DOUBLE))
    assert torch.equal(new(), old())


def test_it_has_nothing_to_learn_and_shows_its_arguments():
    assert list(MovingAverage().parameters()) == []
    assert repr(MovingAverage(decay=0.5, batch_shape=(2,))) == "MovingAverage(decay=0.5, batch_shape=(2,))"


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_outside_its_range_is_refused(decay):
    with pytest.raises(ValueError, match="decay must be at least 0 and below 1"):
        MovingAverage(decay=decay)


def test_an_infinite_cost_is_not_remembered():
    baseline = MovingAverage(decay=0.5)
    for cost in (4.0, torch.inf, torch.nan, 1.0):
        baseline.update(torch.tensor([[cost]]))
    assert baseline().item() == 2.0
