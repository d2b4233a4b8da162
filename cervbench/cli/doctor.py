"""`cervbench doctor`: whether runs will work on this machine."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from cervbench import place
from cervbench.plugin.manager import plugins

GIGABYTE = 1e9
ROOM_WANTED = 2 * GIGABYTE
"""More than the packs, encoders and checkpoints of one dataset take."""


@dataclass(frozen=True)
class Finding:
    subject: str
    what: str
    to_do: str = ""
    """Empty if there is nothing to do."""
    prevents_runs: bool = False


def versions() -> Iterator[Finding]:
    how = "in a clone: pip install -e . torch torchvision timm, in one command, so that they fit each other"
    told, missing = [], []
    for package in ("cervbench", "torch", "torchvision", "timm"):
        try:
            told.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    yield Finding("versions", ", ".join([*told, f"Python {sys.version.split()[0]}"]))
    if missing:
        yield Finding("versions", f"not installed: {', '.join(missing)}", how, prevents_runs=True)
        return
    try:
        for package in ("torch", "torchvision", "timm"):
            import_module(package)
    except Exception as error:
        yield Finding("versions", f"cannot be imported: {error}", how, prevents_runs=True)


def device() -> Iterator[Finding]:
    import torch

    from cervbench.training.precision import precision

    if torch.cuda.is_available():
        told = f"{torch.cuda.get_device_name()}, {precision(torch.device('cuda'))}"
        yield Finding("GPU", told)
    elif torch.version.cuda and shutil.which("nvidia-smi"):
        yield Finding(
            "GPU", "there is one that torch cannot use", "update its driver, or install torch for its CUDA"
        )
    else:
        yield Finding("GPU", "none; quick and smoke tiers are made for the processor")
    yield Finding("processor", f"{place.cores()} cores, {precision(torch.device('cpu'))}")


def threads() -> Iterator[Finding]:
    import torch

    used, cores = torch.get_num_threads(), place.cores()
    if used > cores:
        how = f"set OMP_NUM_THREADS={cores}: more threads than cores slow each other down"
        yield Finding("threads", f"{used} on {cores} cores", how)
    else:
        yield Finding("threads", f"{used} of {cores} cores; the same number gives the same bits")


def data_root() -> Iterator[Finding]:
    root = place.data_root()
    if not root.is_dir():
        how = "set CERVBENCH_DATA to where each dataset has its folder; --dataset synthetic needs none"
        yield Finding("data root", f"there is no folder {root}", how)
        return
    here = [name for name, entry in plugins().datasets.items() if entry.offer.below(root).is_dir()]
    told = f"folders of {', '.join(here)}; `cervbench data check NAME` says what is in one" if here else ""
    yield Finding("data root", f"{root} has {told or 'no folder of a dataset that is known by name'}")


def cache() -> Iterator[Finding]:
    folder = place.cache_root()
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    told = f"{folder}, {free / GIGABYTE:.1f} GB free{_held(folder)}"
    if not os.access(existing, os.W_OK):
        yield Finding("cache", f"{told}, cannot be written", "set CERVBENCH_CACHE to a folder of yours", True)
    elif free < ROOM_WANTED:
        yield Finding("cache", told, "free some space, or set CERVBENCH_CACHE to a larger disk")
    else:
        yield Finding("cache", told)


def _held(cache: Path) -> str:
    """How much lies there, by folder."""
    told = []
    for folder in sorted(path for path in cache.glob("*") if path.is_dir()):
        size = 0
        for path in folder.rglob("*"):
            with suppress(FileNotFoundError):  # a run may be at work
                size += path.stat().st_size if path.is_file() else 0
        told += [f"{folder.name} {size / GIGABYTE:.1f} GB"] if size else []
    again = "packs are made again when they are wanted, encoders by training"
    return f"; {', '.join(told)}: {again}" if told else ""


def packages() -> Iterator[Finding]:
    found = plugins()
    found.load_everything()
    yield Finding("packages", ", ".join(f"{name} {version}" for name, version in found.packages.items()))
    for problem in found.problems:
        yield Finding(problem.package, f"{problem.what} ({problem.where})", problem.how_to_mend)


EXAMINATIONS: tuple[Callable[[], Iterator[Finding]], ...] = (
    versions,
    device,
    threads,
    data_root,
    cache,
    packages,
)


@click.command()
def doctor() -> None:
    """Say what runs would find on this machine, what is wrong with it, and what to do about that."""
    prevented = False
    for examine in EXAMINATIONS:
        for finding in examine():
            click.echo(f"{'!' if finding.to_do else ' '} {finding.subject}: {finding.what}")
            if finding.to_do:
                click.echo(f"    {finding.to_do}")
            prevented = prevented or finding.prevents_runs
        if prevented:
            break
    raise SystemExit(1 if prevented else 0)
