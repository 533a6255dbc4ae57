#!/usr/bin/env python3
"""Times the steps of a search in PyTorch, on the problem that `nb1shot bench` times.

See README.md. Runs on PyTorch 1.13 and later.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True  # leave the source folder as it is
STEPS = ["arch", "weight", "pgd", "forward", "hessian"]
SPACES = ["1", "2", "3", "darts", "darts-s1", "darts-s2", "DARTS_V2", "c10_s2_pgd", "rnn"]
OPENBLAS = "/usr/lib/x86_64-linux-gnu/openblas-pthread"  # of Debian's libopenblas0-pthread
RESTARTED = "NB1SHOT_PEER_RESTARTED"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Times the steps of a search in PyTorch.")
    parser.add_argument("--space", default="2", help="or a genotype: " + ", ".join(SPACES))
    parser.add_argument("--channels", type=positive, default=16, help="of the first cells")
    parser.add_argument("--cells", type=positive, default=9, help="of spaces 1 to 3 a multiple of 3")
    parser.add_argument("--side", type=positive, default=32, help="of the images, in pixels")
    parser.add_argument("--batch", type=positive, default=96, help="images, or passages")
    parser.add_argument("--hidden", type=positive, default=300, help="units of the language model of rnn")
    parser.add_argument("--words", type=positive, default=10_000, help="of its vocabulary")
    parser.add_argument("--length", type=positive, default=35, help="of its passages, in words")
    parser.add_argument("--blas", metavar="DIR", default=OPENBLAS, help="folder with the libblas.so.3 for matrix products, default %(default)s if it is there")
    parser.add_argument("--hessian-batch", type=positive, default=40, help="images for the Hessian")
    parser.add_argument("--steps", default=",".join(STEPS), help="comma-separated, default all: %(default)s")
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--repeats", type=positive, default=10, help="of each step, after one that does not count")
    parser.add_argument("--repeats-hessian", type=positive, default=2)
    parser.add_argument("--once", action="store_true", help="do each step once, for what it finds")
    parser.add_argument("--variant", choices=("plain", "tuned", "careful", "hand"), default="tuned")
    parser.add_argument("--device", default="cpu", help="a device of PyTorch, such as cuda")
    parser.add_argument("--compile", action="store_true", help="torch.compile the network (PyTorch 2)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--check-golden", metavar="DIR", type=Path, help="compare with golden numbers instead")
    args = parser.parse_args()
    args.steps = args.steps.split(",")
    for step in args.steps:
        if step not in STEPS:
            parser.error(f"unknown step {step!r}: choose from {', '.join(STEPS)}")
    if args.space not in SPACES:
        parser.error(f"unknown space {args.space!r}: choose from {', '.join(SPACES)}")
    if args.variant == "hand" and args.space not in ("1", "2", "3"):
        parser.error("--variant hand is for spaces 1 to 3")
    if args.cells % 3 and args.space in ("1", "2", "3"):
        parser.error(f"--cells is {args.cells}, need a multiple of 3")
    if args.space == "rnn" and (args.variant == "hand" or args.compile or "hessian" in args.steps):
        parser.error("--space rnn has no hessian, --compile and --variant hand")
    if args.compile and args.variant not in ("tuned", "careful"):
        parser.error("--compile is for --variant tuned or careful")
    return args


def positive(text: str) -> int:
    n = int(text)
    if n < 1:
        raise ValueError
    return n


def restart_tuned(threads: int, keep: bool, blas: str) -> None:
    """Starts this program again with the settings that are read when a process
    starts. They are what a user can set without changing PyTorch. With keep, memory
    that is freed stays with the process instead of being returned to the system and
    faulted in again for the next tensor."""
    if os.environ.get(RESTARTED):
        return
    tunables = ["glibc.malloc.hugetlb=1"]
    if keep:
        tunables += [
            "glibc.malloc.mmap_threshold=4294967296",
            "glibc.malloc.trim_threshold=17179869184",
            "glibc.malloc.top_pad=268435456",
        ]
    settings = {
        RESTARTED: "1",
        "OMP_NUM_THREADS": str(threads),
        "THP_MEM_ALLOC_ENABLE": "1",  # huge pages, PyTorch 2
        "GLIBC_TUNABLES": ":".join(tunables),  # huge pages
    }
    if Path(blas, "libblas.so.3").exists():  # Debian's PyTorch takes the reference BLAS else, some 30 times as slow
        settings["LD_LIBRARY_PATH"] = ":".join(filter(None, [blas, os.environ.get("LD_LIBRARY_PATH")]))
    if has_avx512():
        settings["ATEN_CPU_CAPABILITY"] = "avx512"
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **settings})


def has_avx512() -> bool:
    """Whether the processor has the instructions of PyTorch's AVX-512 kernels."""
    try:
        flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        return False
    return {"avx512f", "avx512dq", "avx512bw", "avx512vl"} <= set(flags.split())


def main() -> None:
    args = arguments()
    if args.variant != "plain" and not args.check_golden:
        restart_tuned(args.threads, keep=args.variant != "tuned", blas=args.blas)
    try:
        import torch
    except ImportError:
        sys.exit("peer: PyTorch is missing: install Debian's python3-torch and run this with /usr/bin/python3")
    torch.set_num_threads(args.threads)
    if args.check_golden:
        import golden

        sys.exit(golden.check(args.check_golden))
    report = measure(args)
    if args.json:
        json.dump(report, sys.stdout)
        print()
    else:
        show(report)


def measure(args: argparse.Namespace) -> dict:
    """Times all steps; each starts from the initial state, which its repeats change."""
    import torch

    import steps

    # Single precision throughout, as the engine that this is compared with.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = args.variant != "plain"
    device = torch.device(args.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("peer: this PyTorch sees no CUDA device: leave out --device")
    if args.compile and not hasattr(torch, "compile"):
        sys.exit(f"peer: PyTorch {torch.__version__} has no torch.compile: leave out --compile")
    if args.space == "rnn":
        import recurrent

        work = recurrent.make(steps.VARIANTS[args.variant])(recurrent.Config(args.hidden, args.words, args.length, args.batch))
        return time_all(args, work, device)
    config = steps.Config(args.space, args.channels, args.cells, args.side, args.batch, args.hessian_batch, device)
    options = {"compile": True} if args.compile else {}
    return time_all(args, steps.VARIANTS[args.variant](config, **options), device)


def time_all(args: argparse.Namespace, work: "steps.Plain", device: "torch.device") -> dict:
    """Times all steps of a variant."""
    import torch

    def synchronize() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    timings = []
    for name in args.steps:
        work.reset()
        timing: dict = {"step": name, "batch": args.hessian_batch if name == "hessian" else args.batch}
        if name == "hessian":
            if not args.once:
                timing["estimates"] = work.choose_layout()
                work.reset()
            timing["layout"] = work.layout
        step = getattr(work, name)
        repeats = args.repeats_hessian if name == "hessian" else args.repeats
        seconds, first = [], None
        for _ in range(1 if args.once else 1 + repeats):
            synchronize()
            start = time.perf_counter()
            result = step()
            synchronize()
            seconds.append(time.perf_counter() - start)
            first = first or result
        if not args.once:
            del seconds[0]  # the warm-up
        timing.update(first.fields(), seconds=seconds)
        timing.update(median=statistics.median(seconds), min=min(seconds), max=max(seconds))
        timing["peak_rss_bytes"] = peak_rss()
        timings.append(timing)
    report = {
        "torch": torch.__version__,
        "variant": args.variant,
        "compiled": args.compile,
        "threads": args.threads,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "space": args.space,
        "batch": args.batch,
        "channels": args.channels,
        "cells": args.cells,
        "side": args.side,
        "steps": timings,
        "peak_rss_bytes": peak_rss(),
    }
    if device.type == "cuda":
        report["peak_device_bytes"] = torch.cuda.max_memory_allocated(device)
    return report


def peak_rss() -> int:
    """The most memory that this process has had resident, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def show(report: dict) -> None:
    print(
        f"PyTorch {report['torch']}, {report['variant']}, {report['device']}, threads {report['threads']}, "
        f"space {report['space']}, at most {report['peak_rss_bytes'] >> 20} MiB"
    )
    print(f"{'step':8} {'images':>6} {'median s':>10} {'min s':>10} {'max s':>10}  found")
    for t in report["steps"]:
        found = ", ".join(f"{k} {t[k]:.6g}" for k in ("loss", "before", "after", "eigenvalue") if k in t)
        if "layout" in t:
            found += f" ({t['layout']})"
        print(f"{t['step']:8} {t['batch']:6} {t['median']:10.4f} {t['min']:10.4f} {t['max']:10.4f}  {found}")


if __name__ == "__main__":
    main()
