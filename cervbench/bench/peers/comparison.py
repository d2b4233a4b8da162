"""The comparison: views alone, and training end to end; in one run in which all contestants take turns."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import torch

from cervbench.bench.measurement import Where
from cervbench.bench.peers.findings import CEILING, OURS, Contestant, PeerComparison
from cervbench.bench.peers.policies import AUGMENTATIONS, BATCHED, OfRows, on_tensors
from cervbench.bench.peers.recipes import Loaded, OneProcess, OnMemory, precisions, write_files
from cervbench.bench.setups import Setup
from cervbench.bench.timing import Turn, alternate, median_ratio, seconds
from cervbench.bench.workload import Bench, Workload
from cervbench.data.batches import Feed
from cervbench.protocol.randomness import generator

VIEWS = 256
"""How many views are in a batch when nothing but views is made."""
TURN = 0.5
"""How many seconds a turn of making views lasts at least."""

Say = Callable[[str], None]
Setting = tuple[str, int]
"""The precision of lightly's recipe, and the number of its workers."""


def compare(bench: Bench, size: int, batch: int, rounds: int, steps: int, say: Say) -> PeerComparison:
    """SimCLR on resnet18 in every library."""
    workload = bench.workload(Setup("simclr", "resnet18", size, batch))
    batch, stored = workload.feed.per_step, _stored(workload)
    planes = torch.from_numpy(stored).permute(0, 3, 1, 2).contiguous().to(bench.device)
    ways = on_tensors(planes, size)
    say("making views alone")
    views = alternate(_making_views(workload, stored, ways, size), rounds)
    with tempfile.TemporaryDirectory(prefix="cervbench-peers-") as folder:
        write_files(stored, Path(folder))
        say("trying the settings of lightly's recipe")
        settings = _settings(Path(folder), size, batch, bench.device)
        tried = {setting: recipe.rate(steps) for setting, recipe in settings.items()}
        turns: dict[str, Turn] = {
            OURS: partial(workload.rate, workload.feed, steps),
            CEILING: partial(workload.rate, workload.ceiling, steps),
        }
        for name in _best_on_tensors(views, ways):
            turns[name] = partial(OnMemory(len(planes), ways[name], batch, bench.device).rate, steps)
        say("training end to end")
        alternate(turns, 1)  # warms up, which lightly's recipes did when they were tried
        for setting in _best_of_each_precision(tried):
            turns[_name(setting)] = partial(settings[setting].rate, steps)
        training = alternate(turns, rounds)
    return PeerComparison(
        where=Where.of(bench.device, {name: version(name) for name in ("kornia", "lightly")}),
        dataset=workload.variant,
        stored=stored.shape[1],
        size=size,
        batch=batch,
        rounds=rounds,
        steps=steps,
        augmentations=dict(AUGMENTATIONS),
        views=_contestants(views),
        training=_contestants(training),
        tried={_name(setting): round(rate, 1) for setting, rate in tried.items()},
    )


def _stored(workload: Workload) -> np.ndarray:
    """The very images that the workload trains on, at the size at which they are stored: N × S × S × 3."""
    images = workload.feed.images
    finest = len(images.pyramid.sides) - 1
    level = images.pyramid.level(finest, torch.from_numpy(images.rows))
    stored: np.ndarray = level.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return stored


def _making_views(
    workload: Workload, stored: np.ndarray, ways: Mapping[str, OfRows], size: int
) -> dict[str, Turn]:
    count = min(VIEWS, len(stored))
    rows = torch.arange(count, device=workload.device)
    makers: dict[str, Callable[[], object]] = {OURS: _OurViews(workload.feed, count)}
    makers |= {name: partial(make, rows) for name, make in ways.items()}
    makers["lightly, one process"] = OneProcess(stored[: count // 2], size)
    for make in makers.values():
        make()  # warms up
    return {name: partial(_making, make, count, workload.device) for name, make in makers.items()}


class _OurViews:
    """Makes one view of each of `count` images, with other parameters each time."""

    def __init__(self, feed: Feed, count: int) -> None:
        self.feed, self.count, self.calls = feed, count, 0
        self.rows = torch.from_numpy(feed.images.rows[:count])

    def __call__(self) -> torch.Tensor:
        self.calls += 1
        view = self.feed.views[0]
        drawn = view.draw(generator("bench", "views", self.calls), self.count)
        return view.apply(self.feed.images.pyramid, self.rows, drawn, self.feed.normalise)


def _making(make: Callable[[], object], count: int, device: torch.device) -> float:
    """Views per second."""
    spent, made = 0.0, 0
    while spent < TURN:
        spent += seconds(make, device)
        made += count
    return made / spent


def _best_on_tensors(views: Mapping[str, Sequence[float]], ways: Mapping[str, OfRows]) -> list[str]:
    """The fastest way of kornia, and the way of torchvision whose views can be trained on."""
    fastest = max((name for name in ways if name.startswith("kornia")), key=lambda name: median(views[name]))
    return [fastest, *(name for name in ways if name.startswith("torchvision") and name != BATCHED)]


def _settings(folder: Path, size: int, batch: int, device: torch.device) -> dict[Setting, Loaded]:
    return {
        (precision, workers): Loaded(folder, size, batch, workers, bf16, device)
        for precision, bf16 in precisions(device).items()
        for workers in _worker_counts()
    }


def _worker_counts() -> list[int]:
    """One worker, as many as torch has threads, and half as many."""
    most = torch.get_num_threads()
    return sorted({1, max(1, most // 2), most})


def _best_of_each_precision(tried: Mapping[Setting, float]) -> list[Setting]:
    """For each precision, the setting with the best number of workers."""
    ascending = sorted(tried, key=lambda setting: tried[setting])
    return list({precision: (precision, workers) for precision, workers in ascending}.values())


def _name(setting: Setting) -> str:
    precision, workers = setting
    return f"lightly, {precision}, {workers} worker{'s' if workers > 1 else ''}"


def _contestants(rates: Mapping[str, Sequence[float]]) -> list[Contestant]:
    return [
        Contestant(
            name=name,
            views_per_second=round(median(measured), 1),
            ours_over_it=round(median_ratio(rates[OURS], measured), 3),
        )
        for name, measured in rates.items()
    ]
