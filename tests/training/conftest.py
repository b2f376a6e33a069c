import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


@pytest.fixture
def model():
    from training_worlds import linear_gaussian

    return linear_gaussian()


@pytest.fixture
def data():
    return torch.randn(37, 3, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def grey():
    from training_worlds import Grey

    return Grey(torch.rand(37, 3, generator=torch.Generator().manual_seed(3)))
