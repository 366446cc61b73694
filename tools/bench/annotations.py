"""Memory that annotations take in one and in several processes: annotations.py BINARY [--images N] [--objects N] [--world 1,2,8].

Writes annotation files of COCO's kind (by default as many images, objects and outlines as its train2017), trains a tiny network under a mask head on
them for a step, and measures the memory of all processes (each page shared by n of them counts one n-th: PSS) while they stand between two
steps. The same with a file of 64 images is subtracted: what is left is the annotations'. Linux alone; needs Pillow.
"""
import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import tempfile
import time

from PIL import Image

MODEL = """
data:
  keep_empty: true
  workers: 1
  train: {annotations: %s, images: %s}
  val: {annotations: %s, images: %s}
  augment: {resize: {size: 64}}
model:
  backbone: {name: repghostnet, width: 0.25}
  fpn: {channels: 8}
  head: {name: mask_rcnn, box_head: {fcs: [16, 16]}, mask_head: {convs: [8], deconv: 8}}
train: {batch_size: 8, max_steps: 100000, eval_every: 0, log_every: 1, threads: 1, checkpoint: {every_steps: 100000}}
"""


def write(path, images, objects):
    """An annotation file; every image is the same 64 x 64 file."""
    rng = random.Random(0)
    with open(path, "w") as out:
        entries = ({"id": i, "file_name": "a.png", "height": 64, "width": 64} for i in range(1, images + 1))
        out.write('{"categories": [{"id": 1, "name": "thing"}],\n"images": [')
        out.write(",\n".join(map(json.dumps, entries)))
        out.write('],\n"annotations": [')
        for i in range(objects):
            # COCO's outlines have 40 to 50 numbers on average.
            x, y = rng.uniform(0, 30), rng.uniform(0, 30)
            outline = [round(v + rng.uniform(0, 30), 2) for _ in range(22) for v in (x, y)]
            left, top, right, bottom = min(outline[::2]), min(outline[1::2]), max(outline[::2]), max(outline[1::2])
            box = [left, top, round(right - left, 2), round(bottom - top, 2)]
            record = {"id": i + 1, "image_id": 1 + i % images, "category_id": 1, "iscrowd": 0, "bbox": box, "area": 400.5}
            out.write((",\n" if i else "") + json.dumps({**record, "segmentation": [outline]}))
        out.write("]}\n")
    return path


def tree(pid):
    """A process and those that it started."""
    found = [pid]
    for at in found:
        for task in pathlib.Path(f"/proc/{at}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found


def pss(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


def measure(binary, folder, name, annotations, small, world):
    """MiB of all processes after their first steps, and seconds to the first one."""
    experiment = folder / "experiment.yaml"
    experiment.write_text(MODEL % (annotations, folder, small, folder))
    run = folder / f"run-{name}-{world}"
    command = [binary, "train", experiment, "--run-dir", run] + (["--nproc", str(world)] if world > 1 else [])
    start = time.time()
    log = open(folder / f"log-{name}-{world}.txt", "w")
    process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        metrics = run / "metrics.jsonl"
        while not (metrics.exists() and metrics.read_text().count("\n") >= 3):
            if process.poll() is not None:
                raise SystemExit(f"{name}, {world} processes: ended with {process.returncode}: {pathlib.Path(log.name).read_text()}")
            time.sleep(0.2)
        seconds = time.time() - start
        time.sleep(2)
        return sum(map(pss, tree(process.pid))) / 1024, seconds
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--images", type=int, default=118_287)
    parser.add_argument("--objects", type=int, default=860_001)
    parser.add_argument("--world", default="1,2,8")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        Image.new("RGB", (64, 64), (90, 120, 60)).save(folder / "a.png")
        small = write(folder / "small.json", 64, 128)
        large = write(folder / "large.json", args.images, args.objects)
        print(f"{args.images} images, {args.objects} outlines: {large.stat().st_size / 2**20:.0f} MiB of JSON")
        print("| processes | all memory, MiB | of it annotations | against one process | seconds to the third step |\n|---|---|---|---|---|")
        alone = None
        for world in map(int, args.world.split(",")):
            base, _ = measure(args.binary.resolve(), folder, "small", small, small, world)
            total, seconds = measure(args.binary.resolve(), folder, "large", large, small, world)
            alone = alone or total - base
            print(f"| {world} | {total:.0f} | {total - base:.0f} | {(total - base) / alone:.2f} | {seconds:.0f} |", flush=True)


main()
