#!/usr/bin/env python3
"""Training over a slow network: "hosts" on this machine, as network namespaces whose links have a rate and a latency.

    sudo python3 tools/bench/network.py target/release/repghost-det          # a table, in some minutes
    sudo python3 tools/bench/network.py BIN --worlds 2 --rates 100 --latencies 0 --steps 60

Each host is one process of the demo's RetinaNet on built-in pictures. The rate is limited by `tc … tbf` at both ends of each link; the latency is
added by a relay of frames (netem is not in every kernel), between two hosts only. Prints the median time of a step for each way of sending
gradients, beside the same network without a limit and one process alone.
"""
import argparse
import ctypes
import fcntl
import heapq
import json
import os
import pathlib
import select
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

KEYS = "epochs=1000 replicas=1 eval_every=0 log_every=1 checkpoint.every_epochs=0 ema=null"
DATA = ["data.workers=1", "data.shapes.train_images=400", "data.shapes.val_images=2"]
WAYS = {
    "after the backward": [],
    "during the backward": ["train.distributed.overlap=true", "train.distributed.bucket_mb=1"],
    "bfloat16": ["train.distributed.compress=bf16"],
    "both": ["train.distributed.overlap=true", "train.distributed.bucket_mb=1", "train.distributed.compress=bf16"],
}


def without_offload(interface):
    """Frames as they go over the wire: a relay can neither split them nor finish their checksums."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        # ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO: off.
        for command in (0x17, 0x1F, 0x24, 0x2C):
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP", interface.encode(), ctypes.addressof(value)).ljust(40, b"\0")
            try:
                fcntl.ioctl(s, 0x8946, request)
            except OSError as e:
                print(f"{interface}: ethtool command {command:#x}: {e}", file=sys.stderr)


def sh(*args):
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL)


class Network:
    """Hosts 10.77.0.1 … in namespaces of their own, each with one link `eth`."""

    made = 0

    def __init__(self, hosts, rate, latency):
        self.names = [f"rg{os.getpid()}h{i}" for i in range(hosts)]
        self.bridge, self.relay = f"rgb{os.getpid()}n{Network.made}", None
        ends = []
        for i, name in enumerate(self.names):
            sh("ip", "netns", "add", name)
            # Names are freed some time after a host is gone.
            Network.made += 1
            end = f"rgv{os.getpid()}n{Network.made}"
            ends.append(end)
            inner = f"rgi{os.getpid()}n{Network.made}"
            sh("ip", "link", "add", end, "type", "veth", "peer", "name", inner)
            if latency:
                without_offload(end)
                without_offload(inner)
            sh("ip", "link", "set", inner, "netns", name, "name", "eth")
            sh("ip", "-n", name, "addr", "add", f"10.77.0.{i + 1}/24", "dev", "eth")
            for up in ("lo", "eth"):
                sh("ip", "-n", name, "link", "set", up, "up")
            sh("ip", "link", "set", end, "up")
            if rate:
                # The burst is what passes at once; the queue holds 50 ms.
                burst = str(max(16 * 1024, int(rate * 1e6 / 8 / 500)))
                for command in (["ip", "netns", "exec", name, "tc"], ["tc"]):
                    dev = "eth" if command[0] == "ip" else end
                    sh(*command, "qdisc", "add", "dev", dev, "root", "tbf", "rate", f"{rate}mbit", "burst", burst, "latency", "50ms")
        if latency:
            assert hosts == 2, "latency is between two hosts"
            self.relay = os.fork()
            if self.relay == 0:
                relay(ends, latency / 1000)
        else:
            sh("ip", "link", "add", self.bridge, "type", "bridge")
            sh("ip", "link", "set", self.bridge, "up")
            for end in ends:
                sh("ip", "link", "set", end, "master", self.bridge)

    def close(self):
        if self.relay:
            os.kill(self.relay, 9)
            os.waitpid(self.relay, 0)
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name])
        subprocess.run(["ip", "link", "del", self.bridge], stderr=subprocess.DEVNULL)


def relay(ends, delay):
    """Passes frames between two links, each `delay` seconds later."""
    sockets = []
    for end in ends:
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        s.bind((end, 0))
        s.setblocking(False)
        sockets.append(s)
    waiting, number = [], 0
    while True:
        timeout = max(0, waiting[0][0] - time.monotonic()) if waiting else None
        for s in select.select(sockets, [], [], timeout)[0]:
            try:
                while True:
                    frame, address = s.recvfrom(65536)
                    if address[2] != socket.PACKET_OUTGOING:
                        number += 1
                        heapq.heappush(waiting, (time.monotonic() + delay, number, sockets[1 - sockets.index(s)], frame))
            except BlockingIOError:
                pass
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, to, frame = heapq.heappop(waiting)
            try:
                to.send(frame)
            except (BlockingIOError, OSError):
                pass  # lost, as on a wire: TCP sends it again


def step_time(binary, folder, names, args, keys, threads):
    """Seconds of a step, the median after the first quarter."""
    run = folder / f"run{time.time_ns()}"
    keys = [*DATA, *[f"train.{k}" for k in KEYS.split()], f"train.max_steps={args.steps}", f"train.batch_size={args.batch}", *keys]
    processes = []
    for rank in range(max(1, len(names))):
        command = [binary, "train", "demo", *keys, "--run-dir", str(run)]
        env = dict(os.environ, OMP_NUM_THREADS=str(threads))
        if names:
            command = ["ip", "netns", "exec", names[rank], *command]
            env |= {"RANK": str(rank), "WORLD_SIZE": str(len(names)), "LOCAL_RANK": "0", "MASTER_ADDR": "10.77.0.1", "MASTER_PORT": "29500"}
            env |= {"GLOO_SOCKET_IFNAME": "eth"}
        processes.append(subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
    for process in processes:
        _, error = process.communicate()
        if process.returncode != 0:
            sys.exit(f"error: {' '.join(process.args)}: {error.strip().splitlines()[-1] if error.strip() else process.returncode}")
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [args.batch / r["images_per_second"] for r in records if "images_per_second" in r]
    return statistics.median(steps[len(steps) // 4:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--worlds", default="2,4", help="numbers of hosts")
    parser.add_argument("--rates", default="0,1000,100", help="Mbit/s of each link; 0: no limit")
    parser.add_argument("--latencies", default="0,2", help="milliseconds one way, between two hosts")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=8)
    args = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("error: network namespaces need root")
    numbers = lambda text: [float(v) for v in text.split(",")]
    binary = str(pathlib.Path(args.binary).resolve())
    cores = os.cpu_count() or 1
    print("| hosts | Mbit/s | latency, ms | gradients are sent | step, ms |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        alone = step_time(binary, folder, [], args, [], 1)
        print(f"| 1, one thread | | | | {alone * 1000:.0f} |", flush=True)
        for hosts in map(int, args.worlds.split(",")):
            for rate in numbers(args.rates):
                for latency in numbers(args.latencies):
                    if latency and hosts != 2:
                        continue
                    network = Network(hosts, rate, latency)
                    try:
                        for way in args.ways.split(","):
                            seconds = step_time(binary, folder, network.names, args, WAYS[way], max(1, cores // hosts))
                            limit = f"{rate:g}" if rate else "no limit"
                            print(f"| {hosts} | {limit} | {latency:g} | {way} | {seconds * 1000:.0f} |", flush=True)
                    finally:
                        network.close()


if __name__ == "__main__":
    main()
