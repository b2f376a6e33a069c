import json
import zlib

import pytest
import safetensors.torch
import torch
from torch import nn

from jensen.layers.shrinking import BitFormat, Select, cluster, load_compact, round_to_bits, save_compact, shrink
from jensen.layers.shrinking.cost import file_bytes


@pytest.mark.parametrize("build", ["dense", "nested", "lenet", "padded", "wrapped", "solid"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_saved_is_loaded(pruned, build, dtype, tmp_path):
    net, x = pruned(build, 0, 0.3, 0.8, dtype)
    state = torch.get_rng_state()
    for each in (shrink(net), shrink(net.train())):
        size = save_compact(each, tmp_path / "net")
        assert size == (tmp_path / "net").stat().st_size
        found = load_compact(tmp_path / "net")
        assert torch.equal(found(x), each(x))
        assert str(found) == str(each)
        assert not found.training
    assert torch.equal(torch.get_rng_state(), state)
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def perceptron():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))


def test_the_file_has_the_size_of_its_bits(tmp_path):
    """Eight, five and three bits a weight, biases whole, and a header of less than a kilobyte."""
    formats = {"0": BitFormat(1, 6, -4), "2": BitFormat(1, 3, -4), "4": BitFormat(1, 1, -3)}
    net = round_to_bits(perceptron(), formats)
    stated = sum(formats[name].bits * net.get_submodule(name).weight.numel() for name in formats) // 8 + 4 * 410
    assert save_compact(net, tmp_path / "net") < stated + 1000
    assert file_bytes(net) / save_compact(net, tmp_path / "net") > 3.95


def test_clustered_weights_take_an_index_each(tmp_path):
    net = cluster(perceptron(), clusters=32)
    stated = 5 * 266_200 // 8 + 3 * 32 * 4 + 4 * 410
    assert save_compact(net, tmp_path / "net") < stated + 1000


def test_unstructured_zeros(tmp_path):
    """One weight of 68: Molchanov's rate, of which places take a part."""
    net = perceptron()
    with torch.no_grad():
        for i in (0, 2, 4):
            net[i].weight *= torch.rand_like(net[i].weight) < 1 / 68
    count = sum(int(net[i].weight.count_nonzero()) for i in (0, 2, 4))
    size = save_compact(net, tmp_path / "net")
    assert size < count * (32 + 8.3) / 8 + 4 * 410 + 1000
    assert file_bytes(net) / size > 45
    assert torch.equal(load_compact(tmp_path / "net")[0].weight, net[0].weight)


def test_every_byte_counts(pruned, tmp_path):
    """A changed byte is noticed wherever it stands, a missing end as well."""
    net, _ = pruned("dense", 0, 0.5, 0.5, torch.float32)
    path = tmp_path / "net"
    save_compact(shrink(net), path)
    content = path.read_bytes()
    for i in range(0, len(content), 3):
        path.write_bytes(content[:i] + bytes([content[i] ^ 0x15]) + content[i + 1 :])
        with pytest.raises(ValueError) as caught:
            load_compact(path)
        assert "\n" not in str(caught.value)
    for end in (0, 5, 100, len(content) - 1):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match="truncated or corrupt"):
            load_compact(path)


def forged(path, header, payload):
    """A file with a sound checksum that says what it should not."""
    header = json.dumps(header).encode()
    arrays = {"header": torch.frombuffer(bytearray(header), dtype=torch.uint8)}
    arrays["payload"] = torch.frombuffer(bytearray(payload), dtype=torch.uint8)
    checksum = f"{zlib.crc32(payload, zlib.crc32(header)):08x}"
    path.write_bytes(safetensors.torch.save(arrays, {"format": "jensen-compact-1", "checksum": checksum}))


@pytest.mark.parametrize(
    "header",
    [
        {},
        [["os.system", ["true"], {}]],
        [["ReLU", [], {}, 1]],
        [["ReLU", [1], {}]],
        [["ReLU", [], {}]],
        [["Linear", [2, 1], {}]],
        [["Linear", [2, 1], {"weight": ["float32", [1, 3], "dense", 3, [], 0]}]],
        [
            [
                "Linear",
                [2, 1],
                {"weight": ["float32", [1, 2], "dense", 2, [], 0], "x": ["float32", [], "dense", 0, [], 0]},
            ]
        ],
        [["Linear", [10**12, 10**12], {"weight": ["float32", [10**12, 10**12], "elias-fano", 0, [], 0]}]],
    ],
)
def test_forged_files(header, tmp_path):
    forged(tmp_path / "net", header, b"12345678")
    with pytest.raises(ValueError, match="describes no network") as caught:
        load_compact(tmp_path / "net")
    assert "\n" not in str(caught.value)


def test_other_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no file"):
        load_compact(tmp_path / "absent")
    safetensors.torch.save_file({"weight": torch.ones(2)}, tmp_path / "weights")
    with pytest.raises(ValueError, match="no compact network of format"):
        load_compact(tmp_path / "weights")


def test_a_selection_out_of_order(tmp_path):
    net = nn.Sequential(Select(torch.tensor([2, 0]), axis=-1), nn.Linear(2, 1))
    with pytest.raises(ValueError, match="positions out of order"):
        save_compact(net, tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_lenet_in_a_file(pruned, tmp_path):
    net, x = pruned("lenet", 0, 1.0, 0.5, torch.float32)
    save_compact(net, tmp_path / "net")
    assert torch.equal(load_compact(tmp_path / "net")(x), net(x))
