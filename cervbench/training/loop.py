"""The training loop: the only one there is."""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from cervbench.data.ahead import ahead
from cervbench.data.batches import Batch, Feed
from cervbench.error import Diverged, first_few
from cervbench.plugin.method import Progress
from cervbench.plugin.problems import ContractError, shown
from cervbench.plugin.settings import did_you_mean
from cervbench.protocol.randomness import torch_seed
from cervbench.training.checkpoint import Checkpoints, State
from cervbench.training.precision import autocast
from cervbench.training.stage import Stage, name_of, require_choices

WARM_UP = 0.1
"""The share of the steps of every stage that warm up."""
TIMES_LOGGED = 50
"""How many times a stage logs."""
TRAINING_PER_SAVING = 20
"""Saving takes at most about 1/20 of the time: the gap between checkpoints grows with what saving takes.

That is the quickest so far: a process stopped while it saved would otherwise save next after an hour.
"""
RESERVED = frozenset(
    {"loss", "gradient_norm", "learning_rate", "images_per_second", "batch_rank", "batch_spread"}
)
"""The names of everything that is logged besides the parts of a loss, which no part may have."""

Watch = Callable[[int, int, Mapping[str, float]], None]
"""Called with step, steps and plain floats: the loss, its parts, and others of `RESERVED`."""


@dataclass(frozen=True)
class Sitting:
    """What happens beside the training: where and how often it is saved, and who watches it."""

    checkpoints: Checkpoints | None = None
    every_seconds: float = 30.0
    """The gap between checkpoints, which is longer if saving takes long; with 0 every step is saved."""
    watch: Watch = field(default=lambda step, steps, values: None)
    measure: Callable[[], Mapping[str, float]] = dict
    """Called whenever the stage logs, for more values to log."""


def begin(stage: Stage, sitting: Sitting) -> State:
    """The state of a stage at its start, or where an earlier sitting left it."""
    require_choices(stage)
    state = State(_optimizer(stage))
    if sitting.checkpoints is not None:
        sitting.checkpoints.resume(stage, state)
    return state


def train(
    stage: Stage, state: State, feed: Feed, steps: int, sitting: Sitting, until: int | None = None
) -> None:
    """Train a stage of `steps` steps in place, from where its state is to its end, or only `until` a step."""
    until = steps if until is None else until
    device = next(stage.parameters()).device
    stage.train()
    log = _Log(stage, steps, feed, sitting, state.step)
    started = saved = time.perf_counter()
    spent, apart, quickest = state.seconds, sitting.every_seconds, math.inf
    with ahead(feed, state.step, until, device) as batches:
        for batch in batches:
            values = _step(stage, state, batch, feed.purpose, steps)
            log.add(state, values)
            now = time.perf_counter()
            state.seconds = spent + now - started - log.watching
            if sitting.checkpoints and (state.step == until or now - saved > apart):
                log.refuse_non_finite(state.step)  # waits for the device, so that saving is timed without it
                begun = time.perf_counter()
                sitting.checkpoints.save(stage, state)
                saved = time.perf_counter()
                if sitting.every_seconds:
                    quickest = min(quickest, saved - begun)
                    apart = max(sitting.every_seconds, TRAINING_PER_SAVING * quickest)
    log.refuse_non_finite(state.step)


def _step(
    stage: Stage, state: State, batch: Batch, purpose: tuple[object, ...], steps: int
) -> dict[str, Tensor]:
    """Take one step, and return what there is to log of it. Nothing here waits for the device."""
    torch.manual_seed(torch_seed(*purpose, "torch", state.step))
    for group in state.optimizer.param_groups:
        group["lr"] = group["initial_lr"] * rate_at(state.step, steps)
    with autocast(batch.views[0].device):
        loss, parts = stage(batch)
    if not loss.requires_grad:
        raise ContractError(
            f"loss of {name_of(stage)} depends on nothing that can be learnt; look for detach, no_grad, or a "
            "number made of a tensor on the way to it"
        )
    if taken := RESERVED.intersection(parts):
        raise ContractError(
            f"{name_of(stage)} names a part of its loss {', '.join(sorted(taken))}, under which something "
            "else is logged; call it something else"
        )
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(stage.parameters(), stage.clip or math.inf)
    state.optimizer.step()
    state.step += 1
    stage.after_step(Progress(state.step, steps))
    return {"loss": loss.detach(), **parts, "gradient_norm": norm}


def rate_at(step: int, steps: int) -> float:
    """The factor on the learning rate in step 0, 1, …, steps - 1: a linear warm-up, half a cosine to zero."""
    warm_up = max(1, round(WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


OPTIMIZERS: Mapping[str, type[torch.optim.Optimizer]] = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}


def _optimizer(stage: Stage) -> torch.optim.Optimizer:
    own: dict[str, Any] = {"momentum": stage.momentum} if stage.optimizer == "sgd" else {}
    settings = {"lr": stage.learning_rate, "weight_decay": stage.weight_decay, "fused": True, **own}
    return OPTIMIZERS[stage.optimizer](_groups(stage), **settings)


def _groups(stage: Stage) -> list[dict[str, Any]]:
    """Groups that together hold every parameter with a gradient.

    A parameter in no group is never updated and its gradient never cleared, which would distort clipping.
    """
    groups, given = [], list(stage.param_groups())
    for group in given:
        if not isinstance(group, Mapping) or "params" not in group:
            raise ContractError(
                f"param_groups of {name_of(stage)} returns {shown(given)}; give dicts, each with its `params`"
            )
        _require_known_settings(group, stage)
        held = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        groups.append({"initial_lr": group.get("lr", stage.learning_rate), **group, "params": held})
    times_held = Counter(id(parameter) for group in groups for parameter in group["params"])
    if twice := [name for name, p in stage.named_parameters() if times_held[id(p)] > 1]:
        named = first_few([name.removeprefix("method.") for name in twice])
        raise ContractError(f"{named}: is in param_groups of {name_of(stage)} more than once; keep one")
    if wanting := [name for name, p in stage.named_parameters() if p.requires_grad and not times_held[id(p)]]:
        named = first_few([name.removeprefix("method.") for name in wanting])
        raise ContractError(
            f"{named}: wants a gradient and is in no group of param_groups of {name_of(stage)}; put it in "
            "one, or freeze it with requires_grad_(False)"
        )
    return groups


def _require_known_settings(group: Mapping[str, Any], stage: Stage) -> None:
    """The optimiser keeps whatever a group has, and looks at nothing but what it knows."""
    known = list(signature(OPTIMIZERS[stage.optimizer]).parameters)
    for name, value in group.items():
        if name not in known:
            hint = did_you_mean(name, known) or " (a group has params, lr and weight_decay, say)"
            raise ContractError(
                f"param_groups of {name_of(stage)} has a group with {name!r}, unknown to "
                f"{stage.optimizer}{hint}"
            )
        if name in ("lr", "weight_decay") and not isinstance(value, int | float):
            raise ContractError(f"{name} in param_groups of {name_of(stage)} is {value!r}; give a number")


class _Log:
    """Sums values on the device, and fetches them from there only when the stage logs."""

    def __init__(self, stage: Stage, steps: int, feed: Feed, sitting: Sitting, step: int) -> None:
        self.stage, self.steps, self.feed, self.sitting = stage, steps, feed, sitting
        self.every = max(1, steps // TIMES_LOGGED)
        self.since, self.clock, self.watching = step, time.perf_counter(), 0.0
        self.sums: dict[str, Tensor] = {}
        self.first: dict[str, Tensor] = {}

    def add(self, state: State, values: Mapping[str, Tensor]) -> None:
        if state.step == 1:
            self.first = dict(values)
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value.float() if name in self.sums else value.float()
        if state.step % self.every and state.step != self.steps:
            return
        self.refuse_non_finite(state.step)
        now, count = time.perf_counter(), state.step - self.since
        means = {name: float(total) / count for name, total in self.sums.items()}
        means["learning_rate"] = state.optimizer.param_groups[0]["lr"]
        means["images_per_second"] = count * self.feed.per_step * len(self.feed.views) / (now - self.clock)
        means |= self.sitting.measure()
        state.logged |= means
        told = time.perf_counter()
        self.sitting.watch(state.step, self.steps, means)
        self.since, self.clock, self.sums = state.step, time.perf_counter(), {}
        self.watching += self.clock - told  # a slow logger is no part of how long the stage takes

    def refuse_non_finite(self, step: int) -> None:
        wrong = _non_finite(self.sums)
        if not wrong:
            return
        if at_once := _non_finite(self.first):
            raise Diverged(
                f"{', '.join(at_once)}: not finite in step 1 of {self.steps}, before anything was learnt. "
                f"Look at the loss of {name_of(self.stage)} (what it divides by, a root or logarithm of 0), "
                "and at the weights it begins from"
            )
        when = f"in step {step}" if step == self.since + 1 else f"between step {self.since + 1} and {step}"
        raise Diverged(f"{', '.join(wrong)} became non-finite {when} of {self.steps}. {self.stage.remedy}")


def _non_finite(values: Mapping[str, Tensor]) -> list[str]:
    return [name for name, value in values.items() if not bool(torch.isfinite(value))]
