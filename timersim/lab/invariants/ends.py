"""What becomes of the watchdog itself, and what a run leaves behind."""

from timersim.lab.invariants.registry import Breach, Cases, Harm, invariant
from timersim.lab.oracle import Account
from timersim.lab.record import Left, ServerFailed, ServerStarted
from timersim.lab.timeline import at_text


@invariant(Harm.SPARES_THE_HUNG)
def watchdog_survives(account: Account) -> Cases:
    """No request, callback or reap ends the watching, or makes it spin."""
    failures = account.record.of(ServerFailed)
    if not failures and account.record.of(ServerStarted):
        yield None
    for failure in failures:
        sentence = f"the server died at {at_text(failure.at)}: {failure.reason}"
        yield Breach(failure.at, None, sentence, "MUST go on watching")


@invariant(Harm.LEAVES_THINGS_BEHIND)
def nothing_left(account: Account) -> Cases:
    """No zombie, orphan, thread, descriptor, FIFO or table entry outlives the run."""
    left = account.record.of(Left)
    if not left:
        yield None
    for event in left:
        yield Breach(event.at, None, f"{event.what} outlived the run", "MUST NOT be left")
