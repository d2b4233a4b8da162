"""Whether methods learn their images by heart: their loss on images that they have seen and have not seen.

    python scripts/learnt_by_heart.py STUDY [--data-root DIR] [--method NAME] [--folds 0-2]

Both are the same images. Those that a fold tests were not seen by the pretext stage of this fold, and by that
of another fold they were, if they are all in its train part. So it takes two folds or more. For each run of
the study that has a pretext stage, the loss and the named parts of it are printed, in views that were not
drawn in training, norms being of batches as there. Labels are not used. Encoders that are not in the cache
are trained. What a method remembers of its images, such as a queue, is as the training left it.
"""

import copy
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from cervbench.cli import parsing
from cervbench.data.parts import Parts
from cervbench.harness import pretrained
from cervbench.markup.text import grid, number
from cervbench.place import Place, data_root
from cervbench.plan import PlannedRun, plan
from cervbench.plugin.manager import plugins
from cervbench.plugin.method import Method
from cervbench.progress import shown_on_stderr
from cervbench.protocol.randomness import torch_seed
from cervbench.records.record import Run
from cervbench.runs import changed_settings
from cervbench.study import Study
from cervbench.training.device import named_device, working_on
from cervbench.training.precision import autocast
from cervbench.training.pretrain import pretext_stage
from cervbench.watching import WatchStages

BATCHES = 8


@dataclass(frozen=True)
class OfFold:
    planned: PlannedRun
    parts: Parts
    method: Method

    def saw_all_of(self, other: "OfFold") -> bool:
        return set(other.parts.fold.test) <= set(self.parts.fold.train)

    def losses_on_test_of(self, other: "OfFold") -> Mapping[str, float]:
        """Means over the batches that would follow the last one of a training on these images."""
        recipe = self.planned.recipe
        stage, feed = pretext_stage(copy.deepcopy(self.method), recipe, other.parts.test)
        stage.train()
        begin = feed.steps(recipe.pretext.epochs)
        total: dict[str, float] = defaultdict(float)
        for step in range(begin, begin + BATCHES):
            batch = feed.batch(step)
            torch.manual_seed(torch_seed(*feed.purpose, "torch", step))
            with torch.no_grad(), autocast(batch.views[0].device):
                loss, parts = stage(batch)
            for name, value in {"loss": loss, **parts}.items():
                total[name] += float(value) / BATCHES
        return total


def measured(folds: Sequence[OfFold]) -> Iterator[tuple[str, float, float]]:
    """What is logged, and its means over the folds: on images that were seen, and that were not."""
    seen: dict[str, list[float]] = defaultdict(list)
    unseen: dict[str, list[float]] = defaultdict(list)
    for tested in folds:
        others = [of.losses_on_test_of(tested) for of in folds if of.saw_all_of(tested)]
        if others:
            for name, value in tested.losses_on_test_of(tested).items():
                seen[name].append(float(np.mean([other[name] for other in others])))
                unseen[name].append(value)
    for name in seen:
        yield name, float(np.mean(seen[name])), float(np.mean(unseen[name]))


def of_fold(planned: PlannedRun, place: Place, watch: WatchStages) -> OfFold:
    device = named_device(place.device)
    parts = Parts.of(planned.dataset, planned.run.fold, planned.resolved.protocol, device)

    def say(stage: str, step: int, steps: int, values: Mapping[str, float]) -> None:
        watch(f"{name_of(planned.run)}, fold {planned.run.fold}: {stage}", step, steps, values)

    trained, _ = pretrained(planned, parts, place, device, say)
    return OfFold(planned, parts, trained.method)


def name_of(run: Run) -> str:
    changed = [f"{name} {value}" for name, value in changed_settings(run, plugins()).items()]
    told = ", ".join([*changed, *run.protocol.off])
    return f"{run.method.name} ({told})" if told else run.method.name


def rows(study: Study, place: Place) -> Iterator[Sequence[str]]:
    with shown_on_stderr() as watch, working_on(named_device(place.device), place.threads):
        planned = [one for one in plan(study.requests, place, watch, plugins()) if one.run.method.pretext]
        for name, of_run in groupby(planned, lambda one: name_of(one.run)):
            for logged, seen, unseen in measured([of_fold(one, place, watch) for one in of_run]):
                yield name, logged, number(seen, 3), number(unseen, 3)


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("study", help="by name or path")
    parser.add_argument("--data-root", type=Path, default=data_root())
    parser.add_argument("--method", help="of the study; all, if not given")
    parser.add_argument("--folds", type=parsing.numbers, help="such as 0-2; all, if not given")
    asked = parser.parse_args()
    wanted = {name: told for name in ("method", "folds") if (told := getattr(asked, name)) is not None}
    table = rows(Study.load(asked.study).narrowed(wanted), Place(data_root=asked.data_root))
    print(grid(["run", "logged", "images seen", "unseen"], table))


if __name__ == "__main__":
    main()
