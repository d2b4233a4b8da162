"""The Herlev Pap-smear set: 917 single cells in seven classes."""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path

from cervbench.data.cards.card import Card
from cervbench.data.cards.item import Item
from cervbench.data.cards.listing import class_folders, image_files
from cervbench.data.cards.source import Archive, Source
from cervbench.data.error import DataError

EXPECTED = {
    "normal_superficiel": 74,
    "normal_intermediate": 70,
    "normal_columnar": 98,
    "light_dysplastic": 182,
    "moderate_dysplastic": 146,
    "severe_dysplastic": 197,
    "carcinoma_in_situ": 150,
}
"""The classes in the order that tables in the literature have, from normal to carcinoma. Their names are
those of the folders in the original archive, misspelling included."""

SEVERITY = {name: max(0, rank - 2) for rank, name in enumerate(EXPECTED)}
"""The three normal classes differ in kind and not in degree, so they share the lowest rank."""

SESSION_STARTS = (
    148494967, 148495491, 148497551, 148498683, 148499274, 148499815, 148500154, 148503071, 148710162,
    148714237, 148714902, 148718455, 148719308, 148839765, 148841826, 148848523, 148881675, 148882307,
    148883900, 148884702, 148886869, 149011613, 149013033, 149014631, 149015418, 149015814, 149053341,
    149053945, 149056321, 149057756, 149058170, 149058881, 149059215, 149060626, 149060932, 149061548,
    149062277, 149062593, 149095913, 149096505, 149096854, 149097324, 149098972, 149100006, 149101437,
    149102442, 149105003, 149140081, 149140536, 149140849, 149142457, 149143028, 149146635, 149147848,
    149148669, 149181806, 149183509, 149185405, 149186957, 149190861, 149314453, 149315229, 149316426,
    149316754, 149357849, 149788716, 153266866, 153268036, 153268807, 153275719, 153276386, 153276799,
    153313074, 153314083, 153314466, 153315615, 153354589, 153654325, 153654869, 153655593, 153656862,
    153659229, 153697097, 153697726, 153698259, 153700207, 153701009, 153701557, 153701949, 153826597,
    153826963, 153827595, 153828877, 153829664, 153830261, 153830680, 153831027, 153831352, 153915230,
    153916569, 153955676, 153956040, 153958154, 153960256, 154519964, 157181146, 157183193, 157183722,
    157184850, 157222534, 157223246, 157224172, 157227058, 157227461, 157266930, 157267647, 157268242,
    158986766, 158987453, 158989297, 204870815, 209047342, 209047881, 209307421, 209522316, 209565409,
)  # fmt: skip
"""The first A of each of the 126 sessions of the complete set, frozen so that a partial copy has the same
groups.

An id reads `A-B-nnn`, and A advances like a clock: its 323 values come in runs. That is an interpretation and
not documented; see `DAY`. What was measured is that images of one run resemble each other by more than their
class. Folds that keep only images of one A together still leak most of what random folds leak; folds that
keep runs with gaps of at most 300 together, which are the sessions, stop most of it; wider runs, of which
there are few, move the figure both ways (see the ladder of `cervbench data audit herlev`).
"""

DAY = 43_004
"""What A seems to advance in a day, so that it would count ticks of some two seconds and a gap of 300 be ten
minutes. A has 30 stretches: in none is a gap longer than 6,912, and none is nearer to the next than 33,137.
Of periods from 20,000 to 120,000 its values follow this one most closely: all lie within four hours, of 24,
of one time of day, and on five days in a row of seven.

No day holds both normal and abnormal cells. Sessions of one day are in several folds.
"""

_ID = re.compile(r"(\d{9})-\d{9}-\d{3}")


def clock(image_id: str) -> int:
    """The A of an id `A-B-nnn`."""
    match = _ID.fullmatch(image_id)
    if match is None or int(match[1]) < SESSION_STARTS[0]:
        raise DataError(f"{image_id!r} is no id of the Herlev set, which read 149143370-149143378-001")
    return int(match[1])


def session(image_id: str) -> str:
    """The group of an image: the first A of its session."""
    return str(SESSION_STARTS[bisect_right(SESSION_STARTS, clock(image_id)) - 1])


def runs(gap: int) -> Callable[[Sequence[str]], list[str]]:
    """A grouping of ids by runs of A in which no gap is wider than `gap`."""

    def group(image_ids: Sequence[str]) -> list[str]:
        values = sorted({clock(image_id) for image_id in image_ids})
        starts: list[int] = []
        for before, value in zip([None, *values], values, strict=False):
            if before is None or value - before > gap:
                starts.append(value)
        return [str(starts[bisect_right(starts, clock(image_id)) - 1]) for image_id in image_ids]

    return group


def items(folder: Path) -> Sequence[Item]:
    """The images in the class folders; `-d` files are their segmentations."""
    found = []
    for class_folder, label in class_folders(folder, {name: name for name in EXPECTED}):
        for path in image_files(class_folder):
            if path.stem.endswith("-d"):
                continue
            try:
                found.append(Item(path.stem, label, session(path.stem), path))
            except DataError as error:
                raise DataError(f"{path}: {error}; remove it, or give it its name") from None
    return found


CARD = Card(
    name="herlev",
    title="Herlev Pap smear",
    classes=tuple(EXPECTED),
    items=items,
    citation=(
        "Jantzen J, Norup J, Dounias G, Bjerregaard B. Pap-smear benchmark data for pattern "
        "classification. Nature inspired Smart Information Systems (NiSIS), 2005, 1-9."
    ),
    licence="No licence is stated; published as a benchmark for research, to be cited.",
    source=Source(
        page="https://mde-lab.aegean.gr/index.php/downloads/",
        archives=(Archive("http://mde-lab.aegean.gr/images/stories/docs/smear2005.zip"),),
    ),
    group="session: a run of A, the first number of the id, with gaps of at most 300",
    abnormal=frozenset(name for name, rank in SEVERITY.items() if rank > 0),
    severity=SEVERITY,
    expected=EXPECTED,
    groupings={
        "A": runs(0),
        "runs of A with gaps ≤ 100": runs(100),
        "runs of A with gaps ≤ 600": runs(600),
        "runs of A with gaps ≤ 1800": runs(1800),
        "days: runs of A with gaps ≤ 10000": runs(10_000),
    },
    ignored=("*-d.*",),
    manifest="herlev",
)

BETHESDA = CARD.merged(
    "herlev-3",
    "Herlev Pap smear, three classes",
    {
        "NILM": ("normal_superficiel", "normal_intermediate", "normal_columnar"),
        "LSIL": ("light_dysplastic",),
        "HSIL": ("moderate_dysplastic", "severe_dysplastic", "carcinoma_in_situ"),
    },
)
"""As they are reported today; the three that HSIL has here are hard to tell apart."""
