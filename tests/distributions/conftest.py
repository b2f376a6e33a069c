import pytest
import torch


@pytest.fixture
def draw():
    """Standard normal numbers in double precision, the same in every run."""
    generator = torch.Generator().manual_seed(1)
    return lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=generator)
