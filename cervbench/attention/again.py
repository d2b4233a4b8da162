"""Planning once more the run and the evaluation that made a record, so that it can be made again."""

from collections.abc import Mapping

from cervbench.error import UsageError
from cervbench.place import Place
from cervbench.plan import PlannedRecord, PlannedRun, plan
from cervbench.plugin.manager import Plugins
from cervbench.protocol.protocol import changes_of
from cervbench.records.record import Record
from cervbench.records.store import RecordError
from cervbench.records.verify import differences
from cervbench.study import Request
from cervbench.watching import WatchStages


def planned_again(
    record: Record, place: Place, plugins: Plugins, watch: WatchStages, files: Mapping[str, str]
) -> tuple[PlannedRun, PlannedRecord]:
    """The run and record that made it, planned again; refused if that would be another record today."""
    run = record.run
    evaluation = f"{record.evaluation.package}:{record.evaluation.name}"
    if plugins.evaluations.get(evaluation).offer.classifier is None:
        offering = [name for name, entry in plugins.evaluations.items() if entry.offer.classifier]
        raise UsageError(
            f"record {record.id} is of {record.evaluation.name}, which offers no classifier to look at; "
            f"name a record of {' or '.join(offering)}"
        )
    if run.dataset.name not in plugins.datasets and "dataset" not in files:  # it may be any path of the disk
        raise UsageError(
            f"record {record.id} is of {run.dataset.name!r}, which is no dataset known here: say with "
            "--dataset where its images are"
        )
    request = Request(
        method=f"{run.method.package}:{run.method.name}",
        dataset=files.get("dataset", run.dataset.name),
        backbone=run.backbone,
        init=files.get("init", run.init),
        ratios=(record.ratio,),
        evaluations=(evaluation,),
        folds=(run.fold,),
        seed=run.seed,
        tier=run.protocol.tier,
        settings={**run.method.config, **changes_of(run.protocol.off)},
    )
    [again] = plan([request], place, watch, plugins)
    [one] = again.records
    if one.id != record.id:
        pairs = {"run": (run, again.run), "evaluation": (record.evaluation, one.evaluation)}
        changed = "; ".join(
            difference
            for part, pair in pairs.items()
            for difference in differences(part, *(of.model_dump(mode="json", by_alias=True) for of in pair))
        )
        raise RecordError(
            f"record {record.id} cannot be made again here, so its classifier cannot be shown: {changed}. "
            "Use the code, data and weights that it was made with, or run it again and show the new record"
        )
    return again, one
