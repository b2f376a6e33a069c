"""The audit says what is true: exact variances, true biases, fair prices, and whom to trust."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Categorical, Independent, MultivariateNormal, Normal, OneHotCategorical
from torch.testing import assert_close

from jensen.gradients.audit import Audit, audit
from jensen.gradients.audit.moments import Moments
from jensen.gradients.audit.replicas import expandable, gradients_apart, held, named_parameters, replicate
from jensen.gradients.registry import UnsupportedError
from jensen.gradients.score_function import leave_one_out, score_function

DOUBLE = torch.float64
R = 20_000


def leaf(case):
    return case.logits.clone().requires_grad_()


def surrogate(value, score):
    return value + (score - score.detach())


def own_cost_in_the_baseline(f, q, *, samples):
    """The commonest bug of a leave-one-out baseline."""
    z = q.sample((samples,))
    cost = f(z)
    return surrogate(cost.mean(0), ((cost - cost.mean(0)) * q.log_prob(z)).mean(0))


def folded(decay, level):
    """A moving average that takes the current cost in before it is used (storchastic), in its steady state."""

    def twin(f, q, *, samples):
        z = q.sample((samples,))
        cost = f(z)
        return surrogate(cost.mean(0), ((cost - decay * level - (1 - decay) * cost) * q.log_prob(z)).mean(0))

    return twin


def wrong_scale(f, q, *, samples):
    """A value that is not the mean (storchastic's ARM), the gradient intact."""
    value = leave_one_out(f, q, samples=samples)
    return surrogate(3 * value.detach(), value)


# --- what is measured is right ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "samples", "variance", "evaluations"),
    [
        ("score_function", 1, 12.967450, 1),
        ("score_function", 4, 3.241863, 4),
        ("leave_one_out", 2, 6.709866, 2),
        ("leave_one_out", 4, 1.760239, 4),
        ("unordered_set", 2, 3.514534, 2),
        ("unordered_set", 3, 0.715749, 3),
        ("enumerate_exact", 1, 0.0, 4),
    ],
)
def test_the_variance_is_the_exact_one(four, exact, name, samples, variance, evaluations):
    logits = leaf(four)
    (row,) = (found := audit(four.f, four.q(logits), methods=[name], samples=samples, replicates=R)).rows
    value, gradient = exact(four)
    assert row.variance == pytest.approx(variance, rel=0.08, abs=1e-12)
    assert (row.evaluations, row.differentiated) == (evaluations, 0)
    assert row.passed
    assert row.apart == "one pass"
    assert found.value == pytest.approx(float(value), abs=1e-12)
    assert found.gradient_norm == pytest.approx(float(gradient.norm()), abs=1e-12)
    assert found.coordinates == ("logits[0]", "logits[1]", "logits[2]", "logits[3]")


def test_a_bias_is_the_exact_one(four, exact):
    value, gradient = exact(four)
    methods = {"half": own_cost_in_the_baseline, "slow": folded(0.95, float(value)), "fast": folded(0.5, float(value))}
    found = audit(four.f, four.q(leaf(four)), methods=methods, samples=2, replicates=100_000)
    for name, share in [("half", -0.5), ("slow", -0.05), ("fast", -0.5)]:
        row = found.row(name)
        assert row.fault == "gradient"
        assert_close(torch.tensor(row.bias, dtype=DOUBLE), share * gradient, atol=0.05, rtol=0)
        assert row.relative_bias == pytest.approx(-share, abs=0.012)
        assert row.declared == ""
    assert "Biased here" in found.recommendation
    assert found.recommendation.startswith("No method")


def test_a_wrong_value_is_caught_and_the_gradient_cleared(four):
    found = audit(four.f, four.q(leaf(four)), methods=[("arm's value", wrong_scale), "leave_one_out"])
    assert found.row("arm's value").fault == "value"
    assert found.row("arm's value").worst_z < found.threshold
    assert found.row("arm's value").value_bias == pytest.approx(2 * found.value, rel=0.05)
    assert found.row("leave_one_out").passed


def test_a_symmetric_problem_hides_what_an_asymmetric_one_shows(three_bits):
    """Why the toys here are lopsided: a score that takes every bit for a fair coin passes where all are."""

    def twin(f, q, *, samples):
        z = q.sample((samples,))
        cost = f(z)
        score = z - 0.5  # in place of z - sigmoid(logits)
        return surrogate(cost.mean(0), (cost * (score * q.base_dist.logits).sum(-1)).mean(0))

    fair = torch.zeros(3, dtype=DOUBLE, requires_grad=True)
    assert audit(three_bits.f, three_bits.q(fair), methods={"twin": twin}, replicates=R).rows[0].passed
    assert not audit(three_bits.f, three_bits.q(leaf(three_bits)), methods={"twin": twin}, replicates=R).rows[0].passed


def test_evaluations_with_a_derivative_are_counted(four):
    found = audit(four.f, four.q(leaf(four)), methods=["rebar", "gumbel_softmax", "muprop"], samples=3, replicates=50)
    counts = {row.name: (row.evaluations, row.differentiated) for row in found.rows}
    assert counts["gumbel_softmax"] == (3, 3)
    assert counts["rebar"][0] == 9
    assert counts["rebar"][1] >= 3
    assert counts["muprop"][0] == 4


def test_a_variance_that_rests_on_one_draw_is_reported(four):
    """Importance weights without replacement have no fourth moment here: the variance found is not the exact 6.96."""
    methods = ["importance_without_replacement", "leave_one_out"]
    found = audit(four.f, four.q(leaf(four)), methods=methods, samples=2, replicates=R, seed=5)
    assert [note for note in found.notes if note.endswith("do not rely on it: importance_without_replacement")]
    assert found.row("leave_one_out").tail < 0.002


def test_work_is_variance_times_price(four):
    (row,) = audit(four.f, four.q(leaf(four)), methods=["leave_one_out"], replicates=100).rows
    assert row.per_evaluation == row.variance * 4
    assert row.per_second == row.variance * row.seconds
    assert 0 < row.seconds < 1


def test_the_threshold_is_that_of_all_coordinates_and_methods(four):
    found = audit(four.f, four.q(leaf(four)), methods=["leave_one_out", "score_function"], replicates=10)
    tests = 2 * (4 + 1)
    assert math.erfc(found.threshold / math.sqrt(2)) == pytest.approx(1e-3 / tests, rel=1e-6)


def test_z_scores_are_standard_where_there_is_no_bias(three_bits):
    scores = []
    for seed in range(60):
        (row,) = audit(three_bits.f, three_bits.q(leaf(three_bits)), methods=["arm"], replicates=200, seed=seed).rows
        scores += row.z
    spread = torch.tensor(scores).square().mean()
    assert 0.7 < spread < 1.35  # 180 correlated squares of mean one


# --- gradients of many replicates, apart -----------------------------------------------------------------------------


def distributions():
    logits = torch.randn(2, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)).requires_grad_()
    eta = torch.tensor(0.3, dtype=DOUBLE, requires_grad=True)
    cached, other = OneHotCategorical(logits=logits), OneHotCategorical(probs=logits.exp())
    _ = cached.probs, other.logits  # torch keeps them, and `expand` copies both
    yield "logits", Categorical(logits=logits), [logits]
    yield "probs", Categorical(probs=logits.exp()), [logits]
    yield "cached probs", cached, [logits]
    yield "cached logits", other, [logits]
    yield "shared", Independent(Bernoulli(logits=eta.expand(2, 3)), 1), [eta]
    yield "network", Independent(Bernoulli(probs=torch.sigmoid(logits @ logits.mT)), 1), [logits]
    yield "location", Normal(logits, eta.exp()), [logits, eta]


@pytest.mark.parametrize("each", list(distributions()), ids=lambda each: each[0])
def test_one_pass_gives_the_gradient_of_every_replicate(each):
    _, q, parameters = each
    assert [id(one) for one in named_parameters(q).values()] == [id(one) for one in parameters]
    replicas = replicate(q, 5)

    def f(z):
        return (z.to(DOUBLE).flatten(3).sum(-1) if q.event_shape else z.to(DOUBLE)).square()

    estimates = score_function(f, replicas.q, samples=3)
    assert estimates.shape == (5, *q.batch_shape)
    apart = [torch.autograd.grad(estimates[r].sum(), parameters, retain_graph=True) for r in range(5)]
    together, one_pass = gradients_apart(estimates, replicas, parameters)
    assert one_pass
    for row, alone in zip(together, apart, strict=True):
        assert_close(row, torch.cat([g.reshape(-1) for g in alone]), atol=1e-12, rtol=0)


def test_a_parameter_that_reaches_the_cost_too_is_not_missed(four):
    logits = leaf(four)

    def f(z):
        return four.f(z) * (z @ logits).exp() + logits.sum()

    found = audit(f, four.q(logits), methods=["leave_one_out", "unordered_set"], replicates=4000)
    assert {row.apart for row in found.rows} == {"cotangents"}
    assert all(row.passed for row in found.rows)
    half = audit(f, four.q(logits), methods={"half": own_cost_in_the_baseline}, samples=2, replicates=4000)
    assert not half.rows[0].passed


def test_parameters_of_the_cost_can_be_audited(four):
    logits, w = leaf(four), torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=DOUBLE, requires_grad=True)

    def f(z):
        return (z @ w - 0.3) ** 3

    def deaf(f, q, *, samples):
        return leave_one_out(lambda z: f(z).detach(), q, samples=samples)

    methods = ["leave_one_out", ("deaf", deaf)]
    found = audit(f, four.q(logits), methods=methods, replicates=4000, parameters={"logits": logits, "w": w})
    assert found.coordinates[4] == "w[0]"
    assert found.row("leave_one_out").passed
    assert found.row("deaf").fault == "gradient"
    assert found.row("deaf").worst.startswith("w[")


def test_a_distribution_with_a_network_inside_goes_by_cotangents(four):
    class Inside(OneHotCategorical):
        def __init__(self, network, batch_shape=()):
            self.network, self.shape = network, torch.Size(batch_shape)
            super().__init__(logits=network.weight[:, 0].expand(*batch_shape, 4), validate_args=False)

        def expand(self, batch_shape, _instance=None):
            return Inside(self.network, batch_shape)

    network = nn.Linear(1, 4, bias=False).double()
    found = audit(four.f, Inside(network), methods=["leave_one_out"], replicates=500, parameters=[network.weight])
    assert found.rows[0].passed
    assert found.coordinates[0] == "parameter 0[0,0]"


def test_a_distribution_whose_parameters_do_not_expand():
    scale = torch.tensor([[1.0, 0.0], [0.5, 1.0]], dtype=DOUBLE, requires_grad=True)
    q = MultivariateNormal(torch.zeros(2, dtype=DOUBLE), scale_tril=scale)
    found = audit(lambda z: z.square().sum(-1), q, methods=["pathwise", "leave_one_out"], replicates=1000)
    assert all(row.passed for row in found.rows)
    assert found.reference == "10,000 replicates of pathwise"


def test_a_cost_without_room_for_an_axis_is_evaluated_one_by_one(four):
    def f(z):
        if z.ndim != 2:
            raise IndexError("give me (K, 4)")
        return four.f(z)

    found = audit(f, four.q(leaf(four)), methods=["leave_one_out"], replicates=200)
    assert found.rows[0].apart == "loop"
    assert found.rows[0].passed
    assert found.rows[0].variance == pytest.approx(1.76, rel=0.4)
    assert any("one by one" in note for note in found.notes)


def test_a_cost_that_mixes_replicates_is_noticed(four):
    q = four.q(four.logits)
    assert expandable(four.f, q)
    assert not expandable(lambda z: four.f(z) - four.f(z).mean(), q)
    assert not expandable(lambda z: four.f(z)[:, :2], q)


def test_batches_add_up(four):
    logits = torch.stack([four.logits, -2 * four.logits]).requires_grad_()
    found = audit(four.f, four.q(logits), methods=["leave_one_out"], replicates=R)
    single = audit(four.f, four.q(leaf(four)), methods=["leave_one_out"], replicates=R)
    other = audit(four.f, four.q((-2 * four.logits).requires_grad_()), methods=["leave_one_out"], replicates=R)
    assert found.size == 8
    assert found.value == pytest.approx(single.value + other.value)
    assert found.rows[0].variance == pytest.approx(single.rows[0].variance + other.rows[0].variance, rel=0.05)
    assert found.rows[0].evaluations == 4


def test_names_come_from_the_distribution():
    loc = torch.zeros(2, requires_grad=True)
    base = torch.zeros((), requires_grad=True)
    assert list(named_parameters(Normal(loc, base.exp()))) == ["loc", "scale"]
    assert list(held(Independent(Normal(loc, 1.0), 1))) == ["base_dist.loc"]
    assert list(named_parameters(Categorical(logits=loc))) == ["logits"]
    assert list(named_parameters(Categorical(probs=loc.exp()))) == ["probs"]
    assert list(named_parameters(Normal(loc + base, 1.0))) == ["loc/0", "loc/1"]


def test_moments_are_those_of_all_rows():
    rows = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0), dtype=DOUBLE) + 1e6
    moments = Moments()
    for chunk in rows.split(77):
        moments.add(chunk)
    assert_close(moments.mean, rows.mean(0))
    assert_close(moments.variance, rows.var(0))
    assert_close(moments.std_error, rows.std(0) / math.sqrt(1000))
    assert 1 / 1000 < moments.tail < 0.03
    moments.add(1e6 + 1e3 * torch.ones(1, 3, dtype=DOUBLE))
    assert moments.tail > 0.9


# --- what applies, what is said --------------------------------------------------------------------------------------


def test_what_does_not_apply_is_skipped_with_its_reason(four):
    found = audit(four.f, four.q(leaf(four)), samples=1, replicates=20)
    reasons = {each.name: each.reason for each in found.skipped}
    assert {"pathwise", "arm", "disarm", "leave_one_out"} <= reasons.keys()
    assert "rsample" in reasons["pathwise"]
    assert "at least 2" in reasons["leave_one_out"]
    assert "not applicable: pathwise" in found.table()


def test_without_a_list_of_values_a_long_run_is_the_reference():
    loc = torch.tensor([0.5, -1.0], dtype=DOUBLE, requires_grad=True)
    q = Normal(loc, torch.tensor([0.5, 2.0], dtype=DOUBLE))
    found = audit(lambda z: torch.sin(z) + z**2, q, replicates=2000)
    assert found.reference == "20,000 replicates of pathwise"
    assert {"pathwise", "score_function", "leave_one_out"} <= {row.name for row in found.rows}
    assert all(row.passed for row in found.rows)
    shifted = {"shifted": lambda f, q, *, samples: score_function(f, Normal(q.loc * 1.1, q.scale), samples=samples)}
    assert not audit(lambda z: torch.sin(z) + z**2, q, methods=shifted, replicates=20_000).rows[0].passed


def test_the_reference_can_be_named(four):
    q = four.q(leaf(four))
    assert audit(four.f, q, methods=["arm", "leave_one_out"], reference="score_function", replicates=50).reference == (
        "500 replicates of score_function"
    )
    with pytest.raises(ValueError, match="reference='reinmax' is biased"):
        audit(four.f, q, reference="reinmax")
    with pytest.raises(ValueError, match="pathwise cannot be the reference"):
        audit(four.f, q, reference="pathwise")
    with pytest.raises(ValueError, match="no list of values, an exact reference sums"):
        audit(torch.sin, Normal(torch.zeros(2, requires_grad=True), 1.0), reference="exact")


def test_the_recommendation_says_what_and_why(four):
    found = audit(four.f, four.q(leaf(four)), methods=["score_function", "leave_one_out", "gumbel_softmax"])
    said = found.recommendation
    assert said.startswith(
        "Use leave_one_out: of the 2 methods that pass the bias test it has the least variance times"
    )
    assert "Biased here: gumbel_softmax (by 73" in said
    exact = audit(four.f, four.q(leaf(four)), methods=["enumerate_exact", "leave_one_out"], replicates=50)
    assert exact.recommendation == "Use enumerate_exact: it is exact at 4 evaluations of f."


def test_a_biased_method_that_passes_by_luck_is_not_recommended():
    logits = torch.tensor([0.3, -0.6], dtype=DOUBLE, requires_grad=True)
    q = Independent(Bernoulli(logits=logits), 1)
    found = audit(lambda z: z.sum(-1), q, methods=["straight_through_mean", "leave_one_out"])
    assert found.row("straight_through_mean").passed
    assert found.recommendation.startswith("Use leave_one_out")
    assert "straight_through_mean shows no bias on this problem and varies less" in found.recommendation


def test_the_table_fits_a_terminal(three_bits):
    found = audit(three_bits.f, three_bits.q(leaf(three_bits)), replicates=200)
    lines = found.table().splitlines()
    assert max(map(len, lines)) <= 100
    for row in found.rows:
        assert sum(line.startswith(f"{row.name} ") for line in lines) == 1


def test_the_numbers_travel_as_json(four):
    found = audit(four.f, four.q(leaf(four)), replicates=50)
    assert Audit.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "an audit must be JSON"),
        ("[]", "must be an object with"),
        ('{"format": "jensen-gradient-audit-1"}', "audit must have exactly the entries"),
    ],
)
def test_damaged_json_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Audit.from_json(text)


def test_a_number_edited_by_hand_is_refused(four):
    text = audit(four.f, four.q(leaf(four)), methods=["score_function"], replicates=10).to_json()
    with pytest.raises(ValueError, match=r"audit\.samples must be of type int, got 'four'"):
        Audit.from_json(text.replace('"samples": 4', '"samples": "four"'))


def test_the_same_seed_gives_the_same_numbers_and_the_global_state_stays(four):
    state = torch.random.get_rng_state()
    logits = leaf(four)
    first, same, other = (
        audit(four.f, four.q(logits), methods={"own": own_cost_in_the_baseline}, replicates=50, seed=seed).rows[0].bias
        for seed in (1, 1, 2)
    )
    assert first == same != other
    assert torch.equal(torch.random.get_rng_state(), state)
    assert logits.grad is None


def test_single_precision_is_not_taken_for_bias(four):
    logits = four.logits.float().requires_grad_()
    w = torch.tensor([1.0, -2.0, 3.0, 0.5])
    found = audit(lambda z: (z @ w - 0.3) ** 2, OneHotCategorical(logits=logits), replicates=R, methods=[
        "enumerate_exact", "unordered_set", "leave_one_out"])  # fmt: skip
    assert all(row.passed for row in found.rows)
    assert found.row("unordered_set").variance == 0


def test_impossible_values_do_no_harm(four):
    logits = torch.tensor([0.6, -math.inf, 0.1, -0.9], dtype=DOUBLE, requires_grad=True)
    found = audit(four.f, four.q(logits), methods=["enumerate_exact", "leave_one_out", "unordered_set"], samples=2)
    assert all(row.passed for row in found.rows)


def refused(f, q, message, **options):
    with pytest.raises(ValueError, match=message):
        audit(f, q, **options)


def test_bad_input_is_refused(four):
    q = four.q(leaf(four))
    refused(four.f, q, "unknown estimator 'leave_one'; did you mean 'leave_one_out'", methods=["leave_one"])
    refused(four.f, q, "asked for twice", methods=["arm", "arm"])
    refused(four.f, q, "must be a list of names, got 'arm'", methods="arm")
    refused(four.f, q, "there is no method to audit", methods=[])
    refused(four.f, q, "relax needs control=", methods=["relax"])
    refused(four.f, q, "replicates at least 2, got 4 and 1", replicates=1)
    refused(four.f, q, "samples must be at least 1 .*got 0", samples=0)
    refused(four.f, q, r"no method applies to this f and q. arm: ", methods=["arm"])
    refused(four.f, four.q(four.logits), "OneHotCategorical has no parameter that requires a gradient")
    refused(four.f, q, "parameter 0 requires no gradient", parameters=[torch.zeros(3)])
    refused(lambda z: z, q, "f returned costs of shape")


def test_an_estimator_of_another_shape_is_refused(four):
    def sums(f, q, *, samples):
        return f(q.sample((samples,)))

    refused(four.f, four.q(leaf(four)), r"sums returned shape \(4,\) for q of batch shape \(\)", methods={"sums": sums})


def test_errors_of_ones_own_estimator_are_not_swallowed(four):
    def broken(f, q, *, samples):
        raise ValueError("mine")

    def unfit(f, q, *, samples):
        raise UnsupportedError("not this q")

    refused(four.f, four.q(leaf(four)), "mine", methods={"broken": broken})
    found = audit(four.f, four.q(leaf(four)), methods=[("unfit", unfit), "leave_one_out"], replicates=10)
    assert [each.reason for each in found.skipped] == ["not this q"]


def jump(z):
    return z**2 + 4 * (z > 0).to(z)


def test_a_jump_is_held_against_pathwise_and_not_against_the_others():
    loc = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    found = audit(jump, Normal(loc, 1.0), methods=["pathwise", "leave_one_out", "measure_valued"], replicates=1000)
    assert [row.passed for row in found.rows] == [False, True, True]
    assert "f has jumps" in found.reference
    smooth = audit(lambda z: z**2, Normal(loc, 1.0), methods=["pathwise", "leave_one_out"], replicates=1000)
    assert all(row.passed for row in smooth.rows)
    assert "pathwise" in smooth.reference


@pytest.mark.parametrize("cost", [torch.nan, torch.inf])
def test_costs_that_are_not_finite_are_refused(cost):
    q = Categorical(logits=torch.tensor([0.3, -0.2, 0.1], requires_grad=True))
    with pytest.raises(ValueError, match="needs finite costs"):
        audit(lambda z: torch.tensor([1.0, cost, 2.0])[z], q, samples=2, replicates=100)


def test_what_never_varied_is_neither_exact_nor_biased():
    logits = torch.tensor([9.0, 0.0, 0.0], requires_grad=True)
    cost = torch.tensor([0.0, 1.0, 30.0])
    names = ["score_function", "leave_one_out", "unordered_set"]
    found = audit(lambda z: cost[z], Categorical(logits=logits), samples=2, replicates=2000, methods=names)
    assert all(row.passed for row in found.rows)
    assert found.row("leave_one_out").unjudged_share > 0.5
    assert "exact" not in found.recommendation


def test_a_collapsed_posterior_is_refused():
    logits = torch.zeros(8, 5, dtype=torch.float64)
    logits[:, 0] = 200.0
    q = Independent(OneHotCategorical(logits=logits.requires_grad_()), 1)
    with pytest.raises(ValueError, match="too peaked"):
        audit(lambda z: z.flatten(-2) @ torch.arange(40.0, dtype=torch.float64), q, samples=2, replicates=20)
