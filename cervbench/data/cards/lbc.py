"""The Mendeley liquid-based cytology set: 963 whole fields in four Bethesda classes.

Its files have names such as `HSIL_2 (10).jpg`, `NL_10_ (5).jpg` or `scc_1 (21).jpg`. What stands before the
number of an image is taken for its slide, though that is not documented, and 61 slides cannot be of the 460
patients that gave them: they may be batches. LSIL and SCC have four each.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cervbench.data.cards.card import Card
from cervbench.data.cards.item import Item
from cervbench.data.cards.listing import class_folders, image_files
from cervbench.data.cards.source import Archive, Source
from cervbench.data.error import DataError
from cervbench.error import first_few

EXPECTED = {"NILM": 613, "LSIL": 113, "HSIL": 163, "SCC": 74}
"""From normal to carcinoma. Some copies have only 962 images."""

SLIDE = re.compile(r"(.+?)[ _]*\(\d+\)")

FOLDERS = {
    "NILM": "NILM",
    "LSIL": "LSIL",
    "HSIL": "HSIL",
    "SCC": "SCC",
    "Negative for Intraepithelial malignancy": "NILM",
    "Low squamous intra-epithelial lesion": "LSIL",
    "High squamous intra-epithelial lesion": "HSIL",
    "Squamous cell carcinoma": "SCC",
}
"""The names under which the class folders are published, each with its class."""


def items(folder: Path) -> Sequence[Item]:
    """The images grouped by slide; one whose name has no slide stands for itself."""
    found = []
    for class_folder, label in class_folders(folder, FOLDERS):
        for path in image_files(class_folder):
            id = f"{label}-{path.stem}"
            found.append(Item(id, label, slide(path, label) or id, path))
    return found


def in_slides(folder: Path) -> Sequence[Item]:
    """The images grouped by slide, which each of them must name."""
    found = items(folder)
    if nameless := [item.path.name for item in found if item.group == item.id]:
        raise DataError(
            f"{len(nameless)} images of {folder} have no slide in their names, as `HSIL_2 (10).jpg` has: "
            f"{first_few(nameless)}. Give the files their published names, or bring them as a manifest of "
            "your own"
        )
    return found


def slide(path: Path, label: str) -> str:
    """The slide in a file's name, which may be in capitals or end in an underscore; empty without one."""
    named = SLIDE.fullmatch(path.stem)
    return f"{label}-{named[1].lower()}" if named else ""


CARD = Card(
    name="lbc",
    title="Mendeley LBC",
    classes=tuple(EXPECTED),
    items=items,
    citation=(
        "Hussain E, Mahanta LB, Borah H, Das CR. Liquid based-cytology Pap smear dataset for automated "
        "multi-class diagnosis of pre-cancerous and cervical cancer lesions. Data in Brief 30, 105589, "
        "2020. doi:10.1016/j.dib.2020.105589; data doi:10.17632/zddtpgzv63.4"
    ),
    licence="CC BY 4.0",
    source=Source(
        page="https://data.mendeley.com/datasets/zddtpgzv63/4",
        archives=(
            Archive("https://prod-dcd-datasets-cache-zipfiles.s3.eu-west-1.amazonaws.com/zddtpgzv63-4.zip"),
        ),
    ),
    group="slide, by its published file names; 460 patients gave the images, and no image says which",
    abnormal=frozenset({"LSIL", "HSIL", "SCC"}),
    severity={name: rank for rank, name in enumerate(EXPECTED)},
    expected=EXPECTED,
    groups_known=False,
)

MERGED = replace(
    CARD, items=in_slides, groups_known=True, group="slide: what stands in a file's name before the number"
).merged("lbc-2", "Mendeley LBC, two classes", {"NILM": ("NILM",), "lesion": ("LSIL", "HSIL", "SCC")})
"""Four slides of LSIL and four of SCC are too few for five folds; lesions have 18."""
