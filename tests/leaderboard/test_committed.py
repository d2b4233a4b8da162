"""The results that are committed, against the study that makes them."""

import json
from pathlib import Path

from cervbench.plugin.manager import plugins
from cervbench.resolve import resolve
from cervbench.study import Study

RECORDS = Path(__file__).parents[2] / "leaderboards" / "records" / "herlev"

Asked = tuple[str, str, str, str, str, int, int]


def committed() -> set[Asked]:
    found = set()
    for path in RECORDS.glob("*.json"):
        record = json.loads(path.read_text())
        run = record["run"]
        if run["protocol"]["tier"] == "quick" and not run["protocol"]["off"]:
            config = json.dumps(run["method"]["config"], sort_keys=True)
            what = run["method"]["name"], config, run["backbone"], run["init"]
            found.add((*what, record["evaluation"]["name"], record["ratio"], run["fold"]))
    return found


def asked_for() -> set[Asked]:
    found = set()
    for request in Study.load("herlev-quick").requests:
        resolved = resolve(request, plugins())
        config = json.dumps(resolved.config.model_dump(mode="json"), sort_keys=True)
        what = resolved.method.name, config, resolved.backbone, request.init
        names = [entry.name for entry, _ in resolved.evaluations]
        ratios = resolved.ratios
        found |= {(*what, name, ratio, fold) for name in names for ratio in ratios for fold in range(5)}
    return found


def test_the_page_of_herlev_has_the_rows_that_its_study_asks_for_and_no_others() -> None:
    """Regression: whoever repeated the study got a page with two rows fewer, and other verdicts with them."""
    assert committed() == asked_for()
