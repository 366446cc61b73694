#!/usr/bin/env python3
"""Our readers beside Python's, on random and damaged inputs: COCO numbers beside pycocotools, weights beside torch.load and safetensors, images
beside Pillow.

    make differential [MINUTES=5] [PART="metrics weights images"]     # PEERS_PYTHON: a Python with torch, safetensors, pycocotools, pillow, numpy

Whole inputs have to give the same numbers, tensors (bit for bit) and pixels (JPEG: within the rounding of two decoders). Damaged ones have to be
read alike or refused: never an exit code but 0 and 2, never other values than the peer reads (of damaged images only the size is compared: decoders
fill what is missing in their own ways). One line per part at the end; exit code 1 where
anything differed. Inputs of a finding are kept in the folder that is printed.
"""
import argparse
import contextlib
import io
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np

# Mean difference of pixels between two JPEG decoders, in levels of 256.
JPEG_MEAN = 1.0
# Metrics are sums of doubles in another order.
SAME = 1e-9


class Part:
    def __init__(self, program, folder, seed):
        self.program, self.folder, self.random = str(program), folder, random.Random(seed)
        self.counts, self.findings = {}, 0

    def call(self, *arguments):
        done = subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True, timeout=120)
        return done.returncode, done.stderr.strip().splitlines()[-1:] or [""]

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def finding(self, why, *files):
        self.findings += 1
        kept = self.folder / f"finding{self.findings}"
        kept.mkdir()
        for file in files:
            if file.exists():
                shutil.copy(file, kept)
        print(f"{type(self).__name__.lower()}: {why}; inputs in {kept}", flush=True)

    def damaged(self, data):
        data, r = bytearray(data), self.random
        for _ in range(r.randint(1, 4)):
            at = r.randrange(len(data))
            kind = r.randrange(4)
            if kind == 0:
                data[at] ^= 1 << r.randrange(8)
            elif kind == 1:
                data[at] = r.choice([0, 1, 0x7F, 0x80, 0xFF])
            elif kind == 2:
                del data[at:at + r.randint(1, 8)]
            else:
                del data[max(at, len(data) // 2):]
            if not data:
                return b"\0"
        return bytes(data)


class Metrics(Part):
    """Random images, objects (crowds, empty ones, ignored areas) and detections with many equal scores."""

    def objects(self, image, n, categories, first):
        r = self.random
        found = []
        for i in range(n):
            x, y = r.randint(0, 80), r.randint(0, 60)
            w, h = r.choice([r.randint(1, 20), r.randint(20, 300)]), r.choice([r.randint(1, 20), r.randint(20, 200)])
            found.append(dict(id=first + i, image_id=image, category_id=r.choice(categories), bbox=[x, y, w, h], area=w * h,
                              iscrowd=int(r.random() < 0.1), segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]]))
        return found

    def once(self):
        r = self.random
        images = r.sample(range(1, 100), r.randint(1, 5))
        categories = sorted(r.sample(range(1, 91), r.randint(1, 4)))
        truth, detections = [], []
        for image in images:
            truth += self.objects(image, r.randint(0, 8), categories, len(truth) + 1)
        for o in truth:
            for _ in range(r.choice([0, 1, 1, 2])):
                moved = [v + r.choice([0, 0, 0.5, -1, 3]) for v in o["bbox"]]
                moved[2:] = [max(1, v) for v in moved[2:]]
                detections.append((o["image_id"], o["category_id"] if r.random() < 0.8 else r.choice(categories), moved))
        for _ in range(r.randint(0, 20)):
            detections.append((r.choice(images), r.choice(categories), [r.randint(0, 80), r.randint(0, 60), r.randint(1, 200), r.randint(1, 200)]))
        r.shuffle(detections)
        results = [dict(image_id=i, category_id=c, bbox=b, score=round(r.random(), r.choice([1, 2, 5]))) for i, c, b in detections]
        if not results:
            return
        annotations, found = self.folder / "truth.json", self.folder / "found.json"
        names = [dict(id=c, name=f"c{c}") for c in categories]
        annotations.write_text(json.dumps(dict(images=[dict(id=i, width=640, height=480, file_name=f"{i}.png") for i in images],
                                               annotations=truth, categories=names)))
        found.write_text(json.dumps(results))
        code, line = self.call("eval", "--annotations", annotations, "--detections", found, "--output", self.folder / "out")
        if code:
            # What the file itself forbids would be a mistake of this script.
            return self.finding(f"exit {code}: {line[0]}", annotations, found)
        stats = self.peer(annotations, found)
        ours = json.loads((self.folder / "out" / "metrics.json").read_text())["bbox"]
        ours = [ours[key] for key in ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")]
        apart = [(a, b) for a, b in zip(ours, stats) if not abs((-1 if a is None else a) - b) <= SAME]
        self.count("equal" if not apart else "different")
        if apart:
            self.finding(f"numbers differ: {apart}", annotations, found)

    def peer(self, annotations, found):
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(str(annotations))
            judge = COCOeval(truth, truth.loadRes(str(found)), "bbox")
            judge.evaluate()
            judge.accumulate()
            judge.summarize()
        return judge.stats.tolist()


class Weights(Part):
    """Tensors of all kinds and layouts, as safetensors, as torch.save writes them now and before 1.6, whole and damaged."""

    def tensor(self):
        import torch

        r = self.random
        shape = [r.randint(0 if r.random() < 0.05 else 1, 5) for _ in range(r.randint(0, 4))]
        kind = r.choice([torch.float32, torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.uint8])
        t = (torch.randn(shape) * 8).to(kind)
        if t.dim() > 1 and r.random() < 0.3:
            t = t.transpose(0, -1)
        if t.dim() > 0 and t.shape[0] > 1 and r.random() < 0.3:
            t = t[1:]
        if t.dim() > 0 and t.shape[-1] > 2 and r.random() < 0.2:
            t = t[..., ::2]
        return t

    def once(self):
        import torch
        from safetensors.torch import load_file, save_file

        r = self.random
        state = {f"{r.choice('abc')}{i}.{r.choice(['weight', 'bias', 'running_mean'])}": self.tensor() for i in range(r.randint(1, 6))}
        kind = r.choice(["zip", "zip", "legacy", "safetensors"])
        file, out = self.folder / ("w.safetensors" if kind == "safetensors" else "w.pth"), self.folder / "out.safetensors"
        if kind == "safetensors":
            save_file({k: v.clone().contiguous() for k, v in state.items()}, file)
        else:
            whole = r.choice([state, {"state_dict": state, "epoch": 3}, {"model": state}])
            torch.save(whole, file, _use_new_zipfile_serialization=kind == "zip")
        damaged = r.random() < 0.6
        if damaged:
            file.write_bytes(self.damaged(file.read_bytes()))
        out.unlink(missing_ok=True)
        code, line = self.call("weights", "convert", file, out)
        if code not in (0, 2):
            return self.finding(f"exit {code}: {line[0]}", file)
        try:
            theirs = load_file(file) if kind == "safetensors" else torch.load(file, map_location="cpu", weights_only=True)
        except Exception:  # whatever a peer raises on a damaged file is a refusal
            theirs = None
        if code == 2:
            self.count("both refuse" if theirs is None else "only we refuse")
            if not damaged:
                self.finding(f"a whole file is refused: {line[0]}", file)
            return
        if theirs is None:
            self.count("only the peer refuses")
            return
        ours = load_file(out)
        if not self.same(ours, theirs):
            return self.finding(f"{kind}: other names or values than the peer's", file, out)
        self.count("equal, damaged" if damaged else "equal")

    @staticmethod
    def same(ours, theirs):
        import torch

        for key in ("state_dict", "model"):
            if isinstance(theirs.get(key), dict):
                theirs = theirs[key]
        theirs = {k: v for k, v in theirs.items() if isinstance(v, torch.Tensor)}
        bits = lambda t: (tuple(t.shape), str(t.dtype), t.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if t.numel() else b"")
        return {k: bits(v) for k, v in ours.items()} == {k: bits(v) for k, v in theirs.items()}


class Images(Part):
    """Pictures of all formats and modes, whole and damaged. One object fills the picture, so that its crop is the picture as we decode it."""

    FORMATS = [("jpg", "JPEG", ["RGB", "L", "CMYK"]), ("png", "PNG", ["RGB", "L", "P", "RGBA", "LA", "1"]), ("bmp", "BMP", ["RGB", "L", "P"]),
               ("webp", "WEBP", ["RGB"]), ("gif", "GIF", ["P", "L"]), ("tiff", "TIFF", ["RGB", "L"])]

    def picture(self, mode, width, height):
        from PIL import Image

        seed = np.random.default_rng(self.random.randrange(1 << 30))
        coarse = seed.integers(0, 256, (max(1, height // 8), max(1, width // 8), 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((width, height), Image.BICUBIC)
        if mode in ("RGBA", "LA"):
            image.putalpha(255)
        return image.convert(mode)

    def once(self):
        from PIL import Image

        r = self.random
        ending, name, modes = r.choice(self.FORMATS)
        width, height = r.randint(8, 90), r.randint(8, 90)
        image = self.picture(r.choice(modes), width, height)
        options = {}
        if name == "JPEG":
            options = dict(quality=r.choice([30, 75, 95]), progressive=r.random() < 0.3, subsampling=r.choice([0, 1, 2]))
        if name == "WEBP":
            options = dict(lossless=True)
        # (Pillow turns TIFF by itself; data sets with such files are listed by `data check`.)
        if name in ("JPEG", "PNG", "WEBP") and r.random() < 0.3:
            exif = Image.Exif()
            exif[0x0112] = r.randint(1, 8)
            options["exif"] = exif
        folder = self.folder / "images"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        folder.mkdir()
        file, annotations = folder / f"a.{ending}", self.folder / "one.json"
        image.save(file, name, **options)
        damaged = r.random() < 0.5
        if damaged:
            file.write_bytes(self.damaged(file.read_bytes()))
        try:
            with Image.open(file) as opened:
                # Data sets are read as their files are stored, whatever EXIF states.
                theirs = np.asarray(opened.convert("RGB"), dtype=int)
        except Exception:  # as above
            theirs = None
        height, width = theirs.shape[:2] if theirs is not None else (height, width)
        annotations.write_text(json.dumps(dict(
            images=[dict(id=1, width=width, height=height, file_name=file.name)], categories=[dict(id=1, name="c")],
            annotations=[dict(id=1, image_id=1, category_id=1, bbox=[0, 0, width, height], area=width * height, iscrowd=0)])))
        code, line = self.call("data", "crops", "--annotations", annotations, "--images", folder, "--output", self.folder / "out", "--margin", "0",
                               "--min-size", "1", "--keep-shape")
        if code not in (0, 2):
            return self.finding(f"exit {code}: {line[0]}", file, annotations)
        crops = list((self.folder / "out").rglob("*.png"))
        if code == 2 or not crops:
            self.count("both refuse" if theirs is None else "only we refuse")
            if not damaged:
                self.finding(f"a whole {name} {image.mode} is refused: {line[0]}", file, annotations)
            return
        if theirs is None:
            return self.count("only the peer refuses")
        ours = np.asarray(Image.open(crops[0]).convert("RGB"), dtype=int)
        if ours.shape != theirs.shape:
            return self.finding(f"{name} {image.mode}: {ours.shape}, not {theirs.shape}", file, annotations)
        apart = np.abs(ours - theirs)
        if damaged:
            # Decoders fill what is missing in their own ways.
            return self.count("damaged, equal" if apart.max() == 0 else "damaged, other pixels")
        if apart.mean() > (JPEG_MEAN if name == "JPEG" else 0):
            return self.finding(f"{name} {image.mode} {options}: off by {apart.mean():.2f} in the mean, {apart.max()} at most", file, annotations)
        self.count("equal")


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program", type=pathlib.Path)
    p.add_argument("parts", nargs="*", default=["metrics", "weights", "images"])
    p.add_argument("--minutes", type=float, default=5, help="for all parts together")
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    root = pathlib.Path(tempfile.mkdtemp(prefix="differential."))
    known = {c.__name__.lower(): c for c in (Metrics, Weights, Images)}
    found = 0
    for name in a.parts:
        if name not in known:
            p.error(f"no part {name}; there are: {' '.join(known)}")
        folder = root / name
        folder.mkdir()
        part, end, n = known[name](a.program.resolve(), folder, a.seed), time.time() + 60 * a.minutes / len(a.parts), 0
        while time.time() < end and part.findings < 10:
            part.once()
            n += 1
        found += part.findings
        print(f"{name}: {n} inputs, {', '.join(f'{k} {v}' for k, v in sorted(part.counts.items()))}, {part.findings} findings", flush=True)
    if not found:
        shutil.rmtree(root)
    sys.exit(1 if found else 0)
