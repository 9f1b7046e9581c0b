"""The commands and their options. What they do stands in the files beside this one.

Without `from __future__ import annotations`: typer would compile and evaluate each annotation twice.
"""

import copy
import sys
from collections.abc import Sequence
from typing import Annotated, Optional

import typer

import capsule

from .lean import LeanCommand, LeanGroup

app = typer.Typer(
    name="capsule",
    cls=LeanGroup,
    help="Run code that nobody has reason to trust, in WebAssembly sandboxes.",
    epilog="Example: capsule run examples/hello.py",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cache_app = typer.Typer(
    cls=LeanGroup,
    help="Show the compiled guests and the packages of this machine, or clear them.",
    invoke_without_command=True,
)
app.add_typer(cache_app, name="cache")

Ceiling = Optional[str]  # noqa: UP045 - typer reads annotations at run time, also on 3.11
Many = Optional[list[str]]  # noqa: UP045


AllowHost = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--allow-host",
        metavar="HOST",
        help="A host that programs may be granted, e.g. api.example.com, *.example.com, host:port; may be repeated.",
    ),
]


Mount = Annotated[
    Many,
    typer.Option(metavar="HOST[::GUEST][:ro|:rw]", help="A folder of the project that programs see; may be repeated."),
]
Env = Annotated[
    Many, typer.Option(metavar="NAME[=VALUE]", help="A variable that programs may be granted; may be repeated.")
]
EnvFile = Annotated[Ceiling, typer.Option(metavar="FILE", help="A .env file, for variables that are set nowhere else.")]


def _limits(timeout: str | None, compute: str | None, ram: str | None) -> dict[str, str]:
    given = {"timeout": timeout, "compute": compute, "ram": ram}
    return {name: value for name, value in given.items() if value is not None}


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"capsule {capsule.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Run code that nobody has reason to trust, in WebAssembly sandboxes."""


@app.command(
    cls=LeanCommand,
    epilog='Examples: capsule run hello.py | capsule run tasks.py:word_count "some text" | '
    "capsule run sum.py --args-json '[[1, 2, 3]]' --json",
)
def run(
    file: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(help="A Python file, or FILE:TASK for a task other than its main; without it, the project's."),
    ] = None,
    args: Annotated[Optional[list[str]], typer.Argument(help="Arguments for the task, as strings.")] = None,  # noqa: UP045
    args_json: Annotated[
        Ceiling, typer.Option(help="Typed arguments: a JSON array (by position) or object (by name).")
    ] = None,
    args_file: Annotated[Ceiling, typer.Option(help="The same, read from a file; - for standard input.")] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the envelope on one line of stdout, and what the task prints on stderr."),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell of each task's start, end and cost.")] = False,
    packages: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--with", help="A package in pure Python that it can import, e.g. toolz; may be repeated."),
    ] = None,
    requirements: Annotated[Ceiling, typer.Option(help="A file that names such packages, one a line.")] = None,
    timeout: Annotated[Ceiling, typer.Option(help="No task runs longer, e.g. 500ms, 30s, 5m.")] = None,
    compute: Annotated[Ceiling, typer.Option(help="No task burns more fuel: LOW, MEDIUM, HIGH or a number.")] = None,
    ram: Annotated[Ceiling, typer.Option(help="No sandbox takes more memory, e.g. 64MB.")] = None,
    allow_host: AllowHost = None,
    mount: Mount = None,
    env: Env = None,
    env_file: EnvFile = None,
    no_journal: Annotated[
        bool, typer.Option("--no-journal", help="Write nothing into .capsule/trace.db, which capsule ps reads.")
    ] = False,
) -> None:
    """Run a file in a sandbox and print what its main task returns.

    The exit status is 0 for success, 1 if the task failed, 2 if the call was wrong.
    """
    from . import grants
    from . import run as runs

    call = runs.Call(
        target=file, args=args or [], args_json=args_json, args_file=args_file, as_json=as_json, verbose=verbose,
        packages=packages or [], requirements=requirements, has_journal=not no_journal,
        grants=grants.Grants(
            _limits(timeout, compute, ram), hosts=allow_host or (), mounts=mount or (), env=env or (), env_file=env_file
        ),
        argv=sys.argv[1:],
    )  # fmt: skip
    raise typer.Exit(runs.run(call))


@app.command(cls=LeanCommand, epilog="Example: capsule inspect tasks.py --allow-host api.example.com")
def inspect(
    file: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(help="A Python file; without it, the project's."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON on stdout.")] = False,
    timeout: Annotated[Ceiling, typer.Option(help="As for capsule run.")] = None,
    compute: Annotated[Ceiling, typer.Option(help="As for capsule run.")] = None,
    ram: Annotated[Ceiling, typer.Option(help="As for capsule run.")] = None,
    allow_host: AllowHost = None,
    mount: Mount = None,
    env: Env = None,
) -> None:
    """Show what a file declares, and what it would get from capsule run with the same options. Nothing of it is run."""
    from . import grants, inspection

    limits = _limits(timeout, compute, ram)
    given = grants.Grants(limits, hosts=allow_host or (), mounts=mount or (), env=env or ())
    raise typer.Exit(inspection.inspect(file, given, as_json=as_json))


WhichRun = Annotated[str, typer.Argument(metavar="RUN", help="The beginning of its name in capsule ps, or last.")]


@app.command(cls=LeanCommand, epilog="Example: capsule ps --limit 5")
def ps(
    limit: Annotated[int, typer.Option(min=1, help="How many runs.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON on stdout.")] = False,
) -> None:
    """List the newest runs of this project: when, how long, how they ended."""
    from . import history

    raise typer.Exit(history.ps(limit=limit, as_json=as_json))


@app.command(cls=LeanCommand, epilog="Example: capsule log last")
def log(run: WhichRun = "last") -> None:
    """Tell what happened in a run: starts, output, requests, failures and ends, each with its time."""
    from . import history

    raise typer.Exit(history.log(run))


@app.command(cls=LeanCommand, epilog="Example: capsule trace last")
def trace(
    run: WhichRun = "last",
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON on stdout.")] = False,
) -> None:
    """Show a run as a tree: who asked for what, how long it took and what it cost."""
    from . import history

    raise typer.Exit(history.trace(run, as_json=as_json))


@app.command(cls=LeanCommand, epilog="Example: capsule setup")
def setup() -> None:
    """Build and compile the guest now, once for this machine, instead of at the first run."""
    from . import guest

    raise typer.Exit(guest.setup())


@cache_app.callback()
def cache(context: typer.Context) -> None:
    """Show the compiled guests and the packages of this machine, or clear them: `capsule cache clear`."""
    if context.invoked_subcommand is None:
        from . import guest

        raise typer.Exit(guest.show())


@cache_app.command(cls=LeanCommand, epilog="Example: capsule cache clear")
def clear() -> None:
    """Remove every compiled guest and all packages; the next run makes what it needs again."""
    from . import guest

    raise typer.Exit(guest.clear())


def app_for(words: Sequence[str]) -> typer.Typer:
    """What understands the command line `words`: if they begin with a command, that one is all that is built."""
    commands = [
        command for command in app.registered_commands if command.callback and [command.callback.__name__] == words[:1]
    ]
    groups = [group for group in app.registered_groups if [group.name] == words[:1]]
    if not commands and not groups:
        return app
    only = copy.copy(app)
    only.registered_commands, only.registered_groups = commands, groups
    return only
