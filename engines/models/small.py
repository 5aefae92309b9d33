"""A small convolutional network of our own, for development and for the synthetic experiments."""

from __future__ import annotations

from torch import Tensor, nn


class SmallNet(nn.Module):
    """(B,3,H,W) to (B,128) in about 110,000 parameters; made for crops of 48 to 64 px."""

    n_features = 128

    def __init__(self) -> None:
        super().__init__()
        self.stem = _plain(3, 24, 2)
        self.low = _separable(24, 48, 2)
        self.middle = nn.Sequential(_separable(48, 96, 2), _separable(96, 96, 1))
        self.high = nn.Sequential(_separable(96, 128, 2), _separable(128, 128, 1))
        self.pool = nn.AdaptiveAvgPool2d(1)

    @property
    def stages(self) -> list[nn.Module]:
        """First to last."""
        return [self.stem, self.low, self.middle, self.high]

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.pool(self.high(self.middle(self.low(self.stem(x)))))
        return pooled.flatten(1)


def _plain(n_in: int, n_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True))


def _separable(n_in: int, n_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_in, 3, stride, 1, groups=n_in, bias=False),
        nn.BatchNorm2d(n_in),
        nn.ReLU(inplace=True),
        nn.Conv2d(n_in, n_out, 1, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(inplace=True),
    )
