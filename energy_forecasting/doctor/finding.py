"""What the doctor finds, and what it makes of all findings."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a step went."""

    GOOD = "good"
    CARE = "care"  #: look at it; trainings may work all the same
    BAD = "bad"  #: until it is mended some or all trainings fail


class Step(StrEnum):
    """What was looked at; stable, for programs."""

    CONFIGURATION = "configuration"
    HOST = "host"
    TLS = "tls"
    SERVER = "server"
    CREDENTIALS = "credentials"
    CONTAINER = "container"  #: bucket or database
    LAYOUT = "layout"  #: measurements, tags, fields
    METERS = "meters"
    READINGS = "readings"
    TEMPERATURE = "temperature"
    STORE = "store"  #: the embedded one


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was found; names from outside are made printable before they come here."""

    step: Step
    outcome: Outcome
    sentence: str
    advice: str = ""  #: what to do; empty when nothing has to be done


def good(step: Step, sentence: str) -> Finding:
    """Tell that something is as it should be."""
    return Finding(step=step, outcome=Outcome.GOOD, sentence=sentence)


def care(step: Step, sentence: str, advice: str = "") -> Finding:
    """Tell that something should be looked at."""
    return Finding(step=step, outcome=Outcome.CARE, sentence=sentence, advice=advice)


def bad(step: Step, sentence: str, advice: str = "") -> Finding:
    """Tell that something has to be mended."""
    return Finding(step=step, outcome=Outcome.BAD, sentence=sentence, advice=advice)


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A configuration to write."""

    configuration: Mapping[str, object]  #: complete but for its secrets, of which it holds none
    remarks: tuple[str, ...] = ()  #: what was guessed, and what it may be instead


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """Everything that was found, and what follows."""

    findings: tuple[Finding, ...]
    verdict: str  #: a sentence
    can_train: bool  #: with what the service reads, at least one meter can be trained
    store: str | None = None  #: as ``MeterStore.kind``; None when it never came so far
    version: str | None = None
    meters: Mapping[str, int] | None = None  #: how many, by type; None when nobody could tell
    proposal: Proposal | None = None
