"""What other people's servers promise, where it is broken: sentences reviewed by hand, by system and invariant."""

from dataclasses import dataclass

from timersim.lab.invariants import INVARIANTS


@dataclass(frozen=True, slots=True)
class Promise:
    """The `sentence` that a finding breaks; it `is_documented` where the server does so on purpose, and says so."""

    sentence: str
    is_documented: bool = False


def promise_of(system: str, invariant: str) -> Promise:
    """Returns what a system promises where that was looked up, else timersim's own invariant.

    >>> promise_of("memory", "no-early-reap").sentence
    "timersim's invariant: At a reap, some acquire of the victim has come due."
    """
    known = PROMISES.get((system, invariant))
    return known or Promise(f"timersim's invariant: {INVARIANTS[invariant].statement}")


_RELEASE = (
    '`TimerClient.release`: "After this method is called, the countdown timer on the scope is no longer in effect."'
)
_BY_PID = 'the client "uses pid to uniquely identify a worker", and a pid passes on.'
_RETRY = 'the server logs "Error reaping worker=[%s]. Will retry on next watchdog."'
_STOP = '`stop` logs "Stopping watchdog thread...", waits `max_interval` at most, and returns, ended or not.'
_TIMELY = '`TimerServer` "monitors active timers and expires them in a timely fashion"'
_UNREAD = (
    f"{_TIMELY}; a message that can't be read ends the pass, with what it had taken, before it has looked at a timer."
)
_TWICE = (
    'the server has logged "Successfully reaped worker=[%s]" and cleared its timers; what the dead had sent before is'
    " registered all the same, for a pid that may be another's when it falls due."
)

PROMISES: dict[tuple[str, str], Promise] = {
    ("torch-local", "pause-is-not-silence"): Promise(
        f"{_RELEASE} `_run_watchdog` asks for the queue's size before it waits: of what has come meanwhile it takes one"
        " request, and judges."
    ),
    ("torch-local", "right-incarnation"): Promise(_BY_PID, is_documented=True),
    ("torch-local", "reaped-once"): Promise(_TWICE),
    ("torch-local", "dead-stay-dead"): Promise(_TWICE),
    ("torch-local", "restart-guards"): Promise(
        '`start` logs "Starting watchdog thread..."; `stop` has left its flag set, and the thread ends at once.'
    ),
    ("torch-local", "watchdog-survives"): Promise(
        '`start` logs "Starting watchdog thread..."; `stop` has left its flag set, and the thread ends at once.'
    ),
    ("torch-local", "poison-contained"): Promise(_UNREAD),
    ("torch-local", "reap-spares-the-rest"): Promise(_UNREAD),
    ("torch-local", "failed-reap-retried"): Promise(
        f"{_RETRY}, which comes at once where another request is there.", is_documented=True
    ),
    ("torch-local", "silent-after-stop"): Promise(_STOP),
    ("torch-local", "death-contained"): Promise(
        '`TimerClient.acquire` "typically registers the timer with the TimerServer"; a process that is killed in a'
        " `put` can take the queue's lock along, and no other's requests come through."
    ),
    ("torch-local", "acquire-means-armed"): Promise(
        '`TimerClient.acquire` "typically registers the timer with the TimerServer"; it returns when a thread of its'
        " process has the request, and that dies with it."
    ),
    ("torch-file", "release-wins"): Promise(
        f"{_RELEASE} `_get_requests` ends with a nap, after which it does not read what came meanwhile."
    ),
    ("torch-file", "pause-is-not-silence"): Promise(
        f"{_RELEASE} `_get_requests` ends when its time is over, whatever lies in the FIFO."
    ),
    ("torch-file", "right-set"): Promise(
        'it logs "Terminating the server process=[%s] because of expired timers".', is_documented=True
    ),
    ("torch-file", "right-incarnation"): Promise(_BY_PID, is_documented=True),
    ("torch-file", "restart-guards"): Promise(
        '`start` logs "Starting watchdog thread..."; `stop` has taken the FIFO away and left its flag set.'
    ),
    ("torch-file", "failed-reap-retried"): Promise(
        f"{_RETRY}; `_run_watchdog` clears the timers of whoever it tried to reap, and there is nothing to retry."
    ),
    ("torch-file", "silent-after-stop"): Promise(_STOP),
    ("torch-file", "reaped-in-time"): Promise(
        '"max_interval: float, max interval in seconds for each watchdog loop"; a loop lasts a nap longer, what comes'
        " in that nap waits for the end of the next, and how long a loop lasts is measured on the wall clock."
    ),
    ("torch-file", "no-head-of-line"): Promise(
        'a comment in `_get_requests`: "the readline() call below is not blocking for long"; it blocks for as long as'
        " somebody has the FIFO open for writing."
    ),
    ("torch-file", "poison-contained"): Promise(
        '"Multiple clients can work with the same FileTimerServer"; a line that is no request takes along all that were'
        " read in the same pass."
    ),
    ("torch-file", "watchdog-survives"): Promise(
        'it logs "Terminating the server process=[%s] because of expired timers"; `_reap_worker` takes a worker that'
        " has ended by itself for one that it has reaped, and the server, which is the agent, ends itself for nothing."
    ),
    ("torch-file", "nothing-left"): Promise(
        'a comment in `_watchdog_loop`: "Open the pipe in blocking mode blocks the server thread. This is fine".',
        is_documented=True,
    ),
    ("torch-file", "conservation"): Promise(
        '"Multiple clients can work with the same FileTimerServer"; a line that is no request takes along all that were'
        " read in the same pass."
    ),
}
"""Each was held against torch 2.13.0's source, `torch/distributed/elastic/timer/`."""
