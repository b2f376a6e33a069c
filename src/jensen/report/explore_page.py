"""What stands on the page of sliders, and what each of its buttons does."""

import math
from base64 import b64encode
from html import escape
from types import ModuleType
from typing import Any, NamedTuple

from torch import Tensor

from jensen.report.explorer import Explorer
from jensen.report.images import _ink
from jensen.report.sliders import REACH, Panel, Unit, image_png
from jensen.report.theme import DARK, LIGHT, Theme

__all__ = ["make_page"]

RESTED, DRAWN, ENCODED, MOVED = "all units at rest", "prior draw {}", "test image {}, encoded", "moved by hand"
CONTINUOUS = "A slider moves one unit of the latents, in standard deviations of its prior; "
DISCRETE = "Each control sets one unit of the latents to one of its {states} values; "
ABOUT = (
    "{how}all others stay where the last button put them. Units by their mean divergence from the prior over test "
    "images; {active} of {size} are active.{where}"
)
BELOW = " Layer {layers} is the top one; those below are measured from their mean given the layer above."
FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
STYLE = (
    ".gradio-container{max-width:70rem!important;margin:0 auto!important;padding-top:1.5rem!important}"
    "header h1{font-size:1.7rem;line-height:1.2;margin:0 0 .3rem;color:var(--ink)}"
    ".lead,.about,figcaption{color:var(--mute)}.lead{margin:0}.about{font-size:.9rem;margin:0}"
    "figure{margin:0}figure img{width:100%;image-rendering:pixelated;border:1px solid var(--rule);border-radius:6px}"
    "figcaption{font-size:.82rem;margin-top:.35rem;font-variant-numeric:tabular-nums}"
    ".pair{display:grid;grid-template-columns:1fr 1fr;gap:.8rem}"
    ".html-container{padding:0!important}#encoding{align-items:end}"
    ".knob .info-text{min-width:9rem;padding-bottom:4px;font-variant-numeric:tabular-nums;"
    "background:linear-gradient(var(--bar),var(--bar)) 0 100%/var(--share) 3px no-repeat}"
    "footer{display:none!important}"
)
HIDDEN = {"show_progress": "hidden", "api_visibility": "private"}


class _Parts(NamedTuple):
    """What buttons read and write: the latents, the picture they give, the pair beside it, and the controls."""

    values: Any
    picture: Any
    pair: Any
    knobs: list[Any]


def make_page(gradio: ModuleType, explorer: Explorer) -> Any:
    """The page as an ASGI application.

    Args:
        gradio: the package.
        explorer: the run.
    """
    import fastapi

    rest = explorer.panel.rest()
    with gradio.Blocks(title=f"{explorer.config.recipe.name} · jensen", analytics_enabled=False) as blocks:
        values = gradio.State(rest)
        gradio.HTML(_heading(explorer))
        with gradio.Row(elem_id="desk"):
            with gradio.Column(scale=3, min_width=280):
                picture = gradio.HTML(_picture(explorer, explorer.panel.decode(rest), RESTED))
                with gradio.Row():
                    draw = gradio.Button("Prior draw", variant="primary", elem_id="draw", min_width=80)
                    reset = gradio.Button("Reset", elem_id="reset", min_width=80)
                with gradio.Row(elem_id="encoding"):
                    last = f"0 to {len(explorer.test) - 1:,}"
                    number = gradio.Number(
                        0, label="Test image", info=last, precision=0, elem_id="number", min_width=80
                    )
                    encode = gradio.Button("Encode", elem_id="encode", min_width=80)
                pair = gradio.HTML()
            with gradio.Column(scale=7):
                gradio.HTML(f'<p class="about">{escape(_about(explorer.panel))}</p>')
                knobs = _knobs(gradio, explorer)
        parts = _Parts(values, picture, pair, knobs)
        _wire_knobs(gradio, explorer, parts)
        _wire_buttons(gradio, explorer, parts, draw=draw, reset=reset)
        _wire_number(gradio, explorer, parts, number=number, encode=encode)
    css = _css(explorer.units)
    theme = gradio.themes.Default(primary_hue="blue", neutral_hue="slate", font=FONTS, font_mono=("monospace",))
    return gradio.mount_gradio_app(
        fastapi.FastAPI(openapi_url=None), blocks, path="/", footer_links=[], ssr_mode=False, theme=theme, css=css
    )


def _wire_knobs(gradio: ModuleType, explorer: Explorer, parts: _Parts) -> None:
    def move(values: Tensor, *at: float) -> str:
        return _picture(explorer, explorer.picture(values, [float(each or 0) for each in at]), MOVED)

    moved = [knob.input for knob in parts.knobs]
    gradio.on(moved, move, [parts.values, *parts.knobs], parts.picture, trigger_mode="always_last", **HIDDEN)


def _wire_buttons(gradio: ModuleType, explorer: Explorer, parts: _Parts, *, draw: Any, reset: Any) -> None:
    panel, count = explorer.panel, gradio.State(0)

    def drawn(before: int) -> list[Any]:
        values = panel.draw(before + 1)
        return [before + 1, "", *_put(gradio, explorer, values, DRAWN.format(before + 1))]

    def rested() -> list[Any]:
        return ["", *_put(gradio, explorer, panel.rest(), RESTED)]

    everything = [parts.pair, parts.values, parts.picture, *parts.knobs]
    draw.click(drawn, count, [count, *everything], **HIDDEN)
    reset.click(rested, None, everything, **HIDDEN)


def _wire_number(gradio: ModuleType, explorer: Explorer, parts: _Parts, *, number: Any, encode: Any) -> None:
    panel = explorer.panel

    def encoded(n: int | None) -> list[Any]:
        try:
            x = explorer.image(n)
        except ValueError as error:
            raise gradio.Error(str(error), print_exception=False) from None
        pair = _pair(explorer, x[0], panel.rebuild(x)[0])
        return [pair, *_put(gradio, explorer, panel.encode(x)[0], ENCODED.format(n))]

    everything = [parts.pair, parts.values, parts.picture, *parts.knobs]
    gradio.on([encode.click, number.submit], encoded, number, everything, **HIDDEN)


def _put(gradio: ModuleType, explorer: Explorer, values: Tensor, what: str) -> list[Any]:
    """New latents, their picture, and the controls where they then stand."""
    at = explorer.stand(values)
    knobs = [gradio.update(**_setting(explorer.panel, value)) for value in at]
    return [values, _picture(explorer, explorer.picture(values, at), what), *knobs]


def _setting(panel: Panel, value: float) -> dict[str, Any]:
    """What a control shows, and how far its slider reaches: further where the value lies further out."""
    if panel.states:
        return {"value": bool(value) if panel.states == 2 else int(value)}
    reach = max(REACH, math.ceil(abs(value)))
    return {"value": value, "minimum": -reach, "maximum": reach}


def _knobs(gradio: ModuleType, explorer: Explorer) -> list[Any]:
    """Sliders, or check boxes for bits, in two columns."""
    half = -(-len(explorer.units) // 2)
    knobs: list[Any] = []
    with gradio.Row(elem_id="knobs"):
        for units in (explorer.units[:half], explorer.units[half:]):
            with gradio.Column(min_width=240):
                knobs.extend(_knob(gradio, explorer.panel, unit) for unit in units)
    return knobs


def _knob(gradio: ModuleType, panel: Panel, unit: Unit) -> Any:
    said = f"variance {unit.variance:.2g}" if math.isnan(unit.kl) else f"{unit.kl:.2f} nats"
    look = {"label": unit.name, "info": said, "elem_id": f"knob-{unit.place}", "elem_classes": ["knob"]}
    if panel.states == 2:
        return gradio.Checkbox(False, **look)
    if panel.states:
        return gradio.Slider(0, panel.states - 1, value=0, step=1, buttons=[], **look)
    return gradio.Slider(-REACH, REACH, value=0, step=0.01, buttons=[], **look)


def _heading(explorer: Explorer) -> str:
    recipe = explorer.config.recipe
    lead = f"{recipe.title.partition(':')[0]}; data {recipe.data.name}; run folder {explorer.run}"
    return f'<header><h1>{escape(recipe.name)}</h1><p class="lead">{escape(lead)}</p></header>'


def _about(panel: Panel) -> str:
    how = DISCRETE.format(states=panel.states) if panel.states else CONTINUOUS
    where = BELOW.format(layers=panel.layers) if panel.layers > 1 else ""
    return ABOUT.format(how=how, active=panel.active, size=len(panel.units), where=where)


def _picture(explorer: Explorer, pixels: Tensor, what: str) -> str:
    """The image that the controls give, large."""
    return f'<figure class="picture" id="picture">{_img(explorer, pixels, f"Pixel means: {what}")}</figure>'


def _pair(explorer: Explorer, seen: Tensor, rebuilt: Tensor) -> str:
    """A test image and what the model makes of it."""
    images = (("seen", seen, "test image, as the model sees it"), ("rebuilt", rebuilt, "its reconstruction"))
    figures = (f'<figure id="{name}">{_img(explorer, pixels, what)}</figure>' for name, pixels, what in images)
    return f'<div class="pair">{"".join(figures)}</div>'


def _img(explorer: Explorer, pixels: Tensor, what: str) -> str:
    png = b64encode(image_png(pixels, explorer.config.shape, ink=_ink(explorer.config))).decode()
    return f'<img alt="{escape(what)}" src="data:image/png;base64,{png}"><figcaption>{escape(what)}</figcaption>'


def _css(units: tuple[Unit, ...]) -> str:
    """The theme's colours, and below each name a bar as long as its unit says much."""
    largest = max((unit.says for unit in units), default=0.0) or 1.0
    bars = "".join(f"#knob-{unit.place}{{--share:{max(0.0, unit.says) / largest:.1%}}}" for unit in units)
    return f"{_variables(':root', LIGHT)}{_variables('.dark', DARK)}{STYLE}{bars}"


def _variables(selector: str, theme: Theme) -> str:
    return f"{selector}{{--ink:{theme.ink};--mute:{theme.muted};--rule:{theme.rule};--bar:{theme.first}}}"
