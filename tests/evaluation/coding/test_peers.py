import builtins
import bz2
import gzip
import io
import lzma

import numpy as np
import pytest
import zstandard
from PIL import Image

from jensen.evaluation.coding import PEERS, weigh_peer
from jensen.evaluation.coding import peers as module

BINARY = np.random.default_rng(0).integers(0, 2, (10, 8, 8)).astype(np.uint8)
GREY = np.random.default_rng(0).integers(0, 256, (7, 6, 9)).astype(np.uint8)
COLOUR = np.random.default_rng(0).integers(0, 256, (7, 6, 9, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize(("images", "levels"), [(BINARY, 2), (GREY, 256), (COLOUR, 256)])
def test_random_pixels_cannot_be_compressed(name, images, levels):
    found = weigh_peer(name, images, levels=levels)
    entropy = images.size * np.log2(levels)
    assert found.name == name
    assert found.together >= entropy
    assert found.apart >= entropy
    assert found.apart % 8 == found.together % 8 == 0


@pytest.mark.parametrize(
    ("name", "undo"),
    [
        ("gzip", gzip.decompress),
        ("bz2", bz2.decompress),
        ("xz", lzma.decompress),
        ("zstd", lambda content: zstandard.ZstdDecompressor().decompress(content)),
    ],
)
def test_general_coders_lose_nothing(name, undo):
    content = np.repeat(BINARY, 40).tobytes()
    coded = module._coder(name)(content)
    assert undo(coded) == content
    assert len(coded) < len(content) / 4


@pytest.mark.parametrize("name", ["PNG", "WebP"])
@pytest.mark.parametrize(("images", "binary"), [(BINARY, True), (GREY, False), (COLOUR, False)])
def test_pictures_lose_nothing(name, images, binary):
    code = module._picture_coder(name, binary=binary)
    for _, picture in module._layouts(images):
        found = Image.open(io.BytesIO(code(picture)))
        found = np.asarray(found.convert("RGB" if picture.ndim == 3 else "L"))
        np.testing.assert_array_equal(found, picture * (255 if binary else 1))


def test_a_sheet_holds_every_image():
    _, (name, sheet) = module._layouts(GREY)
    assert name == "sheet"
    assert sheet.shape == (18, 27)
    np.testing.assert_array_equal(sheet[6:12, :9], GREY[3])
    assert not sheet[12:, 9:].any()


def test_bits_are_packed_where_that_is_shorter():
    assert weigh_peer("gzip", BINARY, levels=2).together_as == "bits"
    assert weigh_peer("gzip", GREY, levels=256).together_as == "bytes"
    flat = np.zeros((3, 40, 40), np.uint8)
    assert weigh_peer("PNG", flat, levels=2).together < weigh_peer("PNG", flat, levels=256).together


def test_a_strip_too_long_for_webp_is_left_out():
    images = np.zeros((300, 60, 2), np.uint8)
    assert weigh_peer("WebP", images, levels=2).together_as == "sheet"


def test_unknown_coders_and_too_many_levels_are_refused():
    with pytest.raises(ValueError, match="unknown coder 'webp'; choose one of: PNG, WebP"):
        weigh_peer("webp", BINARY, levels=2)
    with pytest.raises(ValueError, match="2 to 256 levels, got 1024"):
        weigh_peer("PNG", BINARY, levels=1024)


@pytest.mark.parametrize(("name", "package"), [("zstd", "zstandard"), ("PNG", "PIL")])
def test_absent_packages_are_named(name, package, monkeypatch):
    true_import = builtins.__import__

    def absent(wanted, *rest):
        if wanted.startswith(package):
            raise ModuleNotFoundError(wanted)
        return true_import(wanted, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ModuleNotFoundError, match=r"pip install jensen\[compress\]"):
        weigh_peer(name, BINARY, levels=2)
