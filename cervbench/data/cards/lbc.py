"""The Mendeley liquid-based cytology set: 963 whole fields in four Bethesda classes."""

from collections.abc import Sequence
from pathlib import Path

from cervbench.data.cards.card import Archive, Card, Item, Source
from cervbench.data.cards.listing import class_folders, image_files

EXPECTED = {"NILM": 613, "LSIL": 113, "HSIL": 163, "SCC": 74}
"""Normal to carcinoma. Copies with 962 images are seen."""

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
"""Names that the class folders are published under."""


def items(folder: Path) -> Sequence[Item]:
    found = []
    for class_folder, label in class_folders(folder, FOLDERS):
        for path in image_files(class_folder):
            id = f"{label}-{path.stem}"
            found.append(Item(id, label, id, path))
    return found


CARD = Card(
    name="lbc",
    title="Mendeley LBC",
    classes=tuple(EXPECTED),
    items=items,
    citation=(
        "Hussain E, Mahanta LB, Borah H, Das CR. Liquid based-cytology Pap smear dataset for automated "
        "multi-class diagnosis of pre-cancerous and cervical cancer lesions. Data in Brief 30, 105589, "
        "2020. doi:10.17632/zddtpgzv63.4"
    ),
    licence="CC BY 4.0",
    source=Source(
        page="https://data.mendeley.com/datasets/zddtpgzv63/4",
        archives=(
            Archive("https://prod-dcd-datasets-cache-zipfiles.s3.eu-west-1.amazonaws.com/zddtpgzv63-4.zip"),
        ),
    ),
    group="unknown: 460 patients gave the images, and no image says which",
    abnormal=frozenset({"LSIL", "HSIL", "SCC"}),
    severity={name: rank for rank, name in enumerate(EXPECTED)},
    expected=EXPECTED,
    groups_known=False,
)
