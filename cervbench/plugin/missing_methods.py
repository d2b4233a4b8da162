"""Method names that users type in vain: in which package each is, or what makes the row of that name."""

import os
from collections.abc import Mapping, Sequence
from functools import partial

from cervbench.plugin.catalog import Explanation
from cervbench.plugin.installed import PLUGINS_VARIABLE
from cervbench.plugin.problems import Problem

PACKAGES = {
    name: f"cervbench-{name}"
    for name in (
        *("simclr", "byol", "barlow-twins", "agbt", "jigsaw", "attentive-patch"),
        *("moco", "simsiam", "dino", "mae", "rotation"),
    )
} | {"simclr-published": "cervbench-simclr"}
"""The methods of this project that have a package of their own, with its name."""

NEEDED = {
    "cervbench-agbt": ("cervbench-barlow-twins",),
    "cervbench-attentive-patch": ("cervbench-jigsaw",),
}
"""Which of these packages need which others."""

ROWS = {
    "untrained": "--method supervised --eval linear,knn",
    "scratch": "--method supervised --eval finetune",
    "imagenet": "--method supervised --init imagenet --backbone tf_efficientnet_lite0",
}
"""Rows of a page that are not methods, with the options that make them."""


def _in_a_package(name: str, problems: Sequence[Problem]) -> str:
    package = PACKAGES[name]
    if broken := [problem for problem in problems if problem.package == package]:
        return f"method {name!r} is installed but does not work:\n" + "\n".join(map(str, broken))
    how = " ".join(f"-e plugins/{needed}" for needed in (package, *NEEDED.get(package, ())))
    beside = f"; if it is installed, name it in {PLUGINS_VARIABLE}" if PLUGINS_VARIABLE in os.environ else ""
    return f"method {name!r} is in a package of its own: in a clone: pip install {how}{beside}"


def _a_row(name: str, problems: Sequence[Problem]) -> str:
    return f"{name!r} is a row of the pages and no method: {ROWS[name]} makes it"


MISSING_METHODS: Mapping[str, Explanation] = {
    **{name: partial(_in_a_package, name) for name in PACKAGES},
    **{name: partial(_a_row, name) for name in ROWS},
}
