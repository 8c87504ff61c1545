"""`tutorwatch channel`: the command line of channels. Each command imports what it needs, so that --help is quick."""

from typing import Annotated

import typer

channel = typer.Typer(
    no_args_is_help=True, help="Channels: who is told of alerts, by e-mail, in a chat, or by a webhook to a program."
)

Name = Annotated[str, typer.Argument(help="The channel's name.")]


@channel.command()
def add(
    name: Name,
    url: Annotated[
        str,
        typer.Argument(
            help="Where it leads: mailto:person@example.org, slack+https://hooks.slack.com/services/... (any chat with"
            " incoming webhooks as Slack has them) or webhook+https://host/path (signed JSON).",
        ),
    ],
    severity: Annotated[
        list[str] | None, typer.Option(help="Only alerts of this severity: critical or warning; may be given again.")
    ] = None,
    alert_type: Annotated[
        list[str] | None,
        typer.Option("--type", help="Only alerts of this type, such as no_show_pattern; may be given again."),
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(
            help="What is told: opened (the default), worse, no_longer_met, met_again, acknowledged, unacknowledged,"
            " resolved, reopened, value_changed, or all; may be given again."
        ),
    ] = None,
) -> None:
    """Makes a channel, by which alerts are told from now on. The secret of a webhook is printed, once."""
    from scripts import channels
    from scripts.with_engine import with_engine

    asked = channels.Asked(name, url, severity or [], alert_type or [], event or ["opened"])
    with_engine(lambda engine: channels.add(engine, asked))


@channel.command("list")
def list_channels(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Lists the channels, without their secrets: what they tell, whether they are on, and what waits."""
    from scripts import channels
    from scripts.with_engine import with_engine

    with_engine(lambda engine: channels.print_all(engine, as_json=as_json))


@channel.command()
def test(name: Name) -> None:
    """Sends a test by the channel from here, once; exit 1 if it wasn't delivered."""
    from scripts import channels
    from scripts.with_engine import with_engine

    with_engine(lambda engine: channels.test(engine, name))


@channel.command()
def disable(name: Name) -> None:
    """Switches the channel off: nothing is told by it, and what waits goes on waiting."""
    from scripts import channels
    from scripts.with_engine import with_engine

    with_engine(lambda engine: channels.switch(engine, name, on=False))


@channel.command()
def enable(name: Name) -> None:
    """Switches the channel on again; what waits is sent, unless it has waited for more than a day untried."""
    from scripts import channels
    from scripts.with_engine import with_engine

    with_engine(lambda engine: channels.switch(engine, name, on=True))


@channel.command()
def remove(name: Name) -> None:
    """Removes the channel, with what waits and the record of what it told."""
    from scripts import channels
    from scripts.with_engine import with_engine

    with_engine(lambda engine: channels.remove(engine, name))
