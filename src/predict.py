"""Say what mean-field theory expects of a network, before it is drawn."""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports in silence

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from initlab import console
from initlab.config import (
    PROJECT,
    ConfigError,
    list_experiments,
    list_options,
    read_overrides,
    refuse_rest,
    refuse_sweeps,
    register,
)
from initlab.failure import report
from initlab.outlook.outlook import Outlook
from initlab.outlook.terminal import print_grid, print_outlook

FORMATS = ("text", "json")
HELP = """examples:
  python src/predict.py activation=tanh init=xavier model=mlp_deep
  python src/predict.py activation=tanh init.gain=1.5 picture=phases.png
  python src/predict.py -m init=xavier,he activation=tanh,relu

options (group=option; * marks the default):
{options}

experiments (-m experiment=name):
{experiments}

All settings of python src/train.py can be given, and two more:
  format=text             or json: an object, with -m a list of objects
  picture=null            a file for the phase diagram, such as phases.png
"""


@dataclass(frozen=True)
class Command:
    """What was typed.

    settings  of the network, in the grammar of Hydra
    multirun  whether they are a grid
    format    of the answer
    picture   the file for the phase diagram, None for no picture
    """

    settings: list[str]
    multirun: bool
    format: str
    picture: Path | None


def parser() -> console.Parser:
    """Return the parser of the command line."""
    made = console.Parser(
        prog="predict.py",
        usage="%(prog)s [-h] [-m] [KEY=VALUE ...]",
        description=f"{__doc__}\nNothing is trained, recorded or downloaded.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("settings", metavar="KEY=VALUE", nargs="*", help=argparse.SUPPRESS)
    made.add_argument(
        "-m", "--multirun", action="store_true", help="all combinations of a,b,c and range(1,10)"
    )
    return made


def read(arguments: Sequence[str]) -> Command:
    """Read the command line; raises a `UserError` for what cannot be meant."""
    reader = parser()
    if {"-h", "--help"} & {*arguments}:
        reader.epilog = HELP.format(options=list_options(), experiments=list_experiments())
    words, rest = reader.parse_known_intermixed_args(arguments)
    refuse_rest(arguments, words.settings, rest)
    own = {"format": "text", "picture": "null"}
    settings = []
    for word in words.settings:
        key, equals, value = word.partition("=")
        if equals and key in own:
            own[key] = value
        else:
            settings.append(word)
    if own["format"] not in FORMATS:
        raise ConfigError(f"format must be one of {', '.join(FORMATS)}; got {own['format']!r}")
    picture = None if own["picture"] == "null" else Path(own["picture"]).expanduser()
    if picture and picture.suffix != ".png":
        raise ConfigError(
            f"picture must be null or a file whose name ends in .png; got {own['picture']!r}"
        )
    if picture and words.multirun:
        raise ConfigError(f"picture={picture} shows a single setting: leave out -m, or the picture")
    overrides = read_overrides(settings)
    if not words.multirun:
        refuse_sweeps(overrides)
    return Command(settings, words.multirun, own["format"], picture)


def predict(command: Command) -> None:
    """Print what was asked for."""
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        mode = RunMode.MULTIRUN if command.multirun else RunMode.RUN
        composed = loader.load_configuration("config", command.settings, mode)
        if command.multirun:
            from initlab.outlook.grid import outlooks  # imports what sweeps need

            found = [*outlooks(loader, composed)]
        else:
            found = [Outlook.of(composed, composed.hydra)]
    if command.picture:
        from initlab.outlook import diagram  # Matplotlib takes time to import

        diagram.write(found[0], command.picture)
    if command.format == "json":
        objects = [each.as_plain() for each in found]
        if command.multirun:
            named = zip(found, objects, strict=True)
            print(json.dumps([{"settings": each.typed} | plain for each, plain in named]))
        else:
            print(json.dumps(objects[0]))
    elif command.multirun:
        print_grid(found)
    else:
        print_outlook(found[0])
        if command.picture:
            console.print_pair("picture", str(command.picture))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    register()
    try:
        console.begin_command()
        predict(read(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:
        console.error("interrupted")
        return 130
    except Exception as error:
        return report(error)
    return 0


if __name__ == "__main__":
    sys.exit(run())
