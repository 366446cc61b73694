#!/usr/bin/env python3
"""Trains each head for long, with evaluation, checkpoint and report in turn: memory, threads, file handles and speed have to stay flat.

    make soak STEPS=10000
    make soak STEPS=10000 HOURS=2

Samples the process each second, from outside (/proc). What comes before a fifth of the steps (at least three epochs: each has all image sizes, an
evaluation and a checkpoint) and the first report is warm-up. After it

* memory: a line fitted over the steps may rise by 5 % and 32 MiB from its begin to its end;
* threads and file handles: the fewest of the last third may not exceed the fewest of the first third. One that leaks never goes away, so it raises the
  fewest; a file that is open just while a sample is taken does not. The most are printed too;
* speed: a step may take a third more of the processors' time (not of the clock's: whatever else the machine does is left out) in the last third.

A run with fewer than 30 samples or 60 steps after the warm-up shows nothing, and counts as failed. Writes samples.csv (as it goes) and soak.png (with
Pillow, where it is installed) to --output. Exit code 1 where something grows.
"""
import argparse
import csv
import os
import pathlib
import shutil
import signal
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


def soak(binary, head, steps, seconds, folder, rows):
    """Samples of a run, and the time at which it was first reported."""
    run = folder / head
    shutil.rmtree(run, ignore_errors=True)
    experiment = folder / f"{head}.yaml"
    experiment.write_text(EXPERIMENT.format(head=head, epochs=max(2, steps // STEPS_PER_EPOCH)))
    process = subprocess.Popen([binary, "--quiet", "train", experiment, "--run-dir", run], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    began, samples, reported, first_report, stopped = time.time(), [], 0.0, None, False
    steps = Steps(run / "metrics.jsonl")
    while process.poll() is None:
        found = sample(process.pid)
        if found and found[0] > 0:
            samples.append((time.time() - began, *found, steps.now()))
            rows.writerow([head, *samples[-1]])
        # A report of the running run, each half minute.
        if time.time() - reported > 30 and (run / "metrics.jsonl").exists() and (run / "config.yaml").exists():
            reported = time.time()
            done = subprocess.run([binary, "--quiet", "report", run, "--output", folder / "report.html"], capture_output=True, text=True)
            if done.returncode:
                print(f"{head}: the report fails: {done.stderr.strip()}")
            elif first_report is None:
                first_report = time.time() - began
        if seconds and not stopped and time.time() - began > seconds:
            stopped = True
            process.send_signal(signal.SIGINT)
        time.sleep(1)
    if process.returncode != 0 and not (stopped and process.returncode == 130):
        sys.exit(f"{head}: exit code {process.returncode}: {process.stderr.read().strip()[:500]}")
    return samples, first_report


def after_warm_up(samples, first_report):
    steps = max(samples[-1][5] / 5, 3 * STEPS_PER_EPOCH)
    return [row for row in samples if row[5] >= steps and first_report is not None and row[0] >= first_report]


def fit(steps, values):
    """The least-squares line: its value at the first and the last step."""
    mean_x, mean_y = sum(steps) / len(steps), sum(values) / len(values)
    spread = sum((x - mean_x) ** 2 for x in steps)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(steps, values)) / spread if spread else 0.0
    return mean_y + slope * (steps[0] - mean_x), mean_y + slope * (steps[-1] - mean_x)


def judge(head, samples, first_report):
    rows = after_warm_up(samples, first_report)
    steps = rows[-1][5] - rows[0][5] if rows else 0
    if len(rows) < 30 or steps < 60:
        wrong = f"too short: {len(rows)} samples and {steps} steps after the warm-up"
        print(f"{head}: {wrong}", flush=True)
        return [wrong]
    wrong = []
    before, after = fit([row[5] for row in rows], [row[1] for row in rows])
    if after > before * 1.05 + 32:
        wrong.append(f"memory grows from {before:.0f} to {after:.0f} MiB")
    first, last = rows[:len(rows) // 3], rows[-(len(rows) // 3):]
    counts = []
    for name, column in [("threads", 2), ("file handles", 3)]:
        fewest, fewest_later = (min(row[column] for row in part) for part in (first, last))
        most, most_later = (max(row[column] for row in part) for part in (first, last))
        counts.append(f"{name} {fewest} to {most} -> {fewest_later} to {most_later}")
        if fewest_later > fewest:
            wrong.append(f"{name} grow from {fewest} to {fewest_later}")
    slow, slower = ((part[-1][4] - part[0][4]) / max(1, part[-1][5] - part[0][5]) for part in (first, last))
    if slower > slow * 4 / 3:
        wrong.append(f"a step takes {slower * 1e3:.0f} ms, before {slow * 1e3:.0f} ms")
    print(f"{head}: {samples[-1][5]} steps in {samples[-1][0]:.0f} s, {steps} after the warm-up; memory (fit) {before:.0f} -> {after:.0f} MiB, "
          f"{', '.join(counts)}, processor time of a step {slow * 1e3:.0f} -> {slower * 1e3:.0f} ms{'; ' if wrong else ''}{'; '.join(wrong)}", flush=True)
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
    parser.add_argument("--hours", type=float, default=0.0, help="at most, for all heads together; 0 is without end")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/soak"))
    parser.add_argument("--heads", default=",".join(HEADS))
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    wrong, series = [], {}
    heads = args.heads.split(",")
    # Line by line, so that a long run can be watched.
    with open(args.output / "samples.csv", "w", newline="", buffering=1) as file:
        rows = csv.writer(file)
        rows.writerow(["head", "seconds", "memory_mib", "threads", "file_handles", "processor_seconds", "steps"])
        for head in heads:
            samples, first_report = soak(args.binary, head, args.steps, args.hours * 3600 / len(heads), args.output, rows)
            wrong += judge(head, samples, first_report)
            series[head] = samples
    picture(args.output / "soak.png", series)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
