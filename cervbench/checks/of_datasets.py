"""What is demanded of a dataset: of its card, and of its images if they are on this disk."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from cervbench.checks.check import CheckFailed, Skipped
from cervbench.data.cards.card import Card
from cervbench.data.cards.listing import image_files
from cervbench.data.error import DataError
from cervbench.place import data_root
from cervbench.protocol.folds import frozen


def it_says_where_its_files_come_from(card: Card) -> None:
    """The card has a page, a licence, and archives to fetch or a word on which files to put where by hand."""
    said = {
        "licence": card.licence,
        "source.page": card.source.page,
        "source.archives or source.by_hand": card.source.archives or card.source.by_hand,
    }
    silent = [name for name, told in said.items() if not told]
    if silent and not card.synthetic:
        raise CheckFailed(
            f"its card is silent on {', '.join(silent)}",
            "whoever has not got the images reads there how to get them, and what they may do with them",
        )


def an_empty_folder_is_refused(card: Card) -> str | None:
    """If its files are not there, `items` lists nothing, or raises a DataError that says what to do."""
    if card.synthetic:
        return Skipped("its images are drawn, and come from no files")
    with TemporaryDirectory() as root:
        folder = card.below(Path(root))
        if not folder.is_relative_to(root):
            return Skipped("its folder is an absolute path")
        folder.mkdir(parents=True)
        try:
            found = len(list(card.items(folder)))
        except DataError:
            return None
    if found:
        raise CheckFailed(
            f"`items` finds {found} images in an empty folder",
            "list what is in the folder that it is given, and look nowhere else",
        )
    return None


def its_frozen_folds_are_there(card: Card) -> None:
    """The card's `manifest`, if it has one, names a table of folds."""
    if card.manifest:
        frozen(card.manifest)


def an_image_of_each_class_can_be_read(card: Card) -> str | None:
    """If the files are below CERVBENCH_DATA: the card lists them, and reads one of each class."""
    root = data_root()
    if not (card.synthetic or card.below(root).exists()):
        return Skipped(f"there is no folder {card.below(root)}")
    try:
        found = card.listed(root)
    except DataError as error:
        if not card.synthetic and not any(image_files(card.below(root))):
            return Skipped(f"{error}")  # tables alone, say, while the images are still to be fetched
        raise
    first = {item.label: item for item in reversed(found)}
    for label, item in first.items():
        if label is not None and label not in card.classes:
            raise CheckFailed(
                f"{item.path} has the class {label!r}, and its card knows {', '.join(card.classes)}",
                "give it one of these, or name it in `classes`",
            )
        card.image(item)
    return None


DEMANDS: tuple[Callable[[Card], str | None], ...] = (
    it_says_where_its_files_come_from,
    an_empty_folder_is_refused,
    its_frozen_folds_are_there,
    an_image_of_each_class_can_be_read,
)
