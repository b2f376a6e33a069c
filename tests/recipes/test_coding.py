"""From a run folder to compressed images and back."""

import numpy as np
import pytest
import torch
from PIL import Image

from jensen import recipes
from jensen.recipes import coding
from jensen.recipes.build import build
from jensen.recipes.coding import compress_run, decompress_file, read_images
from jensen.recipes.config import Config
from jensen.recipes.machine import make_folder
from jensen.recipes.running import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A few epochs of the digits, and its own images."""
    run = tmp_path_factory.mktemp("coding") / "run"
    recipe = recipes.adapt(recipes.get("vae-digits"), smoke=True, epochs=8, images=200)
    experiment = build(recipe, seed=0)
    config = Config(recipe, 0, experiment.shape, device="cpu")
    make_folder(run, config)
    train(run, config, experiment, device="cpu", progress=False)
    return run, experiment.test.numpy().reshape(-1, 8, 8).astype(np.uint8)


def test_the_images_of_a_run_come_back_as_long_as_its_bound(trained, tmp_path):
    run, images = trained
    out, back = tmp_path / "a.jbits", tmp_path / "a.npy"
    found = compress_run(run, out, samples=100)
    np.testing.assert_array_equal(decompress_file(out, run, back), images)
    np.testing.assert_array_equal(np.load(back, allow_pickle=False), images)
    assert found.file_bytes == out.stat().st_size
    assert found.shape == images.shape
    assert (found.levels, found.latents, found.bits) == (2, 20, 12)
    assert abs(found.net - found.bound) < 4.56 * found.spread + 64 / found.dimensions
    assert found.ratio == pytest.approx(1.0, abs=0.02)
    assert found.content < found.net < found.gross < found.whole < 1.0
    assert [peer.name for peer in found.peers] == ["PNG", "WebP", "gzip", "bz2", "xz", "zstd"]
    assert found.model_bytes == 4 * (64 * 100 + 100 + 100 * 100 + 100 + 100 * 40 + 40 + 20 * 100 + 100 + 10_100 + 6_464)


def test_the_same_images_give_the_same_bytes(trained, tmp_path):
    run, _ = trained
    for name in "ab":
        compress_run(run, tmp_path / name, limit=20, samples=1, verify=False)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_validation_images_and_lanes(trained, tmp_path):
    run, _ = trained
    found = compress_run(run, tmp_path / "v", split="validation", limit=30, lanes=4, bits=8, samples=1)
    restored = decompress_file(tmp_path / "v", run, tmp_path / "v.npy")
    assert restored.shape == found.shape == (30, 8, 8)


@pytest.mark.parametrize("kind", ["levels", "flat", "grey", "bool", "png"])
def test_images_of_ones_own(trained, tmp_path, kind):
    run, images = trained
    images = images[:12]
    path = tmp_path / ("folder" if kind == "png" else "mine.npy")
    if kind == "png":
        path.mkdir()
        for i, image in enumerate(images):
            Image.fromarray(image * 255).convert("1" if i % 2 else "L").save(path / f"{i:03d}.png")
    else:
        forms = {"levels": images, "flat": images.reshape(12, -1), "grey": images * 1.0, "bool": images > 0}
        np.save(path, forms[kind])
    compress_run(run, tmp_path / "out", images=path, samples=1)
    np.testing.assert_array_equal(decompress_file(tmp_path / "out", run, tmp_path / "out.npy"), images)


def test_grey_levels_are_numbers_of_levels(tmp_path):
    np.save(tmp_path / "grey.npy", np.array([[[0.0, 0.25], [0.5, 1.0]]], np.float32))
    found = read_images(tmp_path / "grey.npy", (2, 2), levels=17)
    np.testing.assert_array_equal(found, [[[0, 4], [8, 16]]])
    colour = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3)).astype(np.uint8)
    (tmp_path / "colour").mkdir()
    for i, image in enumerate(colour):
        Image.fromarray(image).save(tmp_path / "colour" / f"{i}.png")
    np.testing.assert_array_equal(read_images(tmp_path / "colour", (5, 4, 3), levels=256), colour)


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.zeros((3, 9, 9), np.uint8), r"holds images \(3, 9, 9\); this model codes \(N, 8, 8\)"),
        (np.zeros((0, 8, 8), np.uint8), r"holds images \(0, 8, 8\)"),
        (np.full((3, 8, 8), 7), "values from 7 to 7; this model codes whole numbers from 0 to 1"),
        (np.full((3, 8, 8), 0.5), "some grey levels are none of 0 and 1"),
        (np.full((3, 8, 8), np.nan), "some grey levels are none of 0 and 1"),
        (np.full((3, 8, 8), 2.0), "some grey levels are none of 0 and 1"),
        (np.full((3, 8, 8), np.inf), "some grey levels are none of 0 and 1"),
        (np.float32(1.0), r"holds images \(\); this model codes"),
        (np.full((3, 8, 8), "a"), "no array of numbers"),
    ],
)
def test_images_that_cannot_be_coded_are_refused(trained, tmp_path, array, complaint):
    np.save(tmp_path / "wrong.npy", array)
    with pytest.raises(ValueError, match=complaint):
        compress_run(trained[0], tmp_path / "out", images=tmp_path / "wrong.npy")
    assert not (tmp_path / "out").exists()


def test_files_that_hold_no_images_are_refused(trained, tmp_path):
    def complaint(path):
        with pytest.raises(ValueError) as error:
            compress_run(trained[0], tmp_path / "out", images=path)
        return str(error.value)

    (tmp_path / "text.npy").write_text("no array")
    assert complaint(tmp_path / "text.npy").endswith("is no .npy file of numbers; name one, or a folder of .png files")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    assert "is no .npy file of numbers" in complaint(tmp_path / "objects.npy")
    (tmp_path / "empty").mkdir()
    assert "holds no .png files" in complaint(tmp_path / "empty")
    Image.new("RGBA", (8, 8)).save(tmp_path / "empty" / "a.png")
    assert "mode RGBA" in complaint(tmp_path / "empty")
    Image.new("L", (8, 8)).save(tmp_path / "empty" / "a.png")
    Image.new("L", (9, 8)).save(tmp_path / "empty" / "b.png")
    assert "different sizes" in complaint(tmp_path / "empty")


def test_damaged_files_and_other_runs_are_refused(trained, tmp_path):
    run, _ = trained
    out = tmp_path / "a.jbits"
    compress_run(run, out, limit=5, samples=1, verify=False)
    content = out.read_bytes()
    out.write_bytes(content[:-7])
    with pytest.raises(ValueError, match=r"a\.jbits: the stream is truncated"):
        decompress_file(out, run, tmp_path / "a.npy")
    with pytest.raises(ValueError, match=r"images are written as \.npy"):
        decompress_file(out, run, tmp_path / "a.png")
    assert not (tmp_path / "a.npy").exists()


def test_a_model_trained_on_is_another_model(trained, tmp_path, monkeypatch):
    run, _ = trained
    out = tmp_path / "a.jbits"
    compress_run(run, out, limit=5, samples=1, verify=False)
    load = coding.load_model

    def trained_on(*arguments, **options):
        config, model = load(*arguments, **options)
        with torch.no_grad():
            next(model.parameters()).add_(1e-3)
        return config, model

    monkeypatch.setattr(coding, "load_model", trained_on)
    with pytest.raises(ValueError, match=r"a\.jbits: the stream was written by the model"):
        decompress_file(out, run, tmp_path / "a.npy")


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_what_is_stopped_leaves_no_file(trained, tmp_path, monkeypatch, failure):
    def stop(*_, **__):
        raise failure("stopped")

    monkeypatch.setattr(coding, "decompress", stop)
    out = tmp_path / "out"
    with pytest.raises(failure):
        compress_run(trained[0], out, limit=5, samples=1)
    assert list(tmp_path.iterdir()) == []


def test_images_that_do_not_come_back_are_not_written(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(coding, "decompress", lambda *_, **__: np.ones((5, 8, 8), np.uint8))
    with pytest.raises(ValueError, match="nothing was written"):
        compress_run(trained[0], tmp_path / "out", limit=5, samples=1)
    assert not (tmp_path / "out").exists()


def test_a_missing_folder_is_made_and_a_folder_is_no_file(trained, tmp_path):
    run, _ = trained
    out, back = tmp_path / "there" / "a.jbits", tmp_path / "and" / "back" / "a.npy"
    compress_run(run, out, limit=5, samples=1, verify=False)
    assert len(decompress_file(out, run, back)) == len(np.load(back)) == 5
    with pytest.raises(ValueError, match="there is a folder; name the file to write"):
        compress_run(run, tmp_path / "there", limit=5, samples=1)


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"limit": 0}, {"bits": 0}, {"lanes": 0}])
def test_numbers_below_one_are_refused(trained, tmp_path, wrong):
    with pytest.raises(ValueError, match=r"at least 1|between 1 and 20"):
        compress_run(trained[0], tmp_path / "out", **wrong)
