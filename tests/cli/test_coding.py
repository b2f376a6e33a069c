"""Compressing and decompressing from the command line."""

import numpy as np
import pytest

from jensen.cli import main

QUIET = ["--no-progress"]


@pytest.fixture
def compressed(run, capsys):
    assert main(["compress", str(run), "--limit", "20", "--samples", "4", *QUIET]) == 0
    return run / "images.jbits", capsys.readouterr().out


def test_compress_prints_bound_code_and_other_coders(compressed):
    path, out = compressed
    for word in ("negative ELBO", "bits back", "of the bound", "PNG", "WebP", "gzip", "bz2", "xz", "zstd", "one file"):
        assert word in out
    assert "20 images of 8 x 8, 2 levels" in out
    assert "every pixel is what it was" in out
    assert out.splitlines()[-1] == f"written: {path}"
    assert f"{path.stat().st_size:,}" in out
    assert not [line for line in out.splitlines() if len(line) > 80 and "written" not in line]


def test_decompress_gives_the_images_back(run, compressed, capsys):
    path, _ = compressed
    assert main(["decompress", str(path), "--run", str(run), *QUIET]) == 0
    out = capsys.readouterr().out
    assert "20 images of 8 x 8, all checksums right, levels 0 to 1" in out
    assert out.splitlines()[-1] == f"written: {path.with_suffix('.npy')}"
    images = np.load(path.with_suffix(".npy"))
    again = path.with_name("again.jbits")
    words = ["compress", str(run), "--images", str(path.with_suffix(".npy")), "--samples", "1", "--no-verify"]
    assert main([*words, "--out", str(again), *QUIET]) == 0
    assert "every pixel" not in capsys.readouterr().out
    assert again.read_bytes() == path.read_bytes()
    assert images.shape == (20, 8, 8)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda content: content[:-10], "the stream is truncated"),
        (lambda content: content[:60] + bytes([content[60] ^ 1]) + content[61:], "the stream is damaged"),
        (lambda content: b"PNG" + content, "no stream of `jensen compress`"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(run, compressed, capsys, damage, complaint):
    path, _ = compressed
    path.write_bytes(damage(path.read_bytes()))
    assert main(["decompress", str(path), "--run", str(run), *QUIET]) == 1
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert not path.with_suffix(".npy").exists()


def test_another_run_is_refused_by_name(compressed, capsys):
    path, _ = compressed
    assert main(["fit", "vae-digits", "--smoke", "--device", "cpu", "--out", "other", *QUIET]) == 0
    capsys.readouterr()
    assert main(["decompress", str(path), "--run", "other", *QUIET]) == 1
    assert "was written by the model" in capsys.readouterr().err


def test_what_cannot_be_is_answered_in_one_line(run, capsys):
    assert main(["decompress", "absent.jbits", "--run", str(run)]) == 1
    assert "there is no file absent.jbits" in capsys.readouterr().err
    assert main(["compress", "absent"]) == 1
    assert "there is no run folder absent" in capsys.readouterr().err
    assert main(["compress", str(run), "--images", "absent.npy", *QUIET]) == 1
    assert "absent.npy" in capsys.readouterr().err
    assert main(["compress", str(run), "--split", "train"]) == 2
    assert main(["fit", "bbb-digits", "--smoke", "--device", "cpu", "--out", "net", *QUIET]) == 0
    capsys.readouterr()
    assert main(["compress", "net"]) == 1
    assert "this takes runs of an autoencoder" in capsys.readouterr().err
