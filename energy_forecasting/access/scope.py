"""What a key allows: three scopes, each of which includes the ones before it."""

from enum import StrEnum


class Scope(StrEnum):
    """How far a key reaches."""

    READ = "read"  #: everything that changes nothing: status, forecasts, models, meters
    TRAIN = "train"  #: also starts and cancels trainings, sends readings
    ADMIN = "admin"  #: also rolls back and deletes models, learns bases, replays all dead letters

    def includes(self, needed: "Scope") -> bool:
        """Tell whether this scope is enough where another one is needed.

        >>> Scope.TRAIN.includes(Scope.READ), Scope.TRAIN.includes(Scope.ADMIN)
        (True, False)
        """
        order = list(Scope)
        return order.index(self) >= order.index(needed)
