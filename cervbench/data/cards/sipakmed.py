"""SIPaKMeD: 4,049 cells in five classes, cut from 966 photographs of cell clusters."""

from collections.abc import Sequence
from pathlib import Path

from cervbench.data.cards.card import Card
from cervbench.data.cards.item import Item
from cervbench.data.cards.listing import class_folders, image_files
from cervbench.data.cards.source import Source
from cervbench.data.error import DataError

EXPECTED = {
    "Superficial-Intermediate": 831,
    "Parabasal": 787,
    "Koilocytotic": 825,
    "Dyskeratotic": 813,
    "Metaplastic": 793,
}
"""In the order of the paper: two normal classes, two abnormal ones, a benign one."""


def items(folder: Path) -> Sequence[Item]:
    """`im_<Class>/im_<Class>/CROPPED/<photograph>_<cell>.bmp`, without photographs and `.dat` contours."""
    found = []
    for class_folder, label in class_folders(folder, {f"im_{name}": name for name in EXPECTED}):
        for path in image_files(class_folder):
            if path.parent.name.casefold() != "cropped":
                continue
            photograph, _, cell = path.stem.partition("_")
            if not (photograph.isdecimal() and cell.isdecimal()):
                raise DataError(f"{path} is not named <photograph>_<cell>; nothing else belongs into CROPPED")
            found.append(Item(f"{label}-{path.stem}", label, f"{label}-{photograph}", path))
    return found


_ARCHIVES = ", ".join(f"im_{name}.7z" for name in EXPECTED)

CARD = Card(
    name="sipakmed",
    title="SIPaKMeD",
    classes=tuple(EXPECTED),
    items=items,
    citation=(
        "Plissiti ME, Dimitrakopoulos P, Sfikas G, Nikou C, Krikoni O, Charchanti A. SIPaKMeD: a new dataset "
        "for feature and image based classification of normal and pathological cervical cells in Pap smear "
        "images. IEEE ICIP 2018, 3144-3148. doi:10.1109/ICIP.2018.8451588"
    ),
    licence="Free for experimental use with citation; no licence is named.",
    source=Source(
        page="https://www.cs.uoi.gr/~marina/sipakmed.html",
        by_hand=(
            f"From https://www.cs.uoi.gr/~marina/sipakmed.html take {_ARCHIVES}. They are 7-Zip archives: "
            "unpack each with 7-Zip (`7z x FILE`) into `sipakmed/`, so that there is "
            "`sipakmed/im_Dyskeratotic/im_Dyskeratotic/CROPPED/001_01.bmp`."
        ),
    ),
    group=(
        "class and number: the photograph that the cells are cut from, where numbers restart in each class, "
        "which is unverified; which photographs are of one slide is not published"
    ),
    abnormal=frozenset({"Koilocytotic", "Dyskeratotic"}),
    expected=EXPECTED,
    ignored=("*im_*.bmp",),
)
