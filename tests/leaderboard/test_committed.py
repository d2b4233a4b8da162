"""The results that are committed, against the studies that make them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cervbench.plugin.manager import plugins
from cervbench.resolve import resolve
from cervbench.study import Study

LEADERBOARDS = Path(__file__).parents[2] / "leaderboards"
PLUGINS = Path(__file__).parents[2] / "plugins"

Asked = tuple[str, str, str, str, str, int, str, str, int, int]


def committed(out: Path, dataset: str, tier: str) -> set[Asked]:
    """Of this repository's packages: no study can ask for a method that is installed elsewhere."""
    own, found = {"cervbench", *(path.name for path in PLUGINS.iterdir())}, set()
    for path in (out / "records").glob("*/*.json"):
        record = json.loads(path.read_text())
        run, evaluation = record["run"], record["evaluation"]
        ours = {run["method"]["package"], evaluation["package"]} <= own
        if ours and run["dataset"]["name"] == dataset and run["protocol"]["tier"] == tier:
            method, config = run["method"]["name"], in_order(run["method"]["config"])
            budget, settings = in_order(run["protocol"]["pretext"]), in_order(evaluation["settings"])
            encoder = method, config, run["backbone"], run["init"], budget, run["seed"]
            found.add((*encoder, evaluation["name"], settings, record["ratio"], run["fold"]))
    return found


def asked_for(study: str) -> set[Asked]:
    found = set()
    for request in Study.load(study).requests:
        resolved = resolve(request, plugins())
        method, config = resolved.method.name, in_order(resolved.config.model_dump(mode="json"))
        budget = in_order(resolved.protocol.pretext.model_dump() if resolved.method.offer.pretrains else None)
        encoder = method, config, resolved.backbone, request.init, budget, request.seed
        for entry, evaluation in resolved.evaluations:
            one = *encoder, entry.name, in_order(evaluation.model_dump(mode="json"))
            found |= {(*one, ratio, fold) for ratio in resolved.ratios for fold in range(5)}
    return found


def in_order(values: Mapping[str, Any] | None) -> str:
    return json.dumps(values, sort_keys=True)


@pytest.mark.parametrize(
    ("out", "dataset", "tier", "study"),
    [
        (LEADERBOARDS, "herlev", "quick", "herlev-quick"),
        (LEADERBOARDS / "diagnoses", "cric-3", "smoke", "diagnoses"),
        (LEADERBOARDS / "diagnoses-scaled", "cric-3", "smoke", "diagnoses-scaled"),
    ],
)
def test_committed_records_are_those_that_their_study_asks_for_and_no_others(
    out: Path, dataset: str, tier: str, study: str
) -> None:
    """Regression: whoever repeated the study got a page with two rows fewer, and other verdicts with them."""
    assert committed(out, dataset, tier) == asked_for(study)
