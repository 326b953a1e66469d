"""The networks that look at pictures: torchvision's ResNets, and one made for processors."""

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from mocosearch.errors import Unsuitable

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

_LAYOUTS: dict[str, tuple[type[BasicBlock | Bottleneck], list[int]]] = {
    "resnet10": (BasicBlock, [1, 1, 1, 1]),
    "resnet18": (BasicBlock, [2, 2, 2, 2]),
    "resnet34": (BasicBlock, [3, 4, 6, 3]),
    "resnet50": (Bottleneck, [3, 4, 6, 3]),
}
ARCHITECTURES = tuple(_LAYOUTS)


class Backbone(nn.Module):
    """A residual network without its classifier, on RGB in 0..1.

    `resnet18`, `-34` and `-50` are torchvision's, name for name, so that published weights
    load. `resnet10` has one block a stage and reads the picture in 4x4 patches instead of by
    a 7x7 convolution and max-pooling: twice the pictures a second of a ResNet-18 on a
    processor, at the same strides.
    """

    def __init__(self, architecture: str) -> None:
        super().__init__()
        if architecture not in _LAYOUTS:
            raise Unsuitable(
                f"no architecture is called {architecture}", f"there are: {', '.join(_LAYOUTS)}"
            )
        block, layers = _LAYOUTS[architecture]
        self.architecture = architecture
        self.net = ResNet(block, layers)
        self.width: int = self.net.fc.in_features
        self.widths: tuple[int, ...] = (self.width // 4, self.width // 2, self.width)
        """Channels of stages 2, 3 and 4."""
        self.net.fc = nn.Identity()
        if architecture == "resnet10":
            self.net.conv1 = nn.Conv2d(3, 64, 4, stride=4, bias=False)
            self.net.maxpool = nn.Identity()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(MEAN).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).reshape(3, 1, 1), persistent=False)

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """Feature maps of stages 2, 3 and 4, from float (n, 3, h, w) in 0..1."""
        net = self.net
        x = (pixels - self.mean) / self.std
        x = net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(x)))))
        maps = []
        for stage in (net.layer2, net.layer3, net.layer4):
            x = stage(x)
            maps.append(x)
        return maps

    def forward(self, pixels: Tensor) -> Tensor:
        """The last stage averaged over the picture: (n, width), what the papers train."""
        return self.maps(pixels)[-1].mean((2, 3))
