"""What typer does not do by itself: a help that is a manual, faults told plainly, lists in one go.

The types of contexts and formatters are typer's own affair, so they are ``Any`` here.
"""

from __future__ import annotations

import errno
import inspect
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from typer.core import TyperCommand, TyperGroup

from cloudarb_lib.base.errors import CloudArbError, ParameterError
from pipelines import exit_codes

WHERE_THINGS_LIE = (
    ("data/", "the bundled price history, demand files, assumptions.csv"),
    ("data/store/", "the price store, built from them at first use; notebooks read its snapshots"),
    (
        "pipelines/*.yaml",
        "configurations of runs: weekly.yaml (price lists), marketplace.yaml (daily)",
    ),
    ("notebooks/", "the questions of a run; each also opens by itself in JupyterLab"),
    (
        "reports/",
        "index.html lists all runs; reports/RUN/ holds pages, executed notebooks, tables "
        "(Parquet), manifest.json and logs, failed/ a notebook that failed",
    ),
    ("serve/", "of the server: digests of tokens, plans made on request, the gateway's files"),
)


_OF_FILES_NAMED = (
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ENOTDIR),
)
"""Faults that another name of a file or folder mends; a folder such as /proc says ENOENT."""
_NO_BRACES = str.maketrans("", "", "{}")


class Manual(TyperGroup):
    """The group of all verbs: its help is the manual, and its verbs' faults end as messages."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each verb: in a line, and then how it is called and what it does."""
        verbs = list(_leaves(self, ctx))
        with formatter.section("Verbs"):
            formatter.write_dl(
                [(verb.command_path, verb.command.get_short_help_str(100)) for verb in verbs]
            )
        for verb in verbs:
            formatter.write_paragraph()
            pieces = verb.command.collect_usage_pieces(verb)
            formatter.write_usage(verb.command_path, " ".join(pieces), prefix="")
            _, _, what_it_does = verb.command.help.partition("\n\n")
            with formatter.indentation():
                formatter.write_text(what_it_does)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write where things lie, and what exit codes say."""
        with formatter.section("Where things lie"):
            formatter.write_dl(WHERE_THINGS_LIE)
        with formatter.section("Exit codes"):
            formatter.write_dl(
                [(str(code), meaning) for code, meaning in exit_codes.MEANING.items()]
            )
        formatter.write_paragraph()
        formatter.write_text(f"{ctx.command_path} VERB --help tells all options of a verb.")

    def invoke(self, ctx: Any) -> int:
        """Carry out the verb; return the exit code, of a fault too."""
        try:
            return int(super().invoke(ctx) or 0)
        except CloudArbError as fault:
            print(f"cloudarb {ctx.invoked_subcommand}: {fault}", file=sys.stderr)
            return fault.exit_code
        except BrokenPipeError:  # the reader of our output, such as head, has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return exit_codes.DONE
        except OSError as fault:
            if fault.filename is None or fault.errno not in _OF_FILES_NAMED:
                raise
            print(
                f"cloudarb {ctx.invoked_subcommand}: {fault.filename}: {fault.strerror}. "
                "Way out: Name a file or folder that you may read and write.",
                file=sys.stderr,
            )
            return ParameterError.exit_code
        except KeyboardInterrupt:
            print(f"cloudarb {ctx.invoked_subcommand}: stopped", file=sys.stderr)
            return exit_codes.STOPPED


def _leaves(group: TyperGroup, ctx: Any) -> Iterator[Any]:
    """Yield a context for each verb of a group, those of its groups included."""
    for name in group.commands:
        command = group.commands[name]
        inner = type(ctx)(command, parent=ctx, info_name=name)
        if isinstance(command, TyperGroup):
            yield from _leaves(command, inner)
        else:
            yield inner


class Verb(TyperCommand):
    """A command whose list options take all values up to the next option: ``--terms 1y 3y``.

    Where any number of words may be arguments, such as FILE ..., an option takes the one behind it.
    """

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return options and arguments as a usage line has them, without typer's braces."""
        pieces = super().collect_usage_pieces(ctx)
        return [piece.translate(_NO_BRACES) for piece in pieces]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before each of its values, which is how typer wants it."""
        takes_words = any(
            parameter.param_type_name == "argument" and parameter.nargs == -1
            for parameter in self.params
        )
        lists = {
            name
            for parameter in self.params
            if not takes_words and parameter.multiple
            for name in parameter.opts
        }
        words = repeat_options(args, lists)
        parameters: list[Any] = self.params
        paths = [p for p in parameters if p.type_descriptor.annotation is Path]
        refuse_empty(words, {name for parameter in paths for name in parameter.opts})
        return super().parse_args(ctx, words)


def refuse_empty(words: Sequence[str], paths: Collection[str]) -> None:
    """Raise ParameterError for an option in ``paths`` without a value, as in ``--out "$UNSET"``.

    Path would read it as the folder that one is in.
    """
    for option, value in pairwise([*words, "the end"]):
        name, equals, joined = option.partition("=")
        if name in paths and not (joined if equals else value):
            raise ParameterError(f"{name} is empty.", "Name a file or folder; . is this one.")


def repeat_options(words: Sequence[str], lists: Collection[str]) -> list[str]:
    """Return ``words`` with the name of each option in ``lists`` before each of its values.

    >>> repeat_options(["--terms", "1y", "3y", "--gap", "0.1"], ["--terms"])
    ['--terms', '1y', '--terms', '3y', '--gap', '0.1']
    """
    repeated: list[str] = []
    option = ""
    for word in words:
        if word.startswith("-"):
            option = word if word in lists else ""
        elif option and repeated[-1] != option:
            repeated.append(option)
        repeated.append(word)
    return repeated


Options = TypeVar("Options")


def with_options(kind: type[Options]) -> Callable[[Callable[[Options], int]], Callable[..., int]]:
    """Let a verb take one record, whose fields typer reads as its arguments and options.

    Parameters
    ----------
    kind : type
        A dataclass; each field is annotated as typer has it of a parameter.
    """

    def decorate(verb: Callable[[Options], int]) -> Callable[..., int]:
        def call(**values: Any) -> int:
            return verb(kind(**values))

        call.__doc__ = verb.__doc__
        call.__name__ = verb.__name__
        # Each field as the module of its own class reads it: a verb may inherit options.
        read = get_type_hints(kind, include_extras=True)
        call.__annotations__ = read
        signature = inspect.signature(kind)
        fields = [p.replace(annotation=read[name]) for name, p in signature.parameters.items()]
        call.__signature__ = signature.replace(parameters=fields)  # type: ignore[attr-defined]
        return call

    return decorate
