"""An encoder: a timm model, and one way to turn an image into a vector with it."""

import torch
from torch import Tensor, nn

from cervbench.data.views import Normalise
from cervbench.plugin.problems import ContractError, place_of


class Encoder(nn.Module):
    """`encoder(images)` is n × `width`: the global average of the last map, or for a ViT its class token
    (the mean of its patch tokens if it has none)."""

    def __init__(self, backbone: nn.Module, normalise: Normalise) -> None:
        super().__init__()
        self.backbone = backbone
        self.normalise = normalise
        self.width: int = backbone.num_features  # type: ignore[assignment]

    @property
    def pooling(self) -> str:
        """What the vector is, in the words that a page shows."""
        if not self._has_tokens:
            return "global average pool"
        return "class token" if self._has_class_token else "mean token"

    def forward(self, images: Tensor) -> Tensor:
        return self.pool(self.backbone.forward_features(images))  # type: ignore[operator]

    def takes(self, side: int) -> bool:
        """Whether it can make vectors of images of this side."""
        return self.refusal(side) is None

    def refusal(self, side: int, home: str = "") -> str | None:
        """Why it cannot make vectors of images of this side, found by trying: timm's models do not tell.

        `home` is the package of the backbone, if the line in it that fails is wanted too.
        """
        training, wanted = self.training, (2, self.width)
        self.eval()
        try:
            with torch.no_grad(), torch.random.fork_rng([]):
                device = next(self.parameters(), torch.empty(0)).device
                made = tuple(self(torch.zeros(2, 3, side, side, device=device)).shape)
        except Exception as error:
            told = str(error).split("\n")[0] or type(error).__name__
            where = place_of(error, home, otherwise="")
            return f"{told} (at {where})" if where else told
        finally:
            self.train(training)
        return None if made == wanted else f"it makes {made} of two images, not {wanted}"

    def pool(self, last: Tensor) -> Tensor:
        """The vectors, from the last maps or tokens of the backbone."""
        if not self._has_tokens:
            return self._as_maps(last).mean((2, 3))
        return last[:, 0] if self._has_class_token else last[:, self._prefix_tokens :].mean(1)

    def maps(self, images: Tensor) -> Tensor:
        """The last maps: n × `width` × rows × columns of the grid, for CNNs and ViTs alike."""
        return self._as_maps(self.backbone.forward_features(images))  # type: ignore[operator]

    @property
    def _has_tokens(self) -> bool:
        return hasattr(self.backbone, "num_prefix_tokens")

    @property
    def _has_class_token(self) -> bool:
        """Prefix tokens alone do not tell, because registers are among them."""
        return getattr(self.backbone, "cls_token", None) is not None

    @property
    def _prefix_tokens(self) -> int:
        return int(self.backbone.num_prefix_tokens)  # type: ignore[arg-type]

    def _as_maps(self, last: Tensor) -> Tensor:
        if self._has_tokens:
            grid = self.backbone.patch_embed.grid_size  # type: ignore[union-attr]
            return last[:, self._prefix_tokens :].transpose(1, 2).unflatten(2, grid)
        if last.ndim != 4:
            raise ContractError(
                f"forward_features gives {tuple(last.shape)}, where maps, n × width × height × width of the "
                "grid, are due"
            )
        if getattr(self.backbone, "output_fmt", "NCHW") == "NHWC":
            return last.permute(0, 3, 1, 2)
        return last
