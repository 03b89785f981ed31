"""The timeline: a run as lanes of text, with the windows of the oracle where they matter."""

import textwrap
from collections.abc import Iterator

from timersim.lab.oracle import Account, read
from timersim.lab.record import (
    Arrived,
    Attempted,
    Died,
    Event,
    Instant,
    Left,
    Life,
    Meddled,
    Record,
    Sent,
    ServerCrashed,
    ServerFailed,
    ServerPaused,
    ServerStarted,
    ServerStopped,
    ServerStopping,
    Skipped,
    Started,
    WallDrifts,
    WallStepped,
    WorkerPaused,
    WorkerResumed,
    numbered,
)

Cells = dict[str, str]
"""What stands in a row, by the name of its lane."""

WIRE, SERVER = "wire", "server"

COLUMNS = 80
"""How wide a timeline is; what the server does is wrapped where it would be wider, to LEAST_WIDTH at the narrowest."""

LEAST_WIDTH = 16


def render(record: Record, at: Instant, rule: str, life: Life | None = None) -> str:
    """Returns the lanes of `record`, with `rule` in the server's lane where it was broken, by what it did to `life`."""
    rows = lanes(record)
    victim = set() if life is None else {_lane(life[0])}
    attempts = [cells for t, cells in rows if t == at and cells.get(SERVER) == _ATTEMPT]
    broken = [cells for cells in attempts if cells.keys() - {SERVER} <= victim]
    if broken:
        broken[-1][SERVER] = rule
    else:
        rows.append((at, {SERVER: rule}))
        rows.sort(key=lambda row: row[0])
    names = [f"worker {worker}" for worker in _workers(record)] + [WIRE, SERVER]
    table = [["t", *names]]
    for i, (t, cells) in enumerate(rows):
        cells = {lane: text.replace(_ATTEMPT, "attempts a reap") for lane, text in cells.items()}
        same = i > 0 and rows[i - 1][0] == t
        table.append(["" if same else number_text(t), *(cells.get(name, "") for name in names)])
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    table = list(_wrapped(table, COLUMNS - sum(widths[:-1]) - 2 * len(widths)))
    return "\n".join(
        "  " + "  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in table
    )


def _wrapped(table: list[list[str]], width: int) -> Iterator[list[str]]:
    """Yields the rows with their last cell wrapped to `width`."""
    for *cells, last in table:
        lines = textwrap.wrap(last, max(LEAST_WIDTH, width)) or [""]
        yield [*cells, lines[0]]
        for line in lines[1:]:
            yield [*("" for _ in cells), line]


def lanes(record: Record) -> list[tuple[Instant, Cells]]:
    """Returns the rows of the timeline: an instant, and what happened then in which lane."""
    account = read(record)
    requests = numbered(record.events)
    rows: list[tuple[Instant, Cells]] = []
    previous: Event | None = None
    for event in record.events:
        cells = _cells(event, requests, account)
        if cells and rows and _is_of_one_piece(previous, event):
            rows[-1][1].update(cells)
        elif cells:
            rows.append((event.at, cells))
        previous = event
    for life in account.lives:
        death = account.deaths.get(life)
        for guard in account.guards.get(life, ()):
            overdue = guard.superseded > guard.due and (death is None or death.at > guard.due)
            if overdue and guard.arrived < guard.due <= record.end:
                _insert(rows, guard.due, {_lane(life[0]): ".. due"})
    return rows


def at_text(at: Instant) -> str:
    """Returns an instant as people read it: `t=5`."""
    return f"t={number_text(at)}"


def number_text(number: float) -> str:
    """Returns a number of ticks without a trailing `.0`."""
    return str(int(number)) if number == int(number) else f"{number:.3f}"


_ATTEMPT = "\0attempt"


def _cells(event: Event, requests: dict[int, Sent], account: Account) -> Cells:
    match event:
        case Started(at, worker, incarnation, bears):
            pid = "" if bears is None else f", with the pid of worker {bears[0]}"
            starts = "starts" if incarnation == 0 else "starts again"
            return {_lane(worker): starts + pid} if at > 0 or incarnation or pid else {}
        case Sent(_, _, worker, _, scope, expiration):
            return {
                _lane(worker): f"release {scope}"
                if expiration is None
                else f"acquire {scope} ->{number_text(expiration)}"
            }
        case Arrived(at, number):
            return _arrival(requests[number], at, account)
        case Meddled(at, number, fault, until):
            kind = "release" if requests[number].expiration is None else "acquire"
            return {WIRE: f"{kind} {fault}" + (f" until {number_text(until)}" if until > at else "")}
        case WallStepped(_, by):
            return {WIRE: f"wall clock {'+' if by >= 0 else ''}{number_text(by)}"}
        case WallDrifts(_, per_mille):
            return {WIRE: f"wall clock drifts {per_mille:+}/1000"}
        case WorkerPaused(_, worker):
            return {_lane(worker): "paused"}
        case WorkerResumed(_, worker):
            return {_lane(worker): "resumes"}
        case Died(_, worker, _, how):
            return {_lane(worker): _DEATHS.get(how, how)}
        case Attempted(_, worker, _, _, outcome):
            about = {SERVER: _ATTEMPT}
            return about if worker is None or outcome == "reaped" else {**about, _lane(worker): f"reap: {outcome}"}
        case Skipped(_, operation):
            worker = getattr(operation, "worker", None)
            return {} if worker is None else {_lane(worker): f"({type(operation).__name__} skipped)"}
        case _:
            text = _of_server(event)
            return {SERVER: text} if text else {}


def _arrival(request: Sent, at: Instant, account: Account) -> Cells:
    kind = "release" if request.expiration is None else "acquire"
    if account.resume(at) > at:
        return {WIRE: kind, SERVER: ".. waiting in the queue"}
    return {
        WIRE: kind,
        SERVER: "released" if request.expiration is None else f"armed, due {number_text(request.expiration)}",
    }


def _of_server(event: Event) -> str:
    match event:
        case ServerPaused(_, until, within):
            return f"paused until {number_text(until)}" + (f", {within}" if within else "")
        case ServerCrashed():
            return "crashes"
        case ServerStopping():
            return "stop called"
        case ServerStopped():
            return "stopped"
        case ServerStarted(at):
            return "started" if at > 0 else ""
        case ServerFailed(_, reason):
            return f"dies: {reason}"
        case Left(_, what):
            return f"left: {what}"
        case _:
            return ""


_DEATHS = {"reaped": "reaped", "exit": "exits", "sigkill": "crashes: sigkill", "os._exit": "crashes: exit"}


def _is_of_one_piece(previous: Event | None, event: Event) -> bool:
    """Returns whether two events stand in one row: a request and what becomes of it at once, a reap and its death."""
    match previous, event:
        case Sent(at, number), Arrived(then, arrived):
            return at == then and number == arrived
        case Sent(at, number), Meddled(then, meddled, _, _):
            return at == then and number == meddled
        case Attempted(_, worker, _, _, "reaped"), Died(_, dead, _, "reaped"):
            return worker == dead
        case _:
            return False


def _insert(rows: list[tuple[Instant, Cells]], at: Instant, cells: Cells) -> None:
    index = next((i for i, (t, _) in enumerate(rows) if t >= at), len(rows))
    if index < len(rows) and rows[index][0] == at and not rows[index][1].keys() & cells.keys():
        rows[index][1].update(cells)
    else:
        rows.insert(index, (at, cells))


def _lane(worker: int) -> str:
    return f"worker {worker}"


def _workers(record: Record) -> list[int]:
    return sorted({event.worker for event in record.of(Started)})
