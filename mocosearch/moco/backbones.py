"""The networks: torchvision's ResNets, a small ResNet for CPUs, ViTs and EfficientNet-Lite."""

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
ARCHITECTURES = (*_LAYOUTS, *WIDTHS, *lite.SCALES)


class Backbone(nn.Module):
    """A network without its classifier, on RGB in 0..1.

    `resnet18`, `-34` and `-50` have torchvision's parameter names, so that published weights
    load. `resnet10` has one block per stage and a stem of 4x4 patches instead of a 7x7
    convolution and max-pooling: twice as many pictures per second as a ResNet-18 on a CPU, with
    the same strides. `vit_small` and `vit_base` are MoCo v3's, `efficientnet_lite0` and `-lite2`
    are EfficientNet-Lite0 and -Lite2.

    zero_init_residual: residual blocks of a ResNet are initialised to the identity
        (arXiv:1706.02677, section 5.1).

    Raises Unsuitable for an unknown architecture.
    """

    def __init__(self, architecture: str, *, zero_init_residual: bool = False) -> None:
        super().__init__()
        self.architecture = architecture
        self.net: ResNet | ViT | lite.Lite
        mean: tuple[float, ...] = MEAN
        std: tuple[float, ...] = STD
        self.width: int
        self.widths: tuple[int, ...]
        """Channels of the three maps of `maps`."""
        if architecture in WIDTHS:
            self.width = WIDTHS[architecture]
            self.widths = (2 * self.width,) * 3
            self.net = ViT(self.width)
        elif architecture in lite.SCALES:
            self.net = lite.Lite(architecture)
            self.width, self.widths = lite.HEAD, self.net.widths
            mean, std = (lite.MEAN,) * 3, (lite.STD,) * 3
        elif architecture in _LAYOUTS:
            self.net = _resnet(architecture, zero_init_residual)
            self.width = self.net.inplanes
            self.widths = (self.width // 4, self.width // 2, self.width)
        else:
            names = ", ".join(ARCHITECTURES)
            raise Unsuitable(f"unknown architecture {architecture}", f"choose one of: {names}")
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(3, 1, 1), persistent=False)

    def freeze(self, stages: int) -> None:
        """Freeze the first stages of a ResNet and its stem; their batch norm still uses the
        statistics of each batch. Has no effect on other networks.
        """
        net = self.net
        if stages and isinstance(net, ResNet):
            layers = (net.layer1, net.layer2, net.layer3, net.layer4)
            for part in (net.conv1, net.bn1, *layers[:stages]):
                part.requires_grad_(False)

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """Three feature maps from float (n, 3, h, w) in 0..1: a ResNet's stages 2, 3 and 4, a
        ViT's tokens after half, three quarters and all of its blocks, or EfficientNet's maps at
        strides 8, 16 and 32.
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
        """(n, width), what the papers train: the average of a ResNet's last stage or a ViT's
        class token.
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
