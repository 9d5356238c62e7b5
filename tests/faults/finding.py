"""What came of a fault: its figures, and which of the promises it broke."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass
class Finding:
    """What a run of a fault showed. Times are seconds."""

    lost: int = 0
    counted_twice: int = 0
    worst_answer: float = 0.0
    said: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def tells(self, figure: str) -> None:
        """Note a figure that somebody may want to know."""
        self.said.append(figure)

    def expects(self, promise: str, holds: bool) -> None:
        """Note a promise as broken unless it holds."""
        if not holds:
            self.broken.append(promise)

    def heard(self, seconds: Iterable[float]) -> None:
        """Note how long answers took."""
        self.worst_answer = max((self.worst_answer, *seconds))


def percentile(values: Sequence[float], part: float) -> float:
    """The value that `part` of all do not exceed; 0 of none."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(part * len(ranked)))] if ranked else 0.0
