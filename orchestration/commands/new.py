"""``new``: the declaration of a use case that works as it stands, to be made one's own."""

import argparse
import keyword
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from string import Template

from core.errors import InvalidInputError
from orchestration.shell import PROJECT, Shell
from use_cases.declaration import is_name

TEMPLATES = Path(__file__).parents[1] / "first_declaration"
SUFFIX = ".txt"
DECLARED_IN = "use_cases"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("name", help="of the use case, as churn")
    parser.add_argument(
        "--entity", default="customer", help="what it decides about; default customer"
    )
    parser.add_argument("--owner", default="team@example.com", help="who answers for it")
    parser.add_argument(
        "--into",
        type=Path,
        metavar="FOLDER",
        help=f"folder of your own on PYTHONPATH; default {DECLARED_IN}/ of this checkout",
    )
    parser.epilog = "Writes files, and changes none. Read docs/first-use-case.md."


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Write the files and say what to do with them."""
    name, entity = arguments.name, arguments.entity
    _check_names(name, entity)
    if '"' in arguments.owner or not arguments.owner.isprintable():
        raise InvalidInputError("the owner cannot be written down", remedy="give an address")
    is_ours = arguments.into is None
    package = f"{DECLARED_IN}.{name}" if is_ours else name
    folder: Path = (PROJECT / DECLARED_IN if is_ours else arguments.into) / name
    _check_free(package, folder)
    said = {
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "entity": entity,
        "owner": arguments.owner,
        "package": package,
    }
    for path in written(folder, said):
        shell.say(f"  {path}")
    if not is_ours:
        shell.say("\nso that it is found:")
        shell.say(f"  export PYTHONPATH={arguments.into.absolute()}")
        shell.say(f"  export THROUGHLINE_USE_CASE_PACKAGES={package}")
    shell.next(f"`throughline status` says whether it holds; then python -m {package}.sample")
    return 0


def written(folder: Path, said: dict[str, str]) -> list[Path]:
    """Files of a declaration, written into a folder that was not there."""
    folder.mkdir(parents=True)
    made = []
    for template in sorted(TEMPLATES.glob(f"*{SUFFIX}")):
        path = folder / template.name.removesuffix(SUFFIX)
        path.write_text(_with_imports_in_order(Template(template.read_text()).substitute(said)))
        made.append(path)
    return made


def _with_imports_in_order(text: str) -> str:
    """The text with neighbouring imports sorted: where a team's own comes depends on its name."""
    lines = text.splitlines(keepends=True)
    groups = [list(group) for _, group in groupby(lines, key=lambda line: line.startswith("from "))]
    return "".join(line for group in groups for line in _ordered(group))


def _ordered(group: list[str]) -> list[str]:
    return sorted(group, key=str.split) if group[0].startswith("from ") else group


def _check_names(*names: str) -> None:
    for name in names:
        if not is_name(name) or keyword.iskeyword(name) or keyword.issoftkeyword(name):
            raise InvalidInputError(
                "this cannot be the name of a use case or an entity",
                found=repr(name[:60]),
                remedy="write lower-case words joined by single underscores, as card_fraud",
                code="bad_name",
            )


def _check_free(package: str, folder: Path) -> None:
    """Refuse a name that something bears already: nothing is written over, nothing hidden."""
    taken = folder if folder.exists() else _module_at(package)
    if taken is not None:
        raise InvalidInputError(
            f"the name {package.rpartition('.')[2]!r} is taken",
            found=f"{taken}",
            remedy="take another name, or work on what is there",
            code="name_taken",
        )


def _module_at(package: str) -> str | None:
    found = find_spec(package)
    return None if found is None else f"the module {package} at {found.origin}"
