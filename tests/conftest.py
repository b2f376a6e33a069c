"""What tests of every room share."""

import pytest
from torch.distributions import Distribution


@pytest.fixture
def validation():
    """Compiling switches the validation of torch's distributions off for the whole process."""
    before = Distribution._validate_args
    yield
    Distribution.set_default_validate_args(before)
