"""Torchvision's detectors over timm's RepGhostNet: what `check-cuda speed` is compared with. Same card, same batch, same protocol.

Usage: peer.py {retinanet|mask_rcnn} [--precision tf32] [--batch 16] [--height 800] [--width 1344] [--steps 10] [--infer]
Prints a JSON object: images per second by the median step, peak memory.
"""
import argparse
import json
import statistics
import time

import timm
import torch
from torchvision.models.detection import MaskRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

WARM_UP = 3
RATIOS = (0.5, 1.0, 2.0)
# The last of timm's groups of blocks with strides 4, 8, 16 and 32.
LAST = (2, 4, 6, 8)


class Body(torch.nn.Module):
    """RepGhostNet up to the last block of stride 32, with a pyramid on the last maps of `levels` strides. (timm's `features_only` takes the first
    block of each stride and leaves out the blocks after it.)"""

    def __init__(self, name, levels, extra):
        super().__init__()
        whole = timm.create_model(name)
        self.stem = torch.nn.Sequential(whole.conv_stem, whole.bn1, whole.act1)
        self.blocks = whole.blocks[: LAST[-1] + 1]
        self.taps = LAST[-levels:]
        self.fpn = FeaturePyramidNetwork([m.shape[1] for m in self.eval().maps(torch.zeros(1, 3, 64, 64))], 256, extra)
        self.out_channels = 256

    def maps(self, x):
        x, found = self.stem(x), []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.taps:
                found.append(x)
        return found

    def forward(self, x):
        return self.fpn({str(i): v for i, v in enumerate(self.maps(x))})


def build(model, name, height, width):
    sizes = dict(min_size=height, max_size=width)
    if model == "retinanet":
        anchors = AnchorGenerator(tuple((x, int(x * 2 ** (1 / 3)), int(x * 2 ** (2 / 3))) for x in [32, 64, 128, 256, 512]), (RATIOS,) * 5)
        return RetinaNet(Body(name, 3, LastLevelP6P7(256, 256)), 91, anchor_generator=anchors, **sizes)
    anchors = AnchorGenerator(((32,), (64,), (128,), (256,), (512,)), (RATIOS,) * 5)
    return MaskRCNN(Body(name, 4, LastLevelMaxPool()), 91, rpn_anchor_generator=anchors, **sizes)


def target(g, height, width, mask, device):
    scale = torch.tensor([width, height])
    xy, wh = torch.rand(7, 2, generator=g) * scale * 0.6, torch.rand(7, 2, generator=g) * scale * 0.3 + 8
    t = dict(boxes=torch.cat([xy, xy + wh], 1), labels=torch.randint(1, 80, (7,), generator=g))
    if mask:
        t["masks"] = torch.zeros(7, height, width, dtype=torch.uint8)
        for i, b in enumerate(t["boxes"].int().tolist()):
            t["masks"][i, b[1]:b[3], b[0]:b[2]] = 1
    return {k: v.to(device) for k, v in t.items()}


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("--precision", default="tf32")
    p.add_argument("--net", default="130")
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--height", type=int, default=800)
    p.add_argument("--width", type=int, default=1344)
    p.add_argument("--steps", type=int, default=10)
    p.add_argument("--infer", action="store_true")
    p.add_argument("--device", default="cuda")
    p.add_argument("--trace", help="write a trace of one more step to this file")
    a = p.parse_args()
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = a.precision != "fp32"
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(a.precision)
    on_card = a.device.startswith("cuda")
    wait = torch.cuda.synchronize if on_card else lambda: None
    model = build(a.model, f"repghostnet_{a.net}", a.height, a.width).to(a.device)
    g = torch.Generator().manual_seed(0)
    # Normalised values come out of torchvision's own transform, so these are colours between 0 and 1.
    images = [torch.rand(3, a.height, a.width, generator=g).to(a.device) for _ in range(a.batch)]
    targets = [target(g, a.height, a.width, a.model != "retinanet", a.device) for _ in range(a.batch)]
    model.train(not a.infer)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    times = []

    def one():
        with torch.autocast(a.device.split(":")[0], dtype=half or torch.bfloat16, enabled=half is not None):
            if a.infer:
                with torch.inference_mode():
                    model(images)
            else:
                loss = sum(model(images, targets).values())
        if not a.infer:
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
            optimizer.step()
            loss.item()

    for _ in range(WARM_UP + a.steps):
        wait()
        start = time.perf_counter()
        one()
        wait()
        times.append(time.perf_counter() - start)
    if a.trace:
        kinds = [torch.profiler.ProfilerActivity.CPU] + [torch.profiler.ProfilerActivity.CUDA] * on_card
        with torch.profiler.profile(activities=kinds, record_shapes=True, profile_memory=True) as profile:
            one()
            wait()
        profile.export_chrome_trace(a.trace)
    median = statistics.median(times[WARM_UP:])
    peak = torch.cuda.max_memory_allocated() / 2**20 if on_card else 0
    print(json.dumps(dict(images_per_second=a.batch / median, milliseconds=1e3 * median, peak_mib=peak)))
