"""Time of one training step of DRAW, beside the loop that one writes by hand, and `torch.compile`d.

The same networks on 28x28 binary images, the same batch, the analytic bound, forward, backward and `Adam(fused=True)`.
Before anything is timed the two must give the same bound on the same noise. All take turns in one process, in random
order; the table has the medians on the clock and on the processor, and the ratio of the latter to the hand-written
loop's: on a machine that others use too, the processor's is the one to read.

    python benchmarks/draw_step.py [--seconds 20] [--threads 1] [--batch 100] [--sizes small,paper] [--compiled]
"""

import argparse
import copy
import random
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jensen.models import DRAW
from jensen.training import Adam, Stepper, Variational

Step = Callable[[Tensor], object]
SIDE, PIXELS = 28, 784
REFERENCE = "hand-written"
SIZES: dict[str, dict[str, int]] = {
    "small": {"glimpses": 8, "hidden": 128, "latent": 8},
    "attention": {"glimpses": 10, "hidden": 128, "latent": 8, "read": 5, "write": 5},
    "paper": {"glimpses": 64, "hidden": 256, "latent": 100, "read": 2, "write": 5},
}


class Plain(nn.Module):
    """What one writes by hand: the paper's equations in a loop, with torch's cells and products for each image."""

    def __init__(
        self, glimpses: int, hidden: int, latent: int, read: int | None = None, write: int | None = None
    ) -> None:
        super().__init__()
        self.glimpses, self.hidden, self.latent, self.read, self.write = glimpses, hidden, latent, read, write
        self.encoder = nn.LSTMCell(2 * (read**2 if read else PIXELS) + hidden, hidden)
        self.decoder = nn.LSTMCell(latent, hidden)
        self.mean, self.log_scale = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.canvas = nn.Linear(hidden, write**2 if write else PIXELS)
        self.read_window, self.write_window = nn.Linear(hidden, 5), nn.Linear(hidden, 5)

    def filters(self, parameters: Tensor, N: int) -> tuple[Tensor, Tensor, Tensor]:
        """F_Y, F_X and the intensity, as the paper writes them."""
        g_x, g_y, log_variance, log_stride, log_intensity = parameters.split(1, -1)
        g_x, g_y = (SIDE + 1) / 2 * (g_x + 1), (SIDE + 1) / 2 * (g_y + 1)
        stride = (SIDE - 1) / (N - 1) * log_stride.exp()
        i = torch.arange(1, N + 1).to(parameters) - N / 2 - 0.5
        a = torch.arange(1, SIDE + 1).to(parameters)
        banks = []
        for centre in (g_y, g_x):
            mean = (centre + i * stride).unsqueeze(-1)
            bank = torch.exp(-((a - mean) ** 2) / (2 * log_variance.exp().unsqueeze(-1)))
            banks.append(bank / (bank.sum(-1, keepdim=True) + 1e-8))
        return banks[0], banks[1], log_intensity.exp().unsqueeze(-1)

    def look(self, x: Tensor, error: Tensor, h: Tensor) -> Tensor:
        """What the encoder sees."""
        if self.read is None:
            return torch.cat([x, error], -1)
        F_y, F_x, gamma = self.filters(self.read_window(h), self.read)
        patches = [gamma * (F_y @ each.view(-1, SIDE, SIDE) @ F_x.mT) for each in (x, error)]
        return torch.cat([patch.flatten(1) for patch in patches], -1)

    def paint(self, h: Tensor) -> Tensor:
        """What is added to the canvas."""
        if self.write is None:
            return self.canvas(h)
        F_y, F_x, gamma = self.filters(self.write_window(h), self.write)
        patch = self.canvas(h).view(-1, self.write, self.write)
        return (F_y.mT @ patch @ F_x / gamma).flatten(1)

    def loss(self, x: Tensor, noise: Tensor) -> Tensor:
        """Minus the bound on each image; noise `(B, T, latent)`."""
        B = len(x)
        h_enc = c_enc = h_dec = c_dec = x.new_zeros(B, self.hidden)
        canvas, kl = x.new_zeros(B, PIXELS), x.new_zeros(B)
        for t in range(self.glimpses):
            r = self.look(x, x - torch.sigmoid(canvas), h_dec)
            h_enc, c_enc = self.encoder(torch.cat([r, h_dec], -1), (h_enc, c_enc))
            mean, log_scale = self.mean(h_enc), self.log_scale(h_enc)
            z = mean + log_scale.exp() * noise[:, t]
            kl = kl + 0.5 * (mean**2 + (2 * log_scale).exp() - 2 * log_scale - 1).sum(-1)
            h_dec, c_dec = self.decoder(z, (h_dec, c_dec))
            canvas = canvas + self.paint(h_dec)
        nll = F.binary_cross_entropy_with_logits(canvas, x, reduction="none").sum(-1)
        return nll + kl

    @torch.no_grad()
    def load(self, model: DRAW) -> "Plain":
        """The weights of our model, whose first canvas and states are still zeros."""
        ours = model.reader
        seen = [ours.patch] if self.read else [ours.image, ours.error]
        self.encoder.weight_ih.copy_(torch.cat([*(layer.weight for layer in seen), model.feedback.weight], 1))
        if self.read:  # ours has image and error side by side, row by row
            looked = ours.patch.weight.unflatten(1, (self.read, 2, self.read)).transpose(1, 2).flatten(1)
            self.encoder.weight_ih[:, : looked.shape[1]] = looked
            self.read_window.load_state_dict(ours.window.state_dict())
        self.encoder.bias_ih.copy_(seen[0].bias)
        self.decoder.weight_ih.copy_(model.message.weight)
        self.decoder.bias_ih.copy_(model.message.bias)
        for theirs, cell in ((self.encoder, model.encoder), (self.decoder, model.decoder)):
            theirs.weight_hh.copy_(cell.recurrent.weight)
            theirs.bias_hh.zero_()
        for layer, weight, bias in zip(
            (self.mean, self.log_scale), model.statistics.weight.chunk(2), model.statistics.bias.chunk(2), strict=True
        ):
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
        writer = model.writer
        stroke = writer.stroke if self.write else writer
        for layer, rows in ((self.write_window, slice(0, 5)), (self.canvas, slice(5 if self.write else 0, None))):
            if self.write or layer is self.canvas:
                layer.weight.copy_(stroke.weight[rows])
                layer.bias.copy_(stroke.bias[rows])
        return self


def plain(model: Plain) -> Step:
    """The hand-written step."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    adam = torch.optim.Adam(parameters, 1e-3, fused=True)

    def step(x: Tensor) -> Tensor:
        adam.zero_grad(set_to_none=True)
        loss = model.loss(x, torch.randn(len(x), model.glimpses, model.latent)).mean()
        loss.backward()
        adam.step()
        return loss

    return step


def check(ours: DRAW, theirs: Plain, x: Tensor) -> None:
    """The same bound on the same noise, in double precision, of most images.

    The number that is added to a sum of exponentials, lest it be zero, changes those that are looked at from afar.

    Raises:
        SystemExit: if they differ.
    """
    ours, theirs, x = copy.deepcopy(ours).double(), copy.deepcopy(theirs).double(), x.double()
    noise = ours.noise(x)
    found = ours.infer(x, noise=noise)
    bound = found.log_weights.log_likelihood[0] - found.kl[0]
    loss = theirs.loss(x, noise[0].view(len(x), ours.glimpses, ours.latent))
    if (difference := (bound + loss).abs().median()) > 1e-5:
        raise SystemExit(f"the two bounds differ, by {difference:.2g} nats in the median")


def methods(sizes: dict[str, int], batch: int, *, compiled: bool) -> dict[str, Step]:
    """Every step that is timed, by name."""
    torch.manual_seed(0)
    objective = Variational(analytic_kl=True)
    models = [DRAW(shape=(SIDE, SIDE), **sizes) for _ in range(2)]
    theirs = Plain(**sizes).load(models[0])
    check(models[0], theirs, images(batch))
    steps = {REFERENCE: plain(theirs), "jensen": Stepper(models[0], objective, optimizer=Adam()).step}
    if compiled:
        steps["jensen, compiled"] = Stepper(models[1], objective, optimizer=Adam(), compile=True).step
    return steps


def images(batch: int) -> Tensor:
    """New images for every step."""
    return torch.bernoulli(torch.full((batch, PIXELS), 0.13))


def measure(steps: dict[str, Step], batch: int, *, seconds: float) -> dict[str, list[tuple[float, float]]]:
    """Seconds of each step on the clock and on the processor, the methods in turn."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for step in steps.values():
        for _ in range(2):
            step(images(batch))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[REFERENCE]) < 5:
        for name in random.sample(list(steps), len(steps)):
            x, wall, cpu = images(batch), time.perf_counter(), time.process_time()
            steps[name](x)
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return times


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each size")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--sizes", default="small,attention,paper")
    parser.add_argument("--compiled", action="store_true", help="also with torch.compile, minutes of start-up")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"batch {options.batch}, {options.threads} thread(s), torch {torch.__version__}; milliseconds, medians")
    print(f"{'size':<12}{'step':<20}{'clock':>9}{'processor':>11}{'ratio':>8}{'steps':>7}")
    for name in options.sizes.split(","):
        steps = methods(SIZES[name], options.batch, compiled=options.compiled)
        times = measure(steps, options.batch, seconds=options.seconds)
        medians = {step: [1e3 * statistics.median(each) for each in zip(*t, strict=True)] for step, t in times.items()}
        for step, (wall, cpu) in medians.items():
            ratio = cpu / medians[REFERENCE][1]
            print(f"{name:<12}{step:<20}{wall:>9.1f}{cpu:>11.1f}{ratio:>8.2f}{len(times[step]):>7}", flush=True)


if __name__ == "__main__":
    main()
