"""What is demanded of a card and its images, so that a slip shows where it was made."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from reprlib import repr as shortened
from typing import TYPE_CHECKING, Any

from cervbench.data.error import DataError
from cervbench.error import first_few
from cervbench.plugin.settings import did_you_mean

if TYPE_CHECKING:
    from cervbench.data.cards.card import Archive, Card, Item


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


_SHA256 = re.compile(r"(sha256:)?[0-9a-f]{64}", re.IGNORECASE)
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


def require_archive(archive: "Archive") -> None:
    """Refuses a checksum that no file has: each download of it would be removed."""
    if archive.sha256 is not None and not (_is_text(archive.sha256) and _SHA256.fullmatch(archive.sha256)):
        raise DataError(
            f"{archive.url}: its sha256 is {archive.sha256!r}, where 64 hexadecimal digits are due"
        )
    if archive.size is not None and not _is_whole(archive.size):
        raise DataError(f"{archive.url}: its size is {archive.size!r}, where a number of bytes is due")
    kept = archive.keep_as
    if kept and (PureWindowsPath(kept).name != kept or kept.startswith(".")):
        raise DataError(f"{archive.url}: it is kept as {kept!r}, where the plain name of a file is due")


def require_card(card: "Card") -> None:
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


def _require_known_classes(card: "Card") -> None:
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


def with_plain_texts(item: "Item", where: str) -> "Item":
    """The item with numpy's strings as plain ones, which is what a pack gives back; others are refused."""
    for field, optional in (("id", False), ("label", True), ("group", False), ("split", True)):
        value = getattr(item, field)
        if type(value) is str or (optional and value is None):
            continue
        if not isinstance(value, str):
            due = "a str or None" if optional else "a str"
            raise DataError(f"{where}, id {item.id!r}: `{field}` is {value!r}, where {due} is due")
        plain: dict[str, Any] = {field: str(value)}
        item = replace(item, **plain)
    if not isinstance(item.path, Path):
        raise DataError(f"{where}, id {item.id!r}: `path` is {item.path!r}, where a pathlib.Path is due")
    return item


def require_names(item: "Item") -> None:
    """Refuses names that look alike and are two, and what no table would bring back."""
    for what, name in (("id", item.id), ("class", item.label), ("group", item.group)):
        if name is None:
            continue
        if not name:
            raise DataError(
                f"{str(item.path)!r}, id {item.id!r}: its {what} is empty"
                + ("; None stands for an unlabelled image" if what == "class" else "")
            )
        if name != name.strip():
            raise DataError(
                f"{str(item.path)!r}, id {item.id!r}: its {what} {name!r} has blanks around it, and would be "
                "another without them; remove them"
            )
        if not name.isprintable():
            raise DataError(
                f"{str(item.path)!r}: its {what} {name!r} holds a character that cannot be printed, "
                "and that tables would not bring back; rename it"
            )


def require_distinct_groups(groups: Iterable[str]) -> None:
    """Refuses two spellings of a group that cannot be told apart on a screen: it could cross a fold."""
    first: dict[str, str] = {}
    for name in groups:
        if (before := first.setdefault(unicodedata.normalize("NFC", name), name)) != name:
            raise DataError(
                f"the groups {before!a} and {name!a} read the same and would be two; write them with the "
                "same characters (unicodedata.normalize('NFC', …) makes them so)"
            )
