"""The networks that look at pictures: torchvision's ResNets, one made for processors, ViTs and
EfficientNet-Lite0.
"""

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from mocosearch.errors import Unsuitable
from mocosearch.moco import lite
from mocosearch.moco.vit import WIDTHS, ViT

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

_LAYOUTS: dict[str, tuple[type[BasicBlock | Bottleneck], list[int]]] = {
    "resnet10": (BasicBlock, [1, 1, 1, 1]),
    "resnet18": (BasicBlock, [2, 2, 2, 2]),
    "resnet34": (BasicBlock, [3, 4, 6, 3]),
    "resnet50": (Bottleneck, [3, 4, 6, 3]),
}
LITE = "efficientnet_lite0"
ARCHITECTURES = (*_LAYOUTS, *WIDTHS, LITE)


class Backbone(nn.Module):
    """A network without its classifier, on RGB in 0..1.

    `resnet18`, `-34` and `-50` are torchvision's, name for name, so that published weights
    load. `resnet10` has one block a stage and reads the picture in 4x4 patches instead of by
    a 7x7 convolution and max-pooling: twice the pictures a second of a ResNet-18 on a
    processor, at the same strides. `vit_small` and `vit_base` are MoCo v3's, and
    `efficientnet_lite0` is EfficientNet-Lite0.

    zero_init_residual: residual blocks of a ResNet begin as the identity (arXiv:1706.02677,
        section 5.1).
    """

    def __init__(self, architecture: str, *, zero_init_residual: bool = False) -> None:
        super().__init__()
        self.architecture = architecture
        self.net: ResNet | ViT | lite.Lite
        mean: tuple[float, ...] = MEAN
        std: tuple[float, ...] = STD
        self.width: int
        self.widths: tuple[int, ...]
        """Channels of the three maps."""
        if architecture in WIDTHS:
            self.width = WIDTHS[architecture]
            self.widths = (2 * self.width,) * 3
            self.net = ViT(self.width)
        elif architecture == LITE:
            self.width, self.widths = lite.HEAD, lite.WIDTHS
            self.net = lite.Lite()
            mean, std = (lite.MEAN,) * 3, (lite.STD,) * 3
        elif architecture in _LAYOUTS:
            self.net = _resnet(architecture, zero_init_residual)
            self.width = self.net.inplanes
            self.widths = (self.width // 4, self.width // 2, self.width)
        else:
            known = ", ".join(ARCHITECTURES)
            raise Unsuitable(f"no architecture is called {architecture}", f"there are: {known}")
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(3, 1, 1), persistent=False)

    def freeze(self, stages: int) -> None:
        """Let the first stages of a ResNet learn nothing any more, nor the stem before them; their
        batch norm goes on with the statistics of each batch. Other networks are left as they are.
        """
        net = self.net
        if stages and isinstance(net, ResNet):
            every = (net.layer1, net.layer2, net.layer3, net.layer4)
            for part in (net.conv1, net.bn1, *every[:stages]):
                part.requires_grad_(False)

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """Feature maps from float (n, 3, h, w) in 0..1: a ResNet's stages 2, 3 and 4, a ViT's
        tokens after half of its blocks, three quarters, and all, EfficientNet's strides 8 to 32.
        """
        x = (pixels - self.mean) / self.std
        net = self.net
        if isinstance(net, ViT | lite.Lite):
            return net.maps(x)
        x = net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(x)))))
        maps = []
        for stage in (net.layer2, net.layer3, net.layer4):
            x = stage(x)
            maps.append(x)
        return maps

    def forward(self, pixels: Tensor) -> Tensor:
        """A ResNet's last stage averaged over the picture, a ViT's class token: (n, width),
        what the papers train.
        """
        if isinstance(self.net, ViT):
            token: Tensor = self.net((pixels - self.mean) / self.std)
            return token
        return self.maps(pixels)[-1].mean((2, 3))


def _resnet(architecture: str, zero_init_residual: bool) -> ResNet:
    block, layers = _LAYOUTS[architecture]
    net = ResNet(block, layers, zero_init_residual=zero_init_residual)
    net.fc = nn.Identity()
    if architecture == "resnet10":
        net.conv1 = nn.Conv2d(3, 64, 4, stride=4, bias=False)
        net.maxpool = nn.Identity()
    return net
