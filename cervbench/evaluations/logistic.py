"""Multinomial logistic regression with an L2 penalty, for all draws and strengths at once.

It minimises mean log-loss + strength / 2 · |w|², with no penalty on the intercept. Frozen features are nearly
collinear, so plain L-BFGS would need many iterations. In the coordinates used here the curvature at the start
is 1 in every direction, and a fraction of the iterations is enough. Each takes two wide matrix products,
however many strengths there are, and the search along a line takes none.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from cervbench.evaluations.quasi_newton import Memory

GAP = 1e-6
"""The duality gap, relative to the objective, at which a problem is solved. Rounding may add as much again,
or hide the rest of the gap."""
ITERATIONS = 1000
"""After how many iterations the problems that are not solved are left as they are."""
TRIALS = 10
"""How many points are tried along a line."""
FLATTER = 0.5
"""The search along a line ends where the slope is at most this share of the slope at its start."""


@dataclass(frozen=True)
class Probes:
    weights: Tensor
    """Draws × strengths × classes × width."""
    intercepts: Tensor
    """Draws × strengths × classes; minus infinity for a class that has no example."""

    def probabilities(self, draw: int, strength: int, x: Tensor) -> Tensor:
        return torch.addmm(self.intercepts[draw, strength], x, self.weights[draw, strength].mT).softmax(1)


def fit(
    features: Sequence[Tensor],
    labels: Sequence[Tensor],
    classes: int,
    strengths: Sequence[float],
    gap: float = GAP,
) -> Probes:
    """A probe for each draw, given by its features and labels, at each strength."""
    x, y = pad_sequence(list(features), batch_first=True), pad_sequence(list(labels), batch_first=True)
    filled = pad_sequence([torch.ones_like(one[:, 0]) for one in features], batch_first=True)
    centre = x.sum(1, keepdim=True) / filled.sum(1)[:, None, None]
    rotated, axes = _principal((x - centre) * filled[..., None])
    seen = x.new_zeros(len(x), classes).scatter_add(1, y, filled) > 0
    found = _minimum(Problems(rotated, y, filled, seen, x.new_tensor(strengths)), gap)
    weights = found[..., :-1] @ axes.mT[:, None]
    # Found for centred features; this is the intercept for the features as they are.
    intercepts = found[..., -1] - (weights @ centre.mT[:, None])[..., 0]
    return Probes(weights, intercepts.masked_fill(~seen[:, None], -torch.inf))


def _principal(x: Tensor) -> tuple[Tensor, Tensor]:
    """The rows in their principal axes, and those axes. A rotation leaves the penalty as it is."""
    within = None
    if x.shape[1] < x.shape[2]:
        within = torch.linalg.qr(x.mT).Q
        x = x @ within
    # In float32 LAPACK fails on many identical columns, such as empty bins.
    axes = torch.linalg.eigh((x.mT @ x).double()).eigenvectors.to(x.dtype)
    return x @ axes, axes if within is None else within @ axes


class Problems:
    """The objectives of all draws and strengths, each in coordinates that suit it.

    A padded row is zero everywhere, even in the column of the intercept, so it adds to no gradient or slope.
    """

    def __init__(self, rotated: Tensor, labels: Tensor, filled: Tensor, seen: Tensor, strengths: Tensor):
        self.rows = torch.cat([rotated, filled[..., None]], 2)
        self.labels, self.filled, self.seen, self.strengths = labels, filled, seen, strengths
        self.count = filled.sum(1)
        # The curvature at the start, where all classes are equally likely: of the log-loss, and the penalty.
        spread = self.rows.square().sum(1) / (self.count * seen.sum(1))[:, None]
        penalty = torch.nn.functional.pad(strengths[:, None].expand(-1, rotated.shape[2]), (0, 1))
        self.scale = (spread[:, None] + penalty).rsqrt()[:, :, None]
        self.penalty = penalty[None, :, None] * self.scale.square()

    def keep(self, chosen: Tensor) -> None:
        """Go on with these strengths alone."""
        self.strengths = self.strengths[chosen]
        self.scale, self.penalty = self.scale[:, chosen], self.penalty[:, chosen]

    def start(self) -> tuple[Tensor, Tensor]:
        """The coordinates 0, and the logits they give: draws × strengths × classes × rows."""
        draws, classes = self.seen.shape
        shape = (draws, len(self.strengths), classes)
        logits = self.rows.new_zeros(*shape, self.rows.shape[1])
        logits = logits.masked_fill(~self.seen[:, None, :, None], -torch.inf)
        return self.rows.new_zeros(*shape, self.rows.shape[2]), logits

    def logits(self, theta: Tensor) -> Tensor:
        draws, strengths, classes, _ = theta.shape
        wide: Tensor = (theta * self.scale).flatten(1, 2) @ self.rows.mT
        return wide.view(draws, strengths, classes, -1)

    def error(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The probabilities minus the truth, and the probability of the true class."""
        truth = self.labels[:, None, None].expand(-1, logits.shape[1], -1, -1)
        answers = logits.softmax(2)
        of_truth = answers.gather(2, truth)
        return answers.scatter_(2, truth, of_truth - 1), of_truth[:, :, 0]

    def gradient(self, theta: Tensor, error: Tensor) -> Tensor:
        wide = (error.flatten(1, 2) @ self.rows).view(theta.shape)
        return wide * (self.scale / self.count[:, None, None, None]) + self.penalty * theta

    def value(self, theta: Tensor, of_truth: Tensor) -> Tensor:
        surprise = -of_truth.clamp_min(torch.finfo(of_truth.dtype).tiny).log() * self.filled[:, None]
        shrink = 0.5 * _dot(self.penalty * theta, theta)
        return surprise.sum(2, dtype=torch.float64) / self.count[:, None] + shrink

    def gap(self, gradient: Tensor) -> Tensor:
        """The duality gap, |gradient|² / (2 strength): the objective is at most this far above its minimum.

        That holds for the weights. The intercept, which has no penalty, is counted as if it had one.
        """
        features = gradient / self.scale
        return _dot(features, features) / (2 * self.strengths)

    def line(
        self, theta: Tensor, logits: Tensor, gradient: Tensor, direction: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """How far to go in a direction, and the logits, errors and probabilities of the true class there."""
        along = self.logits(direction)
        first = _dot(gradient, direction)
        shrink, stiffness = (_dot(self.penalty * with_, direction) for with_ in (theta, direction))
        low, low_slope, high = torch.zeros_like(first), first, torch.full_like(first, torch.inf)
        far = torch.ones_like(first)
        for trial in range(TRIALS):
            there = torch.addcmul(logits, along, far.to(logits.dtype)[..., None, None])
            error, of_truth = self.error(there)
            slope = _dot(error, along) / self.count[:, None] + shrink + far * stiffness
            enough = slope.abs() <= FLATTER * first.abs()
            if trial == TRIALS - 1 or bool(enough.all()):
                break
            secant = far - slope * (far - low) / (slope - low_slope)
            low, low_slope = torch.where(slope < 0, far, low), torch.where(slope < 0, slope, low_slope)
            high = torch.where(slope < 0, high, far)
            tenth = 0.1 * (high - low)
            inside = secant.clamp(low + tenth, high - tenth)
            further = secant.clamp(1.2 * far, 10 * far)
            far = torch.where(enough, far, torch.where(high.isinf(), further, inside))
        return far.to(logits.dtype)[..., None, None], there, error, of_truth


def _minimum(problems: Problems, gap: float) -> Tensor:
    """Draws × strengths × classes × (principal axes, intercept)."""
    theta, logits = problems.start()
    answer, going = torch.zeros_like(theta), torch.arange(theta.shape[1], device=theta.device)
    error, of_truth = problems.error(logits)
    gradient = problems.gradient(theta, error)
    memory, done = Memory(gradient), torch.zeros_like(theta[..., 0, 0], dtype=torch.bool)
    for _ in range(ITERATIONS):
        done = done | (problems.gap(gradient) <= gap * problems.value(theta, of_truth))
        answer[:, going] = theta * problems.scale
        if bool(done.all()):
            break
        left = (~done).any(0).nonzero().ravel()
        if len(left) < len(going):
            problems.keep(left)
            memory.keep(left)
            going = going[left]
            theta, logits, gradient, done = (t[:, left] for t in (theta, logits, gradient, done))
        # A solved problem stays where it is until its strength is solved in every draw.
        direction = memory.direction(gradient) * ~done[..., None, None]
        far, logits, error, of_truth = problems.line(theta, logits, gradient, direction)
        theta, before = theta + far * direction, gradient
        gradient = problems.gradient(theta, error)
        curved = memory.add(far * direction, gradient - before)
        # Once rounding hides the curvature, no further step can improve on it.
        done = done | ~curved
    else:
        answer[:, going] = theta * problems.scale
        logging.getLogger("cervbench").warning(
            "%d linear probes were stopped after %d steps, short of a gap of %g",
            (~done).sum(),
            ITERATIONS,
            gap,
        )
    return answer


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of each problem's tensors: draws × strengths."""
    return (a * b).sum(3).sum(2, dtype=torch.float64)
