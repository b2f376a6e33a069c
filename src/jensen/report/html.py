"""A page in one file: pictures and styles inside it, nothing fetched, everything from outside escaped."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape

from jensen.report.theme import DARK, LIGHT, Theme

__all__ = ["definition_list", "figure", "page", "paragraph", "section", "table"]


def page(title: str, lead: str, sections: Iterable[str]) -> str:
    """A whole document.

    Args:
        title: plain text, for the head and the heading.
        lead: plain text below the heading.
        sections: HTML from `section`.

    Example:
        >>> "<script>" in page("<script>", "", [])
        False
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{_style()}</style>\n</head>\n<body>\n<main>\n"
        f'<header><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p></header>\n'
        f"{''.join(sections)}</main>\n</body>\n</html>\n"
    )


def section(title: str, *blocks: str) -> str:
    """A heading, plain text, over blocks of HTML."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{''.join(blocks)}</section>\n"


def paragraph(text: str) -> str:
    """Plain text as a paragraph."""
    return f"<p>{escape(text)}</p>\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: int = 0) -> str:
    """Plain text in rows; the last `numbers` columns are set flush right.

    Example:
        >>> "<td>&lt;b&gt;</td>" in table(["what"], [["<b>"]])
        True
    """
    first = len(columns) - numbers

    def cells(tag: str, values: Sequence[object]) -> str:
        marks = (' class="number"' if i >= first else "" for i in range(len(values)))
        return "".join(f"<{tag}{mark}>{escape(str(v))}</{tag}>" for mark, v in zip(marks, values, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>\n" for row in rows)
    head = f"<thead><tr>{cells('th', columns)}</tr></thead>"
    return f'<div class="scroll"><table>\n{head}\n<tbody>\n{body}</tbody></table></div>\n'


def definition_list(entries: Iterable[tuple[str, object]]) -> str:
    """Names and values in two columns, plain text."""
    return "<dl>\n" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>\n" for k, v in entries) + "</dl>\n"


def figure(light: bytes, dark: bytes, *, alt: str, caption: str, narrow: bool = False) -> str:
    """A picture drawn twice, for either ground, with a caption; both are PNG bytes and travel inside the page."""
    mark = ' class="narrow"' if narrow else ""
    return (
        f'<figure{mark}><picture><source media="(prefers-color-scheme: dark)" srcset="{_inline(dark)}">'
        f'<img alt="{escape(alt)}" src="{_inline(light)}"></picture>'
        f"<figcaption>{escape(caption)}</figcaption></figure>\n"
    )


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{b64encode(png).decode()}"


def _variables(theme: Theme) -> str:
    return f"--paper:{theme.paper};--ink:{theme.ink};--muted:{theme.muted};--rule:{theme.rule};--accent:{theme.first};"


def _style() -> str:
    return (
        f":root{{{_variables(LIGHT)}}}@media (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
        "*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);"
        "font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}"
        "main{max-width:58rem;margin:0 auto;padding:3rem 1.5rem 5rem}"
        "h1{font-size:1.9rem;line-height:1.2;margin:0 0 .4rem;letter-spacing:-.01em}"
        "h2{font-size:1.2rem;margin:2.8rem 0 .8rem;padding-top:1.2rem;border-top:1px solid var(--rule)}"
        ".lead{color:var(--muted);margin:0;font-size:1.05rem}p{max-width:44rem}"
        "figure{margin:1.2rem 0}figure.narrow{max-width:44rem}"
        "img{display:block;max-width:100%;height:auto;border-radius:6px}"
        "figcaption{color:var(--muted);font-size:.88rem;margin-top:.5rem;max-width:44rem}"
        ".scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.4rem 0}"
        "th,td{text-align:left;padding:.38rem 1.4rem .38rem 0;border-bottom:1px solid var(--rule);vertical-align:top}"
        "th,td:first-child{white-space:nowrap}th{color:var(--muted);font-weight:500;font-size:.88rem}.number{text-align:right;white-space:nowrap}"
        "dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1.6rem;margin:0;font-size:.94rem}"
        "dt{color:var(--muted)}dd{margin:0;overflow-wrap:anywhere}"
        "@media (max-width:36rem){dl{grid-template-columns:1fr}dd{margin-bottom:.5rem}}"
        "@media print{main{max-width:none;padding:0}figure,table{break-inside:avoid}}"
    )
