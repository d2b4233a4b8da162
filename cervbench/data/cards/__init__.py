"""The datasets that cervbench knows, each with a card."""

from collections.abc import Mapping

from cervbench.data.cards import cric, herlev, hicervix, lbc, sipakmed, synthetic
from cervbench.data.cards.card import Card
from cervbench.plugin import hookimpl


@hookimpl
def cervbench_datasets() -> Mapping[str, Card]:
    cards = (
        herlev.CARD,
        herlev.BETHESDA,
        sipakmed.CARD,
        lbc.CARD,
        lbc.MERGED,
        hicervix.CARD,
        hicervix.ROOTS,
        cric.CARD,
        cric.MERGED,
        synthetic.CARD,
    )
    return {card.name: card for card in cards}
