"""Benchmark of self-supervised learning on cervical images when labels are scarce.

`cervbench.run(method="simclr", dataset="herlev")` does what `cervbench run` does on the command line, and
returns a pandas table with one row per record.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from cervbench.error import CervbenchError
from cervbench.place import Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    import pandas as pd

try:
    __version__ = version("cervbench")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0"

__all__ = ["CervbenchError", "Place", "__version__", "run"]


def run(
    method: str,
    dataset: "str | PathLike[str]",
    *,
    backbone: str = "resnet18",
    init: "str | PathLike[str]" = "random",
    ratios: "int | Sequence[int] | None" = None,
    evaluations: "str | Sequence[str] | None" = None,
    folds: "int | Sequence[int] | None" = None,
    seed: int = 0,
    tier: str = "quick",
    settings: "Mapping[str, Any] | None" = None,
    place: Place | None = None,
) -> "pd.DataFrame":
    """Run a method on a dataset and rebuild the pages; records that exist already are not made again.

    `ratios` are percentages of the labels. None means all of the ratios, evaluations or folds. `settings` are
    those of the method. `place` says where to run, as in `Place(out="my-results", device="cpu")`: data root,
    cache, output folder, device and threads.
    """
    import pandas as pd

    from cervbench.harness import execute
    from cervbench.leaderboard import build
    from cervbench.study import Request

    here = place or Place()
    asked = {
        "method": method,
        "dataset": dataset,
        "backbone": backbone,
        "init": init,
        "ratios": ratios,
        "evaluations": evaluations,
        "folds": folds,
        "seed": seed,
        "tier": tier,
        "settings": settings or {},
    }
    records = [o.record for o in execute([Request.parse(asked, "cervbench.run")], here)]
    build(here.out, cache=here.cache)
    return pd.DataFrame(
        [
            {
                "method": record.run.method.name,
                "variant": record.run.dataset.variant,
                "tier": record.run.protocol.tier,
                "fold": record.run.fold,
                "evaluation": record.evaluation.name,
                "ratio": record.ratio,
                "train_labels": record.labels.train,
                "val_labels": record.labels.val,
                **{
                    name: value
                    for name, value in record.scores.items()
                    if isinstance(value, float | int | None)
                },
                "record": record.id,
            }
            for record in records
        ]
    )
