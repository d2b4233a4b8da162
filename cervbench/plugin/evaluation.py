"""The contract of an evaluation: `predict` makes a table, `score` reads it, and nothing else passes.

    def predict(trained: Trained, labelled: Sequence[Labelled], images: Images, settings) -> Columns
    def score(columns: Columns, task: Task) -> dict[str, float | list | dict | None]

`predict` is handed the trained method, the images whose labels may be seen, once a draw, and the test
images without theirs. It answers for every test image once a draw, in columns of equal length: `image`,
`draw`, and columns of its own (`p_<class>` for classifiers). The harness joins group and label,
calls `score` on the table in the very form in which it is stored, and stores it.
"""

from collections.abc import Mapping

import numpy as np

Columns = Mapping[str, np.ndarray]
