"""Tables of what images weigh."""

from rich.box import SIMPLE_HEAD
from rich.table import Table

from jensen.evaluation.coding import Peer
from jensen.evaluation.coding.weighing import Weighing

__all__ = ["bound_table", "coders_table"]


def bound_table(found: Weighing) -> Table:
    """The negative bound and the length of the code, in bits per dimension, bytes, and as shares of the bound.

    Args:
        found: what was weighed.
    """
    table = _table("", "bits/dim", "bytes", "of the bound")
    table.title = f"{found.shape[0]:,} images of {' x '.join(map(str, found.shape[1:]))}, {found.levels} levels"
    rows = [
        (f"negative ELBO, {found.samples:,} draws each", found.bound),
        ("at the bins that were drawn", found.content),
        ("bits back, initial bits not counted", found.net),
        ("bits back, with them", found.gross),
        ("the file, with header and checksums", found.whole),
    ]
    for name, rate in rows:
        size = f"{rate * found.dimensions / 8:,.0f}"
        table.add_row(name, f"{rate:.4f}", size, f"{rate / found.bound:.4f}")
    table.caption = (
        f"Monte Carlo error of the bound {found.bound_error:.4f} bits/dim; a code has one draw of each image's latents "
        f"and strays by {found.spread:.4f}. {found.latents} latents of {found.bits} bits, coded in "
        f"{found.seconds:.1f} s. Not in the file: the model, {found.model_bytes:,} bytes."
    )
    return table


def coders_table(found: Weighing) -> Table:
    """Other coders on the same images, in bits per dimension, a file for each image and one for all.

    Args:
        found: what was weighed.
    """
    table = _table("coder", "a file each", "one file", "bytes of it", "given as")
    table.add_row("bits back", "", f"{found.whole:.4f}", f"{found.file_bytes:,}", "latents")
    for peer in found.peers:
        apart, together = (f"{bits / found.dimensions:.4f}" for bits in (peer.apart, peer.together))
        table.add_row(peer.name, apart, together, f"{peer.together // 8:,}", _forms(peer))
    return table


def _forms(peer: Peer) -> str:
    """What the coder was given, one by one and in one file."""
    return peer.apart_as if peer.apart_as == peer.together_as else f"{peer.apart_as}, {peer.together_as}"


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title_justify="left", caption_justify="left", title_style="bold")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 or column == "given as" else "right", no_wrap=True)
    return table
