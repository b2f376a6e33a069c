"""The options of every command, as dataclasses that describe themselves; tyro makes the parser from them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import DisallowNone, FlagCreatePairsOff, Positional, UseAppendAction, arg, subcommand

from jensen.recipes import DEFAULT

__all__ = [
    "Audit",
    "Command",
    "Compress",
    "Decompress",
    "Evaluate",
    "Evidence",
    "Explore",
    "Export",
    "Fit",
    "List",
    "Report",
    "Resume",
    "RunStudy",
    "Sample",
]

RECIPES = "(default: the recipe's)"
Device = Literal["auto", "cpu", "cuda", "mps"]
Number = Annotated[int | None, DisallowNone, arg(metavar="N", help_behavior_hint=RECIPES)]
Rate = Annotated[float | None, DisallowNone, arg(metavar="X", help_behavior_hint=RECIPES)]
Name = Annotated[str | None, DisallowNone, arg(metavar="NAME", help_behavior_hint=RECIPES)]
Run = Annotated[Path, arg(metavar="RUN", help_behavior_hint="(required)")]
Flag = Annotated[bool, FlagCreatePairsOff, arg(help_behavior_hint="")]


@dataclass(frozen=True)
class List:
    """Show every recipe and every study."""

    markdown: Flag = False
    """Print the page of reproductions, published numbers beside ours, instead of the table."""
    debug: Flag = False
    """Show the traceback of an error."""


@dataclass(frozen=True)
class Fit:
    """Train a recipe into a run folder."""

    recipe: Annotated[Positional[str], arg(metavar="RECIPE")] = DEFAULT
    """What to train: a name from `jensen list`."""
    data: Name = None
    """Another data set: digits, mnist, fashion_mnist, binarized_mnist, omniglot, omniglot_small, frey,
    cifar10 or cifar10_subset; of a regression diabetes, or a set of the UCI repository such as yacht."""
    split: Name = None
    """Another split of it: standard, or one the data set knows, such as 3 of the UCI sets."""
    objective: Annotated[
        Literal["iwae", "elbo", "sgvb_b", "dreg", "resampled", "free_bits", "balanced", "geco"] | None,
        DisallowNone,
        arg(help_behavior_hint=RECIPES),
    ] = None
    """Another bound to ascend, or another gradient of it; free_bits takes --option free_bits=0.5, geco kappa=2."""
    method: Name = None
    """Another gradient estimator, for models with discrete units: a name from `jensen.gradients`; of a network what is
    uncertain about its weights: gaussian, variational_dropout, sparse_dropout, group_normal_jeffreys,
    group_horseshoe, laplace, deterministic."""
    option: Annotated[
        tuple[str, ...], UseAppendAction, arg(metavar="NAME=VALUE", help_behavior_hint="(repeatable)")
    ] = ()
    """A number or word that the estimator takes, such as tau=0.5; of another autoencoder a size of its model or a
    number of its objective, such as latent=10 or beta=4; of a network an entry of its recipe, such as prior_scale=0.1;
    of separated factors a size or the weight of a loss, such as kl=0.5; a wrong name is answered with all of them."""
    samples: Number = None
    """Draws for each image in a training step, the k of the bound."""
    epochs: Number = None
    """Passes over the training images."""
    batch_size: Number = None
    """Images in a step."""
    learning_rate: Rate = None
    """Where Adam's learning rate starts."""
    images: Annotated[int | None, DisallowNone, arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """Use only the first N images of every split."""
    seed: Number = None
    """Fixes weights, data order and noise."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    devices: Annotated[int, arg(metavar="N")] = 1
    """Processes on this machine, each with a device of its own and a share of every batch."""
    nodes: Annotated[int, arg(metavar="N")] = 1
    """Machines, where a launcher such as torchrun started this command on all of them."""
    threads: Number = None
    """CPU threads; one is best for small images on a busy machine."""
    precision: Annotated[
        Literal["32-true", "bf16-mixed", "64-true"] | None, DisallowNone, arg(help_behavior_hint=RECIPES)
    ] = None
    """Of the matrix products; log-weights are float32 or better in all of them."""
    compile: Flag = False
    """Fuse the training step with torch.compile; worth its start-up time on a GPU."""
    eager: Flag = False
    """Do not compile, whatever the recipe says."""
    out: Annotated[Path | None, DisallowNone, arg(metavar="RUN", help_behavior_hint="(default: runs/RECIPE...)")] = None
    """The run folder to make."""
    overwrite: Flag = False
    """Replace the run that is in the folder."""
    smoke: Flag = False
    """Take the recipe's budget of seconds: shows that everything works, not what it can do."""
    tensorboard: Flag = False
    """Write TensorBoard events into the run folder, too."""
    progress: bool = True
    """Show a progress bar."""
    debug: Flag = False
    """Show the traceback of an error."""


@dataclass(frozen=True)
class Resume:
    """Go on with a run that was interrupted, as if it never had been."""

    run: Positional[Run]
    """The run folder."""
    device: Device = "auto"
    """Where to compute; on the CPU the result is bit-identical to an uninterrupted run."""
    progress: bool = True
    """Show a progress bar."""
    debug: Flag = False
    """Show the traceback of an error."""


@dataclass(frozen=True)
class Evaluate:
    """Measure a run on its test data: bounds and active units, or errors, calibration and what can be pruned."""

    run: Positional[Run]
    """The run folder."""
    samples: Number = None
    """Draws for each image, of which the literature takes 5000; of a network draws of its weights."""
    ais: Flag = False
    """Measure by annealed importance sampling instead, on test images and, from both sides, on images that the model
    makes."""
    ais_temperatures: Annotated[int | None, DisallowNone, arg(metavar="N", help_behavior_hint="(default: 1000)")] = None
    """Temperatures between prior and posterior; the error falls, and the time rises, with their number."""
    ais_chains: Annotated[int | None, DisallowNone, arg(metavar="C", help_behavior_hint="(default: 16)")] = None
    """Chains for each image."""
    ais_simulated: Annotated[int | None, DisallowNone, arg(metavar="N", help_behavior_hint="(default: 100)")] = None
    """Images that the model makes; 0 for none."""
    limit: Annotated[int | None, DisallowNone, arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """Evaluate on N test images only, evenly spaced."""
    batch_size: Annotated[int, arg(metavar="N")] = 100
    """Images that are held at once."""
    chunk: Annotated[int, arg(metavar="N")] = 50
    """Draws that are held at once for each of them."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Fixes the draws."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    progress: bool = True
    """Show a progress bar."""
    debug: Flag = False
    """Show the traceback of an error."""


@dataclass(frozen=True)
class Sample:
    """Draw images from a run's model: a picture and the numbers behind it."""

    run: Positional[Run]
    """The run folder."""
    n: Annotated[int, arg(metavar="N")] = 100
    """How many images."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Fixes the draws."""
    out: Annotated[
        Path | None, DisallowNone, arg(metavar="FILE", help_behavior_hint="(default: RUN/figures/draws.png)")
    ] = None
    """The picture to write; the numbers go beside it as .safetensors."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    debug: Flag = False
    """Show the traceback of an error."""


@dataclass(frozen=True)
class Report:
    """Write figures and one self-contained page, report.html, into a run folder."""

    run: Positional[Run]
    """The run folder."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Fixes the samples that are shown."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    debug: Flag = False
    """Show the traceback of an error."""


@dataclass(frozen=True)
class Explore:
    """Open a page with sliders over a run's latents, on this machine alone, until Ctrl-C."""

    run: Positional[Run]
    """The run folder."""
    port: Annotated[int | None, DisallowNone, arg(metavar="N", help_behavior_hint="(default: 7860 or next)")] = None
    """Where the page listens, on 127.0.0.1."""
    browser: bool = True
    """Open the page in a browser."""
    device: Device = "cpu"
    """Where to compute; auto takes a GPU where there is one."""
    debug: Flag = False
    """Show the traceback of an error."""


@dataclass(frozen=True)
class Export:
    """Write the network that a run ships: pruned, shrunk and plain, in a compact file and as ONNX."""

    run: Positional[Run]
    """The run folder."""
    out: Annotated[Path | None, DisallowNone, arg(metavar="FOLDER", help_behavior_hint="(default: RUN/shipped)")] = None
    """The folder to write."""
    rounded: Flag = False
    """Round weights to the bits that their posterior deserves."""
    prune: Annotated[float, arg(metavar="SHARE")] = 0.0
    """The share of weights to remove by their signal-to-noise ratio, where the posterior is Gaussian."""
    debug: Flag = False
    """Show the traceback of an error."""


@dataclass(frozen=True)
class Audit:
    """Measure gradient estimators on a problem: bias, variance, price, and which to use."""

    recipe: Annotated[Positional[str], arg(metavar="RECIPE", help_behavior_hint="(required)")]
    """toy-bernoulli, toy-bits, toy-four, toy-tucker; a recipe with one layer of discrete latents, or a run of it."""
    samples: Annotated[int, arg(metavar="K")] = 4
    """Draws that each estimator is given."""
    replicates: Annotated[int, arg(metavar="R")] = 2000
    """Independent estimates of each; more of them see a smaller bias."""
    methods: Annotated[str | None, DisallowNone, arg(metavar="A,B", help_behavior_hint="(default: all that apply)")] = (
        None
    )
    """The estimators, by name, separated by commas."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Fixes the draws, and the weights of an untrained model."""
    out: Annotated[
        Path | None, DisallowNone, arg(metavar="FOLDER", help_behavior_hint="(default: audits/RECIPE, or the run)")
    ] = None
    """Where to write audit.json, audit.html and the picture."""
    debug: Flag = False
    """Show the traceback of an error."""


@dataclass(frozen=True)
class RunStudy:
    """Run a study, an experiment that gives a table of numbers; again in the same folder, it goes on."""

    study: Annotated[Positional[str], arg(metavar="STUDY", help_behavior_hint="(required)")]
    """A name from the second part of `jensen list`."""
    seed: Annotated[int | None, DisallowNone, arg(metavar="N", help_behavior_hint="(default: the study's)")] = None
    """Fixes all random numbers."""
    changes: Annotated[tuple[str, ...], arg(name="set", metavar="NAME=VALUE", help_behavior_hint="")] = ()
    """Other settings, such as steps=100 sigmas=0.1,0.5; a wrong name is answered with all of them."""
    smoke: Flag = False
    """Take the study's settings of seconds: shows that everything works, not what it can do."""
    out: Annotated[Path | None, DisallowNone, arg(metavar="FOLDER", help_behavior_hint="(default: runs/STUDY...)")] = (
        None
    )
    """The folder to make or to go on with."""
    overwrite: Flag = False
    """Forget what is in the folder and start again."""
    progress: bool = True
    """Show a progress bar."""
    debug: Flag = False
    """Show the traceback of an error."""


@dataclass(frozen=True)
class Evidence:
    """Estimate a log-evidence in several ways; again in the same folder, it goes on."""

    recipe: Annotated[Positional[str], arg(metavar="TARGET", help_behavior_hint="(required)")]
    """A name from the third part of `jensen list`, or a Target of your own: module:name or file.py:name."""
    methods: Annotated[str | None, DisallowNone, arg(metavar="A,B", help_behavior_hint=RECIPES)] = None
    """The methods, by name, separated by commas; `all` takes every one that applies."""
    seed: Annotated[int | None, DisallowNone, arg(metavar="N", help_behavior_hint=RECIPES)] = None
    """Fixes all random numbers."""
    changes: Annotated[tuple[str, ...], arg(name="set", metavar="NAME=VALUE", help_behavior_hint="")] = ()
    """Other settings of the samplers, such as chains=1000 live=2000; a wrong name is answered with all of them."""
    threads: Annotated[int, arg(metavar="N")] = 1
    """CPU threads; more help where the likelihood is large."""
    smoke: Flag = False
    """Take settings of seconds: shows that everything works, not what it can do."""
    out: Annotated[Path | None, DisallowNone, arg(metavar="FOLDER", help_behavior_hint="(default: runs/TARGET...)")] = (
        None
    )
    """The folder to make or to go on with."""
    overwrite: Flag = False
    """Forget what is in the folder and start again."""
    progress: bool = True
    """Show a progress bar."""
    debug: Flag = False
    """Show the traceback of an error."""


@dataclass(frozen=True)
class Compress:
    """Compress images without loss by a run's model, and weigh them: its bound, their code, other coders."""

    run: Positional[Run]
    """The run folder."""
    images: Annotated[
        Path | None, DisallowNone, arg(metavar="FILE", help_behavior_hint="(default: those of the run)")
    ] = None
    """A .npy file of levels or of grey levels in [0, 1], or a folder of .png files."""
    split: Literal["test", "validation"] = "test"
    """Which images of the run, where no others are named; binarised ones are those that `evaluate` measures."""
    limit: Annotated[int | None, DisallowNone, arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """Compress N images only: of the run's own evenly spaced, of others the first."""
    bits: Annotated[int, arg(metavar="N")] = 12
    """A latent unit is cut into two to the power of N bins."""
    lanes: Annotated[int, arg(metavar="N")] = 1
    """Images that pass through the networks together: faster for large networks, and more bits to begin with."""
    samples: Annotated[int, arg(metavar="N")] = 50
    """Draws for each image, to measure the bound."""
    verify: bool = True
    """Decode the file again and compare, before it is written."""
    out: Annotated[Path | None, DisallowNone, arg(metavar="FILE", help_behavior_hint="(default: RUN/images.jbits)")] = (
        None
    )
    """The file to write."""
    device: Device = "cpu"
    """Where to compute; a file is best read where it was written."""
    progress: bool = True
    """Show a progress bar."""
    debug: Flag = False
    """Show the traceback of an error."""


@dataclass(frozen=True)
class Decompress:
    """Get images back, bit for bit, by the run that compressed them."""

    file: Annotated[Positional[Path], arg(metavar="FILE", help_behavior_hint="(required)")]
    """What `jensen compress` wrote."""
    run: Run
    """The run folder."""
    out: Annotated[Path | None, DisallowNone, arg(metavar="FILE", help_behavior_hint="(default: FILE as .npy)")] = None
    """The .npy file to write: levels from 0 on, one image after the other."""
    device: Device = "cpu"
    """Where to compute: where the file was written."""
    progress: bool = True
    """Show a progress bar."""
    debug: Flag = False
    """Show the traceback of an error."""


Command = (
    Annotated[List, subcommand("list")]
    | Annotated[Fit, subcommand("fit")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Sample, subcommand("sample")]
    | Annotated[Report, subcommand("report")]
    | Annotated[Resume, subcommand("resume")]
    | Annotated[Explore, subcommand("explore")]
    | Annotated[Export, subcommand("export")]
    | Annotated[Compress, subcommand("compress")]
    | Annotated[Decompress, subcommand("decompress")]
    | Annotated[Audit, subcommand("audit")]
    | Annotated[RunStudy, subcommand("run")]
    | Annotated[Evidence, subcommand("evidence")]
)
"""What `jensen` can be asked for."""
