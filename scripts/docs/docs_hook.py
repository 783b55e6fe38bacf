"""Fills the documentation's pages with what the code says: a hook of mkdocs, which tests call as well.

A line `<!-- generated: KIND ARGUMENT ... -->` of a page is followed, in the site, by a table or a section made from the
registries, docstrings and spaces of the installed package:

    overview FAMILY [PAGE]  a row for each environment of a family, which link to their page
    environment NAME        all about one
    others FAMILY           all about those of the family that the page has not named
    shared CLASS            what the environments derived from a class share
    solvers [MODULE ...]    registered solvers and their promises
    games | bots            the zoo of games; the tournament bots
    members MODULE [NAME ...]   public members, a sentence each
    scripts FOLDER          scripts of a folder: title, commands, what is shown, figure
    file PATH               a file of the repository
    api PACKAGE ...         entries of the API for packages and all in them; -PACKAGE leaves one out
"""

import re
from collections.abc import Callable
from typing import Any

import docs_environments
import docs_registries

import jaxmarl.envs  # noqa: F401  (enters the environments into the registry)

MARKER = re.compile(r"^<!-- generated: (?P<kind>\w+) ?(?P<arguments>[^>]*?) ?-->$", re.MULTILINE)
GENERATORS: dict[str, Callable[..., str]] = {
    "overview": docs_environments.overview,
    "environment": docs_environments.section,
    "shared": docs_environments.shared,
    "solvers": docs_registries.solvers,
    "games": docs_registries.games,
    "bots": docs_registries.bots,
    "members": docs_registries.members,
    "scripts": docs_registries.scripts,
    "file": docs_registries.file,
    "api": docs_registries.api,
}


def markers(markdown: str) -> list[tuple[str, list[str]]]:
    """The markers of a page: kind and arguments."""
    return [(found["kind"], found["arguments"].split()) for found in MARKER.finditer(markdown)]


def environments_on(markdown: str) -> list[str]:
    """Environments that a page has a section for, those that `others` adds included."""
    found = markers(markdown)
    named = [name for kind, names in found if kind == "environment" for name in names]
    families = [family for kind, families in found if kind == "others" for family in families]
    return named + [
        each for family in families for each in docs_environments.environments_of(family) if each not in named
    ]


def filled(markdown: str) -> str:
    """The page with everything that its markers ask for."""
    named = [name for kind, names in markers(markdown) if kind == "environment" for name in names]

    def fill(found: re.Match) -> str:
        kind, arguments = found["kind"], found["arguments"].split()
        if kind == "others":
            others = [name for name in docs_environments.environments_of(arguments[0]) if name not in named]
            return "\n".join(map(docs_environments.section, others))
        if kind not in GENERATORS:
            raise ValueError(f"unknown kind of generated text {kind!r} (known: others, {', '.join(GENERATORS)})")
        return GENERATORS[kind](*arguments)

    return MARKER.sub(fill, markdown)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page."""
    return filled(markdown)
