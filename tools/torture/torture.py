#!/usr/bin/env python3
"""Kills, full disks and failing writes: after each, the same weights, bit for bit, and the same records as undisturbed.

    make torture                       # some minutes
    make torture KILLS=200 FAULTS=all  # every write call of training, export, evaluation and report fails once

Prints one line for each campaign: what was done and how often, and what was lost. Exit code 1 where anything was. Every run is of one tiny
detector on built-in pictures, whose undisturbed result is made first.
"""
import argparse
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
EXPERIMENT = """
data:
  source: shapes
  augment: {resize: {size: 64}}
  shapes: {train_images: 8, val_images: 4, picture: {size: [64, 64], max_objects: 3}}
  workers: 0
model:
  backbone: {name: repghostnet, width: 0.25}
  fpn: {channels: 16}
  head: {name: retinanet, tower_depth: 1}
train:
  epochs: 3
  batch_size: 4
  log_every: 1
  eval_every: 1
  checkpoint: {every_steps: 1}
  optimizer: {name: adamw, lr: 1.0e-3}
"""
SWEEP = """
title: Torture
setting: tiny
settings: {tiny: {base: e.yaml, metric: bbox/AP50, seeds: [0, 1]}}
axes: {train.optimizer.lr: [1.0e-3, 2.0e-3]}
"""
# What a command may end with: done, failed, bad input, interrupted. Anything else is a crash.
CODES = {0, 1, 2, 130}
HANGS = 300
# Records differ in these from run to run.
CLOCKS = ("seconds", "images_per_second", "step_seconds", "data_seconds", "memory_mib")


ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("RUST_BACKTRACE", "RUST_LOG", "COCO")}


class Torture:
    def __init__(self, binary, root, seed):
        self.binary, self.root, self.random = str(binary), root, random.Random(seed)
        self.lost = []
        (root / "e.yaml").write_text(EXPERIMENT)
        (root / "s.yaml").write_text(SWEEP)

    def lose(self, what):
        self.lost.append(what)
        print("LOST:", what, file=sys.stderr)

    def start(self, *args, env=None):
        return subprocess.Popen([self.binary, "--quiet", *map(str, args)], cwd=self.root, env={**ENVIRONMENT, **(env or {})},
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def end(self, process, what):
        try:
            _, text = process.communicate(timeout=HANGS)
        except subprocess.TimeoutExpired:
            process.kill()
            _, text = process.communicate()
            self.lose(f"{what} hangs")
        return process.returncode, text

    def run(self, *args, env=None):
        return self.end(self.start(*args, env=env), " ".join(map(str, args)))

    def must(self, *args):
        code, text = self.run(*args)
        if code != 0:
            sys.exit(f"{args}: exit code {code}: {text}")

    # What a run is worth: its weights and its records.
    def result(self, run):
        weights = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted((run / "weights").glob("*.safetensors"))}
        records = []
        for line in (run / "metrics.jsonl").read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            records.append({k: v for k, v in record.items() if k not in CLOCKS})
        return weights, records

    def train(self, run):
        """Trains, or goes on, without a disturbance."""
        started = (run / "checkpoints").is_dir() and any((run / "checkpoints").glob("step_*.safetensors"))
        if started:
            return self.run("train", run, "--resume")
        shutil.rmtree(run, ignore_errors=True)
        return self.run("train", "e.yaml", "--run-dir", run)

    def compare(self, run, what):
        code, text = self.train(run)
        if code != 0:
            return self.lose(f"{what}: cannot be continued: {text.strip()}")
        weights, records = self.result(run)
        if weights != self.reference[0]:
            self.lose(f"{what}: other weights")
        # A run that is continued starts its records of losses anew within the log's interval, which is one step here.
        if records != self.reference[1]:
            other = [r for r in records if r not in self.reference[1]] + [r for r in self.reference[1] if r not in records]
            self.lose(f"{what}: other records: {str(other)[:400]}")
        if any(run.rglob(".*.tmp")):
            self.lose(f"{what}: temporary files are left")

    def undisturbed(self):
        run, again = self.root / "reference", self.root / "again"
        self.must("train", "e.yaml", "--run-dir", run)
        self.reference = self.result(run)
        began = time.time()
        self.must("train", "e.yaml", "--run-dir", again)
        self.duration = time.time() - began
        if self.result(again) != self.reference:
            sys.exit("two undisturbed runs differ; nothing else can be judged")

    def hit(self, process, how):
        """Sends what a campaign sends."""
        send = lambda s: process.poll() is None and process.send_signal(s)
        if how == "stop":
            send(signal.SIGSTOP)
            time.sleep(self.random.uniform(0, 0.5))
            send(signal.SIGCONT)
        elif how == "int twice":
            send(signal.SIGINT)
            time.sleep(self.random.uniform(0, 0.06))
            send(signal.SIGINT)
        else:
            send({"kill": signal.SIGKILL, "term": signal.SIGTERM, "int": signal.SIGINT}[how])

    def kills(self, count):
        ways = ["kill", "term", "int", "int twice", "stop"]
        sent = dict.fromkeys(ways, 0)
        late = 0
        for n in range(count):
            how = ways[n % len(ways)]
            run = self.root / "killed"
            if n % 3 == 0 or not run.exists():
                shutil.rmtree(run, ignore_errors=True)
            resumed = (run / "checkpoints").is_dir() and any((run / "checkpoints").glob("step_*.safetensors"))
            if not resumed:
                shutil.rmtree(run, ignore_errors=True)
            process = self.start("train", run, "--resume") if resumed else self.start("train", "e.yaml", "--run-dir", run)
            time.sleep(self.random.uniform(0.05, self.duration))
            if process.poll() is None:
                sent[how] += 1
            else:
                late += 1
            self.hit(process, how)
            code, text = self.end(process, how)
            # Before there is a checkpoint a signal may end the process as it ends any other.
            plain = (-signal.SIGINT, -signal.SIGTERM) if not any(run.glob("checkpoints/step_*")) else ()
            if code not in CODES and code != -signal.SIGKILL and code not in plain:
                self.lose(f"train, {how}: ended with {code}: {text.strip()[:300]}")
            if n % 3 == 2 or n == count - 1:
                self.compare(run, f"train, {how}")
                shutil.rmtree(run, ignore_errors=True)
        return f"{sum(sent.values())} signals into training ({', '.join(f'{v} {k}' for k, v in sent.items())}; {late} came too late)"

    def commands(self, count):
        """Commands that write files: killed, the file is as it would have been, or not there; run again, it is."""
        weights = self.root / "reference/weights/best.safetensors"
        run = self.root / "reference"
        kinds = {
            "export": (["export", run, "--weights", weights, "--part", "raw", "--size", "64,64"], "d.onnx"),
            "eval": (["eval", run / "config.yaml", "--weights", weights], "eval"),
            "fuse": (["fuse", run, "--weights", weights], "fused.safetensors"),
            "shapes": (["data", "shapes", "--train", "40", "--val", "4", "--size", "96"], "shapes"),
            "crops": (["data", "crops", "--annotations", "ref/shapes/annotations/instances_train.json", "--images", "ref/shapes/train"], "crops"),
            "convert": (["data", "convert", "--annotations", "ref/shapes/annotations/instances_train.json"], "converted.json"),
            "report": (["report", run], "report.html"),
        }
        (self.root / "ref").mkdir(exist_ok=True)
        (self.root / "out").mkdir(exist_ok=True)
        done = 0
        took = {}
        for name, (command, output) in kinds.items():
            began = time.time()
            self.must(*command, "--output", f"ref/{output}")
            took[name] = time.time() - began
        for n in range(count):
            name = list(kinds)[n % len(kinds)]
            command, output = kinds[name]
            target = self.root / "out" / output
            shutil.rmtree(target, ignore_errors=True) if target.is_dir() else target.unlink(missing_ok=True)
            process = self.start(*command, "--output", target)
            time.sleep(self.random.uniform(0, took[name]))
            done += process.poll() is None
            process.kill()
            process.wait()
            process.stderr.close()
            expected = contents(self.root / "ref" / output)
            for path, data in contents(target).items():
                if path in expected and not temporary(path) and not same(name, path, data, expected[path]):
                    self.lose(f"{name}: {path} is neither whole nor absent")
            whole = name == "crops" and not (target / "train/.incomplete").exists() and contents(target) == expected
            code, text = (0, "") if whole else self.run(*command, "--output", target)
            found = {p: d for p, d in contents(target).items() if not temporary(p)}
            wrong = found.keys() ^ expected.keys() | {p for p in found.keys() & expected.keys() if not same(name, p, found[p], expected[p])}
            if code != 0 or wrong:
                self.lose(f"{name}: after a kill it gives exit code {code} {text.strip()} and other files: {sorted(map(str, wrong))[:3]}")
        return f"{done} kills of {', '.join(kinds)}"

    def sweeps(self, count):
        """A sweep that is killed and started again until it ends: the same table."""
        self.must("sweep", "s.yaml", "--run-dir", "ref-sweep", "--no-latency")
        expected = table(self.root / "ref-sweep")
        sent = 0
        while sent < count:
            shutil.rmtree(self.root / "sweep", ignore_errors=True)
            for how in ["kill", "int twice", "term"]:
                if sent >= count:
                    break
                process = self.start("sweep", "s.yaml", "--run-dir", "sweep", "--no-latency")
                time.sleep(self.random.uniform(0.3, 3 * self.duration))
                sent += process.poll() is None
                self.hit(process, how)
                code, text = self.end(process, how)
                if code not in CODES and code != -signal.SIGKILL:
                    self.lose(f"sweep, {how}: ended with {code}: {text.strip()[:300]}")
            # A trial whose sweep was killed trains on; the next start waits for it or names it.
            until = time.time() + HANGS
            code = None
            while code != 0 and time.time() < until:
                code, text = self.run("sweep", "s.yaml", "--run-dir", "sweep", "--no-latency")
                time.sleep(0.5 if code else 0)
            if code != 0:
                self.lose(f"sweep: cannot be continued: {text.strip()}")
            elif table(self.root / "sweep") != expected:
                self.lose("sweep: another table")
        return f"{sent} signals into sweeps"

    def ranks(self, count):
        """Processes of `train --nproc 2 --restarts` that are killed again and again: the run ends by itself, with the weights and records of an
        undisturbed one; nothing is left running."""
        epochs = f"train.epochs={max(6, count)}"
        run, reference = self.root / "ranks", self.root / "ranks-reference"
        self.must("train", "e.yaml", epochs, "--nproc", "2", "--run-dir", reference)
        expected = self.result(reference)
        killed, runs, restarts = [0, 0], 0, 0
        while sum(killed) < count:
            shutil.rmtree(run, ignore_errors=True)
            # A file: nobody reads while this one kills.
            log = open(self.root / "ranks.log", "w+")
            process = subprocess.Popen([self.binary, "--quiet", "train", "e.yaml", epochs, "--nproc", "2", "--restarts", str(10 * count), "--run-dir", run],
                                       cwd=self.root, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=log)
            runs += 1
            while process.poll() is None:
                # Often enough to meet a start, a step, an evaluation and the writing of a checkpoint; seldom enough to go on.
                time.sleep(self.random.uniform(0.1, 4))
                children = ranks_of(process.pid)
                if sum(killed) < count and children:
                    rank = self.random.choice(sorted(children))
                    try:
                        os.kill(children[rank], signal.SIGKILL)
                        killed[rank] += 1
                    except ProcessLookupError:
                        pass
            code = process.wait()
            log.seek(0)
            text = log.read()
            log.close()
            if "frame #" in text:
                self.lose("ranks: a C++ stack is printed")
            restarts += text.count("from the newest checkpoint")
            if code != 0:
                self.lose(f"ranks: ended with {code}: {text.strip()[-300:]}")
            elif self.result(run) != expected:
                self.lose("ranks: other weights or records")
            if any(run.rglob(".*.tmp")):
                self.lose("ranks: temporary files are left")
            left = [p for p in pathlib.Path("/proc").glob("[0-9]*/cmdline") if str(run).encode() in read(p)]
            if left:
                self.lose(f"ranks: processes are left: {left}")
        return f"{sum(killed)} kills of ranks ({killed[0]} of the first, {killed[1]} of the second) in {runs} runs, {restarts} restarts"

    def two_in_a_folder(self):
        run = self.root / "two"
        first = self.start("train", "e.yaml", "--run-dir", run, "train.epochs=200")
        until = time.time() + HANGS
        while not (run / "metrics.jsonl").exists() and time.time() < until:
            time.sleep(0.05)
        code, text = self.run("train", run, "--resume")
        if code != 2 or "another process" not in text:
            self.lose(f"two processes in one folder: exit code {code}: {text.strip()}")
        first.kill()
        self.end(first, "two")
        shutil.rmtree(run)
        return "two processes in one folder: the second is refused"

    def full_disk(self):
        """A disk that is full, then larger."""
        disk = self.root / "disk"
        disk.mkdir(exist_ok=True)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", disk], capture_output=True).returncode:
            return "full disk: skipped, no file system can be mounted here"
        try:
            refused = 0
            for size in [64, 256, 512, 768, 1024, 1536, 2048, 3072, 4096]:
                subprocess.run(["mount", "-o", f"remount,size={size}k", disk], check=True)
                run = disk / "run"
                code, text = self.train(run)
                refused += code != 0
                if code not in CODES or code and (errors(text) != 1 or str(disk) not in text and "run" not in text):
                    self.lose(f"full disk of {size} kB: exit code {code}: {text.strip()}")
            subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
            self.compare(disk / "run", "full disk")
        finally:
            subprocess.run(["umount", disk], check=True)
        return f"full disk: {refused} sizes were too small, then it was enlarged"

    def read_only(self):
        disk = self.root / "read-only"
        disk.mkdir(exist_ok=True)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", disk], capture_output=True).returncode:
            return "read-only folder: skipped, no file system can be mounted here"
        try:
            run, weights = self.root / "reference", self.root / "reference/weights/best.safetensors"
            commands = [["train", "e.yaml", "--run-dir", disk / "run"], ["export", run, "--weights", weights, "--output", disk / "a.onnx", "--part", "raw", "--size", "64,64"],
                        ["eval", run / "config.yaml", "--weights", weights, "--output", disk / "out"], ["fuse", run, "--output", disk / "a.safetensors"],
                        ["report", run, "--output", disk / "a.html"], ["data", "shapes", "--output", disk / "s", "--train", "1", "--val", "0"],
                        ["sweep", "s.yaml", "--run-dir", disk / "sweep"]]
            for command in commands:
                code, text = self.run(*command)
                if code != 2 or errors(text) != 1 or str(disk) not in text:
                    self.lose(f"read-only folder, {command[0]}: exit code {code}: {text.strip()}")
        finally:
            subprocess.run(["umount", disk], check=True)
        return f"read-only folder: {len(commands)} commands"

    def faults(self, limit):
        """Each call that writes fails once: the disk is full, broken, or takes half, by turns."""
        shim = self.root / "faults.so"
        built = subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", shim, HERE / "faults.c", "-ldl"], capture_output=True, text=True)
        if built.returncode:
            return f"write faults: skipped, the shim cannot be compiled: {built.stderr.splitlines()[:1]}"
        place = self.root / "faulty"
        calls_file = self.root / "calls"
        weights, run = self.root / "reference/weights/best.safetensors", self.root / "reference"
        commands = {
            "export": ["export", run, "--weights", weights, "--part", "raw", "--size", "64,64", "--output", place / "d.onnx"],
            "eval": ["eval", run / "config.yaml", "--weights", weights, "--output", place / "eval"],
            "report": ["report", run, "--output", place / "report.html"],
            "train": ["train", "e.yaml", "--run-dir", place / "run"],
        }
        done, lines = 0, []
        for name, command in commands.items():
            def faulty(at, kind):
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir()
                calls_file.unlink(missing_ok=True)
                env = {"LD_PRELOAD": str(shim), "FAULT_UNDER": str(place), "FAULT_AT": str(at), "FAULT_KIND": kind, "FAULT_COUNT": str(calls_file)}
                return self.run(*command, env=env)
            code, text = faulty(0, "eio")
            if code != 0:
                sys.exit(f"the shim alone breaks {name}: {text}")
            calls = [line.split(" ", 2) for line in calls_file.read_text().splitlines()]
            expected = {p: d for p, d in contents(place).items()}
            ways = lambda call: ("enospc", "eio", "short") if call in ("write", "pwrite", "writev") else ("enospc", "eio")
            chosen = [(at, ways(call[1])[at % len(ways(call[1]))]) for at, call in enumerate(calls, 1)]
            total = len(chosen)
            if limit is not None and len(chosen) > limit:
                chosen = self.random.sample(chosen, limit)
            for at, kind in chosen:
                what = f"{name}, {kind} at call {at} ({' '.join(calls[at - 1][1:])})"
                code, text = faulty(at, kind)
                done += 1
                if code not in CODES or "internal error" in text:
                    self.lose(f"{what}: exit code {code}: {text.strip()[:300]}")
                elif kind == "short" and code != 0:
                    self.lose(f"{what}: a short write is no error: {text.strip()}")
                elif code != 0 and errors(text) != 1:
                    self.lose(f"{what}: not one line: {text.strip()}")
                if name == "train":
                    self.compare(place / "run", what)
                else:
                    for path, data in contents(place).items():
                        if path in expected and not temporary(path) and not same(name, path, data, expected[path]):
                            self.lose(f"{what}: {path} is half written")
            lines.append(f"{name} {len(chosen)} of {total}")
        return f"{done} write faults ({', '.join(lines)})"

    def vanishing(self):
        """Image files that vanish or shrink while they are trained on: one line that names the file."""
        data = self.root / "vanish"
        self.must("data", "shapes", "--output", data, "--train", "12", "--val", "4", "--size", "64")
        arguments = ["data.source=coco", f"data.train.images={data}/train", f"data.train.annotations={data}/annotations/instances_train.json",
                     f"data.val.images={data}/val", f"data.val.annotations={data}/annotations/instances_val.json", "train.epochs=400", "train.eval_every=0"]
        for how in ["vanish", "shrink"]:
            run = self.root / f"run-{how}"
            process = self.start("train", "e.yaml", *arguments, "--run-dir", run)
            until = time.time() + HANGS
            while not (run / "metrics.jsonl").exists() and time.time() < until and process.poll() is None:
                time.sleep(0.05)
            victim = sorted((data / "train").glob("*.png"))[3]
            saved = victim.read_bytes()
            victim.unlink() if how == "vanish" else victim.write_bytes(saved[: len(saved) // 2])
            code, text = self.end(process, how)
            victim.write_bytes(saved)
            if code != 2 or victim.name not in text or errors(text) != 1:
                self.lose(f"a file that {how}s: exit code {code}: {text.strip()}")
        return "files that vanish and shrink during training"


def read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def ranks_of(launcher):
    """The processes that a launcher has started, by rank."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        stat = read(folder / "stat").rsplit(b")", 1)[-1].split()
        if len(stat) > 1 and int(stat[1]) == launcher:
            variables = dict(v.split(b"=", 1) for v in read(folder / "environ").split(b"\0") if b"=" in v)
            if b"RANK" in variables:
                found[int(variables[b"RANK"])] = int(folder.name)
    return found


def errors(text):
    """Lines that report an error."""
    return sum(line.startswith("error: ") for line in text.splitlines())


def temporary(path):
    return path.name.startswith(".") and path.name.endswith(".tmp") or path.name == ".incomplete"


def same(name, path, found, expected):
    """Whether two files are of one making. Pages and records hold clocks and paths of outputs: there only wholeness is compared."""
    if path.suffix == ".html":
        return found.rstrip().endswith(b"</html>") and abs(len(found) - len(expected)) < 256
    if path.suffix == ".onnx" or path.suffix == ".json" and name in ("export",):
        return len(found) == len(expected)
    return found == expected


def contents(root):
    if root.is_file():
        return {pathlib.Path("."): root.read_bytes()}
    return {p.relative_to(root): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def table(sweep):
    rows = json.loads((sweep / "table.json").read_text())["rows"]
    weights = {p.parts[-3]: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted((sweep / "trials").glob("*/weights/last.safetensors"))}
    return [row["name"] for row in rows], weights


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--faults", default="40", help="write faults for each command, or all")
    parser.add_argument("--only", default="", help="campaigns, joined by commas")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    limit = None if args.faults == "all" else int(args.faults)
    with tempfile.TemporaryDirectory(prefix="torture-") as root:
        torture = Torture(args.binary.resolve(), pathlib.Path(root), args.seed)
        torture.undisturbed()
        print(f"seed {args.seed}; an undisturbed run takes {torture.duration:.1f} s", flush=True)
        campaigns = {
            "kills": lambda: torture.kills(args.kills),
            "commands": lambda: torture.commands(max(7, args.kills // 2)),
            "sweeps": lambda: torture.sweeps(max(3, args.kills // 10)),
            "ranks": lambda: torture.ranks(max(4, args.kills // 4)),
            "two": torture.two_in_a_folder,
            "disk": torture.full_disk,
            "readonly": torture.read_only,
            "vanish": torture.vanishing,
            "faults": lambda: torture.faults(limit),
        }
        for name, campaign in campaigns.items():
            if args.only and name not in args.only.split(","):
                continue
            before, began = len(torture.lost), time.time()
            line = campaign()
            print(f"{line}: {len(torture.lost) - before} lost ({time.time() - began:.0f} s)", flush=True)
        print(f"{len(torture.lost)} lost")
        sys.exit(1 if torture.lost else 0)


if __name__ == "__main__":
    main()
