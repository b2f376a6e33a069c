import pytest
import torch

from jensen._contracts import LogWeights, check_log_weights, check_noise


@pytest.fixture
def log_weights():
    return LogWeights(torch.tensor([[-90.0]]), torch.tensor([[-5.0]]), torch.tensor([[-1.0]]))


def test_total_is_joint_minus_posterior(log_weights):
    assert log_weights.total.tolist() == [[-94.0]]


def test_tempering_leaves_the_log_likelihood_alone(log_weights):
    assert log_weights.tempered(0.0).tolist() == [[-90.0]]
    assert log_weights.tempered(1.0).tolist() == log_weights.total.tolist()


def test_there_is_no_path_unless_one_is_given(log_weights):
    assert log_weights.path == ()


@pytest.mark.parametrize(
    ("log_w", "dim", "message"),
    [
        (torch.zeros(3, 2, dtype=torch.long), 0, r"floating-point.*torch.int64"),
        (torch.zeros(3, 2, dtype=torch.bool), 0, r"floating-point.*torch.bool"),
        ([0.0, 1.0], 0, r"floating-point.*list"),
        (torch.tensor(0.0), 0, r"shape \(\) have no sample axis 0"),
        (torch.zeros(3, 2), 2, r"shape \(3, 2\) have no sample axis 2"),
        (torch.zeros(3, 2), -3, r"shape \(3, 2\) have no sample axis -3"),
        (torch.zeros(0, 2), 0, r"shape \(0, 2\) hold no sample"),
        (torch.zeros(2, 0), 1, r"shape \(2, 0\) hold no sample"),
    ],
)
def test_what_is_no_log_weight_is_refused(log_w, dim, message):
    with pytest.raises(ValueError, match=message):
        check_log_weights(log_w, dim)


def test_log_weights_are_accepted_on_any_axis_and_for_an_empty_batch():
    check_log_weights(torch.zeros(3, 2, dtype=torch.float16), -2)
    check_log_weights(torch.zeros(3, 0), 0)


def test_noise_of_another_shape_is_refused_with_both_shapes():
    check_noise(torch.zeros(5, 3, 2), (5, 3, 2))
    with pytest.raises(ValueError, match=r"\(5, 3, 2\).*\(4, 3, 2\)"):
        check_noise(torch.zeros(5, 3, 2), (4, 3, 2))


def test_no_sample_is_refused_even_where_the_shapes_agree():
    with pytest.raises(ValueError, match="draw at least one"):
        check_noise(torch.zeros(0, 3, 2), (0, 3, 2))
