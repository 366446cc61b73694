"""Training in several processes: this project's `--nproc` beside torchvision's reference loop under torchrun, on the same pictures.

    python tools/bench/ranks.py PROGRAM [--world 1 2] [--steps 40]     # PROGRAM: repghost-det; needs torch, torchvision, timm, pycocotools

Both train RepGhostNet 0.5x under the narrow RetinaNet of experiments/demo.yaml, 8 images of 160 px per step over all processes, from PNG files
and COCO JSON that `repghost-det data shapes` writes. The peer does what torchvision's reference script does: DistributedDataParallel over gloo,
CocoDetection, one worker process per rank, `torch.set_num_threads` sharing the cores out. Printed: images per second over the second half
of the steps (median), a line per world and side. `--worker` is how torchrun starts this file.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
BATCH, SIZE = 8, 160
# As in experiments/demo.yaml.
CLASSES = 5
ANCHORS = ((16, 27, 44), (52, 64, 78), (100, 120, 140), (150, 160, 170), (180, 190, 200))


def collate(batch):
    return tuple(zip(*batch))


def worker(folder, steps):
    import torch
    import torchvision.transforms.functional as F
    from torch.utils.data import DataLoader, DistributedSampler
    from torchvision.datasets import CocoDetection

    sys.path.insert(0, str(HERE.parent / "fixtures"))
    from step_bench import AnchorGenerator, build

    def tensors(image, objects):
        boxes = torch.tensor([o["bbox"] for o in objects], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        labels = torch.tensor([o["category_id"] - 1 for o in objects], dtype=torch.int64)
        return F.to_tensor(image), dict(boxes=boxes, labels=labels)

    torch.distributed.init_process_group("gloo")
    world = torch.distributed.get_world_size()
    torch.set_num_threads(max(1, os.cpu_count() // world))
    torch.manual_seed(0)
    data = CocoDetection(folder / "train", folder / "annotations" / "instances_train.json", transforms=tensors)
    sampler = DistributedSampler(data)
    loader = DataLoader(data, BATCH // world, sampler=sampler, num_workers=1, collate_fn=collate, drop_last=True)
    model = torch.nn.parallel.DistributedDataParallel(build("narrow", "050", SIZE, CLASSES, AnchorGenerator(ANCHORS, ((1.0,),) * 5)).train())
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.05)
    times, done = [], 0
    while done < steps:
        start = time.perf_counter()
        for images, targets in loader:
            loss = sum(model(list(images), list(targets)).values())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
            optimizer.step()
            loss.item()
            times.append(time.perf_counter() - start)
            start = time.perf_counter()
            done += 1
            if done == steps:
                break
    if torch.distributed.get_rank() == 0:
        print(json.dumps(dict(images_per_second=BATCH / statistics.median(times[steps // 2:]))))
    torch.distributed.destroy_process_group()


def ours(program, pictures, work, world, steps):
    run = work / f"run{world}"
    command = [program, "train", "demo", "data.source=coco", *(f"data.{part}.{key}" for part in ("train", "val") for key in
               (f"annotations={pictures}/annotations/instances_{part}.json", f"images={pictures}/{part}")), f"train.max_steps={steps}", "train.log_every=1", "train.eval_every=0",
               f"train.batch_size={BATCH}", "--run-dir", run, *(["train.replicas=1"] if world > 1 else []), "--nproc", world]
    subprocess.run([str(c) for c in command], check=True, capture_output=True)
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rates = [r["images_per_second"] for r in records if r["kind"] == "step"]
    return statistics.median(rates[len(rates) // 2:])


def peer(pictures, world, steps):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", world, "--master-port", "29533", __file__, "--worker", pictures,
               "--steps", steps]
    found = subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, env=dict(os.environ, OMP_NUM_THREADS="1"))
    return json.loads(found.stdout.strip().splitlines()[-1])["images_per_second"]


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program", nargs="?", type=pathlib.Path)
    p.add_argument("--world", type=int, nargs="+", default=[1, 2])
    p.add_argument("--steps", type=int, default=40)
    p.add_argument("--worker", type=pathlib.Path)
    a = p.parse_args()
    if a.worker:
        worker(a.worker, a.steps)
        sys.exit()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        pictures = work / "pictures"
        subprocess.run([a.program, "data", "shapes", "--output", pictures, "--train", "480", "--val", "8", "--size", str(SIZE), "--max-objects", "5"], check=True, capture_output=True)
        for world in a.world:
            print(f"world {world}: ours {ours(a.program, pictures, work, world, a.steps):.1f} images/s, "
                  f"torchvision {peer(pictures, world, a.steps):.1f} images/s", flush=True)
