"""ResNet50 in the form of the VGGFace2 release (He et al. 2016; Cao et al. 2018).

It is the Caffe form of the network: a bottleneck's stride is in its first 1x1 convolution, and the first pooling
rounds its size up. Names of parameters are those of the usual PyTorch state dicts (`conv1`, `layer1.0.conv1`, ...).
"""

from __future__ import annotations

from torch import Tensor, nn


class Bottleneck(nn.Module):
    """1x1 (with the stride), 3x3, 1x1 to four times the width, and the way around them."""

    def __init__(self, n_in: int, width: int, stride: int, projects: bool) -> None:
        super().__init__()
        n_out = 4 * width
        self.conv1 = nn.Conv2d(n_in, width, 1, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, n_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(n_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = (
            nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)) if projects else None
        )

    def forward(self, x: Tensor) -> Tensor:
        around = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        out: Tensor = self.relu(self.bn3(self.conv3(x)) + around)
        return out


class Vggface2ResNet50(nn.Module):
    """(B,3,H,W) to (B,2048), the global average of the last stage; any H and W of at least 33 px."""

    n_features = 2048

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.layer1 = _stage(64, 64, 3, 1)
        self.layer2 = _stage(256, 128, 4, 2)
        self.layer3 = _stage(512, 256, 6, 2)
        self.layer4 = _stage(1024, 512, 3, 2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(part, Bottleneck):  # a block starts as the identity, which trains from nothing much sooner
                nn.init.zeros_(part.bn3.weight)

    @property
    def stages(self) -> list[nn.Module]:
        """The stem and the four stages; the Caffe names' `conv4_1_1x1_reduce` is the first layer of the fourth part."""
        return [nn.ModuleList([self.conv1, self.bn1]), self.layer1, self.layer2, self.layer3, self.layer4]

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        pooled: Tensor = self.pool(x)
        return pooled.flatten(1)


def _stage(n_in: int, width: int, n_blocks: int, stride: int) -> nn.Sequential:
    blocks = [Bottleneck(n_in, width, stride, projects=True)]
    blocks += [Bottleneck(4 * width, width, 1, projects=False) for _ in range(n_blocks - 1)]
    return nn.Sequential(*blocks)
