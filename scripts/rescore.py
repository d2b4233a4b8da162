"""After a metric's definition changed: the scores of records anew, from the predictions stored beside them.

    python scripts/rescore.py leaderboards

Nothing is predicted. A record whose seal is broken, or whose predictions are not the recorded ones, is left
as it is and named.
"""

import argparse
from pathlib import Path

from cervbench.plugin.manager import plugins
from cervbench.records.record import Record
from cervbench.records.store import RecordError, Store
from cervbench.records.verify import differences, score_again


def rescored(store: Store, record: Record) -> Record:
    """With the scores that the definitions of today give."""
    columns = store.columns(record.run.dataset.variant, record.id, record.predictions.hash)
    scores = score_again(record, columns, plugins())
    return Record.sealed(**{**dict(record), "scores": scores})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="the folder of records and predictions")
    store, changed, refused = Store(parser.parse_args().out), 0, 0
    for path in store.paths():
        try:
            record = store.record(path)
            anew = rescored(store, record)
        except (RecordError, LookupError) as error:
            refused += 1
            print(error)
            continue
        if list(differences("scores", record.scores, anew.scores)):
            changed += 1
            store.write(anew)
    print(f"{changed} records have other scores now, {refused} could not be scored")


if __name__ == "__main__":
    main()
