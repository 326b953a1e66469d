"""The baseline of train_speed: MoCo v2 the plain way, at a ResNet and size of one's choice.

Written after the authors' main_moco.py and moco/builder.py (arXiv:2003.04297): the same PIL
transforms in a DataLoader, fp32, contiguous memory, a queue, a momentum encoder, SGD. With
--symmetric the loss goes both ways, as in the authors' CIFAR demo. Prints one JSON line.

    python plain_train.py PHOTOS --seconds 30
"""

import argparse
import json
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import models, transforms

LEAST_STEPS = 5


class GaussianBlur:
    """SimCLR's blur, as MoCo v2 applies it."""

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(radius=random.uniform(0.1, 2.0)))


def augmentation(size: int) -> transforms.Compose:
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(size, scale=(0.2, 1.0)),
            transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            transforms.RandomGrayscale(p=0.2),
            transforms.RandomApply([GaussianBlur()], p=0.5),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        ]
    )


class TwoCrops(Dataset):
    """Two views of every photo of a folder."""

    def __init__(self, folder: Path, size: int) -> None:
        self.files = sorted(folder.iterdir())
        self.transform = augmentation(size)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        with Image.open(self.files[number]) as image:
            photo = image.convert("RGB")
        return self.transform(photo), self.transform(photo)


class MoCo(nn.Module):
    """A query encoder, a momentum encoder and a queue."""

    def __init__(
        self, arch: str, K: int, *, dim: int = 128, m: float = 0.999, T: float = 0.2
    ) -> None:
        super().__init__()
        self.K, self.m, self.T = K, m, T
        self.encoder_q, self.encoder_k = encoder(arch, dim), encoder(arch, dim)
        for q, k in zip(self.encoder_q.parameters(), self.encoder_k.parameters(), strict=True):
            k.data.copy_(q.data)
            k.requires_grad = False
        self.queue: Tensor
        self.register_buffer("queue", F.normalize(torch.randn(dim, K), dim=0))
        self.ptr = 0

    @torch.no_grad()
    def update_key_encoder(self) -> None:
        for q, k in zip(self.encoder_q.parameters(), self.encoder_k.parameters(), strict=True):
            k.data = k.data * self.m + q.data * (1.0 - self.m)

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        n = keys.shape[0]
        assert self.K % n == 0
        self.queue[:, self.ptr : self.ptr + n] = keys.T
        self.ptr = (self.ptr + n) % self.K

    def contrast(self, im_q: Tensor, im_k: Tensor) -> tuple[Tensor, Tensor]:
        """The loss one way, and the keys."""
        q = F.normalize(self.encoder_q(im_q), dim=1)
        with torch.no_grad():
            order = torch.randperm(len(im_k))
            k = F.normalize(self.encoder_k(im_k[order]), dim=1)[order.argsort()]
        l_pos = torch.einsum("nc,nc->n", q, k).unsqueeze(-1)
        l_neg = torch.einsum("nc,ck->nk", q, self.queue.clone().detach())
        logits = torch.cat([l_pos, l_neg], dim=1) / self.T
        return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long)), k

    def forward(self, im_1: Tensor, im_2: Tensor, symmetric: bool) -> Tensor:
        self.update_key_encoder()
        loss, k = self.contrast(im_1, im_2)
        if symmetric:
            back, k_1 = self.contrast(im_2, im_1)
            loss, k = loss + back, torch.cat([k, k_1])
        self.enqueue(k)
        return loss


def encoder(arch: str, dim: int) -> nn.Module:
    """A ResNet of torchvision with MoCo v2's two-layer head."""
    net = getattr(models, arch)(num_classes=dim)
    width = net.fc.weight.shape[1]
    net.fc = nn.Sequential(nn.Linear(width, width), nn.ReLU(), net.fc)
    return net


def train(args: argparse.Namespace) -> tuple[int, float]:
    """Photos and seconds of the steady part of a run."""
    photos = TwoCrops(args.photos, args.size)
    # One endless epoch: workers that start anew for every pass would slow the baseline down.
    sampler = RandomSampler(photos, num_samples=10**9)
    loader = DataLoader(photos, args.batch, sampler=sampler, num_workers=2, drop_last=True)
    model = MoCo(args.arch, args.K)
    model.train()
    optimizer = torch.optim.SGD(
        model.encoder_q.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-4
    )
    begun, steady, steps = time.perf_counter(), None, 0
    for im_1, im_2 in loader:
        loss = model(im_1, im_2, args.symmetric)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        now = time.perf_counter()
        if steady is None and now - begun > args.warm_up:
            steady = now
        elif steady is not None:
            steps += 1
            if now - steady > args.seconds and steps >= LEAST_STEPS:
                break
    assert steady is not None
    return steps * args.batch, now - steady


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", type=Path)
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--K", type=int, default=1024)
    parser.add_argument("--symmetric", action="store_true")
    parser.add_argument("--warm-up", type=float, default=8.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    images, seconds = train(parser.parse_args())
    print(json.dumps({"images": images, "seconds": seconds}))


if __name__ == "__main__":
    main()
