"""The contract of an evaluation: `predict` makes a table, `score` reads it, nothing else passes between.

    def predict(trained: Trained, labelled: Sequence[Labelled], images: Images, settings) -> Columns
    def score(columns: Columns, task: Task) -> dict[str, float | list | dict | None]

`predict` is given the trained method, the images whose labels may be seen (once per draw), and the test
images without labels. It answers for every test image once per draw, in columns of equal length: `image`,
`draw`, and columns of its own (`p_<class>` for classifiers). The harness adds group and label, calls `score`
on the table exactly as it is stored, and stores it.
"""

from collections.abc import Mapping

import numpy as np

Columns = Mapping[str, np.ndarray]
