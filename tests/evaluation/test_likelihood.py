"""Statistical checks: |z| < 4.56 (false-alarm rate 5e-6 each), chi-square tails of 1e-4 each; all seeds are fixed."""

import math
import warnings

import pytest
import torch
from scipy.stats import chi2

from jensen import bounds
from jensen._contracts import LatentLayer, LogWeights
from jensen.evaluation import evaluate
from jensen.layers import BernoulliMLP, GaussianMLP
from jensen.models import IWAE, VAE

KS = (1, 5, 50)


def row(result, name, k=None):
    return next(r for r in result.rows if r.name == name and k in (None, r.k))


@pytest.mark.parametrize("chunk", [1, 7, 50, 64, 1000])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_streamed_values_are_the_direct_ones(linear_gaussian, data, chunk, dtype, tolerance):
    model = linear_gaussian(dtype=dtype)
    result = evaluate(model, data, samples=203, ks=KS, batch_size=5, chunk=chunk)
    log_w = model.table_of_draws(3)
    assert log_w.shape == (203, 12)
    assert log_w.dtype == dtype
    for found in result.rows:
        groups = log_w[: 203 // found.k * found.k].reshape(-1, found.k, 12)
        bound = bounds.jackknife if found.name == "jackknife" else bounds.iwae
        per_group = bound(groups, dim=1).double()
        assert found.groups == 203 // found.k
        assert found.value == pytest.approx(per_group.mean().item(), rel=tolerance)
        assert found.std_error == pytest.approx(per_group.mean(0).std().item() / 12**0.5, rel=1e3 * tolerance)
        assert found.mc_method == "groups"
        spread = (per_group.var(0) / found.groups).sum().sqrt().item() / 12
        assert found.mc_error == pytest.approx(spread, rel=1e3 * tolerance)
    ess = bounds.effective_sample_size(log_w)
    assert result.ess_mean == pytest.approx(ess.mean().item(), rel=100 * tolerance)
    assert result.ess_minimum == pytest.approx(ess.min().item(), rel=100 * tolerance)
    assert result.ess_low == 0


def test_few_groups_take_the_delta_method_and_say_so(linear_gaussian, data):
    model = linear_gaussian()
    result = evaluate(model, data[:2], samples=150, ks=(1, 50, 150))
    ess = bounds.effective_sample_size(model.table_of_draws(1))
    squared_variation = (150 / ess - 1) * 150 / 149
    assert [(r.name, r.k, r.mc_method) for r in result.rows] == [
        ("elbo", 1, "groups"),
        ("iwae", 50, "delta"),
        ("jackknife", 50, "delta"),
        ("iwae", 150, "delta"),
        ("jackknife", 150, "delta"),
    ]
    assert row(result, "iwae", 50).mc_error == pytest.approx(
        (squared_variation / 150).sum().sqrt().item() / 2, rel=1e-9
    )
    assert row(result, "iwae", 150).mc_error == pytest.approx(
        (squared_variation / 150).sum().sqrt().item() / 2, rel=1e-9
    )


def test_bounds_grow_with_k_on_the_same_draws_and_stay_below_log_p(linear_gaussian, data):
    model = linear_gaussian()
    result = evaluate(model, data, samples=2000, ks=(1, 5, 50, 500, 2000))
    exact = model.log_evidence(data).mean().item()
    values = [r.value for r in result.bounds]
    assert values == sorted(values), "exact, by Jensen's inequality: the groups are nested"
    assert all(r.value < exact + 4.56 * r.mc_error for r in result.bounds)
    assert values[0] < exact - 20 * result.rows[0].mc_error, "the gap is real"
    assert result.gap == values[-1] - values[0]


class AnalyticKL:
    """log mean p(x | z) - KL(q || p): what one gets by averaging only the likelihood; it is no bound."""

    def __init__(self, model):
        self.model = model

    def log_weights(self, x, samples=1):
        log_w = self.model.log_weights(x, samples)
        return LogWeights(log_w.log_likelihood, -self.model.kl(x).expand(samples, -1), torch.zeros(()))


def test_five_thousand_draws_reach_log_p(linear_gaussian, data):
    model = linear_gaussian()
    result = evaluate(model, data, chunk=63)
    exact, elbo = model.log_evidence(data).mean().item(), model.exact_elbo(data).mean().item()
    assert abs(row(result, "elbo").value - elbo) < 4.56 * row(result, "elbo").mc_error
    assert abs(-result.nll - exact) < 4.56 * result.tightest.mc_error
    for name, k in [("block_jackknife", 5000), ("jackknife", 500)]:
        assert abs(row(result, name, k).value - exact) < 4.56 * row(result, name, k).mc_error
    assert result.gap == pytest.approx(exact - elbo, abs=0.05)

    control = evaluate(AnalyticKL(model), data, chunk=63)
    assert abs(-control.nll - exact) > 4.56 * control.tightest.mc_error, "an analytic KL must be caught"


def test_the_jackknife_removes_most_of_the_bias(linear_gaussian, data):
    model = linear_gaussian()
    result = evaluate(model, data, samples=50_000, ks=(10,), chunk=1000)
    exact = model.log_evidence(data).mean().item()
    bound, jackknife = row(result, "iwae"), row(result, "jackknife")
    assert bound.value - exact < -20 * bound.mc_error
    assert abs(jackknife.value - exact) < 0.2 * abs(bound.value - exact) + 4.56 * jackknife.mc_error


def test_the_monte_carlo_error_is_calibrated(linear_gaussian, data):
    """Over R = 1500 seeds sum z^2 is chi-square(R) about the exact mean, chi-square(R - 1) about the runs' own."""
    R, model = 1500, linear_gaussian()
    rows = [evaluate(model, data, samples=240, ks=(1, 20, 240), seed=seed, chunk=240).rows for seed in range(R)]
    methods = {(r.name, r.k): r.mc_method for r in rows[0]}
    assert methods["elbo", 1] == methods["iwae", 20] == "groups"
    assert methods["iwae", 240] == methods["jackknife", 240] == "delta"
    low, high = chi2.ppf([1e-4, 1 - 1e-4], R - 1)
    for i, of_run in enumerate(zip(*rows, strict=True)):
        value = torch.tensor([r.value for r in of_run], dtype=torch.float64)
        error = torch.tensor([r.mc_error for r in of_run], dtype=torch.float64)
        z = (value - value.mean()) / error
        assert low < z.square().sum() < high, rows[0][i]
        undivided = error * math.sqrt(of_run[0].groups)
        halved = error / math.sqrt(2)
        if of_run[0].groups > 1:
            assert not low < ((value - value.mean()) / undivided).square().sum() < high, "the spread of one group"
        assert not low < ((value - value.mean()) / halved).square().sum() < high, "half the variance"
    z = torch.tensor([(of_run[0].value - model.exact_elbo(data).mean()) / of_run[0].mc_error for of_run in rows])
    assert chi2.ppf(1e-4, R) < z.square().sum() < chi2.ppf(1 - 1e-4, R)


@pytest.mark.parametrize("samples", [60, 1000])
def test_memory_is_bounded_by_the_chunk(linear_gaussian, data, samples):
    model = linear_gaussian()
    evaluate(model, data, samples=samples, ks=(1, 60), batch_size=5, chunk=7)
    assert max(count for count, _ in model.asked) == 7
    assert max(count * batch for count, batch in model.asked) == 7 * 5
    assert sum(count * batch for count, batch in model.asked) == samples * 12


def test_the_encoder_runs_once_for_a_minibatch(linear_gaussian, data):
    model = linear_gaussian()
    result = evaluate(model, data, samples=100, ks=(1, 100), batch_size=5, chunk=7)
    assert model.encoded == 3
    assert not any("encoder" in note for note in result.notes)


def test_a_model_without_a_posterior_argument_is_measured_too(linear_gaussian, data):
    class House(linear_gaussian):
        def log_weights(self, x, samples):
            return super().log_weights(x, samples)

    model, twin = House(), linear_gaussian()
    result = evaluate(model, data, samples=50, ks=(1, 50), chunk=10)
    assert model.encoded == 5
    assert result.rows == evaluate(twin, data, samples=50, ks=(1, 50), chunk=10).rows
    assert any("encoder ran once for every chunk" in note for note in result.notes)
    assert not any("encoder ran" in note for note in evaluate(model, data, samples=10, ks=(1,), chunk=10).notes)


def test_the_global_generator_is_left_alone_also_after_an_error(linear_gaussian, data):
    before = torch.get_rng_state()
    evaluate(linear_gaussian(), data, samples=10, ks=(1,))
    with pytest.raises(ValueError, match="log-weight of inf"):
        evaluate(linear_gaussian(offset=math.inf), data, samples=10, ks=(1,))
    assert torch.equal(before, torch.get_rng_state())


def test_the_seed_decides(linear_gaussian, data):
    torch.manual_seed(1)
    a = evaluate(linear_gaussian(), data, samples=10, ks=(1, 10))
    torch.manual_seed(2)
    b = evaluate(linear_gaussian(), data, samples=10, ks=(1, 10))
    c = evaluate(linear_gaussian(), data, samples=10, ks=(1, 10), seed=1)
    assert a.rows == b.rows
    assert a.rows != c.rows


def test_modes_come_back_and_dropout_is_off(linear_gaussian, data):
    model = linear_gaussian().train()
    model.dropout.eval()
    evaluate(model, data, samples=10, ks=(1,))
    assert model.training
    assert not model.dropout.training
    assert model.modes == [False]
    assert not model.stored[0].requires_grad
    with pytest.raises(ValueError, match="log-weight"):
        evaluate(linear_gaussian(offset=math.nan).train(), data, samples=10, ks=(1,))


def test_no_gradient_is_kept(data):
    model = VAE(encoder=GaussianMLP(3, (4,), 2), decoder=GaussianMLP(2, (4,), 3), latent=2)
    kept = []
    model.decoder.register_forward_hook(lambda module, args, out: kept.append(out.mean.requires_grad))
    evaluate(model, data, samples=10, ks=(1,))
    assert kept
    assert not any(kept)


class DrawnAnew:
    """Grey levels that are binarised on every use."""

    def __init__(self, grey):
        self.grey, self.uses = grey, 0

    def __len__(self):
        return len(self.grey)

    def __getitem__(self, index):
        self.uses += 1
        return torch.bernoulli(self.grey[index])


def test_dynamic_data_are_drawn_once_and_the_same_for_all_who_share_the_seed(linear_gaussian):
    images = []
    for samples, chunk, batch_size in [(20, 7, 5), (60, 50, 12)]:
        data, model = DrawnAnew(torch.full((12, 3), 0.5, dtype=torch.float64)), linear_gaussian()
        evaluate(model, data, samples=samples, ks=(1, 20), batch_size=batch_size, chunk=chunk)
        assert data.uses == 1
        images.append(torch.cat(model.seen))
    assert torch.equal(*images)
    assert images[0].unique().tolist() == [0.0, 1.0]


@pytest.mark.parametrize("at", [-104.0, -750.0, 800.0])
def test_float32_log_weights_far_from_zero(linear_gaussian, data, at):
    near = linear_gaussian(dtype=torch.float32)
    offset = at - near.log_evidence(data.float()).mean().item()
    far = linear_gaussian(dtype=torch.float32, offset=offset)
    a, b = (evaluate(model, data, samples=200, ks=(1, 5, 50), chunk=33) for model in (near, far))
    for here, there in zip(a.rows, b.rows, strict=True):
        assert there.value - offset == pytest.approx(here.value, abs=3e-4 if there.blocks else 1e-4)
        assert there.mc_error == pytest.approx(here.mc_error, rel=1e-2)
    assert b.ess_mean == pytest.approx(a.ess_mean, rel=1e-3)
    naive = far.table_of_draws(1).exp().mean(0).log().mean().item()
    assert not abs(naive - b.tightest.value) < 0.1, "the control must go wrong"


def test_the_model_decides_device_and_type(linear_gaussian, data):
    model = linear_gaussian(dtype=torch.float32)
    evaluate(model, data, samples=10, ks=(1,))
    assert model.seen[0].dtype == torch.float32


def test_a_weight_of_zero_is_counted(linear_gaussian, data):
    class Truncated(linear_gaussian):
        def log_weights(self, x, samples=1, *, posterior=None):
            log_w = super().log_weights(x, samples, posterior=posterior)
            log_w.log_likelihood[0, 3] = -math.inf
            return log_w

    result = evaluate(Truncated(), data, samples=100, ks=(1, 50), chunk=100)
    assert result.zero_weights == 1
    assert any("1 log-weights of 1 data are -inf" in note for note in result.notes)
    assert row(result, "elbo").value == -math.inf
    assert row(result, "elbo").mc_error == math.inf
    assert math.isfinite(row(result, "iwae").value)
    assert type(result).from_json(result.to_json()).rows[0].value == -math.inf


def test_an_undefined_log_weight_names_its_datum(linear_gaussian, data):
    class Broken(linear_gaussian):
        def log_weights(self, x, samples=1, *, posterior=None):
            log_w = super().log_weights(x, samples, posterior=posterior)
            log_w.log_likelihood[-1, (x == data[8]).all(1)] = math.nan
            return log_w

    with pytest.raises(ValueError, match="datum 8 has a log-weight of NaN"):
        evaluate(Broken(), data, samples=10, ks=(1,), batch_size=5)


def test_low_effective_sample_sizes_are_noted(linear_gaussian, data):
    result = evaluate(linear_gaussian(shift=3.0), data, samples=50, ks=(50,))
    assert result.ess_low > 0
    assert any(
        note.startswith(f"{result.ess_low} of 12 data have an effective sample size below 10") for note in result.notes
    )


def test_a_single_draw_gives_no_idea_of_its_own_error(linear_gaussian, data):
    (only,) = evaluate(linear_gaussian(), data, samples=1, ks=(1,)).rows
    assert math.isnan(only.mc_error)
    assert only.std_error > 0


def test_a_single_datum_gives_no_idea_of_the_others(linear_gaussian, data):
    result = evaluate(linear_gaussian(), data[:1], samples=100, ks=(1,))
    assert math.isnan(result.rows[0].std_error)
    assert result.rows[0].mc_error > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples must be a whole number of at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"chunk": -1}, "chunk must be a whole number of at least 1, got -1"),
        ({"ks": (0, 5)}, "k must be a whole number of at least 1, got 0"),
        ({"ks": (2.5,)}, r"k must be a whole number of at least 1, got 2\.5"),
        ({"ks": ()}, r"at least one k .* or ks=\(5000,\)"),
        ({"samples": 100}, r"none above samples = 100, got .*; pass samples=5000 or more, or ks=\(1, 5, 50, 100\)"),
    ],
)
def test_options_that_make_no_sense(linear_gaussian, data, options, message):
    model = linear_gaussian()
    with pytest.raises(ValueError, match=message):
        evaluate(model, data, **options)
    assert model.encoded == 0


def test_data_that_make_no_sense(linear_gaussian, data):
    holed = data.clone()
    holed[7, 1] = holed[9, 0] = math.nan
    for wrong, message in [
        (data[:0], "the data set is empty"),
        (holed, "2 of 12 data hold NaN, the first is datum 7"),
        (data[:, 0], r"must have the shape \(12, pixels\), got \(12,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            evaluate(linear_gaussian(), wrong, samples=10, ks=(1,))


def test_log_weights_of_the_wrong_shape(linear_gaussian, data):
    class Turned(linear_gaussian):
        def log_weights(self, x, samples=1, *, posterior=None):
            log_w = super().log_weights(x, samples, posterior=posterior)
            return LogWeights(log_w.total.T, torch.zeros(()), torch.zeros(()))

    with pytest.raises(ValueError, match=r"\(samples, B\) = \(10, 12\), got \(12, 10\)"):
        evaluate(Turned(), data, samples=10, ks=(1,))


def test_the_model_refuses_what_it_cannot_measure():
    model = VAE(encoder=GaussianMLP(4, (3,), 2), decoder=BernoulliMLP(2, (3,), 4), latent=2)
    for wrong in (torch.full((6, 5), 0.0), torch.full((6, 4), 1.5)):
        with pytest.raises(ValueError, match=r"pixel|shape|\[0, 1\]|support"):
            evaluate(model, wrong, samples=10, ks=(1,))


def test_two_stochastic_layers():
    torch.manual_seed(0)
    model = IWAE(
        encoders=[GaussianMLP(6, (5,), 4), GaussianMLP(4, (5,), 3)],
        decoders=[BernoulliMLP(4, (5,), 6), GaussianMLP(3, (5,), 4)],
        latents=[4, 3],
    )
    x = torch.bernoulli(torch.full((20, 6), 0.4))
    result = evaluate(model, x, samples=100, ks=KS, batch_size=8, chunk=30)
    assert [layer.units for layer in result.layers] == [4, 3]
    assert result.notes == () or "effective sample size" in result.notes[0]
    assert result.bounds[0].value < result.bounds[-1].value < 0
    assert result.data == 20
    assert result.seconds > 0


def test_layers_and_their_absence(linear_gaussian, data):
    class Layered(linear_gaussian):
        def latents(self, x, samples=1):
            return [LatentLayer(mean=x[:, :2], kl=x[:, :2].square())]

    result = evaluate(Layered(), data, samples=10, ks=(1,), batch_size=5)
    assert result.layers[0].variance == pytest.approx(data[:, :2].var(0, correction=0).tolist(), abs=1e-12)
    bare = evaluate(linear_gaussian(), data, samples=10, ks=(1,))
    assert bare.layers == ()
    assert any("LinearGaussian has no method latents" in note for note in bare.notes)


def test_the_bar_goes_to_standard_error(linear_gaussian, data, capsys):
    evaluate(linear_gaussian(), data, samples=10, ks=(1,))
    assert capsys.readouterr() == ("", "")
    evaluate(linear_gaussian(), data, samples=10, ks=(1,), batch_size=5, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "log-likelihood" in err
    assert "12/12" in err


def test_nothing_is_warned_of_on_good_data(linear_gaussian, data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(linear_gaussian(), data, samples=10, ks=(1, 10))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_cuda_device(linear_gaussian, data):
    model = linear_gaussian().cuda()
    before = torch.cuda.get_rng_state()
    a, b = (evaluate(model, data, samples=5000, chunk=500) for _ in range(2))
    assert a.rows == b.rows
    assert torch.equal(before, torch.cuda.get_rng_state())
    exact = model.log_evidence(data.cuda()).mean().item()
    assert abs(-a.nll - exact) < 4.56 * a.tightest.mc_error
