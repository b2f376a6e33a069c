import math

import pytest
import torch

from jensen.layers.shrinking import BitFormat
from jensen.layers.shrinking.packing import Code, choose_code, decode, encode, place_bits

VALUES = {
    "free": lambda t: t,
    "fixed": BitFormat(1, 5, -1).round,
    "floating": BitFormat(3, 4, 0).round,
    "signs": BitFormat(1, 0, 0).round,
    "few": lambda t: torch.round(t * 3) / 3,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("density", [0, 0.001, 0.1, 1])
@pytest.mark.parametrize("values", VALUES)
def test_what_is_written_is_read(values, density, dtype):
    torch.manual_seed(0)
    for shape in ((), (1,), (7,), (30, 20), (5, 3, 2, 2), (0,)):
        draws = 0.3 * torch.randn(shape, dtype=torch.float64) * (torch.rand(shape) < density)
        tensor = VALUES[values](draws).to(dtype)
        code = choose_code(tensor)
        content = encode(tensor, code)
        found, size = decode(content + b"more", Code.from_list(code.to_list()))
        assert torch.equal(found, tensor)
        assert found.dtype == dtype
        assert size == len(content)
        assert code.bits <= 8 * size <= code.bits + 4 * 7


def test_the_format_is_found_again():
    torch.manual_seed(0)
    for form in (BitFormat(1, 6, -2), BitFormat(3, 5, 1)):
        code = choose_code(form.round(torch.randn(20_000, dtype=torch.float64).float()))
        assert (code.width, code.places) == (form.bits, "dense")


@pytest.mark.parametrize("density", [0.3, 0.1, 1 / 68, 1 / 280])
def test_places_cost_little_more_than_their_entropy(density):
    torch.manual_seed(0)
    tensor = torch.randn(200_000) * (torch.rand(200_000) < density)
    code = choose_code(tensor)
    p = code.count / code.size
    entropy = -code.size * (p * math.log2(p) + (1 - p) * math.log2(1 - p))
    found = place_bits(code.places, code.size, code.count)
    assert entropy < found < entropy + 0.7 * code.count
    assert found < 0.25 * 32 * code.count or density > 0.1 or code.places == "elias-fano"


def test_what_is_no_code():
    good = choose_code(torch.ones(3)).to_list()
    for change in ({0: "int8"}, {1: [-1]}, {1: [2**40]}, {2: "here"}, {3: 4}, {3: 1.5}, {4: [0, 0, 0]}):
        saved = [change.get(i, each) for i, each in enumerate(good)]
        with pytest.raises(ValueError, match=r"describes no tensor|out of range"):
            Code.from_list(saved)
    for tensor in (torch.tensor([math.nan]), torch.tensor([1])):
        with pytest.raises(ValueError, match="has no code"):
            choose_code(tensor)


@pytest.mark.parametrize("places", ["dense", "bitmap", "elias-fano"])
def test_content_that_lies(places):
    code = Code("float32", (20,), places, 3 if places != "dense" else 20, None, 0)
    tensor = torch.zeros(20)
    tensor[[1, 5, 19]] = 1.5
    content = encode(tensor, code)
    assert torch.equal(decode(content, code)[0], tensor)
    with pytest.raises(ValueError, match="were announced"):
        decode(content[:-1], code)
    if places != "dense":
        with pytest.raises(ValueError, match="were announced"):
            decode(b"\xff" * len(content), code)
