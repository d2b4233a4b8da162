"""A card: what is known of a dataset before it is on disk, and how its files are read."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from reprlib import repr as shortened
from typing import TYPE_CHECKING, Any

from cervbench.data.cards.item import (
    Item,
    read_file,
    require_distinct_groups,
    require_names,
    with_plain_texts,
)
from cervbench.data.cards.source import Source
from cervbench.data.error import DataError
from cervbench.error import first_few
from cervbench.plugin.problems import in_words, place_of, shown
from cervbench.plugin.settings import did_you_mean

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Card:
    """A dataset as its source describes it. Every table has the classes in the order given here."""

    name: str
    title: str
    classes: tuple[str, ...]
    items: Callable[[Path], Sequence[Item]]
    """Lists the images below the dataset's folder, in any order; a DataError says what to do."""
    citation: str
    licence: str
    source: Source
    group: str
    """What makes images dependent, in words."""
    abnormal: frozenset[str] = frozenset()
    severity: Mapping[str, int] | None = None
    """The rank of each class, if the classes are ordinal."""
    hierarchy: Mapping[str, tuple[str, ...]] | None = None
    """The path of each class from the root of a tree, if they form one."""
    expected: Mapping[str, int] = field(default_factory=dict)
    """How many images of each class the complete dataset has; empty if that is not known."""
    groups_known: bool = True
    """If False, no interval is shown, and users are told that folds may leak: `Item.group` deals them."""
    read: Callable[[Item], "Image"] = read_file
    groupings: Mapping[str, Callable[[Sequence[str]], Sequence[str]]] = field(default_factory=dict)
    """Other ways to group the images, for the audit: ids to groups."""
    ignored: tuple[str, ...] = ()
    """Patterns of image files in the source that are not to be classified: masks, whole slides."""
    manifest: str = ""
    """Frozen folds, if there are any: `my_package:folds.csv`, or the name of folds that cervbench ships."""
    revision: int = 1
    """Raised by the author when the same files give other images, because `read` has changed."""
    synthetic: bool = False
    folder: str = ""
    """A folder below the data root, or an absolute path; by default the name of the dataset."""
    merges: Mapping[str, str] = field(default_factory=dict)
    """Filled in by `merged`: from each class of the frozen folds, which know no merged ones, to one here."""

    def __post_init__(self) -> None:
        if not isinstance(self.source, Source):
            raise DataError(f"{self.name}: `source` is {shown(self.source)}, where a Source is due")
        _require_sound(self)

    def image(self, item: Item) -> "Image":
        """The RGB image of an item. Whatever fails in `read` becomes a DataError that says what is wrong."""
        from PIL.Image import Image

        try:
            image = self.read(item)
            if isinstance(image, Image):
                image.load()  # PIL decodes only on first use
        except DataError:
            raise
        except Exception as error:  # `read` is another package's, and may fail in any way
            raise DataError(f"`read` of its card failed: {_told(error, self.read)}") from error
        if not isinstance(image, Image) or image.mode != "RGB":
            given = f"an image of mode {image.mode}" if isinstance(image, Image) else shown(image)
            raise DataError(f"`read` of its card gives {given}, where a PIL image of mode RGB is due")
        if 0 in image.size:
            raise DataError(f"`read` of its card gives an image of {image.width} × {image.height} pixels")
        return image

    def below(self, data_root: Path) -> Path:
        """Where its files are."""
        return data_root / (self.folder or self.name)

    def found(self, folder: Path) -> list[Item]:
        """What `items` lists. Whatever fails in it, or is no Item, becomes a DataError that says so."""
        try:
            listed = list(self.items(folder))
        except DataError:
            raise
        except Exception as error:  # `items` is another package's, too
            raise DataError(f"{self.name}: `items` of its card failed: {_told(error, self.items)}") from error
        for number, item in enumerate(listed):
            if not isinstance(item, Item):
                raise DataError(
                    f"{self.name}: `items` of its card lists {shown(item)} at place {number}, where an Item "
                    "is due"
                )
            listed[number] = with_plain_texts(item, f"{self.name}: `items` of its card, place {number}")
        return listed

    def listed(self, data_root: Path) -> list[Item]:
        """Its images below the data root, sorted by id; refused if there is none, or if two share an id."""
        ordered = sorted(self.found(self.below(data_root)), key=lambda item: item.id)
        if not ordered:
            raise DataError(f"{self.below(data_root)} holds no image of {self.name}; is it the right folder?")
        for item in ordered:
            require_names(item)
        if self.groups_known:
            require_distinct_groups(item.group for item in ordered)
        by_id = defaultdict(list)
        for item in ordered:
            by_id[item.id].append(item.path)
        twice = [f"{id}: {' and '.join(map(str, paths))}" for id, paths in by_id.items() if len(paths) > 1]
        if twice:
            raise DataError(
                f"{len(twice)} image ids stand for more than one image; keep one of each: {first_few(twice)}"
            )
        return ordered

    def merged(
        self,
        name: str,
        title: str,
        classes: Mapping[str, Sequence[str]],
        abnormal: Set[str] | None = None,
    ) -> "Card":
        """A card of the same images with classes merged: from each new class, in order, to its old ones.

        A new class is abnormal if its old ones are; if only some of them are, `abnormal` has to name all the
        new classes that are. It ranks as its most severe one.
        """
        merged = [old for olds in classes.values() for old in olds]
        if sorted(merged) != sorted(self.classes):
            wrong = (Counter(merged) - Counter(self.classes)) + (Counter(self.classes) - Counter(merged))
            raise DataError(
                f"{name} merges each class of {self.name} into one; look at {first_few(sorted(wrong))}, "
                "which it names more than once, or not at all, or which is no class there"
            )
        if empty := [new for new, olds in classes.items() if not olds]:
            raise DataError(f"{name}: {empty[0]!r} is merged from no class of {self.name}; leave it out")
        new_class = {old: new for new, olds in classes.items() for old in olds}
        if abnormal is None:
            self._refuse_mixtures(name, classes)
            abnormal = {new_class[old] for old in self.abnormal}

        def items(folder: Path) -> Sequence[Item]:
            found = self.found(folder)
            for item in found:
                if item.label not in (None, *self.classes):
                    raise DataError(
                        f"{name}: {item.path} has the class {item.label!r}, which the card of "
                        f"{self.name} does not know"
                    )
            return [replace(item, label=item.label and new_class[item.label]) for item in found]

        return replace(
            self,
            name=name,
            title=title,
            classes=tuple(classes),
            items=items,
            abnormal=frozenset(abnormal),
            severity=None
            if self.severity is None
            else {new: max(self.severity[old] for old in olds) for new, olds in classes.items()},
            hierarchy=None,
            expected={
                new: sum(self.expected[old] for old in olds) for new, olds in classes.items() if self.expected
            },
            folder=self.folder or self.name,
            merges={
                old: new_class[before]
                for old, before in (self.merges or {name: name for name in self.classes}).items()
            },
        )

    def _refuse_mixtures(self, name: str, classes: Mapping[str, Sequence[str]]) -> None:
        for new, olds in classes.items():
            of_both = [sorted(self.abnormal.intersection(olds)), sorted(set(olds) - self.abnormal)]
            if all(of_both):
                raise DataError(
                    f"{name}: {new!r} merges {', '.join(of_both[0])}, abnormal in {self.name}, with "
                    f"{', '.join(of_both[1])}, which is not; say which of the new classes are abnormal, with "
                    "merged(…, abnormal={…})"
                )


def _told(error: Exception, function: Callable[..., object]) -> str:
    """An error in a card's function, with its place there."""
    home = getattr(function, "__module__", "").partition(".")[0]
    where = place_of(error, home, otherwise="")
    return f"{in_words(error)} (at {where})" if where else in_words(error)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _are_texts(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(map(_is_text, value))


def _are_names(value: Any) -> bool:
    return _are_texts(value) and all(name and name == name.strip() for name in value)


def _by_name(value: Any, sound: Callable[[Any], bool]) -> bool:
    return isinstance(value, Mapping) and all(map(_is_text, value)) and all(map(sound, value.values()))


_OF_A_CARD: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_is_text, "a str"),
    "title": (_is_text, "a str"),
    "classes": (_are_names, "a tuple of names, none of them empty or with blanks around it,"),
    "items": (callable, "a function of a folder"),
    "citation": (_is_text, "a str"),
    "licence": (_is_text, "a str"),
    "group": (_is_text, "a str"),
    "abnormal": (lambda value: isinstance(value, Set) and all(map(_is_text, value)), "a set of class names"),
    "severity": (
        lambda value: value is None or _by_name(value, _is_whole),
        "a dict of class names to whole numbers",
    ),
    "hierarchy": (
        lambda value: value is None or _by_name(value, _are_texts),
        "a dict of class names to tuples of names",
    ),
    "expected": (lambda value: _by_name(value, _is_whole), "a dict of class names to whole numbers"),
    "groups_known": (_is_bool, "True or False"),
    "read": (callable, "a function of an Item"),
    "groupings": (lambda value: _by_name(value, callable), "a dict of names to functions of ids"),
    "ignored": (_are_texts, "a tuple of patterns"),
    "manifest": (_is_text, "a str"),
    "revision": (_is_whole, "a whole number"),
    "synthetic": (_is_bool, "True or False"),
}


def _require_sound(card: Card) -> None:
    """Refuses what would otherwise show after all the training, in a score, or nowhere."""
    for where, (sound, due) in _OF_A_CARD.items():
        if not sound(value := getattr(card, where)):
            raise DataError(f"{card.name}: `{where}` is {shortened(value)}, where {due} is due")
    if not card.classes:
        raise DataError(f"{card.name}: it has no classes; name at least one")
    if twice := [name for name, times in Counter(card.classes).items() if times > 1]:
        raise DataError(f"{card.name}: `classes` names {first_few(twice)} more than once")
    _require_known_classes(card)
    if card.abnormal == set(card.classes):
        raise DataError(
            f"{card.name}: `abnormal` names every class, and there is a score of abnormal against normal; "
            "leave it out where nothing is normal"
        )


def _require_known_classes(card: Card) -> None:
    named = {
        "abnormal": card.abnormal,
        "severity": card.severity or (),
        "hierarchy": card.hierarchy or (),
        "expected": card.expected,
    }
    for where, names in named.items():
        for name in sorted(set(names) - set(card.classes)):
            hint = did_you_mean(name, card.classes)
            raise DataError(f"{card.name}: `{where}` names {name!r}, which is no class of it{hint}")
    if card.severity is not None and (lacking := sorted(set(card.classes) - set(card.severity))):
        raise DataError(f"{card.name}: `severity` ranks all classes or none, and lacks {first_few(lacking)}")
    if card.expected and (lacking := sorted(set(card.classes) - set(card.expected))):
        raise DataError(
            f"{card.name}: `expected` counts all classes or none, and lacks {first_few(lacking)}: no copy "
            "could be told to be complete"
        )
