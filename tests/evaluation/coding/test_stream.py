import json
import struct
import zlib

import numpy as np
import pytest
import torch
from torch import nn

from jensen.evaluation.coding import Header, Stream, checksum, compress, decompress
from jensen.evaluation.coding import images as module
from jensen.evaluation.coding.chain import Moments
from jensen.evaluation.coding.stream import LENGTHS, MAGIC


@pytest.fixture
def stream(vae, images):
    return compress(vae, images)[0]


def test_a_stream_comes_back_from_its_bytes(iwae, images):
    written, _ = compress(iwae, images, bits=9, lanes=5)
    read = Stream.from_bytes(written.to_bytes())
    assert read.header == written.header
    assert read.header.moments
    np.testing.assert_array_equal(read.words, written.words)
    np.testing.assert_array_equal(read.blocks, written.blocks)
    np.testing.assert_array_equal(decompress(iwae, read), images)


@pytest.mark.parametrize("shape", [(30, 4, 4), (20, 2, 8), (11, 2, 2, 4)])
def test_images_keep_their_shape(vae, shape):
    images = np.random.default_rng(0).integers(0, 2, shape)
    restored = decompress(vae, compress(vae, images)[0])
    assert restored.shape == shape
    assert restored.dtype == np.uint8
    np.testing.assert_array_equal(restored, images)


def test_every_truncated_stream_is_refused(stream):
    content = stream.to_bytes()
    for length in range(len(content)):
        with pytest.raises(ValueError, match=r"truncated|no stream"):
            Stream.from_bytes(content[:length])


def test_every_flipped_bit_is_noticed(stream):
    content = stream.to_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(ValueError, match=r"truncated|no stream|damaged|do not belong"):
            Stream.from_bytes(bytes(damaged))


def test_other_files_are_refused(stream):
    for other in (b"", b"\x89PNG\r\n\x1a\n" + bytes(100), b"x" * 1000):
        with pytest.raises(ValueError, match="no stream of `jensen compress`"):
            Stream.from_bytes(other)
    with pytest.raises(ValueError, match="followed by 3 bytes"):
        Stream.from_bytes(stream.to_bytes() + b"end")


def _with_header(header: bytes) -> bytes:
    total = len(MAGIC) + LENGTHS.size + len(header) + 4
    content = MAGIC + LENGTHS.pack(total, len(header)) + header
    return content + struct.pack("<I", zlib.crc32(content))


@pytest.mark.parametrize(
    "header", [b"", b"nonsense", zlib.compress(b"[]"), zlib.compress(json.dumps({"model": 3}).encode())]
)
def test_a_header_that_makes_no_sense_is_refused(header):
    with pytest.raises(ValueError, match="header of another version"):
        Stream.from_bytes(_with_header(header))


def test_no_checksums_of_images_are_no_stream():
    whole = Stream(
        Header("0" * 64, (2, 2), 1000, 2, 12, 1, 1, (), "here"), np.array([], np.uint32), np.array([1], np.uint32)
    )
    with pytest.raises(ValueError, match="no checksum of its images"):
        Stream.from_bytes(whole.to_bytes())


def test_moments_survive():
    header = Header("ab" * 32, (28, 28), 7, 2, 12, 1, 5, (Moments((1, -2), (0, 3)),), "torch 9 on tape")
    stream = Stream(header, np.array([1, 2], np.uint32), np.array([3], np.uint32))
    assert Stream.from_bytes(stream.to_bytes()).header == header


def test_the_checksum_is_that_of_names_shapes_types_and_values():
    net = nn.Linear(2, 3)
    mine = checksum(net)
    assert len(mine) == 64
    assert checksum(net) == mine
    others = [net.double(), nn.Sequential(net), nn.Linear(2, 3)]
    assert mine not in [checksum(other) for other in others]
    with torch.no_grad():
        net.float().bias[0] += 1e-3
    assert checksum(net) != mine


def test_another_model_is_refused_by_its_name(vae, stream):
    name = checksum(vae)[:12]
    with torch.no_grad():
        next(vae.parameters())[0, 0] += 1e-3
    with pytest.raises(ValueError, match=rf"written by the model {name}\.\.\., this one is {checksum(vae)[:12]}"):
        decompress(vae, stream)


def test_networks_that_give_other_numbers_are_noticed(vae, images, monkeypatch):
    """As on a machine whose arithmetic differs by more than the grid; the weights are the same."""
    stream, _ = compress(vae, images)
    forward = type(vae.decoder).forward

    def other(self, z):
        p = forward(self, z)
        p.logits = p.logits + 1e-2
        return p

    monkeypatch.setattr(type(vae.decoder), "forward", other)
    with pytest.raises(ValueError, match=r"images 0 to 100 come out wrong.*comes from torch .* on cpu, this is torch"):
        decompress(vae, stream)


def test_wrong_images_are_noticed_block_by_block(vae, images):
    many = np.tile(images, (6, 1, 1))
    stream, _ = compress(vae, many, lanes=101)
    wrong = Stream(stream.header, stream.words, stream.blocks ^ np.array([0, 1], np.uint32))
    seen = []
    with pytest.raises(ValueError, match="images 512 to 605 come out wrong"):
        decompress(vae, wrong, progress=seen.append)
    assert sum(seen) == 505


def test_the_stack_must_end_where_it_began(vae, stream):
    from dataclasses import replace

    wrong = Stream(replace(stream.header, initial=stream.header.initial + 1), stream.words, stream.blocks)
    with pytest.raises(ValueError, match="not what it was before the first image"):
        decompress(vae, wrong)


def test_levels_of_another_kind_of_pixels_are_refused(vae, stream):
    from dataclasses import replace

    with pytest.raises(ValueError, match="pixels of 17 levels, the model of 2"):
        decompress(vae, Stream(replace(stream.header, levels=17), stream.words, stream.blocks))


def test_flat_images_are_refused(vae):
    with pytest.raises(ValueError, match="height, width"):
        compress(vae, np.zeros((3, 16), int))


def test_blocks_are_of_512_images():
    assert module.BLOCK == 512
