"""The dashboards that ship, read as Grafana reads them: variables put in their place."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.conftest import PROJECT_DIR

FOLDER = PROJECT_DIR / "deploy" / "grafana"

_VARIABLE = re.compile(r"\$\{(\w+)(?::raw)?\}|\$(\w+)")


@dataclass(frozen=True)
class Dashboard:
    """One JSON file."""

    name: str
    content: dict[str, Any]

    @property
    def variables(self) -> dict[str, dict[str, Any]]:
        return {each["name"]: each for each in self.content["templating"]["list"]}

    @property
    def defaults(self) -> dict[str, str]:
        """Return the values of the variables that need no question."""
        return {
            name: str(each["current"]["value"])
            for name, each in self.variables.items()
            if each["type"] in {"constant", "custom"}
        }

    @property
    def questions(self) -> dict[str, str]:
        """Return the queries of the variables that need one, in order."""
        return {
            name: each["query"] for name, each in self.variables.items() if each["type"] == "query"
        }

    def targets(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each panel's title with each of its targets."""
        for panel in self.content["panels"]:
            for target in panel["targets"]:
                yield panel["title"], target


def read_dashboard(name: str) -> Dashboard:
    path = FOLDER / "dashboards" / f"{name}.json"
    return Dashboard(name=name, content=json.loads(path.read_text(encoding="utf-8")))


def filled_in(query: str, values: Mapping[str, str]) -> str:
    """Put values in the place of variables; one that is not known is an error."""
    return _VARIABLE.sub(lambda found: values[found[1] or found[2]], query)


def variables_in(query: str) -> set[str]:
    return {found[1] or found[2] for found in _VARIABLE.finditer(query)}
