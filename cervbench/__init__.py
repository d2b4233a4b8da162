"""Benchmark of self-supervised learning on cervical images when labels are scarce.

`cervbench.run(method="simclr", dataset="herlev")` does what `cervbench run` does on the command line, and
returns a pandas table with one row per record.
"""

from contextlib import nullcontext
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from cervbench.error import CervbenchError, Diverged, UsageError
from cervbench.place import Place, PlaceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike
    from typing import Any, Never

    import pandas as pd

    from cervbench.kept_encoder import Prepare
    from cervbench.plugin import Encoder

try:
    __version__ = version("cervbench")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0"

__all__ = [
    "CervbenchError",
    "Diverged",
    "Place",
    "UsageError",
    "__version__",
    "compare",
    "encoder",
    "figures",
    "run",
]


def run(
    method: str,
    dataset: "str | PathLike[str]",
    *,
    backbone: str = "resnet18",
    init: "str | PathLike[str]" = "random",
    ratios: "int | Sequence[int] | None" = None,
    evaluations: "str | Sequence[str] | None" = None,
    folds: "int | Sequence[int] | None" = None,
    seed: "int | Sequence[int]" = 0,
    tier: str = "quick",
    settings: "Mapping[str, Any] | None" = None,
    place: Place | None = None,
    progress: bool = True,
    **unknown: "Never",
) -> "pd.DataFrame":
    """Run a method on a dataset and rebuild the pages; records that exist already are not made again.

    The table has a row per record: what was run, the scores of its fold, which are NaN where they are
    undefined, and the names of its encoder's folder (`pretraining`) and of its file (`record`). Pages pool
    the predictions of all folds, so their figures (`cervbench.figures`) are not the means of these.

    `ratios` are percentages of the labels. None means all ratios, all folds and the protocol's evaluations.
    `settings` are those of the method. Of several seeds pages show the mean. `place` says where to run, as in
    `Place(out="my-results", device="cpu")`. `progress` is shown on stderr.
    """
    from cervbench.harness import execute
    from cervbench.leaderboard.pages import build, refuse_foreign
    from cervbench.overview import overview
    from cervbench.progress import shown_on_stderr
    from cervbench.study import Request
    from cervbench.watching import unwatched

    here = _place(place)
    if of_place := sorted(unknown.keys() & {field.name for field in fields(Place)}):
        raise PlaceError(f"{of_place[0]} is of the place; say place=cervbench.Place({of_place[0]}=…)")
    asked = {
        "method": method,
        "dataset": dataset,
        "backbone": backbone,
        "init": init,
        "ratios": ratios,
        "evaluations": evaluations,
        "folds": folds,
        "tier": tier,
        "settings": settings or {},
        **unknown,
    }
    seeds = seed if isinstance(seed, list | tuple | range) else [seed]
    requests = [Request.parse({**asked, "seed": one}, "cervbench.run") for one in seeds or [seed]]
    refuse_foreign(here.out / "README.md")  # now, and not when all has been trained
    with shown_on_stderr() if progress else nullcontext(unwatched) as watch:
        records = [o.record for o in execute(requests, here, watch)]
    build(here.out, cache=here.cache)
    return overview(records)


def compare(
    one: str,
    other: str,
    *,
    metric: str = "balanced_accuracy",
    everything: bool = False,
    place: Place | None = None,
) -> "pd.DataFrame":
    """How far one row of the pages is above another, paired, at every ratio that both have in a table.

    It is over all the seeds that both have there. Rows are called as on their page; a method's name stands
    for all its rows, unless one has just this name. `metric` may be `abnormal_auc`, too. `everything`
    includes rows off protocol and of the smoke tier. The figures are shares, and NaN where `why_not` says
    why. `p` is of each difference alone: correct it if you look at several.
    """
    import pandas as pd

    from cervbench.leaderboard import compare_rows

    here = _place(place)
    found = compare_rows(here.out, one, other, here.cache, metric, everything)
    table = pd.DataFrame([compared.flat() for compared in found])
    figures = ["difference", "low", "high", "p", "mean_of_folds"]
    return table.astype(dict.fromkeys(figures, float))


def figures(*, everything: bool = False, place: Place | None = None) -> "pd.DataFrame":
    """Every figure of the pages, with its interval and its tests: a row for each, for charts and for papers.

    Where pages have per cent these are shares, and NaN where they are undefined. `everything` includes rows
    off protocol and of the smoke tier. docs/records.md says what each column holds.
    """
    import pandas as pd

    from cervbench.leaderboard import FlatFigure, flat_figures

    here = _place(place)
    found, _ = flat_figures(here.out, here.cache, everything)
    table = pd.DataFrame(map(vars, found), columns=FlatFigure.names())
    nullable = {str: "string", bool: "boolean", int: "Int64", float: "float64"}
    return table.astype({name: nullable[kind] for name, kind in FlatFigure.optional().items()})


def encoder(weights: "str | PathLike[str]") -> "tuple[Encoder, Prepare]":
    """A trained encoder, and what prepares images for it: `vectors = encoder(prepare(["a.png", "b.png"]))`.

    `weights` is the file `method.safetensors` of a pretraining. The encoder is a torch module in eval mode,
    on the processor; call it under `torch.inference_mode()` if you do not train it. `prepare` takes a list of
    paths or PIL images, and treats them as a run treats those of a dataset.
    """
    from cervbench.kept_encoder import kept_encoder

    return kept_encoder(weights)


def _place(given: object) -> Place:
    if not isinstance(given, Place | None):
        raise PlaceError(f"place is {given!r}; say place=cervbench.Place(out={str(given)!r})")
    return given or Place()


def __dir__() -> list[str]:
    return sorted(__all__)
