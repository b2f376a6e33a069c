"""`jensen export`, `jensen compress` and `jensen decompress`: a trained model put to use."""

from rich.console import Console

from jensen import recipes
from jensen.cli.folders import say_path
from jensen.cli.options import Compress, Decompress, Export
from jensen.recipes.config import COMPRESSED, config_of

__all__ = ["compress", "decompress", "export"]


def compress(options: Compress) -> None:
    """Compress images by a run's model and print what they weigh."""
    config_of(options.run, recipes.Recipe)

    from jensen.recipes.coding import compress_run
    from jensen.report.coding import bound_table, coders_table

    out = options.out or options.run / COMPRESSED
    found = compress_run(
        options.run,
        out,
        images=options.images,
        split=options.split,
        limit=options.limit,
        bits=options.bits,
        lanes=options.lanes,
        samples=options.samples,
        verify=options.verify,
        device=options.device,
        progress=options.progress,
    )
    console = Console()
    for table in (bound_table(found), coders_table(found)):
        console.print(table)
    if found.verified:
        print("decoded and compared: every pixel is what it was")
    say_path("written", out)


def decompress(options: Decompress) -> None:
    """Write the images of a compressed file."""
    config_of(options.run, recipes.Recipe)
    if not options.file.is_file():
        raise ValueError(f"there is no file {options.file}; `jensen compress` makes one")

    from jensen.recipes.coding import decompress_file

    out = options.out or options.file.with_suffix(".npy")
    images = decompress_file(options.file, options.run, out, device=options.device, progress=options.progress)
    count, shape = len(images), " x ".join(map(str, images.shape[1:]))
    print(f"{count:,} images of {shape}, all checksums right, levels {images.min()} to {images.max()}")
    say_path("written", out)


def export(options: Export) -> None:
    """Write the network that a run ships."""
    config_of(options.run, recipes.NetworkRecipe)
    if not 0 <= options.prune < 1:
        raise ValueError(f"--prune is a share of the weights between 0 and 1, got {options.prune}")

    from jensen.recipes.network_export import export as ship

    found = ship(options.run, out=options.out, rounded=options.rounded, prune=options.prune)
    rate = found.bytes_before / found.bytes_after
    print(f"{found.bytes_after:,} bytes, {rate:.1f} times fewer than the {found.bytes_before:,} of the whole network")
    masked = "masked and rounded" if options.rounded else "masked"
    print(f"its outputs differ by at most {found.difference:.1e} from those of the {masked} network")
    for note in found.notes:
        print(f"note: {note}")
    for path in found.paths:
        say_path("written", path)
