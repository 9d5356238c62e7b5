"""The state of an alert: it stands, or is over, only after the verdict has held for a time."""

from dataclasses import dataclass, replace

from tracking.operate.alerts.rules import Trouble, Unknown, Verdict

BEGINS_AFTER = 300
ENDS_AFTER = 900


@dataclass(frozen=True, slots=True)
class AlertState:
    """An alert. Instants are seconds UTC.

    `is_trouble` is the last verdict, since `changed_at`. It `stands` since `since`; `words` are
    those of its last trouble.
    """

    is_trouble: bool = False
    changed_at: int = 0
    stands: bool = False
    since: int = 0
    words: str = ""

    def after(self, verdict: Verdict, now: int) -> "AlertState":
        """Returns the state after one more verdict.

        A verdict that changes to and fro changes nothing else until it has held.
        """
        if isinstance(verdict, Unknown):
            return self
        state = self
        is_trouble = isinstance(verdict, Trouble)
        # A change that lies ahead was stored before the clock was set back.
        if is_trouble != self.is_trouble or self.changed_at > now:
            state = replace(self, is_trouble=is_trouble, changed_at=now)
        if isinstance(verdict, Trouble):
            state = replace(state, words=verdict.words)
        held = now - state.changed_at
        if is_trouble and not state.stands and held >= BEGINS_AFTER:
            return replace(state, stands=True, since=state.changed_at)
        if not is_trouble and state.stands and held >= ENDS_AFTER:
            return replace(state, stands=False)
        return state
