"""Turns errors that the user can mend into one message and an exit code, without a traceback."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from cervbench.error import CervbenchError, UsageError
from cervbench.markup.escaping import printable

FAILED, WRONG_USAGE = 1, 2


class Failed(click.ClickException):
    exit_code = FAILED


class WrongUsage(click.ClickException):
    exit_code = WRONG_USAGE


_OUT_OF_MEMORY = (
    "a smaller --backbone or --tier takes less; so do smaller batches, off protocol "
    "(--set protocol.pretext.batch_size=64, protocol.finetune.batch_size)"
)

_DISK = {
    errno.ENOSPC: "free some space and give the same command again: what is done is kept",
    errno.EROFS: "choose a folder that can be written to (--out, CERVBENCH_CACHE)",
    errno.EDQUOT: "free some of your quota and give the same command again: what is done is kept",
    errno.EFBIG: "choose a disk that takes files of this size (--out, CERVBENCH_CACHE)",
    errno.ENOTDIR: "choose another folder: this path leads through a file",
    errno.EEXIST: "choose another folder: this is a file",
    errno.EACCES: "choose a folder that is yours (--out, CERVBENCH_CACHE), or ask for the right to it",
    errno.EPERM: "choose a folder that is yours (--out, CERVBENCH_CACHE), or ask for the right to it",
}


@contextmanager
def explained(ctx: click.Context) -> Iterator[None]:
    """Turn the expected errors of a command into ones that click prints to stderr."""
    try:
        yield
    except KeyboardInterrupt:
        resumes = ctx.invoked_subcommand == "run"  # every other command begins again, in part at least
        todo = "the same command goes on where this one stopped" if resumes else "give the same command again"
        raise Failed(f"interrupted; {todo}") from None
    except Exception as error:
        if told := expected(error):
            raise told from None
        raise


def expected(error: Exception) -> click.ClickException | None:
    """What click shall print for an error that the user can mend; None for any other error."""
    if isinstance(error, CervbenchError):
        told = printable(str(error))
        return WrongUsage(told) if isinstance(error, UsageError) else Failed(told)
    if isinstance(error, OSError) and error.errno and (error.errno in _DISK or error.filename):
        where = f" ({error.filename})" if error.filename else ""
        to_do = _DISK.get(error.errno, "see that this path is there and can be used")
        return Failed(f"{error.strerror}{where}: {to_do}")
    if _is_out_of_memory(error):
        return Failed(f"{str(error).rstrip('.')}: {_OUT_OF_MEMORY}")
    return None


def _is_out_of_memory(error: Exception) -> bool:
    """Whether a GPU has run out of memory. If torch is not loaded it has not, and loading it is slow."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)
