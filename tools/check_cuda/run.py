#!/usr/bin/env python3
"""Runs the check on a machine with a card: `python3 tools/check_cuda/run.py [PART …]` after `pack.sh`, from the root of the project.

Needs a Python with torch 2.11.0 (CUDA), torchvision and timm, and nothing else. One line per part goes to stdout, everything to
$OUT/check_cuda.json (without OUT: .cuda/out) with the parts' output beside it. The exit code is the number of failures. A part whose feature
this version doesn't have is 'absent'. CHECK_CUDA_SECONDS (350) bounds the whole: what doesn't fit any more is 'late'.
"""
import concurrent.futures
import hashlib
import json
import lzma
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PACK = ROOT / ".cuda"
OUT = pathlib.Path(os.environ.get("OUT", PACK / "out"))
WORK = pathlib.Path(os.environ.get("TMPDIR", "/tmp")) / f"check_cuda.{os.getpid()}"
START = time.time()
SECONDS = float(os.environ.get("CHECK_CUDA_SECONDS", 350))
DEVICE = os.environ.get("CHECK_CUDA_DEVICE", "cuda")
# What programs print about a key, flag or command that they don't have.
ABSENT = re.compile(r"unknown (key|field)|unexpected argument|unrecognized subcommand|unknown variant|is not a key|no such key", re.I)
SIZE = ["--height", "800", "--width", "1344"]
# Timed steps.
STEPS = 10


class Absent(Exception):
    """The version at hand has no such feature."""


class Failed(Exception):
    """A part found something wrong."""


def unpack():
    WORK.mkdir(parents=True)
    for file in PACK.glob("*.xz"):
        program = WORK / file.stem
        program.write_bytes(lzma.decompress(file.read_bytes()))
        program.chmod(0o755)
    OUT.mkdir(parents=True, exist_ok=True)


def environment():
    import torch

    lib = pathlib.Path(torch.__file__).parent / "lib"
    paths = [str(lib)] + [p for p in os.environ.get("LD_LIBRARY_PATH", "").split(":") if p]
    return dict(os.environ, LD_LIBRARY_PATH=":".join(paths), CUBLAS_WORKSPACE_CONFIG=":4096:8", XDG_CACHE_HOME=str(WORK / "cache"))


def call(name, command, limit, **extra):
    """Runs a command within `limit` seconds; its output goes to a file of that name."""
    left = SECONDS - (time.time() - START)
    if left < 5:
        raise TimeoutError("no time is left")
    log = OUT / f"{name}.log"
    with open(log, "wb") as err:
        process = subprocess.Popen([str(c) for c in command], cwd=ROOT, env=dict(ENV, **extra), stdout=subprocess.PIPE, stderr=err,
                                   start_new_session=True)
        try:
            out, _ = process.communicate(timeout=min(limit, left))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise TimeoutError(f"not done after {min(limit, left):.0f} s")
    text = log.read_text(errors="replace")
    with open(log, "ab") as err:
        err.write(out)
    return process.returncode, out.decode(errors="replace"), text


def checked(name, command, limit, **extra):
    code, out, err = call(name, command, limit, **extra)
    if code == 0:
        return out
    if ABSENT.search(err):
        raise Absent(last(err))
    if code < 0:
        raise Failed(f"ended by signal {-code}: {last(err)}")
    raise Failed(f"exit {code}: {last(err)}")


def last(text):
    lines = [line for line in text.strip().splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "fail"))]
    return (errors or lines or ["no output"])[-1 if not errors else 0][:300]


def program(name):
    path = WORK / name
    if not path.exists():
        raise Absent(f"{name} is not in the pack")
    return path


def compared(name, arguments, limit):
    """A part of check-cuda that compares: its rows."""
    code, out, err = call(name, [program("check-cuda"), *arguments, "--device", DEVICE], limit)
    if code not in (0, 1) or not out.strip():
        raise (Absent if ABSENT.search(err) else Failed)(f"exit {code}: {last(err)}")
    found = json.loads(out.strip().splitlines()[-1])
    for row in found.get("rows", []):
        # JSON has no infinity.
        row["error"] = float("inf") if row["error"] is None else row["error"]
    bad = [row for row in found["rows"] if not row["error"] <= row["limit"]] if "rows" in found else []
    if bad:
        rows = "; ".join(f"{r['name']}: {r['error']:.2e} > {r['limit']:.0e}" for r in bad[:4])
        raise Failed(f"{len(bad)} of {len(found['rows'])}: {rows}")
    return found


def summary(found):
    rows = found["rows"]
    near = max(rows, key=lambda r: r["error"] / r["limit"] if r["limit"] else 0)
    return f"{len(rows)} comparisons, nearest to its limit: {near['name']} {near['error']:.1e} (limit {near['limit']:.0e})", found


# --- correctness ---------------------------------------------------------------------------------------------------------------


def load():
    out = checked("load", [program("repghost-det-torch"), "doctor"], 60)
    lines = [line.strip() for line in out.splitlines() if re.search(r"cuda|cudnn|nvrtc|nccl|card|driver", line, re.I)]
    return " | ".join(lines)[:400], {"doctor": out}


def kernels():
    found = compared("kernels", ["kernels"], 60)
    return f"{found['status']}, {found['compiled_bytes'] // 1024} KiB for three architectures", found


def ops():
    return summary(compared("ops", ["ops"], 120))


def oracle():
    file = WORK / "oracle.safetensors"
    checked("oracle_torchvision", [sys.executable, HERE / "oracle.py", file, DEVICE], 90)
    return summary(compared("oracle", ["oracle", file], 60))


def fixtures():
    return summary(compared("fixtures", ["fixtures"], 120))


def step(head):
    return summary(compared(f"step_{head}", ["step", head], 120))


# --- speed ---------------------------------------------------------------------------------------------------------------------


def table(trace, rows=60):
    """Kernels of a trace, the longest first: the operation that queued them, its shapes, how many, milliseconds; then all of them and idle time."""
    events = json.loads(trace.read_text())["traceEvents"]
    asked = {e["args"]["External id"]: e for e in events if e.get("cat") == "cpu_op" and "External id" in e.get("args", {})}
    run = [e for e in events if e.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset")]
    sums = {}
    for e in run:
        op = asked.get(e["args"].get("External id"), {})
        row = sums.setdefault((op.get("name", "?"), str(op.get("args", {}).get("Input Dims", "")), e["name"]), [0, 0.0])
        row[0] += 1
        row[1] += e["dur"] / 1e3
    longest = sorted(sums.items(), key=lambda item: -item[1][1])
    whole = (max(e["ts"] + e["dur"] for e in run) - min(e["ts"] for e in run)) / 1e3 if run else 0
    busy = sum(e["dur"] for e in run) / 1e3
    return dict(milliseconds=whole, busy=busy, launches=len(run),
                rows=[[op, dims[:160], kernel[:120], n, round(ms, 3)] for (op, dims, kernel), (n, ms) in longest[:rows]])


def speed(head, precision, *more):
    """Ours and torchvision's, and what ours asks of the card per step."""
    infer = "--infer" in more
    name = "_".join(["speed", head, precision] + (["infer"] if infer else []))
    batch = [] if infer else ["--batch", "16"]
    arguments = [head, "--precision", precision, *SIZE, *batch, *more]
    counts = WORK / f"{name}.json"
    command = [program("check-cuda"), "--device", DEVICE, "speed", *arguments, "--steps", STEPS]
    trace = WORK / f"{name}.trace"
    out = checked(name, [*command, "--trace", trace], 90, LD_PRELOAD=str(PACK / "libcount.so"), COUNT_OUT=str(counts))
    figures = {"ours": json.loads(out.strip().splitlines()[-1]), "kernels": table(trace)}
    figures["per_step"] = {key: n / STEPS for key, n in json.loads(counts.read_text()).items()} if counts.exists() else {}
    growth = figures["ours"]["in_use_mib"][1] - figures["ours"]["in_use_mib"][0]
    try:
        command = [sys.executable, HERE / "peer.py", *arguments, "--steps", STEPS, "--device", DEVICE, "--trace", trace]
        figures["torchvision"] = json.loads(checked(f"{name}_peer", command, 90).strip().splitlines()[-1])
        figures["torchvision_kernels"] = table(trace)
    except (Failed, TimeoutError) as error:
        figures["torchvision"] = {"error": str(error)}
    own, peer, steps = figures["ours"], figures["torchvision"], figures["per_step"]
    line = f"{own['images_per_second']:.1f} images/s, {own['peak_mib'] / 1024:.1f} GiB"
    if "images_per_second" in peer:
        ratio = own["images_per_second"] / peer["images_per_second"]
        line += f"; torchvision {peer['images_per_second']:.1f}, {peer['peak_mib'] / 1024:.1f} GiB: {ratio:.2f} times"
    else:
        line += f"; torchvision: {peer['error'][:80]}"
    if steps:
        line += f"; per step {steps['launches']:.0f} launches, {steps['stream_waits']:.1f} waits, {steps['to_device']:.1f} copies to and "
        line += f"{steps['from_device']:.1f} from the card"
    if growth > 64:
        raise Failed(f"memory grew by {growth:.0f} MiB; {line}")
    return line, figures


# --- the program itself --------------------------------------------------------------------------------------------------------


def train(name, experiment, *more, limit=90, device=DEVICE, folder=None):
    folder = folder or WORK / name
    command = [program("repghost-det-torch"), "train", f"experiments/{experiment}.yaml", *more, "--run-dir", folder, "--device", device]
    checked(name, command, limit)
    return folder


def losses(folder):
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [r["loss"] for r in records if r["kind"] == "step"]


SHORT = ["train.replicas=1", "train.max_steps=60", "train.log_every=10", "data.shapes.train_images=480", "data.shapes.val_images=32"]


def precisions():
    found = {}
    # At the same time: together they use a small part of the card.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = {p: pool.submit(train, f"precision_{p}", "demo", *SHORT, f"train.precision={p}") for p in ("fp32", "tf32", "bf16", "fp16")}
        for precision, run in runs.items():
            found[precision] = losses(run.result())[-1]
    apart = {p: abs(v / found["fp32"] - 1) for p, v in found.items()}
    if not max(apart.values()) < 0.1:
        raise Failed(f"the loss after 60 steps is off: {found}")
    return ", ".join(f"{p} {v:.4f}" for p, v in found.items()), found


def digest(folder):
    """Of the weights themselves: what else is in the files may name folders and times."""
    from safetensors import safe_open

    file = sorted((folder / "weights").glob("last*.safetensors")) or sorted((folder / "weights").glob("*.safetensors"))
    if not file:
        raise Failed(f"no weights in {folder.name}: {[p.name for p in folder.iterdir()]}")
    h = hashlib.sha256()
    with safe_open(file[0], "pt") as f:
        for key in sorted(f.keys()):
            h.update(key.encode() + f.get_tensor(key).numpy().tobytes())
    return h.hexdigest()


REPEAT = ["train.replicas=1", "train.max_steps=20", "train.log_every=1", "data.shapes.train_images=240", "data.shapes.val_images=16"]


def repeat():
    head = {}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = {(e, n): pool.submit(train, f"repeat_{e}_{n}", e, *REPEAT, "train.deterministic=true")
                for e in ("demo", "demo_mask") for n in (1, 2)}
        for e in ("demo", "demo_mask"):
            head[e] = [digest(runs[e, n].result()) for n in (1, 2)]
    apart = [e for e, (a, b) in head.items() if a != b]
    if apart:
        raise Failed(f"two runs of {', '.join(apart)} differ")
    return "two runs of both heads end with the same bits", head


def resume():
    whole = train("resume_whole", "demo", *REPEAT, "train.deterministic=true")
    half = train("resume_half", "demo", *[a.replace("steps=20", "steps=10") for a in REPEAT], "train.deterministic=true")
    across = WORK / "resume_across"
    shutil.copytree(half, across)
    train("resume_half2", "demo", *REPEAT, "train.deterministic=true", "--resume", folder=half)
    if losses(half)[-1] != losses(whole)[-1] or digest(half) != digest(whole):
        raise Failed(f"resumed: loss {losses(half)[-1]}, uninterrupted {losses(whole)[-1]}")
    train("resume_on_cpu", "demo", *REPEAT, "train.deterministic=true", "--resume", folder=across, device="cpu")
    a, b = losses(across)[-1], losses(whole)[-1]
    if not abs(a / b - 1) < 0.05:
        raise Failed(f"resumed on the CPU: loss {a}, on the card {b}")
    return f"equal bits on the card; on the CPU loss {a:.4f} against {b:.4f}", {"cpu": a, "card": b}


def evaluation():
    folder = train("eval_train", "demo", "train.max_steps=150", "data.shapes.train_images=1200", "data.shapes.val_images=64")
    weights = sorted((folder / "weights").glob("*.safetensors"))[0]
    found = {}
    for device in (DEVICE, "cpu"):
        out = WORK / f"eval_{device}"
        command = [program("repghost-det-torch"), "eval", folder, "--weights", weights, "data.shapes.val_images=200", "--output", out]
        text = checked(f"eval_{device}", [*command, "--device", device], 90)
        found[device] = [float(v) for v in re.findall(r"-?\d\.\d{3,}", [l for l in text.splitlines() if l.startswith("bbox")][-1])]
    worst = max(abs(a - b) for a, b in zip(found[DEVICE], found["cpu"]))
    if not worst < 2e-3:
        raise Failed(f"numbers differ by {worst}: {found}")
    return f"AP {found[DEVICE][0]:.4f} on the card, {found['cpu'][0]:.4f} on the CPU, largest difference {worst:.4f}", found


def product():
    """A whole training step with the loader, at the size of COCO's images, on built-in pictures."""
    common = ["data.source=shapes", "data.shapes.picture.size=[800,1344]", "data.shapes.train_images=256", "data.shapes.val_images=4",
              "data.augment.resize.size=1344", "train.max_steps=14", "train.log_every=2", "init.backbone=null", "data.workers=12",
              "train.batch_norm.frozen_stages=0", "train.batch_norm.use_running_stats=false"]
    found = {}
    for experiment in ("retinanet", "mask_rcnn"):
        folder = train(f"product_{experiment}", experiment, *common, "train.precision=bf16", limit=100)
        records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        steps = [r for r in records if r["kind"] == "step"][2:]
        found[experiment] = dict(images_per_second=max(r["images_per_second"] for r in steps), records=steps)
    return ", ".join(f"{e} {f['images_per_second']:.1f} images/s" for e, f in found.items()) + " (bf16, loader included)", found


def ranks(name, engine, cards, *more):
    """Two processes on these cards; what they print about the engine."""
    folder = WORK / name
    command = [program("repghost-det"), "train", "experiments/demo.yaml", *REPEAT, "--nproc", "2", "--run-dir", folder, "--device", DEVICE]
    code, _, err = call(name, [*command, f"train.distributed.engine={engine}", *more], 90, CUDA_VISIBLE_DEVICES=cards)
    if code:
        raise (Absent if ABSENT.search(err) else Failed)(f"exit {code}: {last(err)}")
    lines = [line for line in err.splitlines() if line.startswith("gradients ")]
    return folder, (lines or ["no line about the engine"])[0]


def as_one(folder, name):
    """The first loss is that of one process."""
    one = train(name, "demo", *REPEAT)
    a, b = losses(folder)[0], losses(one)[0]
    if not abs(a / b - 1) < 0.05:
        raise Failed(f"first loss of several ranks {a}, of one {b}")
    return f"first loss {a:.4f} and {b:.4f} by one; last {losses(folder)[-1]:.4f} and {losses(one)[-1]:.4f}"


def two_ranks():
    """Two processes on one card: NCCL refuses, gradients go through gloo."""
    folder, line = ranks("two_ranks", "auto", "0")
    if "gloo" not in line or "share a card" not in line:
        raise Failed(f"two ranks on one card: {line}")
    return f"{line}; {as_one(folder, 'one_of_two')}", {}


def nccl_alone():
    """One process of a world of one: NCCL starts, adds and ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = dict(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    folder = WORK / "nccl_alone"
    command = [program("repghost-det-torch"), "train", "experiments/demo.yaml", *REPEAT, "--run-dir", folder, "--device", DEVICE]
    checked("nccl_alone", [*command, "train.distributed.engine=nccl"], 90, **world)
    return as_one(folder, "one_of_alone"), {}


def nccl():
    """Two processes on two cards: NCCL adds, twice the same bits."""
    import torch

    if torch.cuda.device_count() < 2:
        raise Absent("there is one card")
    found = [ranks(f"nccl_{n}", "nccl", "0,1", "train.deterministic=true") for n in (1, 2)]
    if digest(found[0][0]) != digest(found[1][0]):
        raise Failed("two runs differ")
    return f"{found[0][1]}; {as_one(found[0][0], 'one_of_nccl')}; two runs end with the same bits", {}


def sanitize():
    tool = shutil.which("compute-sanitizer") or next(iter(pathlib.Path("/usr/local").glob("cuda*/bin/compute-sanitizer")), None)
    if not tool:
        raise Absent("compute-sanitizer is not installed")
    command = [tool, "--tool", "memcheck", "--error-exitcode", "9", program("check-cuda"), "ops", "--small", "--device", DEVICE]
    code, out, err = call("sanitize", command, 120, PYTORCH_NO_CUDA_MEMORY_CACHING="1")
    text = out + err
    found = re.findall(r"ERROR SUMMARY: (\d+) error", text)
    if code != 0 or found != ["0"]:
        raise Failed(f"exit {code}, errors {found}: {last(text)}")
    return "no errors in the small cases", {}


# Parts in the order of the phases; those of one phase run at the same time.
PHASES = [
    {"load": load, "ops": ops, "fixtures": fixtures, "step_retinanet": lambda: step("retinanet"), "step_mask_rcnn": lambda: step("mask_rcnn")},
    {"speed_retinanet_bf16": lambda: speed("retinanet", "bf16")},
    {"speed_mask_rcnn_bf16": lambda: speed("mask_rcnn", "bf16")},
    {"speed_retinanet_tf32": lambda: speed("retinanet", "tf32")},
    {"speed_mask_rcnn_tf32": lambda: speed("mask_rcnn", "tf32")},
    {"precisions": precisions, "repeat": repeat, "resume": resume, "evaluation": evaluation},
    {"two_ranks": two_ranks, "nccl_alone": nccl_alone, "nccl": nccl},
    {"infer_retinanet_bf16": lambda: speed("retinanet", "bf16", "--infer", "--batch", "32")},
    {"product": product},
    {"infer_mask_rcnn_bf16": lambda: speed("mask_rcnn", "bf16", "--infer", "--batch", "32")},
    {"kernels": kernels, "oracle": oracle, "sanitize": sanitize},
]


def run(name, part):
    start = time.time()
    try:
        line, data = part()
        status = "pass"
    except Absent as error:
        status, line, data = "absent", str(error), {}
    except TimeoutError as error:
        # A part that hung has failed; one that the total left no time for has not.
        status, line, data = ("late" if SECONDS - (time.time() - START) < 6 else "fail"), str(error), {}
    except Failed as error:
        status, line, data = "fail", str(error), {}
    except Exception as error:  # a part that can't be read is a failure of the check, and the others go on
        status, line, data = "fail", f"{type(error).__name__}: {error}", {}
    result = dict(part=name, status=status, seconds=round(time.time() - start, 1), line=line, data=data)
    print(f"{status:6} {name:22} {result['seconds']:6.1f} s  {line}", flush=True)
    return result


def main():
    global ENV
    unpack()
    ENV = environment()
    wanted, results = sys.argv[1:], []

    def write():
        card = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"], capture_output=True,
                              text=True).stdout.strip() if shutil.which("nvidia-smi") else "no nvidia-smi"
        commit = (PACK / "commit").read_text().strip() if (PACK / "commit").exists() else ""
        whole = dict(card=card, commit=commit, seconds=round(time.time() - START, 1), parts=results)
        (OUT / "check_cuda.json").write_text(json.dumps(whole, indent=1))

    for phase in PHASES:
        parts = {name: part for name, part in phase.items() if not wanted or name in wanted}
        with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(parts))) as pool:
            for done in concurrent.futures.as_completed([pool.submit(run, name, part) for name, part in parts.items()]):
                results.append(done.result())
        write()
    # One file with the end of each log: a failure is read there first.
    logs = sorted(OUT.glob("*.log"))
    with open(OUT / "logs.txt", "w") as out:
        for log in logs:
            out.write(f"===== {log.name}\n{log.read_text(errors='replace')[-6000:]}\n")
            log.unlink()
    shutil.rmtree(WORK, ignore_errors=True)
    failures = sum(r["status"] == "fail" for r in results)
    print(f"{failures} failures, {time.time() - START:.0f} s; {OUT / 'check_cuda.json'}")
    sys.exit(failures)


if __name__ == "__main__":
    main()
