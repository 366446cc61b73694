#!/usr/bin/env python3
"""Trains each head for long, with evaluation, checkpoint and report in turn: memory, threads, file handles and speed have to stay flat.

    make soak STEPS=10000

Samples the process each second, from outside (/proc), and compares the second quarter of a run with its last: memory may grow by 5 % and 32 MiB,
threads and file handles not at all, and a step may take a third more of the processors' time (not of the clock's, so that whatever else the machine
does is left out). Writes samples.csv and soak.png (with Pillow, where it is installed) to
--output. Exit code 1 where something grows.
"""
import argparse
import csv
import os
import pathlib
import shutil
import subprocess
import sys
import time

HEADS = ["retinanet", "fcos", "faster_rcnn", "mask_rcnn"]
EXPERIMENT = """
data:
  source: shapes
  augment: {{resize: {{min_sizes: [64, 80, 96], max_size: 128}}}}
  shapes: {{train_images: 40, val_images: 4, picture: {{size: [96, 96], max_objects: 3}}}}
  workers: 1
model:
  backbone: {{name: repghostnet, width: 0.25}}
  fpn: {{channels: 32}}
  head: {{name: {head}}}
train:
  epochs: {epochs}
  batch_size: 2
  log_every: 1
  eval_every: 1
  checkpoint: {{every_epochs: 1, keep_last: 2}}
  optimizer: {{name: adamw, lr: 1.0e-4}}
"""
STEPS_PER_EPOCH = 20


class Steps:
    """Counts the records of steps as they are written."""

    def __init__(self, path):
        self.path, self.at, self.count = path, 0, 0

    def now(self):
        try:
            with open(self.path, "rb") as file:
                file.seek(self.at)
                text = file.read()
        except OSError:
            return 0
        self.at += len(text)
        self.count += text.count(b'"kind":"step"')
        return self.count


def sample(pid):
    """Resident memory in MiB, threads, file handles, seconds of processors; None where the process has ended."""
    try:
        times = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        seconds = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        return int(fields["VmRSS"].split()[0]) / 1024, int(fields["Threads"]), len(os.listdir(f"/proc/{pid}/fd")), seconds
    except (OSError, KeyError):
        return None


def soak(binary, head, steps, folder):
    run = folder / head
    shutil.rmtree(run, ignore_errors=True)
    experiment = folder / f"{head}.yaml"
    experiment.write_text(EXPERIMENT.format(head=head, epochs=max(2, steps // STEPS_PER_EPOCH)))
    process = subprocess.Popen([binary, "--quiet", "train", experiment, "--run-dir", run], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    began, samples, reported, steps = time.time(), [], 0.0, Steps(run / "metrics.jsonl")
    while process.poll() is None:
        found = sample(process.pid)
        if found and found[0] > 0:
            samples.append((time.time() - began, *found, steps.now()))
        # A report of the running run, each half minute.
        if time.time() - reported > 30 and (run / "metrics.jsonl").exists() and (run / "config.yaml").exists():
            reported = time.time()
            done = subprocess.run([binary, "--quiet", "report", run, "--output", folder / "report.html"], capture_output=True, text=True)
            if done.returncode:
                print(f"{head}: the report fails: {done.stderr.strip()}")
        time.sleep(1)
    if process.returncode:
        sys.exit(f"{head}: exit code {process.returncode}: {process.stderr.read().strip()[:500]}")
    return samples


def quarters(values):
    n = len(values) // 4
    return values[n:2 * n] or values, values[3 * n:] or values


def judge(head, samples):
    wrong = []
    columns = list(zip(*samples))
    (memory, threads, handles) = (quarters(c) for c in columns[1:4])
    before, after = max(memory[0]), max(memory[1])
    if after > before * 1.05 + 32:
        wrong.append(f"memory grows from {before:.0f} to {after:.0f} MiB")
    for name, (first, last) in [("threads", threads), ("file handles", handles)]:
        if max(last) > max(first):
            wrong.append(f"{name} grow from {max(first)} to {max(last)}")
    each = lambda part: (part[-1][4] - part[0][4]) / max(1, part[-1][5] - part[0][5])
    slow, slower = (each(part) for part in quarters(samples))
    if slower > slow * 4 / 3:
        wrong.append(f"a step takes {slower * 1e3:.0f} ms, before {slow * 1e3:.0f} ms")
    print(f"{head}: {columns[5][-1]} steps in {columns[0][-1]:.0f} s; memory {before:.0f} -> {after:.0f} MiB, threads {max(threads[0])} -> {max(threads[1])}, "
          f"file handles {max(handles[0])} -> {max(handles[1])}, processor time of a step {slow * 1e3:.0f} -> {slower * 1e3:.0f} ms{'; ' if wrong else ''}{'; '.join(wrong)}", flush=True)
    return wrong


def picture(path, series):
    """Memory over time, a line for each head."""
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        return
    width, height, margin = 900, 360, 50
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    longest = max(s[-1][0] for s in series.values())
    most = max(row[1] for s in series.values() for row in s) * 1.1
    colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"]
    place = lambda row: (margin + (width - 2 * margin) * row[0] / longest, height - margin - (height - 2 * margin) * row[1] / most)
    draw.rectangle([margin, margin, width - margin, height - margin], outline="#999999")
    for (head, samples), colour in zip(series.items(), colours):
        draw.line([place(row) for row in samples], fill=colour, width=2)
    for i, (head, colour) in enumerate(zip(series, colours)):
        draw.text((margin + 140 * i, 20), head, fill=colour)
    draw.text((margin, height - 35), f"0 to {longest:.0f} s; resident memory, 0 to {most:.0f} MiB", fill="black")
    image.save(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--steps", type=int, default=300, help="for each head")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/soak"))
    parser.add_argument("--heads", default=",".join(HEADS))
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    wrong, series = [], {}
    for head in args.heads.split(","):
        samples = soak(args.binary, head, args.steps, args.output)
        wrong += judge(head, samples)
        series[head] = samples
    with open(args.output / "samples.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["head", "seconds", "memory_mib", "threads", "file_handles", "processor_seconds", "steps"])
        rows.writerows([head, *row] for head, samples in series.items() for row in samples)
    picture(args.output / "soak.png", series)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
