"""After a metric was added or corrected: the scores of records anew, from the predictions stored beside them.

    python scripts/rescore.py leaderboards leaderboards/diagnoses leaderboards/diagnoses-scaled

Nothing is predicted. A record whose seal is broken, or whose predictions are not the recorded ones, is left
as it is and named.
"""

import argparse
from pathlib import Path

from cervbench.plugin.manager import plugins
from cervbench.plugin.problems import in_words
from cervbench.records.record import Record
from cervbench.records.store import RecordError, Store
from cervbench.records.verify import differences, score_again
from cervbench.scoring.classification import revision_of_scores


def rescored(store: Store, record: Record) -> Record:
    """With the scores that the definitions of today give."""
    columns = store.columns(record.run.dataset.variant, record.id, record.predictions.hash)
    scores, scoring = score_again(record, columns, plugins()), revision_of_scores(record.evaluation.schema_)
    return Record.sealed(**{**dict(record), "scores": scores, "scoring": scoring})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, nargs="+", help="folders of records and predictions")
    changed = refused = 0
    for store in map(Store, parser.parse_args().out):
        for path in store.paths():
            try:
                record = store.record(path)
                anew = rescored(store, record)
            except Exception as error:  # a score of another package may fail in any way
                refused += 1
                print(error if isinstance(error, RecordError) else f"{path}: {in_words(error)}")
                continue
            if anew.scoring != record.scoring or list(differences("scores", record.scores, anew.scores)):
                changed += 1
                store.write(anew)
    print(f"{changed} records have other scores now, {refused} could not be scored")


if __name__ == "__main__":
    main()
