"""Peers of the operators. Prints `name milliseconds` lines: RoIAlign forward and forward + backward, NMS, pasting and encoding of masks."""
import statistics
import time

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import batched_nms, roi_align


def median(f, n=7):
    f()
    times = []
    for _ in range(n):
        start = time.time()
        f()
        times.append(time.time() - start)
    return statistics.median(times) * 1e3


torch.manual_seed(0)
features = torch.rand(1, 256, 80, 80, requires_grad=True)
low = torch.rand(512, 2) * 200
rois = torch.cat([low, low + torch.rand(512, 2) * 100 + 4], 1)
for out in (7, 14):
    print(f"roi_align_{out}_forward {median(lambda: roi_align(features, [rois], out, 0.25, 2)):.2f}")
    print(f"roi_align_{out}_both {median(lambda: roi_align(features, [rois], out, 0.25, 2).sum().backward()):.2f}")

low = torch.rand(4000, 2) * 300
boxes = torch.cat([low, low + torch.rand(4000, 2) * 60 + 1], 1)
scores, labels = torch.rand(4000), torch.randint(0, 80, (4000,))
print(f"batched_nms_4000 {median(lambda: batched_nms(boxes, scores, labels, 0.5)):.2f}")

masks = torch.rand(100, 1, 28, 28)
low = torch.rand(100, 2) * 300
boxes = torch.cat([low, low + torch.rand(100, 2) * 200 + 4], 1)


def paste_and_encode():
    full = paste_masks_in_image(masks, boxes, (480, 640))[:, 0] > 0.5
    return [coco_mask.encode(np.asfortranarray(m.numpy().astype(np.uint8))) for m in full]


print(f"paste_encode_100 {median(paste_and_encode):.2f}")
