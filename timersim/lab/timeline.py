"""The timeline: a run as lanes of text, with the windows of the oracle where they matter."""

from collections.abc import Sequence

from timersim.lab.layout import COLUMNS, MARGIN, Kind, Line, Piece, lanes_that_fit, plain, stripped, table
from timersim.lab.oracle import Account
from timersim.lab.reading import read
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
)
from timersim.lab.windows import broken_windows

Cells = dict[str, Piece]
"""What stands in a row, by the name of its lane."""

Rows = list[tuple[Instant, Cells]]
"""An instant, and what happened then in which lane."""

WIRE, SERVER, OTHERS = "wire", "server", "other workers"


def render(record: Record, at: Instant, rule: str, life: Life | None = None) -> str:
    """Returns the lanes of `record`, with `rule` in the server's lane where it was broken, by what it did to `life`."""
    return plain(broken_lines(record, at, rule, life))


def broken_lines(record: Record, at: Instant, rule: str, life: Life | None = None) -> list[Line]:
    """Returns what `render` does as lines of pieces: the lanes, and below them the windows of `life`."""
    rows = lanes(record)
    victim = None if life is None else _lane(life[0])
    _mark(rows, at, rule, victim)
    strip = [] if life is None else _strip(read(record), life, at, rule)
    return _lanes_as_lines(record, rows, victim) + strip


def lane_lines(record: Record) -> list[Line]:
    """Returns the lanes of a record that breaks nothing, as lines of pieces."""
    return _lanes_as_lines(record, lanes(record), None)


def _mark(rows: Rows, at: Instant, rule: str, victim: str | None) -> None:
    """Writes the rule where it was broken: at the last attempt on the victim then, else in a row of its own."""
    attempts = [cells for t, cells in rows if t == at and cells.get(SERVER, _NOTHING)[0].startswith(REAPS)]
    broken = [cells for cells in attempts if cells.keys() - {SERVER} <= {victim}]
    if not broken:
        rows.append((at, {SERVER: (rule, Kind.WRONG)}))
        rows.sort(key=lambda row: row[0])
        return
    for lane, (text, _) in broken[-1].items():
        broken[-1][lane] = (rule if lane == SERVER else text, Kind.WRONG)


def _lanes_as_lines(record: Record, rows: Rows, victim: str | None) -> list[Line]:
    names = [*map(_lane, _workers(record)), WIRE, SERVER]
    instants = [number_text(t) for t, _ in rows]
    width = max(map(len, instants), default=1)
    if len(names) > lanes_that_fit(width):
        names = [*({victim} - {None}), OTHERS, WIRE, SERVER]  # type: ignore[list-item]  # None is taken out
        rows = [(t, _folded(cells, names)) for t, cells in rows]
    content = [[("t", Kind.HEAD), *((name, Kind.HEAD) for name in names)]]
    for (_, cells), instant, before in zip(rows, instants, ["", *instants], strict=False):
        shown = "" if instant == before else instant
        content.append([(shown, Kind.PLAIN), *(cells.get(name, _NOTHING) for name in names)])
    return table(content)


def _folded(cells: Cells, names: Sequence[str]) -> Cells:
    """Returns a row in which whoever has no lane is told in that of the others."""
    folded = {lane: piece for lane, piece in cells.items() if lane in names}
    others = [(lane.removeprefix("worker "), piece) for lane, piece in cells.items() if lane not in names]
    if others:
        folded[OTHERS] = ("; ".join(f"{number}: {text}" for number, (text, _) in others), others[-1][1][1])
    return folded


def _strip(account: Account, life: Life, at: Instant, rule: str) -> list[Line]:
    """Returns the windows of a life in a line or several, and below them where the rule was broken."""
    found, broken = broken_windows(account, life, at, rule)
    if broken is None:
        return []
    title = f"reap of worker {life[0]}:"
    strip, pointers = [_opening(title)], {}
    for window in found:
        begin, is_broken = number_text(window.begin), window == broken
        if _length(strip[-1]) + len(f"{begin} -- {window.word} --") > COLUMNS:
            strip.append(_opening(" " * len(title)))
        if is_broken:
            pointers[len(strip)] = _pointer(
                _length(strip[-1]) + len(f"{begin} -- "), what_was_done(account.record, life, at)
            )
        strip[-1] += [(f"{begin} -- ", Kind.PLAIN), (window.word, Kind.WRONG if is_broken else Kind.WINDOW)]
        strip[-1].append((" -- ", Kind.PLAIN))
    for position, pointer in pointers.items():
        strip.insert(position, pointer)
    return [stripped(line) for line in strip]


def _opening(text: str) -> Line:
    return [(f"{MARGIN}{text} ", Kind.PLAIN)]


def _pointer(below: int, text: str) -> Line:
    """Returns a line that points up from that column, with a text on the side where there is room."""
    pointed = f"^ {text}"
    if below + len(pointed) > COLUMNS:
        below, pointed = below - len(text) - 1, f"{text} ^"
    return [(" " * below, Kind.PLAIN), (pointed, Kind.WRONG)]


def _length(line: Line) -> int:
    return sum(len(text) for text, _ in line)


def lanes(record: Record) -> Rows:
    """Returns the rows of the timeline: an instant, and what happened then in which lane."""
    account = read(record)
    requests = record.numbered
    rows: Rows = []
    previous: Event | None = None
    for event in record.events:
        cells = {lane: (text, _kind(event)) for lane, text in _cells(event, requests, account).items()}
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
                _insert(rows, guard.due, {_lane(life[0]): (".. due", Kind.WINDOW)})
    return rows


def what_was_done(record: Record, life: Life, at: Instant) -> str:
    """Returns what was done to a life at an instant at which a rule was broken: `reaped at t=9`, or nothing."""
    outcomes = [e.outcome for e in record.of(Attempted) if e.at == at and (e.worker, e.incarnation) == life]
    if not outcomes:
        return f"not reaped by {at_text(at)}"
    return f"reaped at {at_text(at)}" if outcomes[-1] == "reaped" else f"reap at {at_text(at)}: {outcomes[-1]}"


def at_text(at: Instant) -> str:
    """Returns an instant as people read it: `t=5`."""
    return f"t={number_text(at)}"


def number_text(number: float) -> str:
    """Returns a number of ticks without a trailing `.0`."""
    return str(int(number)) if number == int(number) else f"{number:.3f}"


REAPS = ("attempts a reap", "reaps worker")
"""How begins what a server does to a worker: where it is not gone by that, and where it is."""

_NOTHING = ("", Kind.PLAIN)


_FAULTS = Meddled | WallStepped | WallDrifts | WorkerPaused | ServerPaused | ServerCrashed | ServerFailed | Left


def _kind(event: Event) -> Kind:
    is_crash = isinstance(event, Died) and event.how not in {"reaped", "exit"}
    is_failed = isinstance(event, Attempted) and event.outcome in {"failed", "raised"}
    return Kind.FAULT if is_crash or is_failed or isinstance(event, _FAULTS) else Kind.PLAIN


def _cells(event: Event, requests: dict[int, Sent], account: Account) -> dict[str, str]:
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
            return {_lane(worker): _DEATHS.get(how, f"crashes: {how}")}
        case Attempted(at, int(worker), int(incarnation), _, "reaped"):
            may = "MAY" if account.may_reap((worker, incarnation), at) else "MUST NOT"
            return {SERVER: f"{REAPS[1]} {worker}: {may}"}
        case Attempted(_, worker, _, _, outcome):
            return {SERVER: REAPS[0]} | ({} if worker is None else {_lane(worker): f"reap: {outcome}"})
        case Skipped(_, operation):
            worker = getattr(operation, "worker", None)
            return {} if worker is None else {_lane(worker): f"({type(operation).__name__} skipped)"}
        case _:
            text = _of_server(event)
            return {SERVER: text} if text else {}


def _arrival(request: Sent, at: Instant, account: Account) -> dict[str, str]:
    kind = "release" if request.expiration is None else "acquire"
    if account.resume(at) > at:
        return {WIRE: kind, SERVER: ".. waiting in the queue"}
    if not _is_registered(request, at, account):
        return {WIRE: kind, SERVER: "NOT released" if request.expiration is None else "NOT armed"}
    done = "released" if request.expiration is None else f"armed, due {number_text(request.expiration)}"
    return {WIRE: kind, SERVER: done}


def _is_registered(request: Sent, at: Instant, account: Account) -> bool:
    """Returns whether the server's table says what was asked for, as far as anybody has seen it."""
    key = account.pid((request.worker, request.incarnation)), request.scope
    made = next((made for made in account.registrations if made.at == at and made.latest.get(key) is request), None)
    return made is None or (key in made.after) == (request.expiration is not None)


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


_DEATHS = {"reaped": "reaped", "exit": "exits", "os._exit": "crashes: exit"}
"""What is said of a death; all others are told as crashes, by their own words."""


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


def _insert(rows: Rows, at: Instant, cells: Cells) -> None:
    index = next((i for i, (t, _) in enumerate(rows) if t >= at), len(rows))
    if index < len(rows) and rows[index][0] == at and not rows[index][1].keys() & cells.keys():
        rows[index][1].update(cells)
    else:
        rows.insert(index, (at, cells))


def _lane(worker: int) -> str:
    return f"worker {worker}"


def _workers(record: Record) -> list[int]:
    return sorted({event.worker for event in record.of(Started)})
