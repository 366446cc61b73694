"""Peer of `predict`, end to end: JPEG file to a file with drawn boxes, torchvision's RetinaNet over timm's RepGhostNet, eager.

Usage: predict.py FOLDER OUT [--channels 64] [--depth 2] [--scales 2] [--classes 3] [--size 320] [--threads N]

The network has the shape of experiments/small.yaml by default; `--channels 256 --depth 4 --scales 3` is torchvision's own. Weights are random, so
hardly a box passes the score threshold: drawing and suppression cost the peer next to nothing, which is in its favour. Pictures are written as
JPEG, the faster format. Prints seconds an image, model loading left out.
"""
import argparse
import glob
import os
import time

import timm
import torch
import torchvision
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelP6P7


class Body(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.body = timm.create_model("repghostnet_050", features_only=True, out_indices=(2, 3, 4))
        self.fpn = FeaturePyramidNetwork(self.body.feature_info.channels(), channels, LastLevelP6P7(channels, channels))
        self.out_channels = channels

    def forward(self, x):
        return self.fpn({str(i): v for i, v in enumerate(self.body(x))})


def model(a):
    sizes = tuple(tuple(int(3 * 2**level * 2 ** (k / a.scales)) for k in range(a.scales)) for level in range(3, 8))
    anchors = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 5)
    net = RetinaNet(Body(a.channels), a.classes, anchor_generator=anchors, min_size=a.size, max_size=a.size)
    per_layer = len(net.head.classification_head.conv) // 4
    for part in (net.head.classification_head, net.head.regression_head):
        part.conv = part.conv[: a.depth * per_layer]
    return net.eval()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder")
    p.add_argument("out")
    for name, value in (("channels", 64), ("depth", 2), ("scales", 2), ("classes", 3), ("size", 320), ("threads", 0)):
        p.add_argument("--" + name, type=int, default=value)
    a = p.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    os.makedirs(a.out, exist_ok=True)
    net = model(a)
    files = sorted(glob.glob(a.folder + "/*.jpg"))
    with torch.inference_mode():
        net([torch.rand(3, a.size, a.size)])
        start = time.time()
        for file in files:
            image = torchvision.io.read_image(file, torchvision.io.ImageReadMode.RGB)
            found = net([image.float() / 255])[0]
            shown = found["scores"] >= 0.3
            labels = [f"{label} {score:.2f}" for label, score in zip(found["labels"][shown].tolist(), found["scores"][shown].tolist())]
            if labels:
                image = torchvision.utils.draw_bounding_boxes(image, found["boxes"][shown], labels)
            torchvision.io.write_jpeg(image, os.path.join(a.out, os.path.basename(file)), quality=90)
        print(f"{(time.time() - start) / len(files):.4f} s an image, {len(files)} images")


if __name__ == "__main__":
    main()
