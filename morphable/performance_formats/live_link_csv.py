"""Live Link Face's CSV: a row a frame, with a timecode, 52 shapes and nine angles.

    Timecode,BlendShapeCount,EyeBlinkLeft,...,TongueOut,HeadYaw,...,RightEyeRoll
    19:17:23:30.429,61,0.0421835072,...

A timecode is hours, minutes, seconds and frames of the second, with the part of a frame after the point. The file does
not tell how many frames the second has: of RATES it is the one that makes frames follow each other most evenly. The
first frame becomes time 0, its timecode is kept in the provenance and given back on writing.
"""

import csv
import io
import re
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from morphable.arkit import ARKIT_NAMES
from morphable.live_link import ANGLES, COLUMNS, ORDER, from_angles, gaze_of, to_angles
from morphable.performance import Performance

RATES = (60, 30, 25, 24, 50, 48, 120)
"""Frames a second of the timecode, the most usual first."""
RATE = RATES[0]
"""What is written; the app counts in sixtieths, too, whatever the camera's rate."""
PARTS = 1000
"""Thousandths of a frame are what a timecode can tell apart."""
DAY = 24 * 3600
DECIMALS = 10
TIMECODE = re.compile(r"(\d{1,2})[:;](\d{1,2})[:;](\d{1,2})[:;.](\d{1,3})(?:\.(\d{1,6}))?")


def encode(performance: Performance) -> bytes:
    """Translation, confidence and all of the provenance but the first timecode are left out."""
    values = np.concatenate([performance.weights[:, ORDER], _angles(performance)], axis=1)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("Timecode", "BlendShapeCount", *COLUMNS))
    for timecode, row in zip(_timecodes(performance), values, strict=True):
        writer.writerow((timecode, len(COLUMNS), *(_decimal(value) for value in row)))
    return text.getvalue().encode()


def decode(contents: bytes) -> Performance:
    """Columns are found by name, in any order and case; shapes that are not there are still, and so is the head.

    Where the eyes' angles are missing, gaze is what the eyeLook shapes say. A last row that was cut off and rows that
    repeat a timecode are dropped.

    Raises:
        ValueError: no such table, or a row that is none.
    """
    rows = _rows(contents.decode("utf-8-sig"))
    _, header = next(rows, (0, []))
    columns = {name.strip().lower(): index for index, name in enumerate(header)}
    if "timecode" not in columns or not any(name.lower() in columns for name in ARKIT_NAMES):
        raise ValueError("the first line does not name Live Link Face's columns")
    timecodes, table = _table(rows, columns["timecode"], len(header))

    def column(name: str) -> Float[np.ndarray, " frame"]:
        return table[:, columns[name.lower()]] if name.lower() in columns else np.zeros(len(table))

    ticks, rate = _ticks(timecodes)
    rising = np.concatenate([[True], ticks[1:] > np.maximum.accumulate(ticks)[:-1]])[: len(ticks)]
    weights = np.stack([column(name) for name in ARKIT_NAMES], axis=1)
    turns = from_angles(np.stack([column(name) for name in ANGLES], axis=1).reshape(-1, 3, 3))
    watched = any(name.lower() in columns for name in ANGLES[3:])
    gaze = turns[:, 1:] if watched else gaze_of(weights)
    times = (ticks - ticks[:1])[rising] / (rate * PARTS)
    start = {"timecode": timecodes[0], "timecode_rate": rate} if timecodes else {}
    return Performance.of(times, weights[rising], turns[rising, 0], gaze=gaze[rising], provenance=start)


def _angles(performance: Performance) -> Float[np.ndarray, "frame 9"]:
    turns = np.concatenate([performance.head[:, None], performance.gaze], axis=1)
    return to_angles(turns).reshape(-1, len(ANGLES))


def _timecodes(performance: Performance) -> Iterator[str]:
    first, rate = _start(performance)
    for time in performance.times:
        frames, part = divmod(first + round(time * rate * PARTS), PARTS)
        seconds, frame = divmod(frames, rate)
        minutes, second = divmod(seconds % DAY, 60)
        yield f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}:{frame:02d}.{part:03d}"


def _start(performance: Performance) -> tuple[int, int]:
    """The timecode of time 0 in thousandths of a frame, and its rate: those of the recording, if it was one."""
    code, rate = performance.provenance.get("timecode"), performance.provenance.get("timecode_rate")
    if isinstance(code, str) and TIMECODE.fullmatch(code) and rate in RATES:
        return _tick(code, rate), rate
    return 0, RATE


def _decimal(value: np.floating) -> str:
    """As short as tells the value apart from its neighbours, and never with an exponent."""
    return np.format_float_positional(np.float32(value), unique=True, min_digits=DECIMALS)


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        yield from ((reader.line_num, row) for row in reader if row)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} is no line of a table ({error})") from error


def _table(
    rows: Iterator[tuple[int, list[str]]], timecode: int, width: int
) -> tuple[list[str], Float[np.ndarray, "frame column"]]:
    timecodes: list[str] = []
    table: list[list[float]] = []
    broken = ""
    for line, row in rows:
        if broken:
            raise ValueError(broken)
        try:
            code = row[timecode].strip()
            values = [0.0 if index == timecode else float(cell or 0) for index, cell in enumerate(row[:width])]
            whole = len(row) >= width and TIMECODE.fullmatch(code) is not None
        except (IndexError, ValueError):
            whole = False
        if not whole:
            broken = f"line {line} is not a timecode and {width - 1} numbers"
            continue
        timecodes.append(code)
        table.append(values)
    if broken and not table:
        raise ValueError(broken)
    return timecodes, np.array(table).reshape(-1, width)


def _ticks(timecodes: list[str]) -> tuple[Int[np.ndarray, " frame"], int]:
    """Thousandths of a frame since midnight of the first day, and how many frames a second has."""
    highest = max((int(TIMECODE.fullmatch(code)[4]) for code in timecodes), default=0)  # type: ignore[index]
    candidates = [rate for rate in RATES if rate > highest]
    if not candidates:
        raise ValueError(f"a timecode counts to frame {highest}, which is beyond {max(RATES)} frames a second")
    counted = {rate: _unwrapped(np.array([_tick(code, rate) for code in timecodes]), rate) for rate in candidates}
    rate = min(candidates, key=lambda rate: _unevenness(counted[rate] / rate))
    return counted[rate], rate


def _tick(timecode: str, rate: int) -> int:
    hours, minutes, seconds, frames, part = TIMECODE.fullmatch(timecode).groups(default="0")  # type: ignore[union-attr]
    whole = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    return (whole * rate + int(frames)) * PARTS + round(float(f"0.{part}") * PARTS)


def _unwrapped(ticks: Int[np.ndarray, " frame"], rate: int) -> Int[np.ndarray, " frame"]:
    """Rising over midnight."""
    day = DAY * rate * PARTS
    return ticks + day * np.concatenate([[0], np.cumsum(np.diff(ticks) < -day // 2)])[: len(ticks)]


def _unevenness(times: Float[np.ndarray, " frame"]) -> float:
    """How far steps from frame to frame are from the usual one, relative to it."""
    steps = np.diff(times)
    usual = np.median(steps) if len(steps) else 0.0
    return round(float(np.mean(np.minimum(np.abs(steps / usual - 1), 1))), 3) if usual > 0 else 0.0
