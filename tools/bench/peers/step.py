"""Peer of a training step: torchvision's heads over timm's RepGhostNet. Usage: step.py {retinanet|mask_rcnn} WIDTH SIZE BATCH STEPS

Prints the median seconds of a step and the peak resident memory in MB.
"""
import resource
import statistics
import sys
import time

import timm
import torch
from torchvision.models.detection import MaskRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

CLASSES = 91


class Body(torch.nn.Module):
    def __init__(self, name, levels, extra):
        super().__init__()
        self.body = timm.create_model(name, features_only=True, out_indices=levels)
        self.fpn = FeaturePyramidNetwork(self.body.feature_info.channels(), 256, extra)
        self.out_channels = 256

    def forward(self, x):
        return self.fpn({str(i): v for i, v in enumerate(self.body(x))})


def detector(head, width, size):
    name = f"repghostnet_{width}"
    ratios = ((0.5, 1.0, 2.0),) * 5
    if head == "retinanet":
        sizes = tuple((s, int(s * 2 ** (1 / 3)), int(s * 2 ** (2 / 3))) for s in (32, 64, 128, 256, 512))
        body = Body(name, (2, 3, 4), LastLevelP6P7(256, 256))
        return RetinaNet(body, CLASSES, anchor_generator=AnchorGenerator(sizes, ratios), min_size=size, max_size=size)
    anchors = AnchorGenerator(((32,), (64,), (128,), (256,), (512,)), ratios)
    body = Body(name, (1, 2, 3, 4), LastLevelMaxPool())
    return MaskRCNN(body, CLASSES, rpn_anchor_generator=anchors, min_size=size, max_size=size)


def targets(batch, size, with_masks):
    g = torch.Generator().manual_seed(0)
    out = []
    for _ in range(batch):
        low = torch.rand(7, 2, generator=g) * size * 0.6
        boxes = torch.cat([low, low + torch.rand(7, 2, generator=g) * size * 0.3 + 8], 1)
        t = {"boxes": boxes, "labels": torch.randint(1, 80, (7,), generator=g)}
        if with_masks:
            t["masks"] = torch.zeros(7, size, size, dtype=torch.uint8)
            for mask, (x0, y0, x1, y1) in zip(t["masks"], boxes.int().tolist()):
                mask[y0:y1, x0:x1] = 1
        out.append(t)
    return out


if __name__ == "__main__":
    head, width, size, batch, steps = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    torch.manual_seed(0)
    model = detector(head, width, size).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    times = []
    for _ in range(steps + 1):
        images = [torch.rand(3, size, size) for _ in range(batch)]
        truth = targets(batch, size, head == "mask_rcnn")
        start = time.time()
        loss = sum(model(images, truth).values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        times.append(time.time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{statistics.median(times[1:]):.4f} {peak:.0f}")
