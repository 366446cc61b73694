"""Torchvision's operators on the card: inputs and outputs for `check-cuda oracle`.

Usage: oracle.py OUT.safetensors [cuda|cpu]
"""
import sys

import torch
import torchvision
from safetensors.torch import save_file
from torchvision.models.detection._utils import Matcher
from torchvision.ops import nms, roi_align, sigmoid_focal_loss

out, device = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "cuda"
g = torch.Generator().manual_seed(7)
rand = lambda *shape: torch.rand(*shape, generator=g)
numbers = {}


def add(prefix, **tensors):
    numbers.update({f"{prefix}.{name}": t.detach().cpu().contiguous() for name, t in tensors.items()})


def boxes(n, side):
    xy, wh = rand(n, 2) * side, rand(n, 2) ** 2 * side * 0.4 + 2
    return torch.cat([xy, xy + wh], 1)


for i, (bins, ratio, aligned) in enumerate([(7, 2, False), (14, 2, False), (7, 0, False), (3, 2, True), (5, 0, True)]):
    # torchvision takes any number of samples for -1, and 0 here means the same.
    table = torch.cat([torch.randint(0, 2, (80, 1), generator=g).float(), boxes(80, 150) - 10], 1)
    data = rand(2, 18, 37, 41) - 0.5
    on_card = data.to(device).requires_grad_()
    pooled = roi_align(on_card, table.to(device), bins, 0.25, ratio or -1, aligned)
    incoming = rand(*pooled.shape) - 0.5
    (pooled * incoming.to(device)).sum().backward()
    add(f"roi_align.{i}", settings=torch.tensor([bins, ratio, int(aligned)]), map=data, rois=table, want=pooled, incoming=incoming,
        gradient=on_card.grad)

for i, outputs in enumerate([1, 7, 91]):
    logits = rand(2, 3000, outputs) * 16 - 11
    draw = rand(2, 3000)
    classes = torch.where(draw < 0.9, torch.full_like(draw, -1), (draw - 0.9) * 10 * outputs).floor().long().clamp(max=outputs - 1)
    targets = torch.zeros_like(logits)
    targets.scatter_(2, classes.clamp(min=0).unsqueeze(2), (classes >= 0).float().unsqueeze(2))
    on_card = logits.to(device).requires_grad_()
    loss = sigmoid_focal_loss(on_card, targets.to(device), 0.25, 2.0, "sum")
    loss.backward()
    add(f"focal.{i}", logits=logits, classes=classes.int(), want=loss.reshape(1), gradient=on_card.grad)

for i, n in enumerate([1, 64, 2000]):
    b = boxes(n, 300)
    kept = torch.zeros(n, dtype=torch.uint8)
    kept[nms(b.to(device), torch.linspace(1, 0, n).to(device), 0.5).cpu()] = 1
    add(f"nms.{i}", boxes=b, want=kept)

for i, n in enumerate([1, 9, 150]):
    anchors, objects = boxes(60000, 900), boxes(n, 900)
    iou = torchvision.ops.box_iou(objects.to(device), anchors.to(device))
    add(f"matcher.{i}", anchors=anchors, objects=objects, want=Matcher(0.5, 0.4, True)(iou).int())

save_file(numbers, out)
print(f"{len(numbers)} tensors of torchvision {torchvision.__version__} on {device}")
