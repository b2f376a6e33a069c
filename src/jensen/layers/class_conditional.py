"""A network that is told the class of its input, such as the discriminator of a conditional adversarial game."""

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from jensen.layers.affine import AFFINE

__all__ = ["ClassConditional"]


class ClassConditional(nn.Module):
    r"""A chain of layers, to each of which but the last a vector of the class is added before the activation.

    $$h_{l+1} = \phi(W_l h_l + b_l + E_l[y]), \qquad f(x, y) = W_L h_L + b_L$$

    The table $E_l$ has a row for each class, zero at the start. Behind a convolution a row has an entry for each
    channel, the same at every pixel.

    Args:
        *layers: the affine maps in order, linear or convolutions; other modules between them, such as `nn.Flatten`,
            are applied as they are.
        classes: how many classes there are.
        slope: of the leaky rectifier $\phi$ on negative numbers.

    Raises:
        ValueError: if there are fewer than two classes, or the last layer is not affine.

    Example:
        >>> critic = ClassConditional(nn.Linear(64, 32), nn.Linear(32, 1), classes=10)
        >>> critic(torch.zeros(3, 64), torch.tensor([0, 1, 2])).shape
        torch.Size([3, 1])

    References:
        | Disentangling factors of variation in deep representations using adversarial training (Mathieu et al., 2016)
        | https://arxiv.org/abs/1611.03383
    """

    def __init__(self, *layers: nn.Module, classes: int, slope: float = 0.2) -> None:
        super().__init__()
        if classes < 2:
            raise ValueError(f"a network that is told the class needs at least two of them, got classes={classes}")
        if not layers or not isinstance(layers[-1], AFFINE):
            found = type(layers[-1]).__name__ if layers else "nothing"
            raise ValueError(f"the last layer must be linear or a convolution, got {found}")
        self.layers, self.classes, self.slope = nn.ModuleList(layers), classes, slope
        hidden = [layer for layer in layers[:-1] if isinstance(layer, AFFINE)]
        self.tables = nn.ModuleList(nn.Embedding(classes, len(layer.weight)) for layer in hidden)
        for table in self.tables.parameters():
            nn.init.zeros_(table)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The output for inputs `(B, *event)` of classes `y`, long `(B,)`."""
        tables = iter(self.tables)
        *before, last = self.layers
        for layer in before:
            x = layer(x)
            if isinstance(layer, AFFINE):
                row = next(tables)(y)  # (B, width)
                x = leaky_relu(x + row.reshape(*row.shape, *(1,) * (x.ndim - 2)), self.slope)
        output: Tensor = last(x)
        return output
