"""Built-in methods: supervised training, and the reference rows beneath every table."""

from collections.abc import Mapping

from cervbench.plugin import Offer, Settings, hookimpl


@hookimpl
def cervbench_methods() -> Mapping[str, Offer]:
    return {
        "supervised": Offer(
            Settings, "cervbench.methods.supervised:Supervised", "no pretext stage", pretrains=False
        ),
        "majority": _reference("Majority", "sees nothing, knows the share of each class"),
        "image-size": _reference("ImageSize", "sees the width and height of an image alone"),
        "colour-histogram": _reference("ColourHistogram", "sees which colours an image has, and not where"),
    }


def _reference(name: str, what: str) -> Offer:
    return Offer(Settings, f"cervbench.methods.reference:{name}", what, pretrains=False, has_encoder=False)
