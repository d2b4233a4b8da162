"""Names that users type for methods that are not here: which package has them, or what makes such a row."""

import os
from collections.abc import Mapping, Sequence
from functools import partial

from cervbench.plugin.catalog import Told
from cervbench.plugin.problems import Problem

PLUGINS_VARIABLE = "CERVBENCH_PLUGINS"
"""Environment: the packages to load beside the core, with commas; unset loads all."""

PACKAGES = {
    name: f"cervbench-{name}"
    for name in (
        *("simclr", "byol", "barlow-twins", "agbt", "jigsaw", "attentive-patch"),
        *("moco", "simsiam", "dino", "mae", "rotation"),
    )
} | {"simclr-published": "cervbench-simclr"}
"""Methods of the project that are in packages of their own, and those packages."""

NEEDED = {
    "cervbench-agbt": ("cervbench-barlow-twins",),
    "cervbench-attentive-patch": ("cervbench-jigsaw",),
}
"""Which of these packages another one needs."""

ROWS = {
    "untrained": "--method supervised --eval linear,knn",
    "scratch": "--method supervised --eval finetune",
    "imagenet": "--method supervised --init imagenet --backbone tf_efficientnet_lite0",
}
"""Rows of a page that are no methods, and what makes them."""


def _in_a_package(name: str, problems: Sequence[Problem]) -> str:
    package = PACKAGES[name]
    if broken := [problem for problem in problems if problem.package == package]:
        return f"method {name!r} is installed but does not work:\n" + "\n".join(map(str, broken))
    how = " ".join(f"-e plugins/{needed}" for needed in (package, *NEEDED.get(package, ())))
    beside = f"; if it is installed, name it in {PLUGINS_VARIABLE}" if PLUGINS_VARIABLE in os.environ else ""
    return f"method {name!r} is in a package of its own: in a clone: pip install {how}{beside}"


def _a_row(name: str, problems: Sequence[Problem]) -> str:
    return f"{name!r} is a row of the pages and no method: {ROWS[name]} makes it"


ABSENT_METHODS: Mapping[str, Told] = {
    **{name: partial(_in_a_package, name) for name in PACKAGES},
    **{name: partial(_a_row, name) for name in ROWS},
}
