"""Cases made from the OpenAPI document, sent to a served API, judged and counted.

Which routes there are, what they take and how they hang together comes from the document alone.
It cannot judge whether an answer is right, only whether its form and status are as documented.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import (
    CheckContext,
)
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation, BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from energy_forecasting.domain.meters import Meter

#: Of any kind of operation.
Case = schemathesis.Case[Any]

CALL_LIMIT_S = 30
STEPS_OF_A_STORY = 8
ERRORS_FROM = 400


def error_has_its_form(_context: CheckContext, response: schemathesis.Response, case: Case) -> None:
    """Every error, also an undocumented one, has the one form and a sentence that can be shown."""
    if response.status_code < ERRORS_FROM or case.path.startswith("/health"):
        return
    told = response.json()
    assert set(told) == {"error", "detail"}, told
    assert set(told["error"]) == {"type", "message", "details"}, told
    assert told["detail"] == told["error"]["message"]
    assert isinstance(told["error"]["details"], dict)
    assert told["error"]["type"].isupper()
    assert told["detail"]
    assert told["detail"].isprintable()


def serves(_context: CheckContext, response: schemathesis.Response, case: Case) -> None:
    """Nothing is away while these tests run, so nobody may be told that it is."""
    is_no_worker = case.path == "/health/worker" and response.json()["workers"] == []
    assert response.status_code < 500 or is_no_worker, response.text


CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    error_has_its_form,
    serves,
]


@dataclass(kw_only=True)
class Fuzzer:
    """Sends cases to one API and keeps count."""

    schema: BaseSchema
    known: Meter  #: which has readings and a model
    mend: Callable[[], None]  #: brings back what a case may have deleted
    by_status: Counter[int] = field(default_factory=Counter)
    by_operation: Counter[str] = field(default_factory=Counter)
    http: requests.Session = field(default_factory=requests.Session)

    def each_operation(self, cases: int) -> None:
        """Try every operation by itself, with so many cases altogether."""
        found = list(self.schema.get_all_operations())
        operations = [result.ok() for result in found if isinstance(result, Ok)]
        assert len(operations) == len(found), found
        faults: list[Exception] = []
        for operation in operations:
            try:
                self._one_operation(operation, max(cases // len(operations), 1))
            except Exception as fault:  # noqa: BLE001 - the others are tried all the same
                faults.append(fault)
        if faults:
            raise ExceptionGroup("what the fuzzer found", faults)

    def stories(self, cases: int) -> None:
        """Follow links from answer to call, with so many cases altogether."""
        fuzzer = self

        class Story(self.schema.as_state_machine()):  # type: ignore[misc]  # made at run time
            def setup(self) -> None:
                fuzzer.mend()

            def call(self, case: Case, **_kwargs: object) -> schemathesis.Response:
                return fuzzer.call(case)

            def validate_response(
                self, response: schemathesis.Response, case: Case, **_kwargs: object
            ) -> None:
                case.validate_response(response, checks=CHECKS)

        Story.run(
            settings=settings(
                _settings(max(cases // STEPS_OF_A_STORY, 1)), stateful_step_count=STEPS_OF_A_STORY
            )
        )

    def call(self, case: Case) -> schemathesis.Response:
        """Send one case and count it."""
        response = case.call(session=self.http, timeout=CALL_LIMIT_S)
        self.by_status[response.status_code] += 1
        self.by_operation[case.operation.label] += 1
        return response

    @property
    def count(self) -> int:
        """How many cases were sent."""
        return sum(self.by_status.values())

    def table(self) -> str:
        """Return the counts, for people."""
        lines = [f"{self.count:>8} cases"]
        lines += [f"{count:>8} {status}" for status, count in sorted(self.by_status.items())]
        lines += [f"{count:>8} {name}" for name, count in sorted(self.by_operation.items())]
        return "\n".join(lines)

    def _one_operation(self, operation: APIOperation[Any, Any, Any, Any], cases: int) -> None:
        right = operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE)
        wrong = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)

        @_settings(cases)
        @given(case=st.one_of(right, wrong), is_known=st.booleans())
        def try_out(case: Case, *, is_known: bool) -> None:
            self.mend()
            if is_known:  # else nearly all would end at a meter that nobody knows
                names = {"meter_id": self.known.meter_id, "meter_type": self.known.meter_type}
                for place in (case.path_parameters, case.body):
                    if isinstance(place, dict):
                        place.update({name: names[name] for name in names if name in place})
            case.validate_response(self.call(case), checks=CHECKS)

        try_out()


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        phases=[Phase.explicit, Phase.generate],  # a case is small enough as it is found
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


def copy_missing(source: Path, target: Path) -> None:
    """Bring files back, each of them whole at once."""
    for path in source.rglob("*"):
        there = target / path.relative_to(source)
        if path.is_file() and not there.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            beside = target / f"{uuid4()}.part"
            shutil.copyfile(path, beside)
            beside.replace(there)
