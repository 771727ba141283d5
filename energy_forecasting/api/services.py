"""What the routes call; built by ``bootstrap``."""

from collections.abc import Callable
from dataclasses import dataclass

from energy_forecasting.access.key_ring import KeyRing
from energy_forecasting.domain.quality import QualityLimits
from energy_forecasting.meters.store import MeterStore
from energy_forecasting.registry.base_registry import BaseRegistry
from energy_forecasting.registry.model_registry import ModelRegistry
from energy_forecasting.settings import Settings
from energy_forecasting.tasks.admission import AdmissionDesk
from energy_forecasting.tasks.batch_store import BatchStore
from energy_forecasting.tasks.dead_letters import DeadLetters
from energy_forecasting.tasks.gathered_reads import GatheredReads
from energy_forecasting.tasks.task_events import TaskEvents
from energy_forecasting.tasks.task_store import TaskStore
from energy_forecasting.tasks.training_allowance import TrainingAllowance
from energy_forecasting.tasks.workers import WorkerRegistry


@dataclass(frozen=True, kw_only=True)
class ApiServices:
    """The collaborators of one API process."""

    settings: Settings
    tasks: TaskStore
    reads: GatheredReads
    events: TaskEvents
    batches: BatchStore
    dead_letters: DeadLetters
    workers: WorkerRegistry
    desk: AdmissionDesk
    mendings: Callable[[], dict[str, int]]  #: what the reconciler has done so far
    meters: MeterStore
    models: ModelRegistry
    limits: QualityLimits
    bases: BaseRegistry
    keys: KeyRing
    allowance: TrainingAllowance
